// SPDX-License-Identifier: MIT
/* Changing the clock's source; see clock_change.h. */
#include "kernel/clock_change.h"

#include "arch/clock.h"
#include "arch/clock_floor.h"
#include "kernel/log.h"
#include "patching/platform.h"

#define CATCH_UP_LIMIT_NS 1000000000ull

bool clock_change_begin(void)
{
    clock_floor_set();
    if (!platform_synchronize()) {
        (void)clock_change_end(); /* the source is what it was: not behind */
        return false;
    }
    clock_now_ns(); /* later than what the reads returned that missed the floor */
    return true;
}

bool clock_change_end(void)
{
    uint64_t waited_ns;

    bool has_caught_up = clock_floor_release(CATCH_UP_LIMIT_NS, &waited_ns);

    if (!has_caught_up) {
        log_warning("clock: the new source is more than %llu ms behind; time stands until it has "
                    "caught up",
                    (unsigned long long)(waited_ns / 1000000));
    } else {
        log_debug("clock: waited %llu ns for the new source", (unsigned long long)waited_ns);
    }
    return has_caught_up;
}
