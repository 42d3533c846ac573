// SPDX-License-Identifier: MIT
/* The policy of dynamic calls when something happens: misses, changes that fail, targets that go,
 * persons; and the log of it. Why it detects: as in test_dynamic_choice.c, each step is checked by
 * the world. Could miss: two of these at once, which test_dynamic_properties.c plays. */
#include "patching/dynamic_decision.h"
#include "tests/host/choice_world.h"
#include "tests/host/host_test.h"

#include <string.h>

/* ---- Alarms -----------------------------------------------------------------------------------
 */

/* An epoch of strangers. */
static void strangers_call(struct world *world)
{
    struct sequence before = world->sequence;

    world->sequence = (struct sequence){.kind = SEQUENCE_RANDOM, .targets = 5, .first = 40};
    world_step(world);
    world->sequence = before;
}

static void set_that_is_still_right_is_not_changed(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= DYNAMIC_SLOTS_MAX; slots++) {
        struct world world = world_steady(world_sequence(SEQUENCE_ZIPF, slots), slots, slots);
        struct dynamic_targets targets = world.slot_targets;
        uint64_t batches = world.batches;
        uint64_t changes = world.changes;

        strangers_call(&world);
        world_run(&world, SECOND);
        world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_SAME);
        assert_int_equal(world.batches - batches, 2); /* the gate, closed and opened */
        assert_int_equal(world.changes, changes);
        assert_memory_equal(&targets, &world.slot_targets, sizeof(targets));
    }
}

/* In the second that alarms are not heard, and as long as such misses are usual. */
static void misses_that_changed_nothing_are_usual_for_a_time(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_CONSTANT, 1), 2, 1);

    (void)state;
    strangers_call(&world);
    world_run(&world, 2 * SECOND);

    uint64_t batches = world.batches;

    for (unsigned time = 0; time < 30; time++) {
        strangers_call(&world);
        world_run(&world, 2 * SECOND);
    }
    assert_int_equal(world.batches, batches);
    world_run(&world, 10 * SECOND);
    world.sequence.first = 9; /* no more misses than those were */
    world_run(&world, SECOND / 2);
    assert_true(world_has(&world, 9));
}

/* Twice as many misses an epoch, and then more: the same shares. */
static void more_calls_of_the_same_shares_change_nothing(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_ZIPF, 8), 4, 2);

    (void)state;
    world.calls = 500;
    world_run(&world, MINUTE);
    assert_true(world.is_open);

    uint64_t changes = world.changes;
    uint64_t batches = world.batches;

    for (unsigned step = 0; step < 8; step++) {
        world.calls += world.calls / 2;
        world_run(&world, MINUTE);
    }
    assert_true(world.is_open);
    assert_int_equal(world.changes, changes);
    assert_true(world.batches - batches <= 2 * 6);
}

/* One call in a thousand more each second goes to another. */
static void slow_change_is_noticed_too(void **state)
{
    struct world world = world_steady(
        (struct sequence){.kind = SEQUENCE_MOSTLY, .targets = 1, .first = 3, .share = 1000}, 1, 1);

    (void)state;
    world.sequence = (struct sequence){.kind = SEQUENCE_MOSTLY, .targets = 2, .first = 3};
    for (unsigned second = 0; second < 1000; second++) {
        world.sequence.share = second < 1000 ? 1000 - second : 0;
        world_run(&world, SECOND / 4);
    }
    assert_true(world_decided_by(&world, DYNAMIC_REASON_MISSES) >= 1);
}

/* One call in 130 is not worth a comparison, though a slot is free. */
static void rare_targets_get_no_slot(void **state)
{
    struct world world = world_steady(
        (struct sequence){.kind = SEQUENCE_MOSTLY, .targets = 2, .first = 3, .share = 985}, 4, 1);

    (void)state;
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
    assert_true(world_has(&world, 3));
    assert_false(world_has(&world, 4));
}

/* The hotter of two is behind the other: no reason to change anything. */
static void set_in_another_order_stays(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_ZIPF, 2), 2, 1);
    struct dynamic_targets targets = world.slot_targets;
    uint64_t changes = world.changes;

    (void)state;
    assert_true(world_has(&world, 3) && world_has(&world, 4));
    dynamic_choice_switch(&world.choice, true, 2, world.now_ns);
    world.sequence.first = 4;
    world.sequence.is_reversed = true;
    world_run(&world, 10 * SECOND);
    assert_true(world.is_open);
    assert_memory_equal(&targets, &world.slot_targets, sizeof(targets));
    assert_int_equal(world.changes, changes);
}

static void random_calls_until(struct world *world, enum dynamic_state state)
{
    world->sequence = (struct sequence){.kind = SEQUENCE_RANDOM, .targets = 8, .first = 20};
    while (world->choice.state != state) {
        world_step(world);
    }
}

/* A gate that was open for two seconds, and one that was for an hour. */
static void short_success_does_not_make_rests_short(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_RANDOM, 8), 2, 1);

    (void)state;
    world_run(&world, 20 * SECOND);
    for (unsigned is_long = 0; is_long < 2; is_long++) {
        uint64_t rest_ns = world.choice.rest_ns;

        assert_true(rest_ns >= 8 * SECOND);
        world.sequence = (struct sequence){.kind = SEQUENCE_CONSTANT, .first = 9};
        while (world.choice.state != DYNAMIC_STABLE) {
            world_step(&world);
        }
        world_run(&world, is_long ? 60 * MINUTE : 2 * SECOND);
        random_calls_until(&world, DYNAMIC_RESTING);
        if (is_long) {
            assert_int_equal(world.choice.rest_ns, SECOND);
        } else {
            assert_true(world.choice.rest_ns > rest_ns);
        }
    }
}

/* The seed's loop: what is counted while the text is changed calls for the next change. Here
 * somebody hands in an epoch right behind each batch, full of calls that went the slow way. */
static void statistics_of_an_update_lead_to_no_update(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_CONSTANT, 1), 2, 1);
    const struct dynamic_terms terms = {
        .change_ns = 2 * BATCH_NS, .saving = 7680, .ticks_to_ns = world_ticks_to_ns};
    uint64_t seen = 0;

    (void)state;
    for (unsigned step = 0; step < 1000; step++) {
        world_step(&world);
        if (world.batches == seen && step % 7 != 0) {
            continue;
        }
        seen = world.batches;
        struct dynamic_epoch epoch = {.now_ns = world.now_ns + 2 * BATCH_NS,
                                      .length_ns = 2 * BATCH_NS};
        struct dynamic_choice before = world.choice;

        epoch.census.rows[0] = (struct dynamic_row){world_address(50), 100000};
        epoch.census.row_count = 1;
        epoch.census.total = 100000;
        dynamic_choice_formed(&world.choice, 0, 0, world.now_ns + BATCH_NS);
        assert_int_equal(world.choice.next_ns, world.now_ns + BATCH_NS + DYNAMIC_EPOCH_NS);
        before.next_ns = world.choice.next_ns;
        dynamic_choice_measured(&world.choice, &terms, &epoch);
        assert_memory_equal(&before, &world.choice, sizeof(before));
    }
    assert_int_equal(world.batches, 2);
}

/* ---- What can go wrong ------------------------------------------------------------------------
 */

static void forgotten_target_is_in_no_slot_any_more(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_ROBIN, 2), 2, 1);

    (void)state;
    assert_true(world_has(&world, 3) && world_has(&world, 4));
    world_forget(&world, 3);
    world.sequence = (struct sequence){.kind = SEQUENCE_CONSTANT, .targets = 1, .first = 4};
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_CHEAPER);
    assert_int_equal(world_decision(&world)->reason, DYNAMIC_REASON_FORGOTTEN);

    uint64_t batches = world.batches;

    world_run(&world, 10 * SECOND);
    assert_int_equal(world.batches, batches); /* the other one stays */
    world_forget(&world, 4);
    world.calls = 0;
    world_expect(&world, DYNAMIC_LEARNING, DYNAMIC_REASON_FORGOTTEN);
    world_run(&world, SECOND);
    world_expect(&world, DYNAMIC_RESTING, DYNAMIC_REASON_FEW_CALLS);
    world.calls = 2000;
    world.sequence.first = 7;
    world_run(&world, SECOND);
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
}

static void target_forgotten_at_any_time_is_not_wished_for(void **state)
{
    (void)state;
    for (unsigned step = 1; step < 40; step++) {
        struct world world = world_make(world_sequence(SEQUENCE_ROBIN, 4), 4, 1);

        for (unsigned i = 0; i < step; i++) {
            world_step(&world);
        }
        world_forget(&world, 4);
        world.sequence = (struct sequence){.kind = SEQUENCE_ROBIN, .targets = 3, .first = 20};
        assert_false(dynamic_targets_has(&world.choice.wish.targets, world_address(4)));
        assert_false(dynamic_targets_has(&world.choice.present, world_address(4)));
        world_run(&world, 30 * SECOND);
        assert_true(world_has(&world, 20));
    }
}

static void change_that_fails_is_tried_again_later(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_CONSTANT, 1), 2, 1);

    (void)state;
    world.sequence.first = 9;
    world.is_refused = true;
    uint64_t batches = world.batches;

    world_run(&world, 5 * MINUTE);
    world_expect(&world, DYNAMIC_RESTING, DYNAMIC_REASON_FAILED);
    assert_true(world.batches - batches <= 14); /* 1 s, 2 s, 4 s ... */
    assert_int_equal(world.slot_targets.slot[0], world_address(3));
    world.is_refused = false;
    world_run(&world, 130 * SECOND);
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
    assert_true(world_has(&world, 9));
}

/* ---- Persons, and the log ---------------------------------------------------------------------
 */

static void person_has_the_last_word(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_CONSTANT, 1), 2, 1);
    const struct dynamic_targets targets = {{world_address(20)}};

    (void)state;
    world.seen[20] = true;
    dynamic_choice_pin(&world.choice, &targets, world.now_ns);
    assert_int_equal(world.choice.next_ns, UINT64_MAX);
    world_run(&world, 10 * SECOND);
    world_expect(&world, DYNAMIC_PINNED, DYNAMIC_REASON_HAND);
    assert_true(world.is_open && !world.is_watched && world_has(&world, 20));
    world_forget(&world, 20);
    world_expect(&world, DYNAMIC_OFF, DYNAMIC_REASON_FORGOTTEN);
    dynamic_choice_switch(&world.choice, true, 2, world.now_ns);
    world_run(&world, 10 * SECOND);
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
    dynamic_choice_switch(&world.choice, false, 2, world.now_ns);
    world_run(&world, 10 * SECOND);
    world_expect(&world, DYNAMIC_OFF, DYNAMIC_REASON_HAND);
    assert_true(!world.is_open && !world.is_watched);
    assert_int_equal(world.choice.next_ns, UINT64_MAX);
}

/* The hottest is first, though the slots name it already, as the last. */
static void what_was_learnt_before_it_was_switched_off_is_no_reason(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_ZIPF, 4), 4, 1);
    uint64_t last = world.slot_targets.slot[3];

    (void)state;
    assert_true(last != 0);
    dynamic_choice_switch(&world.choice, true, 4, world.now_ns);
    world.sequence = (struct sequence){.kind = SEQUENCE_CONSTANT,
                                       .first = (uint32_t)((last - world_address(0)) / 16)};
    world_run(&world, SECOND);
    assert_int_equal(world.slot_targets.slot[0], last);
    assert_int_equal(world.slot_targets.slot[1], 0);
}

static void each_decision_leaves_a_record(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_ROBIN, 2), 2, 1);
    const struct dynamic_decision *decision = &world.choice.decisions[0];

    (void)state;
    while (!world.is_open) {
        world_step(&world);
    }
    assert_int_equal(world.choice.decided, 1);
    assert_int_equal(decision->sequence, 1);
    assert_int_equal(decision->before, DYNAMIC_TRYING);
    assert_int_equal(decision->after, DYNAMIC_STABLE);
    assert_int_equal(decision->reason, DYNAMIC_REASON_CHEAPER);
    assert_true(dynamic_targets_empty(&decision->old_targets));
    assert_memory_equal(&decision->new_targets, &world.slot_targets, sizeof(world.slot_targets));
    assert_int_equal(decision->scores[0].calls, 1500); /* two epochs, of 1000 each */
    assert_int_equal(decision->scores[1].calls, 1500);
    assert_int_equal(decision->scores[2].calls, 0);
    assert_int_equal(decision->score_total, 3000);
    assert_int_equal(decision->batches, 3); /* watch, slots, gate */
    assert_int_equal(decision->cost_ns, 3 * BATCH_NS);

    uint64_t slow = decision->costs[DYNAMIC_WAY_SLOW];
    uint64_t chain = decision->costs[DYNAMIC_WAY_CHAIN];

    assert_true(chain != 0 && slow > chain);
    assert_int_equal(decision->saving, slow - chain);
    assert_in_range(decision->break_even_calls, 3 * BATCH_NS * 4 * 256 / (slow - chain) - 1,
                    3 * BATCH_NS * 4 * 256 / (slow - chain) + 1);
}

/* A change in steady state: the alarm, and what came of it, each with its batch. */
static void costs_belong_to_the_decision_that_caused_them(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_CONSTANT, 1), 1, 1);

    (void)state;
    world.sequence.first = 9;
    world_run(&world, SECOND);
    assert_int_equal(world.choice.decided, 3);
    assert_int_equal(world.choice.decisions[0].batches, 2); /* the watch with it */
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(world.choice.decisions[i].batches, 1);
        assert_int_equal(world.choice.decisions[i].cost_ns, BATCH_NS);
        assert_int_equal(world.choice.decisions[i].score_total, i == 1 ? 2000 : 3000);
        assert_int_equal(world.choice.decisions[i].scores[0].target, world_address(9));
    }
    assert_int_equal(world.choice.decisions[2].old_targets.slot[0], world_address(3));
    assert_int_equal(world.choice.decisions[2].new_targets.slot[0], world_address(9));
    assert_int_equal(world.choice.changes, 2);
}

static void absurd_cost_never_pays(void **state)
{
    (void)state;
    assert_int_equal(dynamic_decision_break_even(0, 7), 0);
    assert_int_equal(dynamic_decision_break_even(7, 0), UINT64_MAX);
    assert_true(dynamic_decision_break_even(UINT64_MAX, DYNAMIC_MANY_CALLS) > 1ull << 42);
    assert_true(dynamic_decision_break_even(1ull << 50, DYNAMIC_MANY_CALLS) > 1ull << 42);
}

static void names_are_for_people(void **state)
{
    (void)state;
    assert_string_equal(dynamic_state_name(DYNAMIC_STABLE), "stable");
    assert_string_equal(dynamic_state_name(DYNAMIC_RESTING), "off");
    assert_string_equal(dynamic_state_name((enum dynamic_state)99), "?");
    for (unsigned reason = 0; reason < DYNAMIC_REASON_COUNT; reason++) {
        assert_string_not_equal(dynamic_reason_name((enum dynamic_reason)reason), "?");
    }
    assert_string_equal(dynamic_reason_name(DYNAMIC_REASON_COUNT), "?");
    assert_string_equal(dynamic_compare_name(DYNAMIC_COMPARE_MEMORY), "mem");
    assert_string_equal(dynamic_compare_name(DYNAMIC_COMPARE_COUNT), "?");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(set_that_is_still_right_is_not_changed),
    cmocka_unit_test(misses_that_changed_nothing_are_usual_for_a_time),
    cmocka_unit_test(more_calls_of_the_same_shares_change_nothing),
    cmocka_unit_test(slow_change_is_noticed_too),
    cmocka_unit_test(rare_targets_get_no_slot),
    cmocka_unit_test(set_in_another_order_stays),
    cmocka_unit_test(short_success_does_not_make_rests_short),
    cmocka_unit_test(statistics_of_an_update_lead_to_no_update),
    cmocka_unit_test(forgotten_target_is_in_no_slot_any_more),
    cmocka_unit_test(target_forgotten_at_any_time_is_not_wished_for),
    cmocka_unit_test(change_that_fails_is_tried_again_later),
    cmocka_unit_test(person_has_the_last_word),
    cmocka_unit_test(what_was_learnt_before_it_was_switched_off_is_no_reason),
    cmocka_unit_test(each_decision_leaves_a_record),
    cmocka_unit_test(costs_belong_to_the_decision_that_caused_them),
    cmocka_unit_test(absurd_cost_never_pays),
    cmocka_unit_test(names_are_for_people),
};

HOST_TEST_MAIN(tests, NULL)
