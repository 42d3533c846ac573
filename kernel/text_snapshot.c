// SPDX-License-Identifier: MIT
/* Copy and compare, nothing else. Invariant: the copy is only written by text_snapshot_take(). */
#include "kernel/text_snapshot.h"

#include <stddef.h>

#include "arch/paging.h"
#include "kernel/heap.h"
#include "kernel/string.h"

static uint8_t *snapshot;

static size_t text_bytes(void)
{
    return (size_t)(text_end - text_start);
}

bool text_snapshot_take(void)
{
    if (snapshot == NULL) {
        snapshot = heap_allocate(text_bytes());
        if (snapshot == NULL) {
            return false;
        }
    }
    memcpy(snapshot, text_start, text_bytes());
    return true;
}

uint64_t text_snapshot_difference(void)
{
    if (snapshot == NULL || memcmp(snapshot, text_start, text_bytes()) == 0) {
        return 0;
    }
    size_t offset = 0;
    while (snapshot[offset] == (uint8_t)text_start[offset]) {
        offset++;
    }
    return (uint64_t)(text_start + offset);
}

uint8_t text_snapshot_byte(uint64_t address)
{
    return snapshot[address - (uint64_t)text_start];
}
