// SPDX-License-Identifier: MIT
/* What every host test program includes: cmocka with its prerequisites, and a main() that can run
 * one test by name (TEST_FILTER), which is how mutants.py runs the test that must fail. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOST_TEST_MAIN(tests, group_setup)                                                         \
    int main(void)                                                                                 \
    {                                                                                              \
        cmocka_set_test_filter(getenv("TEST_FILTER"));                                             \
        return cmocka_run_group_tests(tests, group_setup, NULL);                                   \
    }

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Small deterministic random numbers (xorshift64). */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
