// SPDX-License-Identifier: MIT
/* `bench seeds`: each seed's published figure beside the one measured here, now. Published figures
 * are constants of this file with their source; measured ones are never. */
#include "arch/clock.h"
#include "bench/bench.h"
#include "bench/bench_calls.h"
#include "bench/bench_seed_dispatch.h"
#include "bench/bench_seed_packets.h"
#include "bench/bench_seed_pv.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/table.h"
#include "kernel/thread.h"

#define SEED_FLIPS     20
#define SEED_BUDGET_NS 3000000000ull /* for each measurement; 2 flips at least */

/* Seed 5, "x86/jump_label: Batch jump label updates" (v5, 2019), 24 CPUs at 2.27 GHz. */
#define SEED5_IPIS_4_BEFORE      12
#define SEED5_IPIS_4_AFTER       3
#define SEED5_IPIS_56_BEFORE     168
#define SEED5_IPIS_56_AFTER      3
#define SEED5_UPDATE_NS_BEFORE   57000000ull
#define SEED5_UPDATE_NS_AFTER    1400000ull
#define SEED5_HANDLER_NS_BEFORE  45
#define SEED5_HANDLER_NS_AFTER   180
#define SEED5_HITS_PERCENT_AFTER 90

struct pair {
    struct poke_measurement before; /* int3: one site after the other */
    struct poke_measurement after;  /* int3-batch */
};

static bool pair_measure(struct shell_session *session, uint32_t sites, enum bench_load load,
                         struct pair *pair)
{
    struct poke_request request = {
        .command = "bench seeds",
        .sites = sites,
        .protocol = PATCH_PROTOCOL_INT3,
        .busy = load == BENCH_LOAD_BUSY ? cpu_count() - 1 : 0,
        .flips = SEED_FLIPS,
        .budget_ns = SEED_BUDGET_NS,
    };
    if (bench_poke_measure(session, &request, &pair->before) != COMMAND_OK) {
        return false;
    }
    request.protocol = PATCH_PROTOCOL_INT3_BATCH;
    return bench_poke_measure(session, &request, &pair->after) == COMMAND_OK;
}

struct seed_row {
    const char *what;
    const char *unit;
    uint64_t published_before, published_after;
    uint64_t measured_before, measured_after;
};

static void row_print(struct table *table, const struct seed_row *row)
{
    table_row(table);
    table_number(table, "seed", 4, 5);
    table_text(table, "what", 44, row->what);
    table_text(table, "unit", 8, row->unit);
    table_number(table, "published_before", 0, row->published_before);
    table_number(table, "published_after", 0, row->published_after);
    table_number(table, "measured_before", 0, row->measured_before);
    table_number(table, "measured_after", 0, row->measured_after);
    table_none(table, "after_min", 9);
    table_none(table, "after_max", 9);
    table_end_row(table);
}

/* IPIs that one other CPU receives for one flip. */
static uint64_t ipis_per_cpu(const struct poke_measurement *m)
{
    unsigned others = cpu_count() - 1;
    return others != 0 ? m->ipis_per_flip / others : 0;
}

static uint64_t handler_ns(const struct poke_measurement *m)
{
    return clock_ticks_to_ns(histogram_quantile(&m->handler_ticks, 500));
}

static void ipis_print(struct table *table, const struct pair *four, const struct pair *many)
{
    struct seed_row row = {"IPIs a flip on each other CPU, 4 sites",
                           "IPIs",
                           SEED5_IPIS_4_BEFORE,
                           SEED5_IPIS_4_AFTER,
                           ipis_per_cpu(&four->before),
                           ipis_per_cpu(&four->after)};
    row_print(table, &row);
    row = (struct seed_row){"IPIs a flip on each other CPU, 56 sites",
                            "IPIs",
                            SEED5_IPIS_56_BEFORE,
                            SEED5_IPIS_56_AFTER,
                            ipis_per_cpu(&many->before),
                            ipis_per_cpu(&many->after)};
    row_print(table, &row);
}

static void times_print(struct table *table, const struct pair *m)
{
    struct seed_row row = {"time of a flip, 56 sites, CPUs running them",
                           "ns",
                           SEED5_UPDATE_NS_BEFORE,
                           SEED5_UPDATE_NS_AFTER,
                           histogram_quantile(&m->before.total_ns, 500),
                           histogram_quantile(&m->after.total_ns, 500)};
    row_print(table, &row);
    row = (struct seed_row){"int3 handler, median",  "ns",
                            SEED5_HANDLER_NS_BEFORE, SEED5_HANDLER_NS_AFTER,
                            handler_ns(&m->before),  handler_ns(&m->after)};
    row_print(table, &row);
    /* Per flip: the two may have had time for different numbers of flips. */
    uint64_t before = m->before.traps * m->after.flips;
    uint64_t after = m->after.traps * m->before.flips;
    row = (struct seed_row){
        "int3 hits a flip, unbatched = 100",   "percent", 100, SEED5_HITS_PERCENT_AFTER, 100,
        before != 0 ? after * 100 / before : 0};
    row_print(table, &row);
}

/* Seed 5: needs other CPUs. */
static bool flips_measure(struct shell_session *session, struct pair *four, struct pair *many)
{
    return pair_measure(session, 4, BENCH_LOAD_IDLE, four) &&
           pair_measure(session, 56, BENCH_LOAD_BUSY, many);
}

static void explanation_print(bool has_flips, bool has_packets, const struct pair *many)
{
    console_print(
        "Seed 1: before: retpolines; after: the same with dynamic calls that have learnt. "
        "Published from a card, measured from memory on %u CPUs, in pairs of runs: medians, "
        "and the least and largest percentage of a pair.\n",
        cpu_count());
    console_print("Seed 2: before: a function that calls the target and returns; after: a static "
                  "call out of line.\n");
    if (has_packets) {
        console_print("Seed 3: before: through the thunk alone; after: a dispatcher, the seed's "
                      "tree. Published from a card, measured from memory, in pairs of runs: "
                      "medians, and the least and largest percentage of a pair.\n");
    }
    console_print("Seed 4: before: as built, indirect calls; after: inline; ops go the way they go "
                  "now (`pv`).\n");
    if (has_flips) {
        console_print(
            "Seed 5: before: int3, one site after the other; after: int3-batch. Published "
            "on 24 CPUs, measured on %u; flips of 56 sites: %u before, %u after.\n",
            cpu_count(), many->before.flips, many->after.flips);
    } else {
        console_print("Seed 5 left out: it counts IPIs to other CPUs, and there is only one CPU; "
                      "boot with SMP=2 or more\n");
    }
}

static enum command_result bench_seeds_run(struct shell_session *session, int argc, char **argv)
{
    static struct pair four, many;
    bool json = false, with_listing = false;
    bool has_flips = cpu_count() > 1, has_packets;
    const struct option options[] = {OPTION_FLAG("--listing", &with_listing), OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    has_packets = bench_seed_dispatch_is_possible(); /* else it has said how: the others run */
    if (!bench_seed_packets_measure(session) || !bench_seed_calls_measure(session) ||
        (has_packets && !bench_seed_dispatch_measure(session)) || !bench_seed_pv_measure(session) ||
        (has_flips && !flips_measure(session, &four, &many))) {
        return COMMAND_FAILED;
    }
    struct table table;
    table_begin(&table, "bench.seed", json);
    bench_seed_packets_print_rows(&table);
    bench_seed_calls_print_rows(&table);
    if (has_packets) {
        bench_seed_dispatch_print_rows(&table);
    }
    bench_seed_pv_print_rows(&table);
    if (has_flips) {
        ipis_print(&table, &four, &many);
        times_print(&table, &many);
    }
    table_end(&table);
    bench_seed_calls_print_text(json);
    bench_seed_dispatch_print_listing(json, with_listing);
    bench_seed_pv_print_text(json, with_listing);
    if (!json) {
        explanation_print(has_flips, has_packets, &many);
    }
    return COMMAND_OK;
}

const struct shell_command command_bench_seeds = {
    .name = "seeds",
    .summary = "published figures beside those measured here",
    .usage = "bench seeds [--listing] [-j]",
    .example = "bench seeds --listing",
    .details =
        "Seed 1: streams of 1-byte UDP from memory, retpolines, dynamic calls closed and open\n"
        "in turns, 10 pairs of runs. Seed 3: runs without and with dispatcher take turns;\n"
        "after_min, after_max: of all pairs (7); --listing: the image for its addresses; and\n"
        "of seed 4 all instructions, not only sites.",
    .run = bench_seeds_run,
};
