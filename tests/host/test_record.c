// SPDX-License-Identifier: MIT
/* Records, histograms and sorting: the small parts. */
#include "patching/record.h"

#include "patching/heap_sort.h"
#include "patching/histogram.h"
#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <pthread.h>
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

static unsigned readers_stop;

/* Copies whatever record is being overwritten next. Returns how many came out whole, or a torn one. */
static void *read_records(void *result)
{
    struct patch_record record;
    uint64_t whole = 0;
    uint64_t torn = 0;

    while (!__atomic_load_n(&readers_stop, __ATOMIC_ACQUIRE)) {
        uint64_t newest = patch_record_newest();
        uint64_t oldest = newest > PATCH_RECORD_RING ? newest - PATCH_RECORD_RING + 1 : 1;

        if (patch_record_get(oldest, &record)) {
            whole++;
            torn += record.wall_ns != record.total_ns || record.seq != oldest;
        }
    }
    ((uint64_t *)result)[0] = whole;
    ((uint64_t *)result)[1] = torn;
    return NULL;
}

/* Sees a torn copy only if writer and reader meet in one slot; the reader stays at the slot that is
 * overwritten next, so they meet all the time. */
static void record_that_is_overwritten_is_never_read_torn(void **state)
{
    (void)state;
    pthread_t reader;
    uint64_t result[2];

    readers_stop = 0;
    platform_lock();
    assert_int_equal(pthread_create(&reader, NULL, read_records, result), 0);
    for (uint64_t i = 0; i < 2000000; i++) {
        add_record(i);
    }
    platform_unlock();
    __atomic_store_n(&readers_stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(result[0] > 0);
    assert_int_equal(result[1], 0);
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
    cmocka_unit_test_setup(record_that_is_overwritten_is_never_read_torn, setup),
    cmocka_unit_test_setup(histogram_buckets_are_ordered_and_bound_the_error, setup),
    cmocka_unit_test_setup(quantiles_of_known_samples_are_right, setup),
    cmocka_unit_test_setup(merged_histogram_equals_one_of_all_samples, setup),
    cmocka_unit_test_setup(heap_sort_orders_every_length_and_keeps_every_element, setup),
};

HOST_TEST_MAIN(tests, NULL)
