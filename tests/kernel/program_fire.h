// SPDX-License-Identifier: MIT
/* Packet programs on cards in memory, and frames from all CPUs at once. Invariant: the frames of a
 * fire go to the card's queues in turn, each once. Callers: suite_program.c,
 * suite_dynamic_users.c. */
#pragma once

#include "net/program.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#include <stdbool.h>
#include <stdint.h>

#define PROGRAM_FIRE_NS 1500000000ull /* how long a case keeps it up */

/* Always the same verdict. */
unsigned program_says_drop(const void *context, const void *instructions);
unsigned program_says_pass(const void *context, const void *instructions);

/* Expects that it is done. */
void program_attach(struct test *test, struct fake_nic *nic, uint32_t queue,
                    struct net_program *program);

struct program_fire {
    struct fake_nic *nic;
    struct workers workers;
    uint32_t word, gave_up; /* atomic */
};

/* Returns false after a failed expectation: memory is short. Context: thread, as below. */
bool program_fire_begin(struct test *test, struct program_fire *fire, struct fake_nic *nic);

/* Ends it, and expects that each frame came in and had one verdict: there was a program for each
 * queue at every instant, and nobody else sent. */
void program_fire_end(struct test *test, struct program_fire *fire);
