// SPDX-License-Identifier: MIT
/* Changing static calls. Invariant: target and form of a call are what its text shows, whenever the
 * patch lock is free. Called by: any thread; static_call.h has the picture. */
#include "patching/static_call.h"

#include "patching/instruction.h"
#include "patching/static_call_table.h"

void static_call_return_nothing(void)
{
}

/* long: 0 in all of rax is 0 for int, bool and pointers as well. */
long static_call_return_zero(void)
{
    return 0;
}

static_call_function *static_call_target(const struct static_call *call)
{
    /* Relaxed, here and below: the word stands for itself. */
    return __atomic_load_n(&call->target, __ATOMIC_RELAXED);
}

enum static_call_form static_call_form(const struct static_call *call)
{
    return __atomic_load_n(&call->form, __ATOMIC_RELAXED);
}

static struct static_call *call_of(const struct patch_change *change)
{
    return change->object;
}

/* Whether @call may go to @target at all. */
static enum patch_status check_target(const struct static_call *call, static_call_function *target)
{
    if (!static_call_is_ready()) {
        return PATCH_ERR_NOT_INITIALIZED; /* nobody knows the trampoline yet */
    }
    if (target == NULL && call->empty == STATIC_CALL_NEEDS_TARGET) {
        return PATCH_ERR_NO_TARGET;
    }
    /* A jump to itself. Elsewhere inside the trampoline the batch refuses. */
    return (uint64_t)target == call->trampoline ? PATCH_ERR_TARGET_IN_SITE : PATCH_OK;
}

static enum patch_status change_begin(struct static_call *call)
{
    if (!static_call_is_ready()) {
        return PATCH_ERR_NOT_INITIALIZED;
    }
    if (call->is_changing) {
        return PATCH_ERR_DUPLICATE;
    }
    call->is_changing = true;
    return PATCH_OK;
}

/* Adds all sites of the call, from what they are to @form and @target. */
static enum patch_status sites_queue(const struct static_call *call, enum static_call_form form,
                                     static_call_function *target, struct patch_batch *batch)
{
    enum patch_status status = PATCH_OK;

    for (uint32_t i = 0; i < call->site_count && status == PATCH_OK; i++) {
        const struct call_site *site = &call->sites[i];
        uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
        uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];

        status = static_call_site_encode(call, site, call->form, call->target, old_bytes);
        if (status == PATCH_OK) {
            status = static_call_site_encode(call, site, form, target, new_bytes);
        }
        if (status == PATCH_OK) {
            status = patch_batch_add(batch, site->address, old_bytes, new_bytes, site->length);
        }
    }
    return status;
}

static enum patch_status target_begin(struct patch_change *change)
{
    struct static_call *call = call_of(change);
    static_call_function *target = (static_call_function *)change->wanted;
    enum patch_status status = check_target(call, target);

    if (status == PATCH_OK) {
        status = change_begin(call);
    }
    change->is_there = call->target == target;
    return status;
}

/* The trampoline always changes: calls that the table does not list (from code loaded later, or
 * through a copy of its address in a debugger) go there. */
static enum patch_status target_queue(const struct patch_change *change, struct patch_batch *batch)
{
    const struct static_call *call = call_of(change);
    static_call_function *target = (static_call_function *)change->wanted;
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    enum patch_status status = static_call_trampoline_encode(call, call->target, old_bytes);

    if (status == PATCH_OK) {
        status = static_call_trampoline_encode(call, target, new_bytes);
    }
    if (status == PATCH_OK) {
        status = patch_batch_add(batch, call->trampoline, old_bytes, new_bytes, INSN_JMP32_LENGTH);
    }
    if (status == PATCH_OK && call->form == STATIC_CALL_INLINE) {
        status = sites_queue(call, call->form, target, batch);
    }
    return status;
}

static void target_end(struct patch_change *change, bool is_done)
{
    struct static_call *call = call_of(change);

    if (is_done) {
        __atomic_store_n(&call->target, (static_call_function *)change->wanted, __ATOMIC_RELAXED);
    }
    call->is_changing = false;
}

static const struct patch_change_operations target_operations = {
    .begin = target_begin,
    .queue = target_queue,
    .end = target_end,
};

struct patch_change static_call_change_to(struct static_call *call, static_call_function *target)
{
    return (struct patch_change){.operations = &target_operations,
                                 .name = call->name,
                                 .object = call,
                                 .wanted = (uint64_t)target};
}

static enum patch_status form_begin(struct patch_change *change)
{
    struct static_call *call = call_of(change);

    change->is_there = change->wanted == (uint64_t)call->form;
    return change->wanted < STATIC_CALL_FORM_COUNT ? change_begin(call) : PATCH_ERR_INSTRUCTION;
}

static enum patch_status form_queue(const struct patch_change *change, struct patch_batch *batch)
{
    const struct static_call *call = call_of(change);

    return sites_queue(call, (enum static_call_form)change->wanted, call->target, batch);
}

static void form_end(struct patch_change *change, bool is_done)
{
    struct static_call *call = call_of(change);

    if (is_done) {
        __atomic_store_n(&call->form, (enum static_call_form)change->wanted, __ATOMIC_RELAXED);
    }
    call->is_changing = false;
}

static const struct patch_change_operations form_operations = {
    .begin = form_begin,
    .queue = form_queue,
    .end = form_end,
};

/* Never inlined: their return address says who asked. */

__attribute__((noinline)) enum patch_status static_call_set(struct static_call *call,
                                                            static_call_function *target,
                                                            struct patch_error *error)
{
    struct patch_change change = static_call_change_to(call, target);

    return patch_change_run(&change, (uint64_t)__builtin_return_address(0), error);
}

__attribute__((noinline)) enum patch_status static_call_set_form(struct static_call *call,
                                                                 enum static_call_form form,
                                                                 struct patch_error *error)
{
    struct patch_change change = {
        .operations = &form_operations, .name = call->name, .object = call, .wanted = form};

    return patch_change_run(&change, (uint64_t)__builtin_return_address(0), error);
}

enum patch_status static_call_plan(struct static_call *call, static_call_function *target,
                                   patch_plan_visitor *visit, void *context,
                                   struct patch_plan *plan, struct patch_error *error)
{
    struct patch_change change = static_call_change_to(call, target);

    return patch_change_plan(&change, visit, context, plan, error);
}
