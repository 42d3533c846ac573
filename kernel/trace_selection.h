// SPDX-License-Identifier: MIT
/* Functions chosen by patterns (kernel/glob.h). Invariant: what a pattern adds can be traced; one
 * that adds nothing is refused by a line that says why. Called by the `trace` command:
 *
 *     struct trace_selection selection;
 *     if (trace_selection_open(&selection, "trace on") &&
 *         trace_selection_add(&selection, "trace on", "sched_*")) ...
 *     trace_selection_close(&selection); */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct trace_selection {
    uint8_t *chosen; /* one a function, by the index of function_trace.h; NULL: out of memory */
    uint32_t count;  /* functions chosen */
};

/* @command begins each error line. Returns false, having said so, without memory. */
bool trace_selection_open(struct trace_selection *selection, const char *command);
void trace_selection_close(struct trace_selection *selection);

void trace_selection_add_all(struct trace_selection *selection);

/* Adds what matches @pattern. Returns false, having said why, if it is no pattern, or nothing that
 * can be traced matches. */
bool trace_selection_add(struct trace_selection *selection, const char *command,
                         const char *pattern);

/* Whether @address lies in .text.nopatch, where nothing has an entry. */
bool trace_selection_is_nopatch(uint64_t address);

/* Says why nothing that can be traced matches @pattern: .text.nopatch, or no such name. */
void trace_selection_explain(const char *command, const char *pattern);
