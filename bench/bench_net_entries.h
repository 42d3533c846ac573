// SPDX-License-Identifier: MIT
/* `bench net --entries`: the program of mode drop in a dispatcher with others, as in seed 3's
 * table. Invariant: the dispatcher receive is empty before and afterwards, and has the shape it
 * had. Called by: bench_net.c, bench_seed_dispatch.c. */
#pragma once

#include "bench/bench_net.h"
#include "kernel/shell.h"
#include "patching/dispatcher_image.h"

#include <stdbool.h>
#include <stdint.h>

/* For --entries, ended by NULL: 0: the program runs through the fallback alone; full: so it does
 * behind 64 others. And for --shape: all shapes and auto, which is number DISPATCHER_SHAPE_COUNT.
 */
enum {
    BENCH_NET_NONE, /* "0" */
    BENCH_NET_FULL = 8,
    BENCH_NET_ENTRIES,
};
extern const char *const bench_net_entry_words[BENCH_NET_ENTRIES + 1];
const char *const *bench_net_shape_words(void);

/* How many entries choice @choice has, the program that drops included if it is one. */
uint32_t bench_net_entry_count(unsigned choice);

/* Each returns false, having said why. Context: thread. Before all rows, and after them: */
bool bench_net_entries_begin(const char *command);
bool bench_net_entries_end(void);

/* Whether that can be begun: false, having said why, if the dispatcher has entries. */
bool bench_net_entries_can_begin(const char *command);

/* Frames from memory that a program drops in a second, through the fallback alone and through the
 * tree of choice @choice: runs in turn, medians of each, median and range of what the tree gains in
 * the two runs of a pair. Everything is afterwards as before. */
struct bench_net_rates {
    int64_t without, with; /* packets a second */
    int64_t percent, percent_min, percent_max;
};
bool bench_net_drop_rates(struct shell_session *session, const char *command, unsigned choice,
                          struct bench_net_rates *rates);

/* Ascending. */
void bench_net_figures_sort(int64_t *figures, unsigned count);

/* Before the mode begins: brings in the others of @choice. */
bool bench_net_entries_fill(unsigned choice);

/* When the mode has begun: gives the dispatcher the shape, or lets it choose one for its traffic;
 * *@chosen is what it has then. */
bool bench_net_entries_shape(struct shell_session *session, const struct bench_net_request *request,
                             const struct bench_net_mode *mode, unsigned choice,
                             enum dispatcher_shape shape, enum dispatcher_shape *chosen);
