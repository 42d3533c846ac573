// SPDX-License-Identifier: MIT
/* Images of dispatchers executed by the real CPU: every shape, every number of targets, every
 * target and many values that are none. Detects whatever makes a call arrive elsewhere, twice or
 * never, and a register or a stack that is not kept; the half is int3 but for the image, so a way
 * out of it ends the program. Could miss: targets that have no memory in a process, at negative
 * addresses; test_dispatcher_image.c reads images for them. */
#include "patching/dispatcher_image.h"

#include "tests/host/ranking.h"
#include "tests/host/thunk_call.h"

#include <string.h>
#include <sys/mman.h>

enum {
    PLACE_BYTES = 16,      /* of a target: a call that tells where it stands */
    PLACE_CALL_BYTES = 5,  /* call rel32 */
    AREA_BYTES = 64 << 10, /* of targets, in front of the image and behind it */
    PLACES = AREA_BYTES / PLACE_BYTES,
    INT3 = 0xcc,
    CALL = 0xe8,
    FLAGS_OF_C = 0x202, /* interrupts on, as it must be; bit 1 always is */
};

static uint8_t *image; /* the half; areas of targets around it, then the fallback's place */
static uint64_t fallback;

/* Where the call arrived, behind the call there; from the assembler text below. */
uint64_t image_arrived_behind;
extern const uint8_t image_arrived[];

/* A place calls this: what it pushed is taken off again, so the stack is as the caller left it. */
__asm__(".text\n"
        "image_arrived:\n\t"
        "pop image_arrived_behind\n\t"
        "jmp thunk_target\n");

static void write_place(uint8_t *place)
{
    int32_t distance = (int32_t)(image_arrived - (place + PLACE_CALL_BYTES));

    memset(place, INT3, PLACE_BYTES);
    place[0] = CALL;
    memcpy(place + 1, &distance, sizeof(distance));
}

/* Maps image and places below 2 GiB, where a compare with 32 bits can name them. */
static int group_setup(void **state)
{
    const size_t size = AREA_BYTES + DISPATCHER_HALF_BYTES + AREA_BYTES + PLACE_BYTES;
    uint8_t *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

    (void)state;
    if (memory == MAP_FAILED) {
        return -1;
    }
    image = memory + AREA_BYTES;
    fallback = (uint64_t)image + DISPATCHER_HALF_BYTES + AREA_BYTES;
    for (size_t at = 0; at < size; at += PLACE_BYTES) {
        if (at < AREA_BYTES || at >= AREA_BYTES + DISPATCHER_HALF_BYTES) {
            write_place(memory + at);
        }
    }
    return mprotect(memory, size, PROT_READ | PROT_EXEC);
}

/* Places as targets, ascending: some are neighbours, some lie behind the image. */
static void draw_targets(uint64_t *targets, unsigned count, uint64_t *random)
{
    unsigned step = 2 * PLACES / (count + 1);
    unsigned place = 0;

    for (unsigned i = 0; i < count; i++) {
        bool is_neighbour = next_random(random) % 2 == 0;

        place += is_neighbour ? 1 : 1 + (unsigned)(next_random(random) % step);
        targets[i] = (uint64_t)image - AREA_BYTES + (uint64_t)place * PLACE_BYTES +
                     (place >= PLACES ? DISPATCHER_HALF_BYTES : 0);
    }
}

static void write_image(const struct dispatcher_image_request *request)
{
    static uint8_t bytes[DISPATCHER_HALF_BYTES];
    size_t length = 0;

    assert_int_equal(dispatcher_image_generate(request, bytes, &length, NULL), PATCH_OK);
    assert_in_range(length, 1, sizeof(bytes));
    assert_int_equal(mprotect(image, DISPATCHER_HALF_BYTES, PROT_READ | PROT_WRITE), 0);
    memset(image, INT3, DISPATCHER_HALF_BYTES);
    memcpy(image, bytes, length);
    assert_int_equal(mprotect(image, DISPATCHER_HALF_BYTES, PROT_READ | PROT_EXEC), 0);
}

/* Calls the image with @value in rdx and anything in the others. */
static void expect_arrival(uint64_t value, uint64_t place, uint64_t *random)
{
    enum { RDX = 2 };

    for (unsigned i = 0; i < ARRAY_COUNT(thunk_given.general); i++) {
        thunk_given.general[i] = next_random(random);
    }
    thunk_given.general[RDX] = value;
    thunk_given.flags = (next_random(random) & THUNK_FLAGS) | FLAGS_OF_C;
    image_arrived_behind = 0;
    thunk_call_given((uint64_t)image);
    assert_int_equal(image_arrived_behind - PLACE_CALL_BYTES, place);
}

/* The number of the target that is @value, or @count. */
static unsigned find_target(const struct dispatcher_image_request *request, uint64_t value)
{
    unsigned i = 0;

    while (i < request->count && request->targets[i] != value) {
        i++;
    }
    return i;
}

/* Values that are no targets, some of them nearly: they go to the fallback. */
static void expect_misses(const struct dispatcher_image_request *request, uint64_t *random)
{
    static const uint64_t edges[] = {0, 1, (uint64_t)-1, 1ull << 63, ~0ull >> 1, 1ull << 31};

    for (unsigned i = 0; i < request->count; i++) {
        uint64_t target = request->targets[i];
        const uint64_t near[] = {
            target - 1,
            target + 1,
            target - PLACE_BYTES,
            target + PLACE_BYTES,
            target ^ 1ull << 32,
            target ^ 1ull << 63,
            target | 0xffffffffull << 32,
        };

        for (unsigned j = 0; j < ARRAY_COUNT(near); j++) {
            if (find_target(request, near[j]) == request->count) {
                expect_arrival(near[j], request->fallback, random);
            }
        }
    }
    for (unsigned i = 0; i < ARRAY_COUNT(edges); i++) {
        expect_arrival(edges[i], request->fallback, random);
    }
    expect_arrival(request->fallback, request->fallback, random);
}

/* How many of the hottest targets a shape compares with. */
static unsigned compared(enum dispatcher_shape shape, unsigned count)
{
    unsigned most = shape == DISPATCHER_NONE   ? 0
                    : shape == DISPATCHER_HOT1 ? 1
                    : shape == DISPATCHER_HOT2 ? 2
                                               : count;

    return most < count ? most : count;
}

static void expect_all_arrivals(enum dispatcher_shape shape, unsigned count, uint64_t *random)
{
    uint64_t targets[DISPATCHER_ENTRY_MAX];
    uint8_t hottest[DISPATCHER_ENTRY_MAX];
    const struct dispatcher_image_request request = {.shape = shape,
                                                     .count = count,
                                                     .address = (uint64_t)image,
                                                     .fallback = fallback,
                                                     .targets = targets,
                                                     .hottest = hottest};

    draw_targets(targets, count, random);
    ranking_draw(hottest, count, random);
    write_image(&request);
    for (unsigned rank = 0; rank < count; rank++) {
        uint64_t target = targets[hottest[rank]];

        expect_arrival(target, rank < compared(shape, count) ? target : fallback, random);
    }
    expect_misses(&request, random);
}

static void calls_arrive_where_they_should(enum dispatcher_shape shape)
{
    uint64_t random = 88172645463325252 + shape;

    for (unsigned count = 0; count <= DISPATCHER_ENTRY_MAX; count++) {
        expect_all_arrivals(shape, count, &random);
    }
}

/* A test for each shape. */
#define SHAPES(each)                                                                               \
    each(tree, DISPATCHER_TREE) each(tree4, DISPATCHER_TREE4) each(linear, DISPATCHER_LINEAR)      \
        each(linear_cold, DISPATCHER_LINEAR_COLD) each(hot1, DISPATCHER_HOT1)                      \
            each(hot2, DISPATCHER_HOT2) each(none, DISPATCHER_NONE)
#define SHAPE_FUNCTION(name, shape)                                                                \
    static void calls_through_##name##_arrive(void **state)                                        \
    {                                                                                              \
        (void)state;                                                                               \
        calls_arrive_where_they_should(shape);                                                     \
    }
#define SHAPE_TEST(name, shape) cmocka_unit_test(calls_through_##name##_arrive),

SHAPES(SHAPE_FUNCTION)

extern const uint8_t __x86_indirect_thunk_rdx[];

/* The fallback may be the real one: then a call that misses still arrives where rdx says. */
static void miss_through_the_thunk_arrives_at_its_target(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252, hot = (uint64_t)image - PLACE_BYTES;
    const struct dispatcher_image_request request = {.shape = DISPATCHER_TREE,
                                                     .count = 1,
                                                     .address = (uint64_t)image,
                                                     .fallback = (uint64_t)__x86_indirect_thunk_rdx,
                                                     .targets = &hot,
                                                     .hottest = (const uint8_t[]){0}};

    write_image(&request);
    expect_arrival(hot, hot, &random);
    expect_arrival(hot - PLACE_BYTES, hot - PLACE_BYTES, &random);
    expect_arrival(fallback, fallback, &random);
}

static const struct CMUnitTest tests[] = {
    SHAPES(SHAPE_TEST) cmocka_unit_test(miss_through_the_thunk_arrives_at_its_target),
};

HOST_TEST_MAIN(tests, group_setup)
