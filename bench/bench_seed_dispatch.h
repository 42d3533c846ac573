// SPDX-License-Identifier: MIT
/* Seed 3 in `bench seeds`. Called by: bench_seeds.c. */
#pragma once

#include "kernel/shell.h"
#include "kernel/table.h"

#include <stdbool.h>

/* Whether the dispatcher of packet programs is empty; false: it has said how to make it so. */
bool bench_seed_dispatch_is_possible(void);

/* Measures packets a second by entries, from memory. Returns false, having said why. */
bool bench_seed_dispatch_measure(struct shell_session *session);

/* The rows, beside the published ones. */
void bench_seed_dispatch_print_rows(struct table *table);

/* Whether the image for the seed's 16 addresses is the seed's listing, and all of its instructions
 * @with_listing. */
void bench_seed_dispatch_print_listing(bool json, bool with_listing);
