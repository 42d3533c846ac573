// SPDX-License-Identifier: MIT
/* Dynamic calls in a defined state while packets are measured: `bench net --dyncall`, `bench
 * seeds`. Invariant: between begin and end no dynamic call of the kernel learns but those of the
 * packet path, if told to; at the end each is left to itself, off, or pinned, as it was. Functions
 * that return false have said why. Context: thread; one user at a time: the shell's bench. */
#pragma once

#include "bench/bench_net.h"

#include <stdbool.h>
#include <stdint.h>

/* For --dyncall, ended by NULL. */
extern const char *const bench_net_dyncall_words[];

/* Notes what the dynamic calls do, and switches all off. */
bool bench_net_dyncall_begin(const char *command);
bool bench_net_dyncall_end(void);

/* Gives the dynamic calls of the packet path this state. @request: for those of its card and port,
 * which have to be set up before. */
bool bench_net_dyncall_set(enum bench_net_dyncall state, const struct bench_net_request *request);

/* For those that have learnt: closes the gates, so that all go the slow way, and nobody decides
 * anything until they are opened again, with what was learnt. What is so already stays. */
bool bench_net_dyncall_open(bool is_open);

/* How many of the packet path have their gate open; hooks not counted. */
unsigned bench_net_dyncall_open_count(void);

/* Batches of patches that they have made, ever. */
uint64_t bench_net_dyncall_batches(void);
