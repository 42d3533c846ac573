// SPDX-License-Identifier: MIT
/* Functions to be traced: many alike, and some whose results tell whether their arguments arrived.
 * Invariant: none is inlined, each has an entry. Used by: suite_trace.c, which lists them by name:
 * trace_field_100 to trace_field_499. */
#pragma once

#include <stdint.h>

#define TRACE_FIELD_COUNT 400

typedef void trace_function(void);

/* trace_field_100 first. */
extern trace_function *const trace_field[TRACE_FIELD_COUNT];

/* Calls @count functions of the field: (@first + i * @step) modulo their number. */
void trace_field_call(unsigned first, unsigned step, unsigned count);

/* Another caller of the first function of the field. */
void trace_field_call_first(void);

/* Six arguments in registers, two on the stack: each counts by another factor. */
uint64_t trace_add(uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f,
                   uint64_t g, uint64_t h);
#define TRACE_ADD_RESULT(a, b, c, d, e, f, g, h)                                                   \
    ((a) + 10 * (b) + 100 * (c) + 1000 * (d) + 10000 * (e) + 100000 * (f) + 1000000 * (g) +        \
     10000000 * (h))
