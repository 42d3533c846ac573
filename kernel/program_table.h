// SPDX-License-Identifier: MIT
/* Rows of tables about packet programs. Invariant: rows of a kind have the same columns. Called by
 * commands_prog.c. Context: thread. */
#pragma once

#include "kernel/table.h"
#include "net/program.h"

/* A column: yes; no, it runs through the fallback; none, nobody uses it. @program may be NULL. */
void program_table_dispatched(struct table *table, const struct net_program *program);

/* A row of kind "prog": what a program is and who uses it. */
void program_table_row(struct table *table, const struct net_program *program);

/* A row of kind "prog.queue": a queue's program, and frames by verdict. */
void program_table_queue(struct table *table, const struct net_device *device, unsigned queue);

/* Rows of kind "prog.counts": what the program `count` has counted on a queue. */
void program_table_counts(struct table *table, const struct net_device *device, unsigned queue);
