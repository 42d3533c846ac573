// SPDX-License-Identifier: MIT
/* The engine of `bench poke` and `bench seeds`: flips bench sites while other CPUs are idle or run
 * through them. Invariant: rounds, IPIs and traps come from the batches' own records; when it
 * returns, all sites are nops again, unless the shell was told otherwise. */
#include "arch/clock.h"
#include "bench/bench.h"
#include "bench/bench_runners.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "patching/instruction.h"
#include "patching/trap_statistics.h"

const char *const bench_placement_names[] = {"quadword", "across", NULL};

static struct patch_batch batch; /* by the shell's thread: one bench at a time */

/* What stands at a site, or would: the jump if @taken, else the nop. */
static enum patch_status site_encode(uint64_t site, bool taken,
                                     uint8_t bytes[PATCH_SITE_LENGTH_MAX])
{
    const struct instruction nop = {.kind = INSTRUCTION_NOP, .length = BENCH_SITE_LENGTH};
    const struct instruction jump = {
        .kind = INSTRUCTION_JUMP,
        .length = BENCH_SITE_LENGTH,
        .target = site + BENCH_SITE_LENGTH + BENCH_SITE_JUMP,
    };

    return instruction_encode(taken ? &jump : &nop, site, bytes);
}

/* Fills the batch with the sites of @request, which are @taken now, to be flipped. */
static enum patch_status batch_fill(const struct poke_request *request, bool taken)
{
    uint64_t site = bench_sites_first(request->placement, request->sites);
    enum patch_status status = PATCH_OK;

    for (uint32_t i = 0; i < request->sites && status == PATCH_OK; i++) {
        uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
        uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];

        status = site_encode(site, taken, old_bytes);
        if (status == PATCH_OK) {
            status = site_encode(site, !taken, new_bytes);
        }
        if (status == PATCH_OK) {
            status = patch_batch_add(&batch, site, old_bytes, new_bytes, BENCH_SITE_LENGTH);
        }
        site += BENCH_SITE_STRIDE;
    }
    return status;
}

/* Flips all sites of @request, which are @taken now, by @protocol. Says why if that fails. */
static bool sites_flip(const struct poke_request *request, enum patch_protocol_id protocol,
                       unsigned flags, bool taken)
{
    char text[PATCH_ERROR_TEXT_MAX];

    patch_batch_initialize(&batch, "bench poke");
    batch.protocol = protocol;
    batch.flags = flags;
    if (batch_fill(request, taken) == PATCH_OK && patch_batch_apply(&batch) == PATCH_OK) {
        return true;
    }
    console_print("%s: %s, %u sites: %s\n", request->command, patch_protocol_name(protocol),
                  request->sites, patch_error_text(&batch.error, text));
    return false;
}

/* Adds what the last flip cost. Its rounds are those of every other, but not its IPIs: a CPU that
 * still owes the answer to a round given up before has one pending and is sent none (ipi.c). */
static bool record_take(const char *command, struct poke_measurement *result)
{
    const struct patch_record *record = &batch.record;

    if (result->flips != 0 && record->rounds != result->rounds_per_flip) {
        console_print("%s: %s: flips of %u sites differ in rounds: %u after %u\n", command,
                      record->protocol, record->sites, record->rounds, result->rounds_per_flip);
        return false;
    }
    result->flips++;
    result->rounds_per_flip = record->rounds;
    if (record->ipis > result->ipis_per_flip) {
        result->ipis_per_flip = record->ipis;
    }
    result->traps += record->traps;
    histogram_add(&result->total_ns, record->total_ns);
    return true;
}

/* Flips the sites, which are @taken now; *@taken follows the text, whatever is wrong otherwise.
 * True also if Ctrl-C ended a wait: the caller looks for it anyway. */
static bool flip_once(const struct poke_request *request, bool *taken,
                      struct poke_measurement *result)
{
    if (!runners_flip_begin()) {
        return true;
    }

    bool done = sites_flip(request, request->protocol, request->protocol_flags, *taken);

    *taken ^= done;
    if (!runners_flip_end(&result->stolen_ns)) {
        return done;
    }
    return done && record_take(request->command, result);
}

/* Runs the flips. @taken: how the sites stand, to begin with and in the end. */
static enum command_result flips_run(struct shell_session *session,
                                     const struct poke_request *request, bool *taken,
                                     struct poke_measurement *result)
{
    uint64_t deadline = clock_now_ns() + request->budget_ns;

    while (result->flips < request->flips) {
        bool budget_spent = request->budget_ns != 0 && clock_now_ns() > deadline;

        if (budget_spent && result->flips >= BENCH_FLIPS_LEAST) {
            break;
        }
        if (!flip_once(request, taken, result)) {
            return COMMAND_FAILED;
        }
        if (shell_interrupted(session)) {
            console_print("%s: stopped by Ctrl-C\n", request->command);
            return COMMAND_FAILED;
        }
    }
    return COMMAND_OK;
}

/* Turns the sites back into nops. They are jumps if a bench before this one could not. */
static bool sites_put_back(const struct poke_request *request, bool taken)
{
    if (!taken || sites_flip(request, PATCH_PROTOCOL_INT3_BATCH, 0, true)) {
        return true;
    }
    console_print("%s: the sites stay flipped\n", request->command);
    return false;
}

/* Whether the site at @address is a jump. */
static bool site_is_taken(uint64_t address)
{
    return *(const volatile uint8_t *)address == INSN_JMP32;
}

/* Puts back what an earlier bench left flipped: the row's sites from some one on. */
static bool row_reset(const struct poke_request *request)
{
    struct poke_request left = *request;

    left.sites = PATCH_BATCH_MAX;
    while (left.sites > 0 && !site_is_taken(bench_sites_first(left.placement, left.sites))) {
        left.sites--;
    }
    return sites_put_back(&left, left.sites > 0);
}

enum command_result bench_poke_measure(struct shell_session *session,
                                       const struct poke_request *request,
                                       struct poke_measurement *result)
{
    bool taken = false;

    *result = (struct poke_measurement){0};
    if (!row_reset(request)) {
        return COMMAND_FAILED;
    }
    switch (runners_start(request->busy, bench_sites_first(request->placement, request->sites),
                          request->sites)) {
    case RUNNERS_STARTED:
        break;
    case RUNNERS_NO_MEMORY:
        console_print("%s: out of memory for the threads of busy CPUs\n", request->command);
        return COMMAND_FAILED;
    case RUNNERS_INTERRUPTED:
        console_print("%s: stopped by Ctrl-C\n", request->command);
        return COMMAND_FAILED;
    }
    patch_trap_times_reset();
    enum command_result outcome = flips_run(session, request, &taken, result);

    patch_trap_times_merge(&result->handler_ticks);
    if (!runners_stop(&result->wrong_passes) && outcome == COMMAND_OK) {
        console_print("%s: stopped by Ctrl-C\n", request->command);
        outcome = COMMAND_FAILED;
    }
    return sites_put_back(request, taken) ? outcome : COMMAND_FAILED;
}
