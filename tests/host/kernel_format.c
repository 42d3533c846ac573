// SPDX-License-Identifier: MIT
/* Tests of kernel/format.c. The C library's snprintf() is the reference for everything that both
 * understand, so a wrong pad, sign or length shows as a difference; what only we define is compared
 * with literals. */
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

#include "kernel/format.h"

#define assert_as_libc(...)                                                                        \
    do {                                                                                           \
        char ours[128], theirs[128];                                                               \
        size_t our_length = format_text(ours, sizeof(ours), __VA_ARGS__);                          \
        size_t their_length = (size_t)snprintf(theirs, sizeof(theirs), __VA_ARGS__);               \
        assert_string_equal(ours, theirs);                                                         \
        assert_int_equal(our_length, their_length);                                                \
    } while (0)

static void integers_look_as_in_libc(void **state)
{
    (void)state;
    assert_as_libc("%d %d %d", 0, -1, 2147483647);
    assert_as_libc("%d", (int)-2147483648LL);
    assert_as_libc("%lld %ld", (long long)INT64_MIN, (long)INT64_MAX);
    assert_as_libc("%u %x %X", 4294967295u, 0xdeadbeefu, 0xdeadbeefu);
    assert_as_libc("%llu %lx %zu", 18446744073709551615ull, 0xfedcba9876543210ul, (size_t)12);
    assert_as_libc("%hhd %hhu %hd %hx", (signed char)-2, (unsigned char)254, (short)-300,
                   (unsigned short)65535);
    assert_as_libc("%i%%", 42);
}

static void padding_looks_as_in_libc(void **state)
{
    (void)state;
    assert_as_libc("[%5d][%-5d][%05d][%1d]", 42, 42, 42, 12345);
    assert_as_libc("[%5d][%-6d][%06d]", -42, -42, -42);
    assert_as_libc("[%016llx][%-8x][%8X]", 0x1234ull, 0xabu, 0xabu);
    assert_as_libc("[%*d][%-*d]", 6, 7, 6, 7);
    assert_as_libc("[%8s][%-8s][%s]", "abc", "abc", "");
    assert_as_libc("[%.2s][%.*s][%8.2s][%-8.2s][%.0s]", "abc", 1, "abc", "abc", "abc", "abc");
    assert_as_libc("[%c][%3c][%-3c]", 'x', 'y', 'z');
}

static void precision_reads_no_further_than_it_says(void **state)
{
    char unterminated[3] = {'a', 'b', 'c'}; /* under ASan, one byte more is an error */
    char text[8];

    (void)state;
    format_text(text, sizeof(text), "%.*s", 3, unterminated);
    assert_string_equal(text, "abc");
}

static void pointers_have_0x(void **state)
{
    char text[64];

    (void)state;
    format_text(text, sizeof(text), "%p %p", (void *)0xffffffff80100000, (void *)0);
    assert_string_equal(text, "0xffffffff80100000 0x0");
}

static void null_string_is_shown(void **state)
{
    const char *volatile nothing = NULL;
    char text[64];

    (void)state;
    format_text(text, sizeof(text), "<%s>", nothing);
    assert_string_equal(text, "<(null)>");
}

static void unknown_conversions_stay_visible(void **state)
{
    const char *volatile format = "%5q %-y% and a last %";
    char text[64];

    (void)state;
#pragma GCC diagnostic ignored "-Wformat-security"
    format_text(text, sizeof(text), format);
    assert_string_equal(text, "%5q %-y% and a last %");
}

static void nothing_is_written_behind_the_buffer(void **state)
{
    (void)state;
    for (size_t size = 0; size < 12; size++) {
        char text[16];

        memset(text, '#', sizeof(text));
        assert_int_equal(format_text(text, size, "%s-%d", "abcd", 1234), 9);
        for (size_t i = size; i < sizeof(text); i++) {
            assert_int_equal(text[i], '#');
        }
        if (size > 0) {
            assert_int_equal(text[size - 1 < 9 ? size - 1 : 9], '\0');
            assert_memory_equal(text, "abcd-1234", size - 1 < 9 ? size - 1 : 9);
        }
    }
}

static void left_wins_over_zeros(void **state)
{
    const char *volatile format = "[%-05d]"; /* compilers warn about it */
    char text[16];

    (void)state;
    format_text(text, sizeof(text), format, -42);
    assert_string_equal(text, "[-42  ]");
}

static void huge_widths_only_count(void **state)
{
    char text[8];

    (void)state;
    assert_int_equal(format_text(text, sizeof(text), "%70000d", 1), 70000);
    assert_string_equal(text, "       ");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(integers_look_as_in_libc),
    cmocka_unit_test(padding_looks_as_in_libc),
    cmocka_unit_test(precision_reads_no_further_than_it_says),
    cmocka_unit_test(pointers_have_0x),
    cmocka_unit_test(null_string_is_shown),
    cmocka_unit_test(unknown_conversions_stay_visible),
    cmocka_unit_test(nothing_is_written_behind_the_buffer),
    cmocka_unit_test(left_wins_over_zeros),
    cmocka_unit_test(huge_widths_only_count),
};

HOST_TEST_MAIN(tests, NULL)
