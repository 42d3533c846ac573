// SPDX-License-Identifier: MIT
/* The layer `counted` for tests: put on from zero, taken off without a trace, its figures, and ops
 * called with all registers under watch. Invariant: behind counted_layer_off() its memory is given
 * back. Callers: the suites of this room. */
#pragma once

#include "arch/paravirt.h"
#include "kernel/paravirt_backends.h"
#include "kernel/paravirt_counted.h"
#include "tests/kernel/test.h"

/* Puts it over the op or group of that name, or all with NULL, and begins all figures at 0.
 * Returns false after a failed expectation. */
bool counted_layer_on(struct test *test, const char *name);
void counted_layer_off(struct test *test);

/* Calls of @op on one CPU, on all. Read from the cells themselves: paravirt_counted_add() takes a
 * mutex, and so calls ops. The layer must be on, or have been. */
uint64_t counted_layer_calls(enum paravirt_op_id op, unsigned cpu);
uint64_t counted_layer_total(enum paravirt_op_id op);

/* The figures of locks of that name; false if there are none. */
bool counted_layer_lock(const char *name, struct paravirt_lock_counts *row);

/* This CPU's interrupt flag, read without an op. */
bool counted_layer_interrupts_are_on(void);

enum counted_layer_register {
    COUNTED_LAYER_RAX,
    COUNTED_LAYER_RCX,
    COUNTED_LAYER_RDX,
    COUNTED_LAYER_RSI,
    COUNTED_LAYER_RDI,
    COUNTED_LAYER_R8,
    COUNTED_LAYER_R9,
    COUNTED_LAYER_R10,
    COUNTED_LAYER_R11,
    COUNTED_LAYER_REGISTERS
};

#define COUNTED_LAYER_CANARY 0x5ea1c0de5ea1c000ull /* plus the number of the register */

struct counted_layer_registers {
    uint64_t after[COUNTED_LAYER_REGISTERS];
    uint64_t pushed; /* bytes left on the stack: 8 for a result, the first of them */
    uint64_t result; /* what lies there */
};

/* Calls the function of a way with @operand in RDI and a canary in each other register that a call
 * may clobber. */
void counted_layer_call(paravirt_function *function, uint64_t operand,
                        struct counted_layer_registers *registers);
