// SPDX-License-Identifier: MIT
/* The set of a dispatcher's targets against a model that counts references by address and nothing
 * else, over random histories with addresses of both signs. */
#include "patching/dispatcher_set.h"
#include "tests/host/host_test.h"

#include <stdlib.h>
#include <string.h>

enum { ADDRESSES = 80, STEPS = 20000 };

static uint32_t references[ADDRESSES];
static struct dispatcher_set set;

/* Every other one is negative as a signed number. */
static uint64_t address(unsigned number)
{
    return (uint64_t)(number % 2 == 0 ? 0x400000 + 16 * (int64_t)number : -16 * (int64_t)number);
}

static uint32_t model_count(void)
{
    uint32_t count = 0;

    for (unsigned i = 0; i < ADDRESSES; i++) {
        count += references[i] != 0;
    }
    return count;
}

static void expect_model(void)
{
    uint64_t ranked = 0;

    assert_int_equal(set.count, model_count());
    for (unsigned i = 0; i < ADDRESSES; i++) {
        uint32_t place = dispatcher_set_find(&set, address(i));

        assert_int_equal(place < set.count ? set.entries[place].references : 0, references[i]);
    }
    for (uint32_t i = 0; i < set.count; i++) {
        assert_true(i == 0 || (int64_t)set.entries[i - 1].target < (int64_t)set.entries[i].target);
        assert_true(set.hottest[i] < set.count);
        ranked |= 1ull << set.hottest[i];
    }
    assert_int_equal(__builtin_popcountll(ranked), set.count);
}

static void add_and_remove_agree_with_a_model(void **state)
{
    (void)state;
    srand(1);
    memset(references, 0, sizeof(references));
    memset(&set, 0, sizeof(set));
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned number = (unsigned)rand() % ADDRESSES;
        /* Waves, so that both ends are reached. */
        bool adds = rand() % 8 < (step / 1000 % 2 == 0 ? 6 : 2);

        if (adds) {
            bool fits = references[number] != 0 || model_count() < DISPATCHER_ENTRY_MAX;

            assert_int_equal(dispatcher_set_add(&set, address(number)),
                             fits ? PATCH_OK : PATCH_ERR_NO_SLOT);
            references[number] += fits;
        } else {
            bool is_there = references[number] != 0;

            assert_int_equal(dispatcher_set_remove(&set, address(number)),
                             is_there ? PATCH_OK : PATCH_ERR_NO_ENTRY);
            references[number] -= is_there;
        }
        expect_model();
    }
}

/* Targets by rank. */
static void expect_ranks(const unsigned *numbers, uint32_t count)
{
    assert_int_equal(set.count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(set.entries[set.hottest[i]].target, address(numbers[i]));
    }
}

static void ranks_follow_their_targets(void **state)
{
    const uint64_t wanted[] = {address(3), 12345, address(3), address(0)};

    (void)state;
    memset(&set, 0, sizeof(set));
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(dispatcher_set_add(&set, address(i)), PATCH_OK);
    }
    expect_ranks((unsigned[]){0, 1, 2, 3, 4}, 5);
    dispatcher_set_rank(&set, wanted, 4);
    expect_ranks((unsigned[]){3, 0, 1, 2, 4}, 5);
    assert_int_equal(dispatcher_set_remove(&set, address(0)), PATCH_OK);
    expect_ranks((unsigned[]){3, 1, 2, 4}, 4);
    assert_int_equal(dispatcher_set_add(&set, address(0)), PATCH_OK);
    expect_ranks((unsigned[]){3, 1, 2, 4, 0}, 5);
}

static void sets_are_equal_by_targets_alone(void **state)
{
    struct dispatcher_set other;

    (void)state;
    memset(&set, 0, sizeof(set));
    memset(&other, 0, sizeof(other));
    assert_int_equal(dispatcher_set_add(&set, address(1)), PATCH_OK);
    assert_false(dispatcher_set_equal(&set, &other));
    assert_int_equal(dispatcher_set_add(&other, address(2)), PATCH_OK);
    assert_false(dispatcher_set_equal(&set, &other));
    assert_int_equal(dispatcher_set_add(&set, address(2)), PATCH_OK);
    assert_int_equal(dispatcher_set_add(&other, address(1)), PATCH_OK);
    assert_int_equal(dispatcher_set_add(&other, address(1)), PATCH_OK);
    assert_true(dispatcher_set_equal(&set, &other));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(add_and_remove_agree_with_a_model),
    cmocka_unit_test(ranks_follow_their_targets),
    cmocka_unit_test(sets_are_equal_by_targets_alone),
};

HOST_TEST_MAIN(tests, NULL)
