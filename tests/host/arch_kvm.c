// SPDX-License-Identifier: MIT
/* Tests of the pure parts of what KVM offers: a host's clock (arch/kvm_clock.h), against a
 * calculation bit by bit, and sets of CPUs (arch/kvm.h). The sanitizers catch what is undefined. */
#include "tests/host/host_test.h"

#include "arch/kvm.h"
#include "arch/kvm_clock.h"

#define RANDOM_CLOCKS 200000

/* ---- clock ---- */

static void time_goes_on_from_the_writing(void **state)
{
    const struct pvclock clock = {.tsc = 1000, .ns = 5000, .multiplier = 0x80000000u};

    (void)state;
    assert_int_equal(pvclock_ns(&clock, 1000), 5000);
    assert_int_equal(pvclock_ns(&clock, 1002), 5001);
    assert_int_equal(pvclock_ns(&clock, 3000), 6000);
}

static void tsc_before_the_writing_is_that_of_the_writing(void **state)
{
    const struct pvclock clock = {.tsc = 1000, .ns = 5000, .multiplier = 0x80000000u};

    (void)state;
    assert_int_equal(pvclock_ns(&clock, 999), 5000);
    assert_int_equal(pvclock_ns(&clock, 0), 5000);
}

static void ticks_are_shifted_before_they_are_multiplied(void **state)
{
    struct pvclock clock = {.multiplier = 0x80000000u, .shift = 3};

    (void)state;
    assert_int_equal(pvclock_ns(&clock, 1001), 4004);
    clock.shift = -3;
    assert_int_equal(pvclock_ns(&clock, 1015), 63); /* 126 ticks: what is shifted out is lost */
}

/* 2^63 ticks times a 32-bit number take 95 bits. */
static void long_time_does_not_overflow(void **state)
{
    const struct pvclock clock = {.ns = 7, .multiplier = 0xffffffffu};

    (void)state;
    assert_int_equal(pvclock_ns(&clock, 1ull << 63), 7 + (1ull << 63) - (1ull << 31));
    assert_int_equal(pvclock_ns(&clock, UINT64_MAX), 7 + UINT64_MAX - 0x100000000ull);
}

/* The product, 32 fraction bits cut off, by shifts and additions of halves. */
static uint64_t product_cut(uint64_t ticks, uint32_t multiplier)
{
    return (ticks >> 32) * multiplier + ((ticks & UINT32_MAX) * multiplier >> 32);
}

static void random_clocks_follow_the_definition(void **state)
{
    uint64_t random = 0x5eed;

    (void)state;
    for (unsigned i = 0; i < RANDOM_CLOCKS; i++) {
        const struct pvclock clock = {.tsc = next_random(&random) >> (i % 64),
                                      .ns = next_random(&random),
                                      .multiplier = (uint32_t)next_random(&random),
                                      .shift = (int8_t)(next_random(&random) % 64 - 32)};
        uint64_t passed = next_random(&random) >> (i / 64 % 64);
        uint64_t tsc = clock.tsc + passed;
        uint64_t ticks = tsc > clock.tsc ? passed : 0;

        ticks = clock.shift < 0 ? ticks >> -clock.shift : ticks << clock.shift;
        assert_int_equal(pvclock_ns(&clock, tsc), clock.ns + product_cut(ticks, clock.multiplier));
    }
}

/* The host may write anything: some time comes out, and nothing undefined is done. */
static void any_shift_is_harmless(void **state)
{
    (void)state;
    for (int shift = INT8_MIN; shift <= INT8_MAX; shift++) {
        const struct pvclock clock = {.ns = 3, .multiplier = 0, .shift = (int8_t)shift};

        assert_int_equal(pvclock_ns(&clock, UINT64_MAX), 3);
    }
}

/* ---- sets of CPUs ---- */

static void ids_from_the_lowest_on_fit(void **state)
{
    struct kvm_ipi_set set = {.lowest = 0};

    (void)state;
    assert_true(kvm_ipi_set_add(&set, 0));
    assert_true(kvm_ipi_set_add(&set, 63));
    assert_true(kvm_ipi_set_add(&set, 64));
    assert_true(kvm_ipi_set_add(&set, 127));
    assert_int_equal(set.bits[0], 1ull | 1ull << 63);
    assert_int_equal(set.bits[1], 1ull | 1ull << 63);
}

static void ids_outside_are_refused_and_change_nothing(void **state)
{
    struct kvm_ipi_set set = {.lowest = 10};

    (void)state;
    assert_false(kvm_ipi_set_add(&set, 9));
    assert_false(kvm_ipi_set_add(&set, 0));
    assert_false(kvm_ipi_set_add(&set, 10 + KVM_IPI_SPAN));
    assert_false(kvm_ipi_set_add(&set, UINT32_MAX));
    assert_int_equal(set.bits[0] | set.bits[1], 0);
    set.lowest = 0;
    assert_false(kvm_ipi_set_add(&set, 128));
    assert_int_equal(set.bits[0] | set.bits[1], 0);
}

static void sparse_ids_are_counted_from_the_lowest(void **state)
{
    struct kvm_ipi_set set = {.lowest = UINT32_MAX - 100};

    (void)state;
    assert_true(kvm_ipi_set_add(&set, UINT32_MAX - 100));
    assert_true(kvm_ipi_set_add(&set, UINT32_MAX));
    assert_false(kvm_ipi_set_add(&set, 3)); /* 104 behind it, around the end */
    assert_int_equal(set.bits[0], 1);
    assert_int_equal(set.bits[1], 1ull << (100 - 64));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(time_goes_on_from_the_writing),
    cmocka_unit_test(tsc_before_the_writing_is_that_of_the_writing),
    cmocka_unit_test(ticks_are_shifted_before_they_are_multiplied),
    cmocka_unit_test(long_time_does_not_overflow),
    cmocka_unit_test(random_clocks_follow_the_definition),
    cmocka_unit_test(any_shift_is_harmless),
    cmocka_unit_test(ids_from_the_lowest_on_fit),
    cmocka_unit_test(ids_outside_are_refused_and_change_nothing),
    cmocka_unit_test(sparse_ids_are_counted_from_the_lowest),
};

HOST_TEST_MAIN(tests, NULL)
