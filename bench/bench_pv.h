// SPDX-License-Identifier: MIT
/* What paravirt ops cost in each form. Invariant: the forms are compared in ONE loop, which the
 * real change of form patches between the blocks; only the native copy is another one. Callers:
 * bench_pv.c, bench_pv_switch.c. */
#pragma once

#include "bench/bench_blocks.h"
#include "bench/bench_calls.h"
#include "bench/bench_pv_loops.h"
#include "patching/paravirt.h"

#include <stdbool.h>
#include <stdint.h>

#define PV_BLOCK      1000u /* passes between two looks at the clock */
#define PV_BLOCKS_MAX 100u

/* How a row's ops are done: the forms, and without any. */
enum pv_column {
    PV_INDIRECT = PARAVIRT_INDIRECT,
    PV_DIRECT = PARAVIRT_DIRECT,
    PV_INLINE = PARAVIRT_INLINE,
    PV_NATIVE, /* built in */
    PV_COLUMN_COUNT
};
_Static_assert((unsigned)PV_NATIVE == PARAVIRT_FORM_COUNT, "forms come first");

/* "indirect", "direct", "inline"; "native copy". */
const char *pv_column_name(enum pv_column column);

/* One row in one form. */
struct pv_result {
    struct bench_times times;
    struct call_counts counts; /* of one pass */
    uint32_t code_bytes;       /* of the ops where they are called: what a function holds of them */
};

struct pv_request {
    const char *command; /* begins what it says */
    unsigned rows;       /* the set, 1 << PV_LOOP_... */
    uint32_t blocks;     /* 1 to PV_BLOCKS_MAX, of each row in each form */
    uint64_t budget_ns;  /* but after this time no more; 0: no budget */
};

/* Measures the rows in all forms, in turn, block by block, and counts their instructions; the forms
 * are afterwards as before. Ops go the way they go: a backend's own, if it has one.
 * Context: platform_may_patch(). Returns false after a message: Ctrl-C, a change that failed. */
bool pv_measure(struct shell_session *session, const struct pv_request *request,
                struct pv_result results[PV_LOOP_COUNT][PV_COLUMN_COUNT]);

/* The forms of all ops, to be put back. */
struct pv_forms {
    enum paravirt_form form[PARAVIRT_OP_COUNT];
};
struct pv_forms pv_forms_now(void);
struct pv_forms pv_forms_all(enum paravirt_form form);

/* Gives every op its form, in one batch. Returns false after a message that begins with @command.
 * Context: platform_may_patch(). */
bool pv_forms_set(const struct pv_forms *forms, const char *command);

/* bench_pv_switch.c: `bench pv --switch`. */
enum command_result bench_pv_switch_run(struct shell_session *session, unsigned loads,
                                        uint64_t samples, bool json);
