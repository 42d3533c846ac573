// SPDX-License-Identifier: MIT
/* Entries of functions, on and off; see function_trace.h. Invariant: the patch lock is held from
 * the look at an entry to the batch that changes it, so what a batch expects is what stands there.
 * Called by: the host's boot path, shell, tests. */
#include "patching/function_trace.h"

#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/poke.h"
#include "patching/transaction.h"
#include "patching/write_window.h"

enum {
    ENTRY_LENGTH = INSN_CALL32_LENGTH,
    INSN_NOP1 = 0x90, /* gcc writes five of them */
};

extern void function_trace_entry(void); /* function_trace_entry.asm */

uint32_t function_trace_count(void)
{
    return (uint32_t)(function_entries_end - function_entries_start);
}

uint64_t function_trace_address(uint32_t index)
{
    return function_entries_start[index];
}

uint32_t function_trace_find(uint64_t address)
{
    uint32_t low = 0;
    uint32_t high = function_trace_count();

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (function_entries_start[middle] < address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool is_there = low < function_trace_count() && function_entries_start[low] == address;

    return is_there ? low : function_trace_count();
}

/* The bytes of an entry. */
static enum patch_status entry_encode(uint64_t address, bool on, uint8_t *bytes)
{
    struct instruction instruction = {
        .kind = on ? INSTRUCTION_CALL : INSTRUCTION_NOP,
        .length = ENTRY_LENGTH,
        .target = on ? (uint64_t)function_trace_entry : 0,
    };

    return instruction_encode(&instruction, address, bytes);
}

/* The first byte tells: nop5, int3 and call differ in it. */
static bool entry_is_on(uint64_t address)
{
    return __atomic_load_n((const uint8_t *)address, __ATOMIC_RELAXED) == INSN_CALL32;
}

bool function_trace_is_on(uint32_t index)
{
    return entry_is_on(function_trace_address(index));
}

uint32_t function_trace_count_on(void)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < function_trace_count(); i++) {
        count += function_trace_is_on(i);
    }
    return count;
}

/* What compilers write: five nops of one byte, or one of five whose displacement may be any. */
static bool is_nop(const uint8_t *text, const uint8_t *nop5)
{
    static const uint8_t nops[ENTRY_LENGTH] = {INSN_NOP1, INSN_NOP1, INSN_NOP1, INSN_NOP1,
                                               INSN_NOP1};

    return bytes_equal(text, nops, ENTRY_LENGTH) || bytes_equal(text, nop5, ENTRY_LENGTH - 1);
}

/* Makes entry @index one nop. */
static enum patch_status entry_initialize(uint32_t index, struct write_window *window)
{
    uint64_t address = function_trace_address(index);
    const uint8_t *text = (const uint8_t *)address;
    uint8_t nop5[PATCH_SITE_LENGTH_MAX];
    enum patch_status status = entry_encode(address, false, nop5);

    if (!platform_text_is_patchable(text, ENTRY_LENGTH)) {
        return PATCH_ERR_NOT_TEXT;
    }
    if (index > 0 && function_trace_address(index - 1) >= address) {
        return PATCH_ERR_DUPLICATE;
    }
    if (status == PATCH_OK && !is_nop(text, nop5)) {
        status = PATCH_ERR_INSTRUCTION;
    }
    if (status == PATCH_OK && !bytes_equal(text, nop5, ENTRY_LENGTH) &&
        !write_window_write(window, address, nop5, ENTRY_LENGTH)) {
        status = PATCH_ERR_WRITE;
    }
    return status;
}

enum patch_status function_trace_initialize(struct patch_error *error)
{
    struct write_window window = {0};
    struct platform_round round = {0};
    enum patch_status status = PATCH_OK;
    uint64_t address = 0;

    for (uint32_t i = 0; i < function_trace_count() && status == PATCH_OK; i++) {
        address = function_trace_address(i);
        status = entry_initialize(i, &window);
    }
    write_window_close(&window);
    if (!platform_sync_cores(&round)) {
        platform_fatal_silent_cpu(round.silent_cpu);
    }
    return status == PATCH_OK ? PATCH_OK : patch_error_set(error, status, NULL, address);
}

/* A change in progress. */
struct change {
    bool on;
    function_trace_selector *select;
    void *argument;
    uint32_t chunk;
    uint32_t next; /* function to look at */
    uint64_t caller;
};

/* Fills @batch with the next functions of @change. */
static enum patch_status batch_fill_locked(struct patch_batch *batch, struct change *change)
{
    enum patch_status status = PATCH_OK;

    for (; change->next < function_trace_count() && batch->added < change->chunk; change->next++) {
        uint64_t address = function_trace_address(change->next);
        uint8_t bytes[2][PATCH_SITE_LENGTH_MAX];

        if (entry_is_on(address) == change->on || !change->select(change->next, change->argument)) {
            continue;
        }
        status = entry_encode(address, false, bytes[0]);
        if (status == PATCH_OK) {
            status = entry_encode(address, true, bytes[1]);
        }
        if (status == PATCH_OK) {
            status = patch_batch_add(batch, address, bytes[!change->on], bytes[change->on],
                                     ENTRY_LENGTH);
        }
        if (status != PATCH_OK) {
            return patch_error_set(&batch->error, status, NULL, address);
        }
    }
    return status;
}

static void cost_add(struct function_trace_cost *cost, const struct patch_record *record)
{
    cost->functions += record->status == PATCH_OK ? record->sites : 0;
    cost->batches++;
    cost->rounds += record->rounds;
    cost->ipis += record->ipis;
    cost->traps += record->traps;
    cost->total_ns += record->total_ns;
}

/* One batch of @change. Sets @done when no function is left. */
static enum patch_status batch_run_locked(struct patch_batch *batch, struct change *change,
                                          struct function_trace_cost *cost, bool *done)
{
    patch_batch_initialize(batch, change->on ? "trace on" : "trace off");
    batch->caller = change->caller;
    if (batch->protocol == PATCH_PROTOCOL_NAIVE) {
        return patch_error_set(&batch->error, PATCH_ERR_UNSAFE, NULL, 0);
    }

    enum patch_status status = batch_fill_locked(batch, change);

    *done = change->next == function_trace_count();
    if (status == PATCH_OK && batch->added > 0) {
        status = patch_batch_apply_locked(batch);
        cost_add(cost, &batch->record);
    }
    return status;
}

__attribute__((noinline)) enum patch_status function_trace_set(bool on,
                                                               function_trace_selector *select,
                                                               void *argument, uint32_t chunk,
                                                               struct function_trace_cost *cost,
                                                               struct patch_error *error)
{
    static struct patch_batch batch; /* under the patch lock */
    struct change change = {
        .on = on,
        .select = select,
        .argument = argument,
        .chunk = chunk == 0 || chunk > PATCH_BATCH_MAX ? PATCH_BATCH_MAX : chunk,
        .caller = (uint64_t)__builtin_return_address(0),
    };
    enum patch_status status = patch_lock_take();
    bool done = false;

    bytes_clear(cost, sizeof(*cost));
    if (status != PATCH_OK) {
        return patch_error_set(error, status, NULL, 0);
    }
    while (status == PATCH_OK && !done) {
        status = batch_run_locked(&batch, &change, cost, &done);
    }
    if (error != NULL) {
        bytes_copy(error, &batch.error, sizeof(*error));
    }
    platform_unlock();
    return status;
}
