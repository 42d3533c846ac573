// SPDX-License-Identifier: MIT
/* Hold points; see patch_hold.h. */
#include "kernel/patch_hold.h"

#include <stddef.h>

static patch_hold_function *holder;
static void *holder_argument;

void patch_hold_set(patch_hold_function *function, void *argument)
{
    holder_argument = argument;
    /* Release: pairs with the acquire below; without it the holder could see an old argument. */
    __atomic_store_n(&holder, function, __ATOMIC_RELEASE);
}

void patch_hold_reach(enum patch_step step, enum patch_moment moment)
{
    patch_hold_function *function = __atomic_load_n(&holder, __ATOMIC_ACQUIRE);

    if (function != NULL) {
        function(step, moment, holder_argument);
    }
}
