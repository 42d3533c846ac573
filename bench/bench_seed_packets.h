// SPDX-License-Identifier: MIT
/* Seed 1 in `bench seeds`: streams of 1-byte UDP without and with dynamic calls. Called by:
 * bench_seeds.c. */
#pragma once

#include "kernel/shell.h"
#include "kernel/table.h"

#include <stdbool.h>

/* Measures one stream and four, from memory. Everything is afterwards as before. Returns false,
 * having said why. */
bool bench_seed_packets_measure(struct shell_session *session);

/* The rows, beside the published ones. */
void bench_seed_packets_print_rows(struct table *table);
