// SPDX-License-Identifier: MIT
/* Changing lazy calls: another target for all sites found, or none found. Invariant: as in
 * lazy_call.h: a site PATCHED is a call of the target, whenever the patch lock is free. Called by:
 * any thread. */
#include "patching/instruction.h"
#include "patching/lazy_site.h"

static struct lazy_call *call_of(const struct patch_change *change)
{
    return change->object;
}

lazy_call_function *lazy_call_target(const struct lazy_call *call)
{
    return __atomic_load_n(&call->target, __ATOMIC_RELAXED); /* the word stands for itself */
}

static enum patch_status change_begin(struct lazy_call *call)
{
    if (!lazy_call_is_ready()) {
        return PATCH_ERR_NOT_INITIALIZED;
    }
    if (call->is_changing) {
        return PATCH_ERR_DUPLICATE;
    }
    call->is_changing = true;
    return PATCH_OK;
}

/* Adds all sites that call the target now: to call @to. */
static enum patch_status sites_queue(const struct lazy_call *call, uint64_t to,
                                     struct patch_batch *batch)
{
    enum patch_status status = PATCH_OK;

    for (unsigned i = 0; i < LAZY_SITE_SLOTS && status == PATCH_OK; i++) {
        const struct lazy_site *site = lazy_site_at(i);

        if (site != NULL && site->call == call && site->state == LAZY_SITE_PATCHED) {
            status = lazy_site_queue(site->address, (uint64_t)call->target, to, batch);
        }
    }
    return status;
}

/* Whether @call may go to @target at all: a rule that does not hang on which sites were found. */
static enum patch_status check_target(const struct lazy_call *call, uint64_t target)
{
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    if (target == 0) {
        return PATCH_ERR_NO_TARGET;
    }
    return target == call->stub ? PATCH_ERR_TARGET_IN_SITE
                                : lazy_site_encode(call->stub, target, bytes);
}

static enum patch_status target_begin(struct patch_change *change)
{
    struct lazy_call *call = call_of(change);
    enum patch_status status = change_begin(call);

    if (status == PATCH_OK) {
        status = check_target(call, change->wanted);
        call->is_changing = status == PATCH_OK;
    }
    change->is_there = (uint64_t)call->target == change->wanted;
    return status;
}

static enum patch_status target_queue(const struct patch_change *change, struct patch_batch *batch)
{
    return sites_queue(call_of(change), change->wanted, batch);
}

/* The stub's target changes behind the batch, so that a batch that fails leaves both as they were;
 * until then a call reaches either. */
static void target_end(struct patch_change *change, bool is_done)
{
    struct lazy_call *call = call_of(change);

    if (is_done) {
        /* Sequentially consistent: on return it is visible to every CPU, also if no sync came
         * behind it. Pairs with the load in lazy_call_enter.asm: a call that begins later sees it.
         */
        __atomic_store_n(&call->target, (lazy_call_function *)change->wanted, __ATOMIC_SEQ_CST);
    }
    call->is_changing = false;
}

static const struct patch_change_operations target_operations = {
    .begin = target_begin,
    .queue = target_queue,
    .end = target_end,
};

struct patch_change lazy_call_change_to(struct lazy_call *call, lazy_call_function *target)
{
    return (struct patch_change){.operations = &target_operations,
                                 .name = call->name,
                                 .object = call,
                                 .wanted = (uint64_t)target};
}

static enum patch_status forget_begin(struct patch_change *change)
{
    return change_begin(call_of(change));
}

static enum patch_status forget_queue(const struct patch_change *change, struct patch_batch *batch)
{
    return sites_queue(call_of(change), call_of(change)->stub, batch);
}

static void counters_clear(struct lazy_call *call)
{
    for (unsigned i = 0; i < LAZY_CALL_SHARDS; i++) {
        struct lazy_call_shard *shard = &call->shards[i];

        __atomic_store_n(&shard->slow_calls, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&shard->reported, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&shard->overflowed, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&shard->unpatchable, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&shard->unlisted, 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&call->merged, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&call->patched_last, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&call->reported_first, 0, __ATOMIC_RELAXED);
}

static void forget_end(struct patch_change *change, bool is_done)
{
    struct lazy_call *call = call_of(change);

    for (unsigned i = 0; i < LAZY_SITE_SLOTS && is_done; i++) {
        struct lazy_site *site = lazy_site_at(i);

        if (site != NULL && site->call == call) {
            lazy_site_set_state(site, LAZY_SITE_FORGOTTEN);
        }
    }
    if (is_done) {
        counters_clear(call);
    }
    call->is_changing = false;
}

static const struct patch_change_operations forget_operations = {
    .begin = forget_begin,
    .queue = forget_queue,
    .end = forget_end,
};

/* Never inlined: their return address says who asked. */

__attribute__((noinline)) enum patch_status lazy_call_set(struct lazy_call *call,
                                                          lazy_call_function *target,
                                                          struct patch_error *error)
{
    struct patch_change change = lazy_call_change_to(call, target);

    return patch_change_run(&change, (uint64_t)__builtin_return_address(0), error);
}

__attribute__((noinline)) enum patch_status lazy_call_forget(struct lazy_call *call,
                                                             struct patch_error *error)
{
    struct patch_change change = {
        .operations = &forget_operations, .name = call->name, .object = call};

    return patch_change_run(&change, (uint64_t)__builtin_return_address(0), error);
}

enum patch_status lazy_call_plan(struct lazy_call *call, lazy_call_function *target,
                                 patch_plan_visitor *visit, void *context, struct patch_plan *plan,
                                 struct patch_error *error)
{
    struct patch_change change = lazy_call_change_to(call, target);

    return patch_change_plan(&change, visit, context, plan, error);
}
