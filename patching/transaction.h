// SPDX-License-Identifier: MIT
/* Transactions: several things that are patched change together, in one batch. Invariant: all
 * changes happen or none; between the first and the last sync of the batch some CPUs still execute
 * old instructions, behind it nobody does.
 *
 *     struct patch_change changes[] = {
 *         static_key_change_to(&packet_trace, true),
 *         static_call_change_to(packet_filter, filter_traced),
 *     };
 *     struct patch_error error;
 *     status = patch_transaction("packet tracing", changes, 2, &error);
 *
 * What can take part: static keys (static_key.h), static calls (static_call.h), lazy calls
 * (lazy_call.h). A kind of thing takes part by three functions (struct patch_change_operations). */
#pragma once

#include "patching/poke.h"
#include "patching/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct patch_change_operations;

/* One change. Built by the functions of its kind, static_key_change_to() and the like. */
struct patch_change {
    const struct patch_change_operations *operations;
    const char *name; /* of the object; for records and errors */
    void *object;     /* struct static_key, struct static_call */
    uint64_t wanted;  /* its new state, in the kind's own terms */
    bool is_there;    /* set by begin: the object has that state already */
    /* Set by whoever built it, for nops and jumps: once anybody has executed a new instruction of
     * this change, the changes that are not last are new everywhere (patch_batch_add_last()). */
    bool is_last;
};

/* What the transaction does with a change. Context of all: patch lock held. */
struct patch_change_operations {
    /* Checks the change alone and marks the object as being changed. Returns other than PATCH_OK:
     * the object is as before; PATCH_ERR_DUPLICATE if it is marked already. */
    enum patch_status (*begin)(struct patch_change *change);
    /* Adds the sites. Not called for a change that is_there. */
    enum patch_status (*queue)(const struct patch_change *change, struct patch_batch *batch);
    /* Takes the mark away; @is_done: the text has changed, so has the object. */
    void (*end)(struct patch_change *change, bool is_done);
};

/* Makes all changes in one batch, which leaves one record under @who (static string).
 * Context: platform_may_patch(); patch lock not held.
 * Ordering: on PATCH_OK every CPU executes the new instructions.
 * Returns what the checks of the kinds and the batch return; PATCH_ERR_EMPTY for no change,
 * PATCH_ERR_DUPLICATE if an object stands there twice. Other than PATCH_OK: nothing changed, and
 * @error (may be NULL) names the culprit. Costs 0 rounds, and leaves no record, if all objects have
 * their states already. */
PATCH_MUST_CHECK enum patch_status patch_transaction(const char *who, struct patch_change *changes,
                                                     size_t count, struct patch_error *error);

/* The same with the patch lock held, for @caller (goes into the record). */
PATCH_MUST_CHECK enum patch_status patch_transaction_locked(const char *who, uint64_t caller,
                                                            struct patch_change *changes,
                                                            size_t count,
                                                            struct patch_error *error);

/* One change, recorded under its own name. Context, ordering and returns as patch_transaction(). */
PATCH_MUST_CHECK enum patch_status patch_change_run(struct patch_change *change, uint64_t caller,
                                                    struct patch_error *error);

/* Takes the patch lock if this context may: else PATCH_ERR_CONTEXT. */
PATCH_MUST_CHECK enum patch_status patch_lock_take(void);

/* What a change would do, and at which price. */
struct patch_plan {
    uint32_t sites;  /* that would change */
    uint32_t rounds; /* with the default protocol */
    uint32_t ipis;   /* rounds * (CPUs online - 1) */
};

typedef void patch_plan_visitor(void *context, const struct patch_site *site);

/* What the sites that @change queues would do, byte for byte, without doing it; begin and end are
 * not called. @visit (may be NULL) is called once a site, by address, patch lock held: it may
 * print, it may not patch.
 * Context: patch lock held. Returns what the transaction would return before its first write. */
PATCH_MUST_CHECK enum patch_status patch_plan_locked(const struct patch_change *change,
                                                     patch_plan_visitor *visit, void *context,
                                                     struct patch_plan *plan,
                                                     struct patch_error *error);

/* The same for a kind whose begin shows to nobody, and without the lock: takes the lock, calls
 * begin and end. Context as patch_transaction(). */
PATCH_MUST_CHECK enum patch_status patch_change_plan(struct patch_change *change,
                                                     patch_plan_visitor *visit, void *context,
                                                     struct patch_plan *plan,
                                                     struct patch_error *error);

/* An error without a culprit in the text. @error may be NULL. Returns @status. */
enum patch_status patch_error_set(struct patch_error *error, enum patch_status status,
                                  const char *name, uint64_t address);
