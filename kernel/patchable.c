// SPDX-License-Identifier: MIT
/* Names of keys, calls and their targets, and of ops; see patchable.h. */
#include "kernel/patchable.h"

#include "kernel/console.h"
#include "kernel/nearest_word.h"
#include "kernel/string.h"

#define WORD_NULL "null"
#define WORD_ZERO "zero"

/* The functions that call ops: arch/paravirt.h. */
#define OP_CALLER(name, ...) [PARAVIRT_##name] = "pv_" #name,
static const char *const op_callers[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(OP_CALLER)};

/* By its name, or that of the function that calls it. NULL: there is none. */
static struct paravirt_op *op_find(const char *name)
{
    for (unsigned i = 0; i < PARAVIRT_OP_COUNT; i++) {
        if (strcmp(paravirt_ops[i].name, name) == 0 || strcmp(op_callers[i], name) == 0) {
            return &paravirt_ops[i];
        }
    }
    return NULL;
}

static bool find(enum patchable_scope scope, const char *name, struct patchable *found)
{
    *found = (struct patchable){.kind = PATCHABLE_KEY};
    if (scope >= PATCHABLE_ALL && (found->key = static_key_find(name)) != NULL) {
        return true;
    }
    *found = (struct patchable){.kind = PATCHABLE_CALL, .call = static_call_find(name)};
    if (found->call != NULL) {
        return true;
    }
    *found = (struct patchable){.kind = PATCHABLE_LAZY, .lazy = lazy_call_find(name)};
    if (found->lazy != NULL) {
        return true;
    }
    *found = (struct patchable){.kind = PATCHABLE_DYNAMIC, .dynamic = dynamic_call_find(name)};
    if (scope == PATCHABLE_COMPOUND && found->dynamic != NULL) {
        return true;
    }
    *found = (struct patchable){.kind = PATCHABLE_OP, .op = op_find(name)};
    return scope >= PATCHABLE_ALL && found->op != NULL;
}

/* Under the name that finds them. */
static void op_for_each_name(enum patchable_scope scope,
                             void (*visit)(const char *name, void *argument), void *argument)
{
    for (unsigned i = 0; i < PARAVIRT_OP_COUNT; i++) {
        const char *name = paravirt_ops[i].name;
        struct patchable found;

        find(scope, name, &found);
        visit(found.kind == PATCHABLE_OP ? name : op_callers[i], argument);
    }
}

static void dynamic_for_each_name(void (*visit)(const char *name, void *argument), void *argument)
{
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        visit(call->name, argument);
    }
}

/* Calls visit(name, argument) for every name. */
static void for_each_name(enum patchable_scope scope,
                          void (*visit)(const char *name, void *argument), void *argument)
{
    if (scope >= PATCHABLE_ALL) {
        for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
            visit(key->name, argument);
        }
    }
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        visit(call->name, argument);
    }
    for (struct lazy_call *call = lazy_call_first(); call != NULL; call = lazy_call_next(call)) {
        visit(call->name, argument);
    }
    if (scope == PATCHABLE_COMPOUND) {
        dynamic_for_each_name(visit, argument);
    }
    if (scope >= PATCHABLE_ALL) {
        op_for_each_name(scope, visit, argument);
    }
}

static void consider(const char *name, void *nearest)
{
    nearest_word_consider(nearest, name);
}

static void offer(const char *name, void *completion)
{
    shell_completion_offer(completion, name);
}

/* Returns false if no group of ops is called @name. */
static bool group_explain(const char *command, const char *name)
{
    bool any = false;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const char *group = paravirt_ops[op].group;

        if (group != NULL && strcmp(group, name) == 0) {
            if (!any) {
                console_print("%s: '%s' is a group; one op at a time:", command, name);
            }
            console_print(" %s", paravirt_ops[op].name);
            any = true;
        }
    }
    if (any) {
        console_print("\n");
    }
    return any;
}

bool patchable_find(const char *command, enum patchable_scope scope, const char *name,
                    struct patchable *found)
{
    struct nearest_word nearest = {.word = name};
    const char *what = scope == PATCHABLE_CALLS ? "call" : "key, call or op";
    const char *lists = scope == PATCHABLE_CALLS ? "`calls` lists"
                        : scope == PATCHABLE_ALL ? "`keys`, `calls` and `pv` list"
                                                 : "`keys`, `calls`, `dyncall` and `pv` list";

    if (find(scope, name, found)) {
        return true;
    }
    if (scope != PATCHABLE_CALLS && group_explain(command, name)) {
        return false;
    }
    for_each_name(scope, consider, &nearest);
    if (nearest.best != NULL) {
        console_print("%s: there is no %s '%s'; did you mean '%s'?\n", command, what, name,
                      nearest.best);
    } else {
        console_print("%s: there is no %s '%s'; %s them\n", command, what, name, lists);
    }
    return false;
}

bool patchable_is_op(const char *name)
{
    struct patchable found;

    return find(PATCHABLE_COMPOUND, name, &found) && found.kind == PATCHABLE_OP;
}

void patchable_complete(struct shell_completion *completion, enum patchable_scope scope)
{
    for_each_name(scope, offer, completion);
}

static const char *call_name(const struct patchable *call)
{
    return call->kind == PATCHABLE_LAZY ? call->lazy->name : call->call->name;
}

/* The word for a target that is none. NULL: the call needs one. */
static const char *empty_word(const struct patchable *call)
{
    if (call->kind == PATCHABLE_LAZY || call->call->empty == STATIC_CALL_NEEDS_TARGET) {
        return NULL;
    }
    return call->call->empty == STATIC_CALL_MAY_BE_NULL ? WORD_NULL : WORD_ZERO;
}

struct choice {
    const char *name;
    patchable_target *target;
    const char *obstacle; /* NULL: possible */
};

/* Calls visit(choice, argument) for every choice of @call, until it returns true. */
static bool find_choice(const struct patchable *call,
                        bool (*visit)(const struct choice *choice, void *argument), void *argument)
{
    if (call->kind == PATCHABLE_LAZY) {
        for (const struct lazy_call_choice *entry = lazy_call_choices_start;
             entry < lazy_call_choices_end; entry++) {
            const struct choice choice = {entry->name, entry->target, NULL};
            if (entry->call == call->lazy && visit(&choice, argument)) {
                return true;
            }
        }
        return false;
    }
    for (const struct static_call_choice *entry = static_call_choices_start;
         entry < static_call_choices_end; entry++) {
        const char *obstacle = entry->obstacle != NULL ? entry->obstacle() : NULL;
        const struct choice choice = {entry->name, entry->target, obstacle};
        if (entry->call == call->call && visit(&choice, argument)) {
            return true;
        }
    }
    return false;
}

struct wanted {
    const char *word;
    struct choice choice;
};

static bool is_wanted(const struct choice *choice, void *argument)
{
    struct wanted *wanted = argument;

    wanted->choice = *choice;
    return strcmp(choice->name, wanted->word) == 0;
}

static bool print_choice(const struct choice *choice, void *argument)
{
    const char **separator = argument;

    if (choice->obstacle == NULL) {
        console_print("%s%s", *separator, choice->name);
        *separator = ", ";
    }
    return false;
}

static void print_allowed(const char *command, const struct patchable *call, const char *word)
{
    const char *separator = "";

    console_print("%s: '%s' is not a target of %s; it may go to ", command, word, call_name(call));
    find_choice(call, print_choice, &separator);
    if (empty_word(call) != NULL) {
        console_print("%s%s", separator, empty_word(call));
    } else if (*separator == '\0') {
        console_print("nothing else than it does");
    }
    console_print("\n");
}

bool patchable_target_find(const char *command, const struct patchable *call, const char *word,
                           patchable_target **target)
{
    bool is_empty_word = strcmp(word, WORD_NULL) == 0 || strcmp(word, WORD_ZERO) == 0;
    struct wanted wanted = {.word = word};

    if (find_choice(call, is_wanted, &wanted)) {
        *target = wanted.choice.target;
        if (wanted.choice.obstacle != NULL) {
            console_print("%s: %s cannot go to %s: %s\n", command, call_name(call), word,
                          wanted.choice.obstacle);
        }
        return wanted.choice.obstacle == NULL;
    }
    if (empty_word(call) != NULL && strcmp(word, empty_word(call)) == 0) {
        *target = NULL;
        return true;
    }
    if (is_empty_word && empty_word(call) == NULL) {
        console_print("%s: %s cannot be %s: its callers need what a target returns or does\n",
                      command, call_name(call), word);
    } else {
        print_allowed(command, call, word);
    }
    return false;
}

static bool offer_choice(const struct choice *choice, void *completion)
{
    if (choice->obstacle == NULL) {
        shell_completion_offer(completion, choice->name);
    }
    return false;
}

void patchable_targets_complete(struct shell_completion *completion, const char *name)
{
    struct patchable call;

    if (!find(PATCHABLE_CALLS, name, &call)) {
        return;
    }
    find_choice(&call, offer_choice, completion);
    if (empty_word(&call) != NULL) {
        shell_completion_offer(completion, empty_word(&call));
    }
}
