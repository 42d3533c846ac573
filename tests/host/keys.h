// SPDX-License-Identifier: MIT
/* Keys with branches in this program's own text, patched under the recorder's eyes and executed.
 * Invariant: before and after each test the keys have their defaults. Used by: test_static_key.c,
 * test_static_key_changes.c. */
#pragma once

#include "patching/static_key.h"

#include <stddef.h>

DECLARE_STATIC_KEY(key_off);  /* false; one likely and one unlikely branch of 2 bytes */
DECLARE_STATIC_KEY(key_on);   /* true; the same */
DECLARE_STATIC_KEY(key_long); /* false; the same with 5 bytes */
DECLARE_STATIC_KEY(key_far);  /* false; one branch that needs 5 bytes */
DECLARE_STATIC_KEY(a_key_without_branches);

/* Each returns 1 if its branch was executed as enabled, 0 if not. */
extern int (*const off_functions[2])(void);
extern int (*const on_functions[2])(void);
extern int (*const long_functions[2])(void);
int far_likely(void);

/* Fails unless all @functions return @expected. */
void keys_expect_execution(int (*const *functions)(void), size_t count, int expected);
#define EXPECT_EXECUTION(functions, expected)                                                      \
    keys_expect_execution(functions, ARRAY_COUNT(functions), expected)

/* Resets the recorder and watches every branch of this program in its two forms. */
void keys_begin(void);

/* For cmocka. The group's initializes the keys; teardown puts them back. */
int keys_group_setup(void **state);
int keys_setup(void **state);
int keys_teardown(void **state);
#define KEY_TEST(function) cmocka_unit_test_setup_teardown(function, keys_setup, keys_teardown)
