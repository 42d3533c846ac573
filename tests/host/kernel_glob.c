// SPDX-License-Identifier: MIT
/* Tests of kernel/glob.c: by example, then random patterns against a matcher that tries everything
 * (a plain recursion), under the sanitizers, which catch a step behind the NUL. */
#include "tests/host/host_test.h"

#include <string.h>

#include "kernel/glob.h"

static void plain_text_matches_itself_alone(void **state)
{
    (void)state;
    assert_true(glob_match("mutex_lock", "mutex_lock"));
    assert_false(glob_match("mutex_lock", "mutex_lock2"));
    assert_false(glob_match("mutex_lock", "mutex_loc"));
    assert_true(glob_match("", ""));
    assert_false(glob_match("", "a"));
    assert_false(glob_match("a", ""));
}

static void star_takes_any_characters(void **state)
{
    (void)state;
    assert_true(glob_match("*", ""));
    assert_true(glob_match("*", "anything"));
    assert_true(glob_match("mutex_*", "mutex_lock"));
    assert_true(glob_match("mutex_*", "mutex_"));
    assert_true(glob_match("*lock*", "spinlock_lock_save"));
    assert_true(glob_match("a*b*c", "aXbbXbYc"));
    assert_false(glob_match("a*b*c", "aXcXb"));
    assert_true(glob_match("**a**", "a"));
    assert_false(glob_match("*a", "ab"));
}

static void question_mark_takes_one(void **state)
{
    (void)state;
    assert_true(glob_match("?", "x"));
    assert_false(glob_match("?", ""));
    assert_false(glob_match("?", "xy"));
    assert_true(glob_match("bench_run_?", "bench_run_4"));
    assert_true(glob_match("*?", "x"));
}

static void set_takes_one_of_its_members(void **state)
{
    (void)state;
    assert_true(glob_match("[abc]x", "bx"));
    assert_false(glob_match("[abc]x", "dx"));
    assert_true(glob_match("run_[0-9]*", "run_56"));
    assert_false(glob_match("run_[0-9]*", "run_x"));
    assert_true(glob_match("[!0-9]", "x"));
    assert_false(glob_match("[!0-9]", "5"));
    assert_true(glob_match("[]a]", "]"));
    assert_true(glob_match("[!]a]", "b"));
    assert_false(glob_match("[!]a]", "]"));
    assert_true(glob_match("[a-]", "-")); /* at the end it stands for itself */
    assert_true(glob_match("[-a]", "-"));
    assert_false(glob_match("[a-c]", "-"));
    assert_true(glob_match("*[0-9]", "a1b2"));
}

static void pattern_without_its_bracket_is_invalid(void **state)
{
    (void)state;
    assert_false(glob_is_valid("["));
    assert_false(glob_is_valid("a[bc"));
    assert_false(glob_is_valid("[]"));
    assert_false(glob_is_valid("[!]"));
    assert_false(glob_is_valid("[a]*[b"));
    assert_true(glob_is_valid("[]]"));
    assert_true(glob_is_valid("]"));
    assert_true(glob_is_valid("a[b]c*?"));
    assert_true(glob_is_valid(""));
}

/* The definition, tried in all ways; sets aside. */
static bool matches(const char *pattern, const char *text)
{
    if (*pattern == '\0') {
        return *text == '\0';
    }
    if (*pattern == '*') {
        return matches(pattern + 1, text) || (*text != '\0' && matches(pattern, text + 1));
    }
    return *text != '\0' && (*pattern == '?' || *pattern == *text) &&
           matches(pattern + 1, text + 1);
}

static void random_patterns_match_what_the_definition_says(void **state)
{
    uint64_t seed = 0x2545f4914f6cdd1d;
    unsigned hits = 0;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        char *pattern = calloc(1, 8);
        char *text = calloc(1, 8);
        size_t length = next_random(&seed) % 7;

        for (size_t k = 0; k < length; k++) {
            pattern[k] = "ab*?"[next_random(&seed) % 4];
        }
        length = next_random(&seed) % 7;
        for (size_t k = 0; k < length; k++) {
            text[k] = "ab"[next_random(&seed) % 2];
        }
        if (glob_match(pattern, text) != matches(pattern, text)) {
            fail_msg("'%s' and '%s'", pattern, text);
        }
        hits += glob_match(pattern, text);
        free(pattern);
        free(text);
    }
    assert_true(hits > 10000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(plain_text_matches_itself_alone),
    cmocka_unit_test(star_takes_any_characters),
    cmocka_unit_test(question_mark_takes_one),
    cmocka_unit_test(set_takes_one_of_its_members),
    cmocka_unit_test(pattern_without_its_bracket_is_invalid),
    cmocka_unit_test(random_patterns_match_what_the_definition_says),
};

HOST_TEST_MAIN(tests, NULL)
