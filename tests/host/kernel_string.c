// SPDX-License-Identifier: MIT
/* Tests of kernel/string.c against the C library, over all small lengths, offsets and overlaps: the
 * copies work in words and bytes, so a wrong rest or a wrong direction shows. The file is included
 * under other names, because the test's own C library has these. */
#include "tests/host/host_test.h"

#include <string.h>

#define memcpy  kernel_memcpy
#define memmove kernel_memmove
#define memset  kernel_memset
#define memcmp  kernel_memcmp
#define strlen  kernel_strlen
#define strcmp  kernel_strcmp
#define strncmp kernel_strncmp
#define strchr  kernel_strchr
#include "kernel/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strcmp
#undef strncmp
#undef strchr

#define AREA 64

static void fill(unsigned char *area)
{
    for (size_t i = 0; i < AREA; i++) {
        area[i] = (unsigned char)(i * 7 + 3);
    }
}

static void copies_of_every_length_and_offset_agree(void **state)
{
    unsigned char source[AREA], ours[AREA], theirs[AREA];

    (void)state;
    fill(source);
    for (size_t offset = 0; offset < 9; offset++) {
        for (size_t length = 0; length + offset <= AREA; length++) {
            memset(ours, 0, AREA);
            memset(theirs, 0, AREA);
            assert_ptr_equal(kernel_memcpy(ours + offset, source, length), ours + offset);
            memcpy(theirs + offset, source, length);
            assert_memory_equal(ours, theirs, AREA);
        }
    }
}

static void overlapping_moves_agree(void **state)
{
    unsigned char ours[AREA], theirs[AREA];

    (void)state;
    for (size_t from = 0; from < 20; from++) {
        for (size_t to = 0; to < 20; to++) {
            for (size_t length = 0; length <= 40; length++) {
                fill(ours);
                fill(theirs);
                assert_ptr_equal(kernel_memmove(ours + to, ours + from, length), ours + to);
                memmove(theirs + to, theirs + from, length);
                assert_memory_equal(ours, theirs, AREA);
            }
        }
    }
}

static void fills_of_every_length_agree(void **state)
{
    unsigned char ours[AREA], theirs[AREA];

    (void)state;
    for (size_t length = 0; length < AREA; length++) {
        fill(ours);
        fill(theirs);
        kernel_memset(ours, 0x1a5, length); /* as if it were an unsigned char */
        memset(theirs, 0xa5, length);
        assert_memory_equal(ours, theirs, AREA);
    }
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static void comparisons_agree(void **state)
{
    static const char *const words[] = {"", "a", "ab", "abc", "abd", "\xff", "a\xff", "b"};
    const size_t count = sizeof(words) / sizeof(words[0]);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++) {
            assert_int_equal(sign(kernel_strcmp(words[i], words[j])),
                             sign(strcmp(words[i], words[j])));
            for (size_t n = 0; n < 4; n++) {
                assert_int_equal(sign(kernel_strncmp(words[i], words[j], n)),
                                 sign(strncmp(words[i], words[j], n)));
            }
        }
    }
    assert_true(kernel_memcmp("a\0b", "a\0c", 3) < 0);
    assert_int_equal(kernel_memcmp("a\0b", "a\0c", 2), 0);
}

static void searches_agree(void **state)
{
    const char *text = "key=value=x";

    (void)state;
    assert_int_equal(kernel_strlen(text), strlen(text));
    assert_int_equal(kernel_strlen(""), 0);
    assert_ptr_equal(kernel_strchr(text, '='), text + 3);
    assert_ptr_equal(kernel_strchr(text, '\0'), text + 11);
    assert_null(kernel_strchr(text, 'z'));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(copies_of_every_length_and_offset_agree),
    cmocka_unit_test(overlapping_moves_agree),
    cmocka_unit_test(fills_of_every_length_agree),
    cmocka_unit_test(comparisons_agree),
    cmocka_unit_test(searches_agree),
};

HOST_TEST_MAIN(tests, NULL)
