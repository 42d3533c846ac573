// SPDX-License-Identifier: MIT
/* The shell: reads command lines, runs commands, remembers failures. Invariant: a command that
 * fails says why, and the shell goes on. shell_run() is the body of the shell's thread; commands
 * are listed in kernel/command_table.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum command_result {
    COMMAND_OK,
    COMMAND_FAILED, /* the command has printed what went wrong */
    COMMAND_USAGE,  /* the command has printed which word is wrong; the shell prints its usage line
                     */
};

struct shell_session {
    bool any_failed; /* some command has not ended with COMMAND_OK */
};

/* One completion in progress: commands offer words; those that begin as typed count. */
struct shell_completion;

struct shell_command {
    const char *name;
    const char *summary; /* one line for `help`, no full stop */
    const char *usage;   /* "key NAME on|off|inc|dec [-j]"; words that begin with '-' are completed
                            from here */
    const char *example; /* one command line that works */
    const char *details; /* more lines for `help CMD`: units, meaning of the columns; NULL if there
                            are none */
    enum command_result (*run)(struct shell_session *session, int argc, char **argv);
    /* Offers the possible words for argv[argument], by shell_completion_offer(); NULL if there are
     * none to offer. argv holds the words before it. */
    void (*complete)(struct shell_completion *completion, int argument, char **argv);
    /* Commands behind this one's name, as `bench poke`: for their usage, Tab and `help bench poke`;
     * run() finds its way by shell_find_part(). NULL-ended; NULL if there are none. */
    const struct shell_command *const *parts;
};

/* kernel/command_table.c, in the order of `help`, ended by NULL. */
extern const struct shell_command *const shell_commands[];

/* Runs the commands of run=, then reads commands for ever.
 * Context: thread, interrupts on. */
_Noreturn void shell_run(void);

/* Runs a list "CMD; CMD", each echoed behind the prompt if @echo. @text is changed. A failed
 * command does not stop the list, Ctrl-C does. Context: thread, interrupts on. */
void shell_execute(struct shell_session *session, char *text, bool echo);

/* Whether the user wants the running command to stop (Ctrl-C). Long commands ask at least every 100
 * ms, in nobody's callback (a checkpoint: kernel/grace_period.h), and end with COMMAND_FAILED. */
bool shell_interrupted(const struct shell_session *session);

/* Returns the command, or NULL. */
const struct shell_command *shell_find_command(const char *name);

/* Returns the part of @command that is called @name, or NULL. */
const struct shell_command *shell_find_part(const struct shell_command *command, const char *name);

/* Returns the name of the part that @word may have meant, or NULL. */
const char *shell_nearest_part(const struct shell_command *command, const char *word);

/* Returns the name of the command that @word may have meant, or NULL. */
const char *shell_nearest_command(const char *word);

/* Offers @word as a completion. */
void shell_completion_offer(struct shell_completion *completion, const char *word);

/* Offers a NULL-ended list of words. */
void shell_completion_offer_all(struct shell_completion *completion, const char *const *words);
