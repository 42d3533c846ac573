// SPDX-License-Identifier: MIT
/* `bench poke`: what one flip of a key costs, protocol by number of sites, others idle or running
 * through the very sites. Invariant: rounds, IPIs and traps are sums of the batches' own records.
 */
#include "arch/clock.h"
#include "kernel/bench.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/table.h"
#include "kernel/thread.h"
#include "patching/trap_statistics.h"

#define DEFAULT_FLIPS     100
#define DEFAULT_BUDGET_NS 1500000000ull

/* Adds the record that the flip just left. */
static bool record_take(const struct poke_request *request, uint64_t before,
                        struct poke_measurement *result)
{
    struct patch_record record;
    for (uint64_t seq = patch_record_newest(); seq > before; seq--) {
        if (patch_record_get(seq, &record) && record.who == request->key->key->name) {
            if (result->flips != 0 && (record.rounds != result->rounds / result->flips ||
                                       record.ipis != result->ipis / result->flips)) {
                console_print("bench poke: flips of %s differ in rounds or IPIs\n", record.who);
                return false;
            }
            result->flips++;
            result->rounds += record.rounds;
            result->ipis += record.ipis;
            result->traps += record.traps;
            histogram_add(&result->total_ns, record.total_ns);
            return true;
        }
    }
    console_print("bench poke: the flip of %s left no record\n", request->key->key->name);
    return false;
}

static bool flip_once(const struct poke_request *request, struct poke_measurement *result)
{
    struct static_key *key = request->key->key;
    uint64_t before = patch_record_newest();
    enum patch_status status =
        static_key_is_enabled(key) ? static_key_disable(key) : static_key_enable(key);
    if (status != PATCH_OK) {
        console_print("bench poke: flip of %s: %s\n", key->name, patch_status_text(status));
        return false;
    }
    return record_take(request, before, result);
}

static enum command_result flips_run(struct shell_session *session,
                                     const struct poke_request *request,
                                     struct poke_measurement *result)
{
    uint64_t deadline = clock_now_ns() + request->budget_ns;
    for (uint32_t flip = 0; flip < request->flips; flip++) {
        bool budget_spent = request->budget_ns != 0 && clock_now_ns() > deadline;
        if (budget_spent && flip >= BENCH_FLIPS_LEAST) {
            break;
        }
        if (!flip_once(request, result)) {
            return COMMAND_FAILED;
        }
        if (shell_interrupted(session)) {
            console_print("bench poke: stopped by Ctrl-C\n");
            return COMMAND_FAILED;
        }
    }
    return COMMAND_OK;
}

enum command_result bench_poke_measure(struct shell_session *session,
                                       const struct poke_request *request,
                                       struct poke_measurement *result)
{
    struct static_key *key = request->key->key;
    if (static_key_count(key) != 0) {
        console_print("bench poke: key %s is in use; key %s off first\n", key->name, key->name);
        return COMMAND_FAILED;
    }
    if (request->load == BENCH_LOAD_BUSY && !bench_load_start(request->key->run)) {
        console_print("bench poke: out of memory for the load threads\n");
        return COMMAND_FAILED;
    }
    enum patch_protocol_id before = patch_protocol_default();
    enum command_result outcome = COMMAND_FAILED;
    *result = (struct poke_measurement){0};
    patch_trap_times_reset();
    if (patch_protocol_set_default(request->protocol, 0) == PATCH_OK) {
        outcome = flips_run(session, request, result);
    }
    patch_trap_times_merge(&result->handler_ticks);
    if (request->load == BENCH_LOAD_BUSY) {
        bench_load_stop();
    }
    if (static_key_is_enabled(key) && static_key_disable(key) != PATCH_OK) {
        console_print("bench poke: could not switch %s off again\n", key->name);
        outcome = COMMAND_FAILED;
    }
    if (patch_protocol_set_default(before, 0) != PATCH_OK) {
        outcome = COMMAND_FAILED;
    }
    return outcome;
}

static void row_print(struct table *table, const struct poke_request *request,
                      const struct poke_measurement *result)
{
    uint64_t handler = histogram_quantile(&result->handler_ticks, 500);
    uint32_t flips = result->flips != 0 ? result->flips : 1;
    table_row(table);
    table_text(table, "protocol", 10, patch_protocol_name(request->protocol));
    table_number(table, "sites", 5, request->key->sites);
    table_number(table, "cpus", 4, cpu_count());
    table_text(table, "load", 4, bench_load_names[request->load]);
    table_number(table, "flips", 5, result->flips);
    table_number(table, "rounds_per_flip", 0, result->rounds / flips);
    table_number(table, "ipis_per_flip", 0, result->ipis / flips);
    table_time(table, "min_ns", 9, result->total_ns.minimum);
    table_time(table, "p50_ns", 9, histogram_quantile(&result->total_ns, 500));
    table_time(table, "p99_ns", 9, histogram_quantile(&result->total_ns, 990));
    table_time(table, "max_ns", 9, result->total_ns.maximum);
    table_number(table, "traps", 6, result->traps);
    table_time(table, "handler_p50_ns", 0, clock_ticks_to_ns(handler));
    table_end_row(table);
}

struct poke_options {
    struct number_list sites;
    struct number_list protocols;
    struct number_list loads;
    uint64_t flips;
    bool json;
};

static bool options_read(struct poke_options *o, int argc, char **argv)
{
    const char *protocols[PATCH_PROTOCOL_COUNT + 1] = {NULL};
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        protocols[id] = patch_protocol_name(id);
    }
    const struct option options[] = {
        OPTION_JSON(&o->json),
        OPTION_NUMBER_LIST("--sites", &o->sites, 1, PATCH_BATCH_MAX),
        OPTION_CHOICE_LIST("--protocol", &o->protocols, protocols),
        OPTION_CHOICE_LIST("--load", &o->loads, bench_load_names),
        OPTION_NUMBER("--flips", &o->flips, 1, 1000000),
    };
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return false;
    }
    for (size_t i = 0; i < o->loads.count; i++) {
        if (o->loads.values[i] == BENCH_LOAD_BUSY && cpu_count() == 1) {
            console_print(
                "bench poke: --load busy: there is only one CPU, and it runs the bench\n");
            return false;
        }
    }
    for (size_t i = 0; i < o->sites.count; i++) {
        if (bench_key_find((uint32_t)o->sites.values[i]) == NULL) {
            console_print("bench poke: --sites: no bench key has %llu sites; there are",
                          (unsigned long long)o->sites.values[i]);
            for (size_t k = 0; k < bench_key_count; k++) {
                console_print(" %u", (unsigned)bench_keys[k].sites);
            }
            console_print("\n");
            return false;
        }
    }
    return true;
}

static enum command_result row_run(struct shell_session *session, struct table *table,
                                   const struct poke_request *request)
{
    static struct poke_measurement result; /* two histograms are too large for a stack */
    enum command_result outcome = bench_poke_measure(session, request, &result);
    if (outcome == COMMAND_OK) {
        row_print(table, request, &result);
    }
    return outcome;
}

enum command_result bench_poke_run(struct shell_session *session, int argc, char **argv)
{
    static struct poke_options o;
    o = (struct poke_options){
        .sites = {.count = 6, .values = {1, 4, 16, 56, 76, 256}},
        .protocols = {.count = 2, .values = {PATCH_PROTOCOL_INT3, PATCH_PROTOCOL_INT3_BATCH}},
        .loads = {.count = cpu_count() > 1 ? 2 : 1, .values = {BENCH_LOAD_IDLE, BENCH_LOAD_BUSY}},
    };
    if (!options_read(&o, argc, argv)) {
        return COMMAND_USAGE;
    }
    struct table table;
    table_begin(&table, "bench.poke", o.json);
    for (size_t load = 0; load < o.loads.count; load++) {
        for (size_t protocol = 0; protocol < o.protocols.count; protocol++) {
            for (size_t site = 0; site < o.sites.count; site++) {
                struct poke_request request = {
                    .key = bench_key_find((uint32_t)o.sites.values[site]),
                    .protocol = (enum patch_protocol_id)o.protocols.values[protocol],
                    .load = (enum bench_load)o.loads.values[load],
                    .flips = o.flips != 0 ? (uint32_t)o.flips : DEFAULT_FLIPS,
                    .budget_ns = o.flips != 0 ? 0 : DEFAULT_BUDGET_NS,
                };
                enum command_result outcome = row_run(session, &table, &request);
                if (outcome != COMMAND_OK) {
                    return outcome;
                }
            }
        }
    }
    table_end(&table);
    return COMMAND_OK;
}
