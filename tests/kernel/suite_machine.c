// SPDX-License-Identifier: MIT
/* CPUs, IPIs, NMI, clocks: what the patch protocols stand on. */
#include "arch/clock.h"
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/ipi.h"
#include "arch/nmi.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/cross_call.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/run_queue.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

static uint32_t calls_by_cpu[CPU_MAX];

static void count_call(void *argument)
{
    uint32_t *by_cpu = argument;
    by_cpu[cpu_index()]++;
}

static void cross_call_reaches_each_cpu_once(struct test *test)
{
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        calls_by_cpu[cpu] = 0;
    }
    on_each_cpu(count_call, calls_by_cpu);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT_EQUAL(test, calls_by_cpu[cpu], cpu_index_is_online(cpu) ? 1 : 0);
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT_EQUAL(test, on_cpu(cpu, count_call, calls_by_cpu), cpu_index_is_online(cpu));
        EXPECT_EQUAL(test, calls_by_cpu[cpu], cpu_index_is_online(cpu) ? 2 : 0);
    }
    EXPECT(test, !on_cpu(CPU_MAX, count_call, calls_by_cpu));
}

static void cross_call_loop(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < 50; i++) {
        on_each_cpu(count_call, calls_by_cpu);
    }
}

/* All CPUs call all CPUs at once: a request reused too early loses or doubles a call, which shows
 * in the sum. Could miss it if the callers happen to run one after the other. */
static void racing_cross_calls_lose_none(struct test *test)
{
    struct workers workers;
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        calls_by_cpu[cpu] = 0;
    }
    if (!EXPECT(test, workers_start(&workers, true, cross_call_loop, NULL))) {
        return;
    }
    uint32_t callers = workers.count;
    workers_join(&workers);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT_EQUAL(test, calls_by_cpu[cpu], cpu_index_is_online(cpu) ? 50 * callers : 0);
    }
}

static void sums(uint64_t *sent, uint64_t *received)
{
    *sent = 0;
    *received = 0;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        *sent += cpu_ipis_sent(cpu_by_index(cpu));
        *received += cpu_ipis_received(cpu_by_index(cpu));
    }
}

/* A lost or double-counted IPI would make every published count a lie. */
static void every_ipi_sent_is_received(struct test *test)
{
    uint64_t sent_before, sent, received;
    sums(&sent_before, &received);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQUAL(test, sync_cores_others(), cpu_count() - 1);
    }
    thread_sleep_ns(10000000); /* reschedule IPIs on their way arrive */
    sums(&sent, &received);
    EXPECT_EQUAL(test, sent, received);
    EXPECT(test, sent - sent_before >= 100ull * (cpu_count() - 1));
}

static void nmi_shows_where_each_cpu_is(struct test *test)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct cpu_snapshot snapshot;
        bool answered = nmi_capture_backtrace(cpu, &snapshot, 20000000000ull);
        bool expected = cpu != cpu_index() && cpu_index_is_online(cpu);
        EXPECT_EQUAL(test, answered, expected);
        if (answered) {
            EXPECT(test, snapshot.rip >= (uint64_t)text_start);
            EXPECT(test, snapshot.rip < (uint64_t)text_end);
        }
    }
}

/* Keeps a CPU deaf for longer than the patience of those who wait for it (2 s, arch/ipi.h). */
#define DEAF_NS           2500000000ull
#define SILENT_TURNS_MOST 3

static uint32_t deaf; /* atomic */

static void stay_deaf(void *argument)
{
    (void)argument;
    uint64_t flags = interrupts_save();
    uint64_t end = clock_now_ns() + DEAF_NS;
    __atomic_store_n(&deaf, 1, __ATOMIC_RELEASE);
    while (clock_now_ns() < end) {
        cpu_relax();
    }
    interrupts_restore(flags);
}

static bool log_since_contains(uint64_t sequence, const char *text)
{
    struct log_record record;
    while (log_read(&sequence, &record)) {
        if (strncmp(record.text, text, strlen(text)) == 0) {
            return true;
        }
    }
    return false;
}

/* Calls a CPU that is deaf. Returns false if it did not even answer the NMI that asks where it is:
 * then the host had taken it away. */
static bool silent_cpu_is_called(struct test *test, unsigned cpu)
{
    char expected[64];
    uint64_t sequence = log_next_sequence();

    calls_by_cpu[cpu] = 0;
    deaf = 0;
    struct thread *thread = thread_create("deaf", cpu, stay_deaf, NULL);
    if (!EXPECT(test, thread != NULL)) {
        return true;
    }
    while (!__atomic_load_n(&deaf, __ATOMIC_ACQUIRE)) {
        thread_sleep_ns(1000000);
    }
    EXPECT(test, on_cpu(cpu, count_call, calls_by_cpu));
    EXPECT_EQUAL(test, calls_by_cpu[cpu], 1);
    thread_join(thread);
    format_text(expected, sizeof(expected), "cpu %u: no answer to a cross call", cpu);
    EXPECT(test, log_since_contains(sequence, expected));
    format_text(expected, sizeof(expected), "cpu %u: no answer to an NMI either", cpu);
    if (log_since_contains(sequence, expected)) {
        return false;
    }
    /* It may have been in the clock just then. */
    EXPECT(test, log_since_contains(sequence, "  at stay_deaf") ||
                     log_since_contains(sequence, "  from stay_deaf"));
    return true;
}

/* A CPU that does not answer is named, with its backtrace, while the caller goes on waiting. */
static void silent_cpu_is_named_and_waited_for(struct test *test)
{
    unsigned cpu = cpu_count() - 1;
    unsigned turns = 0;

    if (cpu_count() == 1 || !cpu_index_is_online(cpu) || cpu == cpu_index()) {
        test_skip(test, "needs a second CPU");
        return;
    }
    while (turns < SILENT_TURNS_MOST && !silent_cpu_is_called(test, cpu)) {
        turns++;
    }
    EXPECT(test, turns < SILENT_TURNS_MOST);
}

struct clock_check {
    bool went_back[CPU_MAX];
};

static void clock_check_here(void *argument)
{
    struct clock_check *check = argument;
    uint64_t last = clock_now_ns();
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = clock_now_ns();
        check->went_back[cpu_index()] |= now < last;
        last = now;
    }
}

static void clock_never_goes_back_on_a_cpu(struct test *test)
{
    static struct clock_check check;
    check = (struct clock_check){0};
    on_each_cpu(clock_check_here, &check);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT(test, !check.went_back[cpu]);
    }
}

static bool protections_missing;

static void protections_check_here(void *argument)
{
    (void)argument;
    uint64_t cr4 = read_cr4();
    bool missing = !(read_cr0() & CR0_WRITE_PROTECT);
    missing |= feature_present(FEATURE_SMEP) && !(cr4 & CR4_SMEP);
    missing |= feature_present(FEATURE_SMAP) && !(cr4 & CR4_SMAP);
    missing |= feature_present(FEATURE_UMIP) && !(cr4 & CR4_UMIP);
    missing |= feature_present(FEATURE_NX) && !(read_msr(MSR_EFER) & EFER_NXE);
    if (missing) {
        __atomic_store_n(&protections_missing, true, __ATOMIC_RELAXED);
    }
}

static void protections_are_on_on_every_cpu(struct test *test)
{
    protections_missing = false;
    on_each_cpu(protections_check_here, NULL);
    EXPECT(test, !protections_missing);
}

/* An idle CPU takes no tick: its timer count stands still while it has nothing to do. */
static void idle_cpus_take_no_ticks(struct test *test)
{
    static uint64_t before[CPU_MAX];
    if (cpu_count() == 1) {
        test_skip(test, "one CPU, and it runs this test");
        return;
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu != cpu_index() && cpu_index_is_online(cpu)) {
            workers_wait_undisturbed(cpu);
        }
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        before[cpu] = run_queue_of(cpu)->ticks;
    }
    thread_sleep_ns(100000000);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu != cpu_index()) {
            EXPECT_EQUAL(test, run_queue_of(cpu)->ticks, before[cpu]);
        }
    }
}

static const struct test_case cases[] = {
    TEST_CASE(cross_call_reaches_each_cpu_once),   TEST_CASE(racing_cross_calls_lose_none),
    TEST_CASE(every_ipi_sent_is_received),         TEST_CASE(nmi_shows_where_each_cpu_is),
    TEST_CASE(silent_cpu_is_named_and_waited_for), TEST_CASE(clock_never_goes_back_on_a_cpu),
    TEST_CASE(protections_are_on_on_every_cpu),    TEST_CASE(idle_cpus_take_no_ticks),
};

const struct test_suite suite_machine = TEST_SUITE("machine", cases);
