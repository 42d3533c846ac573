// SPDX-License-Identifier: MIT
/* Where boot/ hands over: the boot CPU enters kernel_main(), every other CPU
 * kernel_main_secondary(). Callers: boot/ only. */
#pragma once

struct boot_facts;

/* The boot order, line by line. Context: boot CPU, interrupts off, boot stack. */
_Noreturn void kernel_main(const struct boot_facts *facts);

/* Context: an application processor, interrupts off, its own stack, GDT, IDT, TSS, GS and APIC set.
 */
_Noreturn void kernel_main_secondary(void);
