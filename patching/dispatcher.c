// SPDX-License-Identifier: MIT
/* Changing dispatchers. Invariant: see dispatcher.h; the order of every change is: check, wait
 * until nobody is in the spare half, write it, switch, wait for whoever may be in what went away.
 * Called by: any thread. */
#include "patching/dispatcher.h"

#include "patching/bytes.h"
#include "patching/generated_text.h"
#include "patching/platform.h"
#include "patching/transaction.h"

/* under the change lock, one change at a time: */
static struct dispatcher_set next_set;
static uint8_t next_image[DISPATCHER_HALF_BYTES];

/* What a dispatcher is to become. */
struct wanted {
    uint64_t caller; /* who asked, for the record */
    const struct dispatcher_set *set;
    enum dispatcher_shape shape;
    bool is_sampled;
};

struct dispatcher *dispatcher_at(unsigned index)
{
    return index < dispatchers_end - dispatchers_start ? dispatchers_start[index] : NULL;
}

struct dispatcher *dispatcher_find(const char *name)
{
    unsigned index = 0;
    struct dispatcher *dispatcher = dispatcher_at(index);

    while (dispatcher != NULL && text_compare(dispatcher->name, name) != 0) {
        dispatcher = dispatcher_at(++index);
    }
    return dispatcher;
}

static uint8_t *half_address(const struct dispatcher *dispatcher, unsigned half)
{
    return dispatcher->image + half * (size_t)DISPATCHER_HALF_BYTES;
}

static enum patch_status change_lock_take(const struct dispatcher *dispatcher,
                                          struct patch_error *error)
{
    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, dispatcher->name, 0);
    }
    platform_change_lock();
    return PATCH_OK;
}

/* Waits until nobody is in an image that the entry has left, nor in a target that no entry names.
 */
static bool grace_wait(struct dispatcher *dispatcher)
{
    dispatcher->statistics.grace_periods++;
    if (!platform_synchronize()) {
        return false;
    }
    dispatcher->needs_grace = false;
    return true;
}

static bool image_is_needed(const struct wanted *wanted)
{
    return wanted->set->count > 0 && wanted->shape != DISPATCHER_NONE;
}

/* The image of @wanted in half @half, into next_image. */
static enum patch_status image_generate(const struct dispatcher *dispatcher,
                                        const struct wanted *wanted, unsigned half, size_t *length,
                                        struct patch_error *error)
{
    static uint64_t targets[DISPATCHER_ENTRY_MAX]; /* under the change lock */
    const struct dispatcher_image_request request = {
        .shape = wanted->shape,
        .count = wanted->set->count,
        .address = (uint64_t)half_address(dispatcher, half),
        .fallback = (uint64_t)__x86_indirect_thunk_rdx,
        .targets = targets,
        .hottest = wanted->set->hottest,
    };
    uint64_t culprit = 0;

    for (uint32_t i = 0; i < wanted->set->count; i++) {
        targets[i] = wanted->set->entries[i].target;
    }
    return patch_error_set(error, dispatcher_image_generate(&request, next_image, length, &culprit),
                           dispatcher->name, culprit);
}

/* Whether the image in use would do: another shape, or order, may be the same code. */
static bool image_is_there(const struct dispatcher *dispatcher, const struct wanted *wanted)
{
    size_t length;

    return dispatcher->image_length != 0 &&
           image_generate(dispatcher, wanted, dispatcher->half, &length, NULL) == PATCH_OK &&
           length == dispatcher->image_length &&
           bytes_equal(next_image, half_address(dispatcher, dispatcher->half), length);
}

/* Writes the image of @wanted into half @spare, which is not in use. */
static enum patch_status image_write(struct dispatcher *dispatcher, const struct wanted *wanted,
                                     unsigned spare, size_t *length, struct patch_error *error)
{
    enum patch_status status = image_generate(dispatcher, wanted, spare, length, error);

    if (status != PATCH_OK) {
        return status;
    }
    if (dispatcher->needs_grace && !grace_wait(dispatcher)) {
        return patch_error_set(error, PATCH_ERR_NOT_LEFT, dispatcher->name, 0);
    }
    /* Even if the write fails midway. */
    if (dispatcher->written[spare] < *length) {
        dispatcher->written[spare] = (uint32_t)*length;
    }
    return generated_text_write((uint64_t)half_address(dispatcher, spare), next_image, *length,
                                error);
}

/* Sends the entry, or the sampler behind it, to @image: one batch. */
static enum patch_status entry_switch(struct dispatcher *dispatcher, const struct wanted *wanted,
                                      static_call_function *image, struct patch_error *error)
{
    static_call_function *fallback = (static_call_function *)__x86_indirect_thunk_rdx;
    static_call_function *sampler = (static_call_function *)dispatcher->sampler;
    struct patch_change changes[] = {
        static_call_change_to(dispatcher->entry, wanted->is_sampled ? sampler : image),
        static_call_change_to(dispatcher->sampled, wanted->is_sampled ? image : fallback),
    };

    enum patch_status status = patch_lock_take();

    if (status != PATCH_OK) {
        return patch_error_set(error, status, dispatcher->name, 0);
    }
    status = patch_transaction_locked(dispatcher->name, wanted->caller, changes,
                                      sizeof(changes) / sizeof(changes[0]), error);
    platform_unlock();
    return status;
}

/* Brings the text to @wanted. Whoever went through the entry before may still be in what it left;
 * and if the batch fails, a CPU that met an int3 of it may be in what it was to go to. */
static enum patch_status text_change(struct dispatcher *dispatcher, const struct wanted *wanted,
                                     struct patch_error *error)
{
    static_call_function *image = (static_call_function *)__x86_indirect_thunk_rdx;
    unsigned half = dispatcher->half;
    size_t length = 0;
    enum patch_status status = PATCH_OK;

    if (image_is_needed(wanted)) {
        if (image_is_there(dispatcher, wanted)) {
            length = dispatcher->image_length;
        } else {
            half = 1 - half;
            status = image_write(dispatcher, wanted, half, &length, error);
        }
        image = (static_call_function *)half_address(dispatcher, half);
    }
    if (status != PATCH_OK || (half == dispatcher->half && length == dispatcher->image_length &&
                               wanted->is_sampled == dispatcher->is_sampled)) {
        return status;
    }
    dispatcher->needs_grace = true;
    status = entry_switch(dispatcher, wanted, image, error);
    if (status == PATCH_OK) {
        dispatcher->half = half;
        dispatcher->image_length = (uint32_t)length;
        dispatcher->statistics.updates++;
    }
    return status;
}

/* Whoever comes to a half that is not in use is to be found out. If that fails, the next removal
 * tries again: the half is nobody's either way. */
static void spare_erase(struct dispatcher *dispatcher)
{
    for (unsigned half = 0; half < 2; half++) {
        bool is_used = half == dispatcher->half && dispatcher->image_length != 0;

        if (!is_used && dispatcher->written[half] != 0 &&
            generated_text_erase((uint64_t)half_address(dispatcher, half),
                                 dispatcher->written[half], NULL) == PATCH_OK) {
            dispatcher->written[half] = 0;
        }
    }
}

/* The set that an update makes, in next_set. */
static enum patch_status set_change(const struct dispatcher *dispatcher, dispatched_function *from,
                                    dispatched_function *to)
{
    enum patch_status status = PATCH_OK;

    bytes_copy(&next_set, &dispatcher->set, sizeof(next_set));
    if (from == to && dispatcher_set_find(&next_set, (uint64_t)to) < next_set.count) {
        return PATCH_OK; /* it keeps its rank */
    }
    if (from != NULL) {
        status = dispatcher_set_remove(&next_set, (uint64_t)from);
    }
    if (status == PATCH_OK && to != NULL) {
        status = dispatcher_set_add(&next_set, (uint64_t)to);
    }
    return status;
}

/* Whether a jump from anywhere in the image reaches @target, and a compare can name it. */
static bool target_is_in_reach(const struct dispatcher *dispatcher, dispatched_function *target)
{
    int64_t address = (int64_t)target;
    int64_t image = (int64_t)dispatcher->image;
    int64_t distance = address - image;

    return address == (int32_t)address && distance - 2 * DISPATCHER_HALF_BYTES >= INT32_MIN &&
           distance <= INT32_MAX;
}

static enum patch_status update_locked(struct dispatcher *dispatcher, dispatched_function *from,
                                       dispatched_function *to, uint64_t caller,
                                       struct patch_error *error)
{
    struct wanted wanted = {caller, &next_set, dispatcher->shape, dispatcher->is_sampled};
    enum patch_status status = set_change(dispatcher, from, to);

    if (status != PATCH_OK) {
        dispatcher->statistics.refused += status == PATCH_ERR_NO_SLOT;
        return patch_error_set(error, status, dispatcher->name,
                               (uint64_t)(status == PATCH_ERR_NO_SLOT ? to : from));
    }
    if (to != NULL && !target_is_in_reach(dispatcher, to)) {
        return patch_error_set(error, PATCH_ERR_RANGE, dispatcher->name, (uint64_t)to);
    }
    if (dispatcher_set_equal(&next_set, &dispatcher->set)) {
        bytes_copy(&dispatcher->set, &next_set, sizeof(next_set)); /* the references */
        return PATCH_OK;
    }
    wanted.is_sampled &= next_set.count != 0; /* an empty one is as at boot */
    status = text_change(dispatcher, &wanted, error);
    if (status != PATCH_OK) {
        return status;
    }
    bytes_copy(&dispatcher->set, &next_set, sizeof(next_set));
    dispatcher->is_sampled = wanted.is_sampled;
    dispatcher->generation++;
    if (from == NULL || dispatcher_set_find(&next_set, (uint64_t)from) < next_set.count) {
        return PATCH_OK;
    }
    if (!grace_wait(dispatcher)) {
        return patch_error_set(error, PATCH_ERR_STILL_INSIDE, dispatcher->name, (uint64_t)from);
    }
    spare_erase(dispatcher);
    return PATCH_OK;
}

/* Never inlined, here and below: their return address says who asked. */
__attribute__((noinline)) enum patch_status dispatcher_update(struct dispatcher *dispatcher,
                                                              dispatched_function *from,
                                                              dispatched_function *to,
                                                              struct patch_error *error)
{
    enum patch_status status = change_lock_take(dispatcher, error);

    if (status == PATCH_OK) {
        status = update_locked(dispatcher, from, to, (uint64_t)__builtin_return_address(0), error);
        platform_change_unlock();
    }
    return status;
}

static enum patch_status form_change(struct dispatcher *dispatcher,
                                     const struct dispatcher_form *form, uint64_t caller,
                                     struct patch_error *error)
{
    const struct wanted wanted = {caller, &next_set, form->shape, form->is_sampled};
    enum patch_status status;

    if ((unsigned)form->shape >= DISPATCHER_SHAPE_COUNT) {
        return patch_error_set(error, PATCH_ERR_SHAPE, dispatcher->name, 0);
    }
    if (form->generation != UINT64_MAX && form->generation != dispatcher->generation) {
        return patch_error_set(error, PATCH_ERR_IN_USE, dispatcher->name, 0);
    }
    bytes_copy(&next_set, &dispatcher->set, sizeof(next_set));
    if (form->hottest != NULL) {
        dispatcher_set_rank(&next_set, form->hottest, form->hottest_count);
    }
    status = text_change(dispatcher, &wanted, error);
    if (status == PATCH_OK) {
        bytes_copy(&dispatcher->set, &next_set, sizeof(next_set));
        dispatcher->shape = form->shape;
        dispatcher->is_sampled = form->is_sampled;
    }
    return status;
}

__attribute__((noinline)) enum patch_status dispatcher_set_form_locked(
    struct dispatcher *dispatcher, const struct dispatcher_form *form, struct patch_error *error)
{
    return form_change(dispatcher, form, (uint64_t)__builtin_return_address(0), error);
}

__attribute__((noinline)) enum patch_status dispatcher_set_form(struct dispatcher *dispatcher,
                                                                const struct dispatcher_form *form,
                                                                struct patch_error *error)
{
    enum patch_status status = change_lock_take(dispatcher, error);

    if (status == PATCH_OK) {
        status = form_change(dispatcher, form, (uint64_t)__builtin_return_address(0), error);
        platform_change_unlock();
    }
    return status;
}

void dispatcher_look(struct dispatcher *dispatcher, struct dispatcher_view *view)
{
    const struct dispatcher_set *set = &dispatcher->set;

    bytes_clear(view, sizeof(*view));
    platform_change_lock();
    view->name = dispatcher->name;
    view->count = set->count;
    bytes_copy(view->entries, set->entries, sizeof(view->entries));
    bytes_copy(view->hottest, set->hottest, sizeof(view->hottest));
    for (uint32_t i = 0; i < set->count; i++) {
        view->references += set->entries[i].references;
    }
    view->shape = dispatcher->shape;
    view->is_sampled = dispatcher->is_sampled;
    view->generation = dispatcher->generation;
    view->image_length = dispatcher->image_length;
    view->image =
        dispatcher->image_length != 0 ? (uint64_t)half_address(dispatcher, dispatcher->half) : 0;
    bytes_copy(&view->statistics, &dispatcher->statistics, sizeof(view->statistics));
    platform_change_unlock();
}

void dispatcher_count_sampled(struct dispatcher *dispatcher, uint64_t hits, uint64_t misses)
{
    platform_change_lock();
    dispatcher->statistics.sampled_hits += hits;
    dispatcher->statistics.sampled_misses += misses;
    platform_change_unlock();
}
