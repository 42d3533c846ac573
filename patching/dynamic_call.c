// SPDX-License-Identifier: MIT
/* Changing dynamic calls; see dynamic_call.h. Invariant: slots change only while the gate is closed
 * and a grace period has passed since anybody could enter the chain; call->form is what the text
 * is. Called by: dynamic_auto.c, whoever frees targets, tests. */
#include "patching/dynamic_call.h"

#include "patching/bytes.h"
#include "patching/dynamic_compare.h"
#include "patching/platform.h"
#include "patching/record.h"

enum { CHANGES_MAX = 2 * DYNAMIC_SLOTS_MAX + 2 }; /* calls and comparisons, gate, watch */

struct change_list {
    struct patch_change changes[CHANGES_MAX];
    size_t count;
};

static void list_add(struct change_list *list, struct patch_change change)
{
    list->changes[list->count++] = change;
}

/* The gate is the last: who passes it meets new comparisons and new calls only. */
static void list_add_keys(struct change_list *list, const struct dynamic_call *call,
                          const struct dynamic_call_form *form)
{
    struct patch_change gate = static_key_change_to(call->gate, form->is_open);

    gate.is_last = form->is_open;
    list_add(list, gate);
    list_add(list, static_key_change_to(call->watch, form->is_watched));
}

static void list_add_slots(struct change_list *list, const struct dynamic_call *call,
                           const struct dynamic_call_form *form)
{
    for (uint32_t i = 0; i < call->slot_count; i++) {
        struct dynamic_call_slot *slot = &call->slots[i];
        uint64_t target = form->targets.slot[i];
        uint64_t compared = target != 0 ? target : DYNAMIC_CALL_NEVER;

        list_add(list,
                 static_call_change_to(slot->call, target != 0 ? (static_call_function *)target
                                                               : call->nothing));
        list_add(list, dynamic_compare_change_to(slot, form->compare == DYNAMIC_COMPARE_MEMORY
                                                           ? DYNAMIC_COMPARED_MEMORY
                                                           : compared));
    }
}

/* A grace period, for which every CPU serialises as well. */
static bool grace_wait(struct dynamic_call *call)
{
    uint64_t start = platform_time_ticks();
    bool is_over = platform_synchronize();

    call->statistics.grace_periods++;
    call->statistics.grace_ns += platform_ticks_to_ns(platform_time_ticks() - start);
    if (!is_over) {
        return false;
    }
    call->is_unsettled = false;
    return true;
}

/* Before anybody is let into the chain again. */
static bool settle(struct dynamic_call *call)
{
    return !call->is_unsettled || grace_wait(call);
}

/* One batch, or none if all is there. */
static enum patch_status list_run(struct dynamic_call *call, struct change_list *list,
                                  struct patch_error *error)
{
    struct dynamic_call_statistics *statistics = &call->statistics;
    struct patch_record record;
    enum patch_status status = patch_lock_take();

    if (status != PATCH_OK) {
        return patch_error_set(error, status, call->name, 0);
    }
    uint64_t before = patch_record_newest();

    status = patch_transaction_locked(call->gate->owner, (uint64_t)__builtin_return_address(0),
                                      list->changes, list->count, error);
    if (patch_record_newest() != before && patch_record_get(before + 1, &record)) {
        statistics->batches++;
        statistics->rounds += record.rounds;
        statistics->ipis += record.ipis;
        if (statistics->cheapest_ns == 0 || record.total_ns < statistics->cheapest_ns) {
            statistics->cheapest_ns = record.total_ns;
        }
    }
    platform_unlock();
    return status;
}

static enum patch_status keys_change(struct dynamic_call *call,
                                     const struct dynamic_call_form *form,
                                     struct patch_error *error)
{
    struct change_list list = {.count = 0};

    if (form->is_open && !settle(call)) {
        return patch_error_set(error, PATCH_ERR_NOT_LEFT, call->name, 0);
    }
    list_add_keys(&list, call, form);
    /* Also if it fails: a batch of last sites alone is put back behind its first byte, too, and who
     * has come through is in the chain. */
    call->needs_grace |= form->is_open;
    enum patch_status status = list_run(call, &list, error);

    if (status == PATCH_OK) {
        call->form.is_open = form->is_open;
        call->form.is_watched = form->is_watched;
    }
    return status;
}

/* What comparisons in memory form read. Nobody is in the chain: plain order will do, and the syncs
 * of the batch that opens the gate are behind it. */
static void values_store(const struct dynamic_call *call, const struct dynamic_targets *targets)
{
    for (uint32_t i = 0; i < call->slot_count; i++) {
        uint64_t target = targets->slot[i];

        __atomic_store_n(&call->slots[i].value, target != 0 ? target : DYNAMIC_CALL_NEVER,
                         __ATOMIC_RELAXED);
    }
}

/* Nobody gets into the chain any more, and whoever was there has left it. */
static enum patch_status chain_empty(struct dynamic_call *call, struct patch_error *error)
{
    struct dynamic_call_form closed = call->form;
    enum patch_status status = PATCH_OK;

    dynamic_watch_set_through(call, false);
    closed.is_open = false;
    if (call->form.is_open) {
        status = keys_change(call, &closed, error);
    }
    if (status != PATCH_OK || !call->needs_grace) {
        return status;
    }
    if (!grace_wait(call)) {
        return patch_error_set(error, PATCH_ERR_NOT_LEFT, call->name, 0);
    }
    call->needs_grace = false;
    return PATCH_OK;
}

static enum patch_status slots_change(struct dynamic_call *call,
                                      const struct dynamic_call_form *form,
                                      struct patch_error *error)
{
    struct change_list list = {.count = 0};
    enum patch_status status = chain_empty(call, error);

    if (status != PATCH_OK) {
        return status;
    }
    list_add_slots(&list, call, form);
    list_add_keys(&list, call, form);
    values_store(call, &form->targets);
    status = list_run(call, &list, error);
    if (status != PATCH_OK) {
        values_store(call, &call->form.targets);
        call->is_unsettled = true;
        return status;
    }
    call->is_unsettled = false; /* the syncs of this batch were in front of its gate */
    call->form = *form;
    call->needs_grace = form->is_open;
    call->statistics.changes++;
    return PATCH_OK;
}

static enum patch_status targets_check(const struct dynamic_call *call,
                                       const struct dynamic_targets *targets,
                                       struct patch_error *error)
{
    for (uint32_t i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        uint64_t target = targets->slot[i];
        enum patch_status status = PATCH_OK;

        if (target == 0) {
            continue;
        }
        if (i >= call->slot_count) {
            status = PATCH_ERR_TARGETS;
        }
        for (uint32_t before = 0; before < i; before++) {
            if (targets->slot[before] == target) {
                status = PATCH_ERR_TARGETS;
            }
        }
        if (status == PATCH_OK &&
            (target == DYNAMIC_CALL_NEVER || (uint64_t)(int64_t)(int32_t)target != target)) {
            status = PATCH_ERR_RANGE;
        }
        if (status != PATCH_OK) {
            return patch_error_set(error, status, call->name, target);
        }
    }
    return PATCH_OK;
}

/* Order matters here: slots are text. */
static bool slots_differ(const struct dynamic_call *call, const struct dynamic_call_form *form)
{
    return form->compare != call->form.compare ||
           !bytes_equal(&form->targets, &call->form.targets, sizeof(form->targets));
}

/* Counts are of calls before or behind a change, never of those meanwhile: then everybody goes the
 * slow way, hot or not (seed 1 learnt from that, and changed again and again). */
static void counting_pause(struct dynamic_call *call)
{
    dynamic_watch_set_counting(call, false);
}

static void counting_resume(struct dynamic_call *call)
{
    struct dynamic_count *counts = __atomic_load_n(&call->counts, __ATOMIC_RELAXED);

    if (counts != NULL) {
        dynamic_count_clear(counts, call->count_cpus);
    }
    dynamic_watch_set_counting(call, call->form.is_watched);
}

static enum patch_status form_change(struct dynamic_call *call,
                                     const struct dynamic_call_form *form,
                                     struct patch_error *error)
{
    if (slots_differ(call, form)) {
        return slots_change(call, form, error);
    }
    if (form->is_open != call->form.is_open || form->is_watched != call->form.is_watched) {
        return keys_change(call, form, error);
    }
    return PATCH_OK;
}

enum patch_status dynamic_call_set_form_locked(struct dynamic_call *call,
                                               const struct dynamic_call_form *form,
                                               struct patch_error *error)
{
    enum patch_status status = targets_check(call, &form->targets, error);
    const struct dynamic_call_statistics before = call->statistics;
    uint64_t start = platform_time_ticks();

    if (status == PATCH_OK && (unsigned)form->compare >= DYNAMIC_COMPARE_COUNT) {
        status = patch_error_set(error, PATCH_ERR_INSTRUCTION, call->name, 0);
    }
    if (status != PATCH_OK) {
        return status;
    }
    counting_pause(call);
    status = form_change(call, form, error);
    counting_resume(call);
    if (call->statistics.batches != before.batches) {
        call->statistics.cost_ns += platform_ticks_to_ns(platform_time_ticks() - start) -
                                    (call->statistics.grace_ns - before.grace_ns);
    }
    call->statistics.failed += status != PATCH_OK;
    return status;
}

enum patch_status dynamic_call_set_form(struct dynamic_call *call,
                                        const struct dynamic_call_form *form,
                                        struct patch_error *error)
{
    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, call->name, 0);
    }
    platform_change_lock();
    enum patch_status status = dynamic_call_set_form_locked(call, form, error);

    platform_change_unlock();
    return status;
}

/* Once somebody may have been sent there, a change waits for a grace period. */
bool dynamic_call_set_through(struct dynamic_call *call, bool goes_through)
{
    if (goes_through && !settle(call)) {
        return false;
    }
    call->needs_grace |= goes_through;
    dynamic_watch_set_through(call, goes_through);
    return true;
}

/* Takes @target out of the slots of @call, if one names it; a gate that nothing is behind closes.
 */
static enum patch_status slots_forget(struct dynamic_call *call, uint64_t target,
                                      struct patch_error *error)
{
    struct dynamic_call_form form = call->form;
    bool is_named = false;
    bool is_empty = true;

    for (uint32_t i = 0; i < call->slot_count; i++) {
        if (form.targets.slot[i] == target && target != 0) {
            form.targets.slot[i] = 0;
            is_named = true;
        }
        is_empty &= form.targets.slot[i] == 0;
    }
    if (!is_named) {
        return PATCH_OK;
    }
    form.is_open &= !is_empty;
    enum patch_status status = dynamic_call_set_form_locked(call, &form, error);

    call->statistics.forgotten += status == PATCH_OK;
    return status;
}

static void counts_forget(struct dynamic_call *call, uint64_t target)
{
    struct dynamic_count *counts = __atomic_load_n(&call->counts, __ATOMIC_RELAXED);

    if (counts != NULL) {
        dynamic_count_forget(counts, call->count_cpus, target);
    }
}

/* Slots first: then a thread that is still on its way to the target by a slot is waited for with
 * those on the slow way. Counts behind the grace period: until then somebody may count it. */
static enum patch_status forget_locked(uint64_t target, struct patch_error *error)
{
    enum patch_status status = PATCH_OK;
    struct dynamic_call *call;

    for (unsigned i = 0; status == PATCH_OK && (call = dynamic_call_at(i)) != NULL; i++) {
        status = slots_forget(call, target, error);
    }
    if (status != PATCH_OK) {
        return status;
    }
    if (!platform_synchronize()) {
        status = patch_error_set(error, PATCH_ERR_STILL_INSIDE, NULL, target);
    }
    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        counts_forget(call, target);
        dynamic_choice_forget(&call->choice, target, 0);
    }
    return status;
}

enum patch_status dynamic_calls_forget(uint64_t target, struct patch_error *error)
{
    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, NULL, target);
    }
    platform_change_lock();
    enum patch_status status = forget_locked(target, error);

    platform_change_unlock();
    return status;
}

void dynamic_call_look(struct dynamic_call *call, struct dynamic_call_view *view)
{
    platform_change_lock();
    bytes_clear(view, sizeof(*view));
    view->name = call->name;
    view->slot_count = call->slot_count;
    view->sites = call->slots[0].site_count;
    view->form = call->form;
    view->has_memory = call->counts != NULL;
    view->nulls = __atomic_load_n(&call->nulls, __ATOMIC_RELAXED);
    view->statistics = call->statistics;
    platform_change_unlock();
}
