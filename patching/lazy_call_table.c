// SPDX-License-Identifier: MIT
/* The list of lazy calls, and what there is to know about each. Invariant: the list does not change
 * after lazy_call_initialize(). Called by: the host's boot path, shell, lazy_call.c. */
#include "patching/bytes.h"
#include "patching/lazy_site.h"
#include "patching/platform.h"

static struct lazy_call *first_call; /* by name */
static bool ready;

bool lazy_call_is_ready(void)
{
    return ready;
}

struct lazy_call *lazy_call_first(void)
{
    return first_call;
}

struct lazy_call *lazy_call_next(const struct lazy_call *call)
{
    return call->next;
}

struct lazy_call *lazy_call_find(const char *name)
{
    struct lazy_call *call = first_call;

    while (call != NULL && text_compare(call->name, name) != 0) {
        call = call->next;
    }
    return call;
}

struct lazy_call *lazy_call_of_stub(uint64_t stub)
{
    struct lazy_call *call = first_call;

    while (call != NULL && call->stub != stub) {
        call = call->next;
    }
    return call;
}

enum patch_status lazy_call_initialize(struct patch_error *error)
{
    ready = false;
    first_call = NULL;
    for (const struct lazy_call_entry *entry = lazy_calls_start; entry < lazy_calls_end; entry++) {
        struct lazy_call *call = entry->call;
        struct lazy_call **link = &first_call;

        while (*link != NULL && text_compare((*link)->name, call->name) < 0) {
            link = &(*link)->next;
        }
        if (*link != NULL && text_compare((*link)->name, call->name) == 0) {
            return patch_error_set(error, PATCH_ERR_DUPLICATE, call->name, entry->stub);
        }
        call->stub = entry->stub;
        call->next = *link;
        *link = call;
    }
    ready = true;
    return PATCH_OK;
}

static uint64_t load(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED); /* each word stands for itself */
}

static void shards_sum(const struct lazy_call *call, struct lazy_call_statistics *statistics)
{
    for (unsigned i = 0; i < LAZY_CALL_SHARDS; i++) {
        const struct lazy_call_shard *shard = &call->shards[i];

        statistics->slow_calls += load(&shard->slow_calls);
        statistics->reported += load(&shard->reported);
        statistics->overflowed += load(&shard->overflowed);
        statistics->unpatchable += load(&shard->unpatchable);
        statistics->unlisted += load(&shard->unlisted);
    }
}

static enum lazy_site_state state_of(const struct lazy_site *site)
{
    return (enum lazy_site_state)__atomic_load_n(&site->state, __ATOMIC_RELAXED);
}

void lazy_call_statistics(const struct lazy_call *call, struct lazy_call_statistics *statistics)
{
    uint64_t first = load(&call->reported_first);
    uint64_t last = load(&call->patched_last);

    bytes_clear(statistics, sizeof(*statistics));
    shards_sum(call, statistics);
    statistics->merged = load(&call->merged);
    statistics->converged_ns = last > first ? platform_ticks_to_ns(last - first) : 0;
    for (unsigned i = 0; i < LAZY_SITE_SLOTS; i++) {
        const struct lazy_site *site = lazy_site_at(i);

        if (site != NULL && site->call == call) {
            enum lazy_site_state state = state_of(site);

            statistics->pending += state == LAZY_SITE_PENDING;
            statistics->patched += state == LAZY_SITE_PATCHED;
            statistics->given_up += state == LAZY_SITE_GIVEN_UP;
        }
    }
    statistics->sites = statistics->pending + statistics->patched + statistics->given_up;
}

static bool is_listed(enum lazy_site_state state)
{
    return state == LAZY_SITE_PENDING || state == LAZY_SITE_PATCHED || state == LAZY_SITE_GIVEN_UP;
}

bool lazy_call_site_next(const struct lazy_call *call, uint64_t address,
                         struct lazy_call_site *next)
{
    next->address = UINT64_MAX;
    next->state = LAZY_SITE_UNKNOWN;
    for (unsigned i = 0; i < LAZY_SITE_SLOTS; i++) {
        const struct lazy_site *site = lazy_site_at(i);

        if (site != NULL && site->call == call && site->address > address &&
            site->address < next->address && is_listed(state_of(site))) {
            next->address = site->address;
            next->state = state_of(site);
        }
    }
    return next->address != UINT64_MAX;
}

const char *lazy_site_state_name(enum lazy_site_state state)
{
    static const char *const names[] = {
        [LAZY_SITE_UNKNOWN] = "unknown",     [LAZY_SITE_PENDING] = "pending",
        [LAZY_SITE_PATCHED] = "patched",     [LAZY_SITE_GIVEN_UP] = "given up",
        [LAZY_SITE_FORGOTTEN] = "forgotten", [LAZY_SITE_UNPATCHABLE] = "unpatchable",
    };

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}
