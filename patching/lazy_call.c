// SPDX-License-Identifier: MIT
/* Finding the sites of lazy calls: the stub reports them, the worker patches them. Invariant: a
 * site is patched only if a call of its stub stands there, seen under the patch lock; a report that
 * is lost or dropped costs another slow call, nothing else. Called by: lazy_call_enter.asm, the
 * host's worker; lazy_call.h has the picture. */
#include "patching/lazy_call.h"

#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/lazy_report.h"
#include "patching/lazy_site.h"
#include "patching/platform.h"

/* The stub's half, without a lock:
 *
 *   stub, any context                        worker
 *   add site to a slot        (full)
 *   is_asked 0 -> 1?  ask the host ------->  is_asked = 0             (full)
 *                                            takes all slots
 *
 * Either the worker's look at the slots sees the site, or the stub sees is_asked == 0, and asks. */
static uint32_t is_asked;

static void count(uint64_t *counter)
{
    __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED); /* an interrupt may count, too */
}

/* Asks the host for its worker, unless that has been done since the worker looked last. */
static void worker_ask(void)
{
    if (__atomic_load_n(&is_asked, __ATOMIC_SEQ_CST) == 0 &&
        __atomic_exchange_n(&is_asked, 1, __ATOMIC_SEQ_CST) == 0 && !platform_request_work()) {
        __atomic_store_n(&is_asked, 0, __ATOMIC_SEQ_CST); /* the next slow call asks again */
    }
}

static void report(struct lazy_call *call, struct lazy_call_shard *shard, unsigned cpu,
                   uint64_t site)
{
    uint64_t never = 0;

    if (__atomic_load_n(&call->reported_first, __ATOMIC_RELAXED) == 0) {
        __atomic_compare_exchange_n(&call->reported_first, &never, platform_time_ticks(), false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    switch (lazy_report_add(cpu, site)) {
    case LAZY_REPORT_ADDED:
        count(&shard->reported);
        break;
    case LAZY_REPORT_FULL:
        count(&shard->overflowed);
        break;
    case LAZY_REPORT_PENDING:
        break;
    }
    worker_ask();
}

/* Called by lazy_call_enter.asm, for every call through the stub. Context: that of the caller. */
void lazy_call_report(struct lazy_call *call, uint64_t return_address);

void lazy_call_report(struct lazy_call *call, uint64_t return_address)
{
    uint64_t site = return_address - INSN_CALL32_LENGTH;
    unsigned cpu = platform_cpu_index(); /* if the thread moves, it still counts and reports */
    struct lazy_call_shard *shard = &call->shards[cpu % LAZY_CALL_SHARDS];

    count(&shard->slow_calls);
    switch (lazy_site_state(site)) {
    case LAZY_SITE_UNKNOWN:
        if (lazy_sites_are_full()) {
            count(&shard->unlisted);
            break;
        }
        report(call, shard, cpu, site);
        break;
    case LAZY_SITE_FORGOTTEN:
        report(call, shard, cpu, site);
        break;
    case LAZY_SITE_UNPATCHABLE:
        count(&shard->unpatchable);
        break;
    default: /* the worker knows */
        break;
    }
}

/* The call whose stub the instruction at @site calls; NULL if it is none. These 5 bytes could be
 * the end of another call instruction, an indirect one, and of what stands before it; but then they
 * are not, by chance, e8 and the distance to a stub: such a call ends in ff, an operand
 * byte 10..17, 50..57, 90..97 or d0..d7 and a displacement, which would be a distance of 4 MiB and
 * more. */
static struct lazy_call *call_at(uint64_t site)
{
    struct instruction instruction;

    if (!platform_text_is_patchable((const void *)site, INSN_CALL32_LENGTH) ||
        instruction_decode((const uint8_t *)site, INSN_CALL32_LENGTH, site, &instruction) !=
            PATCH_OK ||
        instruction.kind != INSTRUCTION_CALL) {
        return NULL;
    }
    return lazy_call_of_stub(instruction.target);
}

/* Judges one report. */
static void site_note_locked(uint64_t address, struct lazy_pass *pass)
{
    enum lazy_site_state state = lazy_site_state(address);
    bool is_known = state != LAZY_SITE_UNKNOWN && state != LAZY_SITE_FORGOTTEN;
    struct lazy_call *call = is_known ? NULL : call_at(address);
    struct lazy_site *site = lazy_site_obtain(address, call);

    if (site == NULL) {
        return; /* full: the stub counts the calls */
    }
    if (is_known) {
        if (site->call != NULL) {
            __atomic_store_n(&site->call->merged, site->call->merged + 1, __ATOMIC_RELAXED);
        }
    } else if (call == NULL || site->call != call) {
        lazy_site_set_state(site, LAZY_SITE_UNPATCHABLE);
    } else {
        site->attempts = 0;
        lazy_site_set_state(site, LAZY_SITE_PENDING);
        pass->found++;
    }
}

static void reports_collect_locked(struct lazy_pass *pass)
{
    __atomic_exchange_n(&is_asked, 0, __ATOMIC_SEQ_CST); /* first: see there */
    for (unsigned cpu = 0; cpu < platform_cpu_possible(); cpu++) {
        for (unsigned slot = 0; slot < LAZY_REPORT_SLOTS; slot++) {
            uint64_t site = lazy_report_take(cpu, slot);

            if (site != 0) {
                pass->reports++;
                site_note_locked(site, pass);
            }
        }
    }
}

/* The next pending site behind @index, which it moves on; NULL at the end. */
static struct lazy_site *next_pending_locked(unsigned *index)
{
    while (*index < LAZY_SITE_SLOTS) {
        struct lazy_site *site = lazy_site_at((*index)++);

        if (site != NULL && site->state == LAZY_SITE_PENDING) {
            return site;
        }
    }
    return NULL;
}

/* Gives up those that cannot reach their target. Returns how many are left, and in @who what the
 * record is to say. */
static uint32_t pending_prepare_locked(const char **who)
{
    const struct lazy_call *only = NULL;
    struct lazy_site *site;
    uint32_t pending = 0;

    *who = "lazy";
    for (unsigned index = 0; (site = next_pending_locked(&index)) != NULL;) {
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        if (lazy_site_encode(site->address, (uint64_t)site->call->target, bytes) != PATCH_OK) {
            lazy_site_set_state(site, LAZY_SITE_GIVEN_UP);
            continue;
        }
        *who = pending == 0 || only == site->call ? site->call->name : "lazy";
        only = pending == 0 ? site->call : only == site->call ? only : NULL;
        pending++;
    }
    return pending;
}

static enum patch_status pending_begin(struct patch_change *change)
{
    (void)change;
    return PATCH_OK;
}

static enum patch_status pending_queue(const struct patch_change *change, struct patch_batch *batch)
{
    struct lazy_site *site;
    enum patch_status status = PATCH_OK;

    (void)change;
    for (unsigned index = 0; status == PATCH_OK && (site = next_pending_locked(&index)) != NULL;) {
        status =
            lazy_site_queue(site->address, site->call->stub, (uint64_t)site->call->target, batch);
    }
    return status;
}

static void pending_end(struct patch_change *change, bool is_done)
{
    struct lazy_site *site;

    (void)change;
    for (unsigned index = 0; is_done && (site = next_pending_locked(&index)) != NULL;) {
        lazy_site_set_state(site, LAZY_SITE_PATCHED);
        __atomic_store_n(&site->call->patched_last, platform_time_ticks(), __ATOMIC_RELAXED);
    }
}

static const struct patch_change_operations pending_operations = {
    .begin = pending_begin,
    .queue = pending_queue,
    .end = pending_end,
};

/* The batch failed: at @culprit, or, if that is none of the sites, for all of them. Returns how
 * many are still worth a try. */
static uint32_t failure_note_locked(uint64_t culprit)
{
    bool is_ours = culprit != 0 && lazy_site_state(culprit) == LAZY_SITE_PENDING;
    struct lazy_site *site;
    uint32_t pending = 0;

    for (unsigned index = 0; (site = next_pending_locked(&index)) != NULL;) {
        if ((!is_ours || site->address == culprit) && ++site->attempts == LAZY_ATTEMPTS_MAX) {
            lazy_site_set_state(site, LAZY_SITE_GIVEN_UP);
        } else {
            pending++;
        }
    }
    return pending;
}

static enum patch_status pending_patch_locked(const char *who, uint64_t caller,
                                              struct lazy_pass *pass, struct patch_error *error)
{
    struct patch_change change = {.operations = &pending_operations, .name = who};
    struct patch_error culprit = {.address = 0};
    enum patch_status status = patch_transaction_locked(who, caller, &change, 1, &culprit);

    if (status == PATCH_OK) {
        pass->patched = pass->pending;
        pass->pending = 0;
    } else {
        pass->pending = failure_note_locked(culprit.address);
        if (error != NULL) {
            bytes_copy(error, &culprit, sizeof(*error));
        }
    }
    return status;
}

/* Never inlined: its return address says who asked. */
__attribute__((noinline)) enum patch_status lazy_calls_patch_reported(struct lazy_pass *pass,
                                                                      struct patch_error *error)
{
    uint64_t caller = (uint64_t)__builtin_return_address(0);
    enum patch_status status = patch_lock_take();
    const char *who;

    bytes_clear(pass, sizeof(*pass));
    if (status != PATCH_OK) {
        return patch_error_set(error, status, NULL, 0);
    }
    if (lazy_call_is_ready()) {
        reports_collect_locked(pass);
        pass->pending = pending_prepare_locked(&who);
        if (pass->pending != 0) {
            status = pending_patch_locked(who, caller, pass, error);
        }
    } else {
        status = patch_error_set(error, PATCH_ERR_NOT_INITIALIZED, NULL, 0);
    }
    platform_unlock();
    return status;
}
