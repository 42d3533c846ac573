// SPDX-License-Identifier: MIT
/* Console and log under contention. What arrives on the serial line is judged by
 * tests/boot/test_kernel_suites.py, which counts the lines and looks at each. */
#include "kernel/console.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define LINES_PER_CPU 25

/* A KTAP comment, so that readers of the results skip it. */
static void print_lines(void *argument)
{
    (void)argument;
    for (unsigned line = 0; line < LINES_PER_CPU; line++) {
        console_print("    # line %u of cpu %u: the quick brown fox jumps over the lazy dog\n",
                      line, cpu_index());
    }
}

static void lines_of_all_cpus_stay_whole(struct test *test)
{
    struct workers workers;
    if (EXPECT(test, workers_start(&workers, true, print_lines, NULL))) {
        workers_join(&workers);
    }
}

static void log_lines(void *argument)
{
    (void)argument;
    for (unsigned line = 0; line < LINES_PER_CPU; line++) {
        log_debug("suite_console %02u", line);
    }
}

/* Every CPU logs at once: a record lost, torn or out of a CPU's own order shows in the ring. */
static void log_keeps_every_line_in_order(struct test *test)
{
    static unsigned next_line[CPU_MAX];
    struct workers workers;
    uint64_t sequence = log_next_sequence();
    memset(next_line, 0, sizeof(next_line));
    if (cpu_count() * LINES_PER_CPU > LOG_RING_RECORDS) {
        test_skip(test, "more lines than the ring holds");
        return;
    }
    if (!EXPECT(test, workers_start(&workers, true, log_lines, NULL))) {
        return;
    }
    uint32_t expected = workers.count * LINES_PER_CPU;
    workers_join(&workers);
    uint32_t seen = 0;
    struct log_record record;
    while (log_read(&sequence, &record)) {
        if (strncmp(record.text, "suite_console ", 14) == 0) {
            unsigned line =
                (unsigned)(record.text[14] - '0') * 10 + (unsigned)(record.text[15] - '0');
            EXPECT_EQUAL(test, line, next_line[record.cpu]);
            next_line[record.cpu]++;
            seen++;
        }
    }
    EXPECT_EQUAL(test, seen, expected);
}

static const struct test_case cases[] = {
    TEST_CASE(lines_of_all_cpus_stay_whole),
    TEST_CASE(log_keeps_every_line_in_order),
};

const struct test_suite suite_console = TEST_SUITE("console", cases);
