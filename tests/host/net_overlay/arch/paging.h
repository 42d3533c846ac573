// SPDX-License-Identifier: MIT
/* In the place of arch/paging.h when net/ is built as a Linux program. Invariant: a physical
 * address is the program's own. */
#pragma once

#include <stdint.h>

#define PAGE_SIZE 4096ull

static inline void *physical_to_virtual(uint64_t physical)
{
    return (void *)physical;
}

static inline uint64_t virtual_to_physical(const void *address)
{
    return (uint64_t)address;
}

/* By tests that have devices. */
volatile void *paging_map_device(uint64_t physical, uint64_t size);
