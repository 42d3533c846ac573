// SPDX-License-Identifier: MIT
/* Rows of patch records, for `pokes` and the commands that patch. */
#pragma once

#include "kernel/table.h"
#include "patching/record.h"

void poke_table_begin(struct table *table, bool json);
void poke_table_row(struct table *table, const struct patch_record *record);

/* What a change cost: the record that @who (the same string as the batch's) left behind
 * @newest_before, or for people a line that the text is unchanged. Context: thread. */
void poke_table_print_cost(const char *who, uint64_t newest_before, bool json);
