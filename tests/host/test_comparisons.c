// SPDX-License-Identifier: MIT
/* Comparisons emulated by the breakpoint handler against the flags of the real CPU, over edges and
 * random values, in both forms. Detects a flag that is wrong, or touched though cmp leaves it
 * alone, an immediate that is not sign-extended, a word read from elsewhere. Could miss: flags that
 * depend on values no draw here hits. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

enum {
    RANDOM = 40000,
    FLAGS_OTHER = 0x247702, /* trap, interrupt, direction, I/O level, nested, alignment, ID: kept */
    SITE_STRIDE = 16,
};

#define TOP (1ull << 63)

static const uint64_t edges[] = {
    0,          1,           2,          0xf,         0x10,
    0x7f,       0x80,        0xff,       0x100,       0x7fff,
    0x7fffffff, 0x80000000,  0xffffffff, 1ull << 32,  TOP,
    TOP - 1,    TOP + 1,     UINT64_MAX, -2ull,       -16ull,
    -256ull,    -0x8000ull,  INT64_MAX,  -1ull << 31, 0xffffffff80101234,
    0x80101234, -1ull << 32, 0x55555555, 0xaaaaaaaa,  0x1010101010101010,
};

static struct patch_batch batch;
static struct test_site sites[ARRAY_COUNT(edges)];
static uint64_t site_values[ARRAY_COUNT(edges)];
static size_t site_count;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    patch_batch_initialize(&batch, "compare");
    site_count = 0;
    return 0;
}

static void add(const struct site_form *form)
{
    const struct site_form nop = {INSTRUCTION_NOP, INSN_COMPARE_LENGTH, 0, 0};

    sites[site_count] = site_make(site_count * SITE_STRIDE, &nop, form);
    site_add(&batch, &sites[site_count++]);
}

/* The batch in flight, with no int3 written: the handler goes by the batch. */
static void arm(void)
{
    unsigned rounds;

    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    patch_breakpoint_arm(&batch);
}

static void disarm(void)
{
    patch_breakpoint_disarm();
    platform_unlock();
}

static void expect_compared(const struct test_site *site, uint64_t left, uint64_t right,
                            uint64_t flags)
{
    struct patch_registers registers = {.sp = 0x1234, .flags = flags, .ax = left};
    uint64_t expected = recorder_compare(left, right, flags);

    assert_true(recorder_trap(1, site->address, &registers));
    if (registers.flags != expected) {
        fail_msg("cmp %#lx, %#lx: flags %#lx instead of %#lx", left, right, registers.flags,
                 expected);
    }
    assert_int_equal(registers.ip, site->address + site->length);
    assert_int_equal(registers.ax, left);
    assert_int_equal(registers.sp, 0x1234);
}

/* From all clear to all set. */
static uint64_t random_flags(uint64_t *random)
{
    return next_random(random) & (FLAGS_OTHER | 0x8d5);
}

/* A quarter of the draws differs from @near in a few bits only. */
static uint64_t random_value(uint64_t *random, uint64_t near)
{
    uint64_t draw = next_random(random);

    return draw % 4 == 0 ? near + (draw >> 59) - 16 : draw % 4 == 1 ? draw >> (draw >> 58) : draw;
}

static void immediates_set_the_flags_of_the_cpu(void **state)
{
    uint64_t random = 11;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(edges); i++) {
        if (edges[i] == (uint64_t)(int64_t)(int32_t)edges[i]) {
            site_values[site_count] = edges[i];
            add(&(struct site_form){INSTRUCTION_COMPARE, INSN_COMPARE_LENGTH, 0,
                                    (int32_t)edges[i]});
        }
    }
    assert_true(site_count > 15);
    arm();
    for (size_t i = 0; i < site_count; i++) {
        for (size_t j = 0; j < ARRAY_COUNT(edges); j++) {
            expect_compared(&sites[i], edges[j], site_values[i], 2);
            expect_compared(&sites[i], edges[j], site_values[i], FLAGS_OTHER | 0x8d5);
        }
    }
    for (unsigned run = 0; run < RANDOM; run++) {
        size_t i = run % site_count;

        expect_compared(&sites[i], random_value(&random, site_values[i]), site_values[i],
                        random_flags(&random));
    }
    disarm();
}

/* Words ahead and behind, aligned and not: the load is a plain one. */
static void words_in_memory_set_the_flags_of_the_cpu(void **state)
{
    static const int32_t distances[] = {0x1000, 0x1001, 0x3ffd, -0x1000, -0x0fff};
    uint64_t words[ARRAY_COUNT(distances)];
    uint64_t random = 12;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(distances); i++) {
        const struct site_form nop = {INSTRUCTION_NOP, INSN_COMPARE_LENGTH, 0, 0};
        const struct site_form compare = {INSTRUCTION_COMPARE_MEMORY, INSN_COMPARE_LENGTH, 0,
                                          distances[i]};

        sites[i] = site_make(0x8000 + i * SITE_STRIDE, &nop, &compare);
        site_add(&batch, &sites[i]);
        words[i] = sites[i].address + INSN_COMPARE_LENGTH + (uint64_t)(int64_t)distances[i];
    }
    arm();
    for (unsigned run = 0; run < RANDOM; run++) {
        size_t i = run % ARRAY_COUNT(distances);
        bool is_edge = run < 2 * ARRAY_COUNT(edges) * ARRAY_COUNT(edges);
        uint64_t right = is_edge ? edges[run / 2 % ARRAY_COUNT(edges)] : next_random(&random);
        uint64_t left =
            is_edge ? edges[run / 2 / ARRAY_COUNT(edges)] : random_value(&random, right);

        memcpy((void *)words[i], &right, sizeof(right));
        expect_compared(&sites[i], left, right, random_flags(&random));
        memset((void *)words[i], 0xf4, sizeof(right));
    }
    disarm();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(immediates_set_the_flags_of_the_cpu, setup),
    cmocka_unit_test_setup(words_in_memory_set_the_flags_of_the_cpu, setup),
};

HOST_TEST_MAIN(tests, NULL)
