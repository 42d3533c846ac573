// SPDX-License-Identifier: MIT
/* Static calls that are really compiled into the test programs, and what each of them must look
 * like and do in every state. Invariant: before and after each test the calls have their defaults;
 * what is expected is worked out here from the picture in patching/static_call.h, without asking
 * the code under test. Used by: test_static_call*.c. */
#pragma once

#include "patching/static_call.h"

enum call_state {
    STATE_A,
    STATE_B,
    STATE_EMPTY, /* NULL: does nothing or returns 0 */
    STATE_COUNT
};

/* Sites of each call: three in assembler, which poison rax first, and two that the compiler made;
 * the last is a tail call. */
enum { BY_CALL, BY_JUMP, BY_JUMP_IF, BY_COMPILED_CALL, BY_COMPILED_TAIL, CALLERS };

struct tested_call {
    struct static_call *call;
    static_call_function *targets[STATE_COUNT];
    static_call_function *callers[CALLERS];
    uint64_t result_bits; /* of rax, that are defined after a call of a target; 0: none */
    enum call_state initial;
    enum static_call_form initial_form;
};

enum { TESTED_CALLS = 8 };
extern const struct tested_call tested_calls[TESTED_CALLS];

/* By what they are good for; in tested_calls. */
extern const struct tested_call *const call_plain;    /* must have a target */
extern const struct tested_call *const call_outer;    /* the same, out of line */
extern const struct tested_call *const call_nullable; /* may be NULL */
extern const struct tested_call *const call_zero;     /* returns 0 at first, 64 bits */

extern const struct tested_call
    *const call_lonely; /* may be NULL; without sites; not in the array */

/* For what needs the type. */
void nothing_a(uint64_t x, uint64_t y);
void nothing_b(uint64_t x, uint64_t y);
DECLARE_STATIC_CALL(nullable, nothing_a);
DECLARE_STATIC_CALL(lonely, nothing_a);

bool tested_call_has(const struct tested_call *tested, enum call_state state);

/* Watches all sites and the trampoline of @tested, on their way from what they are to @form and
 * @state. */
void calls_watch(const struct tested_call *tested, enum static_call_form form,
                 enum call_state state);

/* Fails unless target, form, bytes of all sites and trampoline are those of @form and @state. */
void calls_expect_text(const struct tested_call *tested, enum static_call_form form,
                       enum call_state state);

/* What a call of @tested did: whether target A or B ran, with its arguments, or nothing; or the
 * branch in front of it was not taken. STATE_COUNT: something that must not be. */
enum { STATE_NOT_CALLED = STATE_COUNT + 1 };
unsigned calls_run(const struct tested_call *tested, unsigned caller, uint64_t x, uint64_t y);

/* The same in pieces, around function(x, y), which is of this type. */
typedef uint64_t calling_function(uint64_t x, uint64_t y);
void calls_run_begin(void);
unsigned calls_run_judge(const struct tested_call *tested, unsigned caller, uint64_t x, uint64_t y,
                         uint64_t result);

/* Fails unless every caller of @tested reaches @state. */
void calls_expect_execution(const struct tested_call *tested, enum call_state state);

/* Resets the recorder; then the program's own text is patchable. Nothing is watched. */
void calls_begin(void);

/* Brings @tested there, under the watcher's eyes; must succeed. */
void calls_bring(const struct tested_call *tested, enum static_call_form form,
                 enum call_state state);

/* Makes the pages of [start, end) writable. Returns 0 or -1. */
int calls_unprotect(const void *start, const void *end);

/* For cmocka. The group's initializes the calls; teardown puts them back. */
int calls_group_setup(void **state);
int calls_setup(void **state);
int calls_teardown(void **state);
#define CALL_TEST(function) cmocka_unit_test_setup_teardown(function, calls_setup, calls_teardown)
