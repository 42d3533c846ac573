// SPDX-License-Identifier: MIT
/* Worlds for the policy of dynamic calls: a sequence of targets, a processor that predicts what it
 * has seen follow the same few targets before, a machine that counts, times and patches. Invariant:
 * a world counts batches itself, and checks each wish: who may be in the slots, when the gate may
 * be open, that nothing is changed to what it is. Used by: test_dynamic_choice.c,
 * test_dynamic_properties.c. */
#pragma once

#include "patching/dynamic_choice.h"

#include <stdbool.h>
#include <stdint.h>

#define SECOND   1000000000ull
#define MINUTE   (60 * SECOND)
#define BATCH_NS 100000ull

enum {
    WORLD_TARGETS = 64,  /* numbers; the address of one is 0x1000 and 16 for each */
    WORLD_HISTORY = 1024 /* what the processor remembers */
};

enum sequence_kind {
    SEQUENCE_CONSTANT,
    SEQUENCE_BURSTS, /* 19 in 20 are as the one before */
    SEQUENCE_ROBIN,
    SEQUENCE_ZIPF,
    SEQUENCE_RANDOM,
    SEQUENCE_MOSTLY, /* `share` of 1000 calls go to the first target, the rest at random */
    SEQUENCE_KINDS
};

struct sequence {
    enum sequence_kind kind;
    uint32_t targets;
    uint32_t first;       /* number of the first target */
    uint32_t phase_calls; /* after so many calls, others: the next ones; 0: never */
    uint32_t share;
    bool is_reversed; /* the others have lower numbers than the first, not higher ones */
};

struct world {
    struct dynamic_choice choice;
    struct sequence sequence;
    uint32_t slots;
    uint32_t calls; /* in an epoch */
    double noise;   /* each timed epoch is off by up to this share, either way */
    uint64_t change_ns;
    bool is_untimed; /* calls never come in a row: trial_break() */
    bool is_refused; /* no batch succeeds */
    /* what the call is: */
    struct dynamic_targets slot_targets;
    bool is_open, is_watched;
    uint64_t now_ns;
    uint64_t batches, changes, epochs; /* epochs: not those of trials */
    uint64_t forgotten;                /* batches that forgetting made */
    uint64_t counted;                  /* epochs in a row in which each call was counted */
    /* what it is made of: */
    uint64_t random, made; /* made: calls */
    uint32_t last;
    uint64_t history;
    uint8_t predicted[2][WORLD_HISTORY];
    bool seen[WORLD_TARGETS]; /* and not forgotten */
};

/* Learning is on. Random, but the same for one @seed. */
struct world world_make(struct sequence sequence, uint32_t slots, uint64_t seed);

/* Carries out the wish, if the call is not so; then an epoch passes. */
void world_step(struct world *world);
void world_run(struct world *world, uint64_t ns);

void world_forget(struct world *world, uint32_t target);

uint64_t world_address(uint32_t target);
uint64_t world_ticks_to_ns(uint64_t ticks);
double world_fraction(struct world *world); /* 0 to 1, random */

/* The costs of a call that an epoch of each way would measure, without noise. */
double world_cost(struct world *world, bool is_chain);

/* For tests: */
struct sequence world_sequence(enum sequence_kind kind, uint32_t targets);
struct world world_steady(struct sequence sequence, uint32_t slots, uint64_t seed); /* 20 s old */
bool world_has(const struct world *world, uint32_t target);                         /* in a slot */
void world_expect(const struct world *world, enum dynamic_state state, enum dynamic_reason reason);
unsigned world_decided_by(const struct world *world, enum dynamic_reason reason);
const struct dynamic_decision *world_decision(const struct world *world); /* the last */
