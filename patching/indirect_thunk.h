// SPDX-License-Identifier: MIT
/* How the kernel's indirect calls and jumps guard against speculation, switched while it runs.
 *
 *     status = mitigation_set(MITIGATION_LFENCE, &error);     one batch: all thunks, or none
 *
 * The compiler makes every indirect branch a direct one to a thunk, one for each register
 * (-mindirect-branch=thunk-extern; clang: -mretpoline-external-thunk). The thunks are ours:
 * indirect_thunk.asm, which also says why a thread that stands in one survives a switch.
 *
 * Invariant: all thunks have the same mitigation, but while a switch is in flight.
 *
 * Traps for the reader: at boot the text is MITIGATION_RETPOLINE. Assembler code that branches
 * indirectly does so unguarded. While a switch is in flight, a call that runs into an int3 returns
 * to a place the return stack buffer does not know: right, but not guarded. Code that runs while
 * text is half written without an int3 (protocol stop, from park to release) makes no indirect
 * call. */
#pragma once

#include "patching/status.h"
#include "patching/transaction.h"

#include <stddef.h>
#include <stdint.h>

enum mitigation {
    MITIGATION_RETPOLINE, /* by a return whose prediction nobody else can have taught */
    MITIGATION_LFENCE,    /* lfence, then the jump */
    MITIGATION_NONE,      /* the jump */
    MITIGATION_COUNT
};

/* Makes all thunks those of @mitigation, in one batch; its record: who = "mitigation", caller =
 * return address.
 * Context: platform_may_patch(); patch lock not held.
 * Ordering: on PATCH_OK every CPU goes through the new thunks; one that was inside an old one
 * finishes it.
 * Returns PATCH_ERR_MITIGATION for an unknown one, else what a transaction returns; other than
 * PATCH_OK: nothing changed, and @error (may be NULL) names the thunk by its address. Costs 0
 * rounds and leaves no record if they are those already. */
PATCH_MUST_CHECK enum patch_status mitigation_set(enum mitigation mitigation,
                                                  struct patch_error *error);

/* The same as one change of a transaction. */
struct patch_change mitigation_change_to(enum mitigation mitigation);

/* What that would do and cost, without doing it: nothing if they are those already. Context and
 * result as mitigation_set() up to its first write. */
PATCH_MUST_CHECK enum patch_status mitigation_plan(enum mitigation mitigation,
                                                   struct patch_plan *plan,
                                                   struct patch_error *error);

/* The one in force; may be outdated on return. Context: any. */
enum mitigation mitigation_current(void);

/* Its name ("?" if unknown), and the way back: MITIGATION_COUNT if there is none of that name.
 * Context: any. */
const char *mitigation_name(enum mitigation mitigation);
enum mitigation mitigation_find(const char *name);

enum { INDIRECT_THUNK_SITE_LENGTH = 5 };

struct indirect_thunk_site {
    const char *name; /* the register */
    uint64_t address; /* of the thunk, and of its first instruction, the one that is patched */
    uint8_t bytes[INDIRECT_THUNK_SITE_LENGTH]; /* that stand there */
};

/* Thunk number @index, below indirect_thunk_count; they ascend by address. Context: any. */
struct indirect_thunk_site indirect_thunk_site(size_t index);
extern const uint64_t indirect_thunk_count;
