// SPDX-License-Identifier: MIT
/* What the verbs of the shell command pkt share: a run that is bounded in time, says every second
 * how it goes, and ends on Ctrl-C. Invariant: every run ends with its final row. Called by
 * commands_pkt.c, pkt_flood.c, pkt_count.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/shell.h"
#include "kernel/table.h"

#define PKT_SECONDS_MAX 86400u

struct pkt_run {
    struct shell_session *session;
    const char *command; /* "pkt sink", begins what it says */
    bool json;
    uint64_t began_ns, end_ns;
    uint64_t line_ns;                /* when the next line for people is due */
    uint64_t last_ns;                /* when the last one was */
    uint64_t last_count, last_bytes; /* as it said */
};

/* The seconds of @run begin now. */
void pkt_run_begin(struct pkt_run *run, uint64_t seconds);

/* Whether there is time left and no Ctrl-C. */
bool pkt_run_goes_on(const struct pkt_run *run);

/* When to look again, in clock_now_ns(): soon enough for Ctrl-C. */
uint64_t pkt_run_look_ns(const struct pkt_run *run);

/* Sleeps until then. */
void pkt_run_nap(const struct pkt_run *run);

/* Prints a line with the rates of the last second and @trouble, which is @name, if one is due. */
void pkt_run_show(struct pkt_run *run, uint64_t count, uint64_t bytes, const char *name,
                  uint64_t trouble);

/* Columns of the final row: @count under @name, with its rate, and bytes with theirs. */
void pkt_run_columns(struct table *table, uint64_t elapsed_ns, const char *name, uint64_t count,
                     uint64_t bytes);

/* COMMAND_FAILED after a Ctrl-C. */
enum command_result pkt_run_result(const struct pkt_run *run);

/* Prints that @port is taken or none is left. */
void pkt_refuse_port(const struct pkt_run *run, uint64_t port);

/* The verbs; @argv begins with the name of the run's command. */
enum command_result pkt_flood_run(struct pkt_run *run, int argc, char **argv);
enum command_result pkt_count_run(struct pkt_run *run, int argc, char **argv);
