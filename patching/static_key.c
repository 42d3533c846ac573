// SPDX-License-Identifier: MIT
/* Changing static keys. Invariant: count > 0 only while every CPU executes the enabled form of
 * every branch; whoever moves a count from or to 0 holds the patch lock. Called by: any thread.
 *
 *     first increment                           a second one, meanwhile
 *     lock; count 0 -> -1                       count is not > 0: no fast path
 *     patch all branches                        waits for the lock
 *     count -1 -> 1; unlock                     count > 0: adds itself, 1 -> 2
 *
 *     last decrement                            an increment, meanwhile
 *     sees 1: no fast path, waits for the lock  fast path: 1 -> 2
 *     lock; 1 -> 0 fails, it is 2: 2 -> 1       its branches were never disabled */
#include "patching/static_key.h"

#include "patching/bytes.h"
#include "patching/platform.h"
#include "patching/static_key_table.h"

enum {
    COUNT_DISABLED = 0,
    COUNT_FIRST = 1,
    COUNT_ENABLING = -1,
};

/* Acquire: pairs with the release in count_set(); who sees a count > 0 sees the work before it. */
static int32_t count_get(const struct static_key *key)
{
    return __atomic_load_n(&key->count, __ATOMIC_ACQUIRE);
}

static void count_set(struct static_key *key, int32_t count)
{
    __atomic_store_n(&key->count, count, __ATOMIC_RELEASE);
}

/* Both orders: a user that comes sees the enabled text, one that goes has done its work. */
static bool count_exchange(struct static_key *key, int32_t *expected, int32_t count)
{
    return __atomic_compare_exchange_n(&key->count, expected, count, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

bool static_key_is_enabled(const struct static_key *key)
{
    return count_get(key) > 0;
}

uint32_t static_key_count(const struct static_key *key)
{
    int32_t count = count_get(key);

    return count > 0 ? (uint32_t)count : 0;
}

/* One user more if the text is enabled already; else PATCH_ERR_NOT_ENABLED. */
static enum patch_status add_user(struct static_key *key)
{
    int32_t count = key->owner == NULL ? count_get(key) : 0;

    while (count > 0) {
        if (count == INT32_MAX) {
            return PATCH_ERR_OVERFLOW;
        }
        if (count_exchange(key, &count, count + 1)) {
            return PATCH_OK;
        }
    }
    return PATCH_ERR_NOT_ENABLED;
}

/* One user less if another one remains. */
static bool drop_user(struct static_key *key)
{
    int32_t count = count_get(key);

    while (count > 1) {
        if (count_exchange(key, &count, count - 1)) {
            return true;
        }
    }
    return false;
}

static struct static_key *key_of(const struct patch_change *change)
{
    return change->object;
}

/* Moves the count into the transition, where no fast path applies. */
static enum patch_status transition_begin(struct patch_change *change)
{
    struct static_key *key = key_of(change);
    bool enable = change->wanted != 0;
    int32_t first = COUNT_FIRST;

    if (!static_key_is_ready()) {
        return PATCH_ERR_NOT_INITIALIZED;
    }
    if (key->transition != STATIC_KEY_SETTLED) {
        return PATCH_ERR_DUPLICATE;
    }
    if (enable && count_get(key) == COUNT_DISABLED) {
        count_set(key, COUNT_ENABLING);
        key->transition = STATIC_KEY_ENABLING;
    } else if (enable) {
        key->transition = STATIC_KEY_UNCHANGED;
    } else if (count_exchange(key, &first, COUNT_DISABLED)) {
        key->transition = STATIC_KEY_DISABLING;
    } else if (first == COUNT_DISABLED) {
        key->transition = STATIC_KEY_UNCHANGED;
    } else {
        return PATCH_ERR_IN_USE;
    }
    change->is_there = key->transition == STATIC_KEY_UNCHANGED;
    return PATCH_OK;
}

/* Ends the transition: forwards if the text was changed, else back to where it was. */
static void transition_end(struct patch_change *change, bool is_done)
{
    struct static_key *key = key_of(change);

    if (key->transition == STATIC_KEY_ENABLING) {
        count_set(key, is_done ? COUNT_FIRST : COUNT_DISABLED);
    }
    if (key->transition == STATIC_KEY_DISABLING && !is_done) {
        count_set(key, COUNT_FIRST);
    }
    key->transition = STATIC_KEY_SETTLED;
}

/* Adds all branches of the key to the batch. */
static enum patch_status sites_queue(const struct patch_change *change, struct patch_batch *batch)
{
    const struct static_key *key = key_of(change);
    bool enable = change->wanted != 0;
    enum patch_status status = PATCH_OK;

    for (uint32_t i = 0; i < key->site_count && status == PATCH_OK; i++) {
        const struct static_key_site *site = &key->sites[i];
        uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
        uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];

        status = static_key_site_encode(site, !enable, old_bytes);
        if (status == PATCH_OK) {
            status = static_key_site_encode(site, enable, new_bytes);
        }
        if (status == PATCH_OK) {
            status =
                patch_batch_add(batch, site->address, old_bytes, new_bytes, (size_t)site->length);
        }
    }
    return status;
}

static const struct patch_change_operations key_operations = {
    .begin = transition_begin,
    .queue = sites_queue,
    .end = transition_end,
};

struct patch_change static_key_change_to(struct static_key *key, bool enable)
{
    return (struct patch_change){
        .operations = &key_operations, .name = key->name, .object = key, .wanted = enable};
}

/* Takes the patch lock if this context may and the keys are ready. */
static enum patch_status lock_keys(void)
{
    return static_key_is_ready() ? patch_lock_take() : PATCH_ERR_NOT_INITIALIZED;
}

/* The same for somebody who may not be the owner. */
static enum patch_status lock_key(const struct static_key *key)
{
    return key->owner == NULL ? lock_keys() : PATCH_ERR_OWNED;
}

static enum patch_status change_locked(struct static_key *key, bool enable, uint64_t caller)
{
    struct patch_change change = static_key_change_to(key, enable);

    return patch_transaction_locked(key->name, caller, &change, 1, NULL);
}

static enum patch_status change(struct static_key *key, bool enable, uint64_t caller)
{
    enum patch_status status = lock_key(key);

    if (status == PATCH_OK) {
        status = change_locked(key, enable, caller);
        platform_unlock();
    }
    return status;
}

/* The public functions are never inlined: their return address says who asked. */

__attribute__((noinline)) enum patch_status static_key_enable(struct static_key *key)
{
    return change(key, true, (uint64_t)__builtin_return_address(0));
}

__attribute__((noinline)) enum patch_status static_key_disable(struct static_key *key)
{
    return change(key, false, (uint64_t)__builtin_return_address(0));
}

__attribute__((noinline)) enum patch_status static_key_increment(struct static_key *key)
{
    enum patch_status status = add_user(key);

    if (status != PATCH_ERR_NOT_ENABLED) {
        return status;
    }
    status = lock_key(key);
    if (status != PATCH_OK) {
        return status;
    }
    status = add_user(key); /* another thread may have enabled it while this one waited */
    if (status == PATCH_ERR_NOT_ENABLED) {
        status = change_locked(key, true, (uint64_t)__builtin_return_address(0));
    }
    platform_unlock();
    return status;
}

__attribute__((noinline)) enum patch_status static_key_decrement(struct static_key *key)
{
    uint64_t caller = (uint64_t)__builtin_return_address(0);
    enum patch_status status;

    if (drop_user(key)) {
        return PATCH_OK;
    }
    status = lock_key(key);
    if (status != PATCH_OK) {
        return status;
    }
    do { /* again only if an increment comes between the two looks at the count */
        if (drop_user(key)) {
            status = PATCH_OK;
        } else if (count_get(key) == COUNT_DISABLED) {
            status = PATCH_ERR_NOT_ENABLED;
        } else {
            status = change_locked(key, false, caller);
        }
    } while (status == PATCH_ERR_IN_USE);
    platform_unlock();
    return status;
}

enum patch_status static_key_plan(struct static_key *key, bool enable, patch_plan_visitor *visit,
                                  void *context, struct patch_plan *plan, struct patch_error *error)
{
    struct patch_change change = static_key_change_to(key, enable);
    enum patch_status status = lock_keys();

    bytes_clear(plan, sizeof(*plan));
    if (status != PATCH_OK) {
        return patch_error_set(error, status, NULL, 0);
    }
    if (!enable && static_key_count(key) > 1) {
        status = patch_error_set(error, PATCH_ERR_IN_USE, key->name, 0);
    } else {
        change.is_there = static_key_is_enabled(key) == enable;
        status = patch_plan_locked(&change, visit, context, plan, error);
    }
    platform_unlock();
    return status;
}
