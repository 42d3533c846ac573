// SPDX-License-Identifier: MIT
/* Tests of kernel/options.c: what is accepted, and for each kind of refusal the whole message,
 * because the message is what the user gets: it must name command, option and culprit, and what is
 * allowed. */
#include "tests/host/host_test.h"

#include <string.h>

#include "kernel/options.h"
#include "tests/host/kernel_fake_console.h"

static const char *const loads[] = {"idle", "busy", NULL};

static bool json;
static uint64_t flips, load;
static struct number_list sites, protocols;
static const char *text;
static int argc;
static char *argv[16];
static char words[256];

/* Parses a line of blank-separated words. */
static bool parse(const char *line, int least, int most)
{
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_NUMBER("--flips", &flips, 1, 1000),
        OPTION_NUMBER_LIST("--sites", &sites, 1, 256),
        OPTION_CHOICE("--load", &load, loads),
        OPTION_CHOICE_LIST("--protocol", &protocols, loads),
        OPTION_TEXT("--text", &text),
    };

    json = false;
    flips = 100;
    load = 0;
    sites = (struct number_list){.count = 1, .values = {56}};
    protocols = (struct number_list){.count = 0};
    text = "default";
    argc = 0;
    strcpy(words, line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    fake_console_reset();
    return options_parse(options, ARRAY_COUNT(options), &argc, argv, least, most);
}

static void assert_refused(const char *line, int least, int most, const char *message)
{
    assert_false(parse(line, least, most));
    assert_string_equal(fake_console_text, message);
}

static void defaults_stand_if_nothing_is_given(void **state)
{
    (void)state;
    assert_true(parse("bench", 0, 0));
    assert_false(json);
    assert_int_equal(flips, 100);
    assert_int_equal(sites.count, 1);
    assert_string_equal(text, "default");
    assert_string_equal(fake_console_text, "");
}

static void every_kind_is_read_in_both_forms(void **state)
{
    (void)state;
    assert_true(parse("bench poke --flips 7 -j --sites=1,4,0x10-18 --load busy "
                      "--protocol=busy,idle --text -x last",
                      1, 2));
    assert_true(json);
    assert_int_equal(flips, 7);
    assert_int_equal(sites.count, 5);
    assert_int_equal(sites.values[1], 4);
    assert_int_equal(sites.values[2], 16);
    assert_int_equal(sites.values[4], 18);
    assert_int_equal(load, 1);
    assert_int_equal(protocols.count, 2);
    assert_int_equal(protocols.values[0], 1);
    assert_string_equal(text, "-x");
    assert_int_equal(argc, 3);
    assert_string_equal(argv[1], "poke");
    assert_string_equal(argv[2], "last");
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    assert_true(parse("panic -- -j", 1, 1));
    assert_false(json);
    assert_string_equal(argv[1], "-j");
    assert_true(parse("key -", 1, 1)); /* a lone dash is a word */
}

static void wrong_numbers_are_named(void **state)
{
    (void)state;
    assert_refused("bench --sites 12x", 0, 0,
                   "bench: --sites: '12x' is not a number (allowed: 1 to 256)\n");
    assert_refused("bench --sites 1,,4", 0, 0,
                   "bench: --sites: '' is not a number (allowed: 1 to 256)\n");
    assert_refused("bench --sites 1,300,4", 0, 0,
                   "bench: --sites: '300' is out of range (allowed: 1 to 256)\n");
    assert_refused("bench --sites 4-", 0, 0,
                   "bench: --sites: '4-' is not a number (allowed: 1 to 256)\n");
    assert_refused("bench --sites -1", 0, 0,
                   "bench: --sites: '-1' is not a number (allowed: 1 to 256)\n");
    assert_refused("bench --sites 9-4", 0, 0,
                   "bench: --sites: range '9-4' ends before it begins\n");
    assert_refused("bench --sites 1-256,7", 0, 0, "bench: --sites: more than 256 values\n");
    assert_refused("bench --flips 0", 0, 0,
                   "bench: --flips: '0' is out of range (allowed: 1 to 1000)\n");
    assert_refused("bench --flips -5", 0, 0,
                   "bench: --flips: '-5' is not a number (allowed: 1 to 1000)\n");
    assert_refused("bench --flips 18446744073709551616", 0, 0,
                   "bench: --flips: '18446744073709551616' is out of range (allowed: 1 to 1000)\n");
    assert_refused(
        "bench --flips 18446744073709551616x", 0, 0,
        "bench: --flips: '18446744073709551616x' is not a number (allowed: 1 to 1000)\n");
    assert_refused("bench --flips 0x", 0, 0,
                   "bench: --flips: '0x' is not a number (allowed: 1 to 1000)\n");
}

static void wrong_words_are_named(void **state)
{
    (void)state;
    assert_refused("bench --load lazy", 0, 0,
                   "bench: --load: 'lazy' is unknown (allowed: idle, busy)\n");
    assert_refused("bench --load bus", 0, 0,
                   "bench: --load: 'bus' is unknown (allowed: idle, busy)\n");
    assert_refused("bench --protocol idle,x", 0, 0,
                   "bench: --protocol: 'x' is unknown (allowed: idle, busy)\n");
    assert_refused("bench --what", 0, 0, "bench: unknown option '--what'\n");
    assert_refused("bench --flipsy=1", 0, 0, "bench: unknown option '--flipsy=1'\n");
    assert_refused("bench --flips", 0, 0, "bench: --flips: value missing\n");
    assert_refused("bench -j=1", 0, 0, "bench: -j: takes no value, but '1' follows\n");
}

static void too_few_and_too_many_words_are_said(void **state)
{
    (void)state;
    assert_refused("key", 1, 2, "key: argument missing\n");
    assert_refused("ver now", 0, 0, "ver: unexpected argument 'now'\n");
    assert_refused("key a b -j c", 1, 2, "key: unexpected argument 'c'\n");
}

static void numbers_are_read_whole_up_to_64_bits(void **state)
{
    uint64_t value = 0;

    (void)state;
    assert_true(options_read_number("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_true(options_read_number("0xFFFFffffFFFFffff", &value));
    assert_true(value == UINT64_MAX);
    assert_true(options_read_number("007", &value));
    assert_int_equal(value, 7);
    assert_false(options_read_number("0x10000000000000000", &value));
    assert_false(options_read_number("", &value));
    assert_false(options_read_number("1 ", &value));
    assert_false(options_read_number("a", &value));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(defaults_stand_if_nothing_is_given),
    cmocka_unit_test(every_kind_is_read_in_both_forms),
    cmocka_unit_test(two_dashes_end_the_options),
    cmocka_unit_test(wrong_numbers_are_named),
    cmocka_unit_test(wrong_words_are_named),
    cmocka_unit_test(too_few_and_too_many_words_are_said),
    cmocka_unit_test(numbers_are_read_whole_up_to_64_bits),
};

HOST_TEST_MAIN(tests, NULL)
