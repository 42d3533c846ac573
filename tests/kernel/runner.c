// SPDX-License-Identifier: MIT
/* Runs suites and prints KTAP (Linux's Documentation/dev-tools/ktap.rst, version 1). Invariant: the
 * plan line says how many results follow, and each case gives exactly one, whatever it does. */
#include "tests/kernel/test.h"

#include "arch/clock.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/choice_worker.h"
#include "kernel/command_line.h"
#include "kernel/console.h"
#include "kernel/heap.h"
#include "kernel/page_allocator.h"
#include "kernel/paravirt_switch.h"
#include "kernel/string.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "net/program.h"
#include "patching/breakpoint.h"
#include "patching/indirect_thunk.h"
#include "patching/static_key.h"
#include "tests/kernel/boot_state.h"

#define IPI_ARRIVAL_NS  30000000000ull
#define PATIENT_CPUS    8
#define NS_PER_MS       1000000ull
#define TORTURE_MS_MOST 86400000

struct machine_state {
    size_t free_pages;
    size_t heap_blocks;
    size_t threads;
    unsigned network_devices, attached_queues, dispatched;
};

static unsigned attached_queues_count(void)
{
    const struct net_device *device;
    unsigned count = 0;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        for (unsigned queue = 0; queue < device->queue_count; queue++) {
            count += net_program_of(device, queue) != NULL;
        }
    }
    return count;
}

/* References to entries, over all dispatchers. */
static unsigned dispatched_count(void)
{
    struct dispatcher *dispatcher;
    struct dispatcher_view view;
    unsigned references = 0;

    for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
        dispatcher_look(dispatcher, &view);
        references += view.references;
    }
    return references;
}

static struct machine_state machine_state_now(void)
{
    heap_trim();
    return (struct machine_state){
        /* Stacks kept for reuse, and tables that map them, are not leaked. */
        .free_pages = page_count().free + stack_cached_count() * (STACK_SIZE / PAGE_SIZE) +
                      paging_table_count(),
        .heap_blocks = heap_count().blocks,
        .threads = thread_count(),
        .network_devices = net_device_count(),
        .attached_queues = attached_queues_count(),
        .dispatched = dispatched_count(),
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

uint64_t test_patience_ns(uint64_t ns)
{
    return cpu_count() <= PATIENT_CPUS ? ns : ns * cpu_count() / PATIENT_CPUS;
}

void test_skip(struct test *test, const char *reason)
{
    test->skip_reason = reason;
}

uint64_t test_torture_ns(uint64_t usual_ns)
{
    uint64_t milliseconds = usual_ns / NS_PER_MS;

    command_line_get_number("torture_ms", 1, TORTURE_MS_MOST, &milliseconds);
    return milliseconds * NS_PER_MS;
}

bool test_should_stop(const struct test *test)
{
    return test->stop(test->stop_argument);
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

/* IPIs on their way arrive within the limit, or the two sums differ for good. */
static bool every_ipi_arrives(void)
{
    uint64_t deadline = clock_now_ns() + test_patience_ns(IPI_ARRIVAL_NS);
    uint64_t sent, received;
    do {
        thread_sleep_ns(1000000);
        sent = received = 0;
        for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
            received += cpu_ipis_received(cpu_by_index(cpu));
            sent += cpu_ipis_sent(cpu_by_index(cpu));
        }
    } while (sent != received && clock_now_ns() < deadline);
    return sent == received;
}

static void patching_is_at_rest(struct test *test)
{
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        EXPECT_EQUAL(test, static_key_count(key), key->initial);
    }
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        EXPECT_EQUAL(test, patch_trap_cpus[cpu].references, 0);
    }
    EXPECT_EQUAL(test, patch_protocol_default(), PATCH_PROTOCOL_INT3_BATCH);
    EXPECT_EQUAL(test, mitigation_current(), MITIGATION_RETPOLINE);
    EXPECT_EQUAL(test, paravirt_form(), PARAVIRT_INLINE);
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        EXPECT(test, paravirt_ops[op].way == paravirt_native_ways[op]);
    }
}

/* The case that the runner adds to every suite. */
static void suite_leaves_machine_as_found(struct test *test, const struct machine_state *before)
{
    struct machine_state now = machine_state_now();
    EXPECT_EQUAL(test, now.free_pages, before->free_pages);
    EXPECT_EQUAL(test, now.heap_blocks, before->heap_blocks);
    EXPECT_EQUAL(test, now.threads, before->threads);
    EXPECT_EQUAL(test, now.network_devices, before->network_devices);
    EXPECT_EQUAL(test, now.attached_queues, before->attached_queues);
    EXPECT_EQUAL(test, now.dispatched, before->dispatched);
    EXPECT(test, every_ipi_arrives());
    patching_is_at_rest(test);
    uint64_t address = text_snapshot_difference();
    if (!EXPECT_EQUAL(test, address, 0)) {
        EXPECT_EQUAL(test, *(const uint8_t *)address, text_snapshot_byte(address));
    }
}

/* Whether case @index of the suite is among those that are to run. */
static bool is_wanted(const struct test_suite *suite, size_t index, const char *name)
{
    return name == NULL || strcmp(suite->cases[index].name, name) == 0;
}

static size_t wanted_count(const struct test_suite *suite, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < suite->case_count; i++) {
        count += is_wanted(suite, i, name);
    }
    return count;
}

static void suite_run_cases(const struct test_suite *suite, const char *name,
                            struct test_totals *totals, bool (*stop)(void *argument),
                            void *argument)
{
    console_print("    KTAP version 1\n    # Subtest: %s\n    1..%zu\n", suite->name,
                  wanted_count(suite, name) + 1);
    struct machine_state before = machine_state_now();
    unsigned number = 0;
    for (size_t i = 0; i < suite->case_count; i++) {
        if (!is_wanted(suite, i, name)) {
            continue;
        }
        struct test test = {.name = suite->cases[i].name, .stop = stop, .stop_argument = argument};
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
}

/* Only suites that ask for it are patched by the worker meanwhile. */
static bool suite_run(const struct test_suite *suite, const char *name, struct test_totals *totals,
                      bool (*stop)(void *argument), void *argument)
{
    unsigned failed_before = totals->failed;

    if (!suite->lets_worker_choose) {
        choice_worker_hold();
    }
    suite_run_cases(suite, name, totals, stop, argument);
    if (!suite->lets_worker_choose) {
        choice_worker_release();
    }
    return totals->failed == failed_before;
}

struct test_totals test_run(const struct test_suite *suite, const char *name,
                            bool (*stop)(void *argument), void *argument)
{
    struct test_totals totals = {0};
    size_t count = 0;
    while (test_suites[count] != NULL) {
        count++;
    }
    if (!boot_state_enter()) {
        totals.failed++;
        return totals;
    }
    console_print("KTAP version 1\n1..%zu\n", suite != NULL ? (size_t)1 : count);
    unsigned number = 0;
    for (size_t i = 0; i < count; i++) {
        if (suite == NULL || suite == test_suites[i]) {
            bool passed = suite_run(test_suites[i], name, &totals, stop, argument);
            console_print("%s %u %s\n", passed ? "ok" : "not ok", ++number, test_suites[i]->name);
        }
    }
    boot_state_leave();
    console_print("# Totals: pass:%u fail:%u skip:%u\n# tests ended\n", totals.passed,
                  totals.failed, totals.skipped);
    return totals;
}
