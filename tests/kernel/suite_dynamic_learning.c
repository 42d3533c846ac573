// SPDX-License-Identifier: MIT
/* Dynamic calls that learn, step by step: the worker is held, and each case lets an epoch pass by
 * making calls and then a step in a time of its own. So what is decided hangs on the calls alone.
 * Why it detects: batches, rounds and IPIs are counted in the records of patching, and each call
 * says whom it reached. Could miss: what the real worker's time does (suite_dynamic_worker.c), and
 * what the trial of both ways would say on a processor that predicts (tests/silicon). */
#include "patching/dynamic_auto.h"

#include "arch/clock.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "patching/record.h"
#include "tests/kernel/dynamic_subjects.h"
#include "tests/kernel/test.h"

#define EPOCH_CALLS 200000u /* enough to earn back any change in DYNAMIC_PAYBACK_NS */
#define EPOCHS_MOST 40
#define STEPS_MOST  20 /* of an epoch */
#define STEADY      50 /* epochs */
#define SHORT       12
#define ROUNDS      3 /* of a batch of int3-batch */

static const struct dynamic_subject *const pair = &dynamic_subjects[1]; /* two slots */
static uint64_t now_ns;

/* What the case counts from. */
static struct {
    struct dynamic_call_statistics statistics;
    struct dynamic_auto_view choice;
    uint64_t newest_record;
} mark;

static void mark_set(void)
{
    mark.statistics = dynamic_subject_view(pair).statistics;
    mark.choice = dynamic_subject_choice(pair);
    mark.newest_record = patch_record_newest();
}

static uint64_t batches_since(void)
{
    return dynamic_subject_view(pair).statistics.batches - mark.statistics.batches;
}

/* The records say the same as the statistics, and nobody else has patched. */
static void expect_records(struct test *test, uint64_t batches)
{
    const struct dynamic_call_statistics now = dynamic_subject_view(pair).statistics;
    struct patch_record record;
    uint64_t rounds = 0, ipis = 0;

    EXPECT_EQUAL(test, batches_since(), batches);
    EXPECT_EQUAL(test, patch_record_newest() - mark.newest_record, batches);
    for (uint64_t number = mark.newest_record + 1; patch_record_get(number, &record); number++) {
        EXPECT(test, strcmp(record.who, pair->call->gate->owner) == 0);
        EXPECT_EQUAL(test, record.rounds, ROUNDS);
        EXPECT_EQUAL(test, record.ipis, record.rounds * (cpu_count() - 1));
        rounds += record.rounds;
        ipis += record.ipis;
    }
    EXPECT_EQUAL(test, now.rounds - mark.statistics.rounds, rounds);
    EXPECT_EQUAL(test, now.ipis - mark.statistics.ipis, ipis);
}

static void step(void)
{
    now_ns = dynamic_auto_step(pair->call, now_ns);
}

static uint64_t astray;

static void calls_make(unsigned first, unsigned count, unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        unsigned target = first + i % count;

        astray += pair->reach(target, i, 3) != DYNAMIC_ANSWER(target, (uint64_t)i, 3ull);
    }
}

/* An epoch, of one step or several, before each of which targets @first to @first + @count - 1 are
 * called in turn, @calls times. */
static void epoch_pass(unsigned first, unsigned count, unsigned calls)
{
    uint64_t epochs = dynamic_subject_choice(pair).epochs;

    for (unsigned i = 0; i < STEPS_MOST && dynamic_subject_choice(pair).epochs == epochs; i++) {
        calls_make(first, count, calls);
        step();
    }
}

/* Lets epochs pass until the state is @state. Returns how many it took. */
static unsigned epochs_until(struct test *test, enum dynamic_state state, unsigned first,
                             unsigned count)
{
    unsigned epochs = 0;

    while (dynamic_subject_choice(pair).state != state && epochs < EPOCHS_MOST) {
        epoch_pass(first, count, EPOCH_CALLS);
        epochs++;
    }
    EXPECT_EQUAL(test, dynamic_subject_choice(pair).state, state);
    return epochs;
}

/* From nothing; the first step lets the call be watched. */
static bool learning_begin(struct test *test)
{
    const struct dynamic_call_form empty = {.compare = DYNAMIC_COMPARE_IMMEDIATE};

    astray = 0;
    now_ns = clock_now_ns();
    dynamic_subject_set(test, pair, &empty);
    EXPECT_EQUAL(test, dynamic_auto_set(pair->call, true, now_ns, NULL), PATCH_OK);
    mark_set();
    step();
    expect_records(test, 1);
    mark_set();
    return EXPECT_EQUAL(test, dynamic_subject_choice(pair).state, DYNAMIC_LEARNING) &&
           EXPECT(test, pair->call->counts != NULL);
}

static void learning_end(struct test *test)
{
    EXPECT_EQUAL(test, astray, 0);
    dynamic_subject_expect(test, pair);
    dynamic_subject_put_back(test, pair);
    dynamic_auto_set_budget(DYNAMIC_BUDGET_DEFAULT); /* as if nothing had been spent */
}

static bool slot_names(unsigned slot, unsigned target)
{
    return dynamic_subject_view(pair).form.targets.slot[slot] ==
           dynamic_subject_target(pair, target);
}

/* The gate is closed already, and nobody has passed it: one batch names the target and opens it. */
static void constant_target_is_learnt_in_one_batch(struct test *test)
{
    struct dynamic_decision decision;

    if (learning_begin(test)) {
        EXPECT(test, epochs_until(test, DYNAMIC_STABLE, 7, 1) <= DYNAMIC_AGREE + 1);
        expect_records(test, 1);
        EXPECT(test, slot_names(0, 7));
        EXPECT(test, dynamic_subject_view(pair).form.is_open);
        if (EXPECT(test, dynamic_auto_decision(pair->call, dynamic_subject_choice(pair).decided,
                                               &decision))) {
            EXPECT_EQUAL(test, decision.after, DYNAMIC_STABLE);
            EXPECT_EQUAL(test, decision.reason, DYNAMIC_REASON_HOT);
            EXPECT_EQUAL(test, decision.new_targets.slot[0], dynamic_subject_target(pair, 7));
            EXPECT_EQUAL(test, decision.batches, 2); /* with the one that let it be watched */
            EXPECT(test, decision.cost_ns > 0 && decision.saving > 0);
            EXPECT(test, decision.break_even_calls > 0);
        }
    }
    learning_end(test);
}

/* The loop of seed 1, which patched the same targets again and again. */
static void steady_traffic_costs_no_update_and_no_ipi(struct test *test)
{
    if (learning_begin(test)) {
        epochs_until(test, DYNAMIC_STABLE, 7, 1);
        mark_set();
        for (unsigned i = 0; i < STEADY; i++) {
            epoch_pass(7, 1, EPOCH_CALLS / 10);
        }
        expect_records(test, 0);
        EXPECT(test, dynamic_subject_choice(pair).epochs >= mark.choice.epochs + STEADY - 1);
        EXPECT_EQUAL(test, dynamic_subject_choice(pair).decided, mark.choice.decided);
        EXPECT_EQUAL(test, dynamic_subject_choice(pair).misses, mark.choice.misses);
    }
    learning_end(test);
}

static void other_target_is_learnt_in_two_batches(struct test *test)
{
    for (unsigned target = 8; target < 10; target++) {
        if (!learning_begin(test)) {
            break;
        }
        epochs_until(test, DYNAMIC_STABLE, 7, 1);
        mark_set();
        epoch_pass(target, 1, EPOCH_CALLS); /* notices */
        EXPECT_EQUAL(test, dynamic_subject_choice(pair).state, DYNAMIC_LEARNING);
        EXPECT(test, epochs_until(test, DYNAMIC_STABLE, target, 1) <= DYNAMIC_AGREE);
        expect_records(test, 2);
        EXPECT(test, slot_names(0, target));
        dynamic_subject_put_back(test, pair);
    }
    learning_end(test);
}

static void few_calls_change_nothing(struct test *test)
{
    if (learning_begin(test)) {
        for (unsigned i = 0; i < 10; i++) {
            epoch_pass(7, 1, 10);
        }
        EXPECT_EQUAL(test, dynamic_subject_choice(pair).state, DYNAMIC_RESTING);
        EXPECT_EQUAL(test, dynamic_subject_choice(pair).reason, DYNAMIC_REASON_FEW_CALLS);
        expect_records(test, 0);
        epochs_until(test, DYNAMIC_STABLE, 7, 1); /* until they are more */
    }
    learning_end(test);
}

/* More than rows and slots. Whether the trial of both ways finds that two of them pay is a matter
 * of the machine: then slots have changed for it, once. */
static void many_targets_thrash_nothing(struct test *test)
{
    if (learning_begin(test)) {
        for (unsigned i = 0; i < SHORT; i++) {
            epoch_pass(i % 3, DYNAMIC_TARGETS - 3, EPOCH_CALLS);
        }
        EXPECT(test, dynamic_subject_choice(pair).changes <= mark.choice.changes + 1);
        EXPECT_EQUAL(test, dynamic_subject_view(pair).statistics.failed, mark.statistics.failed);
        EXPECT_EQUAL(test, dynamic_subject_choice(pair).refused, mark.choice.refused);
    }
    learning_end(test);
}

static void forgotten_target_is_learnt_no_more(struct test *test)
{
    if (learning_begin(test)) {
        epochs_until(test, DYNAMIC_STABLE, 7, 1);
        EXPECT_EQUAL(test, dynamic_calls_forget(dynamic_subject_target(pair, 7), NULL), PATCH_OK);
        EXPECT(test, !slot_names(0, 7) && !slot_names(1, 7));
        EXPECT_EQUAL(test, dynamic_subject_view(pair).statistics.forgotten,
                     mark.statistics.forgotten + 1);
        step();
        epochs_until(test, DYNAMIC_STABLE, 9, 1);
        EXPECT(test, slot_names(0, 9) && !slot_names(1, 7));
    }
    learning_end(test);
}

static void pinned_call_is_not_learnt(struct test *test)
{
    const struct dynamic_targets targets = {.slot = {dynamic_subject_target(pair, 4)}};

    if (learning_begin(test)) {
        EXPECT_EQUAL(test, dynamic_auto_pin(pair->call, &targets, now_ns, NULL), PATCH_OK);
        mark_set();
        EXPECT_EQUAL(test, dynamic_auto_step(pair->call, now_ns + DYNAMIC_EPOCH_NS), UINT64_MAX);
        expect_records(test, 0);
        EXPECT(test, slot_names(0, 4));
        EXPECT_EQUAL(test, dynamic_auto_set(pair->call, false, now_ns, NULL), PATCH_OK);
        EXPECT_EQUAL(test, dynamic_auto_step(pair->call, now_ns + DYNAMIC_EPOCH_NS), UINT64_MAX);
        expect_records(test, 1);
        EXPECT(test, !dynamic_subject_view(pair).form.is_open);
    }
    learning_end(test);
}

static const struct test_case cases[] = {
    TEST_CASE(constant_target_is_learnt_in_one_batch),
    TEST_CASE(steady_traffic_costs_no_update_and_no_ipi),
    TEST_CASE(other_target_is_learnt_in_two_batches),
    TEST_CASE(few_calls_change_nothing),
    TEST_CASE(many_targets_thrash_nothing),
    TEST_CASE(forgotten_target_is_learnt_no_more),
    TEST_CASE(pinned_call_is_not_learnt),
};

const struct test_suite suite_dynamic_learning = TEST_SUITE("dynamic_learning", cases);
