// SPDX-License-Identifier: MIT
/* The kernel command line: words NAME=VALUE, with quotes. Invariant: a word that is not understood
 * or a value that is not allowed is named in a warning, and the default stands. Called by
 * kernel_main() and by whoever owns an option: run= (shell), loglevel= (log, set here), cpus= (SMP
 * start), idle= (idle.c), dispatch= (choice_worker.c), dyncall= and dyncall_form= (dynamic_pass.c),
 * protocol=, mitigation=, sync_timeout_ms= and grace_timeout_ms= (patching; main.c), ip= and gw=
 * (net, handed on by main.c), static_call_updates=, dynamic_call_changes= and paravirt_switches=
 * (tests/kernel). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMMAND_LINE_MAX       4095 /* characters */
#define COMMAND_LINE_WORDS_MAX 32

struct command_line_word {
    const char *name;
    const char *value; /* NULL: the word has no '=' */
    bool known;
};

/* Copies and splits @text (NULL: empty), drops the kernel's file name in front, applies loglevel=,
 * and warns; also when whoever fetched @text had to cut its end off (@is_cut). Context: boot CPU,
 * once, when the log works. */
void command_line_initialize(const char *text, bool is_cut);

/* Returns the value of NAME=VALUE, the last one given, or NULL. */
const char *command_line_get(const char *name);

/* Sets *@value if @name was given as a number between @minimum and @maximum; warns and leaves
 * *@value alone if it was given as anything else. */
void command_line_get_number(const char *name, uint64_t minimum, uint64_t maximum, uint64_t *value);

/* Sets *@index to the place of @name's value among @choices (ended by NULL); warns and leaves it
 * alone if it is not among them. */
void command_line_get_choice(const char *name, const char *const *choices, uint64_t *index);

/* The words, for the `cmdline` command. */
size_t command_line_word_count(void);
const struct command_line_word *command_line_word(size_t index);
