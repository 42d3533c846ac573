// SPDX-License-Identifier: MIT
/* What a host of patching/ must provide: the kernel does it once, tests/host and tests/fuzz again.
 * Invariant: these are the only functions that patching/ calls outside itself (`nm -u` of its
 * objects proves it). "nopatch": called by the breakpoint handler, by the function tracer or while
 * a site is half written, so it must hold no site and call nothing that does. */
#pragma once

#include "patching/status.h"
#include "patching/step.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATCH_CPU_MAX = 256 };

/* True if all @length bytes at @address are kernel text that may be patched: not .text.nopatch. */
bool platform_text_is_patchable(const void *address, size_t length);

/* One stretch of writes: between open and close no other function of this file is called but
 * platform_text_write() and platform_text_write_quadword(). Interrupts may be off in between, so a
 * stretch is at most PATCH_WINDOW_WRITES (write_window.h) writes long. */
void platform_text_open(void); /* nopatch */

/* nopatch. Writes @length bytes to text, which is read-only at @address itself.
 * Returns false if reading back shows other bytes; then any of the bytes may have been written. */
bool platform_text_write(void *address, const void *bytes, size_t length);

/* nopatch. Writes @value to the aligned quadword at @address with one store: nobody sees part of
 * it. Returns as platform_text_write(). */
bool platform_text_write_quadword(uint64_t *address, uint64_t value);

/* nopatch. Ordering: serialises this CPU: it executes nothing behind the call that it fetched
 * before the writes. */
void platform_text_close(void);

/* True if a CPU may go on executing old bytes after it has serialised, until the bytes are written
 * once more. No processor does that; an emulator that caches translations may. Costs nothing where
 * it is false. */
bool platform_text_needs_refresh(void);

/* True if a CPU that fetches an instruction inside an aligned quadword gets it as before or as
 * after platform_text_write_quadword(), never part of each. An emulator may fetch byte by byte. */
bool platform_quadword_is_fetched_whole(void);

/* What one round took, and who did not take part. */
struct platform_round {
    unsigned ipis;       /* sent */
    unsigned silent_cpu; /* valid when the function returned false */
};

/* Serialises every CPU.
 * Ordering: on return every CPU executes a serialising instruction, behind all earlier text writes
 * of the caller, before it executes anything that may be patched; a full memory barrier on each.
 * (It may acknowledge first: then nothing that may run in between, an NMI included, holds a site.)
 * Returns false if a CPU did not acknowledge for as long as the host is willing to wait; its
 * interrupt stays pending and will serialise it. */
PATCH_MUST_CHECK bool platform_sync_cores(struct platform_round *round);

/* Parks every other CPU: on return each spins with interrupts off, in code that holds no site, and
 * so are the caller's interrupts off. Until the release nothing else of this file is called but
 * platform_text_*(), platform_step_reached() and platform_fatal().
 * Returns false, nobody parked, if a CPU did not come in time. */
PATCH_MUST_CHECK bool platform_stop_cpus(struct platform_round *round);

/* Lets them go. Ordering: every CPU, the caller included, serialises before it executes anything
 * that may be patched. */
void platform_release_cpus(void);

/* Called by the protocols, so that a test can stop at each point of a batch and look around.
 * Context: the patcher's thread, patch lock held, text closed; between platform_stop_cpus() and
 * platform_release_cpus() with interrupts off. */
void platform_step_reached(enum patch_step step, enum patch_moment moment);

/* The patch lock, a mutex: may sleep, keeps interrupts on while it waits. */
void platform_lock(void);
void platform_unlock(void);
bool platform_lock_is_held(void); /* by this thread */

/* The change lock, a mutex that is taken before the patch lock: changes that are more than one
 * batch, or a batch and a grace period, are made one after the other. Held while waiting for grace
 * periods; so no code that a grace period waits for may take it. */
void platform_change_lock(void);
void platform_change_unlock(void);
bool platform_change_lock_is_held(void); /* by this thread */

/* A grace period: returns when every thread that may have been inside patched code at the call, a
 * preempted one included, has been seen outside: it has blocked, slept or yielded of its own will,
 * or said so (the host knows how); and every interrupt handler that ran at the call has ended.
 * Every CPU has serialised before the first thread is asked: none enters by an instruction of a
 * batch that was given up what nobody is to enter any more.
 * Context: platform_may_patch(), patch lock not held.
 * Ordering: full; what such a thread did inside is visible to the caller.
 * Returns false if a thread did not come out for as long as the host is willing to wait; the host
 * has named it. */
PATCH_MUST_CHECK bool platform_synchronize(void);

/* True if this context may take the patch lock and wait for all CPUs: a thread, interrupts on, no
 * spinlock held, not inside a handler; or early boot with one CPU. */
bool platform_may_patch(void);

/* Asks for a call of lazy_calls_patch_reported() (lazy_call.h) by a thread that may patch, soon.
 * Context: any but NMI and the breakpoint handler: interrupts off, any lock held, the run queue's
 * too; so it wakes no thread itself. Makes no lazy call. Ordering: full; what the caller did before
 * is visible to that thread.
 * Returns false if there is no such thread yet, or no way to reach it from this CPU. */
bool platform_request_work(void);

unsigned platform_cpu_index(void); /* nopatch; below PATCH_CPU_MAX */
unsigned platform_cpu_count(void); /* CPUs online */

/* nopatch. CPUs that are online or may come online, PATCH_CPU_MAX at most: every index is below it.
 * Does not change while a batch is in flight. */
unsigned platform_cpu_possible(void);

uint64_t platform_time_ticks(void); /* nopatch; raw time stamp */
uint64_t platform_ticks_to_ns(uint64_t ticks);
uint64_t platform_wall_ns(void); /* time of day, ns since 1970 */

void platform_relax(void); /* nopatch; PAUSE, for every spin */

/* nopatch. A broken invariant: stops the machine and prints @what, @address and both values (bytes
 * of text are packed little-endian, first byte lowest). */
_Noreturn void platform_fatal(const char *what, const void *address, uint64_t expected,
                              uint64_t actual);

/* CPU @cpu stays silent at a point where neither the old nor the new bytes are safe for it: stops
 * the machine and names it. */
_Noreturn void platform_fatal_silent_cpu(unsigned cpu);
