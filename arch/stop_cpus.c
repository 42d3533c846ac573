// SPDX-License-Identifier: MIT
/* The rendezvous of the patch protocol `stop`. Invariant: see stop_cpus.h.
 *
 *   patcher                                  CPU n (interrupts off)
 *   stop_round = r          (full)
 *   IPI ----------------------------------->  reads stop_round = r  (acquire)
 *                                             stop_acknowledged = r (release)
 *   sees r from every CPU (acquire) <-------  spins
 *   interrupts off; writes text
 *   stop_released = r       (release) ----->  sees r (acquire), serialises, goes on
 *
 * The patcher waits with interrupts on: CPU n may itself be waiting for an answer of this one.
 *
 * One CPU does not come: the round is released as if it were over. Whoever is parked goes on; the
 * late one finds its round released, or takes part in a newer one: its IPI is still pending
 * (pending_ipis), gets no second one, and reads the newest round:
 *
 *   patcher                                  CPU n, late
 *   stop_round = r; IPI; nothing
 *   stop_released = r: given up
 *   (1)                                      reads r: released already, leaves at once
 *   stop_round = r + 1                       (2) reads r + 1: acknowledges it, is parked
 *   IPI, but not to n while one is pending   (3) read r before: the IPI was no longer pending when
 *                                            r + 1 was opened, so another one follows */
#include "arch/stop_cpus.h"

#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/ipi.h"
#include "arch/percpu.h"
#include "arch/traps.h"
#include "kernel/panic.h"
#include "kernel/thread.h"
#include "patching/nopatch.h"

/* Read by all CPUs; each on a cache line of its own: one is polled while the other is written. */
static _Alignas(64) uint64_t stop_round;
static _Alignas(64) uint64_t stop_released; /* the newest round whose CPUs may go */

/* by the caller of stop_cpus(), until release_cpus(): */
static uint64_t saved_flags;

/* In .text.nopatch, so that it is proved to call nothing: between the acknowledgement and its own
 * serialize_core() this CPU must not enter a function, whose entry may be half written. What led
 * here ran before the acknowledgement, what follows runs behind the serialisation.
 * The IPI stopped being pending before this runs (ipi_note_received(), full order): a patcher that
 * opens a round too late for the load below sees that and sends again. */
PATCH_NOPATCH static void stop_interrupt(struct trap_frame *frame)
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

static void round_release(void)
{
    /* Release: pairs with the acquire in stop_interrupt(): who goes on fetches the new text. */
    __atomic_store_n(&stop_released, stop_round, __ATOMIC_RELEASE);
}

bool stop_cpus(unsigned *sent, unsigned *silent)
{
    *sent = 0;
    preempt_disable();
    if (cpu_count() > 1) {
        if (!interrupts_enabled()) {
            panic("stop with interrupts off: a CPU that waits for this one would never park");
        }
        uint64_t round = __atomic_add_fetch(&stop_round, 1, __ATOMIC_SEQ_CST);

        *sent = ipi_broadcast(VECTOR_STOP);
        if (!ipi_wait_acknowledged_patiently("a stop", is_parked, (void *)round, silent)) {
            round_release();
            preempt_enable();
            return false;
        }
    }
    saved_flags = interrupts_save();
    return true;
}

void release_cpus(void)
{
    round_release();
    serialize_core();
    interrupts_restore(saved_flags);
    preempt_enable();
}

void stop_cpus_initialize(void)
{
    trap_register_handler(VECTOR_STOP, stop_interrupt);
}
