// SPDX-License-Identifier: MIT
/* What the paravirt suites switch to, and back: each function fails the test where it is refused.
 * Between suites all ops are native and inline (boot_state.h). Context: thread. */
#pragma once

#include "kernel/paravirt_switch.h"
#include "tests/kernel/test.h"

#include <stdbool.h>

bool paravirt_set_form(struct test *test, enum paravirt_form form);

/* All ops, or one or a group, to a backend. */
bool paravirt_set_all(struct test *test, const struct paravirt_backend *backend);
bool paravirt_set_op(struct test *test, const char *name, const struct paravirt_backend *backend);

/* Adds the double (paravirt_double.h) and lets all ops go its way; and back, inline, without it. */
bool paravirt_set_double(struct test *test);
bool paravirt_set_native(struct test *test);

/* Every form follows on every other one; begins behind, and ends with, that of boot. */
#define PARAVIRT_FORM_CHANGES 6
extern const enum paravirt_form paravirt_form_order[PARAVIRT_FORM_CHANGES];

/* All ops go other ways, by the engine alone: no backend is switched, nothing is done before or
 * behind the batch. By enum paravirt_op_id: paravirt_native_ways, or the double's. */
bool paravirt_set_ways(struct test *test, const struct paravirt_way *const *ways);
extern const struct paravirt_way *const paravirt_double_list[PARAVIRT_OP_COUNT];
