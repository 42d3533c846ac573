// SPDX-License-Identifier: MIT
/* Dynamic calls that are changed: what is called, what a change costs, and who is waited for. Why
 * it detects: each target says who it is and what it was given. Comparison and call are two
 * instructions; arguments are made between them, so a case that makes one wait there stands in the
 * gap for as long as it likes (stand_in_the_gap()), where chance would seldom put a thread. Could
 * miss: what depends on two given instructions inside a batch (tests/host stops there; the torture
 * of suite_dynamic_torture.c goes by). */
#include "patching/dynamic_auto.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "kernel/grace_period.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/record.h"
#include "tests/kernel/dynamic_subjects.h"
#include "tests/kernel/test.h"

#define POLL_NS    100000ull
#define KEPT_NS    30000000ull
#define LIMIT_NS   10000000000ull
#define ROUNDS     3 /* of a batch of int3-batch */
#define CALLS_SOME 50

static const struct dynamic_subject *const pair = &dynamic_subjects[1]; /* two slots */

static bool flag_read(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void flag_set(bool *flag)
{
    __atomic_store_n(flag, true, __ATOMIC_RELEASE);
}

static bool flag_comes(const bool *flag)
{
    uint64_t limit = clock_now_ns() + test_patience_ns(LIMIT_NS);

    while (!flag_read(flag) && clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    return flag_read(flag);
}

static void put_all_back(struct test *test)
{
    for (unsigned i = 0; i < DYNAMIC_SUBJECTS; i++) {
        dynamic_subject_put_back(test, &dynamic_subjects[i]);
    }
}

/* ---- What is called ---------------------------------------------------------------------------
 */

/* In all states of gate and watch key. */
static void expect_in_all_states(struct test *test, const struct dynamic_subject *subject,
                                 struct dynamic_call_form form)
{
    for (unsigned state = 0; state < 4; state++) {
        form.is_open = (state & 1) != 0;
        form.is_watched = (state & 2) != 0;
        if (!dynamic_subject_set(test, subject, &form)) {
            return;
        }
        dynamic_subject_expect(test, subject);
        if (!form.is_open && form.is_watched) {
            EXPECT(test, dynamic_subject_go_through(subject));
            dynamic_subject_expect(test, subject);
        }
    }
}

static void every_call_reaches_what_it_is_given(struct test *test)
{
    for (unsigned i = 0; i < DYNAMIC_SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];

        dynamic_subject_expect(test, subject);
        for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
            for (unsigned count = 0; count <= subject->call->slot_count; count++) {
                expect_in_all_states(test, subject,
                                     dynamic_subject_form(subject, 3 + i, count, compare));
            }
        }
        dynamic_subject_put_back(test, subject);
    }
}

/* A call of a function that no slot names is counted as a miss: so the chain is really gone
 * through, and what a slot names is called by it. */
static uint64_t misses_of(const struct dynamic_subject *subject, unsigned target)
{
    struct dynamic_census census;
    struct dynamic_call *call = subject->call;

    dynamic_count_clear(call->counts, call->count_cpus);
    for (unsigned i = 0; i < CALLS_SOME; i++) {
        subject->reach(target, i, i);
    }
    dynamic_count_merge(&census, call->counts, call->count_cpus);
    return census.total;
}

static void what_a_slot_names_is_no_miss(struct test *test)
{
    for (unsigned i = 0; i < DYNAMIC_SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];
        unsigned slots = subject->call->slot_count;

        for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
            struct dynamic_call_form form = dynamic_subject_form(subject, 5, slots, compare);

            form.is_watched = true;
            if (dynamic_subject_set(test, subject, &form)) {
                for (unsigned slot = 0; slot < slots; slot++) {
                    EXPECT_EQUAL(test, misses_of(subject, 5 + slot), 0);
                }
                EXPECT_EQUAL(test, misses_of(subject, 4), CALLS_SOME);
                EXPECT_EQUAL(test, misses_of(subject, 5 + slots), CALLS_SOME);
            }
        }
        dynamic_subject_put_back(test, subject);
    }
}

static void null_is_counted_and_returns_0(struct test *test)
{
    struct dynamic_call_view before, after;

    for (unsigned i = 0; i < DYNAMIC_SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];
        struct dynamic_call_form form =
            dynamic_subject_form(subject, 1, 1, DYNAMIC_COMPARE_IMMEDIATE);

        dynamic_call_look(subject->call, &before);
        EXPECT_EQUAL(test, subject->reach_null(), 0);
        form.is_watched = true;
        dynamic_subject_set(test, subject, &form);
        EXPECT_EQUAL(test, subject->reach_null(), 0);
        dynamic_call_look(subject->call, &after);
        EXPECT_EQUAL(test, after.nulls - before.nulls, 2);
    }
    put_all_back(test);
}

/* ---- What a change costs ----------------------------------------------------------------------
 */

/* What a change from the present form to @form takes. */
static struct dynamic_call_statistics cost_of(struct test *test,
                                              const struct dynamic_subject *subject,
                                              const struct dynamic_call_form *form)
{
    struct dynamic_call_view before, after;
    uint64_t newest = patch_record_newest();
    uint64_t rounds = 0, ipis = 0;
    struct patch_record record;

    dynamic_call_look(subject->call, &before);
    dynamic_subject_set(test, subject, form);
    dynamic_call_look(subject->call, &after);
    for (uint64_t number = newest + 1; patch_record_get(number, &record); number++) {
        EXPECT(test, strcmp(record.who, subject->call->gate->owner) == 0);
        rounds += record.rounds;
        ipis += record.ipis;
    }
    const struct dynamic_call_statistics cost = {
        .changes = after.statistics.changes - before.statistics.changes,
        .batches = after.statistics.batches - before.statistics.batches,
        .rounds = after.statistics.rounds - before.statistics.rounds,
        .ipis = after.statistics.ipis - before.statistics.ipis,
        .grace_periods = after.statistics.grace_periods - before.statistics.grace_periods,
    };

    EXPECT_EQUAL(test, cost.batches, patch_record_newest() - newest);
    EXPECT_EQUAL(test, cost.rounds, rounds);
    EXPECT_EQUAL(test, cost.ipis, ipis);
    EXPECT_EQUAL(test, cost.ipis, cost.rounds * (cpu_count() - 1));
    return cost;
}

static void a_change_takes_two_batches_and_a_grace_period(struct test *test)
{
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        struct dynamic_call_form form = dynamic_subject_form(pair, 1, 2, compare);
        struct dynamic_call_statistics cost;

        dynamic_subject_set(test, pair, &form);
        cost = cost_of(test, pair, &form); /* it is so */
        EXPECT_EQUAL(test, cost.batches + cost.grace_periods + cost.changes, 0);
        form = dynamic_subject_form(pair, 4, 2, compare);
        cost = cost_of(test, pair, &form);
        EXPECT_EQUAL(test, cost.batches, 2);
        EXPECT_EQUAL(test, cost.grace_periods, 1);
        EXPECT_EQUAL(test, cost.changes, 1);
        EXPECT_EQUAL(test, cost.rounds, 2 * ROUNDS);
        form.is_open = false; /* who is inside now may stay there */
        cost = cost_of(test, pair, &form);
        EXPECT_EQUAL(test, cost.batches, 1);
        EXPECT_EQUAL(test, cost.grace_periods + cost.changes, 0);
        form.targets.slot[0] = 0;
        cost = cost_of(test, pair, &form); /* but is waited for before slots change */
        EXPECT_EQUAL(test, cost.batches, 1);
        EXPECT_EQUAL(test, cost.grace_periods, 1);
        form.targets.slot[1] = 0;
        cost = cost_of(test, pair, &form); /* and now nobody is inside */
        EXPECT_EQUAL(test, cost.batches, 1);
        EXPECT_EQUAL(test, cost.grace_periods, 0);
    }
    put_all_back(test);
}

static void expect_refused(struct test *test, const struct dynamic_call_form *form,
                           enum patch_status status, uint64_t culprit)
{
    struct patch_error error = {0};
    uint64_t newest = patch_record_newest();
    struct dynamic_call_view view;

    EXPECT_EQUAL(test, dynamic_call_set_form(pair->call, form, &error), status);
    EXPECT_EQUAL(test, error.status, status);
    EXPECT(test, error.name != NULL && strcmp(error.name, pair->call->name) == 0);
    EXPECT_EQUAL(test, error.address, culprit);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
    dynamic_call_look(pair->call, &view);
    EXPECT_EQUAL(test, view.form.targets.slot[0], dynamic_subject_target(pair, 1));
    EXPECT(test, view.form.is_open);
}

static void bad_targets_are_refused_and_named(struct test *test)
{
    const struct dynamic_call_form good =
        dynamic_subject_form(pair, 1, 2, DYNAMIC_COMPARE_IMMEDIATE);
    struct dynamic_call_form form = good;

    dynamic_subject_set(test, pair, &good);
    form.targets.slot[1] = form.targets.slot[0];
    expect_refused(test, &form, PATCH_ERR_TARGETS, form.targets.slot[0]);
    form = dynamic_subject_form(pair, 1, 3, DYNAMIC_COMPARE_IMMEDIATE);
    expect_refused(test, &form, PATCH_ERR_TARGETS, form.targets.slot[2]);
    form = good;
    form.targets.slot[1] = DYNAMIC_CALL_NEVER;
    expect_refused(test, &form, PATCH_ERR_RANGE, DYNAMIC_CALL_NEVER);
    form.targets.slot[1] = 0x1000000000;
    expect_refused(test, &form, PATCH_ERR_RANGE, 0x1000000000);
    form = good;
    form.compare = DYNAMIC_COMPARE_COUNT;
    expect_refused(test, &form, PATCH_ERR_INSTRUCTION, 0);
    form = dynamic_subject_form(pair, 4, 2, DYNAMIC_COMPARE_IMMEDIATE);
    uint64_t flags = interrupts_save();
    enum patch_status status = dynamic_call_set_form(pair->call, &form, NULL);

    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    dynamic_subject_expect(test, pair);
    put_all_back(test);
}

/* ---- Who is waited for ------------------------------------------------------------------------
 */

/* A thread between comparison and call. */
struct caller {
    bool may_start, is_there, may_go, is_over; /* atomic */
    uint64_t answer;                           /* behind is_over */
    struct thread *thread;
};
static struct caller callers[2];
static struct caller *standing; /* whom the next in the gap is */

static uint64_t stand_in_the_gap(uint64_t argument)
{
    struct caller *caller = standing;

    flag_set(&caller->is_there);
    while (!flag_read(&caller->may_go)) {
        cpu_relax();
    }
    return argument;
}

static void call_by_the_gap(void *argument)
{
    struct caller *caller = argument;

    while (!flag_read(&caller->may_start)) {
        thread_sleep_ns(POLL_NS);
    }
    thread_checkpoint(); /* outside, of a grace period that has begun */
    caller->answer = pair->reach_paused(1, 17, 4, stand_in_the_gap);
    flag_set(&caller->is_over);
}

/* A change by another thread, to slots that name others. */
static struct {
    struct dynamic_call_form form;
    bool is_over; /* atomic */
    enum patch_status status;
    struct thread *thread;
} change;

static void change_run(void *argument)
{
    (void)argument;
    change.status = dynamic_call_set_form(pair->call, &change.form, NULL);
    flag_set(&change.is_over);
}

static bool caller_enters(struct test *test, struct caller *caller)
{
    standing = caller;
    flag_set(&caller->may_start);
    return EXPECT(test, flag_comes(&caller->is_there));
}

/* Slots 1 and 2; both callers are ready, the first stands in the gap. */
static bool scene_begin(struct test *test, enum dynamic_compare compare)
{
    struct dynamic_call_form form = dynamic_subject_form(pair, 1, 2, compare);

    form.is_watched = true;
    change.form = dynamic_subject_form(pair, 2, 2, compare);
    change.form.is_watched = true;
    change.is_over = false;
    bool done = dynamic_subject_set(test, pair, &form);

    for (unsigned i = 0; i < 2; i++) {
        callers[i] = (struct caller){.is_there = false};
        callers[i].thread = thread_create("caller", THREAD_ANY_CPU, call_by_the_gap, &callers[i]);
        done &= EXPECT(test, callers[i].thread != NULL);
    }
    return done && caller_enters(test, &callers[0]);
}

/* Returns when it waits for who is inside. */
static bool change_begin(struct test *test)
{
    uint64_t newest = __atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE);
    uint64_t limit = clock_now_ns() + test_patience_ns(LIMIT_NS);

    change.thread = thread_create("changer", THREAD_ANY_CPU, change_run, NULL);
    while (__atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE) == newest &&
           clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    return EXPECT(test, change.thread != NULL) &&
           EXPECT(test, __atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE) != newest);
}

static void caller_leaves(struct test *test, struct caller *caller)
{
    flag_set(&caller->may_start);
    flag_set(&caller->may_go);
    if (caller->thread != NULL) {
        thread_join(caller->thread);
        EXPECT_EQUAL(test, caller->answer, DYNAMIC_ANSWER(1, 17ull, 4ull));
    }
}

static void scene_end(struct test *test)
{
    for (unsigned i = 0; i < 2; i++) {
        caller_leaves(test, &callers[i]);
    }
    if (change.thread != NULL) {
        thread_join(change.thread);
        EXPECT_EQUAL(test, change.status, PATCH_OK);
        change.thread = NULL;
    }
    dynamic_subject_expect(test, pair);
    put_all_back(test);
}

/* Were it not waited for, its call would go to target 2. Missed if the change takes longer than
 * KEPT_NS on its own. */
static void who_is_between_comparison_and_call_is_waited_for(struct test *test)
{
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        if (scene_begin(test, compare) && change_begin(test)) {
            thread_sleep_ns(KEPT_NS);
            EXPECT(test, !flag_read(&change.is_over));
            EXPECT_EQUAL(test, pair->reach(1, 2, 3), DYNAMIC_ANSWER(1, 2ull, 3ull));
        }
        scene_end(test);
    }
}

/* Who comes behind the beginning of the grace period is not waited for: he must not have come
 * through the gate. */
static void who_comes_during_a_change_goes_the_slow_way(struct test *test)
{
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        if (scene_begin(test, compare) && change_begin(test)) {
            if (caller_enters(test, &callers[1])) {
                flag_set(&callers[0].may_go);
                EXPECT(test, flag_comes(&change.is_over));
                EXPECT(test, !flag_read(&callers[1].is_over));
            }
        }
        scene_end(test);
    }
}

static uint64_t counted(void)
{
    struct dynamic_census census;

    dynamic_count_merge(&census, pair->call->counts, pair->call->count_cpus);
    return census.total;
}

static void nothing_is_counted_while_slots_change(struct test *test)
{
    if (scene_begin(test, DYNAMIC_COMPARE_IMMEDIATE)) {
        pair->reach(9, 1, 1);
        EXPECT_EQUAL(test, counted(), 1);
        if (change_begin(test)) {
            for (unsigned i = 0; i < CALLS_SOME; i++) {
                pair->reach(1, i, i);
            }
            EXPECT(test, counted() <= 1);
            EXPECT(test, !flag_read(&change.is_over));
            flag_set(&callers[0].may_go);
            EXPECT(test, flag_comes(&change.is_over));
            EXPECT_EQUAL(test, counted(), 0);
        }
    }
    scene_end(test);
}

static const struct test_case cases[] = {
    TEST_CASE(every_call_reaches_what_it_is_given),
    TEST_CASE(what_a_slot_names_is_no_miss),
    TEST_CASE(null_is_counted_and_returns_0),
    TEST_CASE(a_change_takes_two_batches_and_a_grace_period),
    TEST_CASE(bad_targets_are_refused_and_named),
    TEST_CASE(who_is_between_comparison_and_call_is_waited_for),
    TEST_CASE(who_comes_during_a_change_goes_the_slow_way),
    TEST_CASE(nothing_is_counted_while_slots_change),
};

const struct test_suite suite_dynamic_call = TEST_SUITE("dynamic_call", cases);
