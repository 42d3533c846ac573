// SPDX-License-Identifier: MIT
/* A dispatcher that is really compiled into the test programs, programs for it, and calls through
 * its entry, as patched. Invariant: after each test the dispatcher is empty and its memory int3.
 * Used by: test_dispatcher*.c. */
#pragma once

#include "patching/xdp_call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DISPATCHED_PROGRAMS = DISPATCHER_ENTRY_MAX + 2 };

DECLARE_XDP_CALL(subject);
extern uint8_t dispatcher_image_subject[2 * DISPATCHER_HALF_BYTES];

/* Program @number; it returns @number + 1. */
dispatched_function *dispatched_program(unsigned number);

/* Runs it through the compiled call site. */
unsigned dispatched_call(unsigned number);
void dispatched_expect_all_calls(void);

/* As of the last look. */
extern struct dispatcher_view dispatched_view;
void dispatched_look(void);

uint8_t *dispatched_half(unsigned number);
unsigned dispatched_half_in_use(void);
bool dispatched_is_int3(const uint8_t *bytes, size_t length);

/* Updates that must succeed. */
void dispatched_add(unsigned number);
void dispatched_take_out(unsigned number);
void dispatched_add_first(unsigned count);
void dispatched_shape_set(enum dispatcher_shape shape);
struct dispatcher_form dispatched_form_of(enum dispatcher_shape shape);

/* Resets the recorder: no fault, nothing counted; the program's own text is patchable. */
void dispatched_begin(void);

/* For cmocka. */
int dispatched_group_setup(void **state);
int dispatched_setup(void **state);
int dispatched_teardown(void **state);
#define DISPATCHED_TEST(function)                                                                  \
    cmocka_unit_test_setup_teardown(function, dispatched_setup, dispatched_teardown)
