// SPDX-License-Identifier: MIT
/* Tests of kernel/table.c: the same calls must give aligned columns and valid JSON. Literals are
 * compared whole, so a missing comma, quote or space shows; the overflow test counts braces and
 * quotes instead. */
#include "tests/host/host_test.h"

#include <string.h>

#include "kernel/table.h"
#include "tests/host/kernel_fake_console.h"

#define NUMBERS 100 /* times 20 digits: more than a row */

static struct table table;

static int reset(void **state)
{
    (void)state;
    fake_console_reset();
    return 0;
}

static void print_two_rows(bool json)
{
    const uint64_t steps[] = {1, 22, 333};

    table_begin(&table, "poke", json);
    for (int row = 0; row < 2; row++) {
        table_row(&table);
        table_text(&table, "name", 8, row == 0 ? "a" : "bench.56");
        table_bool(&table, "on", 3, row == 0);
        table_number(&table, "count", 3, row == 0 ? 7 : 56789);
        table_signed(&table, "skew", 5, row == 0 ? -3 : 3);
        table_hex(&table, "addr", 6, 0xabc);
        table_time(&table, "total_ns", 9, row == 0 ? 12345 : 5);
        table_numbers(&table, "step_ns", 9, steps, row == 0 ? 3 : 0);
        table_text(&table, "last", 9, "x");
        table_end_row(&table);
    }
    table_end(&table);
}

static void people_see_aligned_columns(void **state)
{
    (void)state;
    print_two_rows(false);
    assert_string_equal(fake_console_text,
                        "name       on  count   skew    addr   total_us    step_ns  last\n"
                        "a         yes      7     -3   0xabc     12.345   1,22,333  x\n"
                        "bench.56   no  56789      3   0xabc      0.005             x\n");
}

static void programs_see_one_object_a_line(void **state)
{
    (void)state;
    print_two_rows(true);
    assert_string_equal(
        fake_console_text,
        "{\"kind\":\"poke\",\"name\":\"a\",\"on\":true,\"count\":7,\"skew\":-3,\"addr\":\"0xabc\","
        "\"total_ns\":12345,\"step_ns\":[1,22,333],\"last\":\"x\"}\n"
        "{\"kind\":\"poke\",\"name\":\"bench.56\",\"on\":false,\"count\":56789,\"skew\":3,"
        "\"addr\":\"0xabc\",\"total_ns\":5,\"step_ns\":[],\"last\":\"x\"}\n");
}

static void fractions_and_what_is_not_there(void **state)
{
    (void)state;
    for (int json = 0; json < 2; json++) {
        table_begin(&table, "t", json);
        for (int row = 0; row < 3; row++) {
            table_row(&table);
            table_thousandths(&table, "ns", 7, (const int64_t[]){12345, -7, INT64_MIN}[row]);
            table_none(&table, "why", 4);
            table_end_row(&table);
        }
        table_end(&table);
    }
    assert_string_equal(fake_console_text, "     ns   why\n"
                                           " 12.345     -\n"
                                           " -0.007     -\n"
                                           "-9223372036854775.808     -\n"
                                           "{\"kind\":\"t\",\"ns\":12.345,\"why\":null}\n"
                                           "{\"kind\":\"t\",\"ns\":-0.007,\"why\":null}\n"
                                           "{\"kind\":\"t\",\"ns\":-9223372036854775.808,"
                                           "\"why\":null}\n");
}

static void strings_cannot_break_out(void **state)
{
    const char *nasty = "q\"b\\n\n\033[2J\xff";

    (void)state;
    for (int json = 0; json < 2; json++) {
        table_begin(&table, "t", json);
        table_row(&table);
        table_text(&table, "v", 0, nasty);
        table_end_row(&table);
        table_end(&table);
    }
    assert_string_equal(fake_console_text,
                        "v\nq\"b\\n\\u000a\\u001b[2J\\u00ff\n"
                        "{\"kind\":\"t\",\"v\":\"q\\\"b\\\\n\\u000a\\u001b[2J\\u00ff\"}\n");
}

static void no_rows_say_none_to_people_and_nothing_to_programs(void **state)
{
    (void)state;
    table_begin(&table, "t", true);
    table_end(&table);
    assert_string_equal(fake_console_text, "");
    table_begin(&table, "t", false);
    table_end(&table);
    assert_string_equal(fake_console_text, "(none)\n");
}

static void a_list_of_texts_is_quoted_one_by_one_or_left_out_whole(void **state)
{
    static const char *const texts[] = {"a+0x1", "\"b\"", ""};
    static const char *many[2 * NUMBERS];

    (void)state;
    for (size_t i = 0; i < 2 * NUMBERS; i++) {
        many[i] = "twelve bytes";
    }
    for (int json = 0; json < 2; json++) {
        table_begin(&table, "t", json != 0);
        table_row(&table);
        table_texts(&table, "none", 0, texts, 0);
        table_texts(&table, "stack", 0, texts, 3);
        table_texts(&table, "many", 0, many, 2 * NUMBERS);
        table_end_row(&table);
    }
    assert_string_equal(fake_console_text,
                        "none  stack\n      a+0x1 < \"b\" <  ...\n"
                        "{\"kind\":\"t\",\"none\":[],\"stack\":[\"a+0x1\",\"\\\"b\\\"\",\"\"],"
                        "\"truncated\":true}\n");
}

static void a_field_that_does_not_fit_is_left_out_and_said_so(void **state)
{
    static uint64_t many[NUMBERS];
    static char text[TABLE_ROW_MAX + 10];

    (void)state;
    memset(text, '"', sizeof(text) - 1); /* each becomes two bytes */
    for (size_t i = 0; i < NUMBERS; i++) {
        many[i] = UINT64_MAX;
    }
    table_begin(&table, "t", true);
    table_row(&table);
    table_text(&table, "text", 0, text);
    table_numbers(&table, "many", 0, many, NUMBERS);
    table_number(&table, "small", 0, 1);
    table_end_row(&table);
    assert_string_equal(fake_console_text, "{\"kind\":\"t\",\"small\":1,\"truncated\":true}\n");

    fake_console_reset();
    table_begin(&table, "t", false);
    table_row(&table);
    table_number(&table, "small", 0, 1);
    table_text(&table, "text", 0, text);
    table_end_row(&table);
    assert_string_equal(fake_console_text, "small  text\n    1 ...\n");
}

/* Every length around the limit: the row ends as an object, whatever fits last. */
static void rows_of_every_length_are_closed(void **state)
{
    static char text[TABLE_ROW_MAX + 1];

    (void)state;
    for (size_t length = TABLE_ROW_MAX - 100; length < TABLE_ROW_MAX; length++) {
        memset(text, 'x', length);
        text[length] = '\0';
        fake_console_reset();
        table_begin(&table, "t", true);
        table_row(&table);
        table_text(&table, "v", 0, text);
        table_end_row(&table);
        size_t printed = strlen(fake_console_text);

        assert_true(printed <= TABLE_ROW_MAX);
        assert_string_equal(fake_console_text + printed - 2, "}\n");
        bool whole = strstr(fake_console_text, "truncated") == NULL;

        assert_int_equal(printed,
                         whole ? length + 20 : strlen("{\"kind\":\"t\",\"truncated\":true}\n"));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(people_see_aligned_columns, reset),
    cmocka_unit_test_setup(programs_see_one_object_a_line, reset),
    cmocka_unit_test_setup(fractions_and_what_is_not_there, reset),
    cmocka_unit_test_setup(strings_cannot_break_out, reset),
    cmocka_unit_test_setup(no_rows_say_none_to_people_and_nothing_to_programs, reset),
    cmocka_unit_test_setup(a_list_of_texts_is_quoted_one_by_one_or_left_out_whole, reset),
    cmocka_unit_test_setup(a_field_that_does_not_fit_is_left_out_and_said_so, reset),
    cmocka_unit_test_setup(rows_of_every_length_are_closed, reset),
};

HOST_TEST_MAIN(tests, NULL)
