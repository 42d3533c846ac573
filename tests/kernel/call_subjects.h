// SPDX-License-Identifier: MIT
/* Static calls to be changed: one of each kind, each with every kind of site. Invariant: target
 * number n makes a call reach n, no target makes it reach 0; between suites each call has its
 * initial target and form. Callers: suite_static_call.c, torture_everything.c. */
#pragma once

#include <stdint.h>

#include "patching/static_call.h"

#define CALL_TARGETS 8
#define CALL_WAYS    4 /* kinds of sites: call, jmp, jcc, and what the compiler makes of it */

struct call_subject {
    struct static_call *call;
    static_call_function *const *targets; /* CALL_TARGETS of them, the first is NULL */
    uint64_t (*reach)(unsigned way);      /* calls; returns the number of the target reached */
    unsigned initial;                     /* the lowest number it may go to */
    enum static_call_form form;
};

/* Returns 0 without a target; does nothing without one; always has one, out of line; has no site
 * (`reach` is NULL). */
extern const struct call_subject call_returning, call_writing, call_outer, call_uncalled;

/* Through the conditional site of call_returning, its condition false. Returns 99. */
uint64_t call_returning_not_taken(void);
