// SPDX-License-Identifier: MIT
/* Static calls on the running kernel: every kind of site in every state; callers on all CPUs while
 * one updates; updaters on all CPUs.
 *
 * The races count targets round: update number n goes to target n modulo CALL_TARGETS, target 0
 * being none (returns 0, or does nothing).
 *
 *   updater                                caller
 *   started = n (release)                  before = finished (acquire)
 *   static_call_update(n), returns         calls, reaches target t
 *   finished = n (release)                 after = started (acquire)
 *                                          t must be one of before .. after
 *
 * So a call that begins behind the return of an update never reaches an older target. Could miss
 * what is stale for less than a call, and an emulator is stale never: tests/host runs the same on a
 * real CPU. A race is RACE_NS long every day; static_call_updates=100000 on the kernel command line
 * makes it that many updates long. */
#include "arch/clock.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "bench/bench_keys.h"
#include "kernel/command_line.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/static_call.h"
#include "patching/static_key.h"
#include "tests/kernel/call_subjects.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define RACE_NS      500000000ull
#define UPDATES_MOST 10000000

/* In a long race callers rest behind so many calls. On a host with fewer cores than we have CPUs an
 * update would wait for the time slices of them all. */
#define BURST   64
#define REST_NS 100000ull

static bool update(struct test *test, const struct call_subject *subject, unsigned target)
{
    return EXPECT_EQUAL(test, static_call_set(subject->call, subject->targets[target], NULL),
                        PATCH_OK);
}

static bool form(struct test *test, const struct call_subject *subject, enum static_call_form form)
{
    return EXPECT_EQUAL(test, static_call_set_form(subject->call, form, NULL), PATCH_OK);
}

/* As it was defined. */
static void put_back(struct test *test, const struct call_subject *subject)
{
    form(test, subject, subject->form);
    update(test, subject, subject->initial);
}

static void expect_reached(struct test *test, const struct call_subject *subject, unsigned target)
{
    for (unsigned way = 0; way < CALL_WAYS; way++) {
        EXPECT_EQUAL(test, subject->reach(way), target);
    }
}

static void every_kind_of_site_follows_every_update(struct test *test)
{
    static const struct call_subject *const all[] = {&call_returning, &call_writing, &call_outer};
    for (unsigned i = 0; i < 3; i++) {
        expect_reached(test, all[i], all[i]->initial);
        for (unsigned target = all[i]->initial; target < CALL_TARGETS; target++) {
            unsigned first = all[i]->initial;
            unsigned next = first + (target + 3) % (CALL_TARGETS - first); /* not the next target */
            form(test, all[i], STATIC_CALL_INLINE);
            update(test, all[i], target);
            expect_reached(test, all[i], target);
            form(test, all[i], STATIC_CALL_OUT_OF_LINE); /* now the trampoline counts */
            expect_reached(test, all[i], target);
            update(test, all[i], next);
            expect_reached(test, all[i], next);
        }
        put_back(test, all[i]);
    }
}

static void every_kind_of_site_is_in_the_table(struct test *test)
{
    unsigned kinds[3] = {0};
    for (uint32_t i = 0; i < call_returning.call->site_count; i++) {
        kinds[call_returning.call->sites[i].kind % 3]++;
    }
    EXPECT(test, kinds[CALL_SITE_CALL] >= 1);
    EXPECT(test, kinds[CALL_SITE_JUMP] >= 1);
    EXPECT(test, kinds[CALL_SITE_JUMP_IF] >= 1);
    EXPECT_EQUAL(test, call_uncalled.call->site_count, 0);
}

static void conditional_call_that_is_not_taken_does_nothing(struct test *test)
{
    for (unsigned target = 0; target < 2; target++) {
        update(test, &call_returning, target);
        EXPECT_EQUAL(test, call_returning_not_taken(), 99);
    }
    put_back(test, &call_returning);
}

static void expect_record(struct test *test, const struct call_subject *subject, uint32_t sites)
{
    struct patch_record record;
    EXPECT(test, patch_record_get(patch_record_newest(), &record));
    EXPECT(test, strcmp(record.who, subject->call->name) == 0);
    EXPECT_EQUAL(test, record.rounds, 3);
    EXPECT_EQUAL(test, record.ipis, 3 * (cpu_count() - 1));
    EXPECT_EQUAL(test, record.sites, sites);
    EXPECT(test, record.caller != 0);
}

static void update_costs_what_plan_said(struct test *test)
{
    static const struct call_subject *const all[] = {&call_returning, &call_writing, &call_outer};
    for (unsigned i = 0; i < 3; i++) {
        const struct call_subject *subject = all[i];
        bool is_inline = static_call_form(subject->call) == STATIC_CALL_INLINE;
        uint32_t sites = 1 + (is_inline ? subject->call->site_count : 0);
        struct patch_plan plan;
        EXPECT_EQUAL(test,
                     static_call_plan(subject->call, subject->targets[2], NULL, NULL, &plan, NULL),
                     PATCH_OK);
        EXPECT_EQUAL(test, plan.sites, sites);
        EXPECT_EQUAL(test, plan.rounds, 3);
        EXPECT_EQUAL(test, plan.ipis, 3 * (cpu_count() - 1));
        expect_reached(test, subject, subject->initial);
        update(test, subject, 2);
        expect_record(test, subject, sites);
        uint64_t newest = patch_record_newest();
        update(test, subject, 2);
        EXPECT_EQUAL(test, patch_record_newest(), newest); /* the same target is free */
        put_back(test, subject);
    }
}

static void expect_refused(struct test *test, const struct call_subject *subject,
                           static_call_function *target, enum patch_status status)
{
    struct patch_error error = {0};
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, static_call_set(subject->call, target, &error), status);
    EXPECT(test, error.name != NULL && strcmp(error.name, subject->call->name) == 0);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
    expect_reached(test, subject, subject->initial);
}

static void bad_targets_are_refused_and_named(struct test *test)
{
    uint64_t trampoline = call_returning.call->trampoline;
    expect_refused(test, &call_outer, NULL, PATCH_ERR_NO_TARGET);
    expect_refused(test, &call_returning, (static_call_function *)0x1000000000, PATCH_ERR_RANGE);
    expect_refused(test, &call_returning, (static_call_function *)trampoline,
                   PATCH_ERR_TARGET_IN_SITE);
    uint64_t flags = interrupts_save();
    enum patch_status status =
        static_call_set(call_returning.call, call_returning.targets[1], NULL);
    enum patch_status form_status =
        static_call_set_form(call_returning.call, STATIC_CALL_OUT_OF_LINE, NULL);
    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    EXPECT_EQUAL(test, form_status, PATCH_ERR_CONTEXT);
    expect_reached(test, &call_returning, 0);
}

static void transaction_changes_calls_and_keys_in_one_batch(struct test *test)
{
    const struct bench_key *four = bench_key_find(4);
    for (unsigned on = 1; on <= 1; on--) {
        struct patch_change changes[] = {
            static_call_change_to(call_returning.call, call_returning.targets[on]),
            static_key_change_to(four->key, on),
            static_call_change_to(call_writing.call, call_writing.targets[on]),
        };
        uint64_t newest = patch_record_newest();
        EXPECT_EQUAL(test, patch_transaction("test calls and keys", changes, 3, NULL), PATCH_OK);
        EXPECT_EQUAL(test, patch_record_newest(), newest + 1);
        expect_reached(test, &call_returning, on);
        expect_reached(test, &call_writing, on);
        EXPECT_EQUAL(test, bench_taken(four->run()), on ? 4 : 0);
    }
}

static void transaction_with_a_refusal_changes_nothing(struct test *test)
{
    struct patch_change changes[] = {
        static_call_change_to(call_returning.call, call_returning.targets[1]),
        static_key_change_to(bench_key_find(4)->key, true),
        static_call_change_to(call_outer.call, NULL),
    };
    struct patch_error error = {0};
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, patch_transaction("test refusal", changes, 3, &error), PATCH_ERR_NO_TARGET);
    EXPECT(test, error.name != NULL && strcmp(error.name, "test_outer") == 0);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
    expect_reached(test, &call_returning, 0);
    EXPECT_EQUAL(test, bench_taken(bench_key_find(4)->run()), 0);
    changes[2] = changes[0];
    EXPECT_EQUAL(test, patch_transaction("test twice", changes, 3, &error), PATCH_ERR_DUPLICATE);
    expect_reached(test, &call_returning, 0);
}

static struct race {
    struct workers workers;
    const struct call_subject *subject;
    uint64_t started, finished; /* atomic: see above */
    uint64_t calls, misses;     /* atomic */
    uint64_t refused;           /* atomic */
    uint64_t updates;           /* how many; 0: as many as fit in before */
    uint64_t end_ns;
} race;

static void race_begin(const struct call_subject *subject)
{
    race = (struct race){.subject = subject, .end_ns = clock_now_ns() + RACE_NS};
    command_line_get_number("static_call_updates", 1, UPDATES_MOST, &race.updates);
}

/* Whether a race goes on behind update number @done: until every target has had its turn at least.
 */
static bool race_goes_on(uint64_t done)
{
    if (race.updates != 0) {
        return done < race.updates;
    }
    return done <= CALL_TARGETS || clock_now_ns() < race.end_ns;
}

static bool is_one_of(uint64_t target, uint64_t before, uint64_t after)
{
    return target < CALL_TARGETS &&
           (after - before >= CALL_TARGETS - 1 ||
            (target + CALL_TARGETS - before % CALL_TARGETS) % CALL_TARGETS <= after - before);
}

static void call_all_the_time(void *argument)
{
    (void)argument;
    uint64_t calls = 0;
    uint64_t misses = 0;
    while (!workers_should_stop(&race.workers)) {
        for (unsigned way = 0; way < CALL_WAYS; way++) {
            /* Acquire, both: pair with the releases in update_many(). */
            uint64_t before = __atomic_load_n(&race.finished, __ATOMIC_ACQUIRE);
            uint64_t target = race.subject->reach(way);
            uint64_t after = __atomic_load_n(&race.started, __ATOMIC_ACQUIRE);
            calls++;
            misses += !is_one_of(target, before, after);
        }
        if (race.updates != 0 && calls % BURST == 0) {
            thread_sleep_ns(REST_NS);
        }
    }
    __atomic_fetch_add(&race.calls, calls, __ATOMIC_RELAXED);
    __atomic_fetch_add(&race.misses, misses, __ATOMIC_RELAXED);
}

static void update_many(struct test *test, const struct call_subject *subject)
{
    uint64_t failures = 0;
    uint64_t number = 0;
    while (race_goes_on(number) && !test_should_stop(test)) {
        number++;
        /* Release: whoever reads it knows the updates before; below: is behind this one. */
        __atomic_store_n(&race.started, number, __ATOMIC_RELEASE);
        failures += static_call_set(subject->call, subject->targets[number % CALL_TARGETS], NULL) !=
                    PATCH_OK;
        __atomic_store_n(&race.finished, number, __ATOMIC_RELEASE);
    }
    EXPECT_EQUAL(test, failures, 0);
    if (test_should_stop(test)) {
        test_skip(test, "stopped by Ctrl-C");
    }
}

static void race_run(struct test *test, const struct call_subject *subject,
                     enum static_call_form wanted)
{
    form(test, subject, wanted);
    update(test, subject, 0);
    race_begin(subject);
    if (EXPECT(test, workers_start(&race.workers, false, call_all_the_time, NULL))) {
        update_many(test, subject);
        workers_join(&race.workers);
        EXPECT_EQUAL(test, race.misses, 0);
        EXPECT(test, race.calls > 0 || cpu_count() == 1);
    }
    put_back(test, subject);
}

static void inline_call_reaches_old_or_new_and_then_only_new(struct test *test)
{
    race_run(test, &call_returning, STATIC_CALL_INLINE);
}

static void inline_call_without_result_reaches_old_or_new_and_then_only_new(struct test *test)
{
    race_run(test, &call_writing, STATIC_CALL_INLINE);
}

static void call_out_of_line_reaches_old_or_new_and_then_only_new(struct test *test)
{
    race_run(test, &call_returning, STATIC_CALL_OUT_OF_LINE);
}

static void call_that_nobody_makes_is_updated_all_the_same(struct test *test)
{
    uint64_t newest = patch_record_newest();
    race_begin(&call_uncalled);
    update_many(test, &call_uncalled);
    EXPECT_EQUAL(test, patch_record_newest() - newest, race.finished);
    put_back(test, &call_uncalled);
}

/* Each CPU has targets of its own, none of them shared; the one that ends last decides. */
static void update_to_own_targets(void *argument)
{
    (void)argument;
    unsigned own = 1 + cpu_index() % (CALL_TARGETS - 1);
    for (unsigned i = 0; i % 2 == 1 || clock_now_ns() < race.end_ns; i++) {
        unsigned target = i % 2 == 0 ? own : 0; /* always ends with none */
        if (static_call_set(call_returning.call, call_returning.targets[target], NULL) !=
            PATCH_OK) {
            __atomic_fetch_add(&race.refused, 1, __ATOMIC_RELAXED);
        }
        uint64_t reached = call_returning.reach(i % CALL_WAYS); /* anybody's, but somebody's */
        if (reached >= CALL_TARGETS) {
            __atomic_fetch_add(&race.misses, 1, __ATOMIC_RELAXED);
        }
    }
}

static void racing_updaters_leave_text_and_target_in_step(struct test *test)
{
    race_begin(&call_returning);
    if (EXPECT(test, workers_start(&race.workers, true, update_to_own_targets, NULL))) {
        workers_join(&race.workers);
        EXPECT_EQUAL(test, race.refused, 0);
        EXPECT_EQUAL(test, race.misses, 0);
        EXPECT(test, static_call_target(call_returning.call) == NULL);
        expect_reached(test, &call_returning, 0);
    }
    put_back(test, &call_returning);
}

/* The caller never notices a form. */
static void change_of_form_is_not_noticed_by_callers(struct test *test)
{
    race_begin(&call_writing);
    if (EXPECT(test, workers_start(&race.workers, false, call_all_the_time, NULL))) {
        for (unsigned i = 0; i < 2 || clock_now_ns() < race.end_ns; i++) {
            form(test, &call_writing, (i & 1) != 0 ? STATIC_CALL_INLINE : STATIC_CALL_OUT_OF_LINE);
        }
        workers_join(&race.workers);
        EXPECT_EQUAL(test, race.misses, 0);
    }
    put_back(test, &call_writing);
}

static const struct test_case cases[] = {
    TEST_CASE(every_kind_of_site_is_in_the_table),
    TEST_CASE(every_kind_of_site_follows_every_update),
    TEST_CASE(conditional_call_that_is_not_taken_does_nothing),
    TEST_CASE(update_costs_what_plan_said),
    TEST_CASE(bad_targets_are_refused_and_named),
    TEST_CASE(transaction_changes_calls_and_keys_in_one_batch),
    TEST_CASE(transaction_with_a_refusal_changes_nothing),
    TEST_CASE(inline_call_reaches_old_or_new_and_then_only_new),
    TEST_CASE(inline_call_without_result_reaches_old_or_new_and_then_only_new),
    TEST_CASE(call_out_of_line_reaches_old_or_new_and_then_only_new),
    TEST_CASE(call_that_nobody_makes_is_updated_all_the_same),
    TEST_CASE(racing_updaters_leave_text_and_target_in_step),
    TEST_CASE(change_of_form_is_not_noticed_by_callers),
};

const struct test_suite suite_static_call = TEST_SUITE("static_call", cases);
