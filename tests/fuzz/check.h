// SPDX-License-Identifier: MIT
/* How a fuzzer reports a bug: says what is wrong and aborts, so that libFuzzer keeps the input.
 * Used by: all of tests/fuzz. */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define FUZZ_FAIL(...)                                                                             \
    do {                                                                                           \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);                                            \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, "\n");                                                                     \
        abort();                                                                                   \
    } while (0)

#define FUZZ_CHECK(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            FUZZ_FAIL(__VA_ARGS__);                                                                \
        }                                                                                          \
    } while (0)
