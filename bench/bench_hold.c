// SPDX-License-Identifier: MIT
/* `bench poke --hold STEP`: stops a batch at one of its steps and shows what the other CPUs execute
 * meanwhile: old, emulated, new, or a mixture. Invariant: fails if any CPU executed anything that
 * hold_flip.h does not allow there, and leaves the sites as they were. Called by: bench_poke.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "bench/bench.h"
#include "kernel/console.h"
#include "bench/hold_flip.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/protocol_danger.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "kernel/thread.h"

#define DEFAULT_HOLD_MS 10
#define LONGEST_HOLD_MS 1000 /* protocol stop keeps all interrupts off meanwhile */
#define TIMEOUT_NS      20000000000ull
#define POLL_NS         1000000ull
#define NS_PER_MS       1000000ull
#define MOMENTS         (PATCH_MOMENT_SYNCED + 1)

/* What one CPU did at one moment of the step, over all times the batch came there. */
struct hold_row {
    uint64_t rounds;
    struct hold_sums sums;
};

static struct hold_bench {
    struct shell_session *session;
    uint64_t step, protocol, hold_ms; /* step, protocol: the enums */
    bool is_default;                  /* no --protocol */
    bool unsafe, json;
    bool interrupted;
    bool fetch_is_bytewise; /* mixtures of quadword sites are no fault here: hold_flip.h */
    uint64_t torn, mixed;   /* mixtures executed: those, and all others */
    uint64_t holds[MOMENTS];
    struct hold_row rows[MOMENTS][CPU_MAX];
    struct hold_flip there, back;
} bench;

static bool options_are_possible(void)
{
    const char *protocol = patch_protocol_name((enum patch_protocol_id)bench.protocol);
    if (cpu_count() == 1) {
        console_print("bench poke: --hold: there is only one CPU, and it does the patching\n");
        return false;
    }
    if (patch_protocol_facts((enum patch_protocol_id)bench.protocol)->is_unsafe && !bench.unsafe) {
        console_print("bench poke: %s%s: CPUs may execute half-written instructions; say --unsafe "
                      "to see it\n",
                      bench.is_default ? "the default protocol, " : "--protocol ", protocol);
        return false;
    }
    if (!hold_protocol_has_step((enum patch_protocol_id)bench.protocol, HOLD_ALL_SITES,
                                (enum patch_step)bench.step)) {
        console_print("bench poke: --hold %s: protocol %s has no such step; it has only first\n",
                      hold_step_names[bench.step], protocol);
        return false;
    }
    return true;
}

static bool options_read(int argc, char **argv)
{
    const struct option options[] = {
        OPTION_JSON(&bench.json),
        OPTION_CHOICE("--hold", &bench.step, hold_step_names),
        OPTION_CHOICE("--protocol", &bench.protocol, bench_protocol_names()),
        OPTION_NUMBER("--hold-ms", &bench.hold_ms, 1, LONGEST_HOLD_MS),
        OPTION_FLAG("--unsafe", &bench.unsafe),
    };
    bench.protocol = PATCH_PROTOCOL_COUNT; /* none given */
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return false;
    }
    bench.is_default = bench.protocol == PATCH_PROTOCOL_COUNT;
    if (bench.is_default) {
        bench.protocol = patch_protocol_default();
    }
    return options_are_possible();
}

static bool sleep_unless_interrupted(void *argument)
{
    (void)argument;
    bench.interrupted |= shell_interrupted(bench.session);
    thread_sleep_ns(POLL_NS);
    return !bench.interrupted;
}

static void row_add(const struct hold_flip *flip, unsigned cpu, const struct hold_counts *counts)
{
    struct hold_row *row = &bench.rows[flip->moment][cpu];
    struct hold_sums sums;
    hold_flip_sum(flip, counts, &sums);
    row->rounds += counts->rounds;
    row->sums.old += sums.old;
    row->sums.emulated += sums.emulated;
    row->sums.new += sums.new;
    row->sums.mixed += sums.mixed;
}

/* Nobody may do anything: no window, which readers would have to open. Interrupts are off. */
static void watch_parked(struct hold_flip *flip)
{
    static uint64_t before[CPU_MAX];
    uint64_t end = clock_now_ns() + bench.hold_ms * NS_PER_MS;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        before[cpu] = hold_reader_rounds(cpu);
    }
    while (clock_now_ns() < end) {
        cpu_relax();
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint64_t rounds = hold_reader_rounds(cpu) - before[cpu];
        bench.rows[flip->moment][cpu].rounds += rounds;
        if (rounds != 0) {
            hold_flip_fault(flip, "cpu %u is not parked", cpu);
        }
    }
}

static void watch(struct hold_flip *flip)
{
    if (flip->step != (enum patch_step)bench.step || bench.interrupted) {
        return;
    }
    bench.holds[flip->moment]++;
    if (flip->protocol == PATCH_PROTOCOL_STOP) {
        watch_parked(flip);
        return;
    }
    const struct hold_window window = {
        .rounds = 1,
        .least_ns = bench.hold_ms * NS_PER_MS,
        .timeout_ns = TIMEOUT_NS,
        .meanwhile = sleep_unless_interrupted,
    };
    if (hold_flip_count(flip, window) != HOLD_WINDOW_DONE) {
        return;
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (hold_reader_runs(cpu)) {
            row_add(flip, cpu, hold_reader_counts(cpu));
        }
    }
}

static void row_print(struct table *table, enum patch_moment moment, unsigned cpu)
{
    const struct hold_row *row = &bench.rows[moment][cpu];
    table_row(table);
    table_text(table, "protocol", 10, patch_protocol_name((enum patch_protocol_id)bench.protocol));
    table_text(table, "step", 5, hold_step_names[bench.step]);
    table_text(table, "moment", 7, hold_moment_names[moment]);
    table_number(table, "cpu", 3, cpu);
    table_number(table, "holds", 5, bench.holds[moment]);
    table_number(table, "rounds", 7, row->rounds);
    table_number(table, "old", 8, row->sums.old);
    table_number(table, "emulated", 8, row->sums.emulated);
    table_number(table, "new", 8, row->sums.new - row->sums.emulated);
    table_number(table, "mixed", 8, row->sums.mixed);
    table_end_row(table);
}

static void rows_print(void)
{
    struct table table;
    table_begin(&table, "bench.hold", bench.json);
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        for (unsigned cpu = 0; bench.holds[moment] != 0 && cpu < cpu_present_count(); cpu++) {
            if (cpu != cpu_index() && cpu_index_is_online(cpu)) {
                row_print(&table, (enum patch_moment)moment, cpu);
            }
        }
    }
    table_end(&table);
}

/* There, held; and back, by a protocol that is safe. */
static enum patch_status flip_there_and_back(void)
{
    bench.there = (struct hold_flip){.protocol = (enum patch_protocol_id)bench.protocol,
                                     .flags = PATCH_ALLOW_UNSAFE, /* mixtures have their pads */
                                     .sites = HOLD_ALL_SITES,
                                     .goal = HOLD_FORM_SECOND,
                                     .fetch_is_bytewise = bench.fetch_is_bytewise,
                                     .visit = watch};
    bench.back = (struct hold_flip){
        .protocol = PATCH_PROTOCOL_INT3_BATCH, .sites = HOLD_ALL_SITES, .goal = HOLD_FORM_FIRST};
    enum patch_status status = hold_flip_apply(&bench.there);
    return status == PATCH_OK ? hold_flip_apply(&bench.back) : status;
}

/* Sums up the mixtures of the whole flip, in a window or not. */
static void mixtures_count(void)
{
    for (unsigned site = 0; site < HOLD_SITES; site++) {
        uint64_t mixed = hold_readers_mixed_at(site);
        if (bench.fetch_is_bytewise && hold_site_fits_quadword(&hold_sites[site])) {
            bench.torn += mixed;
        } else {
            bench.mixed += mixed;
        }
    }
}

static void note_torn(void)
{
    if (bench.fetch_is_bytewise && !bench.json) {
        console_print("%s: %s; until the sync that is no failure at sites inside a quadword: "
                      "%llu mixtures there\n",
                      patch_protocol_name((enum patch_protocol_id)bench.protocol),
                      protocol_danger((enum patch_protocol_id)bench.protocol),
                      (unsigned long long)bench.torn);
    }
}

/* Says what went wrong, if anything did. */
static enum command_result verdict(enum patch_status status)
{
    char text[PATCH_ERROR_TEXT_MAX];
    bool on_the_way_back = bench.there.error.status == PATCH_OK;
    if (status != PATCH_OK) {
        console_print(
            "bench poke: --hold: %s%s\n", on_the_way_back ? "on the way back: " : "",
            patch_error_text(on_the_way_back ? &bench.back.error : &bench.there.error, text));
    } else if (bench.interrupted) {
        console_print("bench poke: stopped by Ctrl-C\n");
    } else if (bench.there.is_faulty) {
        console_print("bench poke: --hold: %s\n", bench.there.fault);
    } else if (bench.back.is_faulty) {
        console_print("bench poke: --hold: on the way back: %s\n", bench.back.fault);
    } else if (bench.mixed != 0) {
        console_print("bench poke: --hold: %llu mixtures executed outside the step held\n",
                      (unsigned long long)bench.mixed);
    } else {
        return COMMAND_OK;
    }
    return COMMAND_FAILED;
}

enum command_result bench_hold_run(struct shell_session *session, int argc, char **argv)
{
    memset(&bench, 0, sizeof(bench));
    bench.session = session;
    bench.hold_ms = DEFAULT_HOLD_MS;
    if (!options_read(argc, argv)) {
        return COMMAND_USAGE;
    }
    bench.fetch_is_bytewise =
        bench.protocol == PATCH_PROTOCOL_QWORD && protocol_danger(PATCH_PROTOCOL_QWORD) != NULL;
    if (!hold_readers_start()) {
        console_print("bench poke: out of memory for the reader threads\n");
        return COMMAND_FAILED;
    }
    enum patch_status status = flip_there_and_back();
    mixtures_count();
    hold_readers_stop();
    if (status == PATCH_OK && !bench.interrupted) {
        rows_print();
        note_torn();
    }
    return verdict(status);
}
