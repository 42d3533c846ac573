// SPDX-License-Identifier: MIT
/* Static keys on the running kernel: branches, counts, races of users, transactions. */
#include "arch/clock.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "bench/bench_keys.h"
#include "kernel/patch_hold.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/static_key.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define POLL_NS     100000ull
#define PATIENCE_NS 10000000000ull /* for what comes soon or never */

DEFINE_STATIC_KEY_TRUE(test_true);
DEFINE_STATIC_KEY_FALSE(test_false);
DEFINE_STATIC_KEY_FALSE(test_race);

/* One bit a branch form. */
static __attribute__((noinline)) uint32_t branches_run(void)
{
    uint32_t bits = 0;
    if (static_branch_likely(&test_true)) {
        bits |= 1;
    }
    if (static_branch_unlikely(&test_true)) {
        bits |= 2;
    }
    if (static_branch_likely(&test_false)) {
        bits |= 4;
    }
    if (static_branch_unlikely(&test_false)) {
        bits |= 8;
    }
    if (static_branch_likely_long(&test_true)) {
        bits |= 16;
    }
    if (static_branch_unlikely_long(&test_false)) {
        bits |= 32;
    }
    if (static_branch_unlikely(&test_race)) {
        bits |= 64;
    }
    return bits;
}

static void branches_follow_their_keys(struct test *test)
{
    EXPECT_EQUAL(test, branches_run(), 1 | 2 | 16);
    EXPECT_EQUAL(test, static_key_enable(&test_false), PATCH_OK);
    EXPECT_EQUAL(test, branches_run(), 63);
    EXPECT_EQUAL(test, static_key_disable(&test_true), PATCH_OK);
    EXPECT_EQUAL(test, branches_run(), 4 | 8 | 32);
    EXPECT_EQUAL(test, static_key_enable(&test_true), PATCH_OK);
    EXPECT_EQUAL(test, static_key_disable(&test_false), PATCH_OK);
    EXPECT_EQUAL(test, branches_run(), 1 | 2 | 16);
}

static void both_lengths_are_in_use(struct test *test)
{
    bool two = false;
    bool five = false;
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        for (uint32_t i = 0; i < key->site_count; i++) {
            two |= key->sites[i].length == 2;
            five |= key->sites[i].length == 5;
        }
    }
    EXPECT(test, two);
    EXPECT(test, five);
}

static void bench_keys_have_their_sites(struct test *test)
{
    for (size_t i = 0; i < bench_key_count; i++) {
        const struct bench_key *bench = &bench_keys[i];
        EXPECT_EQUAL(test, bench->key->site_count, bench->sites);
        EXPECT_EQUAL(test, bench_skipped(bench->run()), bench->sites);
        EXPECT_EQUAL(test, bench_taken(bench->run()), 0);
    }
}

static void users_are_counted(struct test *test)
{
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, static_key_increment(&test_race), PATCH_OK);
    EXPECT_EQUAL(test, static_key_increment(&test_race), PATCH_OK);
    EXPECT_EQUAL(test, static_key_count(&test_race), 2);
    EXPECT_EQUAL(test, static_key_disable(&test_race), PATCH_ERR_IN_USE);
    EXPECT_EQUAL(test, static_key_decrement(&test_race), PATCH_OK);
    EXPECT(test, static_key_is_enabled(&test_race));
    EXPECT_EQUAL(test, static_key_decrement(&test_race), PATCH_OK);
    EXPECT(test, !static_key_is_enabled(&test_race));
    EXPECT_EQUAL(test, static_key_decrement(&test_race), PATCH_ERR_NOT_ENABLED);
    EXPECT_EQUAL(test, static_key_count(&test_race), 0);
    EXPECT_EQUAL(test, patch_record_newest() - newest, 2); /* first and last user patch */
}

static void flip_to_the_same_state_is_free(struct test *test)
{
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, static_key_disable(&test_false), PATCH_OK);
    EXPECT_EQUAL(test, static_key_enable(&test_true), PATCH_OK);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
}

static void flip_costs_what_plan_said(struct test *test)
{
    for (size_t i = 0; i < bench_key_count; i++) {
        struct static_key *key = bench_keys[i].key;
        struct patch_plan plan;
        struct patch_record record;
        EXPECT_EQUAL(test, static_key_plan(key, true, NULL, NULL, &plan, NULL), PATCH_OK);
        EXPECT_EQUAL(test, plan.sites, bench_keys[i].sites);
        EXPECT_EQUAL(test, plan.rounds, 3);
        EXPECT_EQUAL(test, plan.ipis, 3 * (cpu_count() - 1));
        EXPECT_EQUAL(test, static_key_enable(key), PATCH_OK);
        EXPECT(test, patch_record_get(patch_record_newest(), &record));
        EXPECT_EQUAL(test, record.rounds, plan.rounds);
        EXPECT_EQUAL(test, record.ipis, plan.ipis);
        EXPECT_EQUAL(test, record.sites, plan.sites);
        EXPECT_EQUAL(test, bench_taken(bench_keys[i].run()), bench_keys[i].sites);
        EXPECT_EQUAL(test, static_key_disable(key), PATCH_OK);
    }
}

static void transaction_flips_all_keys_in_one_batch(struct test *test)
{
    struct patch_change on[] = {static_key_change_to(bench_key_find(4)->key, true),
                                static_key_change_to(bench_key_find(56)->key, true),
                                static_key_change_to(&test_true, false)};
    struct patch_change back[] = {static_key_change_to(bench_key_find(4)->key, false),
                                  static_key_change_to(bench_key_find(56)->key, false),
                                  static_key_change_to(&test_true, true)};
    struct patch_record record;
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, patch_transaction("test three", on, 3, NULL), PATCH_OK);
    EXPECT_EQUAL(test, patch_record_newest(), newest + 1);
    EXPECT(test, patch_record_get(newest + 1, &record));
    EXPECT_EQUAL(test, record.rounds, 3);
    EXPECT_EQUAL(test, record.sites, 4 + 56 + test_true.site_count);
    EXPECT_EQUAL(test, bench_taken(bench_key_find(56)->run()), 56);
    EXPECT_EQUAL(test, patch_transaction("test three", back, 3, NULL), PATCH_OK);
    EXPECT_EQUAL(test, bench_taken(bench_key_find(56)->run()), 0);
}

/* All or nothing: the second key refuses, so the first must not have changed. */
static void transaction_with_a_refusal_changes_nothing(struct test *test)
{
    struct static_key *four = bench_key_find(4)->key;
    struct patch_change changes[] = {static_key_change_to(four, true),
                                     static_key_change_to(&test_race, false)};
    struct patch_error error;
    EXPECT_EQUAL(test, static_key_increment(&test_race), PATCH_OK);
    EXPECT_EQUAL(test, static_key_increment(&test_race), PATCH_OK);
    EXPECT_EQUAL(test, patch_transaction("test refusal", changes, 2, &error), PATCH_ERR_IN_USE);
    EXPECT(test, error.name != NULL && strcmp(error.name, "test_race") == 0);
    EXPECT(test, !static_key_is_enabled(four));
    EXPECT_EQUAL(test, bench_taken(bench_key_find(4)->run()), 0);
    EXPECT_EQUAL(test, static_key_decrement(&test_race), PATCH_OK);
    EXPECT_EQUAL(test, static_key_decrement(&test_race), PATCH_OK);
    struct patch_change twice[] = {static_key_change_to(four, true),
                                   static_key_change_to(four, true)};
    EXPECT_EQUAL(test, patch_transaction("test twice", twice, 2, &error), PATCH_ERR_DUPLICATE);
    EXPECT(test, !static_key_is_enabled(four));
}

static void flip_with_interrupts_off_is_refused(struct test *test)
{
    uint64_t flags = interrupts_save();
    enum patch_status status = static_key_enable(&test_false);
    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    EXPECT(test, !static_key_is_enabled(&test_false));
}

/* Races of users. While a thread holds a use, the branch must be taken for it: an increment that
 * returns before the text is enabled, or a decrement that disables under somebody, is seen at once
 * by the thread it hurts. Counts must end at 0. Could miss a race too narrow for some thousand
 * tries on the CPUs at hand; tests/host repeats it on real cores. */
#define RACE_NS 1000000000ull

static struct race {
    struct workers workers;
    uint32_t not_taken;
    uint32_t refused;
} race;

static void use_the_key(void *argument)
{
    (void)argument;
    const struct bench_key *bench = bench_key_find(4);
    uint64_t end = clock_now_ns() + RACE_NS;
    for (unsigned i = 0; clock_now_ns() < end; i++) {
        if (static_key_increment(bench->key) != PATCH_OK) {
            __atomic_fetch_add(&race.refused, 1, __ATOMIC_RELAXED);
            continue;
        }
        if (bench_taken(bench->run()) != 4) {
            __atomic_fetch_add(&race.not_taken, 1, __ATOMIC_RELAXED);
        }
        if (i % 7 == 0) {
            thread_yield();
        }
        if (static_key_decrement(bench->key) != PATCH_OK) {
            __atomic_fetch_add(&race.refused, 1, __ATOMIC_RELAXED);
        }
    }
}

static void racing_users_always_find_it_enabled(struct test *test)
{
    race = (struct race){0};
    if (!EXPECT(test, workers_start(&race.workers, true, use_the_key, NULL))) {
        return;
    }
    workers_join(&race.workers);
    EXPECT_EQUAL(test, race.not_taken, 0);
    EXPECT_EQUAL(test, race.refused, 0);
    EXPECT_EQUAL(test, static_key_count(bench_key_find(4)->key), 0);
    EXPECT_EQUAL(test, bench_skipped(bench_key_find(4)->run()), 4);
}

/* The narrow case, made wide: the flip stands still between its first store and its first sync, and
 * somebody else asks for a use of the key. Until the flip goes on, he gets none: he blocks. Mutant:
 * enabled-before-the-text. */
static struct narrow {
    struct static_key *key;
    struct thread *user;
    bool is_held;                 /* atomic */
    bool has_returned;            /* atomic: the user's increment */
    bool returned_early, blocked; /* as seen while the flip stood still */
    enum patch_status status;
    uint32_t taken;
} narrow;

static void use_while_held(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&narrow.is_held, __ATOMIC_ACQUIRE)) {
        thread_sleep_ns(POLL_NS);
    }
    narrow.status = static_key_increment(narrow.key);
    __atomic_store_n(&narrow.has_returned, true, __ATOMIC_RELEASE);
    narrow.taken = bench_taken(bench_key_find(4)->run());
}

static void hold_until_the_user_blocks(enum patch_step step, enum patch_moment moment,
                                       void *argument)
{
    uint64_t limit = clock_now_ns() + PATIENCE_NS;

    (void)argument;
    if (step != PATCH_STEP_INT3 || moment != PATCH_MOMENT_WRITTEN) {
        return;
    }
    __atomic_store_n(&narrow.is_held, true, __ATOMIC_RELEASE);
    do {
        thread_sleep_ns(POLL_NS);
        narrow.blocked = __atomic_load_n(&narrow.user->state, __ATOMIC_ACQUIRE) == THREAD_BLOCKED;
        narrow.returned_early = __atomic_load_n(&narrow.has_returned, __ATOMIC_ACQUIRE);
    } while (!narrow.blocked && !narrow.returned_early && clock_now_ns() < limit);
}

static void user_waits_until_the_text_is_enabled(struct test *test)
{
    narrow = (struct narrow){.key = bench_key_find(4)->key};
    narrow.user = thread_create("key user", THREAD_ANY_CPU, use_while_held, NULL);
    if (!EXPECT(test, narrow.user != NULL)) {
        return;
    }
    patch_hold_set(hold_until_the_user_blocks, NULL);
    EXPECT_EQUAL(test, static_key_enable(narrow.key), PATCH_OK);
    patch_hold_set(NULL, NULL);
    EXPECT(test, narrow.is_held);
    __atomic_store_n(&narrow.is_held, true, __ATOMIC_RELEASE); /* also where nothing was held */
    thread_join(narrow.user);
    EXPECT(test, narrow.blocked);
    EXPECT(test, !narrow.returned_early);
    EXPECT_EQUAL(test, narrow.status, PATCH_OK);
    EXPECT_EQUAL(test, narrow.taken, 4);
    EXPECT_EQUAL(test, static_key_count(narrow.key), 2);
    EXPECT_EQUAL(test, static_key_decrement(narrow.key), PATCH_OK);
    EXPECT_EQUAL(test, static_key_disable(narrow.key), PATCH_OK);
}

/* The patcher runs into its own sites: the keys on the path of patching itself. */
static void patcher_survives_its_own_sites(struct test *test)
{
    const char *const names[] = {"ipi_trace", "sched_stats"};
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 2; i++) {
            struct static_key *key = static_key_find(names[i]);
            if (!EXPECT(test, key != NULL) || static_key_count(key) != 0) {
                return;
            }
            EXPECT_EQUAL(test, static_key_enable(key), PATCH_OK);
            EXPECT_EQUAL(test, static_key_disable(key), PATCH_OK);
        }
    }
}

static const struct test_case cases[] = {
    TEST_CASE(branches_follow_their_keys),
    TEST_CASE(both_lengths_are_in_use),
    TEST_CASE(bench_keys_have_their_sites),
    TEST_CASE(users_are_counted),
    TEST_CASE(flip_to_the_same_state_is_free),
    TEST_CASE(flip_costs_what_plan_said),
    TEST_CASE(transaction_flips_all_keys_in_one_batch),
    TEST_CASE(transaction_with_a_refusal_changes_nothing),
    TEST_CASE(flip_with_interrupts_off_is_refused),
    TEST_CASE(racing_users_always_find_it_enabled),
    TEST_CASE(user_waits_until_the_text_is_enabled),
    TEST_CASE(patcher_survives_its_own_sites),
};

const struct test_suite suite_static_key = TEST_SUITE("static_key", cases);
