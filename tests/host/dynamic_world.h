// SPDX-License-Identifier: MIT
/* A world for automatic learning over the recorder: the test plays callers, worker and clock. Calls
 * go through compiled call sites and must arrive; what each costs is as if a processor could
 * foretell what the test says it can. Invariant: time never goes back. Used by:
 * test_dynamic_auto*.c. */
#pragma once

#include "patching/dynamic_auto.h"
#include "tests/host/dynamics.h"

#define MILLISECOND 1000000ull
#define SECOND      1000000000ull

enum { WORLD_CALLS = 100 }; /* a millisecond */

/* What a call costs, in ticks; the recorder's clock makes 10 of its own at each look. */
struct world_cost {
    unsigned slow, hit, miss; /* hit, miss: through the chain */
};

struct world {
    const struct dynamic_subject *subject;
    unsigned (*target)(uint64_t call); /* number of the target of each call */
    struct world_cost cost;
    unsigned calls; /* a millisecond; 0: none */
    bool waits;     /* callers wait between calls, and say so */
    uint64_t made;  /* calls, so far */
    uint64_t due_ns;
    struct dynamic_count counts[DYNAMIC_CPUS];
};

extern uint64_t world_now_ns;

/* The second has no subject unless a test gives it one. */
extern struct world world, other_world;

/* Sequences. */
unsigned always_first(uint64_t call);
unsigned always_second(uint64_t call);
unsigned in_turns(uint64_t call); /* of the first two */
unsigned seven_of_eight_first(uint64_t call);
unsigned at_random(uint64_t call); /* of all */

/* Lets them call, and steps the one that is due, for @ns. */
void world_run(uint64_t ns);
/* Until the state of world is @state, but not for ever. */
void world_run_until(enum dynamic_state state);
void world_switch(bool is_on);

/* What the text is; fails unless all calls arrive. */
void world_expect(enum dynamic_state state, const char *slots, bool is_open, bool is_watched);
/* Lets them call for @ns; fails if one byte of text is written, or one IPI sent. */
void world_expect_silence(uint64_t ns);
/* Fails unless @cost is what a trial works out where calls cost @ticks. */
void world_expect_cost(uint64_t cost, unsigned ticks);
struct dynamic_auto_view world_look(void);
struct dynamic_call_statistics world_statistics(void);
struct dynamic_decision world_last_decision(void);

int world_setup(void **state);
int world_teardown(void **state);
#define WORLD_TEST(function) cmocka_unit_test_setup_teardown(function, world_setup, world_teardown)
