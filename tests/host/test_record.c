// SPDX-License-Identifier: MIT
/* Records, histograms and sorting: the small parts. */
#include "patching/record.h"

#include "patching/heap_sort.h"
#include "patching/histogram.h"
#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"
#include "tests/host/single_step.h"

#include <string.h>

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static void add_record(uint64_t mark)
{
    struct patch_record record;

    memset(&record, (int)(mark & 0x7f), sizeof(record));
    record.wall_ns = mark;
    record.total_ns = mark;
    patch_record_add(&record);
}

static void ring_keeps_the_last_256_records(void **state)
{
    (void)state;
    struct patch_record record;
    uint64_t start = patch_record_newest();

    platform_lock();
    for (uint64_t i = 1; i <= 300; i++) {
        add_record(i);
        assert_int_equal(patch_record_newest(), start + i);
    }
    platform_unlock();
    assert_false(patch_record_get(start + 300 - 256, &record));
    assert_false(patch_record_get(start + 301, &record));
    assert_false(patch_record_get(0, &record));
    for (uint64_t i = 300 - 255; i <= 300; i++) {
        assert_true(patch_record_get(start + i, &record));
        assert_int_equal(record.seq, start + i);
        assert_int_equal(record.wall_ns, i);
    }
}

static uint64_t oldest_record; /* whose slot the next record takes */
static unsigned whole_copies;
static unsigned torn_copies;

static void count_copy(bool copied, const struct patch_record *record)
{
    whole_copies += copied;
    torn_copies += copied && (record->seq != oldest_record || record->wall_ns != record->total_ns);
}

static void read_oldest_record(void)
{
    struct patch_record record;
    bool copied = patch_record_get(oldest_record, &record);

    count_copy(copied, &record);
}

static void fill_ring(void)
{
    for (uint64_t i = 0; i < PATCH_RECORD_RING; i++) {
        add_record(i);
    }
    oldest_record = patch_record_newest() - PATCH_RECORD_RING + 1;
}

static void record_is_read_whole_or_not_at_all_while_it_is_overwritten(void **state)
{
    (void)state;
    whole_copies = 0;
    torn_copies = 0;
    platform_lock();
    fill_ring();
    single_step_begin(read_oldest_record);
    add_record(4711);
    single_step_end();
    platform_unlock();
    assert_in_range(whole_copies, 1, single_step_count() - 1);
    assert_int_equal(torn_copies, 0);
}

static unsigned overwrite_at_step;

static void overwrite_oldest_record(void)
{
    if (single_step_count() == overwrite_at_step) {
        add_record(4711);
    }
}

static void record_overwritten_while_it_is_read_is_not_returned(void **state)
{
    (void)state;
    struct patch_record record;

    whole_copies = 0;
    torn_copies = 0;
    platform_lock();
    overwrite_at_step = 0;
    do {
        overwrite_at_step++;
        fill_ring();
        single_step_begin(overwrite_oldest_record);
        bool copied = patch_record_get(oldest_record, &record);

        single_step_end();
        count_copy(copied, &record);
    } while (overwrite_at_step <= single_step_count());
    platform_unlock();
    assert_in_range(whole_copies, 1, overwrite_at_step - 1);
    assert_int_equal(torn_copies, 0);
}

static void histogram_buckets_are_ordered_and_bound_the_error(void **state)
{
    (void)state;
    unsigned last = 0;

    for (uint64_t value = 0; value < (uint64_t)1 << 44; value += 1 + value / 37) {
        struct histogram histogram = {0};
        unsigned bucket = histogram_bucket(value);

        assert_true(bucket >= last && bucket <= last + 1 && bucket < HISTOGRAM_BUCKETS);
        last = bucket;
        histogram_add(&histogram, value);
        histogram_add(&histogram, (uint64_t)1 << 45); /* so that the maximum does not clamp */
        uint64_t median = histogram_quantile(&histogram, 500);

        if (bucket < HISTOGRAM_BUCKETS - 1) {
            assert_true(median >= value && median - value <= value / 16);
        }
    }
}

static void quantiles_of_known_samples_are_right(void **state)
{
    (void)state;
    struct histogram histogram = {0};

    assert_int_equal(histogram_quantile(&histogram, 500), 0);
    for (uint64_t i = 1; i <= 1000; i++) {
        histogram_add(&histogram, i % 10 == 0 ? 100000 : 5);
    }
    assert_int_equal(histogram.count, 1000);
    assert_int_equal(histogram.minimum, 5);
    assert_int_equal(histogram.maximum, 100000);
    assert_int_equal(histogram_quantile(&histogram, 0), 5);
    assert_int_equal(histogram_quantile(&histogram, 500), 5);
    assert_int_equal(histogram_quantile(&histogram, 900), 5);
    assert_int_equal(histogram_quantile(&histogram, 901), 100000);
    assert_int_equal(histogram_quantile(&histogram, 1000), 100000);
}

static void merged_histogram_equals_one_of_all_samples(void **state)
{
    (void)state;
    struct histogram all = {0}, odd = {0}, even = {0}, merged = {0};
    uint64_t random = 1;

    for (unsigned i = 0; i < 10000; i++) {
        uint64_t value = next_random(&random) >> (i % 50);

        histogram_add(&all, value);
        histogram_add(i % 2 ? &odd : &even, value);
    }
    histogram_merge(&merged, &odd);
    histogram_merge(&merged, &even);
    assert_memory_equal(&merged, &all, sizeof(all));
    histogram_reset(&odd);
    histogram_merge(&merged, &odd);
    assert_memory_equal(&merged, &all, sizeof(all));
}

struct pair {
    uint64_t key;
    uint64_t value;
};

static bool pair_before(const void *a, const void *b)
{
    return ((const struct pair *)a)->key < ((const struct pair *)b)->key;
}

static void heap_sort_orders_every_length_and_keeps_every_element(void **state)
{
    (void)state;
    static struct pair pairs[1000];
    uint64_t random = 42;

    for (size_t count = 0; count <= 1000; count += 1 + count / 8) {
        uint64_t sum = 0;

        for (size_t i = 0; i < count; i++) {
            pairs[i].key = next_random(&random) % (count + 1);
            pairs[i].value = ~pairs[i].key;
            sum += pairs[i].key;
        }
        heap_sort(pairs, count, sizeof(pairs[0]), pair_before);
        for (size_t i = 0; i < count; i++) {
            assert_true(i == 0 || pairs[i - 1].key <= pairs[i].key);
            assert_int_equal(pairs[i].value, ~pairs[i].key);
            sum -= pairs[i].key;
        }
        assert_int_equal(sum, 0);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(ring_keeps_the_last_256_records, setup),
    cmocka_unit_test_setup(record_is_read_whole_or_not_at_all_while_it_is_overwritten, setup),
    cmocka_unit_test_setup(record_overwritten_while_it_is_read_is_not_returned, setup),
    cmocka_unit_test_setup(histogram_buckets_are_ordered_and_bound_the_error, setup),
    cmocka_unit_test_setup(quantiles_of_known_samples_are_right, setup),
    cmocka_unit_test_setup(merged_histogram_equals_one_of_all_samples, setup),
    cmocka_unit_test_setup(heap_sort_orders_every_length_and_keeps_every_element, setup),
};

HOST_TEST_MAIN(tests, NULL)
