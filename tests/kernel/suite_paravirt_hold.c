// SPDX-License-Identifier: MIT
/* Changes of paravirt ops, held at each step while all CPUs run every kind of site; and who is
 * inside an op while it changes. Why it detects: while a batch is held every CPU makes whole passes
 * through all checks (paravirt_checks.h), so each kind of site is run as the old form, as an int3
 * and as the new form, interrupts on and off; a site emulated wrongly does not do what the op is
 * for, loses a register or does not come back. Could miss: a CPU that fetches stale bytes; see
 * suite_hold.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "kernel/patch_hold.h"
#include "kernel/spinlock.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "patching/instruction.h"
#include "patching/poke.h"
#include "tests/kernel/paravirt_checks.h"
#include "tests/kernel/paravirt_double.h"
#include "tests/kernel/paravirt_probes.h"
#include "tests/kernel/paravirt_set.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define HOLD_LIMIT_NS 60000000000ull
#define FEW_CPUS      8 /* with more, fewer changes: each step waits for the host's time slices */
#define FEW_SITES     8
#define INSIDE_NS     1000000ull

static struct fire {
    struct workers workers;
    uint64_t passes[CPU_MAX]; /* atomic */
    uint32_t faults;          /* atomic */
    uint32_t late;            /* CPUs that made no pass while a batch was held */
    bool is_watched;          /* protocol int3: hold only where the probe of every third op is in
                                 flight */
    bool was_in_flight;
    unsigned holds;
} fire;

static void pass_until_stopped(void *argument)
{
    (void)argument;
    while (!workers_should_stop(&fire.workers)) {
        __atomic_fetch_add(&fire.faults, paravirt_check_all("in flight", false), __ATOMIC_RELAXED);
        __atomic_fetch_add(&fire.passes[cpu_index()], 1, __ATOMIC_RELAXED); /* a count alone */
        cpu_relax(); /* an emulator that runs CPUs in turn takes the next one */
    }
}

/* Whether int3 stands at a probe that is looked at, or stood there at the step before. */
static bool probe_is_in_flight(void)
{
    bool was = fire.was_in_flight;

    fire.was_in_flight = false;
    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op += 3) {
        const struct paravirt_site *site = paravirt_probe_site((enum paravirt_op_id)op);

        fire.was_in_flight |= *(const volatile uint8_t *)site->address == INSN_INT3;
    }
    return was || fire.was_in_flight;
}

/* Waits until CPU @cpu has begun and ended a pass. */
static void pass_await(unsigned cpu, uint64_t before, uint64_t deadline)
{
    while (__atomic_load_n(&fire.passes[cpu], __ATOMIC_RELAXED) < before + 2) {
        if (clock_now_ns() > deadline) {
            fire.late++;
            return;
        }
        thread_yield();
        cpu_relax();
    }
}

/* The batch is held: everybody runs all probes, the patcher too. */
static void all_pass(enum patch_step step, enum patch_moment moment, void *argument)
{
    static uint64_t before[CPU_MAX]; /* one patcher at a time */
    uint64_t deadline = clock_now_ns() + HOLD_LIMIT_NS;

    (void)step;
    (void)moment;
    (void)argument;
    if (fire.is_watched && !probe_is_in_flight()) {
        return;
    }
    fire.holds++;
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        before[cpu] = __atomic_load_n(&fire.passes[cpu], __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&fire.faults, paravirt_check_all("held", cpu_count() <= FEW_CPUS),
                       __ATOMIC_RELAXED);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu_index_is_online(cpu) && cpu != cpu_index()) {
            pass_await(cpu, before[cpu], deadline);
        }
    }
}

static bool fire_begin(struct test *test)
{
    fire = (struct fire){0};
    if (!paravirt_checks_begin(test)) {
        return false;
    }
    if (!EXPECT(test, workers_start(&fire.workers, false, pass_until_stopped, NULL))) {
        paravirt_checks_end();
        return false;
    }
    return true;
}

static void fire_end(struct test *test)
{
    workers_join(&fire.workers);
    EXPECT_EQUAL(test, fire.faults, 0);
    EXPECT_EQUAL(test, fire.late, 0);
    paravirt_checks_end();
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

static unsigned changes_here(void)
{
    return cpu_count() <= FEW_CPUS ? PARAVIRT_FORM_CHANGES : 3;
}

/* Ends inline whatever was left out. */
static void forms_change_held(struct test *test, unsigned changes)
{
    unsigned first = (unsigned)PARAVIRT_FORM_CHANGES - changes;

    for (unsigned at = first; at < PARAVIRT_FORM_CHANGES; at++) {
        patch_hold_set(all_pass, NULL);
        paravirt_set_form(test, paravirt_form_order[at]);
        patch_hold_set(NULL, NULL);
    }
}

/* Ops whose sites in the inline form are no calls. */
static unsigned instruction_ops(void)
{
    unsigned count = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        count += paravirt_way_is_instruction(paravirt_native_ways[op]);
    }
    return count;
}

/* Mutants: stand-in-of-the-wrong-op, stacked-stand-in-without-room. */
static void ops_work_at_every_step_of_int3_batch(struct test *test)
{
    unsigned changes = changes_here();
    struct patch_record record;

    if (!fire_begin(test)) {
        return;
    }
    forms_change_held(test, changes);
    EXPECT(test, patch_record_get(patch_record_newest(), &record));
    /* While int3 stands everywhere, at two steps of two moments, each CPU made a pass. */
    EXPECT(test, record.traps >= 3ull * instruction_ops() * cpu_count());
    EXPECT_EQUAL(test, fire.holds, 6 * changes);
    fire_end(test);
}

/* The double's thunks as stand-ins, and what they replace. */
static void ops_work_while_they_change_their_way(struct test *test)
{
    paravirt_double_initialize();
    if (!fire_begin(test)) {
        return;
    }
    patch_hold_set(all_pass, NULL);
    paravirt_set_ways(test, paravirt_double_list);
    paravirt_set_ways(test, paravirt_native_ways);
    patch_hold_set(NULL, NULL);
    EXPECT_EQUAL(test, fire.holds, 12);
    fire_end(test);
}

/* Of the ops with few sites: int3 takes three rounds for each. To the handler all instructions are
 * alike: calls of stand-ins. */
static unsigned few_sites_changes(enum paravirt_form form, struct patch_change *changes)
{
    unsigned count = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (paravirt_ops[op].site_count <= FEW_SITES) {
            changes[count++] = paravirt_form_change_to(&paravirt_ops[op], form);
        }
    }
    return count;
}

/* Site by site: held where a probe is in flight. */
static void ops_work_at_every_step_of_int3(struct test *test)
{
    struct patch_change changes[PARAVIRT_OP_COUNT];
    unsigned count;

    if (cpu_count() > FEW_CPUS) {
        test_skip(test, "int3 takes three rounds for each site");
        return;
    }
    if (!fire_begin(test)) {
        return;
    }
    paravirt_set_form(test, PARAVIRT_INDIRECT);
    fire.is_watched = true;
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3, 0), PATCH_OK);
    count = few_sites_changes(PARAVIRT_INLINE, changes);
    patch_hold_set(all_pass, NULL);
    EXPECT_EQUAL(test, patch_transaction("test int3", changes, count, NULL), PATCH_OK);
    patch_hold_set(NULL, NULL);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    EXPECT(test, fire.holds >= 5 * 2); /* of two probes at least */
    paravirt_set_form(test, PARAVIRT_INLINE);
    fire_end(test);
}

/* Where nobody moves while the text changes, or no int3 stands (under an emulator qword takes the
 * steps of int3-batch): not held. */
static void ops_work_while_stop_and_qword_change_them(struct test *test)
{
    static const enum patch_protocol_id protocols[] = {PATCH_PROTOCOL_STOP, PATCH_PROTOCOL_QWORD};

    if (!fire_begin(test)) {
        return;
    }
    for (unsigned i = 0; i < 2 * changes_here(); i++) {
        EXPECT_EQUAL(test, patch_protocol_set_default(protocols[i / changes_here()], 0), PATCH_OK);
        paravirt_set_form(test, paravirt_form_order[i % PARAVIRT_FORM_CHANGES]);
        EXPECT_EQUAL(test, paravirt_check_all("changed", cpu_count() <= FEW_CPUS), 0);
    }
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    paravirt_set_form(test, PARAVIRT_INLINE);
    fire_end(test);
}

/* ---- who is inside ---- */

static struct inside {
    struct workers workers;
    struct spinlock locks[CPU_MAX];
    uint32_t arrived, returned, faults; /* atomic */
} inside;

/* Waits in the slow path for a ticket that is served behind the change. */
static void wait_inside(void *argument)
{
    struct probe probe = {0};

    (void)argument;
    probe.registers[PROBE_RDI] = (uint64_t)&inside.locks[cpu_index()];
    probe.registers[PROBE_RSI] = 1;
    __atomic_fetch_add(&inside.arrived, 1, __ATOMIC_RELAXED);
    if (paravirt_probe(PARAVIRT_lock_slow, &probe) != NULL) {
        __atomic_fetch_add(&inside.faults, 1, __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&inside.returned, 1, __ATOMIC_RELAXED);
}

static void inside_run(struct test *test, enum paravirt_form form, bool doubled)
{
    inside = (struct inside){0};
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        inside.locks[cpu] = (struct spinlock){.name = "test inside", .next = 2};
    }
    if (!EXPECT(test, workers_start(&inside.workers, false, wait_inside, NULL))) {
        return;
    }
    while (__atomic_load_n(&inside.arrived, __ATOMIC_RELAXED) < inside.workers.count) {
        thread_sleep_ns(INSIDE_NS);
    }
    thread_sleep_ns(INSIDE_NS); /* if one is not inside yet, it waits in the new way as well */
    paravirt_set_form(test, form);
    paravirt_set_ways(test, doubled ? paravirt_double_list : paravirt_native_ways);
    EXPECT_EQUAL(test, inside.returned, 0);
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        pv_lock_unlock(&inside.locks[cpu]);
    }
    workers_join(&inside.workers);
    EXPECT_EQUAL(test, inside.faults, 0);
}

/* Every form has the same instruction behind it, so who comes out of an old way finds it. Also the
 * claim of lock_slow itself: it does not return before its ticket is served. */
static void who_is_inside_an_old_way_comes_back_behind_the_site(struct test *test)
{
    if (cpu_count() == 1) {
        test_skip(test, "needs a second CPU to wait inside");
        return;
    }
    paravirt_double_initialize();
    for (unsigned i = 0; i < 2 * PARAVIRT_FORM_COUNT; i++) {
        inside_run(test, (enum paravirt_form)(i % PARAVIRT_FORM_COUNT), i % 2 == 0);
    }
    paravirt_set_ways(test, paravirt_native_ways);
    paravirt_set_form(test, PARAVIRT_INLINE);
}

static const struct test_case cases[] = {
    TEST_CASE(ops_work_at_every_step_of_int3_batch),
    TEST_CASE(ops_work_while_they_change_their_way),
    TEST_CASE(ops_work_at_every_step_of_int3),
    TEST_CASE(ops_work_while_stop_and_qword_change_them),
    TEST_CASE(who_is_inside_an_old_way_comes_back_behind_the_site),
};

const struct test_suite suite_paravirt_hold = TEST_SUITE("paravirt_hold", cases);
