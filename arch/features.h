// SPDX-License-Identifier: MIT
/* CPU features by name. Invariant: read once on the boot CPU; all CPUs are taken to be alike.
 * Callers: arch/ itself; the `ver` and `cpus` commands list the table. */
#pragma once

#include <stdbool.h>

enum feature {
    FEATURE_NX,
    FEATURE_SMEP,
    FEATURE_SMAP,
    FEATURE_UMIP,
    FEATURE_PGE,
    FEATURE_MCE,
    FEATURE_X2APIC,
    FEATURE_TSC_DEADLINE,
    FEATURE_INVARIANT_TSC,
    FEATURE_RDTSCP,
    FEATURE_SERIALIZE,
    FEATURE_PAGE_1G,
    FEATURE_HYPERVISOR,
    FEATURE_COUNT,
};

/* Reads CPUID; boot_main() calls it before anything asks. */
void features_initialize(void);

/* Turns on what protects the kernel (SMEP, SMAP, UMIP, machine checks, global pages; WP and NX
 * are on since boot/start.asm) on this CPU. */
void features_enable_cpu(void);

bool feature_present(enum feature feature);

/* Short upper-case name, such as "SMEP". */
const char *feature_name(enum feature feature);

/* True under QEMU's TCG, by its hypervisor signature: instructions are translated, not fetched. */
bool cpu_is_emulated(void);

/* Vendor string (12 characters) and brand string ("" if the CPU has none). */
const char *cpu_vendor(void);
const char *cpu_brand(void);
