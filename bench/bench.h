// SPDX-License-Identifier: MIT
/* Benches: `bench NAME`. Invariant: a bench prints what it measured, with n, and leaves keys and
 * the default protocol as it found them, Ctrl-C included. Counts come first: they compare across
 * machines, times only within one run. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bench/bench_sites.h"
#include "kernel/shell.h"
#include "patching/histogram.h"
#include "patching/poke.h"

/* The command, and what it finds behind its name: in bench.c, and each in bench_NAME.c. */
extern const struct shell_command command_bench;
extern const struct shell_command command_bench_calls;
extern const struct shell_command command_bench_dispatch;
extern const struct shell_command command_bench_dyncall;
extern const struct shell_command command_bench_ipi;
extern const struct shell_command command_bench_poke;
extern const struct shell_command command_bench_lazy;
extern const struct shell_command command_bench_grace;
extern const struct shell_command command_bench_net;
extern const struct shell_command command_bench_pv;
extern const struct shell_command command_bench_seeds;

/* `bench poke --hold STEP`: the words as `bench poke` got them; in bench_hold.c. */
enum command_result bench_hold_run(struct shell_session *session, int argc, char **argv);

/* For each bench that prints times, before it begins: false, having said so after @command, while
 * functions are traced, whose recorder would be in every one of them. In bench.c. */
bool bench_is_untraced(const char *command);

/* Of every protocol, by its id; ended by NULL. For --protocol. */
const char *const *bench_protocol_names(void);

/* What the other CPUs do while something is measured, for --load and --peer. */
enum bench_load { BENCH_LOAD_IDLE, BENCH_LOAD_BUSY };
extern const char *const bench_load_names[]; /* ended by NULL */

/* Starts one thread on every other CPU that calls work() in a loop, and waits until all of them do.
 * One load at a time. Returns false, nothing running, when memory is short. Context: thread. */
bool bench_load_start(uint32_t (*work)(void));

/* Ends the threads. Returns how often work() returned, all CPUs together. */
uint64_t bench_load_stop(void);

/* IPIs that asked CPUs to synchronize, all CPUs together: of batches and grace periods. In
 * bench_ipi.c. Context: any. */
uint64_t bench_sync_ipis_sent(void);

/* One row of `bench poke`. */
struct poke_measurement {
    uint32_t flips;
    uint32_t rounds_per_flip;   /* the same for each */
    uint32_t ipis_per_flip;     /* the most: a CPU that owes an answer from before saves some */
    uint64_t traps;             /* sum over the flips */
    uint64_t wrong_passes;      /* of busy CPUs: not each site run exactly once */
    struct histogram total_ns;  /* one sample a flip */
    struct histogram stolen_ns; /* one a flip and busy CPU: bench_runners.h */
    struct histogram handler_ticks;
};

struct poke_request {
    const char *command; /* begins what it says */
    uint32_t sites;      /* 1 to PATCH_BATCH_MAX */
    enum bench_placement placement;
    enum patch_protocol_id protocol;
    unsigned protocol_flags; /* enum patch_flag */
    unsigned busy;           /* other CPUs that run through the sites */
    uint32_t flips;          /* this many, */
    uint64_t budget_ns;      /* but after this time stop at BENCH_FLIPS_LEAST; 0: no budget */
};
#define BENCH_FLIPS_LEAST 2u

/* Flips the sites to and fro and adds up the batches' records; then puts them back by int3-batch.
 * Each batch names its own protocol: the default one is not touched. Returns COMMAND_FAILED with a
 * message when a flip failed or Ctrl-C came. Context: thread. */
enum command_result bench_poke_measure(struct shell_session *session,
                                       const struct poke_request *request,
                                       struct poke_measurement *result);
