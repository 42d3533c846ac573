// SPDX-License-Identifier: MIT
/* Protocols int3 and int3-batch: int3 over the first byte, then the tail, then the first byte, all
 * CPUs serialised after each step. Invariant: at every instant a CPU that fetches a site gets the
 * whole old instruction, int3, or the whole new one. Called by: poke.c.
 *
 *     patcher                                   a CPU that runs through the site
 *     1 first byte = int3                       old, or int3: handler emulates the new instruction
 *       sync ------------------------------->   int3 from here on; nobody stands behind old byte 0
 *     2 tail = new tail                         int3: the tail is never fetched
 *       sync ------------------------------->   whoever fetches byte 0 anew gets the new tail
 *     3 first byte = new first byte             int3, or new
 *       sync ------------------------------->   new from here on
 *
 * Each step asks the text itself what is left to do, so putting a failed batch back is the same
 * pass with the old bytes as its goal: a site that was not reached yet has nothing left to do. A
 * change of the first byte alone goes through int3 as well: processors promise atomicity for int3
 * over a first byte, not for any opcode over any other (facts: cross-modifying code). */
#include "patching/protocol.h"

#include "patching/breakpoint.h"
#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/write_window.h"

enum int3_step { STEP_INT3, STEP_TAIL, STEP_FIRST };

enum int3_goal { GOAL_NEW, GOAL_OLD };

static const uint8_t *goal_bytes(const struct patch_site *site, enum int3_goal goal)
{
    return goal == GOAL_NEW ? site->new_bytes : site->old_bytes;
}

/* What one step has to write at one site. */
struct step_write {
    uint64_t address;
    const uint8_t *bytes;
    size_t length; /* 0: nothing left to do */
};

static struct step_write step_write_find(const struct patch_site *site, enum int3_step step,
                                         enum int3_goal goal)
{
    static const uint8_t int3 = INSN_INT3;
    const uint8_t *bytes = goal_bytes(site, goal);
    const uint8_t *text = (const uint8_t *)site->address;
    size_t tail = site->length - 1u;
    bool first_differs = text[0] != bytes[0];
    bool tail_differs = !bytes_equal(text + 1, bytes + 1, tail);

    if (step == STEP_INT3 && (first_differs || tail_differs) && text[0] != INSN_INT3) {
        return (struct step_write){site->address, &int3, 1};
    }
    if (step == STEP_TAIL && tail_differs) {
        return (struct step_write){site->address + 1, bytes + 1, tail};
    }
    if (step == STEP_FIRST && first_differs) {
        return (struct step_write){site->address, bytes, 1};
    }
    return (struct step_write){0};
}

static void note_failed_write(struct patch_batch *batch, const struct patch_site *site,
                              const struct step_write *write)
{
    batch->error.status = PATCH_ERR_WRITE;
    batch->error.address = site->address;
    batch->error.length = (uint8_t)write->length;
    bytes_copy(batch->error.expected, write->bytes, write->length);
    bytes_copy(batch->error.actual, (const void *)write->address, write->length);
}

/* One step over sites [first, end): writes, and a sync if anything was written.
 * Returns false at the first write that did not read back. */
static bool step_run(struct patch_batch *batch, uint32_t first, uint32_t end, enum int3_step step,
                     enum int3_goal goal)
{
    struct write_window window = {0};
    uint64_t start = platform_time_ticks();
    uint32_t bytes_before = batch->record.bytes;
    bool whole = true;

    for (uint32_t i = first; i < end && whole; i++) {
        struct step_write write = step_write_find(&batch->sites[i], step, goal);

        if (write.length > 0) {
            batch->record.bytes += (uint32_t)write.length;
            whole = write_window_write(&window, write.address, write.bytes, write.length);
            if (!whole) {
                note_failed_write(batch, &batch->sites[i], &write);
            }
        }
    }
    write_window_close(&window);
    if (batch->record.bytes > bytes_before) {
        batch->record.ipis += platform_sync_cores();
        batch->record.rounds++;
    }
    batch->record.step_ns[step] += platform_ticks_to_ns(platform_time_ticks() - start);
    return whole;
}

/* All three steps over the whole batch, @group sites at a time. */
static bool pass_run(struct patch_batch *batch, uint32_t group, enum int3_goal goal)
{
    for (uint32_t first = 0; first < batch->count; first += group) {
        uint32_t end = batch->count - first < group ? batch->count : first + group;

        for (enum int3_step step = STEP_INT3; step <= STEP_FIRST; step++) {
            if (!step_run(batch, first, end, step, goal)) {
                return false;
            }
        }
    }
    return true;
}

static uint64_t bytes_pack(const uint8_t *bytes, size_t length)
{
    uint64_t packed = 0;

    bytes_copy(&packed, bytes, length);
    return packed;
}

/* A failing sync needs no path here: platform_sync_cores() does not return without every CPU. */
static enum patch_status apply(struct patch_batch *batch, uint32_t group)
{
    patch_breakpoint_arm(batch);
    bool done = pass_run(batch, group, GOAL_NEW);

    if (!done) {
        struct patch_error first_error;

        bytes_copy(&first_error, &batch->error, sizeof(first_error));
        if (!pass_run(batch, group, GOAL_OLD)) {
            const struct patch_error *error = &batch->error;

            platform_fatal("text could be neither patched nor put back",
                           (const void *)error->address, bytes_pack(error->expected, error->length),
                           bytes_pack(error->actual, error->length));
        }
        bytes_copy(&batch->error, &first_error, sizeof(first_error));
    }
    patch_breakpoint_disarm();
    return done ? PATCH_OK : PATCH_ERR_WRITE;
}

/* Steps 1 and 3 write at every site of a group; step 2 only where tails differ. */
static unsigned count_rounds(const struct patch_batch *batch, uint32_t group)
{
    unsigned rounds = 0;

    for (uint32_t first = 0; first < batch->count; first += group) {
        bool tail_differs = false;

        for (uint32_t i = first; i < batch->count && i - first < group; i++) {
            const struct patch_site *site = &batch->sites[i];

            tail_differs |=
                !bytes_equal(site->old_bytes + 1, site->new_bytes + 1, site->length - 1u);
        }
        rounds += tail_differs ? 3 : 2;
    }
    return rounds;
}

static enum patch_status int3_apply(struct patch_batch *batch)
{
    return apply(batch, 1);
}

static unsigned int3_count_rounds(const struct patch_batch *batch)
{
    return count_rounds(batch, 1);
}

static enum patch_status int3_batch_apply(struct patch_batch *batch)
{
    return apply(batch, PATCH_BATCH_MAX);
}

static unsigned int3_batch_count_rounds(const struct patch_batch *batch)
{
    return count_rounds(batch, PATCH_BATCH_MAX);
}

const struct patch_protocol patch_protocol_int3 = {
    .name = "int3",
    .summary = "int3, tail, first byte, a sync after each: one site after the other, 3n rounds",
    .apply = int3_apply,
    .count_rounds = int3_count_rounds,
};

const struct patch_protocol patch_protocol_int3_batch = {
    .name = "int3-batch",
    .summary = "the steps of int3, each over all sites before its sync: 3 rounds, whatever n",
    .apply = int3_batch_apply,
    .count_rounds = int3_batch_count_rounds,
};
