// SPDX-License-Identifier: MIT
/* The call sites that lazy patching knows, of all calls together: a hash table by address.
 * Invariant: written under the patch lock; a site is never taken out, only its state changes, so
 * that the stub may look without a lock and in any context. Callers: lazy_call.c, lazy_change.c. */
#pragma once

#include "patching/lazy_call.h"

struct lazy_site {
    uint64_t address;       /* atomic; 0: empty. Written once, behind `call` */
    struct lazy_call *call; /* written once; NULL: UNPATCHABLE */
    uint8_t state;          /* atomic: enum lazy_site_state */
    uint8_t attempts;       /* that failed */
};

enum {
    LAZY_SITE_SLOTS = 4096
}; /* a power of two above LAZY_SITES_MAX: there is always an empty one */
_Static_assert((int)LAZY_SITE_SLOTS > (int)LAZY_SITES_MAX, "a search ends at an empty slot");

/* What is known of the site at @address. Context: any. */
enum lazy_site_state lazy_site_state(uint64_t address);

/* True once no other site can be added. Context: any. */
bool lazy_sites_are_full(void);

/* The entry of @address; if there was none a new one, UNKNOWN, of @call (NULL: of none); NULL if
 * there is no room for it. Context: patch lock held. */
struct lazy_site *lazy_site_obtain(uint64_t address, struct lazy_call *call);

/* Ordering: relaxed; who acts on a state takes the patch lock and looks again. */
void lazy_site_set_state(struct lazy_site *site, enum lazy_site_state state);

/* Slot @index, below LAZY_SITE_SLOTS, or NULL if it is empty. Context: any; what it points to may
 * change unless the patch lock is held. */
struct lazy_site *lazy_site_at(unsigned index);

/* The 5 bytes of a call of @target that stands at @address. Returns PATCH_ERR_RANGE if that is out
 * of reach. */
PATCH_MUST_CHECK enum patch_status lazy_site_encode(uint64_t address, uint64_t target,
                                                    uint8_t *bytes);

/* Adds the change of the site at @address from a call of @from to one of @to. */
PATCH_MUST_CHECK enum patch_status lazy_site_queue(uint64_t address, uint64_t from, uint64_t to,
                                                   struct patch_batch *batch);

/* The call whose stub begins at @stub, or NULL; true once lazy_call_initialize() has succeeded. In
 * lazy_call_table.c. */
struct lazy_call *lazy_call_of_stub(uint64_t stub);
bool lazy_call_is_ready(void);
