// SPDX-License-Identifier: MIT
/* Tests of kernel/words.c and kernel/nearest_word.c: quoting rules by example, then random bytes
 * under the sanitizers, which catch a step behind the NUL; and edit distances by example. */
#include "tests/host/host_test.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/nearest_word.h"
#include "kernel/words.h"

/* Splits @line and joins the words by '|'. */
static const char *split(const char *line, enum words_result last)
{
    static char copy[256], joined[512];
    char *cursor = copy;
    char *word;
    enum words_result result;
    enum words_result worst = WORDS_TAKEN;

    strcpy(copy, line);
    joined[0] = '\0';
    while ((result = words_take(&cursor, &word)) != WORDS_END) {
        strcat(strcat(joined, word), "|");
        worst = result;
    }
    assert_int_equal(worst, last);
    return joined;
}

static void words_follow_the_quoting_rules(void **state)
{
    (void)state;
    assert_string_equal(split("  key a\ton ", WORDS_TAKEN), "key|a|on|");
    assert_string_equal(split("", WORDS_TAKEN), "");
    assert_string_equal(split("panic \"a  b\" 'c  \"d'", WORDS_TAKEN), "panic|a  b|c  \"d|");
    assert_string_equal(split("run=\"ver; exit\" cpus=2", WORDS_TAKEN), "run=ver; exit|cpus=2|");
    assert_string_equal(split("\"run=say \\\"hi\\\"\"", WORDS_TAKEN), "run=say \"hi\"|");
    assert_string_equal(split("a\\ b 'c\\d' \"\" ''", WORDS_TAKEN), "a b|c\\d|||");
    assert_string_equal(split("ok \"open end", WORDS_UNTERMINATED), "ok|open end|");
    assert_string_equal(split("ok end\\", WORDS_UNTERMINATED), "ok|end|");
}

static void commands_end_at_bare_semicolons(void **state)
{
    char line[] = " ;; ver -j ; panic \"a;b\" 'c;d' e\\;f;;exit ; ";
    char *cursor = line;

    (void)state;
    assert_string_equal(words_take_command(&cursor), "ver -j");
    assert_string_equal(words_take_command(&cursor), "panic \"a;b\" 'c;d' e\\;f");
    assert_string_equal(words_take_command(&cursor), "exit");
    assert_null(words_take_command(&cursor));
    assert_null(words_take_command(&cursor));
}

static void the_last_command_is_found(void **state)
{
    char one[] = "key a";
    char several[] = "ver; panic 'x;y'";
    char open[] = "ver;";

    (void)state;
    assert_string_equal(words_last_command(one), "key a");
    assert_string_equal(words_last_command(several), " panic 'x;y'");
    assert_string_equal(words_last_command(open), "");
}

static void garbage_is_split_within_its_bounds(void **state)
{
    static const char alphabet[] = "a;\"'\\ \t=\xff\x01";

    (void)state;
    srand(1);
    for (int round = 0; round < 20000; round++) {
        size_t length = (size_t)(rand() % 20);
        char *line = malloc(length + 1); /* of exact size, for ASan */
        char *cursor = line;
        char *word;

        for (size_t i = 0; i < length; i++) {
            line[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
        }
        line[length] = '\0';
        for (char *command; (command = words_take_command(&cursor)) != NULL;) {
            assert_true(command >= line && strlen(command) > 0);
            while (words_take(&command, &word) != WORDS_END) {
                assert_true(word >= line && word + strlen(word) <= line + length);
            }
        }
        free(line);
    }
}

static void distances_count_typing_errors(void **state)
{
    (void)state;
    assert_int_equal(nearest_word_distance("", ""), 0);
    assert_int_equal(nearest_word_distance("", "abc"), 3);
    assert_int_equal(nearest_word_distance("abc", ""), 3);
    assert_int_equal(nearest_word_distance("keys", "keys"), 0);
    assert_int_equal(nearest_word_distance("kyes", "keys"), 1);
    assert_int_equal(nearest_word_distance("kes", "keys"), 1);
    assert_int_equal(nearest_word_distance("keyss", "keys"), 1);
    assert_int_equal(nearest_word_distance("kexs", "keys"), 1);
    assert_int_equal(nearest_word_distance("kitten", "sitting"), 3);
    assert_true(nearest_word_distance("123456789012345678901234567890123", "a") > NEAREST_WORD_MAX);
    char long_word[201];
    struct nearest_word nearest = {.word = long_word};

    memset(long_word, 'q', sizeof(long_word) - 1);
    long_word[sizeof(long_word) - 1] = '\0';
    nearest_word_consider(&nearest, "bench");
    assert_null(nearest.best);
}

static const char *nearest_of(const char *word)
{
    static const char *const commands[] = {"help", "ver", "keys", "key", "bench", "protocol"};
    struct nearest_word nearest = {.word = word};

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        nearest_word_consider(&nearest, commands[i]);
    }
    return nearest.best != NULL ? nearest.best : "";
}

static void only_near_words_are_suggested(void **state)
{
    (void)state;
    assert_string_equal(nearest_of("hlep"), "help");
    assert_string_equal(nearest_of("kes"), "keys");
    assert_string_equal(nearest_of("key"), "key");
    assert_string_equal(nearest_of("prtocl"), "protocol");
    assert_string_equal(nearest_of("xyzzy"), "");
    assert_string_equal(nearest_of(""), "");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(words_follow_the_quoting_rules),
    cmocka_unit_test(commands_end_at_bare_semicolons),
    cmocka_unit_test(the_last_command_is_found),
    cmocka_unit_test(garbage_is_split_within_its_bounds),
    cmocka_unit_test(distances_count_typing_errors),
    cmocka_unit_test(only_near_words_are_suggested),
};

HOST_TEST_MAIN(tests, NULL)
