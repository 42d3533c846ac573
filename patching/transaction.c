// SPDX-License-Identifier: MIT
/* Several changes, one batch. Invariant: whatever has begun is ended, and all with the same
 * outcome. Called by: static_key.c, static_call.c, and whoever changes several things at once. */
#include "patching/transaction.h"

#include "patching/bytes.h"
#include "patching/platform.h"

static struct patch_batch shared_batch; /* under patch lock */

enum patch_status patch_error_set(struct patch_error *error, enum patch_status status,
                                  const char *name, uint64_t address)
{
    if (error != NULL) {
        bytes_clear(error, sizeof(*error));
        error->status = status;
        error->name = name;
        error->address = address;
    }
    return status;
}

enum patch_status patch_lock_take(void)
{
    if (!platform_may_patch()) {
        return PATCH_ERR_CONTEXT;
    }
    platform_lock();
    return PATCH_OK;
}

/* Adds the sites of @change, marked as what they are. */
static enum patch_status change_queue(const struct patch_change *change)
{
    uint32_t before = shared_batch.count;
    enum patch_status status = change->operations->queue(change, &shared_batch);

    for (uint32_t i = before; i < shared_batch.count; i++) {
        shared_batch.sites[i].is_last = change->is_last;
    }
    return status;
}

/* Whether @change has a site at @address. Refills the batch: only for the way out of a failure. */
static bool change_has_site(const struct patch_change *change, uint64_t address)
{
    patch_batch_initialize(&shared_batch, change->name);
    if (change->is_there || change_queue(change) != PATCH_OK) {
        return false;
    }
    for (uint32_t i = 0; i < shared_batch.count; i++) {
        if (shared_batch.sites[i].address == address) {
            return true;
        }
    }
    return false;
}

/* The error of the batch, with the name of the change that the site belongs to. */
static void error_take(struct patch_error *error, enum patch_status status,
                       const struct patch_change *changes, size_t count)
{
    if (error == NULL) {
        return;
    }
    bytes_copy(error, &shared_batch.error, sizeof(*error));
    error->status = status;
    error->name = NULL;
    for (size_t i = 0; error->address != 0 && i < count && error->name == NULL; i++) {
        error->name = change_has_site(&changes[i], error->address) ? changes[i].name : NULL;
    }
}

/* Fills the batch with all sites that change. Returns the number of the change that failed in
 * @failed. */
static enum patch_status queue_all(const struct patch_change *changes, size_t count, size_t *failed)
{
    enum patch_status status = PATCH_OK;

    for (*failed = 0; *failed < count; (*failed)++) {
        const struct patch_change *change = &changes[*failed];

        status = change->is_there ? PATCH_OK : change_queue(change);
        if (status != PATCH_OK) {
            break;
        }
    }
    return status;
}

/* All changes have begun: changes the text. */
static enum patch_status batch_run(const struct patch_change *changes, size_t count,
                                   struct patch_error *error)
{
    size_t failed;
    enum patch_status status = queue_all(changes, count, &failed);

    if (status != PATCH_OK) {
        return patch_error_set(error, status, changes[failed].name, shared_batch.error.address);
    }
    if (shared_batch.added > 0) {
        status = patch_batch_apply_locked(&shared_batch);
    }
    if (status != PATCH_OK) {
        error_take(error, status, changes, count);
    }
    return status;
}

enum patch_status patch_transaction_locked(const char *who, uint64_t caller,
                                           struct patch_change *changes, size_t count,
                                           struct patch_error *error)
{
    enum patch_status status = PATCH_OK;
    size_t begun = 0;

    if (count == 0) {
        return patch_error_set(error, PATCH_ERR_EMPTY, NULL, 0);
    }
    patch_batch_initialize(&shared_batch, who);
    shared_batch.caller = caller;
    while (begun < count && status == PATCH_OK) {
        changes[begun].is_there = false;
        status = changes[begun].operations->begin(&changes[begun]);
        if (status == PATCH_OK) {
            begun++;
        } else {
            patch_error_set(error, status, changes[begun].name, 0);
        }
    }
    if (status == PATCH_OK) {
        status = batch_run(changes, count, error);
    }
    for (size_t i = 0; i < begun; i++) {
        changes[i].operations->end(&changes[i], status == PATCH_OK);
    }
    return status;
}

/* Never inlined: its return address says who asked. */
__attribute__((noinline)) enum patch_status patch_transaction(const char *who,
                                                              struct patch_change *changes,
                                                              size_t count,
                                                              struct patch_error *error)
{
    uint64_t caller = (uint64_t)__builtin_return_address(0);
    enum patch_status status = patch_lock_take();

    if (status != PATCH_OK) {
        return patch_error_set(error, status, NULL, 0);
    }
    status = patch_transaction_locked(who, caller, changes, count, error);
    platform_unlock();
    return status;
}

enum patch_status patch_change_run(struct patch_change *change, uint64_t caller,
                                   struct patch_error *error)
{
    enum patch_status status = patch_lock_take();

    if (status != PATCH_OK) {
        return patch_error_set(error, status, change->name, 0);
    }
    status = patch_transaction_locked(change->name, caller, change, 1, error);
    platform_unlock();
    return status;
}

enum patch_status patch_plan_locked(const struct patch_change *change, patch_plan_visitor *visit,
                                    void *context, struct patch_plan *plan,
                                    struct patch_error *error)
{
    enum patch_status status;
    unsigned rounds = 0;

    bytes_clear(plan, sizeof(*plan));
    patch_batch_initialize(&shared_batch, change->name);
    if (change->is_there) {
        return PATCH_OK;
    }
    status = change_queue(change);
    if (status != PATCH_OK) {
        return patch_error_set(error, status, change->name, shared_batch.error.address);
    }
    if (shared_batch.added > 0) {
        status = patch_batch_plan_locked(&shared_batch, &rounds);
    }
    if (status != PATCH_OK) {
        error_take(error, status, change, 1);
        return status;
    }
    plan->sites = shared_batch.count;
    plan->rounds = rounds;
    plan->ipis = rounds * (platform_cpu_count() - 1);
    for (uint32_t i = 0; visit != NULL && i < shared_batch.count; i++) {
        visit(context, &shared_batch.sites[i]);
    }
    return PATCH_OK;
}

enum patch_status patch_change_plan(struct patch_change *change, patch_plan_visitor *visit,
                                    void *context, struct patch_plan *plan,
                                    struct patch_error *error)
{
    enum patch_status status = patch_lock_take();

    bytes_clear(plan, sizeof(*plan));
    if (status != PATCH_OK) {
        return patch_error_set(error, status, change->name, 0);
    }
    status = change->operations->begin(change);
    if (status == PATCH_OK) {
        status = patch_plan_locked(change, visit, context, plan, error);
        change->operations->end(change, false);
    } else {
        patch_error_set(error, status, change->name, 0);
    }
    platform_unlock();
    return status;
}
