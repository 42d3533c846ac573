// SPDX-License-Identifier: MIT
/* Images of dispatchers as text: decoded by Zydis (dispatcher_listing.c), compared with the seed's
 * listing, and walked for values of all kinds. Detects a wrong compare, condition, target, order or
 * gap, an image that is longer than it must be, and bad requests that are let through. Could miss:
 * what a CPU makes of it; test_dispatcher_image_calls.c executes images.
 * DISPATCHER_SIZES=1 prints how long the images are. */
#include "tests/host/dispatcher_listing.h"
#include "tests/host/ranking.h"

#include <string.h>

#define CMP      LISTED_COMPARE
#define JG       LISTED_JUMP_GREATER
#define JE       LISTED_JUMP_EQUAL
#define JMP      LISTED_JUMP
#define FALLBACK ((int64_t)0xffffffff81c00f10)

/* An instruction of the seed's listing: where, what, and the number or place it names. */
struct seed_row {
    size_t offset;
    enum listed_kind kind;
    int64_t operand; /* of JG: an offset */
};

/* clang-format off */
static const struct seed_row seed_of_1[] = {
    {0x0, CMP, -1}, {0x7, JE, -1}, {0xd, JMP, FALLBACK},
};

static const struct seed_row seed_of_16[] = {
    {0x0, CMP, -9}, {0x7, JG, 0x130}, {0xd, CMP, -13}, {0x14, JG, 0xa0}, {0x1a, CMP, -15},
    {0x21, JG, 0x60}, {0x23, CMP, -16}, {0x2a, JG, 0x40}, {0x2c, CMP, -16}, {0x33, JE, -16},
    {0x39, JMP, FALLBACK}, {0x40, CMP, -15}, {0x47, JE, -15}, {0x4d, JMP, FALLBACK},
    {0x60, CMP, -14}, {0x67, JG, 0x80}, {0x69, CMP, -14}, {0x70, JE, -14}, {0x76, JMP, FALLBACK},
    {0x80, CMP, -13}, {0x87, JE, -13}, {0x8d, JMP, FALLBACK}, {0xa0, CMP, -11}, {0xa7, JG, 0xf0},
    {0xa9, CMP, -12}, {0xb0, JG, 0xd0}, {0xb2, CMP, -12}, {0xb9, JE, -12}, {0xbf, JMP, FALLBACK},
    {0xd0, CMP, -11}, {0xd7, JE, -11}, {0xdd, JMP, FALLBACK}, {0xf0, CMP, -10}, {0xf7, JG, 0x110},
    {0xf9, CMP, -10}, {0x100, JE, -10}, {0x106, JMP, FALLBACK}, {0x110, CMP, -9}, {0x117, JE, -9},
    {0x11d, JMP, FALLBACK}, {0x130, CMP, -5}, {0x137, JG, 0x1d0}, {0x13d, CMP, -7},
    {0x144, JG, 0x190}, {0x146, CMP, -8}, {0x14d, JG, 0x170}, {0x14f, CMP, -8}, {0x156, JE, -8},
    {0x15c, JMP, FALLBACK}, {0x170, CMP, -7}, {0x177, JE, -7}, {0x17d, JMP, FALLBACK},
    {0x190, CMP, -6}, {0x197, JG, 0x1b0}, {0x199, CMP, -6}, {0x1a0, JE, -6},
    {0x1a6, JMP, FALLBACK}, {0x1b0, CMP, -5}, {0x1b7, JE, -5}, {0x1bd, JMP, FALLBACK},
    {0x1d0, CMP, -3}, {0x1d7, JG, 0x220}, {0x1d9, CMP, -4}, {0x1e0, JG, 0x200}, {0x1e2, CMP, -4},
    {0x1e9, JE, -4}, {0x1ef, JMP, FALLBACK}, {0x200, CMP, -3}, {0x207, JE, -3},
    {0x20d, JMP, FALLBACK}, {0x220, CMP, -2}, {0x227, JG, 0x240}, {0x229, CMP, -2},
    {0x230, JE, -2}, {0x236, JMP, FALLBACK}, {0x240, CMP, -1}, {0x247, JE, -1},
    {0x24d, JMP, FALLBACK},
};
/* clang-format on */

/* A request, with room for what it points to. */
static struct {
    struct dispatcher_image_request request;
    uint64_t targets[DISPATCHER_ENTRY_MAX + 1];
    uint8_t hottest[DISPATCHER_ENTRY_MAX + 1];
} given;

static uint8_t bytes[DISPATCHER_HALF_BYTES];
static struct listing listing;

/* A request for the seed's addresses, -count to -1, the highest ones hottest. */
static void given_seed(enum dispatcher_shape shape, unsigned count, uint64_t address)
{
    given.request = (struct dispatcher_image_request){.shape = shape,
                                                      .count = count,
                                                      .address = address,
                                                      .fallback = (uint64_t)FALLBACK,
                                                      .targets = given.targets,
                                                      .hottest = given.hottest};
    for (unsigned i = 0; i < count; i++) {
        given.targets[i] = -(uint64_t)(count - i);
        given.hottest[i] = (uint8_t)(count - 1 - i);
    }
}

/* Where images, fallbacks and targets lie; each within reach of each. */
static const struct address_family {
    uint64_t address, fallback;
    uint64_t lowest, highest; /* target, as signed numbers */
} families[] = {
    {0xffffffff80200000, 0xffffffff80100000, 0xffffffff80000000, 0xffffffffffffffff}, /* kernel */
    {0x10000, 0x400000, 0, 0x7fffffff},                                               /* user */
    {0, 0xffffffff80001000, 0xffffffff80001000, 0x7fffffff},                          /* both */
    {0xfffffffffffff000, 0x1000, 0xffffffff80000000, 0x7fff0000},                     /* wraps */
    {0x4000, 0xffffffffffffff00, 0xffffffffffffff80, 0x80},                           /* close */
};

/* A request for targets of a family at random, and a ranking at random. */
static void given_random(enum dispatcher_shape shape, unsigned count,
                         const struct address_family *family, uint64_t *random)
{
    uint64_t step = (family->highest - family->lowest) / DISPATCHER_ENTRY_MAX;
    uint64_t from = family->lowest;

    given_seed(shape, count, family->address);
    given.request.fallback = family->fallback;
    for (unsigned i = 0; i < count; i++) {
        given.targets[i] = from + next_random(random) % step;
        from = next_random(random) % 4 == 0 ? given.targets[i] + 1 : from + step;
    }
    ranking_draw(given.hottest, count, random);
}

static size_t generate(void)
{
    size_t length = 0;

    assert_int_equal(dispatcher_image_generate(&given.request, bytes, &length, NULL), PATCH_OK);
    assert_true(length <= sizeof(bytes));
    return length;
}

/* Generates and decodes. */
static void generate_listing(void)
{
    const char *wrong = listing_read(&listing, bytes, generate(), given.request.address);

    if (wrong != NULL) {
        fail_msg("%s, %u targets: %s", dispatcher_shape_name(given.request.shape),
                 given.request.count, wrong);
    }
}

static void expect_seed(const struct seed_row *rows, size_t count, uint64_t address,
                        unsigned targets)
{
    size_t row = 0;

    given_seed(DISPATCHER_TREE, targets, address);
    generate_listing();
    for (unsigned i = 0; i < listing.count; i++) {
        const struct listed_instruction *listed = &listing.instructions[i];
        uint64_t base = listed->kind == LISTED_JUMP_GREATER ? address : 0;

        if (listed->kind != LISTED_GAP) {
            assert_true(row < count);
            assert_int_equal(listed->offset, rows[row].offset);
            assert_int_equal(listed->kind, rows[row].kind);
            assert_int_equal(listed->operand, base + (uint64_t)rows[row].operand);
            row++;
        }
    }
    assert_int_equal(row, count);
    assert_int_equal(listing.length, rows[count - 1].offset + 5);
}

static void images_of_the_seeds_addresses_are_the_seeds_listing(void **state)
{
    (void)state;
    expect_seed(seed_of_1, ARRAY_COUNT(seed_of_1), 0xffffffffc0002000, 1);
    expect_seed(seed_of_16, ARRAY_COUNT(seed_of_16), 0xffffffffc0020000, 16);
}

static void expect_right_place(uint64_t value)
{
    const char *wrong = listing_check_value(&listing, &given.request, value);

    if (wrong != NULL) {
        fail_msg("%s, %u targets, rdx %#llx: %s", dispatcher_shape_name(given.request.shape),
                 given.request.count, (unsigned long long)value, wrong);
    }
}

/* Each target, what is beside it, and what has its low half; then the edges of all. */
static void expect_right_places(void)
{
    static const uint64_t edges[] = {0,          1,           (uint64_t)-1,         1ull << 63,
                                     1ull << 31, ~0ull >> 1,  0xffffffff7fffffff,   0xffffffff,
                                     0x7fffffff, 0x80000000u, 0x8000000000000001ull};

    for (unsigned i = 0; i < given.request.count; i++) {
        uint64_t target = given.targets[i];

        for (uint64_t beside = target - 1; beside != target + 2; beside++) {
            expect_right_place(beside);
        }
        expect_right_place(target ^ 1ull << 32);
        expect_right_place(target ^ 1ull << 63);
        expect_right_place(target ^ 0xffffffffull << 32);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(edges); i++) {
        expect_right_place(edges[i]);
    }
}

static void every_image_leads_to_the_right_place_in_the_order_of_its_shape(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        for (unsigned count = 0; count <= DISPATCHER_ENTRY_MAX; count++) {
            for (unsigned i = 0; i < ARRAY_COUNT(families); i++) {
                given_random(shape, count, &families[i], &random);
                generate_listing();
                expect_right_places();
            }
        }
    }
}

static void print_sizes(unsigned count)
{
    print_message("%7u", count);
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        given_seed(shape, count, 0xffffffffc0020000);
        print_message("%12zu", generate());
    }
    print_message("\n");
}

static void no_image_is_longer_than_it_must_be(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= DISPATCHER_ENTRY_MAX; count++) {
        for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
            given_seed(shape, count, 0xffffffffc0020000);
            assert_int_equal(generate(), listing_shortest(&given.request));
        }
    }
    if (getenv("DISPATCHER_SIZES") == NULL) {
        return;
    }
    print_message("targets");
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        print_message("%12s", dispatcher_shape_name(shape));
    }
    print_message("   bytes\n");
    for (unsigned count = 1; count <= DISPATCHER_ENTRY_MAX; count *= 2) {
        print_sizes(count);
    }
}

/* Both forms of `jg`, each where the other would be wrong: the short one reaches, and where it is
 * not used it would not have reached by little. */
static void jg_is_short_where_it_reaches_and_only_there(void **state)
{
    (void)state;
    size_t farthest_short = 0, nearest_long = SIZE_MAX;

    for (unsigned count = 2; count <= DISPATCHER_ENTRY_MAX; count++) {
        for (enum dispatcher_shape shape = DISPATCHER_TREE; shape <= DISPATCHER_TREE4; shape++) {
            given_seed(shape, count, 0xffffffffc0020000);
            generate_listing();
            for (unsigned i = 0; i < listing.count; i++) {
                const struct listed_instruction *jump = &listing.instructions[i];
                size_t distance =
                    jump->operand - (given.request.address + jump->offset + LISTING_JUMP_GREATER_8);

                if (jump->kind != LISTED_JUMP_GREATER) {
                    continue;
                }
                if (jump->length == LISTING_JUMP_GREATER_8 && distance > farthest_short) {
                    farthest_short = distance;
                }
                if (jump->length == LISTING_JUMP_GREATER_32 && distance < nearest_long) {
                    nearest_long = distance;
                }
            }
        }
    }
    assert_in_range(farthest_short, 112, INT8_MAX);
    assert_in_range(nearest_long, INT8_MAX + 1, INT8_MAX + DISPATCHER_JUMP_ALIGNMENT);
}

static void expect_refused(enum patch_status expected, uint64_t expected_culprit)
{
    size_t length;
    uint64_t culprit = 0x5a5a;

    assert_int_equal(dispatcher_image_generate(&given.request, bytes, &length, &culprit), expected);
    assert_int_equal(culprit, expected_culprit);
    assert_int_equal(dispatcher_image_generate(&given.request, bytes, &length, NULL), expected);
}

static void bad_shapes_and_addresses_are_refused(void **state)
{
    (void)state;
    const uint64_t address = 0xffffffffc0020000;

    given_seed(DISPATCHER_SHAPE_COUNT, 4, address);
    expect_refused(PATCH_ERR_SHAPE, address);
    given_seed((enum dispatcher_shape) - 1, 4, address);
    expect_refused(PATCH_ERR_SHAPE, address);
    for (unsigned i = 1; i < DISPATCHER_JUMP_ALIGNMENT; i++) {
        given_seed(DISPATCHER_NONE, 0, address + i);
        expect_refused(PATCH_ERR_SHAPE, address + i);
    }
}

static void bad_sets_of_targets_are_refused_whatever_the_shape(void **state)
{
    (void)state;
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        given_seed(shape, DISPATCHER_ENTRY_MAX + 1, 0xffffffffc0020000);
        expect_refused(PATCH_ERR_FULL, (uint64_t)-1);
        given.request.count = UINT32_MAX;
        expect_refused(PATCH_ERR_FULL, (uint64_t)-1);

        given_seed(shape, 5, 0xffffffffc0020000);
        given.targets[3] = given.targets[2]; /* twice */
        expect_refused(PATCH_ERR_DUPLICATE, given.targets[3]);
        given.targets[3] = 0x1000; /* 1000 comes behind -1 */
        expect_refused(PATCH_ERR_DUPLICATE, given.targets[4]);
    }
}

static void bad_rankings_are_refused_whatever_the_shape(void **state)
{
    (void)state;
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        given_seed(shape, DISPATCHER_ENTRY_MAX, 0xffffffffc0020000);
        given.hottest[63] = 63; /* as is the first */
        expect_refused(PATCH_ERR_DUPLICATE, 63);
        given.hottest[63] = 64;
        expect_refused(PATCH_ERR_NO_ENTRY, 64);
        given_seed(shape, 3, 0xffffffffc0020000);
        given.hottest[2] = 255;
        expect_refused(PATCH_ERR_NO_ENTRY, 255);
    }
}

static void numbers_that_no_compare_holds_are_refused(void **state)
{
    (void)state;
    static const uint64_t too_wide[] = {0x80000000,         0xffffffff, 0xffffffff7fffffff,
                                        0x7fffffffffffffff, 1ull << 63, 0x100001000};

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        for (unsigned i = 0; i < ARRAY_COUNT(too_wide); i++) {
            given_seed(shape, 1, too_wide[i] & ~0xfffull); /* within reach */
            given.request.fallback = given.request.address;
            given.targets[0] = too_wide[i];
            expect_refused(PATCH_ERR_RANGE, too_wide[i]);
        }
    }
}

/* A jump at the beginning of the half and one at its end must both reach. */
static void what_a_jump_may_not_reach_is_refused_whatever_the_shape(void **state)
{
    (void)state;
    const uint64_t address = 0xffffffffffff0000;
    const uint64_t below = 0xffffffff80000000, above = 0x7fff0000;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        given_seed(shape, 1, address);
        given.request.fallback = address;
        given.targets[0] = above - 1;
        generate();
        given.targets[0] = above;
        expect_refused(PATCH_ERR_RANGE, above);

        given.targets[0] = below;
        generate();
        given.request.address = DISPATCHER_HALF_BYTES;
        given.request.fallback = 0;
        expect_refused(PATCH_ERR_RANGE, below);

        given.targets[0] = 0;
        given.request.fallback = 0x80000000 + DISPATCHER_HALF_BYTES;
        expect_refused(PATCH_ERR_RANGE, given.request.fallback);
        given.request.fallback--;
        generate();
        given.request.fallback = 2 * DISPATCHER_HALF_BYTES - 0x80000000ll;
        generate();
        given.request.fallback--;
        expect_refused(PATCH_ERR_RANGE, given.request.fallback);
    }
}

static void names_find_their_shapes(void **state)
{
    (void)state;
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        assert_int_equal(dispatcher_shape_find(dispatcher_shape_name(shape)), shape);
    }
    assert_int_equal(dispatcher_shape_find("linear-cold"), DISPATCHER_LINEAR_COLD);
    assert_int_equal(dispatcher_shape_find("linear-"), DISPATCHER_SHAPE_COUNT);
    assert_int_equal(dispatcher_shape_find(""), DISPATCHER_SHAPE_COUNT);
    assert_string_equal(dispatcher_shape_name(DISPATCHER_SHAPE_COUNT), "?");
    assert_string_equal(dispatcher_shape_name((enum dispatcher_shape) - 1), "?");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(images_of_the_seeds_addresses_are_the_seeds_listing),
    cmocka_unit_test(every_image_leads_to_the_right_place_in_the_order_of_its_shape),
    cmocka_unit_test(no_image_is_longer_than_it_must_be),
    cmocka_unit_test(jg_is_short_where_it_reaches_and_only_there),
    cmocka_unit_test(bad_shapes_and_addresses_are_refused),
    cmocka_unit_test(bad_sets_of_targets_are_refused_whatever_the_shape),
    cmocka_unit_test(bad_rankings_are_refused_whatever_the_shape),
    cmocka_unit_test(numbers_that_no_compare_holds_are_refused),
    cmocka_unit_test(what_a_jump_may_not_reach_is_refused_whatever_the_shape),
    cmocka_unit_test(names_find_their_shapes),
};

HOST_TEST_MAIN(tests, NULL)
