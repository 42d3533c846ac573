// SPDX-License-Identifier: MIT
/* Segments and interrupt stacks of a CPU; see descriptors.h. Invariant: the flat code and data
 * segments have their accessed bits set, so the CPU never writes to them. No function here has an
 * entry that can be patched: a CPU runs them before it has a GS base. */

#include "arch/descriptors.h"

#include "arch/instructions.h"
#include "patching/nopatch.h"

#define DESCRIPTOR_CODE64       0x00af9b000000ffffull
#define DESCRIPTOR_DATA         0x00cf93000000ffffull
#define DESCRIPTOR_TASK_PRESENT 0x0000890000000000ull /* available 64-bit TSS */

struct __attribute__((packed)) table_pointer {
    uint16_t limit;
    uint64_t base;
};

PATCH_NO_ENTRY static void task_descriptor_write(uint64_t *gdt,
                                                 const struct task_state_segment *tss)
{
    uint64_t base = (uint64_t)tss;
    uint64_t limit = sizeof(*tss) - 1;
    uint64_t *entry = gdt + SELECTOR_TASK_STATE / 8;

    entry[0] =
        DESCRIPTOR_TASK_PRESENT | limit | (base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
    entry[1] = base >> 32;
}

PATCH_NO_ENTRY static void segments_reload(void)
{
    uint64_t scratch;

    /* The far return reloads CS; SS, DS, ES by moves; FS and GS bases are MSRs. */
    __asm__ volatile("pushq %1\n\t"
                     "leaq 1f(%%rip), %0\n\t"
                     "pushq %0\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %2, %k0\n\t"
                     "movl %k0, %%ds\n\t"
                     "movl %k0, %%es\n\t"
                     "movl %k0, %%ss"
                     : "=&r"(scratch)
                     : "i"(SELECTOR_KERNEL_CODE), "i"(SELECTOR_KERNEL_DATA)
                     : "memory");
}

PATCH_NO_ENTRY void descriptors_load(struct cpu *cpu)
{
    struct table_pointer pointer = {sizeof(cpu->gdt) - 1, (uint64_t)cpu->gdt};

    cpu->gdt[SELECTOR_KERNEL_CODE / 8] = DESCRIPTOR_CODE64;
    cpu->gdt[SELECTOR_KERNEL_DATA / 8] = DESCRIPTOR_DATA;
    task_descriptor_write(cpu->gdt, &cpu->tss);
    cpu->tss.io_map_base = sizeof(cpu->tss);
    __asm__ volatile("lgdt %0" ::"m"(pointer));
    segments_reload();
    __asm__ volatile("ltr %w0" ::"r"(SELECTOR_TASK_STATE));
    write_msr(MSR_GS_BASE, (uint64_t)cpu);
}
