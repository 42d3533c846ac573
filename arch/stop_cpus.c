// SPDX-License-Identifier: MIT
/* The rendezvous of the patch protocol `stop`. Invariant: see stop_cpus.h.
 *
 *   patcher                                  CPU n (interrupts off)
 *   stop_round = r          (release)
 *   IPI ----------------------------------->  reads stop_round = r  (acquire)
 *                                             stop_acknowledged = r (release)
 *   sees r from every CPU (acquire) <-------  spins
 *   interrupts off; writes text
 *   stop_released = r       (release) ----->  sees r (acquire), serialises, goes on
 *
 * The patcher waits with interrupts on: CPU n may itself be waiting for an answer of this one. */
#include "arch/stop_cpus.h"

#include "arch/instructions.h"
#include "arch/ipi.h"
#include "arch/percpu.h"
#include "arch/traps.h"
#include "kernel/thread.h"

static uint64_t stop_round;
static uint64_t stop_released; /* the newest round whose CPUs may go */
static uint64_t saved_flags;   /* of the CPU that stopped the others */

static void stop_interrupt(struct trap_frame *frame)
{
    uint64_t round = __atomic_load_n(&stop_round, __ATOMIC_ACQUIRE);

    (void)frame;
    __atomic_store_n(&this_cpu()->stop_acknowledged, round, __ATOMIC_RELEASE);
    while (__atomic_load_n(&stop_released, __ATOMIC_ACQUIRE) < round) {
        cpu_relax();
    }
    serialize_core();
}

static bool is_parked(unsigned index, void *round)
{
    /* Acquire: pairs with the release in stop_interrupt(): all it did before is done. */
    return __atomic_load_n(&cpus[index]->stop_acknowledged, __ATOMIC_ACQUIRE) >= (uint64_t)round;
}

bool stop_cpus(unsigned *sent, unsigned *silent)
{
    (void)silent;
    preempt_disable();
    *sent = cpu_count() - 1;
    if (*sent != 0) {
        uint64_t round = __atomic_add_fetch(&stop_round, 1, __ATOMIC_RELEASE);

        ipi_broadcast(VECTOR_STOP);
        ipi_wait_acknowledged("a stop", is_parked, (void *)round);
    }
    saved_flags = interrupts_save();
    return true;
}

void release_cpus(void)
{
    __atomic_store_n(&stop_released, stop_round, __ATOMIC_RELEASE);
    serialize_core();
    interrupts_restore(saved_flags);
    preempt_enable();
}

void stop_cpus_initialize(void)
{
    trap_register_handler(VECTOR_STOP, stop_interrupt);
}
