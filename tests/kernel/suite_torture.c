// SPDX-License-Identifier: MIT
/* Ten seconds under fire: every other CPU runs through the sites and checks each result while this
 * one flips keys, by one safe protocol after the other. Two checks: during a flip each site is
 * taken or skipped, never both or neither; after a flip has returned only the new branch is run,
 * anywhere.
 *
 *   flipper                                 runner
 *   epoch odd                               before = epoch (acquire)
 *   flip, returns                           result = run all sites
 *   state = new; epoch even (release)       after = epoch (acquire)
 *                                           before == after, even: result must be all of state
 *
 * Could miss a CPU that is stale only for the instant between the return of the flip and the store
 * of the epoch; and an emulator never is (tests/host runs on a real one). What flips with other
 * kinds of patches is the case of torture_everything.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "bench/bench_keys.h"
#include "kernel/thread.h"
#include "patching/poke.h"
#include "tests/kernel/test.h"
#include "tests/kernel/torture_everything.h"
#include "tests/kernel/workers.h"

#define TORTURE_NS    10000000000ull
#define SUSPECT_COUNT 4

static const uint32_t suspect_sites[SUSPECT_COUNT] = {1, 4, 56, 256};

struct suspect {
    const struct bench_key *bench;
    uint64_t epoch; /* atomic: odd during a flip */
    bool enabled;   /* written while epoch is odd */
};

static struct torture {
    struct workers workers;
    struct suspect suspects[SUSPECT_COUNT];
    uint64_t runs, settled_runs; /* atomic */
    uint64_t mixed, stale, lost; /* atomic */
    uint64_t flips[PATCH_PROTOCOL_COUNT];
} torture;

static void add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static void suspect_check(struct suspect *suspect)
{
    /* Acquire: pairs with the releases in suspect_flip(). */
    uint64_t before = __atomic_load_n(&suspect->epoch, __ATOMIC_ACQUIRE);
    bool enabled = __atomic_load_n(&suspect->enabled, __ATOMIC_RELAXED);
    uint32_t result = suspect->bench->run();
    uint64_t after = __atomic_load_n(&suspect->epoch, __ATOMIC_ACQUIRE);
    if (bench_taken(result) + bench_skipped(result) != suspect->bench->sites) {
        add(&torture.mixed, 1);
    }
    if (before == after && before % 2 == 0) {
        uint32_t wanted = enabled ? bench_taken(result) : bench_skipped(result);
        if (wanted != suspect->bench->sites) {
            add(&torture.stale, 1);
        }
        add(&torture.settled_runs, 1);
    }
    add(&torture.runs, 1);
}

static void run_and_check(void *argument)
{
    (void)argument;
    for (unsigned i = 0; !workers_should_stop(&torture.workers); i++) {
        suspect_check(&torture.suspects[i % SUSPECT_COUNT]);
    }
}

static bool suspect_flip(struct suspect *suspect)
{
    struct static_key *key = suspect->bench->key;
    __atomic_fetch_add(&suspect->epoch, 1, __ATOMIC_ACQ_REL);
    enum patch_status status = suspect->enabled ? static_key_disable(key) : static_key_enable(key);
    __atomic_store_n(&suspect->enabled, !suspect->enabled, __ATOMIC_RELAXED);
    __atomic_fetch_add(&suspect->epoch, 1, __ATOMIC_RELEASE);
    return status == PATCH_OK;
}

/* The protocols that keep their promise; int3-batch, the default, twice as often. */
static const enum patch_protocol_id protocols[] = {
    PATCH_PROTOCOL_INT3_BATCH, PATCH_PROTOCOL_INT3,  PATCH_PROTOCOL_STOP,
    PATCH_PROTOCOL_INT3_BATCH, PATCH_PROTOCOL_QWORD,
};
#define PROTOCOL_TURNS (sizeof(protocols) / sizeof(protocols[0]))

/* The protocol of flip number @turn of suspect @which. int3 only for few sites: with more CPUs than
 * the host has, a sync takes as long as the host's time slices. */
static enum patch_protocol_id protocol_choose(unsigned which, unsigned turn)
{
    enum patch_protocol_id id = protocols[turn % PROTOCOL_TURNS];
    bool too_long = id == PATCH_PROTOCOL_INT3 && suspect_sites[which] > 4;
    return too_long ? PATCH_PROTOCOL_INT3_BATCH : id;
}

/* However slow the machine is, once with each protocol: two flips in a row share one. */
static void torture_flip_until(struct test *test, uint64_t deadline)
{
    for (unsigned i = 0; i < 2 * PROTOCOL_TURNS || clock_now_ns() < deadline; i++) {
        if (test_should_stop(test)) {
            test_skip(test, "stopped by Ctrl-C");
            return;
        }
        unsigned which = i % 16 < 12 ? i % 2 : i % SUSPECT_COUNT;
        enum patch_protocol_id protocol = protocol_choose(which, i / 2);
        EXPECT_EQUAL(test, patch_protocol_set_default(protocol, 0), PATCH_OK);
        torture.lost += !suspect_flip(&torture.suspects[which]);
        torture.flips[protocol]++;
    }
}

/* Every protocol that should have had its turns has had them. */
static void expect_all_protocols(struct test *test)
{
    for (unsigned i = 0; i < PROTOCOL_TURNS; i++) {
        EXPECT(test, torture.flips[protocols[i]] > 0);
    }
}

static void call_sites_survive_ten_seconds_under_fire(struct test *test)
{
    enum patch_protocol_id before = patch_protocol_default();
    torture = (struct torture){0};
    for (unsigned i = 0; i < SUSPECT_COUNT; i++) {
        torture.suspects[i].bench = bench_key_find(suspect_sites[i]);
    }
    if (!EXPECT(test, workers_start(&torture.workers, false, run_and_check, NULL))) {
        return;
    }
    torture_flip_until(test, clock_now_ns() + test_torture_ns(TORTURE_NS));
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    for (unsigned i = 0; i < SUSPECT_COUNT; i++) {
        if (torture.suspects[i].enabled) {
            torture.lost += !suspect_flip(&torture.suspects[i]);
        }
    }
    workers_join(&torture.workers);
    EXPECT_EQUAL(test, patch_protocol_set_default(before, 0), PATCH_OK);
    EXPECT_EQUAL(test, torture.mixed, 0);
    EXPECT_EQUAL(test, torture.stale, 0);
    EXPECT_EQUAL(test, torture.lost, 0);
    if (test->skip_reason == NULL) {
        expect_all_protocols(test);
    }
    EXPECT(test, cpu_count() == 1 || test->skip_reason != NULL || torture.settled_runs > 0);
}

static const struct test_case cases[] = {
    TEST_CASE(call_sites_survive_ten_seconds_under_fire),
    TEST_CASE(everything_that_is_patched_changes_at_once),
};

const struct test_suite suite_torture = TEST_SUITE("torture", cases);
