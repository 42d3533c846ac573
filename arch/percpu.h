// SPDX-License-Identifier: MIT
/* What each CPU owns. Invariant: GS base of CPU i points to its struct cpu from before the first C
 * line that CPU runs; index 0 is the boot CPU; a struct cpu is one page frame, never freed, and no
 * cache line that another CPU polls holds anything else. Used by every room but patching/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPU_MAX             255
#define CPU_SNAPSHOT_FRAMES 24
#define IPI_TRACE_RECORDS   64

struct thread;

enum ipi_kind { IPI_SYNC, IPI_CALL, IPI_RESCHEDULE, IPI_STOP, IPI_KINDS };

/* Life of a CPU: listed by the firmware, then started; only CPU_ONLINE ones run kernel code. */
enum cpu_state { CPU_PRESENT, CPU_STARTING, CPU_ONLINE, CPU_FAILED };

/* Written by the CPU itself (ipis_sent from any of its contexts), read by anyone; exact. */
struct cpu_counters {
    uint64_t ipis_received[IPI_KINDS]; /* [IPI_SYNC] is counted in entry.asm */
    uint64_t ipis_sent[IPI_KINDS];     /* one a target, broadcast included */
    uint64_t breakpoints;              /* #BP taken */
    uint64_t interrupts;               /* of every kind but sync */
    uint64_t nmis;
};

/* What a CPU was doing when an NMI asked; see arch/nmi.h. */
struct cpu_snapshot {
    uint64_t sequence; /* 0: never taken */
    uint64_t rip, rsp, rbp, rflags;
    uint64_t frame_count;
    uint64_t frames[CPU_SNAPSHOT_FRAMES]; /* return addresses, innermost first, without rip */
};

struct ipi_trace_record {
    uint64_t ticks; /* TSC at the send */
    uint64_t caller;
    uint16_t from;
    uint16_t to; /* CPU index, or IPI_TRACE_ALL */
    uint16_t vector;
    uint16_t targets; /* number of CPUs the send reaches */
    uint64_t sequence;
};

struct task_state_segment {
    uint32_t reserved0;
    uint64_t stack_by_ring[3];
    uint64_t reserved1;
    uint64_t interrupt_stack[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map_base;
} __attribute__((packed));

struct cpu {
    /* written once, before the CPU runs C: */
    struct cpu *self; /* gs:0 */
    uint32_t index;
    uint32_t apic_id;
    uint64_t stack_top; /* the stack the CPU starts on: boot stack or idle stack */

    /* by this CPU only: */
    uint32_t preempt_count;   /* of the running thread: kernel/thread.h */
    uint32_t interrupt_depth; /* handlers of maskable interrupts in progress */
    uint32_t nmi_depth;       /* 1 inside the NMI handler; entry.asm */
    /* by this CPU and its hypervisor: bit 0: the interrupt in service ends with its clearing */
    uint32_t kvm_end_of_interrupt;
    struct thread *current;

    /* by any CPU, atomically: */
    bool need_reschedule;
    uint32_t state;        /* enum cpu_state */
    uint32_t pending_ipis; /* bit per enum ipi_kind: sent, not yet taken */
    uint32_t nmi_request;  /* enum in nmi.c */

    /* The sync round this CPU has acknowledged: entry.asm writes, sync_cores_others() polls. */
    _Alignas(64) uint64_t sync_acknowledged;

    /* The round of stop_cpus() this CPU is or was parked in: stop_cpus.c. */
    uint64_t stop_acknowledged;

    _Alignas(64) struct cpu_counters counters;

    _Alignas(64) uint64_t gdt[8];
    struct task_state_segment tss;

    _Alignas(64) struct cpu_snapshot snapshot; /* written inside NMI */

    /* Ring of IPIs this CPU sent while the static key ipi_trace was on: arch/ipi_trace.h. */
    _Alignas(64) uint64_t ipi_trace_next;
    struct ipi_trace_record ipi_trace[IPI_TRACE_RECORDS];
    struct ipi_trace_stack *ipi_trace_stacks; /* atomic; NULL: stacks are not recorded */
};

#define CPU_INDEX_OFFSET             8
#define CPU_APIC_ID_OFFSET           12
#define CPU_STACK_TOP_OFFSET         16
#define CPU_PREEMPT_COUNT_OFFSET     24
#define CPU_NMI_DEPTH_OFFSET         32
#define CPU_KVM_EOI_OFFSET           36 /* kvm.c only */
#define CPU_SYNC_ACKNOWLEDGED_OFFSET 64
#define CPU_SYNC_RECEIVED_OFFSET     128

/* The same numbers stand in arch/percpu.inc for NASM. */
_Static_assert(offsetof(struct cpu, self) == 0, "percpu.inc");
_Static_assert(offsetof(struct cpu, index) == CPU_INDEX_OFFSET, "percpu.inc");
_Static_assert(offsetof(struct cpu, apic_id) == CPU_APIC_ID_OFFSET, "percpu.inc");
_Static_assert(offsetof(struct cpu, stack_top) == CPU_STACK_TOP_OFFSET, "percpu.inc");
_Static_assert(offsetof(struct cpu, preempt_count) == CPU_PREEMPT_COUNT_OFFSET, "percpu.inc");
_Static_assert(offsetof(struct cpu, nmi_depth) == CPU_NMI_DEPTH_OFFSET, "percpu.inc");
_Static_assert(offsetof(struct cpu, kvm_end_of_interrupt) == CPU_KVM_EOI_OFFSET, "kvm.c");
_Static_assert(offsetof(struct cpu, sync_acknowledged) == CPU_SYNC_ACKNOWLEDGED_OFFSET,
               "percpu.inc");
_Static_assert(offsetof(struct cpu, counters.ipis_received[IPI_SYNC]) == CPU_SYNC_RECEIVED_OFFSET,
               "percpu.inc");
_Static_assert(sizeof(struct task_state_segment) == 104, "Intel SDM: 64-bit TSS");
_Static_assert(sizeof(struct cpu) <= 4096, "a struct cpu is one page frame");

/* In the order of the MADT, boot CPU first. cpus[i] is set for i < cpu_present_count(), NULL
 * behind; boot/start.asm searches it. */
extern struct cpu *cpus[CPU_MAX + 1];

/* The CPU this runs on. Stays true only while the caller cannot be preempted.
 * Volatile: a value read before a switch to another CPU must not be reused after it. */
static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;

    __asm__ volatile("movq %%gs:0, %0" : "=r"(cpu));
    return cpu;
}

static inline unsigned cpu_index(void)
{
    uint32_t index;

    __asm__ volatile("movl %%gs:%c1, %0" : "=r"(index) : "i"(CPU_INDEX_OFFSET));
    return index;
}

/* One instruction each, so that an interrupt or a migration never splits them. */
static inline void cpu_preempt_count_increment(void)
{
    __asm__ volatile("incl %%gs:%c0" ::"i"(CPU_PREEMPT_COUNT_OFFSET) : "memory", "cc");
}

static inline void cpu_preempt_count_decrement(void)
{
    __asm__ volatile("decl %%gs:%c0" ::"i"(CPU_PREEMPT_COUNT_OFFSET) : "memory", "cc");
}

/* Requires index < cpu_present_count(). */
static inline struct cpu *cpu_by_index(unsigned index)
{
    return cpus[index];
}

static inline bool cpu_is_online(const struct cpu *cpu)
{
    /* Acquire: pairs with the release in cpu_set_online(): its set-up is visible. */
    return __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_ONLINE;
}

extern unsigned cpus_present, cpus_online; /* written by percpu.c only */

/* CPUs that run; an index below cpu_present_count() may be offline when the two differ. */
static inline unsigned cpu_count(void)
{
    /* Acquire: pairs with the release in cpu_set_online(). */
    return __atomic_load_n(&cpus_online, __ATOMIC_ACQUIRE);
}

/* CPUs that the firmware lists (at most CPU_MAX), whether they came up or not. */
static inline unsigned cpu_present_count(void)
{
    return cpus_present;
}

/* Adds a CPU that the firmware lists. Boot only. Returns NULL when CPU_MAX is reached or memory is
 * out; the caller says so in the log. */
struct cpu *cpu_add(uint32_t apic_id);

/* Gives the boot CPU its descriptors, stacks and GS base; the first thing boot_main() does. */
void cpu_initialize_boot(void);

/* Gives a CPU that is to be started its stacks. Returns false without memory. */
bool cpu_allocate_stacks(struct cpu *cpu);

/* STARTING -> ONLINE, on the CPU itself. Returns false if it was given up meanwhile. */
bool cpu_set_online(struct cpu *cpu);

/* IPIs of all kinds. */
uint64_t cpu_ipis_sent(const struct cpu *cpu);
uint64_t cpu_ipis_received(const struct cpu *cpu);
