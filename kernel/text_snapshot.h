// SPDX-License-Identifier: MIT
/* A copy of the kernel's text, and of the static calls' states with it, to prove that a test left
 * every byte as it found it. Callers: kernel_main() at boot, tests/kernel/runner.c around suites.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "patching/static_call.h"

/* Copies text as it is now; the first call allocates. Returns false when memory is short.
 * Context: thread, no patch in flight. */
bool text_snapshot_take(void);

/* Returns the lowest address at which text differs from the snapshot, or 0 when it equals it (or
 * none was taken). Context: thread, no patch in flight. */
uint64_t text_snapshot_difference(void);

/* The byte the snapshot has at @address, which lies in text. */
uint8_t text_snapshot_byte(uint64_t address);

/* What @call was when the snapshot was taken, or NULL if none was. */
struct call_snapshot {
    const struct static_call *call;
    static_call_function *target;
    enum static_call_form form;
};
const struct call_snapshot *text_snapshot_call(const struct static_call *call);
