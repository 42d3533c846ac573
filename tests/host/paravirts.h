// SPDX-License-Identifier: MIT
/* The kernel's own paravirt ops in a test program: arch/paravirt_table.h, arch/paravirt.h and
 * arch/paravirt_native.c as they are, sites of every op, and for every op another way besides the
 * native one. Invariant: all of it derives from the table; what is expected of a site is worked out
 * here from the picture in patching/paravirt.h, without asking the code under test. Used by:
 * test_paravirt*.c. */
#pragma once

#include "arch/paravirt.h"
#include "tests/host/paravirt_run.h"

#include <stdbool.h>

enum paravirt_shape {
    PARAVIRT_SHAPE_NOTHING,
    PARAVIRT_SHAPE_STACKED,
    PARAVIRT_SHAPE_RETURNS,
    PARAVIRT_SHAPE_TAKES,
    PARAVIRT_SHAPE_TAKES2,
};

enum { PARAVIRT_LIVE_VALUES = 10 };

/* Calls the op from C, with its arguments and 10 values live across the call; behind it it adds 1
 * to each value, and the exclusive-or of the arguments to the first. */
typedef uint64_t paravirt_caller(uint64_t first, uint64_t second,
                                 volatile uint64_t values[PARAVIRT_LIVE_VALUES]);

struct paravirt_subject {
    enum paravirt_shape shape;
    bool keeps_registers;
    const struct paravirt_way *other; /* notes in paravirt_seen; clobbers what a function may */
    paravirt_runner *run;
    paravirt_caller *call;
    uint64_t (*call_twice)(uint64_t first, uint64_t second); /* with few values live */
};
extern const struct paravirt_subject paravirt_subjects[PARAVIRT_OP_COUNT];

static inline struct paravirt_op *op_at(size_t index)
{
    return &paravirt_ops[index];
}

static inline const struct paravirt_way *native_of(size_t index)
{
    return paravirt_native_ways[index];
}

static inline const struct paravirt_way *other_of(size_t index)
{
    return paravirt_subjects[index].other;
}

/* What a way in C saw last; the native functions note here, too. */
struct paravirt_sight {
    unsigned calls;
    enum paravirt_op_id op;
    bool is_native;
    uint64_t first, second; /* as far as the op takes something */
};
extern struct paravirt_sight paravirt_seen;

/* What such a way returns. */
uint64_t paravirt_result(enum paravirt_op_id op, bool is_native);

/* Resets the recorder; patchable is this program's text. */
void paravirts_begin(void);

/* For cmocka: makes text and table writable, and initializes all ops to inline. */
int paravirts_group_setup(void **state);

/* Makes the table of sites writable. Returns it, as a pointer whose origin the compiler does not
 * know, lest it take the entries for constants; NULL: failed. */
struct paravirt_site *paravirts_unprotect_table(void);

/* What a site at @address must hold. */
void paravirts_expected(const struct paravirt_op *op, uint64_t address, enum paravirt_form form,
                        const struct paravirt_way *way, uint8_t bytes[PARAVIRT_SITE_LENGTH]);

/* Watches all sites of @op on their way from what they are to @form and @way. */
void paravirts_watch(const struct paravirt_op *op, enum paravirt_form form,
                     const struct paravirt_way *way);

/* Fails unless state, slot and all sites of @op are those of @form and @way. */
void paravirts_expect(const struct paravirt_op *op, enum paravirt_form form,
                      const struct paravirt_way *way);

/* Takes @op there by whatever changes it needs. */
void paravirts_take(struct paravirt_op *op, enum paravirt_form form,
                    const struct paravirt_way *way);

/* The same for all ops, native or the other way. */
void paravirts_expect_all(enum paravirt_form form, bool is_native);
void paravirts_take_all(enum paravirt_form form, bool is_native);
