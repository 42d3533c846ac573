// SPDX-License-Identifier: MIT
/* Rows of patch records, for `pokes` and `key`. */
#pragma once

#include "kernel/table.h"
#include "patching/record.h"

void poke_table_begin(struct table *table, bool json);
void poke_table_row(struct table *table, const struct patch_record *record);
