// SPDX-License-Identifier: MIT
/* What `silicon` prints: tables for people, or one JSON object a line. Invariant: both show the
 * same fields; a row that cannot be written ends the program with status 1. Used by: main.c and the
 * measurements.
 *
 *     report_begin("silicon.sync", "Sync");
 *     report_text("what", "busy"); report_count("n", 1000); report_real("p50_ns", 9876.5);
 *     report_row();                            (and the next row, with the same fields) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

void report_begin(const char *kind, const char *title);
void report_text(const char *name, const char *value);
void report_count(const char *name, uint64_t value);
void report_real(const char *name, double value);
void report_figure(const char *name, double value); /* negative: was not measured */
void report_truth(const char *name, bool value);
void report_none(const char *name);     /* a number that was not measured */
void report_no_truth(const char *name); /* neither true nor false: not measured */
void report_row(void);

/* A line between tables: what was not measured, and why. */
__attribute__((format(printf, 1, 2))) void report_note(const char *format, ...);

/* Ends the program with status 1 and a message if what was printed so far cannot be written. */
void report_flush(void);

/* What is being measured just now: on the terminal, replaced by the next line of any kind. */
__attribute__((format(printf, 1, 2))) void report_progress(const char *format, ...);
