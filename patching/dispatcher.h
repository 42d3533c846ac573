// SPDX-License-Identifier: MIT
/* Dispatchers: an indirect call that is made as a few compares and a direct jump, as long as its
 * target is one of up to 64 known ones; any other goes through the fallback, the thunk that the
 * compiler would have used (seed 3). xdp_call.h is the front door.
 *
 * Pieces of a dispatcher:
 *
 *     call site        entry (a static call)       image half 0 | half 1        targets
 *     call entry  -->  jmp half 1             -->  cmp rdx, a; je a        -->  a
 *                                                  ...; jmp fallback
 *                                                  (half 0: nobody is in it)
 *
 * An update writes the image into the half that is not in use, and switches the entry, trampoline
 * and inlined sites alike, in one batch. A thread may have been preempted in the old half; it finds
 * its way as long as nobody writes there. So a half is written only when a grace period has passed
 * since the entry left it; double buffering alone is not enough (facts: bug 13):
 *
 *     updater                                  a thread
 *     entry -> half 1                          in half 0, in front of `je b`; preempted
 *     entry -> half 0, rewritten
 *     (without the grace period:)              runs on, in the middle of other instructions
 *
 * While a trial runs (trial.h, dispatcher_auto.h), the entry goes to a sampler, and its tail jump,
 * a static call as well, to the image.
 *
 * Invariant: outside of an update, entry and sampled call go where `shape`, `is_sampled` and `half`
 * say; each entry has a reference; entries ascend as signed numbers. An update that fails has
 * changed nothing but bytes of the half that nobody is in.
 *
 * Traps for the reader: what a target does after the jump is its own business: a target whose
 * memory is to go away must be out of the dispatcher AND out of every pointer that is passed as
 * function, before a grace period; dispatcher_update() that removes one waits for such a period. A
 * target that sleeps is not seen by grace periods: such targets must not be freed. */
#pragma once

#include "patching/dispatcher_choice.h"
#include "patching/dispatcher_image.h"
#include "patching/dispatcher_set.h"
#include "patching/static_call.h"
#include "patching/trial.h"

#include <stdbool.h>
#include <stdint.h>

/* What is dispatched: the program @function runs @instructions (its own data) on @context. */
typedef unsigned dispatched_function(const void *context, const void *instructions);
typedef unsigned dispatcher_function(const void *context, const void *instructions,
                                     dispatched_function *function);

/* The fallback: indirect_thunk.asm. */
extern dispatcher_function __x86_indirect_thunk_rdx;

/* What happened to it; changes under the change lock. */
struct dispatcher_statistics {
    uint64_t updates;                      /* that changed the text */
    uint64_t refused;                      /* targets for which there was no entry left */
    uint64_t grace_periods;                /* waited for */
    uint64_t sampled_hits, sampled_misses; /* calls seen by samplers, ever */
};

struct dispatcher {
    /* constant: */
    const char *name;
    struct static_call *entry;
    struct static_call *sampled; /* where the sampler goes on */
    dispatcher_function *sampler;
    uint8_t *image; /* two halves of DISPATCHER_HALF_BYTES, generated text */
    struct trial *trial;
    bool is_by_hand; /* no automatic choice until somebody switches it on */
    /* under the change lock: */
    struct dispatcher_set set;
    enum dispatcher_shape shape;
    bool is_sampled;
    unsigned half;         /* that was written last */
    uint32_t image_length; /* of the image there; 0: the entry needs none */
    uint32_t written[2];   /* bytes of a half that are not int3 */
    bool needs_grace;      /* somebody may be in an image that the entry left */
    uint64_t generation;   /* counts changes of the set of entries */
    struct dispatcher_statistics statistics;
    struct dispatcher_choice choice; /* of shapes, by dispatcher_auto.c */
};

/* Takes @from out and puts @to in, each may be NULL; what is there already gets or loses a
 * reference. One batch; none if the set of entries stays the same.
 * Context: platform_may_patch(); neither patch lock nor change lock held; waits for a grace period
 * if something goes, or if the last one is not over yet.
 * Ordering: what the caller did before is visible to whoever goes through the new entry. When an
 * entry is gone on return, every thread that was in the old image or in @from has been seen
 * outside.
 * Returns PATCH_ERR_NO_ENTRY (@from is none), PATCH_ERR_NO_SLOT (64 others: @to works, through the
 * fallback), PATCH_ERR_RANGE (@to is no sign-extended 32-bit address or out of reach),
 * PATCH_ERR_NOT_LEFT (a thread did not come out in time), or what a batch returns; then nothing has
 * changed, and @error (may be NULL) names the culprit. PATCH_ERR_STILL_INSIDE is the exception: the
 * change is made, but a thread may still be in @from: its memory must stay. */
PATCH_MUST_CHECK enum patch_status dispatcher_update(struct dispatcher *dispatcher,
                                                     dispatched_function *from,
                                                     dispatched_function *to,
                                                     struct patch_error *error);

/* How the dispatcher is to be made from now on. */
struct dispatcher_form {
    enum dispatcher_shape shape;
    bool is_sampled;
    const uint64_t *hottest; /* targets, see dispatcher_set_rank(); NULL: as they are */
    uint32_t hottest_count;
    uint64_t generation; /* that the caller has seen, or UINT64_MAX: any */
};

/* Makes it so: one batch, none if it is so. Context, ordering and returns as dispatcher_update();
 * PATCH_ERR_SHAPE for an unknown shape, PATCH_ERR_IN_USE if the set of entries is not @generation's
 * any more. */
PATCH_MUST_CHECK enum patch_status dispatcher_set_form(struct dispatcher *dispatcher,
                                                       const struct dispatcher_form *form,
                                                       struct patch_error *error);

/* The same with the change lock held. */
PATCH_MUST_CHECK enum patch_status dispatcher_set_form_locked(struct dispatcher *dispatcher,
                                                              const struct dispatcher_form *form,
                                                              struct patch_error *error);

/* A consistent copy of what a dispatcher is. Context: thread, change lock not held. */
struct dispatcher_view {
    const char *name;
    uint32_t count, references;
    struct dispatcher_entry entries[DISPATCHER_ENTRY_MAX];
    uint8_t hottest[DISPATCHER_ENTRY_MAX];
    enum dispatcher_shape shape;
    bool is_sampled;
    uint64_t generation;
    uint64_t image; /* address of the one in use; 0: the entry goes to the fallback */
    uint32_t image_length;
    struct dispatcher_statistics statistics;
};
void dispatcher_look(struct dispatcher *dispatcher, struct dispatcher_view *view);

/* Adds what a trial has seen to the statistics. Context: thread, change lock not held. */
void dispatcher_count_sampled(struct dispatcher *dispatcher, uint64_t hits, uint64_t misses);

/* All dispatchers; NULL: no more, or none of that name. Context: any. */
struct dispatcher *dispatcher_at(unsigned index);
struct dispatcher *dispatcher_find(const char *name);

/* Section dispatchers: pointers. */
extern struct dispatcher *const dispatchers_start[], *const dispatchers_end[];
