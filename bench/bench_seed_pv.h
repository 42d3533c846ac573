// SPDX-License-Identifier: MIT
/* Seed 4 in `bench seeds`. Called by: bench_seeds.c. */
#pragma once

#include "kernel/shell.h"
#include "kernel/table.h"

#include <stdbool.h>

/* Reads what the listing shows, in each form, and measures. Context: platform_may_patch(). Returns
 * false, having said why; the forms are as before. */
bool bench_seed_pv_measure(struct shell_session *session);

/* The rows, beside the published ones. */
void bench_seed_pv_print_rows(struct table *table);

/* The sites of two functions, in each form, beside those of the seed; all of their instructions
 * @with_listing. */
void bench_seed_pv_print_text(bool json, bool with_listing);
