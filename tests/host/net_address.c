// SPDX-License-Identifier: MIT
/* Tests of net/net_address.c and net_address_list.c: which words of ip= are taken, and that each
 * other one is refused for its own reason; a reason that stands for two faults would send a reader
 * looking for the wrong one. */
#include "tests/host/host_test.h"

#include <string.h>

#include "net/ipv4.h"
#include "net/net_address.h"

static struct net_address_choice read_word(const char *text)
{
    struct net_address_choice choice;

    assert_true(net_address_list_take(&text, &choice));
    assert_null(text);
    return choice;
}

static void words_that_are_taken(void **state)
{
    static const struct {
        const char *word;
        enum net_config_source source;
        uint32_t address, mask;
    } rows[] = {
        {"dhcp", NET_CONFIG_DHCP, 0, 0},
        {"none", NET_CONFIG_NONE, 0, 0},
        {"10.0.2.15/24", NET_CONFIG_STATIC, 0x0a00020f, 0xffffff00},
        {"1.0.0.1/8", NET_CONFIG_STATIC, 0x01000001, 0xff000000},
        {"223.255.255.254/1", NET_CONFIG_STATIC, 0xdffffffe, 0x80000000},
        {"192.168.1.5/30", NET_CONFIG_STATIC, 0xc0a80105, 0xfffffffc},
        {"192.168.1.4/31", NET_CONFIG_STATIC, 0xc0a80104, 0xfffffffe}, /* RFC 3021: two hosts */
        {"192.168.1.5/31", NET_CONFIG_STATIC, 0xc0a80105, 0xfffffffe},
        {"192.168.1.0/32", NET_CONFIG_STATIC, 0xc0a80100, 0xffffffff},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct net_address_choice choice = read_word(rows[i].word);

        assert_string_equal(choice.word, rows[i].word);
        assert_null(choice.fault);
        assert_int_equal(choice.source, rows[i].source);
        assert_int_equal(choice.address, rows[i].address);
        assert_int_equal(choice.mask, rows[i].mask);
    }
}

static void words_that_are_refused_say_why(void **state)
{
    static const struct {
        const char *word, *part_of_reason;
    } rows[] = {
        {"", "empty"},
        {"dhcpp", "neither dhcp"},
        {"10.0.2.15", "neither dhcp"},
        {"10.0.2/24", "four numbers"},
        {"10.0.2.256/24", "four numbers"},
        {"10.0.2.15.1/24", "four numbers"},
        {"10.0.2.-1/24", "four numbers"},
        {" 10.0.2.1/24", "four numbers"},
        {"/24", "four numbers"},
        {"10.0.2.15/", "prefix"},
        {"10.0.2.15/33", "prefix"},
        {"10.0.2.15/0", "prefix"},
        {"10.0.2.15/4294967320", "prefix"},
        {"10.0.2.15/24x", "prefix"},
        {"10.0.2.15/024", "prefix"},
        {"10.0.2.15/08", "prefix"},
        {"10.0.2.15/00", "prefix"},
        {"010.0.2.15/24", "four numbers"},
        {"10.0.2.015/24", "four numbers"},
        {"10.00.2.15/24", "four numbers"},
        {"10.0.2.15/24/24", "prefix"},
        {"0.0.0.1/8", "this network"},
        {"0.0.0.0/24", "this network"},
        {"127.0.0.1/8", "loopback"},
        {"224.0.0.1/24", "multicast"},
        {"240.0.0.1/24", "reserved"},
        {"255.255.255.255/24", "reserved"},
        {"255.255.255.255/32", "reserved"},
        {"10.0.2.0/24", "host part is zero"},
        {"10.0.2.255/24", "all ones"},
        {"10.0.2.128/25", "host part is zero"},
        {"10.0.2.127/25", "all ones"},
        {"192.168.1.4/30", "host part is zero"},
        {"192.168.1.7/30", "all ones"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "too long"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct net_address_choice choice = read_word(rows[i].word);

        assert_int_equal(choice.source, NET_CONFIG_NONE);
        assert_non_null(choice.fault);
        assert_non_null(strstr(choice.fault, rows[i].part_of_reason));
    }
}

static void masks_are_leading_ones(void **state)
{
    (void)state;
    for (unsigned prefix = 1; prefix <= 32; prefix++) {
        uint32_t mask = UINT32_MAX << (32 - prefix);

        assert_int_equal(net_address_prefix(mask), prefix);
        assert_null(net_address_fault(0x0a55aa56, mask));
        if (prefix < 32) { /* with a hole behind the first one */
            assert_non_null(net_address_fault(0x0a55aa56, mask >> 1));
        }
    }
    assert_int_equal(net_address_prefix(0), 0);
    assert_non_null(net_address_fault(0x0a55aa56, 0));
    assert_non_null(net_address_fault(0x0a55aa56, 0xff00ff00));
    assert_non_null(net_address_fault(0x0a55aa56, 0x00000001));
}

static void lists_are_taken_word_by_word(void **state)
{
    static const char *const words[] = {"10.0.2.15/24", "", "dhcp", "what", "none", ""};
    const char *cursor = "10.0.2.15/24,,dhcp,what,none,";
    struct net_address_choice choice;

    (void)state;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        assert_true(net_address_list_take(&cursor, &choice));
        assert_string_equal(choice.word, words[i]);
    }
    assert_false(net_address_list_take(&cursor, &choice));
    assert_false(net_address_list_take(&cursor, &choice));
    assert_string_equal(choice.word, ""); /* left alone */
}

/* What is shown of a long word ends inside the array, and the next word starts behind its comma. */
static void a_long_word_is_cut_and_the_next_is_found(void **state)
{
    char text[4096];
    const char *cursor = text;
    struct net_address_choice choice;

    (void)state;
    memset(text, '1', sizeof(text));
    strcpy(text + 4000, ",dhcp");
    assert_true(net_address_list_take(&cursor, &choice));
    assert_int_equal(strlen(choice.word), NET_ADDRESS_WORD_MAX);
    assert_non_null(choice.fault);
    assert_true(net_address_list_take(&cursor, &choice));
    assert_int_equal(choice.source, NET_CONFIG_DHCP);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(words_that_are_taken),
    cmocka_unit_test(words_that_are_refused_say_why),
    cmocka_unit_test(masks_are_leading_ones),
    cmocka_unit_test(lists_are_taken_word_by_word),
    cmocka_unit_test(a_long_word_is_cut_and_the_next_is_found),
};

HOST_TEST_MAIN(tests, NULL)
