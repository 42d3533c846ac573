// SPDX-License-Identifier: MIT
/* In-kernel tests, reported as KTAP. A suite is a table of cases; a case is a function whose name
 * is a claim. Invariant: a case that fails says where, what was expected and what was there.
 *
 *   static void key_starts_disabled(struct test *test)
 *   {
 *       EXPECT(test, !static_key_is_enabled(&key));
 *       EXPECT_EQUAL(test, static_key_count(&key), 0);
 *   }
 *
 * Every suite is followed by a case of the runner's own: text, pages, threads as before. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct test {
    const char *name;
    unsigned failures;
    const char *skip_reason; /* set by test_skip(): the case did not apply here */
    bool (*stop)(void *argument);
    void *stop_argument;
};

struct test_case {
    const char *name;
    void (*run)(struct test *test);
};

struct test_suite {
    const char *name;
    const struct test_case *cases;
    size_t case_count;
    bool lets_worker_choose; /* the thread of kernel/choice_worker.h runs meanwhile */
};

#define TEST_CASE(function)                                                                        \
    {                                                                                              \
        .name = #function, .run = (function)                                                       \
    }
/* `.lets_worker_choose = true` may follow. */
#define TEST_SUITE(suite_name, case_array, ...)                                                    \
    {                                                                                              \
        .name = (suite_name), .cases = (case_array),                                               \
        .case_count = sizeof(case_array) / sizeof((case_array)[0]), ##__VA_ARGS__                  \
    }

/* All suites, in the order in which `test` runs them; ended by NULL. In suite_table.c. */
extern const struct test_suite *const test_suites[];

struct test_totals {
    unsigned passed, failed, skipped;
};

/* Runs one suite, or all with @suite NULL, of a suite all cases or, unless @name is NULL, the one
 * of that name and the runner's own; prints KTAP. All keys and the default protocol are as at boot
 * meanwhile; afterwards they are again as the caller had them. @stop is polled between cases.
 * Context: thread. */
struct test_totals test_run(const struct test_suite *suite, const char *name,
                            bool (*stop)(void *argument), void *argument);

/* For the macros below. Return the condition. */
bool test_expect(struct test *test, bool condition, const char *text, const char *file, int line);
bool test_expect_equal(struct test *test, uint64_t actual, uint64_t expected, const char *text,
                       const char *file, int line);
void test_skip(struct test *test, const char *reason);

/* How long to wait for what takes less than @ns with up to 8 CPUs: with more, longer in proportion.
 * CPUs of a virtual machine share those of the host, and each has its turn before IPIs, and
 * threads on all CPUs, are done. */
uint64_t test_patience_ns(uint64_t ns);

/* How long a case keeps everything under fire: @usual_ns, or torture_ms= of the command line. */
uint64_t test_torture_ns(uint64_t usual_ns);

/* Whether the user wants to stop (Ctrl-C): long cases ask, leave things as they found them, and
 * skip. */
bool test_should_stop(const struct test *test);

#define EXPECT(test, condition) test_expect((test), (condition), #condition, __FILE__, __LINE__)
#define EXPECT_EQUAL(test, actual, expected)                                                       \
    test_expect_equal((test), (uint64_t)(actual), (uint64_t)(expected), #actual, __FILE__, __LINE__)
