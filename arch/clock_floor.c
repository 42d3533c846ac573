// SPDX-License-Identifier: MIT
/* The floor under all clocks; see clock_floor.h. Invariant: floor_ns only grows. It need not be
 * lowered between two changes: the source that was let go had passed it. */
#include "arch/clock_floor.h"

#include "arch/clock.h"
#include "arch/instructions.h"

bool clock_floor_is_on;

static _Alignas(64) uint64_t floor_ns; /* newest time that anyone was told; all CPUs write it */

uint64_t clock_floor_raise(uint64_t ns)
{
    uint64_t newest = __atomic_load_n(&floor_ns, __ATOMIC_RELAXED);

    /* Relaxed: one word, whose values all CPUs see in one order; who was told a time, and told
     * someone else of it, finds at least that time here. A failed exchange is another CPU's time
     * that went up. */
    while (newest < ns) {
        if (__atomic_compare_exchange_n(&floor_ns, &newest, ns, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return ns;
        }
    }
    return newest;
}

void clock_floor_set(void)
{
    /* Sequentially consistent: in force before the caller begins to wait for reads that missed it.
     */
    __atomic_store_n(&clock_floor_is_on, true, __ATOMIC_SEQ_CST);
}

bool clock_floor_release(uint64_t limit_ns, uint64_t *waited_ns)
{
    uint64_t floor = __atomic_load_n(&floor_ns, __ATOMIC_RELAXED);
    uint64_t start_ticks = read_tsc();

    do {
        *waited_ns = clock_ticks_to_ns(read_tsc() - start_ticks);
        if (clock_now_ns() > floor) {
            __atomic_store_n(&clock_floor_is_on, false, __ATOMIC_RELEASE);
            return true;
        }
        cpu_relax();
    } while (*waited_ns < limit_ns);
    return false;
}
