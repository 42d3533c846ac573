// SPDX-License-Identifier: MIT
/* What the policy of dynamic calls stands on: sets, scores, and margins, by hand. Why it detects:
 * numbers are just above and just below what a rule says. */
#include "patching/dynamic_choice.h"
#include "tests/host/choice_world.h"
#include "tests/host/host_test.h"

#include <string.h>

enum { A = 0x1000, B = 0x2000, C = 0x3000, D = 0x4000, TURNS = 3000 };

static void sets_are_the_same_in_any_order(void **state)
{
    const struct dynamic_targets two = {{A, B}};
    const struct dynamic_targets other = {{0, B, 0, A}};
    const struct dynamic_targets one = {{A}};
    const struct dynamic_targets none = {{0}};

    (void)state;
    assert_true(dynamic_targets_same(&two, &other));
    assert_false(dynamic_targets_same(&two, &one));
    assert_false(dynamic_targets_same(&one, &two));
    assert_false(dynamic_targets_same(&one, &none));
    assert_true(dynamic_targets_empty(&none));
    assert_false(dynamic_targets_empty(&other));
}

static void scores_add(struct dynamic_scores *scores, uint64_t a, uint64_t b, uint64_t c)
{
    const struct dynamic_census census = {.rows = {{A, a}, {B, b}, {C, c}}, .row_count = 3};

    dynamic_scores_add(scores, &census, DYNAMIC_EPOCH_NS);
}

/* By 1/8 and four standard deviations, 316 each: 113764. */
static void who_is_in_gives_way_beyond_a_margin(void **state)
{
    const struct dynamic_targets favoured = {{A}};

    (void)state;
    for (uint64_t b = 113000; b <= 115000; b += 100) {
        struct dynamic_scores scores = {.row_count = 0};

        scores_add(&scores, 100000, b, 0);
        assert_int_equal(dynamic_scores_best(&scores, &favoured, 1).slot[0], b < 113764 ? A : B);
    }
}

/* Against plain numbers: more targets than rows, some forgotten. */
static void scores_agree_with_a_model(void **state)
{
    enum { TARGETS = 12, EPOCHS = 20 };
    uint64_t random = 4711;

    (void)state;
    for (unsigned turn = 0; turn < TURNS; turn++) {
        struct dynamic_scores scores = {.row_count = 0};
        uint64_t model[TARGETS] = {0};

        for (unsigned epoch = 0; epoch < EPOCHS; epoch++) {
            struct dynamic_census census = {.row_count = 0};
            uint64_t sum = 0;

            for (unsigned i = 0; i < TARGETS; i++) {
                uint64_t calls = next_random(&random) % 3 == 0 ? next_random(&random) % 1000 : 0;

                model[i] = model[i] / 2 + calls;
                census.rows[census.row_count++] = (struct dynamic_row){A + i * 16, calls};
            }
            dynamic_scores_add(&scores, &census, DYNAMIC_EPOCH_NS);
            if (next_random(&random) % 8 == 0) {
                unsigned gone = (unsigned)(next_random(&random) % TARGETS);

                model[gone] = 0;
                dynamic_scores_forget(&scores, A + gone * 16);
            }
            for (unsigned i = 0; i < TARGETS; i++) {
                const struct dynamic_targets one = {{A + i * 16}};

                assert_int_equal(dynamic_scores_inside(&scores, &one), model[i]);
                sum += model[i];
            }
            assert_int_equal(dynamic_scores_total(&scores), sum);
            for (unsigned i = 1; i < scores.row_count; i++) {
                assert_true(scores.rows[i - 1].calls >= scores.rows[i].calls);
            }
        }
    }
}

/* More targets than rows: the least called are others, and nobody is lost. */
static void calls_without_a_row_are_counted(void **state)
{
    struct dynamic_scores scores = {.row_count = 0};
    struct dynamic_census census = {.row_count = DYNAMIC_CENSUS_ROWS, .others = 7};

    (void)state;
    for (unsigned i = 0; i < 2 * DYNAMIC_CENSUS_ROWS; i++) {
        census.rows[i % DYNAMIC_CENSUS_ROWS] = (struct dynamic_row){A + i * 16, 1000 + i};
        if ((i + 1) % DYNAMIC_CENSUS_ROWS == 0) {
            dynamic_scores_add(&scores, &census, DYNAMIC_EPOCH_NS);
        }
    }
    assert_int_equal(scores.row_count, DYNAMIC_CENSUS_ROWS);
    for (unsigned i = 0; i < DYNAMIC_CENSUS_ROWS; i++) {
        assert_int_equal(scores.rows[i].calls, 1031 - i);
    }
    assert_int_equal(scores.others, 3 + 7 + 2 * (8 * 500 + 28)); /* 500 to 507, twice */
}

static const struct dynamic_terms terms = {1000, 7680, world_ticks_to_ns};

static void epoch_by_hand(struct dynamic_choice *choice, uint64_t a, uint64_t b, uint64_t c)
{
    struct dynamic_epoch epoch = {
        .length_ns = DYNAMIC_EPOCH_NS,
        .census = {.rows = {{A, a}, {B, b}, {C, c}}, .row_count = 3, .total = a + b + c},
    };

    epoch.now_ns = choice->next_ns;
    dynamic_choice_measured(choice, &terms, &epoch);
    dynamic_choice_formed(choice, 0, 0, epoch.now_ns);
}

/* Its slots name A and B, without a clock; then an alarm. */
static struct dynamic_choice alarmed_choice(void)
{
    struct dynamic_choice choice = {.state = DYNAMIC_OFF};

    dynamic_choice_switch(&choice, true, 2, 0);
    for (unsigned i = 0; i < 10 && choice.state != DYNAMIC_STABLE; i++) {
        epoch_by_hand(&choice, 10000, 3000, 0);
    }
    assert_int_equal(choice.reason, DYNAMIC_REASON_SHARES);
    assert_true(choice.present.slot[0] == A && choice.present.slot[1] == B);
    epoch_by_hand(&choice, 0, 0, 9000);
    assert_int_equal(choice.state, DYNAMIC_LEARNING);
    return choice;
}

/* C is called far more than B, but A is what counts. */
static void learnt_set_gives_way_only_to_a_better_one(void **state)
{
    static const struct {
        uint64_t b, c;
        bool stays;
    } cases[] = {
        {1000, 1700, true},  /* 11000 and 11700 inside; 1700 and 1000 misses */
        {1300, 2500, true},  /* 11300 and 12500: less than 1/8 more */
        {1300, 2900, false}, /* 12900 */
        {100, 500, false},   /* 500 and 100 misses */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct dynamic_choice choice = alarmed_choice();

        epoch_by_hand(&choice, 10000, cases[i].b, cases[i].c);
        epoch_by_hand(&choice, 10000, cases[i].b, cases[i].c);
        assert_true(choice.state == DYNAMIC_STABLE || choice.state == DYNAMIC_TRYING);
        assert_int_equal(dynamic_targets_has(&choice.present, B), cases[i].stays);
        assert_int_equal(dynamic_targets_has(&choice.present, C), !cases[i].stays);
        assert_int_equal(choice.reason == DYNAMIC_REASON_SAME, cases[i].stays);
    }
}

/* The epoch before named it, too: that still counts for the others. */
static void forgotten_target_is_no_candidate(void **state)
{
    struct dynamic_choice choice = {.state = DYNAMIC_OFF};

    (void)state;
    dynamic_choice_switch(&choice, true, 2, 0);
    epoch_by_hand(&choice, 10000, 10000, 0);
    dynamic_choice_forget(&choice, B, 0);
    epoch_by_hand(&choice, 10000, 0, 0);
    assert_int_equal(choice.reason, DYNAMIC_REASON_HOT);
    assert_true(dynamic_targets_has(&choice.wish.targets, A));
    assert_false(dynamic_targets_has(&choice.wish.targets, B));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(sets_are_the_same_in_any_order),
    cmocka_unit_test(who_is_in_gives_way_beyond_a_margin),
    cmocka_unit_test(scores_agree_with_a_model),
    cmocka_unit_test(calls_without_a_row_are_counted),
    cmocka_unit_test(learnt_set_gives_way_only_to_a_better_one),
    cmocka_unit_test(forgotten_target_is_no_candidate),
};

HOST_TEST_MAIN(tests, NULL)
