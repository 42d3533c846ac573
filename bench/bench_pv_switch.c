// SPDX-License-Identifier: MIT
/* `bench pv --switch`: what it costs to change all ops with all their sites, their form or their
 * backend, by the functions that `pv` calls, while the other CPUs are idle, and while they take and
 * release one lock. Invariant: afterwards every op has form and layer as before; counts come from
 * the batches' records. Called by: bench_pv.c. */
#include "arch/clock.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "bench/bench.h"
#include "bench/bench_pv.h"
#include "kernel/console.h"
#include "kernel/paravirt_switch.h"
#include "kernel/spinlock.h"
#include "kernel/table.h"
#include "patching/record.h"

static struct spinlock lock = SPINLOCK("bench pv switch");
static uint32_t pairs; /* under the lock */

/* Work of a busy CPU, between two checkpoints: one pair, as a switch of backends may wait for them,
 * and where CPUs take turns on a host's cores a lock's next owner may have to wait for one. */
static uint32_t lock_work(void)
{
    uint64_t flags = spinlock_lock_save(&lock);
    uint32_t pair = ++pairs;

    spinlock_unlock_restore(&lock, flags);
    return pair;
}

static bool to_indirect(struct paravirt_refusal *refusal)
{
    return paravirt_switch_form(PARAVIRT_INDIRECT, refusal);
}

static bool to_direct(struct paravirt_refusal *refusal)
{
    return paravirt_switch_form(PARAVIRT_DIRECT, refusal);
}

static bool to_inline(struct paravirt_refusal *refusal)
{
    return paravirt_switch_form(PARAVIRT_INLINE, refusal);
}

static bool to_counted(struct paravirt_refusal *refusal)
{
    return paravirt_switch_all(paravirt_backend_find("counted"), refusal);
}

/* In this order, over and over; the last two leave what was below as it is. */
static const struct switch_row {
    const char *change;
    bool (*run)(struct paravirt_refusal *refusal);
} rows[] = {
    {"inline to indirect", to_indirect},
    {"indirect to direct", to_direct},
    {"direct to inline", to_inline},
    {"backend to counted", to_counted},
    {"counted to backend", paravirt_switch_uncounted},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

/* Returns what @run returned, having said why not. */
static bool switch_run(bool (*run)(struct paravirt_refusal *refusal))
{
    static struct paravirt_refusal refusal;
    bool is_done = run(&refusal);

    if (!is_done) {
        console_print("bench pv: %s\n", refusal.text);
    }
    return is_done;
}

struct switch_figures {
    struct histogram total_ns;
    uint32_t sites, rounds, ipis; /* the most of a switch */
    uint64_t traps;
};

static uint32_t larger(uint32_t left, uint32_t right)
{
    return left > right ? left : right;
}

/* Adds up what the batches behind record @seq cost; @total_ns: the whole switch. */
static void figures_add(struct switch_figures *figures, uint64_t seq, uint64_t total_ns)
{
    uint32_t sites = 0, rounds = 0, ipis = 0;
    struct patch_record record;

    for (uint64_t newest = patch_record_newest(); ++seq <= newest;) {
        if (patch_record_get(seq, &record)) {
            sites += record.sites;
            rounds += record.rounds;
            ipis += record.ipis;
            figures->traps += record.traps;
        }
    }
    histogram_add(&figures->total_ns, total_ns);
    figures->sites = larger(figures->sites, sites);
    figures->rounds = larger(figures->rounds, rounds);
    figures->ipis = larger(figures->ipis, ipis);
}

static bool switch_measure(const struct switch_row *row, struct switch_figures *figures)
{
    uint64_t seq = patch_record_newest();
    uint64_t start_ns = clock_now_ns();

    if (!switch_run(row->run)) {
        return false;
    }
    figures_add(figures, seq, clock_now_ns() - start_ns);
    return true;
}

static bool switches_measure(struct shell_session *session, uint64_t samples,
                             struct switch_figures figures[ROWS])
{
    for (uint64_t i = 0; i < samples; i++) {
        for (unsigned row = 0; row < ROWS; row++) {
            if (!switch_measure(&rows[row], &figures[row])) {
                return false;
            }
        }
        if (shell_interrupted(session)) {
            console_print("bench pv: stopped by Ctrl-C\n");
            return false;
        }
    }
    return true;
}

static void row_print(struct table *table, const char *change, enum bench_load load,
                      const struct switch_figures *figures)
{
    table_row(table);
    table_text(table, "change", 20, change);
    table_text(table, "load", 4, bench_load_names[load]);
    table_number(table, "cpus", 4, cpu_count());
    table_number(table, "ops", 3, PARAVIRT_OP_COUNT);
    table_number(table, "sites", 5, figures->sites);
    table_number(table, "rounds", 6, figures->rounds);
    table_number(table, "ipis", 4, figures->ipis);
    table_number(table, "traps", 6, figures->traps);
    table_number(table, "n", 5, figures->total_ns.count);
    table_time(table, "min_ns", 9, figures->total_ns.minimum);
    table_time(table, "p50_ns", 9, histogram_quantile(&figures->total_ns, 500));
    table_time(table, "p99_ns", 9, histogram_quantile(&figures->total_ns, 990));
    table_time(table, "max_ns", 9, figures->total_ns.maximum);
    table_end_row(table);
}

static bool load_measure(struct shell_session *session, enum bench_load load, uint64_t samples,
                         struct table *table)
{
    static struct switch_figures figures[ROWS];
    bool is_busy = load == BENCH_LOAD_BUSY;
    bool is_measured;

    if (is_busy && !bench_load_start(lock_work)) {
        console_print("bench pv: out of memory for the load threads\n");
        return false;
    }
    for (unsigned row = 0; row < ROWS; row++) {
        figures[row] = (struct switch_figures){.sites = 0};
    }
    is_measured = switches_measure(session, samples, figures);
    if (is_busy) {
        bench_load_stop();
    }
    for (unsigned row = 0; is_measured && row < ROWS; row++) {
        row_print(table, rows[row].change, load, &figures[row]);
    }
    return is_measured;
}

static bool loads_measure(struct shell_session *session, unsigned loads, uint64_t samples,
                          bool json)
{
    struct table table;
    bool is_measured = true;

    table_begin(&table, "bench.pv.switch", json);
    for (enum bench_load load = BENCH_LOAD_IDLE; is_measured && load <= BENCH_LOAD_BUSY; load++) {
        if ((loads & 1u << load) == 0 || (load == BENCH_LOAD_BUSY && cpu_count() == 1)) {
            continue; /* no other CPU */
        }
        is_measured = load_measure(session, load, samples, &table);
    }
    table_end(&table);
    return is_measured;
}

/* Puts the layer over the ops that had it. */
static bool layers_put_back(const struct paravirt_backend *const layers[PARAVIRT_OP_COUNT])
{
    static struct paravirt_refusal refusal;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const char *group = paravirt_ops[op].group;

        if (layers[op] != NULL && paravirt_layer_of(op) == NULL &&
            !paravirt_switch_op(group != NULL ? group : paravirt_ops[op].name, layers[op],
                                &refusal)) {
            console_print("bench pv: %s\n", refusal.text);
            return false;
        }
    }
    return true;
}

enum command_result bench_pv_switch_run(struct shell_session *session, unsigned loads,
                                        uint64_t samples, bool json)
{
    const struct paravirt_backend *layers[PARAVIRT_OP_COUNT];
    const struct pv_forms forms = pv_forms_now();
    bool is_done;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        layers[op] = paravirt_layer_of(op);
    }
    is_done = switch_run(paravirt_switch_uncounted) && switch_run(to_inline) &&
              loads_measure(session, loads, samples, json);
    is_done = switch_run(paravirt_switch_uncounted) && is_done; /* stopped halfway */
    is_done = layers_put_back(layers) && is_done;
    return pv_forms_set(&forms, "bench pv") && is_done ? COMMAND_OK : COMMAND_FAILED;
}
