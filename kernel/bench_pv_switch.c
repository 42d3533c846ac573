// SPDX-License-Identifier: MIT
/* `bench pv --switch`: what it costs to change all ops with all their sites, while the other CPUs
 * are idle, and while they take and release one lock. Invariant: afterwards every op has the form
 * it had; figures come from the batches' records. Called by: bench_pv.c. */
#include "arch/clock.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "kernel/bench.h"
#include "kernel/bench_pv.h"
#include "kernel/console.h"
#include "kernel/spinlock.h"
#include "kernel/table.h"
#include "patching/record.h"

static struct spinlock lock = SPINLOCK("bench pv switch");
static uint32_t pairs; /* under the lock */

/* Work of a busy CPU, between two checkpoints. */
static uint32_t lock_work(void)
{
    enum { PAIRS = 100 };

    for (unsigned i = 0; i < PAIRS; i++) {
        uint64_t flags = spinlock_lock_save(&lock);

        pairs++;
        spinlock_unlock_restore(&lock, flags);
    }
    return PAIRS;
}

struct switch_row {
    const char *change;
    enum paravirt_form to;
};

/* In this order, over and over. */
static const struct switch_row rows[] = {
    {"inline to indirect", PARAVIRT_INDIRECT},
    {"indirect to direct", PARAVIRT_DIRECT},
    {"direct to inline", PARAVIRT_INLINE},
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

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
    const struct pv_forms forms = pv_forms_all(row->to);
    uint64_t seq = patch_record_newest();
    uint64_t start_ns = clock_now_ns();

    if (!pv_forms_set(&forms, "bench pv")) {
        return false;
    }
    figures_add(figures, seq, clock_now_ns() - start_ns);
    return true;
}

static bool switches_measure(struct shell_session *session, uint64_t samples,
                             struct switch_figures figures[ROWS])
{
    const struct pv_forms start = pv_forms_all(PARAVIRT_INLINE);

    if (!pv_forms_set(&start, "bench pv")) {
        return false;
    }
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

enum command_result bench_pv_switch_run(struct shell_session *session, unsigned loads,
                                        uint64_t samples, bool json)
{
    const struct pv_forms before = pv_forms_now();
    struct table table;
    bool is_done = true;

    table_begin(&table, "bench.pv.switch", json);
    for (enum bench_load load = BENCH_LOAD_IDLE; is_done && load <= BENCH_LOAD_BUSY; load++) {
        if ((loads & 1u << load) == 0 || (load == BENCH_LOAD_BUSY && cpu_count() == 1)) {
            continue; /* no other CPU */
        }
        is_done = load_measure(session, load, samples, &table);
    }
    table_end(&table);
    return pv_forms_set(&before, "bench pv") && is_done ? COMMAND_OK : COMMAND_FAILED;
}
