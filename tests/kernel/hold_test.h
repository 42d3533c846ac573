// SPDX-License-Identifier: MIT
/* Held batches as test cases. Invariant: every case flips its sites there and back, and leaves them
 * in their first form. Defined in suite_hold.c; callers: it and suite_hold_company.c. */
#pragma once

#include "bench/hold_flip.h"
#include "tests/kernel/test.h"

/* One way to patch, and what it must come to. */
struct hold_scenario {
    enum patch_protocol_id protocol;
    unsigned flags;
    uint32_t sites;
    unsigned holds; /* times that it is held */
};

#define HOLD_TIMEOUT_NS 20000000000ull

/* Flips once; expects PATCH_OK, no fault, and that it was held as often as the scenario says. */
void hold_test_flip(struct test *test, const struct hold_scenario *scenario, enum hold_form goal,
                    void (*visit)(struct hold_flip *flip));

/* Readers on every other CPU, for the case between the two. Begin returns false if the case is
 * skipped (one CPU) or cannot run; end expects that nobody has come to a mixture. */
bool hold_test_begin(struct test *test);
void hold_test_end(struct test *test, const struct hold_scenario *scenario);

/* There and back with readers; @visit looks at every hold. */
void hold_test_run(struct test *test, const struct hold_scenario *scenario,
                   void (*visit)(struct hold_flip *flip));

/* Visit: every reader runs through the sites and may get only what is allowed here; the patcher
 * too, on its own CPU. Protocol stop: nobody moves. */
void hold_visit_plain(struct hold_flip *flip);

/* Nobody but the caller moves, but NMIs are taken. Context: protocol stop, held. */
void hold_check_parked(struct hold_flip *flip);

/* There and back while all CPUs are bombarded with NMIs; in hold_storm.c. */
void hold_test_in_storm(struct test *test, const struct hold_scenario *scenario);

/* All sites; where a protocol goes from site to site, few of them; where a second site would show
 * nothing new, one. */
extern const struct hold_scenario hold_int3_all, hold_int3, hold_int3_one;
extern const struct hold_scenario hold_int3_batch, hold_qword, hold_stop;
