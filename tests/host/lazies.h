// SPDX-License-Identifier: MIT
/* Lazy calls really compiled into the test programs, called through their real stubs and patched
 * under the recorder's eyes. Invariant: before each test no site is known, no report is under way,
 * and all targets are lazy_old(). Used by: test_lazy_call*.c. */
#pragma once

#include "patching/lazy_call.h"

#include <stddef.h>
#include <stdint.h>

enum {
    LAZY_FUNCTIONS = 40, /* more than there are slots for reports */
    LAZY_OLD_ONE = 1,
    LAZY_NEW_ONE = 1 << 16,
};

unsigned lazy_old(unsigned sum);
unsigned lazy_new(unsigned sum);

DECLARE_LAZY_CALL(lazy_many, lazy_old);  /* one call in each of lazy_functions[] */
DECLARE_LAZY_CALL(lazy_other, lazy_old); /* one call, in lazy_call_other() */

/* Each adds to @sum what the target of lazy_many adds. */
extern unsigned (*const lazy_functions[LAZY_FUNCTIONS])(unsigned sum);
unsigned lazy_call_other(unsigned sum);

/* Calls the first @count functions. */
unsigned lazy_run(size_t count);

/* Where function @index calls. */
uint64_t lazy_site_of(size_t index);

/* Fails unless `call @target` stands at @site. */
void lazy_expect_call(uint64_t site, uint64_t target);

/* From now on all sites of @call may turn from what they are into a call of @to. Forgets what else
 * was watched of them; lazies_setup() has them watched to become calls of the target. */
void lazies_watch(const struct lazy_call *call, uint64_t to);

/* A pass of the worker, which must succeed. */
struct lazy_pass lazy_pass_make(void);

struct lazy_call_statistics lazy_statistics_of(const struct lazy_call *call);

/* For cmocka. The group's initializes the calls. */
int lazies_group_setup(void **state);
int lazies_setup(void **state);
#define LAZY_TEST(function) cmocka_unit_test_setup(function, lazies_setup)
