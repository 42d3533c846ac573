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

static struct patch_batch key_batch; /* under patch lock */

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
    int32_t count = count_get(key);

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

/* Moves the count into the transition, where no fast path applies, and lists the key.
 * Returns PATCH_ERR_DUPLICATE or PATCH_ERR_IN_USE, and then the key is as it was. */
static enum patch_status transition_begin(const struct static_key_change *change)
{
    struct static_key *key = change->key;
    int32_t first = COUNT_FIRST;

    if (key->transition != STATIC_KEY_SETTLED) {
        return PATCH_ERR_DUPLICATE;
    }
    if (change->enable && count_get(key) == COUNT_DISABLED) {
        count_set(key, COUNT_ENABLING);
        key->transition = STATIC_KEY_ENABLING;
    } else if (change->enable) {
        key->transition = STATIC_KEY_UNCHANGED;
    } else if (count_exchange(key, &first, COUNT_DISABLED)) {
        key->transition = STATIC_KEY_DISABLING;
    } else if (first == COUNT_DISABLED) {
        key->transition = STATIC_KEY_UNCHANGED;
    } else {
        return PATCH_ERR_IN_USE;
    }
    return PATCH_OK;
}

/* Ends the transition: forwards if the text was @changed, else back to where it was. */
static void transition_end(struct static_key *key, bool changed)
{
    if (key->transition == STATIC_KEY_ENABLING) {
        count_set(key, changed ? COUNT_FIRST : COUNT_DISABLED);
    }
    if (key->transition == STATIC_KEY_DISABLING && !changed) {
        count_set(key, COUNT_FIRST);
    }
    key->transition = STATIC_KEY_SETTLED;
}

/* Adds all branches of @key to the batch. */
static enum patch_status queue_sites(const struct static_key *key, bool enable)
{
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
            status = patch_batch_add(&key_batch, site->address, old_bytes, new_bytes,
                                     (size_t)site->length);
        }
    }
    return status;
}

/* An error without a culprit. */
static void note_status(struct patch_error *error, enum patch_status status)
{
    if (error != NULL) {
        bytes_clear(error, sizeof(*error));
        error->status = status;
    }
}

/* The error of the batch, with the key it belongs to. */
static void note_error(struct patch_error *error, enum patch_status status, const char *name)
{
    if (error == NULL) {
        return;
    }
    bytes_copy(error, &key_batch.error, sizeof(*error));
    error->status = status;
    error->name = name;
}

/* The name of the key whose branch stands at @address, or NULL. */
static const char *find_owner(const struct static_key_change *changes, size_t count,
                              uint64_t address)
{
    for (size_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < changes[i].key->site_count; j++) {
            if (changes[i].key->sites[j].address == address) {
                return changes[i].key->name;
            }
        }
    }
    return NULL;
}

/* All keys begin the transition, their branches change in one batch, all keys end it. */
static enum patch_status change_locked(const struct static_key_change *changes, size_t count,
                                       const char *who, uint64_t caller, struct patch_error *error)
{
    enum patch_status status = count > 0 ? PATCH_OK : PATCH_ERR_EMPTY;
    size_t begun = 0;

    patch_batch_initialize(&key_batch, who);
    key_batch.caller = caller;
    while (begun < count && status == PATCH_OK) {
        status = transition_begin(&changes[begun]);
        if (status == PATCH_OK) {
            begun++;
        } else {
            note_error(error, status, changes[begun].key->name);
        }
    }
    for (size_t i = 0; i < begun && status == PATCH_OK; i++) {
        if (changes[i].key->transition != STATIC_KEY_UNCHANGED) {
            status = queue_sites(changes[i].key, changes[i].enable);
        }
    }
    if (status == PATCH_OK && key_batch.count > 0) {
        status = patch_batch_apply_locked(&key_batch);
    }
    if (status != PATCH_OK && begun == count) {
        note_error(error, status, find_owner(changes, count, key_batch.error.address));
    }
    for (size_t i = 0; i < begun; i++) {
        transition_end(changes[i].key, status == PATCH_OK);
    }
    return status;
}

/* Takes the patch lock if this context may and the keys are ready. */
static enum patch_status lock_keys(void)
{
    if (!static_key_is_ready()) {
        return PATCH_ERR_NOT_INITIALIZED;
    }
    if (!platform_may_patch()) {
        return PATCH_ERR_CONTEXT;
    }
    platform_lock();
    return PATCH_OK;
}

static enum patch_status change(const struct static_key_change *changes, size_t count,
                                const char *who, uint64_t caller, struct patch_error *error)
{
    enum patch_status status = lock_keys();

    if (status != PATCH_OK) {
        note_status(error, status);
        return status;
    }
    status = change_locked(changes, count, who, caller, error);
    platform_unlock();
    return status;
}

/* The public functions are never inlined: their return address says who asked. */

__attribute__((noinline)) enum patch_status static_key_enable(struct static_key *key)
{
    const struct static_key_change on = {.key = key, .enable = true};

    return change(&on, 1, key->name, (uint64_t)__builtin_return_address(0), NULL);
}

__attribute__((noinline)) enum patch_status static_key_disable(struct static_key *key)
{
    const struct static_key_change off = {.key = key, .enable = false};

    return change(&off, 1, key->name, (uint64_t)__builtin_return_address(0), NULL);
}

__attribute__((noinline)) enum patch_status static_key_transaction(
    const char *who, const struct static_key_change *changes, size_t count,
    struct patch_error *error)
{
    return change(changes, count, who, (uint64_t)__builtin_return_address(0), error);
}

__attribute__((noinline)) enum patch_status static_key_increment(struct static_key *key)
{
    const struct static_key_change on = {.key = key, .enable = true};
    enum patch_status status = add_user(key);

    if (status != PATCH_ERR_NOT_ENABLED) {
        return status;
    }
    status = lock_keys();
    if (status != PATCH_OK) {
        return status;
    }
    status = add_user(key); /* another thread may have enabled it while this one waited */
    if (status == PATCH_ERR_NOT_ENABLED) {
        status = change_locked(&on, 1, key->name, (uint64_t)__builtin_return_address(0), NULL);
    }
    platform_unlock();
    return status;
}

__attribute__((noinline)) enum patch_status static_key_decrement(struct static_key *key)
{
    const struct static_key_change off = {.key = key, .enable = false};
    uint64_t caller = (uint64_t)__builtin_return_address(0);
    enum patch_status status;

    if (drop_user(key)) {
        return PATCH_OK;
    }
    status = lock_keys();
    if (status != PATCH_OK) {
        return status;
    }
    do { /* again only if an increment comes between the two looks at the count */
        if (drop_user(key)) {
            status = PATCH_OK;
        } else if (count_get(key) == COUNT_DISABLED) {
            status = PATCH_ERR_NOT_ENABLED;
        } else {
            status = change_locked(&off, 1, key->name, caller, NULL);
        }
    } while (status == PATCH_ERR_IN_USE);
    platform_unlock();
    return status;
}

/* Fills the batch with what the change would do. */
static enum patch_status plan_locked(const struct static_key *key, bool enable, unsigned *rounds)
{
    bool changes = static_key_is_enabled(key) != enable;
    enum patch_status status = PATCH_OK;

    patch_batch_initialize(&key_batch, key->name);
    if (!enable && static_key_count(key) > 1) {
        return PATCH_ERR_IN_USE;
    }
    if (changes) {
        status = queue_sites(key, enable);
    }
    if (status == PATCH_OK && key_batch.count > 0) {
        status = patch_batch_plan_locked(&key_batch, rounds);
    }
    return status;
}

enum patch_status static_key_plan(struct static_key *key, bool enable,
                                  void (*visit)(void *context, const struct patch_site *site),
                                  void *context, struct static_key_plan *plan,
                                  struct patch_error *error)
{
    unsigned rounds = 0;
    enum patch_status status = lock_keys();

    bytes_clear(plan, sizeof(*plan));
    if (status != PATCH_OK) {
        note_status(error, status);
        return status;
    }
    status = plan_locked(key, enable, &rounds);
    if (status == PATCH_OK) {
        plan->sites = key_batch.count;
        plan->rounds = rounds;
        plan->ipis = rounds * (platform_cpu_count() - 1);
        for (uint32_t i = 0; visit != NULL && i < key_batch.count; i++) {
            visit(context, &key_batch.sites[i]);
        }
    } else {
        note_error(error, status, key->name);
    }
    platform_unlock();
    return status;
}
