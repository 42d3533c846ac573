// SPDX-License-Identifier: MIT
/* Thunks of indirect branches on the running kernel: what a switch of mitigation costs, and calls
 * through all thunks on all CPUs while it happens. The kernel's own indirect calls, on the path of
 * patching itself and in every interrupt, go through the same thunks. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "kernel/patch_hold.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "patching/indirect_thunk.h"
#include "patching/platform.h"
#include "patching/poke.h"
#include "tests/kernel/test.h"
#include "tests/kernel/thunk_pass.h"
#include "tests/kernel/workers.h"

#define HOLD_LIMIT_NS 10000000000ull

static struct callers {
    struct workers workers;
    uint64_t passes[CPU_MAX]; /* atomic: each through all thunks */
    uint64_t strayed;         /* atomic: calls that did not reach their target */
    uint64_t late;            /* atomic: CPUs that made no pass while a batch was held */
} callers;

/* Through every thunk once. */
static void pass_run(unsigned first)
{
    uint64_t strayed = thunk_pass(first);
    if (strayed != 0) {
        __atomic_fetch_add(&callers.strayed, strayed, __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&callers.passes[cpu_index()], 1, __ATOMIC_RELAXED); /* a count alone */
}

static void call_until_stopped(void *argument)
{
    (void)argument;
    for (unsigned i = 0; !workers_should_stop(&callers.workers); i++) {
        pass_run(i);
        if (i % 16 == 0) {
            cpu_relax(); /* an emulator that runs CPUs in turn takes the next one */
        }
    }
}

static void thunks_are_listed_where_they_may_be_patched(struct test *test)
{
    EXPECT_EQUAL(test, indirect_thunk_count, THUNK_COUNT);
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        const struct indirect_thunk_site site = indirect_thunk_site(i);
        uint64_t last = site.address + INDIRECT_THUNK_SITE_LENGTH - 1;
        EXPECT_EQUAL(test, site.address / 8, last / 8);
        EXPECT(test, platform_text_is_patchable((const void *)site.address, sizeof(site.bytes)));
        EXPECT(test, site.bytes[0] == 0xe8); /* as linked: a retpoline's call */
    }
}

static void expect_switch_cost(struct test *test, enum mitigation to)
{
    struct patch_record record;
    struct patch_error error;
    struct patch_plan plan;
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, mitigation_plan(to, &plan, &error), PATCH_OK);
    EXPECT_EQUAL(test, mitigation_set(to, &error), PATCH_OK);
    EXPECT_EQUAL(test, mitigation_current(), to);
    EXPECT_EQUAL(test, patch_record_newest(), newest + 1);
    EXPECT(test, patch_record_get(newest + 1, &record));
    EXPECT_EQUAL(test, record.sites, THUNK_COUNT);
    EXPECT_EQUAL(test, record.rounds, 3);
    EXPECT_EQUAL(test, record.ipis, 3 * (cpu_count() - 1));
    EXPECT_EQUAL(test, plan.sites, record.sites);
    EXPECT_EQUAL(test, plan.rounds, record.rounds);
    EXPECT_EQUAL(test, plan.ipis, record.ipis);
}

static void switch_takes_three_rounds_in_all_directions(struct test *test)
{
    for (unsigned i = 0; i < THUNK_SWITCHES; i++) {
        expect_switch_cost(test, thunk_switches[i]);
        pass_run(i);
    }
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

static void switch_to_the_present_one_is_free(struct test *test)
{
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, mitigation_set(MITIGATION_RETPOLINE, NULL), PATCH_OK);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
}

static void bad_switches_are_refused(struct test *test)
{
    struct patch_error error;
    EXPECT_EQUAL(test, mitigation_set(MITIGATION_COUNT, &error), PATCH_ERR_MITIGATION);
    uint64_t flags = interrupts_save();
    enum patch_status status = mitigation_set(MITIGATION_NONE, &error);
    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    EXPECT_EQUAL(test, mitigation_current(), MITIGATION_RETPOLINE);
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

/* Waits until CPU @cpu has begun and ended a pass. */
static void await_pass(unsigned cpu, uint64_t before, uint64_t deadline)
{
    while (__atomic_load_n(&callers.passes[cpu], __ATOMIC_RELAXED) < before + 2) {
        if (clock_now_ns() > deadline) {
            __atomic_fetch_add(&callers.late, 1, __ATOMIC_RELAXED);
            return;
        }
        thread_yield();
        cpu_relax();
    }
}

/* The batch is held: everybody goes through all thunks, the patcher too. */
static void all_call(enum patch_step step, enum patch_moment moment, void *argument)
{
    static uint64_t before[CPU_MAX]; /* one patcher at a time */
    uint64_t deadline = clock_now_ns() + HOLD_LIMIT_NS;
    (void)argument;
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        before[cpu] = __atomic_load_n(&callers.passes[cpu], __ATOMIC_RELAXED);
    }
    pass_run((unsigned)step * 2 + (unsigned)moment);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu_index_is_online(cpu) && cpu != cpu_index()) {
            await_pass(cpu, before[cpu], deadline);
        }
    }
}

/* At each step of a switch, in each direction, every CPU makes calls through every thunk: old, int3
 * or new. Detects any mixture and any int3 emulated wrongly, certainly: a call that strays is
 * counted, or never comes back. */
static void calls_arrive_at_every_step_of_a_switch(struct test *test)
{
    struct patch_record record;
    callers = (struct callers){0};
    if (!EXPECT(test, workers_start(&callers.workers, false, call_until_stopped, NULL))) {
        return;
    }
    for (unsigned i = 0; i < THUNK_SWITCHES; i++) {
        patch_hold_set(all_call, NULL);
        EXPECT_EQUAL(test, mitigation_set(thunk_switches[i], NULL), PATCH_OK);
        patch_hold_set(NULL, NULL);
        EXPECT(test, patch_record_get(patch_record_newest(), &record));
        /* While int3 stands everywhere, at two steps of two moments, each CPU made a pass. */
        EXPECT(test, record.traps >= 3ull * THUNK_COUNT * cpu_count());
    }
    workers_join(&callers.workers);
    EXPECT_EQUAL(test, callers.strayed, 0);
    EXPECT_EQUAL(test, callers.late, 0);
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

/* Unheld, and preempted: a worker on the patcher's CPU too. Without int3: 45 rounds a switch take
 * seconds where busy CPUs share a host core. */
static const enum patch_protocol_id unheld_protocols[] = {
    PATCH_PROTOCOL_INT3_BATCH,
    PATCH_PROTOCOL_QWORD,
    PATCH_PROTOCOL_STOP,
};
#define UNHELD_SWITCHES (THUNK_SWITCHES * sizeof(unheld_protocols) / sizeof(unheld_protocols[0]))

static void calls_arrive_while_the_mitigation_is_switched(struct test *test)
{
    callers = (struct callers){0};
    if (!EXPECT(test, workers_start(&callers.workers, true, call_until_stopped, NULL))) {
        return;
    }
    for (unsigned i = 0; i < UNHELD_SWITCHES && !test_should_stop(test); i++) {
        enum patch_protocol_id protocol = unheld_protocols[i / THUNK_SWITCHES];
        EXPECT_EQUAL(test, patch_protocol_set_default(protocol, 0), PATCH_OK);
        EXPECT_EQUAL(test, mitigation_set(thunk_switches[i % THUNK_SWITCHES], NULL), PATCH_OK);
        thread_yield();
    }
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    EXPECT_EQUAL(test, mitigation_set(MITIGATION_RETPOLINE, NULL), PATCH_OK);
    workers_join(&callers.workers);
    EXPECT_EQUAL(test, callers.strayed, 0);
    for (uint32_t i = 0; i < callers.workers.count; i++) {
        EXPECT(test, callers.passes[i] > 0);
    }
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(thunks_are_listed_where_they_may_be_patched),
    TEST_CASE(switch_takes_three_rounds_in_all_directions),
    TEST_CASE(switch_to_the_present_one_is_free),
    TEST_CASE(bad_switches_are_refused),
    TEST_CASE(calls_arrive_at_every_step_of_a_switch),
    TEST_CASE(calls_arrive_while_the_mitigation_is_switched),
};

const struct test_suite suite_mitigation = TEST_SUITE("mitigation", cases);
