// SPDX-License-Identifier: MIT
/* Names of keys, calls and their targets; see patchable.h. */
#include "kernel/patchable.h"

#include "kernel/console.h"
#include "kernel/nearest_word.h"
#include "kernel/string.h"

#define WORD_NULL "null"
#define WORD_ZERO "zero"

bool patchable_find(const char *command, const char *name, struct patchable *found)
{
    struct nearest_word nearest = {.word = name};

    *found = (struct patchable){.kind = PATCHABLE_KEY, .key = static_key_find(name)};
    if (found->key != NULL) {
        return true;
    }
    *found = (struct patchable){.kind = PATCHABLE_CALL, .call = static_call_find(name)};
    if (found->call != NULL) {
        return true;
    }
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        nearest_word_consider(&nearest, key->name);
    }
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        nearest_word_consider(&nearest, call->name);
    }
    if (nearest.best != NULL) {
        console_print("%s: no key or call is called '%s'; did you mean '%s'?\n", command, name,
                      nearest.best);
    } else {
        console_print("%s: no key or call is called '%s'; `keys` and `calls` list them\n", command,
                      name);
    }
    return false;
}

void patchable_complete(struct shell_completion *completion)
{
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        shell_completion_offer(completion, key->name);
    }
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        shell_completion_offer(completion, call->name);
    }
}

const struct static_call_choice *call_choice_find(const struct static_call *call, const char *name)
{
    for (const struct static_call_choice *choice = static_call_choices_start;
         choice < static_call_choices_end; choice++) {
        if (choice->call == call && strcmp(choice->name, name) == 0) {
            return choice;
        }
    }
    return NULL;
}

/* The word for a target that is none. NULL: the call needs one. */
static const char *empty_word(const struct static_call *call)
{
    switch (call->empty) {
    case STATIC_CALL_MAY_BE_NULL:
        return WORD_NULL;
    case STATIC_CALL_MAY_BE_ZERO:
        return WORD_ZERO;
    default:
        return NULL;
    }
}

static void print_allowed(const char *command, const struct static_call *call, const char *word)
{
    const char *separator = "";

    console_print("%s: '%s' is not a target of %s; it may go to ", command, word, call->name);
    for (const struct static_call_choice *choice = static_call_choices_start;
         choice < static_call_choices_end; choice++) {
        if (choice->call == call) {
            console_print("%s%s", separator, choice->name);
            separator = ", ";
        }
    }
    if (empty_word(call) != NULL) {
        console_print("%s%s", separator, empty_word(call));
    }
    console_print("\n");
}

bool call_target_find(const char *command, const struct static_call *call, const char *word,
                      static_call_function **target)
{
    const struct static_call_choice *choice = call_choice_find(call, word);
    bool is_empty_word = strcmp(word, WORD_NULL) == 0 || strcmp(word, WORD_ZERO) == 0;

    if (choice != NULL) {
        *target = choice->target;
        return true;
    }
    if (empty_word(call) != NULL && strcmp(word, empty_word(call)) == 0) {
        *target = NULL;
        return true;
    }
    if (is_empty_word && empty_word(call) == NULL) {
        console_print("%s: %s cannot be %s: its callers need what a target returns or does\n",
                      command, call->name, word);
    } else {
        print_allowed(command, call, word);
    }
    return false;
}

void call_targets_complete(struct shell_completion *completion, const struct static_call *call)
{
    for (const struct static_call_choice *choice = static_call_choices_start;
         choice < static_call_choices_end; choice++) {
        if (choice->call == call) {
            shell_completion_offer(completion, choice->name);
        }
    }
    if (empty_word(call) != NULL) {
        shell_completion_offer(completion, empty_word(call));
    }
}
