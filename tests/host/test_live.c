// SPDX-License-Identifier: MIT
/* 100,000 flips on the real CPU, while other threads run through the sites all the time: every kind
 * of instruction at every placement with every split (live_sites.h), by every protocol but naive,
 * from two threads at once: one applies batches, one flips static keys. Detects:
 *   a mixture   what runs is neither the old instruction nor the new one
 *   staleness   the old one runs although the flip has returned:
 *
 *     patcher                                 runner
 *     epoch odd                               before = epoch (acquire)
 *     flip, returns                           runs all sites of the suspect
 *     state = new; epoch even (release)       after = epoch (acquire)
 *                                             before == after, even: all must be in that state
 *
 * and, under the sanitizers, races in the handler and in the keys. Could miss windows of a few
 * instructions: the recorder and tests/model have no luck to rely on. That it can fail:
 * `make silicon` shows the same sites being torn by naive. */
#include "patching/platform.h"
#include "patching/poke.h"
#include "patching/static_key.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"
#include "tests/host/live_sites.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef FLIPS        /* a tenth under the thread sanitizer: live.mk */
#define FLIPS 100000 /* LIVE_FLIPS in the environment overrides it */
#endif

enum {
    FLIPS_LEAST = 1000,     /* fewer might meet no int3 of some protocol */
    FLIPS_MOST = 100000000, /* its percentage fits an unsigned */
    KEY_FLIPS_PERCENT = 20, /* of them */
    SITES_MAX = 512,
    GROUPS = 16,
    KEYS = 2,
    SUSPECTS = GROUPS + KEYS,
    RUNNERS = 2,
    BATCH_PATCHER_CPU = RUNNERS,
    KEY_PATCHER_CPU,
    INT3_EVERY = 128, /* 3 syncs a site */
    STOP_EVERY = 256, /* waits until every runner has been on a CPU */
    HELD = 64,        /* steps of each protocol */
    HELD_US = 1000,   /* at most */
};

DEFINE_STATIC_KEY_FALSE(key_starts_off);
DEFINE_STATIC_KEY_TRUE(key_starts_on);

/* What is flipped as one. */
struct suspect {
    _Alignas(64) uint64_t epoch; /* atomic: odd during a flip */
    unsigned state;              /* atomic; written while epoch is odd. 0: old, 1: new */
    unsigned (*key_run)(void);   /* or NULL: the group of sites of the same number */
    struct static_key *key;
};

/* How many branches, or sites, ran as which. */
struct tally {
    uint64_t states[2];
    uint64_t mixed;
};

static struct live_site sites[SITES_MAX];
static size_t site_count;
static struct patch_batch batch;

static unsigned batch_flips, key_flips;
static unsigned runners_stop, runners_started;    /* atomic */
static uint64_t runs, settled_runs, mixed, stale; /* atomic */
static uint64_t batch_failures,
    traps[PATCH_PROTOCOL_COUNT]; /* of the thread that applies batches */

/* One bit for each branch that is taken. */
static unsigned off_branches(void)
{
    return (static_branch_unlikely(&key_starts_off) ? 1u : 0u) |
           (static_branch_likely_long(&key_starts_off) ? 2u : 0u);
}

static unsigned on_branches(void)
{
    return (static_branch_likely(&key_starts_on) ? 1u : 0u) |
           (static_branch_unlikely_long(&key_starts_on) ? 2u : 0u);
}

static struct suspect suspects[SUSPECTS] = {
    [GROUPS] = {.key_run = off_branches, .key = &key_starts_off},
    [GROUPS + 1] = {.key_run = on_branches, .key = &key_starts_on, .state = 1},
};

static void add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED); /* read after the thread was joined */
}

static struct tally key_tally(const struct suspect *suspect)
{
    unsigned taken = suspect->key_run();
    unsigned enabled = (taken & 1) + (taken >> 1);

    return (struct tally){.states = {2 - enabled, enabled}};
}

static struct tally group_tally(size_t group)
{
    struct tally tally = {0};

    for (size_t i = group; i < site_count; i += GROUPS) {
        uint32_t result = sites[i].run();

        if (result == sites[i].results[0]) {
            tally.states[0]++;
        } else if (result == sites[i].results[1]) {
            tally.states[1]++;
        } else {
            tally.mixed++;
        }
    }
    return tally;
}

static void suspect_check(size_t number)
{
    struct suspect *suspect = &suspects[number];
    /* Acquire, both: pair with the releases in flip_begin() and flip_end(). */
    uint64_t before = __atomic_load_n(&suspect->epoch, __ATOMIC_ACQUIRE);
    unsigned state = __atomic_load_n(&suspect->state, __ATOMIC_RELAXED);
    struct tally tally = suspect->key != NULL ? key_tally(suspect) : group_tally(number);
    uint64_t after = __atomic_load_n(&suspect->epoch, __ATOMIC_ACQUIRE);

    add(&runs, 1);
    add(&mixed, tally.mixed);
    if (before == after && before % 2 == 0) {
        add(&settled_runs, 1);
        add(&stale, tally.states[1 - state]);
    }
}

static void *run_and_check(void *argument)
{
    live_enter_cpu((unsigned)(uintptr_t)argument);
    __atomic_fetch_add(&runners_started, 1, __ATOMIC_RELEASE);
    for (size_t i = 0; !__atomic_load_n(&runners_stop, __ATOMIC_ACQUIRE); i++) {
        suspect_check(i % SUSPECTS);
    }
    live_leave_cpu();
    return NULL;
}

/* Acquire and release: nothing of the flip moves before it. */
static void flip_begin(struct suspect *suspect)
{
    __atomic_fetch_add(&suspect->epoch, 1, __ATOMIC_ACQ_REL);
}

static void flip_end(struct suspect *suspect)
{
    __atomic_store_n(&suspect->state, 1 - suspect->state, __ATOMIC_RELAXED);
    __atomic_fetch_add(&suspect->epoch, 1, __ATOMIC_RELEASE);
}

static enum patch_protocol_id protocol_of(unsigned flip)
{
    if (flip % INT3_EVERY == 0) {
        return PATCH_PROTOCOL_INT3;
    }
    if (flip % STOP_EVERY == 1) {
        return PATCH_PROTOCOL_STOP;
    }
    return flip % 2 == 0 ? PATCH_PROTOCOL_INT3_BATCH : PATCH_PROTOCOL_QWORD;
}

static enum patch_status group_flip(size_t group, enum patch_protocol_id protocol)
{
    struct suspect *suspect = &suspects[group];
    enum patch_status status = PATCH_OK;

    patch_batch_initialize(&batch, "group");
    batch.protocol = protocol;
    for (size_t i = group; i < site_count && status == PATCH_OK; i += GROUPS) {
        status = live_site_add(&batch, &sites[i], 1 - suspect->state);
    }
    flip_begin(suspect);
    if (status == PATCH_OK) {
        status = patch_batch_apply(&batch);
    }
    flip_end(suspect);
    traps[protocol] += batch.record.traps;
    return status;
}

static void *apply_batches(void *argument)
{
    uint64_t random = 1;

    live_enter_cpu((unsigned)(uintptr_t)argument);
    for (unsigned flip = 0; flip < batch_flips; flip++) {
        batch_failures += group_flip(next_random(&random) % GROUPS, protocol_of(flip)) != PATCH_OK;
    }
    live_leave_cpu();
    return NULL;
}

static void *flip_keys(void *argument)
{
    uintptr_t failures = 0;

    live_enter_cpu((unsigned)(uintptr_t)argument);
    for (unsigned flip = 0; flip < key_flips; flip++) {
        struct suspect *suspect = &suspects[GROUPS + flip % KEYS];

        failures += patch_protocol_set_default(protocol_of(flip / KEYS), 0) != PATCH_OK;
        flip_begin(suspect);
        failures += (suspect->state ? static_key_disable(suspect->key)
                                    : static_key_enable(suspect->key)) != PATCH_OK;
        flip_end(suspect);
    }
    live_leave_cpu();
    return (void *)failures;
}

static bool has_two_cpus(void)
{
    cpu_set_t allowed;

    return sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

/* Holds the first steps of each protocol while int3 stands, until somebody has run everything: on a
 * busy machine no runner might be on a CPU in the microseconds of a flip. Only for the thread that
 * applies batches: the batch is its own. */
static void hold_until_met(enum patch_step step, enum patch_moment moment)
{
    static unsigned held[PATCH_PROTOCOL_COUNT];
    uint64_t enough = __atomic_load_n(&runs, __ATOMIC_RELAXED) + RUNNERS * SUSPECTS;

    if (platform_cpu_index() != BATCH_PATCHER_CPU || step != PATCH_STEP_INT3 ||
        moment != PATCH_MOMENT_SYNCED || held[batch.protocol]++ >= HELD) {
        return;
    }
    for (unsigned us = 0; us < HELD_US && __atomic_load_n(&runs, __ATOMIC_RELAXED) < enough; us++) {
        usleep(1);
    }
}

static void runners_begin(pthread_t threads[RUNNERS])
{
    for (uintptr_t i = 0; i < RUNNERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_and_check, (void *)i), 0);
    }
    while (__atomic_load_n(&runners_started, __ATOMIC_ACQUIRE) < RUNNERS) {
        sched_yield(); /* the race begins when they run */
    }
}

static void runners_end(pthread_t threads[RUNNERS])
{
    __atomic_store_n(&runners_stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < RUNNERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void report(void)
{
    print_message("# %u flips, %zu sites; %lu runs, %lu settled; traps: int3 %lu, int3-batch %lu, "
                  "qword %lu, stop %lu\n",
                  batch_flips + key_flips, site_count, runs, settled_runs,
                  traps[PATCH_PROTOCOL_INT3], traps[PATCH_PROTOCOL_INT3_BATCH],
                  traps[PATCH_PROTOCOL_QWORD], traps[PATCH_PROTOCOL_STOP]);
}

static void threads_run_whole_and_current_instructions_through_all_flips(void **state)
{
    pthread_t runners[RUNNERS];
    pthread_t patchers[2];
    void *key_failures;

    (void)state;
    live_set_hold(hold_until_met);
    runners_begin(runners);
    assert_int_equal(
        pthread_create(&patchers[0], NULL, apply_batches, (void *)(uintptr_t)BATCH_PATCHER_CPU), 0);
    assert_int_equal(
        pthread_create(&patchers[1], NULL, flip_keys, (void *)(uintptr_t)KEY_PATCHER_CPU), 0);
    assert_int_equal(pthread_join(patchers[0], NULL), 0);
    assert_int_equal(pthread_join(patchers[1], &key_failures), 0);
    runners_end(runners);
    live_set_hold(NULL);
    report();

    assert_int_equal(mixed, 0);
    assert_int_equal(stale, 0);
    assert_int_equal(batch_failures, 0);
    assert_null(key_failures);
    assert_true(settled_runs > 0);
    assert_int_equal(traps[PATCH_PROTOCOL_STOP], 0);
    if (has_two_cpus()) { /* else a thread must be preempted in the middle of a flip */
        assert_true(traps[PATCH_PROTOCOL_INT3] > 0);
        assert_true(traps[PATCH_PROTOCOL_INT3_BATCH] > 0);
        assert_true(traps[PATCH_PROTOCOL_QWORD] > 0);
    }
}

/* In random order, so that each group has something of everything. */
static void sites_shuffle(void)
{
    uint64_t random = 2;

    for (size_t i = site_count; i > 1; i--) {
        size_t other = next_random(&random) % i;
        struct live_site swapped = sites[other];

        sites[other] = sites[i - 1];
        sites[i - 1] = swapped;
    }
}

/* The number that @word, decimal digits alone, names; 0 if it is none that can be run. */
static unsigned flips_parse(const char *word)
{
    size_t digits = strspn(word, "0123456789");
    unsigned long flips = digits > 0 && word[digits] == '\0' ? strtoul(word, NULL, 10) : 0;

    return flips >= FLIPS_LEAST && flips <= FLIPS_MOST ? (unsigned)flips : 0;
}

static void numbers_of_flips_that_would_show_nothing_are_refused(void **state)
{
    static const char *const bad[] = {"",    "0",    "-1",    "+5000",     " 5000",
                                      "abc", "999",  "5000x", "100000001", "18446744073709556616",
                                      "1e6", "5000 "};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (flips_parse(bad[i]) != 0) {
            fail_msg("'%s' is taken for %u", bad[i], flips_parse(bad[i]));
        }
    }
    assert_int_equal(flips_parse("1000"), 1000);
    assert_int_equal(flips_parse("100000000"), 100000000);
}

/* Returns false, and says why, if LIVE_FLIPS is no number of flips. */
static bool flips_divide(void)
{
    const char *wanted = getenv("LIVE_FLIPS");
    unsigned flips = wanted != NULL ? flips_parse(wanted) : FLIPS;

    if (flips == 0) {
        print_message("LIVE_FLIPS='%s': no number from %d to %d\n", wanted, FLIPS_LEAST,
                      FLIPS_MOST);
        return false;
    }
    key_flips = flips * KEY_FLIPS_PERCENT / 100;
    batch_flips = flips - key_flips;
    return true;
}

static int group_setup(void **state)
{
    const char *why_not = live_initialize();

    (void)state;
    if (why_not == NULL) {
        why_not = live_sites_initialize();
    }
    if (why_not == NULL && static_key_initialize(NULL) != PATCH_OK) {
        why_not = "static keys: not initialized";
    }
    if (why_not != NULL) {
        print_message("%s\n", why_not);
        return -1;
    }
    site_count = live_sites_make_all(sites, SITES_MAX);
    sites_shuffle();
    return flips_divide() && site_count > GROUPS ? 0 : -1;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(numbers_of_flips_that_would_show_nothing_are_refused),
    cmocka_unit_test(threads_run_whole_and_current_instructions_through_all_flips),
};

HOST_TEST_MAIN(tests, group_setup)
