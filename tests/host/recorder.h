// SPDX-License-Identifier: MIT
/* The recorder: a platform for patching/ that logs every call and checks the text after every byte
 * written. Invariant checked: at every instant a CPU may fetch any mixture of the bytes that stood
 * at a site since the last sync; each such mixture must be the whole old instruction, the whole new
 * one, or begin with int3, and an int3 must be resolved by the handler as the new instruction
 * demands (as the old one at a last site). Once a CPU may have executed the new instruction of a
 * last site, none may execute the old one of another. A violation fails the running cmocka test.
 * Used by: the test programs but for the races. */
#pragma once

#include "patching/breakpoint.h"
#include "patching/poke.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

enum { RECORDER_ARENA_SIZE = 256 * 1024 };

/* Bytes that play kernel text; page aligned, filled with 0xf4. */
extern uint8_t recorder_arena[RECORDER_ARENA_SIZE];

enum recorder_fault {
    FAULT_NOTHING_WRITTEN, /* the write did not reach memory */
    FAULT_HALF_WRITTEN,    /* only its first half did, rounded down */
    FAULT_ALL_WRITTEN,     /* it did, but reading back went wrong */
    FAULT_COUNT
};

enum { RECORDER_SILENT_CPU = 2 };

struct recorder {
    /* set by tests: */
    unsigned fail_write; /* number of the write that fails, from 1; 0: none */
    enum recorder_fault fault;
    bool fail_later_writes; /* all writes behind it fail too */
    unsigned silent_round;  /* from this round on, counted from 1, RECORDER_SILENT_CPU does not
                             * answer; 0: it does */
    bool may_patch;
    bool tolerates_mixtures; /* counts them instead of failing */
    bool ignores_unwatched;  /* writes outside all sites are not looked at: generated text */
    bool fetches_bytewise;   /* see platform_quadword_is_fetched_whole() */
    bool text_needs_refresh; /* see platform_text_needs_refresh() */
    bool has_no_worker;      /* platform_request_work() fails */
    unsigned cpu;            /* the one that the test plays */
    bool early_boot; /* one CPU, interrupts off: mixtures between writes are nobody's business */
    unsigned cpus;
    uint64_t text_start, text_end; /* what is patchable; the arena by default */
    void (*on_open)(void);         /* called when text is opened */
    void (*on_sync)(void);         /* called before the CPUs have serialised */
    void (*on_relax)(void);
    void (*on_step)(enum patch_step step, enum patch_moment moment);
    void (*on_lock)(void);  /* called while platform_lock() waits for its turn */
    bool synchronize_fails; /* a thread does not come out: platform_synchronize() returns false */
    void (*on_synchronize)(void); /* called while platform_synchronize() waits */
    jmp_buf *on_fatal;            /* where platform_fatal() goes; NULL: it fails the test */

    /* counted: */
    unsigned writes;
    unsigned rounds; /* syncs and stops */
    unsigned relaxes;
    unsigned work_requests;
    unsigned synchronizes; /* grace periods, those that failed included */
    unsigned mixtures;
    uint64_t traps; /* simulated and emulated */
    const char *fatal_what;
    unsigned fatal_cpu;
    const void *fatal_address;
};
extern struct recorder recorder;

/* Forgets everything: log, sites watched, faults; unlocks; drops references a failed test left. */
void recorder_reset(void);

/* From now on the site must show @old_bytes, int3, or @new_bytes. */
void recorder_watch(uint64_t address, const uint8_t *old_bytes, const uint8_t *new_bytes,
                    size_t length);

/* The site watched at @address is a last one (poke.h). */
void recorder_watch_as_last(uint64_t address);

/* An int3 at the site watched at @address stands for a call of @stand_in (poke.h). */
void recorder_watch_stand_in(uint64_t address, uint64_t stand_in);

/* The next time stamp is so much later. */
void recorder_time_pass(uint64_t ticks);

/* Fails unless every CPU has serialised since the last write to a site watched. */
void recorder_expect_synced(void);

/* Calls so far: ( open, w write, q quadword, ) close, S sync, [ stop, ] release, G grace
 * period. Empty: the text
 * was not touched. */
const char *recorder_log(void);

/* True if a jump on @condition (0..15) is taken with @flags: asks the real CPU. */
bool recorder_condition_holds(unsigned condition, uint64_t flags);

/* @flags behind cmp @left, @right: asks the real CPU. */
uint64_t recorder_compare(uint64_t left, uint64_t right, uint64_t flags);

/* Raises a breakpoint at @address as CPU @cpu would. Returns what the handler returned. */
bool recorder_trap(unsigned cpu, uint64_t address, struct patch_registers *registers);

/* The same for an int3 that this thread has executed, by SIGTRAP; it goes on as the handler says,
 * but may only if this returns true. */
bool recorder_trap_signal(unsigned cpu, ucontext_t *context);
