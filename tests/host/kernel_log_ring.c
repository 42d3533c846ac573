// SPDX-License-Identifier: MIT
/* Tests of kernel/log_ring.c: reading while the ring wraps, where an off-by-one would give a record
 * twice, none, or a wrong one. Does not test the lock, which kernel/log.c holds. */
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

#include "kernel/log_ring.h"

static struct log_ring ring;

static int reset(void **state)
{
    (void)state;
    memset(&ring, 0, sizeof(ring));
    return 0;
}

static void append_numbered(uint64_t number)
{
    char text[32];
    int length = snprintf(text, sizeof(text), "line %llu", (unsigned long long)number);

    log_ring_append(&ring, LOG_INFO, (uint32_t)number % 7, number * 10, text, (size_t)length);
}

static void an_empty_ring_has_nothing(void **state)
{
    struct log_record record;

    (void)state;
    assert_false(log_ring_read(&ring, 0, &record));
}

static void every_record_is_read_once_and_in_order(void **state)
{
    struct log_record record;
    uint64_t next = 0;

    (void)state;
    for (uint64_t written = 0; written < 3 * LOG_RING_RECORDS; written++) {
        char expected[32];

        append_numbered(written);
        assert_true(log_ring_read(&ring, next, &record));
        snprintf(expected, sizeof(expected), "line %llu", (unsigned long long)written);
        assert_int_equal(record.sequence, written);
        assert_int_equal(record.time_ns, written * 10);
        assert_int_equal(record.cpu, written % 7);
        assert_string_equal(record.text, expected);
        next = record.sequence + 1;
        assert_false(log_ring_read(&ring, next, &record));
    }
}

static void a_late_reader_gets_the_oldest_that_is_left(void **state)
{
    struct log_record record;
    uint64_t next = 0;
    unsigned count = 0;

    (void)state;
    for (uint64_t i = 0; i < LOG_RING_RECORDS + 5; i++) {
        append_numbered(i);
    }
    for (uint64_t late = 0; late <= 5; late++) {
        assert_true(log_ring_read(&ring, late, &record));
        assert_int_equal(record.sequence, 5);
    }
    while (log_ring_read(&ring, next, &record)) {
        next = record.sequence + 1;
        count++;
    }
    assert_int_equal(count, LOG_RING_RECORDS);
}

static void the_longest_line_fits_with_its_nul(void **state)
{
    char text[LOG_TEXT_MAX];
    struct log_record record;

    (void)state;
    memset(text, 'x', sizeof(text));
    log_ring_append(&ring, LOG_ERROR, 254, 1, text, sizeof(text));
    assert_true(log_ring_read(&ring, 0, &record));
    assert_int_equal(strlen(record.text), LOG_TEXT_MAX);
}

static void lines_end_at_newlines_and_at_the_record(void **state)
{
    char text[400];

    (void)state;
    memset(text, 'x', sizeof(text));
    assert_int_equal(log_ring_line_length("ab\ncd", 5), 2);
    assert_int_equal(log_ring_line_length("ab", 2), 2);
    assert_int_equal(log_ring_line_length("\n", 1), 0);
    assert_int_equal(log_ring_line_length("", 0), 0);
    assert_int_equal(log_ring_line_length(text, sizeof(text)), LOG_TEXT_MAX);
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(log_level_name(LOG_ERROR), "error");
    assert_string_equal(log_level_name(LOG_DEBUG), "debug");
    assert_string_equal(log_level_name((enum log_level)99), "?");
    assert_null(log_level_names[LOG_LEVELS]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(an_empty_ring_has_nothing, reset),
    cmocka_unit_test_setup(every_record_is_read_once_and_in_order, reset),
    cmocka_unit_test_setup(a_late_reader_gets_the_oldest_that_is_left, reset),
    cmocka_unit_test_setup(the_longest_line_fits_with_its_nul, reset),
    cmocka_unit_test(lines_end_at_newlines_and_at_the_record),
    cmocka_unit_test(levels_have_names),
};

HOST_TEST_MAIN(tests, NULL)
