// SPDX-License-Identifier: MIT
/* From the first C line to kernel_main(); see boot_main.h. */

#include "boot/boot_main.h"

#include "arch/clock.h"
#include "arch/features.h"
#include "arch/kvm.h"
#include "arch/percpu.h"
#include "arch/traps.h"
#include "boot/boot_facts.h"
#include "boot/multiboot.h"
#include "kernel/main.h"

static struct boot_facts facts;

const struct boot_facts *boot_facts(void)
{
    return &facts;
}

void boot_main(uint32_t magic, uint64_t information)
{
    clock_start();
    cpu_initialize_boot();
    traps_initialize();
    traps_load();
    features_initialize();
    kvm_initialize();
    features_enable_cpu();
    if (magic == MULTIBOOT1_LOADED) {
        multiboot1_read(information, &facts);
    } else {
        multiboot2_read(information, &facts);
    }
    boot_regions_normalize(&facts);
    kernel_main(&facts);
}
