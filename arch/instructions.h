// SPDX-License-Identifier: MIT
/* One C function for each x86-64 instruction that C cannot say. Invariant: pure static inline, no
 * state, no call, so that any room and any context (NMI included, where not excepted) may use it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CR0_WRITE_PROTECT (1ull << 16)
#define CR4_MACHINE_CHECK (1ull << 6)
#define CR4_PAGE_GLOBAL   (1ull << 7)
#define CR4_UMIP          (1ull << 11)
#define CR4_SMEP          (1ull << 20)
#define CR4_SMAP          (1ull << 21)
#define MSR_APIC_BASE     0x1bu
#define MSR_TSC_DEADLINE  0x6e0u
#define MSR_X2APIC_BASE   0x800u
#define MSR_EFER          0xc0000080u
#define MSR_GS_BASE       0xc0000101u
#define EFER_NXE          (1ull << 11)
#define FLAG_CARRY        (1ull << 0)
#define FLAG_INTERRUPT    (1ull << 9)

struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};

/* Tells the CPU (and a single-threaded emulator) that this is a spin-wait. In every spin loop. */
static inline void cpu_relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* Turns interrupts on and halts; STI's shadow leaves no gap in which a wake-up could be lost. */
static inline void cpu_halt_wait(void)
{
    __asm__ volatile("sti; hlt" ::: "memory");
}

/* The interrupt flag, for .text.nopatch; all other code: arch/interrupts.h (tools/check_raw.py). */
static inline void raw_interrupts_enable(void)
{
    __asm__ volatile("sti" ::: "memory");
}

static inline void raw_interrupts_disable(void)
{
    __asm__ volatile("cli" ::: "memory");
}

static inline uint64_t flags_read(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0" : "=r"(flags)::"memory");
    return flags;
}

static inline bool raw_interrupts_enabled(void)
{
    return (flags_read() & FLAG_INTERRUPT) != 0;
}

/* Turns interrupts off. Returns the flags that raw_interrupts_restore() takes. */
static inline uint64_t raw_interrupts_save(void)
{
    uint64_t flags = flags_read();

    raw_interrupts_disable();
    return flags;
}

static inline void raw_interrupts_restore(uint64_t flags)
{
    if (flags & FLAG_INTERRUPT) {
        raw_interrupts_enable();
    }
}

/* The time stamp counter; LFENCE: not read before earlier loads are done. */
static inline uint64_t read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return ((uint64_t)high << 32) | low;
}

/* The same by RDTSCP, which waits for earlier instructions itself. For CPUs that have it. */
static inline uint64_t read_tscp(void)
{
    uint32_t low, high, processor;

    __asm__ volatile("rdtscp" : "=a"(low), "=d"(high), "=c"(processor)::"memory");
    return ((uint64_t)high << 32) | low;
}

static inline uint64_t read_cr0(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr0, %0" : "=r"(value)::"memory");
    return value;
}

static inline void write_cr0(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr0" ::"r"(value) : "memory");
}

static inline uint64_t read_cr2(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr2, %0" : "=r"(value)::"memory");
    return value;
}

static inline uint64_t read_cr3(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr3, %0" : "=r"(value)::"memory");
    return value;
}

static inline void write_cr3(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr3" ::"r"(value) : "memory");
}

static inline uint64_t read_cr4(void)
{
    uint64_t value;

    __asm__ volatile("mov %%cr4, %0" : "=r"(value)::"memory");
    return value;
}

static inline void write_cr4(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr4" ::"r"(value) : "memory");
}

static inline uint64_t read_msr(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return ((uint64_t)high << 32) | low;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

/* Costs microseconds under a hypervisor (it exits): for boot, not for hot paths. */
static inline void cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_result *result)
{
    __asm__ volatile("cpuid"
                     : "=a"(result->eax), "=b"(result->ebx), "=c"(result->ecx), "=d"(result->edx)
                     : "a"(leaf), "c"(subleaf)
                     : "memory");
}

static inline void out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint16_t in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static inline void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/* Serialises this CPU by an IRET to the next instruction: what was prefetched before is dropped
 * ("Serializing Instructions", Intel SDM volume 3). Never CPUID: it exits to a hypervisor.
 * Context: any but NMI and #BP inside NMI: the IRET would unmask NMIs. */
static inline void serialize_core(void)
{
    uint64_t scratch;

    __asm__ volatile("movl %%ss, %k0\n\t"
                     "pushq %q0\n\t"
                     "pushq %%rsp\n\t"
                     "addq $8, (%%rsp)\n\t"
                     "pushfq\n\t"
                     "movl %%cs, %k0\n\t"
                     "pushq %q0\n\t"
                     "leaq 1f(%%rip), %q0\n\t"
                     "pushq %q0\n\t"
                     "iretq\n"
                     "1:"
                     : "=&r"(scratch)::"memory", "cc");
}
