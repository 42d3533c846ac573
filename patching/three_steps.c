// SPDX-License-Identifier: MIT
/* int3 over the first byte, then the tail, then the first byte, all CPUs serialised after each.
 * Invariant: at every instant a CPU that fetches a site gets the whole old instruction, int3, or
 * the whole new one. Called by: protocol_int3.c, protocol_qword.c.
 *
 *     patcher                                   a CPU that runs through the site
 *     1 first byte = int3                       old, or int3: handler emulates the new instruction
 *       sync ------------------------------->   int3 from here on; nobody stands behind old byte 0
 *     2 tail = new tail                         int3: the tail is never fetched
 *       sync ------------------------------->   whoever fetches byte 0 anew gets the new tail
 *     3 first byte = new first byte             int3, or new
 *       (a quadword site: all of it)            (a quadword site: old, or new)
 *       sync ------------------------------->   new from here on
 *
 * Putting a failed batch back is the same pass with the old bytes as its goal; then each step asks
 * the text itself what is left to do: a site that was not reached yet has nothing left. A
 * change of the first byte alone goes through int3 as well: processors promise atomicity for int3
 * over a first byte, not for any opcode over any other (facts: cross-modifying code).
 *
 * Sites that are last (poke.h) come last in step 3. The handler emulates their old instruction, so
 * the new one is executed by nobody before its first byte is written. By then no CPU can fetch an
 * old instruction at another site, not even one that fetched long ago: the sync behind the int3s
 * ended that. Which is why the others need int3, not a quadword, and why no sync is needed between
 * them and the last ones: whoever still meets an int3 of theirs executes the new instruction.
 *
 *     patcher                                   a CPU
 *     1 int3 over other and last sites          other: old, or new (int3)   last: old
 *       sync ------------------------------->   other: new (int3)           last: old (int3)
 *     3 first bytes: the others', then
 *       those of the last ones              other: new (int3, or text)  last: old (int3), new
 *       sync ------------------------------->   new                         new
 *
 * A CPU that does not acknowledge a sync may go on fetching whatever stood there since its last
 * one. As long as no tail was written that is the old instruction, int3 or, of a quadword site, the
 * new one: the batch is put back without waiting for the CPU at each step. Once a tail was written,
 * the old first byte and the new one are both wrong for it: the machine stops while int3 still
 * stands. It stops, too, if anything goes wrong once a last site may show its new bytes: to put the
 * others back would break the promise. */
#include "patching/three_steps.h"

#include "patching/breakpoint.h"
#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/site_write.h"

struct pass {
    struct patch_batch *batch;
    uint32_t group;
    enum site_goal goal;
    uint32_t last_count;   /* sites that are last */
    bool cpu_is_silent;    /* do not sync any more: it would not answer */
    bool tail_is_written;  /* some tail, since the batch began */
    bool promise_is_given; /* there are others, and somebody may have executed a last site's new
                            * instruction */
};

/* Sites [first, end) of the batch, of one kind or of both. */
struct part {
    uint32_t first;
    uint32_t end;
    bool with_others;
    bool with_last;
};

static bool tail_differs(const struct patch_site *site, const uint8_t *text, const uint8_t *bytes)
{
    return !bytes_equal(text + 1, bytes + 1, site->length - 1u);
}

/* Writes what @step has to write at one site; true also if that is nothing. On the way to the new
 * bytes the old ones tell what that is; on the way back only the text does. */
static bool site_run(struct pass *pass, struct write_window *window, const struct patch_site *site,
                     enum patch_step step)
{
    const uint8_t *bytes = site_goal_bytes(site, pass->goal);
    bool goes_back = pass->goal == SITE_GOAL_OLD;
    const uint8_t *from = goes_back ? (const uint8_t *)site->address : site->old_bytes;

    if (goes_back && bytes_equal(from, bytes, site->length)) {
        return true;
    }
    if (step == PATCH_STEP_FIRST && site->is_last && !goes_back) {
        pass->promise_is_given = pass->last_count < pass->batch->count;
    }
    if (site->is_quadword) {
        return step != PATCH_STEP_FIRST ||
               site_write_quadword(window, pass->batch, site, pass->goal);
    }
    switch (step) {
    case PATCH_STEP_INT3:
        return from[0] == INSN_INT3 || site_write_int3(window, pass->batch, site);
    case PATCH_STEP_TAIL:
        if (!tail_differs(site, from, bytes)) {
            return true;
        }
        pass->tail_is_written = true;
        return site_write(window, pass->batch, site, pass->goal, 1, site->length - 1u);
    default:
        return site_write(window, pass->batch, site, pass->goal, 0, 1);
    }
}

/* Makes every CPU serialise. Returns false, with the CPU in @silent, if one does not answer. */
static bool round_run(struct patch_batch *batch, unsigned *silent)
{
    struct platform_round round = {0};
    bool all_answered = platform_sync_cores(&round);

    batch->record.rounds++;
    batch->record.ipis += round.ipis;
    *silent = round.silent_cpu;
    return all_answered;
}

/* The sync behind a step. Returns false, with the CPU in batch->error, if one is silent and no harm
 * is done yet. */
static bool sync_run(struct pass *pass)
{
    struct patch_batch *batch = pass->batch;
    unsigned silent;

    if (round_run(batch, &silent)) {
        return true;
    }
    if (pass->tail_is_written || pass->promise_is_given) {
        platform_fatal_silent_cpu(silent);
    }
    pass->cpu_is_silent = true;
    batch->error.status = PATCH_ERR_SILENT_CPU;
    batch->error.cpu = silent;
    return false;
}

/* The writes of @step at the sites of @part that are last, or at those that are not. */
static bool sites_run(struct pass *pass, struct write_window *window, const struct part *part,
                      enum patch_step step, bool last_ones)
{
    const struct patch_site *sites = pass->batch->sites;
    bool done = true;

    for (const struct patch_site *site = &sites[part->first]; site < &sites[part->end] && done;
         site++) {
        done = site->is_last != last_ones || site_run(pass, window, site, step);
    }
    return done;
}

/* One step: writes, the last sites behind the others, and a sync if anything was written.
 * Returns false at the first thing that fails. */
static bool step_run(struct pass *pass, const struct part *part, enum patch_step step)
{
    struct patch_batch *batch = pass->batch;
    struct write_window window = {0};
    uint64_t start = platform_time_ticks();
    uint32_t bytes_before = batch->record.bytes;
    bool done =
        (!part->with_others || sites_run(pass, &window, part, step, false)) &&
        (!part->with_last || pass->last_count == 0 || sites_run(pass, &window, part, step, true));

    write_window_close(&window);
    if (batch->record.bytes > bytes_before) {
        platform_step_reached(step, PATCH_MOMENT_WRITTEN);
        if (!pass->cpu_is_silent && sync_run(pass)) {
            platform_step_reached(step, PATCH_MOMENT_SYNCED);
        }
    }
    batch->record.step_ns[step] += platform_ticks_to_ns(platform_time_ticks() - start);
    return done;
}

/* All three steps over @part. */
static bool part_run(struct pass *pass, const struct part *part)
{
    for (enum patch_step step = PATCH_STEP_INT3; step <= PATCH_STEP_FIRST; step++) {
        bool goes_on_silent = pass->cpu_is_silent;

        if (!step_run(pass, part, step) || pass->cpu_is_silent != goes_on_silent) {
            return false;
        }
    }
    return true;
}

/* All three steps over the whole batch, group by group. Where there are several groups, those of
 * the last sites come behind all of the others. */
static bool pass_run(struct pass *pass)
{
    uint32_t count = pass->batch->count;
    unsigned turns = count <= pass->group || pass->last_count == 0 ? 1 : 2;

    for (unsigned turn = 0; turn < turns; turn++) {
        for (uint32_t first = 0; first < count; first += pass->group) {
            struct part part = {
                .first = first,
                .end = count - first < pass->group ? count : first + pass->group,
                .with_others = turn == 0,
                .with_last = turn == turns - 1,
            };

            if (!part_run(pass, &part)) {
                return false;
            }
        }
    }
    return true;
}

/* Makes the text what it was, after @pass failed. Keeps the error that made it necessary. */
static void put_back(struct pass *pass)
{
    struct patch_batch *batch = pass->batch;
    struct patch_error cause;

    if (pass->promise_is_given) {
        site_fatal_not_put_back(batch); /* a write failed; a silent CPU is fatal at once */
    }
    bytes_copy(&cause, &batch->error, sizeof(cause));
    pass->goal = SITE_GOAL_OLD;
    while (!pass_run(pass)) {
        if (batch->error.status == PATCH_ERR_WRITE) {
            site_fatal_not_put_back(batch);
        }
        /* A CPU has gone silent only now: once more, without asking it. */
    }
    cause.cpu = batch->error.cpu; /* also one that went silent only now */
    if (pass->cpu_is_silent) {
        unsigned ignored;

        /* Whoever answers executes old bytes only from here on; nobody has to. */
        round_run(batch, &ignored);
    }
    bytes_copy(&batch->error, &cause, sizeof(cause));
}

uint32_t three_steps_count_last(const struct patch_batch *batch)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        count += batch->sites[i].is_last;
    }
    return count;
}

enum patch_status three_steps_apply(struct patch_batch *batch, uint32_t group)
{
    struct pass pass = {
        .batch = batch,
        .group = group,
        .goal = SITE_GOAL_NEW,
        .last_count = three_steps_count_last(batch),
    };
    bool uses_int3 = batch->record.quadwords < batch->count;

    if (uses_int3) {
        patch_breakpoint_arm(batch);
    }
    if (!pass_run(&pass)) {
        put_back(&pass);
    }
    sites_refresh(batch);
    if (uses_int3) {
        patch_breakpoint_disarm();
    }
    return batch->error.status;
}

/* The order within a step, and that of the groups, does not show in the count. */
unsigned three_steps_count_rounds(const struct patch_batch *batch, uint32_t group)
{
    unsigned rounds = 0;

    for (uint32_t first = 0; first < batch->count; first += group) {
        bool has_int3 = false;
        bool has_tail = false;

        for (uint32_t i = first; i < batch->count && i - first < group; i++) {
            const struct patch_site *site = &batch->sites[i];

            has_int3 |= !site->is_quadword;
            has_tail |= !site->is_quadword && tail_differs(site, site->old_bytes, site->new_bytes);
        }
        rounds += 1u + has_int3 + has_tail;
    }
    return rounds;
}
