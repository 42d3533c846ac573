// SPDX-License-Identifier: MIT
/* Words that name the targets of a dynamic call. Invariant: what is accepted is where a function of
 * the kernel begins, once, and has a slot; else one line names the word. Called by:
 * commands_dyncall.c. */
#include "kernel/console.h"
#include "kernel/dyncall_command.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "patching/function_trace.h"
#include "patching/instruction.h"

/* Where no program is, or an image that nobody is in, generated text is int3. */
static bool is_erased(uint64_t address)
{
    return *(const uint8_t *)address == INSN_INT3;
}

/* Labels inside code have a dot in their names, and so have some functions of the compiler. */
static bool function_begins_at(uint64_t address)
{
    uint64_t offset;
    const char *name = symbol_find(address, &offset);

    return name != NULL && offset == 0 &&
           (strchr(name, '.') == NULL || function_trace_find(address) < function_trace_count());
}

static void unknown_print(const struct dynamic_call *call, const char *word)
{
    struct nearest_word nearest = {.word = word};
    const char *name;
    uint64_t address;

    for (uint32_t i = 0; symbol_get(i, &name, &address); i++) {
        nearest_word_consider(&nearest, name);
    }
    console_print("dyncall: %s pin: no function is called '%s'", call->name, word);
    if (nearest.best != NULL) {
        console_print("; did you mean '%s'?", nearest.best);
    }
    console_print("\n");
}

/* Returns 0 after saying why @word is no target. */
static uint64_t target_read(const struct dynamic_call *call, const char *word)
{
    uint64_t address;

    if (!options_read_number(word, &address)) {
        address = symbol_address(word);
        if (address == 0) {
            unknown_print(call, word);
            return 0;
        }
    }
    if (!function_begins_at(address)) {
        console_print("dyncall: %s pin: no function begins at %s\n", call->name, word);
        return 0;
    }
    if (is_erased(address)) {
        console_print("dyncall: %s pin: nothing is at %s now: its program is not loaded\n",
                      call->name, word);
        return 0;
    }
    return address;
}

bool dyncall_targets_read(const struct dynamic_call *call, char **words, unsigned count,
                          struct dynamic_targets *targets)
{
    *targets = (struct dynamic_targets){.slot = {0}};
    for (unsigned i = 0; i < count; i++) {
        if (i >= call->slot_count) {
            console_print("dyncall: %s has %u slots: none is left for '%s'\n", call->name,
                          call->slot_count, words[i]);
            return false;
        }
        targets->slot[i] = target_read(call, words[i]);
        if (targets->slot[i] == 0) {
            return false;
        }
        for (unsigned before = 0; before < i; before++) {
            if (targets->slot[before] == targets->slot[i]) {
                console_print("dyncall: %s pin: '%s' stands there twice\n", call->name, words[i]);
                return false;
            }
        }
    }
    return true;
}
