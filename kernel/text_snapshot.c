// SPDX-License-Identifier: MIT
/* Copy and compare, nothing else. Invariant: the copy is only written by text_snapshot_take(). */
#include "kernel/text_snapshot.h"

#include <stddef.h>

#include "arch/paging.h"
#include "kernel/heap.h"
#include "kernel/string.h"

static uint8_t *snapshot;
static struct call_snapshot *calls;
static size_t call_count;

static size_t text_bytes(void)
{
    return (size_t)(text_end - text_start);
}

static bool allocate(void)
{
    if (snapshot != NULL) {
        return true;
    }
    call_count = (size_t)(static_calls_end - static_calls_start);
    calls = heap_allocate((call_count + 1) * sizeof(*calls));
    snapshot = calls != NULL ? heap_allocate(text_bytes()) : NULL;
    return snapshot != NULL;
}

bool text_snapshot_take(void)
{
    if (!allocate()) {
        return false;
    }
    memcpy(snapshot, text_start, text_bytes());
    for (size_t i = 0; i < call_count; i++) {
        const struct static_call *call = static_calls_start[i].call;
        calls[i] = (struct call_snapshot){call, static_call_target(call), static_call_form(call)};
    }
    return true;
}

const struct call_snapshot *text_snapshot_call(const struct static_call *call)
{
    for (size_t i = 0; snapshot != NULL && i < call_count; i++) {
        if (calls[i].call == call) {
            return &calls[i];
        }
    }
    return NULL;
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
