// SPDX-License-Identifier: MIT
/* What the policy of dispatchers stands on: shapes that are the same code, and what is other
 * traffic. Pure functions, each against what its header says. */
#include "tests/host/dispatcher_world.h"
#include "tests/host/host_test.h"

#include <string.h>

enum { SEEDS = 40 };

/* What is the same code is tried once; dispatcher_image_generate() says whether it is. */
static void only_shapes_of_the_same_code_are_canonically_the_same(void **state)
{
    static uint8_t code[2][DISPATCHER_HALF_BYTES];
    uint64_t targets[DISPATCHER_ENTRY_MAX];
    uint8_t hottest[DISPATCHER_ENTRY_MAX];

    (void)state;
    for (uint32_t i = 0; i < DISPATCHER_ENTRY_MAX; i++) {
        targets[i] = 0x500000 + i * 64;
    }
    for (uint32_t entries = 2; entries <= 8; entries++) {
        for (uint32_t i = 0; i < entries; i++) {
            hottest[i] = (uint8_t)(entries - 1 - i);
        }
        for (int pair = 0; pair < DISPATCHER_SHAPE_COUNT * DISPATCHER_SHAPE_COUNT; pair++) {
            enum dispatcher_shape shapes[] = {pair % DISPATCHER_SHAPE_COUNT,
                                              pair / DISPATCHER_SHAPE_COUNT};
            size_t lengths[2];

            for (int i = 0; i < 2; i++) {
                struct dispatcher_image_request request = {shapes[i], entries, 0x400000,
                                                           0x480000,  targets, hottest};

                assert_int_equal(dispatcher_image_generate(&request, code[i], &lengths[i], NULL),
                                 PATCH_OK);
            }
            bool is_same = lengths[0] == lengths[1] && memcmp(code[0], code[1], lengths[0]) == 0;

            assert_int_equal(is_same, dispatcher_shape_canonical(shapes[0], entries) ==
                                          dispatcher_shape_canonical(shapes[1], entries));
        }
    }
}

static void census_tells_other_traffic_from_chance(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        for (unsigned i = 0; i < ARRAY_COUNT(traffics); i++) {
            struct world world = world_make(traffics[i], seed);
            struct dispatcher_epoch a = world_epoch(&world);
            struct dispatcher_epoch b = world_epoch(&world);

            assert_false(dispatcher_census_differs(&a.census, &b.census));
            world.traffic =
                traffics[i] == &traffic_all_miss ? &traffic_constant_first : &traffic_all_miss;
            b = world_epoch(&world);
            assert_true(dispatcher_census_differs(&a.census, &b.census));
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(only_shapes_of_the_same_code_are_canonically_the_same),
    cmocka_unit_test(census_tells_other_traffic_from_chance),
};

HOST_TEST_MAIN(tests, NULL)
