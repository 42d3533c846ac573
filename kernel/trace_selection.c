// SPDX-License-Identifier: MIT
/* Patterns to functions; see trace_selection.h. */
#include "kernel/trace_selection.h"

#include "arch/paging.h"
#include "kernel/console.h"
#include "kernel/glob.h"
#include "kernel/heap.h"
#include "kernel/nearest_word.h"
#include "kernel/symbols.h"
#include "patching/function_trace.h"

bool trace_selection_open(struct trace_selection *selection, const char *command)
{
    selection->count = 0;
    selection->chosen = heap_allocate(function_trace_count());
    if (selection->chosen == NULL) {
        console_print("%s: out of memory for a choice of %u functions\n", command,
                      function_trace_count());
    }
    return selection->chosen != NULL;
}

void trace_selection_close(struct trace_selection *selection)
{
    heap_free(selection->chosen);
    selection->chosen = NULL;
}

static void choose(struct trace_selection *selection, uint32_t index)
{
    selection->count += !selection->chosen[index];
    selection->chosen[index] = true;
}

void trace_selection_add_all(struct trace_selection *selection)
{
    for (uint32_t i = 0; i < function_trace_count(); i++) {
        choose(selection, i);
    }
}

bool trace_selection_is_nopatch(uint64_t address)
{
    return address >= (uint64_t)nopatch_start && address < (uint64_t)nopatch_end;
}

/* The longest pattern of which a name may be meant, without its wildcards. */
static const char *pattern_core(const char *pattern, char text[NEAREST_WORD_MAX + 1])
{
    size_t length = 0;

    for (; *pattern != '\0' && length < NEAREST_WORD_MAX; pattern++) {
        if (*pattern != '*' && *pattern != '?') {
            text[length++] = *pattern;
        }
    }
    text[length] = '\0';
    return text;
}

void trace_selection_explain(const char *command, const char *pattern)
{
    char core[NEAREST_WORD_MAX + 1];
    struct nearest_word nearest = {.word = pattern_core(pattern, core)};
    const char *name;
    uint64_t address;
    unsigned nopatch = 0;
    unsigned others = 0;

    for (uint32_t i = 0; symbol_get(i, &name, &address); i++) {
        if (glob_match(pattern, name)) {
            bool is_nopatch = trace_selection_is_nopatch(address);

            nopatch += is_nopatch;
            others += !is_nopatch;
        }
        if (function_trace_find(address) < function_trace_count()) {
            nearest_word_consider(&nearest, name);
        }
    }
    if (nopatch != 0) {
        console_print("%s: '%s' is in .text.nopatch: it runs while other text is half written, or "
                      "records the calls; it cannot be traced\n",
                      command, pattern);
    } else if (others != 0) {
        console_print("%s: '%s' has no entry to patch: assembler code, or what runs before a CPU "
                      "can take traps\n",
                      command, pattern);
    } else if (nearest.best != NULL) {
        console_print("%s: no function matches '%s'; did you mean '%s'?\n", command, pattern,
                      nearest.best);
    } else {
        console_print("%s: no function matches '%s'; `trace list` shows all\n", command, pattern);
    }
}

bool trace_selection_add(struct trace_selection *selection, const char *command,
                         const char *pattern)
{
    unsigned matches = 0;

    if (!glob_is_valid(pattern)) {
        console_print("%s: '%s': a '[' lacks its ']'\n", command, pattern);
        return false;
    }
    for (uint32_t i = 0; i < function_trace_count(); i++) {
        uint64_t offset;
        const char *name = symbol_find(function_trace_address(i), &offset);

        if (name != NULL && offset == 0 && glob_match(pattern, name)) {
            choose(selection, i);
            matches++;
        }
    }
    if (matches == 0) {
        trace_selection_explain(command, pattern);
    }
    return matches != 0;
}
