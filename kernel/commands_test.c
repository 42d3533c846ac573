// SPDX-License-Identifier: MIT
/* The `test` command: runs the suites of tests/kernel. This file and the suite table are all that
 * kernel/ knows of tests/. */
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "tests/kernel/test.h"

static const struct test_suite *suite_find(const char *name)
{
    for (size_t i = 0; test_suites[i] != NULL; i++) {
        if (strcmp(test_suites[i]->name, name) == 0) {
            return test_suites[i];
        }
    }
    return NULL;
}

static bool suite_has_case(const struct test_suite *suite, const char *name)
{
    for (size_t i = 0; i < suite->case_count; i++) {
        if (strcmp(suite->cases[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The suites, or the cases of one. */
static void names_print(const struct test_suite *suite)
{
    for (size_t i = 0; suite == NULL && test_suites[i] != NULL; i++) {
        console_print("%s\n", test_suites[i]->name);
    }
    for (size_t i = 0; suite != NULL && i < suite->case_count; i++) {
        console_print("%s\n", suite->cases[i].name);
    }
}

static bool stop_requested(void *argument)
{
    return shell_interrupted(argument);
}

static enum command_result test_command_run(struct shell_session *session, int argc, char **argv)
{
    bool list = false;
    const struct option options[] = {OPTION_FLAG("--list", &list)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 2)) {
        return COMMAND_USAGE;
    }
    const struct test_suite *suite = NULL;
    const char *name = argc == 3 ? argv[2] : NULL;
    if (argc >= 2) {
        suite = suite_find(argv[1]);
        if (suite == NULL) {
            console_print("test: no suite is called '%s'; `test --list` lists them\n", argv[1]);
            return COMMAND_FAILED;
        }
    }
    if (list) {
        names_print(suite);
        return COMMAND_OK;
    }
    if (name != NULL && !suite_has_case(suite, name)) {
        console_print("test: suite %s has no case '%s'; `test %s --list` lists them\n", suite->name,
                      name, suite->name);
        return COMMAND_FAILED;
    }
    struct test_totals totals = test_run(suite, name, stop_requested, session);
    return totals.failed == 0 && !shell_interrupted(session) ? COMMAND_OK : COMMAND_FAILED;
}

static void test_complete(struct shell_completion *completion, int argument, char **argv)
{
    const struct test_suite *suite = argument == 2 ? suite_find(argv[1]) : NULL;
    for (size_t i = 0; argument == 1 && test_suites[i] != NULL; i++) {
        shell_completion_offer(completion, test_suites[i]->name);
    }
    for (size_t i = 0; suite != NULL && i < suite->case_count; i++) {
        shell_completion_offer(completion, suite->cases[i].name);
    }
}

const struct shell_command command_test = {
    .name = "test",
    .summary = "run the in-kernel test suites (KTAP)",
    .usage = "test [SUITE [CASE]] [--list]",
    .example = "test torture",
    .details =
        "Without SUITE all of them, about two minutes. --list: the suites, or the cases of one.\n"
        "The last case of every suite looks whether the machine is as it was before.\n"
        "Refused while a program is attached, entered or generated (`prog detach NIC`,\n"
        "`prog leave all`, `prog unload all`).",
    .run = test_command_run,
    .complete = test_complete,
};
