// SPDX-License-Identifier: MIT
/* Descriptor table and dispatch of traps; see traps.h. Invariant: every gate is an interrupt gate,
 * so handlers start with interrupts off. */

#include "arch/traps.h"

#include "arch/apic.h"
#include "arch/descriptors.h"
#include "arch/instructions.h"
#include "arch/ipi.h"
#include "arch/kvm.h"
#include "arch/percpu.h"
#include "arch/single_step.h"
#include "arch/stacks.h"
#include "kernel/format.h"
#include "kernel/panic.h"
#include "kernel/thread.h"
#include "patching/dynamic_call.h"
#include "patching/nopatch.h"

#define GATES           256u
#define GATE_INTERRUPT  (0x8eull << 40) /* present, ring 0, 64-bit interrupt gate */
#define TRAP_STUB_BYTES 16              /* trap_entry.asm */

struct gate {
    uint64_t low, high;
};

/* Interrupts alone: exceptions are reported by code that changes nothing and waits for nothing, and
 * NMI, #BP and sync have entries of their own, in nopatch text. The handlers are the timer's, the
 * devices' and those of IPIs, as they come on a CPU. It is never inside a comparison and its call
 * while a grace period ends: interrupts are off from the entry to behind the call, and the sync
 * that each grace period begins with is taken behind that. VECTOR_STOP's handler parks the CPU
 * inside the call: its return address stays good, whatever is written meanwhile. */
DEFINE_DYNAMIC_CALL(interrupt, trap_handler, 2);

extern char trap_stubs[];                            /* trap_entry.asm */
extern void breakpoint_entry(void), nmi_entry(void); /* entry.asm */

static struct gate gates[GATES] __attribute__((aligned(16)));
static trap_handler *handlers[GATES];

static const char *const exception_names[VECTOR_EXCEPTIONS] = {
    "divide error",
    "debug exception",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "device not available",
    "double fault",
    "coprocessor overrun",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "exception 15",
    "x87 error",
    "alignment check",
    "machine check",
    "SIMD error",
    "virtualization exception",
    "control protection",
};

static void gate_set(unsigned vector, uint64_t entry, enum interrupt_stack stack)
{
    gates[vector].low = (entry & 0xffff) | (uint64_t)SELECTOR_KERNEL_CODE << 16 |
                        (uint64_t)stack << 32 | GATE_INTERRUPT | (entry >> 16 & 0xffff) << 48;
    gates[vector].high = entry >> 32;
}

void traps_initialize(void)
{
    for (unsigned vector = 0; vector < GATES; vector++) {
        gate_set(vector, (uint64_t)trap_stubs + vector * TRAP_STUB_BYTES, STACK_OF_INTERRUPTED);
    }
    gate_set(VECTOR_BREAKPOINT, (uint64_t)breakpoint_entry, STACK_OF_INTERRUPTED);
    gate_set(VECTOR_NMI, (uint64_t)nmi_entry, STACK_NMI);
    gate_set(VECTOR_DOUBLE_FAULT, (uint64_t)trap_stubs + VECTOR_DOUBLE_FAULT * TRAP_STUB_BYTES,
             STACK_DOUBLE_FAULT);
    gate_set(VECTOR_MACHINE_CHECK, (uint64_t)trap_stubs + VECTOR_MACHINE_CHECK * TRAP_STUB_BYTES,
             STACK_MACHINE_CHECK);
}

/* No entry: before it a CPU cannot take the int3 of one. */
PATCH_NO_ENTRY void traps_load(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } pointer = {sizeof(gates) - 1, (uint64_t)gates};

    __asm__ volatile("lidt %0" ::"m"(pointer));
}

void traps_set_sync_entry(void (*entry)(void))
{
    gate_set(VECTOR_SYNC_CORE, (uint64_t)entry, STACK_OF_INTERRUPTED);
}

void trap_register_handler(unsigned vector, trap_handler *handler)
{
    if (vector < VECTOR_EXCEPTIONS || vector >= GATES) {
        panic("traps: vector %u is not an interrupt", vector);
    }
    handlers[vector] = handler;
}

static _Noreturn void exception_report(const struct trap_frame *frame)
{
    const char *name = exception_names[frame->vector];
    char what[96];

    if (frame->vector == VECTOR_PAGE_FAULT) {
        format_text(what, sizeof(what), "page fault: %s %s address 0x%llx",
                    frame->error & 16  ? "executing"
                    : frame->error & 2 ? "writing"
                                       : "reading",
                    frame->error & 1 ? "protected" : "unmapped", (unsigned long long)read_cr2());
    } else if (frame->vector == VECTOR_DOUBLE_FAULT && stack_guard_contains(read_cr2())) {
        format_text(what, sizeof(what), "stack overflow: 0x%llx lies in a guard page",
                    (unsigned long long)read_cr2());
    } else {
        format_text(what, sizeof(what), "%s, error code 0x%llx",
                    name != NULL ? name : "reserved exception", (unsigned long long)frame->error);
    }
    panic_from_trap(frame, what);
}

static void interrupt_dispatch(struct trap_frame *frame)
{
    struct cpu *cpu = this_cpu();
    trap_handler *handler = handlers[frame->vector];

    cpu->interrupt_depth++;
    cpu->counters.interrupts++;
    if (frame->vector >= VECTOR_CALL && frame->vector <= VECTOR_STOP) {
        ipi_note_received((unsigned)frame->vector);
    }
    if (handler != NULL) {
        dynamic_call_break(interrupt); /* the machine was waited for */
        dynamic_call(interrupt, handler, frame);
    }
    if (frame->vector != VECTOR_SPURIOUS) {
        apic_end_of_interrupt();
    }
    cpu->interrupt_depth--;
    if (__atomic_load_n(&cpu->need_reschedule, __ATOMIC_RELAXED) && cpu->preempt_count == 0 &&
        cpu->interrupt_depth == 0 && (frame->rflags & FLAG_INTERRUPT)) {
        thread_preempt_from_interrupt();
    }
}

void trap_dispatch(struct trap_frame *frame)
{
    if (frame->vector == VECTOR_DEBUG && single_step_handle(frame)) {
        return;
    }
    if (frame->vector < VECTOR_EXCEPTIONS && kvm_hypercall_faulted(frame)) {
        return;
    }
    if (frame->vector < VECTOR_EXCEPTIONS) {
        exception_report(frame);
    }
    interrupt_dispatch(frame);
}
