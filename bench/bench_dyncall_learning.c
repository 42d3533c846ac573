// SPDX-License-Identifier: MIT
/* `bench dyncall --learning`: what it takes to learn a sequence, to stay with it, and to learn it
 * anew with other targets. Invariant: as bench_dyncall.h; IPIs are those of all CPUs' counters,
 * grace periods included. Called by: bench_dyncall.c. */
#include "arch/clock.h"
#include "bench/bench.h"
#include "bench/bench_dyncall.h"

#define PATIENCE_NS 30000000000ull
#define STEADY_NS   3000000000ull
#define OTHERS      32u /* by so many numbers the targets of a large sequence move */

/* What is counted up, and when. */
struct account {
    uint64_t epochs, updates, batches, rounds, ipis, grace_periods, now_ns;
};

static struct account account_read(struct dynamic_call *call)
{
    struct dynamic_call_view view;
    struct dynamic_auto_view learnt;

    dynamic_call_look(call, &view);
    dynamic_auto_look(call, &learnt);
    return (struct account){
        .epochs = learnt.epochs,
        .updates = view.statistics.changes,
        .batches = view.statistics.batches,
        .rounds = view.statistics.rounds,
        .ipis = bench_sync_ipis_sent(),
        .grace_periods = view.statistics.grace_periods,
        .now_ns = clock_now_ns(),
    };
}

static struct account account_since(struct dynamic_call *call, const struct account *before)
{
    const struct account now = account_read(call);

    return (struct account){
        .epochs = now.epochs - before->epochs,
        .updates = now.updates - before->updates,
        .batches = now.batches - before->batches,
        .rounds = now.rounds - before->rounds,
        .ipis = now.ipis - before->ipis,
        .grace_periods = now.grace_periods - before->grace_periods,
        .now_ns = now.now_ns - before->now_ns,
    };
}

static void row_print(struct table *table, const struct dyncall_size *size,
                      enum dyncall_sequence sequence, const char *phase, const struct account *took)
{
    struct dynamic_auto_view view;

    dynamic_auto_look(size->call, &view);
    table_row(table);
    table_text(table, "sequence", 13, dyncall_sequence_name(sequence));
    table_number(table, "slots", 5, size->call->slot_count);
    table_text(table, "phase", 6, phase);
    table_text(table, "state", 8, dynamic_state_name(view.state));
    table_text(table, "reason", 13, dynamic_reason_name(view.reason));
    table_number(table, "epochs", 6, took->epochs);
    table_number(table, "updates", 7, took->updates);
    table_number(table, "batches", 7, took->batches);
    table_number(table, "rounds", 6, took->rounds);
    table_number(table, "grace_periods", 0, took->grace_periods);
    table_number(table, "ipis", 6, took->ipis);
    table_thousandths(table, "updates_per_s", 0,
                      (int64_t)(took->updates * 1000000000000 / took->now_ns));
    table_thousandths(table, "ipis_per_s", 9, (int64_t)(took->ipis * 1000000000000 / took->now_ns));
    table_time(table, "time_ns", 9, took->now_ns);
    table_end_row(table);
}

static bool is_never(void *context)
{
    (void)context;
    return false;
}

/* The targets move to others, as far as there are any. */
static void targets_move(enum dyncall_sequence sequence)
{
    static uint8_t numbers[DISPATCH_SEQUENCE];
    uint32_t targets = dyncall_sequence_targets(sequence);
    uint32_t by = targets <= OTHERS ? targets : OTHERS;

    dyncall_sequence_generate(sequence, numbers);
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        numbers[i] = (uint8_t)((numbers[i] + by) % DYNCALL_TARGETS_MAX);
    }
    dispatch_loops_set(numbers);
}

/* Whether slots have changed, and learning has settled. */
struct relearning {
    struct dynamic_call *call;
    uint64_t updates;
};

static bool is_relearnt(void *context)
{
    const struct relearning *relearning = context;

    return account_read(relearning->call).updates != relearning->updates &&
           dyncall_state_is_settled(relearning->call);
}

/* One phase, and its row. */
static bool phase_run(const struct dyncall_state *state, const struct dyncall_size *size,
                      enum dyncall_sequence sequence, const char *phase,
                      bool (*is_done)(void *context), void *context, uint64_t limit_ns,
                      struct table *table)
{
    const struct account before = account_read(size->call);

    if (!dyncall_state_drive(state, size, is_done, context, limit_ns)) {
        return false;
    }
    const struct account took = account_since(size->call, &before);

    row_print(table, size, sequence, phase, &took);
    return true;
}

static bool phases_run(const struct dyncall_state *state, const struct dyncall_size *size,
                       enum dyncall_sequence sequence, struct table *table)
{
    struct relearning relearning = {.call = size->call};
    struct dynamic_auto_view view;

    if (!phase_run(state, size, sequence, "learn", dyncall_state_is_settled, size->call,
                   PATIENCE_NS, table) ||
        !phase_run(state, size, sequence, "steady", is_never, NULL, STEADY_NS, table)) {
        return false;
    }
    dynamic_auto_look(size->call, &view);
    if (view.state != DYNAMIC_STABLE) {
        return true; /* nothing is learnt that could change */
    }
    targets_move(sequence);
    relearning.updates = account_read(size->call).updates;
    return phase_run(state, size, sequence, "change", is_relearnt, &relearning, PATIENCE_NS, table);
}

bool dyncall_learning_run(const struct dyncall_state *state, const struct dyncall_size *size,
                          enum dyncall_sequence sequence, struct table *table)
{
    static const struct dynamic_call_form nothing = {.is_open = false};
    bool done = dyncall_state_form(state, size, &nothing) &&
                dyncall_state_learn(state, size, true) && phases_run(state, size, sequence, table);

    return dyncall_state_learn(state, size, false) && done;
}
