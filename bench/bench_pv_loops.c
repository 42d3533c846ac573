// SPDX-License-Identifier: MIT
/* See bench_pv_loops.h. Invariant: the native copy of an op is the text that THE table has for it;
 * there is no second list of instructions. Called by: bench_pv_measure.c, by their addresses. */
#include "bench/bench_pv_loops.h"

#include "arch/interrupts.h"
#include "arch/ipi_raw.h"
#include "bench/bench_pv_native.h"
#include "kernel/spinlock.h"

#define PV_LOOP(name, before, pass, behind)                                                        \
    __attribute__((noinline, aligned(64))) static void name(uint64_t passes)                       \
    {                                                                                              \
        before;                                                                                    \
        for (uint64_t i = passes; i != 0; i--) {                                                   \
            pass;                                                                                  \
        }                                                                                          \
        behind;                                                                                    \
    }
#define NOTHING ((void)0)

/* PASS(kind) calls ops as kind##_NAME(). */
#define PV_LOOPS(name, PASS)                                                                       \
    PV_LOOP(patched_loop_##name, NOTHING, PASS(pv), NOTHING)                                       \
    PV_LOOP(native_loop_##name, NOTHING, PASS(native_copy), NOTHING)

/* Of a row that turns interrupts on again, as it found them: on. */
#define PV_LOOPS_INTERRUPTIBLE(name, PASS)                                                         \
    PV_LOOP(patched_loop_##name, interrupts_enable(), PASS(pv), interrupts_disable())              \
    PV_LOOP(native_loop_##name, interrupts_enable(), PASS(native_copy), interrupts_disable())

/* Nobody else takes it; so the slow path is never gone. */
static struct spinlock lock = SPINLOCK("bench pv");

#define LOCK_TAKE(kind)                                                                            \
    do {                                                                                           \
        uint32_t ticket = __atomic_fetch_add(&lock.next, 1, __ATOMIC_RELAXED);                     \
        if (__atomic_load_n(&lock.serving, __ATOMIC_ACQUIRE) != ticket) {                          \
            kind##_lock_slow(&lock, ticket);                                                       \
        }                                                                                          \
    } while (0)
#define PASS_LOCK_PAIR(kind)                                                                       \
    do {                                                                                           \
        LOCK_TAKE(kind);                                                                           \
        kind##_lock_unlock(&lock);                                                                 \
    } while (0)
#define PASS_IRQ_SAVE(kind)    (void)kind##_irq_save()
#define PASS_IRQ_DISABLE(kind) kind##_irq_disable()
#define PASS_IRQ_ENABLE_DISABLE(kind)                                                              \
    do {                                                                                           \
        kind##_irq_enable();                                                                       \
        kind##_irq_disable();                                                                      \
    } while (0)
#define PASS_IRQ_SAVE_RESTORE(kind)                                                                \
    do {                                                                                           \
        uint64_t flags = kind##_irq_save();                                                        \
        kind##_irq_disable();                                                                      \
        if (flags & FLAG_INTERRUPT) {                                                              \
            kind##_irq_restore();                                                                  \
        }                                                                                          \
    } while (0)
/* The boot CPU, which is online; a kick in vain is allowed. */
#define PASS_LOCK_KICK(kind) kind##_lock_kick(0)
/* Of the page at 0, which nobody has mapped. */
#define PASS_TLB_FLUSH_PAGE(kind) kind##_tlb_flush_page(0)
/* No interrupt is in service while a thread runs (arch/traps.c ends it first): the APIC "clears the
 * highest priority bit in the ISR" (Intel SDM volume 3, "Signaling Interrupt Servicing
 * Completion"), and there is none. */
#define PASS_EOI(kind)        kind##_eoi(apic_end_of_interrupt_register)
#define PASS_CLOCK_READ(kind) (void)kind##_clock_read()

PV_LOOPS(lock_pair, PASS_LOCK_PAIR)
PV_LOOPS(irq_save, PASS_IRQ_SAVE)
PV_LOOPS(irq_disable, PASS_IRQ_DISABLE)
PV_LOOPS(irq_enable_disable, PASS_IRQ_ENABLE_DISABLE)
PV_LOOPS_INTERRUPTIBLE(irq_save_restore, PASS_IRQ_SAVE_RESTORE)
PV_LOOPS(lock_kick, PASS_LOCK_KICK)
PV_LOOPS(tlb_flush_page, PASS_TLB_FLUSH_PAGE)
PV_LOOPS(eoi, PASS_EOI)
PV_LOOPS(clock_read, PASS_CLOCK_READ)

/* What spinlock_unlock_restore() is. */
static inline __attribute__((always_inline)) void native_unlock_restore(struct spinlock *taken,
                                                                        uint64_t flags)
{
    native_copy_lock_unlock(taken);
    if (flags & FLAG_INTERRUPT) {
        native_copy_irq_restore();
    }
}

/* The lock as an argument, of which the compiler knows nothing, as in most functions that take one.
 */
static inline __attribute__((always_inline)) struct spinlock *lock_hide(void)
{
    struct spinlock *hidden = &lock;

    __asm__("" : "+r"(hidden));
    return hidden;
}

#define PASS_LOCK_SAVE(save, restore)                                                              \
    do {                                                                                           \
        struct spinlock *hidden = lock_hide();                                                     \
        restore(hidden, save(hidden));                                                             \
    } while (0)
PV_LOOP(patched_loop_lock_save, interrupts_enable(),
        PASS_LOCK_SAVE(spinlock_lock_save, spinlock_unlock_restore), interrupts_disable())
PV_LOOP(native_loop_lock_save, interrupts_enable(),
        PASS_LOCK_SAVE(native_copy_lock_save, native_unlock_restore), interrupts_disable())

/* In x2APIC mode (arch/paravirt_native.c). */
PV_LOOP(native_loop_eoi_msr, NOTHING, write_msr(MSR_X2APIC_BASE + (APIC_END_OF_INTERRUPT >> 4), 0),
        NOTHING)

/* The compiler must not leave the loop out. */
__attribute__((noinline, aligned(64))) void pv_loop_nothing(uint64_t passes)
{
    for (uint64_t i = passes; i != 0; i--) {
        __asm__ volatile("" : : : "memory", "cc");
    }
}

#define ROW(row_name, loop_name, ...)                                                              \
    {                                                                                              \
        .name = (row_name), .patched = patched_loop_##loop_name,                                   \
        .native = native_loop_##loop_name,                                                         \
        .op_count = sizeof((enum paravirt_op_id[]){__VA_ARGS__}) / sizeof(enum paravirt_op_id),    \
        .ops = {                                                                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
const struct pv_loop_row pv_loops[PV_LOOP_COUNT] = {
    [PV_LOOP_LOCK_PAIR] = ROW("lock-pair", lock_pair, PARAVIRT_lock_unlock),
    [PV_LOOP_LOCK_SAVE] = {.name = "lock-save-restore",
                           .patched = patched_loop_lock_save,
                           .native = native_loop_lock_save,
                           .op_count = 4,
                           .ops = {PARAVIRT_irq_save, PARAVIRT_irq_disable, PARAVIRT_lock_unlock,
                                   PARAVIRT_irq_restore}},
    [PV_LOOP_IRQ_SAVE] = ROW("irq-save", irq_save, PARAVIRT_irq_save),
    [PV_LOOP_IRQ_DISABLE] = ROW("irq-disable", irq_disable, PARAVIRT_irq_disable),
    [PV_LOOP_IRQ_ENABLE_DISABLE] =
        ROW("irq-enable-disable", irq_enable_disable, PARAVIRT_irq_enable, PARAVIRT_irq_disable),
    [PV_LOOP_IRQ_SAVE_RESTORE] = ROW("irq-save-restore", irq_save_restore, PARAVIRT_irq_save,
                                     PARAVIRT_irq_disable, PARAVIRT_irq_restore),
    [PV_LOOP_LOCK_KICK] = ROW("lock-kick", lock_kick, PARAVIRT_lock_kick),
    [PV_LOOP_TLB_FLUSH_PAGE] = ROW("tlb-flush-page", tlb_flush_page, PARAVIRT_tlb_flush_page),
    [PV_LOOP_EOI] = ROW("eoi", eoi, PARAVIRT_eoi),
    [PV_LOOP_CLOCK_READ] = ROW("clock-read", clock_read, PARAVIRT_clock_read),
};

pv_loop *pv_loop_native(const struct pv_loop_row *row)
{
    if (row == &pv_loops[PV_LOOP_EOI] && paravirt_native_ways[PARAVIRT_eoi]->instruction == NULL) {
        return native_loop_eoi_msr;
    }
    return row->native;
}
