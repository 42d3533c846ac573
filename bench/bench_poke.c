// SPDX-License-Identifier: MIT
/* `bench poke`: what one flip costs, protocol by number of sites, others idle or running through
 * the very sites. Invariant: a figure that was not measured is not printed: a row that would take
 * too long is left out by name, a time without a sample is "-". */
#include "arch/clock.h"
#include "bench/bench.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/protocol_danger.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "kernel/thread.h"

#define DEFAULT_FLIPS     100
#define DEFAULT_BUDGET_NS 1000000000ull
#define ROW_LIMIT_NS      10000000000ull /* rows that would take longer are left out */

const char *const *bench_protocol_names(void)
{
    static const char *names[PATCH_PROTOCOL_COUNT + 1]; /* the last one stays NULL */

    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        names[id] = patch_protocol_name(id);
    }
    return names;
}

struct poke_options {
    struct number_list sites;
    struct number_list protocols;
    struct number_list loads;
    uint64_t placement;
    uint64_t busy;
    uint64_t flips;
    bool unsafe;
    bool strict;
    bool json;
};

/* The newest row of this protocol and load, to tell how long the next one will take. */
struct estimate {
    uint32_t sites; /* 0: no row yet */
    uint64_t flip_ns;
};

static void row_print(struct table *table, const struct poke_request *request,
                      const struct poke_measurement *result)
{
    bool trapped = result->handler_ticks.count != 0;
    bool robbed = result->stolen_ns.count != 0;
    uint64_t handler = histogram_quantile(&result->handler_ticks, 500);

    table_row(table);
    table_text(table, "protocol", 10, patch_protocol_name(request->protocol));
    table_number(table, "sites", 5, request->sites);
    table_number(table, "cpus", 4, cpu_count());
    table_text(table, "load", 4, bench_load_names[request->busy != 0]);
    table_number(table, "busy", 4, request->busy);
    table_number(table, "flips", 5, result->flips);
    table_number(table, "rounds_per_flip", 0, result->rounds_per_flip);
    table_number(table, "ipis_per_flip", 0, result->ipis_per_flip);
    table_time(table, "min_ns", 9, result->total_ns.minimum);
    table_time(table, "p50_ns", 9, histogram_quantile(&result->total_ns, 500));
    table_time(table, "p99_ns", 9, histogram_quantile(&result->total_ns, 990));
    table_time(table, "max_ns", 9, result->total_ns.maximum);
    table_number(table, "traps", 6, result->traps);
    table_time_or_none(table, "handler_p50_ns", 0, trapped, clock_ticks_to_ns(handler));
    table_time_or_none(table, "stolen_ns", 9, robbed, histogram_quantile(&result->stolen_ns, 500));
    table_time_or_none(table, "stolen_max_ns", 9, robbed, result->stolen_ns.maximum);
    table_number(table, "wrong_passes", 0, result->wrong_passes);
    table_text(table, "placement", 0, bench_placement_names[request->placement]);
    table_end_row(table);
}

/* Says which row is left out and why (@request->sites 0: all rows of this protocol under this
 * load): for people a line between the rows, else an object of a kind of its own. */
static void row_left_out(const struct poke_request *request, const char *reason, bool json)
{
    const char *load = bench_load_names[request->busy != 0];
    struct table table;

    if (!json) {
        console_print("%s, ", patch_protocol_name(request->protocol));
        if (request->sites != 0) {
            console_print("%u sites, ", request->sites);
        }
        console_print("%s: left out: %s\n", load, reason);
        return;
    }
    table_begin(&table, "bench.poke.left_out", true);
    table_row(&table);
    table_text(&table, "protocol", 0, patch_protocol_name(request->protocol));
    if (request->sites != 0) {
        table_number(&table, "sites", 0, request->sites);
    }
    table_text(&table, "load", 0, load);
    table_text(&table, "reason", 0, reason);
    table_end_row(&table);
    table_end(&table);
}

/* Whether CPUs that run the sites might execute a mixture, and the user has not insisted. */
static bool rows_are_dangerous(const struct poke_request *request, bool json)
{
    const char *danger = protocol_danger(request->protocol);
    char text[256];

    if (danger == NULL || request->busy == 0 || request->protocol_flags & PATCH_ALLOW_UNSAFE) {
        return false;
    }
    format_text(text, sizeof(text), "%s (--unsafe runs it)", danger);
    row_left_out(request, text, json);
    return true;
}

static bool row_takes_too_long(const struct poke_request *request, const struct estimate *estimate,
                               bool json)
{
    char text[96];

    if (request->budget_ns == 0 || estimate->sites == 0) {
        return false;
    }

    uint64_t flip_ns = estimate->flip_ns * request->sites / estimate->sites;

    if (flip_ns * BENCH_FLIPS_LEAST <= ROW_LIMIT_NS) {
        return false;
    }
    format_text(text, sizeof(text), "one flip would take about %llu ms (--flips N runs it)",
                (unsigned long long)(flip_ns / 1000000));
    row_left_out(request, text, json);
    return true;
}

static enum command_result row_run(struct shell_session *session, struct table *table,
                                   const struct poke_request *request, struct estimate *estimate)
{
    static struct poke_measurement result; /* three histograms are too large for a stack */

    if (row_takes_too_long(request, estimate, table->json)) {
        return COMMAND_OK;
    }

    enum command_result outcome = bench_poke_measure(session, request, &result);

    if (outcome == COMMAND_OK) {
        row_print(table, request, &result);
        *estimate = (struct estimate){
            .sites = request->sites,
            .flip_ns = histogram_quantile(&result.total_ns, 500),
        };
    }
    if (result.wrong_passes != 0 && protocol_danger(request->protocol) == NULL) {
        console_print("bench poke: %llu passes did not run each site exactly once\n",
                      (unsigned long long)result.wrong_passes);
        outcome = COMMAND_FAILED;
    }
    return outcome;
}

static bool check_loads(const struct poke_options *o)
{
    for (size_t i = 0; i < o->loads.count; i++) {
        if (o->loads.values[i] == BENCH_LOAD_BUSY && cpu_count() == 1) {
            console_print(
                "bench poke: --load busy: there is only one CPU, and it runs the bench\n");
            return false;
        }
    }
    if (o->busy != 0 && o->busy > cpu_count() - 1) {
        console_print("bench poke: --busy: '%llu' is out of range: %u CPUs beside this one\n",
                      (unsigned long long)o->busy, cpu_count() - 1);
        return false;
    }
    return true;
}

static bool check_protocols(const struct poke_options *o)
{
    for (size_t i = 0; i < o->protocols.count; i++) {
        enum patch_protocol_id id = (enum patch_protocol_id)o->protocols.values[i];

        if (patch_protocol_facts(id)->is_unsafe && !o->unsafe) {
            console_print("bench poke: --protocol: %s is refused without --unsafe: %s\n",
                          patch_protocol_name(id), protocol_danger(id));
            return false;
        }
    }
    return true;
}

/* Without --protocol: all; unsafe ones only if they may. */
static void default_protocols(struct poke_options *o)
{
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        if (o->unsafe || !patch_protocol_facts(id)->is_unsafe) {
            o->protocols.values[o->protocols.count++] = id;
        }
    }
}

static bool options_read(struct poke_options *o, int argc, char **argv)
{
    const struct option options[] = {
        OPTION_JSON(&o->json),
        OPTION_NUMBER_LIST("--sites", &o->sites, 1, PATCH_BATCH_MAX),
        OPTION_CHOICE_LIST("--protocol", &o->protocols, bench_protocol_names()),
        OPTION_CHOICE_LIST("--load", &o->loads, bench_load_names),
        OPTION_CHOICE("--placement", &o->placement, bench_placement_names),
        OPTION_NUMBER("--busy", &o->busy, 1, CPU_MAX),
        OPTION_NUMBER("--flips", &o->flips, 1, 1000000),
        OPTION_FLAG("--unsafe", &o->unsafe),
        OPTION_FLAG("--strict", &o->strict),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0) || !check_loads(o) ||
        !check_protocols(o)) {
        return false;
    }
    if (o->protocols.count == 0) {
        default_protocols(o);
    }
    return true;
}

/* All rows of one protocol under one load. */
static enum command_result rows_run(struct shell_session *session, struct table *table,
                                    const struct poke_options *o, size_t protocol, size_t load)
{
    bool is_busy = o->loads.values[load] == BENCH_LOAD_BUSY;
    struct estimate estimate = {0};
    /* Nobody runs the sites: qword may show what it costs, whatever CPUs fetch. */
    bool may_be_unsafe = o->unsafe || !is_busy;
    struct poke_request request = {
        .command = "bench poke",
        .placement = (enum bench_placement)o->placement,
        .protocol = (enum patch_protocol_id)o->protocols.values[protocol],
        .protocol_flags =
            (may_be_unsafe ? PATCH_ALLOW_UNSAFE : 0u) | (o->strict ? PATCH_STRICT : 0u),
        .busy = !is_busy       ? 0
                : o->busy != 0 ? (unsigned)o->busy
                               : cpu_count() - 1,
        .flips = o->flips != 0 ? (uint32_t)o->flips : DEFAULT_FLIPS,
        .budget_ns = o->flips != 0 ? 0 : DEFAULT_BUDGET_NS,
    };
    enum command_result outcome = COMMAND_OK;

    if (rows_are_dangerous(&request, o->json)) {
        return COMMAND_OK;
    }
    for (size_t i = 0; i < o->sites.count && outcome == COMMAND_OK; i++) {
        request.sites = (uint32_t)o->sites.values[i];
        outcome = row_run(session, table, &request, &estimate);
    }
    return outcome;
}

static bool is_given(const char *option, int argc, char **argv)
{
    size_t length = strlen(option);

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], option, length) == 0 &&
            (argv[i][length] == '\0' || argv[i][length] == '=')) {
            return true;
        }
    }
    return false;
}

/* `bench poke --hold STEP` has options of its own. Says which one belongs to the other kind. */
static bool options_go_together(bool is_hold, int argc, char **argv)
{
    static const char *const not_with_hold[] = {"--sites", "--load",      "--busy",
                                                "--flips", "--placement", "--strict"};

    for (size_t i = 0; is_hold && i < ARRAY_COUNT(not_with_hold); i++) {
        if (is_given(not_with_hold[i], argc, argv)) {
            console_print("bench poke: %s: does not go with --hold\n", not_with_hold[i]);
            return false;
        }
    }
    if (!is_hold && is_given("--hold-ms", argc, argv)) {
        console_print("bench poke: --hold-ms: goes only with --hold STEP\n");
        return false;
    }
    return true;
}

static enum command_result bench_poke_run(struct shell_session *session, int argc, char **argv)
{
    bool is_hold = is_given("--hold", argc, argv);

    if (!options_go_together(is_hold, argc, argv)) {
        return COMMAND_USAGE;
    }
    if (is_hold) {
        return bench_hold_run(session, argc, argv);
    }

    static struct poke_options o;
    struct table table;

    o = (struct poke_options){
        .sites = {.count = 7, .values = {1, 4, 16, 56, 256, 1024, 4096}},
        .loads = {.count = cpu_count() > 1 ? 2 : 1, .values = {BENCH_LOAD_IDLE, BENCH_LOAD_BUSY}},
    };
    if (!options_read(&o, argc, argv)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    table_begin(&table, "bench.poke", o.json);
    for (size_t load = 0; load < o.loads.count; load++) {
        for (size_t protocol = 0; protocol < o.protocols.count; protocol++) {
            enum command_result outcome = rows_run(session, &table, &o, protocol, load);

            if (outcome != COMMAND_OK) {
                return outcome;
            }
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_bench_poke = {
    .name = "poke",
    .summary = "flips of 1 to 4096 sites as one batch, by protocol and load",
    .usage =
        "bench poke [--sites LIST] [--protocol LIST] [--load idle|busy] [--busy N] "
        "[--flips N] [--placement quadword|across] [--strict] [--unsafe] [-j]\n"
        "         bench poke --hold int3|tail|first [--protocol NAME] [--hold-ms N] [--unsafe] "
        "[-j]",
    .example = "bench poke --sites 1,56,4096 --load busy --busy 1",
    .details =
        "Flips that many sites as one batch and adds up the records; without --flips, up to\n"
        "100 flips or 1 s a row, 2 flips at least, and a row that would take longer than 10 s\n"
        "is left out by name. --load busy: N other CPUs (--busy; all if not given) run through\n"
        "the sites; with more busy CPUs (the patcher is one) than the host has cores, times\n"
        "are the host's time slices: --busy 1 for two cores. --placement across: no site lies\n"
        "inside an aligned quadword; --strict: qword then refuses instead of falling back.\n"
        "--unsafe: naive, too, and under load what `protocol` calls unsafe; that may crash the\n"
        "kernel. Ctrl-C acts between two flips.\n"
        "traps: int3 hits emulated; handler_p50: time of one. stolen: what one flip takes from\n"
        "a busy CPU, measured there: the passes through the sites that overlap the flip, less\n"
        "what the same number of passes takes undisturbed (median of the 31 before the flip);\n"
        "median and maximum over flips and busy CPUs; \"-\" where no CPU was busy; with\n"
        "ACCEL=icount it holds the turns of the others, too.\n"
        "wrong_passes: passes that did not run each site exactly once.\n"
        "--hold STEP: stops one batch at that step for N ms (10), once its bytes are written\n"
        "and once all CPUs are synced, and counts what the others execute there meanwhile:\n"
        "old, emulated, new; a mixture is a failure. The only bench that runs while functions\n"
        "are traced.",
    .run = bench_poke_run,
};
