// SPDX-License-Identifier: MIT
/* Runs suites and prints KTAP (Linux's Documentation/dev-tools/ktap.rst, version 1). Invariant: the
 * plan line says how many results follow, and each case gives exactly one, whatever it does. */
#include "tests/kernel/test.h"

#include "arch/paging.h"
#include "kernel/console.h"
#include "kernel/heap.h"
#include "kernel/page_allocator.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"

struct machine_state {
    size_t free_pages;
    size_t heap_blocks;
    size_t threads;
};

static struct machine_state machine_state_now(void)
{
    heap_trim();
    return (struct machine_state){
        /* Stacks kept for reuse, and tables that map them, are not leaked. */
        .free_pages = page_count().free + stack_cached_count() * (STACK_SIZE / PAGE_SIZE) +
                      paging_table_count(),
        .heap_blocks = heap_count().blocks,
        .threads = thread_count(),
    };
}

bool test_expect(struct test *test, bool condition, const char *text, const char *file, int line)
{
    if (!condition) {
        test->failures++;
        console_print("    # %s: expected %s (%s:%d)\n", test->name, text, file, line);
    }
    return condition;
}

bool test_expect_equal(struct test *test, uint64_t actual, uint64_t expected, const char *text,
                       const char *file, int line)
{
    if (actual != expected) {
        test->failures++;
        console_print("    # %s: expected %s == 0x%llx, got 0x%llx (%s:%d)\n", test->name, text,
                      (unsigned long long)expected, (unsigned long long)actual, file, line);
    }
    return actual == expected;
}

void test_skip(struct test *test, const char *reason)
{
    test->skip_reason = reason;
}

static void report(struct test_totals *totals, const struct test *test, unsigned number)
{
    if (test->failures != 0) {
        totals->failed++;
        console_print("    not ok %u %s\n", number, test->name);
    } else if (test->skip_reason != NULL) {
        totals->skipped++;
        console_print("    ok %u %s # SKIP %s\n", number, test->name, test->skip_reason);
    } else {
        totals->passed++;
        console_print("    ok %u %s\n", number, test->name);
    }
}

/* The case that the runner adds to every suite. */
static void suite_leaves_machine_as_found(struct test *test, const struct machine_state *before)
{
    struct machine_state now = machine_state_now();
    EXPECT_EQUAL(test, now.free_pages, before->free_pages);
    EXPECT_EQUAL(test, now.heap_blocks, before->heap_blocks);
    EXPECT_EQUAL(test, now.threads, before->threads);
    uint64_t address = text_snapshot_difference();
    if (!EXPECT_EQUAL(test, address, 0)) {
        EXPECT_EQUAL(test, *(const uint8_t *)address, text_snapshot_byte(address));
    }
}

static bool suite_run(const struct test_suite *suite, struct test_totals *totals,
                      bool (*stop)(void *argument), void *argument)
{
    unsigned failed_before = totals->failed;
    console_print("    KTAP version 1\n    # Subtest: %s\n    1..%zu\n", suite->name,
                  suite->case_count + 1);
    struct machine_state before = machine_state_now();
    unsigned number = 0;
    for (size_t i = 0; i < suite->case_count; i++) {
        struct test test = {.name = suite->cases[i].name};
        if (stop(argument)) {
            test_skip(&test, "stopped by Ctrl-C");
        } else {
            suite->cases[i].run(&test);
        }
        report(totals, &test, ++number);
    }
    struct test last = {.name = "suite_leaves_machine_as_found"};
    suite_leaves_machine_as_found(&last, &before);
    report(totals, &last, ++number);
    return totals->failed == failed_before;
}

struct test_totals test_run(const struct test_suite *suite, bool (*stop)(void *argument),
                            void *argument)
{
    struct test_totals totals = {0};
    size_t count = 0;
    while (test_suites[count] != NULL) {
        count++;
    }
    console_print("KTAP version 1\n1..%zu\n", suite != NULL ? (size_t)1 : count);
    if (text_snapshot_difference() != 0) {
        console_print("# some key is not as at boot: text is compared with what it is now\n");
        text_snapshot_take();
    }
    unsigned number = 0;
    for (size_t i = 0; i < count; i++) {
        if (suite == NULL || suite == test_suites[i]) {
            bool passed = suite_run(test_suites[i], &totals, stop, argument);
            console_print("%s %u %s\n", passed ? "ok" : "not ok", ++number, test_suites[i]->name);
        }
    }
    console_print("# Totals: pass:%u fail:%u skip:%u\n# tests ended\n", totals.passed,
                  totals.failed, totals.skipped);
    return totals;
}
