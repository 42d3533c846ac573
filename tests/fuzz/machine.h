// SPDX-License-Identifier: MIT
/* The platform of the batch fuzzer: an arena that plays kernel text, one thread that plays the
 * patcher, and faults on demand. Invariant: a call that breaks the contract of platform.h aborts;
 * every byte that changes is told to fetch.h. Used by: fuzz_batch.c, model.c, fetch.c. */
#pragma once

#include "patching/breakpoint.h"
#include "patching/platform.h"
#include "patching/poke.h"

#include <setjmp.h>

/* Low, so that jumps reach both the end and the beginning of the address space. The first part
 * holds sites of all forms (PLACES), the rest one-byte nops. */
enum {
    ARENA_ADDRESS = 0x70000000,
    ARENA_FORMS_SIZE = 4096,
    ARENA_BLOCK_SIZE = 128, /* in which the same sites stand again and again */
    ARENA_SIZE = ARENA_FORMS_SIZE + 2 * 4096,
};
extern uint8_t *const arena;

enum fault_kind { FAULT_NOTHING_WRITTEN, FAULT_HALF_WRITTEN, FAULT_ALL_WRITTEN, FAULT_KINDS };

enum machine_end { END_NONE, END_FATAL, END_FATAL_SILENT_CPU };

struct machine {
    /* set by the program that is being fuzzed: */
    bool may_patch;
    bool needs_refresh;
    bool fetches_quadwords; /* whole: platform_quadword_is_fetched_whole() */
    unsigned cpus;
    unsigned possible_cpus;
    uint64_t text_start, text_end; /* what is patchable */
    unsigned fail_write;           /* the first write that fails, from 1; 0: none */
    unsigned fail_writes;          /* how many fail from there on */
    enum fault_kind fault;
    unsigned silent_round; /* the first round that a CPU does not take part in, from 1; 0: none */
    unsigned silent_rounds;
    unsigned silent_cpu;
    unsigned stranger; /* offset in the arena: a CPU traps there whenever one runs into a site */
    jmp_buf *on_end;   /* where the machine goes when it stops */

    /* since machine_begin(): */
    unsigned writes, bytes, failed_writes;
    unsigned rounds, ipis, failed_rounds;
    bool is_naive;      /* protocol of the batch in flight: any mixture goes */
    bool allows_unsafe; /* its PATCH_ALLOW_UNSAFE: quadwords may be torn */
    enum machine_end end;
};
extern struct machine machine;

/* A new machine: arena as in the beginning, lock free, no faults, 4 CPUs of 6 that fetch quadwords
 * whole. */
void machine_reset(void);

/* A batch by @protocol with @flags begins: forgets what was counted. */
void machine_begin(unsigned protocol, unsigned flags);

/* It has returned, or the machine has stopped: checks that nothing is left open, and that every
 * reference has been dropped (after a stop: drops them). Faults are over. */
void machine_finish(void);

/* The arena in the beginning. */
void machine_fill(uint8_t *bytes);

/* Runs into the int3 (or whatever stands there) at @address as CPU @cpu would; @registers but for
 * the ip, which is set. */
bool machine_trap(unsigned cpu, uint64_t address, struct patch_registers *registers);
