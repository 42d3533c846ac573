// SPDX-License-Identifier: MIT
/* Paravirt ops: operations that differ from machine to machine (how an interrupt is ended, how a
 * lock is waited for), called as if there were only one way to do them, and switched while they
 * run.
 *
 * An op is called through a *site*: ONE instruction of six bytes, in one of three forms.
 *
 *     indirect   call [rip + slot]     ff 15 disp32      through the op's slot, a word in memory
 *     direct     cs call function      2e e8 rel32       the prefix does nothing but fill
 *     inline     cs cs ... cli         2e 2e ... fa      what the function would do, itself
 *
 * Invariant: all sites of an op show the same form and way whenever the patch lock is free; each
 * form is one instruction and has the same next one. So a thread that has called through an
 * indirect call returns behind the site whatever stands there by then, and no CPU ever stands
 * inside a site. ("call; nop", which fills six bytes as well, breaks both: who comes back from the
 * call lands in the middle of the next form.) The fill stands in front.
 *
 * A *way* is one implementation of an op: a function, and, if it is one instruction of at most six
 * bytes, that. Ways keep all registers but those that the op's declaration gives up; a way in C
 * goes through a thunk (paravirt_thunk.h). While a batch is in flight a site's int3 stands for a
 * call of the function: it does what the instruction does.
 *
 *     struct patch_change changes[] = {
 *         paravirt_change_to(&ops[OP_EOI], &way_eoi_kvm),
 *         paravirt_change_to(&ops[OP_SEND], &way_send_kvm),
 *     };
 *     status = patch_transaction("pv backend kvm", changes, 2, &error);
 *
 * API: PARAVIRT_SITE, paravirt_initialize, paravirt_change_to, paravirt_form_change_to,
 * paravirt_plan, paravirt_site_encode, paravirt_site_shows.
 *
 * Traps for the reader: when a change has returned, every CPU calls the new way, but some may still
 * be INSIDE the old one (platform_synchronize() waits for them). Ops that work together (taking and
 * releasing a lock) run old and new in any mixture until then: whoever changes them must make that
 * harmless first (kernel/paravirt_switch.h). No site in .text.nopatch. The inline form must not be
 * used for an instruction that reads or writes the stack pointer unless its function moves its
 * return address out of the way (pushfq: arch/paravirt_native.c). */
#pragma once

#include "patching/status.h"
#include "patching/transaction.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PARAVIRT_SITE_LENGTH = 6 };

typedef void paravirt_function(void);

enum paravirt_form {
    PARAVIRT_INDIRECT, /* through the slot */
    PARAVIRT_DIRECT,   /* calls the function */
    PARAVIRT_INLINE,   /* is the instruction; of a way that is none: as direct */
    PARAVIRT_FORM_COUNT
};

/* One implementation; constant. */
struct paravirt_way {
    const char *name;            /* of the function: "native_irq_save" */
    paravirt_function *function; /* as the op demands: registers kept, or an ordinary function */
    const char *text;            /* the instruction as assembler text; NULL: it is none */
    const uint8_t *instruction;  /* its bytes without fill: begin and end; NULL: none */
    const uint8_t *instruction_end;
};

struct paravirt_op {
    /* constant: */
    const char *name;
    const char *group;     /* ops that may only change together have one name; else NULL */
    const char *signature; /* "void (struct spinlock *, uint32_t)" */
    const char *clobbers;  /* registers that a call gives up, for the reader */
    const char *summary;
    /* written by paravirt_initialize(): */
    paravirt_function **slot; /* what the indirect form calls through */
    uint32_t site_count;
    /* under the patch lock; atomic, for readers without it: */
    const struct paravirt_way *way;
    enum paravirt_form form;
    bool is_changing; /* a transaction lists it */
};

/* An entry of section paravirt_sites. */
struct paravirt_site {
    uint64_t address;
    uint64_t op; /* index */
};
_Static_assert(sizeof(struct paravirt_site) == 16, "entries of section paravirt_sites");
extern const struct paravirt_site paravirt_sites_start[], paravirt_sites_end[];

/* Assembler text of a site as it is built: the indirect call through @slots, an array of words,
 * of which operand [op] is the index and [offset] eight times that. */
#define PARAVIRT_SITE(slots)                                                                       \
    "771:\tcall *" #slots "+%c[offset](%%rip)\n\t"                                                 \
    ".pushsection paravirt_sites, \"a\", @progbits\n\t"                                            \
    ".balign 8\n\t"                                                                                \
    ".quad 771b, %c[op]\n\t"                                                                       \
    ".popsection\n\t"

/* Attaches the sites to @ops, lets every op go the way its entry names and makes its sites
 * @form. Before, every op works, through its slot, which must hold the function of that way.
 * Context: once, early boot: one CPU, interrupts off from before the call until after it.
 * Returns PATCH_ERR_NO_TARGET (an op without a way, or whose slot holds something else),
 * PATCH_ERR_INSTRUCTION (a site is not what the table says, or names no op; an instruction that
 * does not fit; an unknown form), PATCH_ERR_RANGE, PATCH_ERR_NOT_TEXT, PATCH_ERR_DUPLICATE or
 * PATCH_ERR_OVERLAP (two sites on one byte): nothing was written; or PATCH_ERR_WRITE: the sites
 * before the one that failed are. No op can change then. @error (may be NULL) names the culprit. */
PATCH_MUST_CHECK enum patch_status paravirt_initialize(struct paravirt_op *ops, uint32_t count,
                                                       paravirt_function **slots,
                                                       enum paravirt_form form,
                                                       struct patch_error *error);

/* Lets all sites of @op go @way, as part of a transaction; the slot is written behind the batch, so
 * an op in the indirect form costs no round. Context: any. */
struct patch_change paravirt_change_to(struct paravirt_op *op, const struct paravirt_way *way);

/* Gives the sites of @op another form; likewise. A transaction lists an op once. */
struct patch_change paravirt_form_change_to(struct paravirt_op *op, enum paravirt_form form);

/* What a change to @way would do, byte for byte, without doing it; see patch_plan_locked().
 * Context: as patch_transaction(). */
PATCH_MUST_CHECK enum patch_status paravirt_plan(struct paravirt_op *op,
                                                 const struct paravirt_way *way,
                                                 patch_plan_visitor *visit, void *context,
                                                 struct patch_plan *plan,
                                                 struct patch_error *error);

/* Encodes what a site of @op at @address holds in that form and way. Context: any.
 * Returns PATCH_ERR_RANGE, or PATCH_ERR_INSTRUCTION for an instruction that does not fit. */
PATCH_MUST_CHECK enum patch_status paravirt_site_encode(const struct paravirt_op *op,
                                                        uint64_t address, enum paravirt_form form,
                                                        const struct paravirt_way *way,
                                                        uint8_t bytes[PARAVIRT_SITE_LENGTH]);

/* What the bytes at a site are: reads the text itself, not what it ought to be.
 * PARAVIRT_FORM_COUNT: none of the three, as while its op changes. Context: any. */
enum paravirt_form paravirt_site_shows(const struct paravirt_op *op,
                                       const struct paravirt_site *site);

/* Whether a way is one instruction that fits into a site. */
static inline bool paravirt_way_is_instruction(const struct paravirt_way *way)
{
    return way->instruction != NULL && way->instruction_end > way->instruction &&
           way->instruction_end - way->instruction <= PARAVIRT_SITE_LENGTH;
}
