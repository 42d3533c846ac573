// SPDX-License-Identifier: MIT
/* Calls a thunk of patching/indirect_thunk.asm with known registers, and sees with which ones the
 * call arrives. Invariant: before and after each test the thunks are retpolines. Not reentrant.
 * Used by: test_indirect_thunk.c, test_indirect_thunk_races.c, test_dispatcher_image_calls.c. */
#pragma once

#include "patching/indirect_thunk.h"

#include <stdint.h>

enum {
    THUNK_COUNT = 15,        /* every register but rsp */
    THUNK_FLAGS = 0xcd5,     /* carry, parity, adjust, zero, sign, direction, overflow */
    THUNK_FLAG_STEP = 0x100, /* of thunk_call(): the trap flag, set right before the call */
};

/* In the order of the machine code: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15. */
struct thunk_registers {
    uint64_t general[16]; /* rsp: what the target found as its return address's place */
    uint64_t flags;
};

/* The register that the thunk called @name goes through, as an index into general[]. */
unsigned thunk_register(const char *name);

/* Where all calls go. */
extern const uint8_t thunk_target[];

/* Calls the thunk at @address, which goes through @through, with random registers and flags from
 * @seed; @step: THUNK_FLAG_STEP or 0. Fails the test unless the call arrives, once, with all of
 * them kept, its return address on the stack. */
void thunk_call(uint64_t address, unsigned through, uint64_t seed, uint64_t step);

/* Calls the code at @address, of any kind, with the registers and flags in thunk_given. Fails the
 * test unless the call arrives at thunk_target, once, with all registers but the flags kept. */
extern struct thunk_registers thunk_given;
void thunk_call_given(uint64_t address);

/* What stands at each site under each mitigation. */
extern uint8_t thunk_forms[MITIGATION_COUNT][THUNK_COUNT][INDIRECT_THUNK_SITE_LENGTH];

/* Resets the recorder, which then watches all sites on their way from the mitigation in force to
 * @to; and switches. */
void thunk_tests_begin(enum mitigation to);
void thunk_tests_switch(enum mitigation to);

/* For cmocka. */
int thunk_tests_group_setup(void **state);
int thunk_tests_setup(void **state);
int thunk_tests_teardown(void **state);
#define THUNK_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, thunk_tests_setup, thunk_tests_teardown)
