// SPDX-License-Identifier: MIT
/* Dynamic calls that learn by themselves: the worker of kernel/choice_worker.h runs while threads
 * on all CPUs call. Why it detects: a target that nobody learns, or an update in steady traffic,
 * shows in what the call is and has cost; without memory nobody may count. Could miss: which epoch
 * decides (suite_dynamic_learning.c). */
#include "patching/dynamic_auto.h"

#include "arch/clock.h"
#include "kernel/dynamic_memory.h"
#include "kernel/heap.h"
#include "kernel/page_allocator.h"
#include "kernel/thread.h"
#include "tests/kernel/dynamic_subjects.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define LIMIT_NS    30000000000ull
#define POLL_NS     1000000ull
#define STEADY_NS   1000000000ull
#define BURST       2048 /* calls, and a rest: updates would wait for the time slices of all */
#define REST_NS     200000ull
#define CALLERS_MAX 8u
#define BLOCKS_MAX  256 /* of a size class that has pages left */
#define TRIES       100

static const struct dynamic_subject *const pair = &dynamic_subjects[1];
static struct workers callers;
static uint32_t called;        /* atomic: the target */
static uint64_t calls, astray; /* atomic */

static void call_all_the_time(void *argument)
{
    (void)argument;
    if (cpu_index() >= CALLERS_MAX) {
        return;
    }
    while (!workers_should_stop(&callers)) {
        uint32_t target = __atomic_load_n(&called, __ATOMIC_RELAXED);
        uint64_t wrong = 0;

        for (uint64_t i = 0; i < BURST; i++) {
            wrong += pair->reach(target, i, 5) != DYNAMIC_ANSWER(target, i, 5ull);
        }
        __atomic_fetch_add(&astray, wrong, __ATOMIC_RELAXED);
        __atomic_fetch_add(&calls, BURST, __ATOMIC_RELAXED);
        thread_sleep_ns(REST_NS);
    }
}

/* It learns, or has learnt between two looks. */
static bool begins(void)
{
    return dynamic_subject_view(pair).form.is_watched ||
           dynamic_subject_choice(pair).state == DYNAMIC_STABLE;
}

/* Its gate is open for the target that is called. */
static bool has_learnt(void)
{
    const struct dynamic_call_form form = dynamic_subject_view(pair).form;

    return dynamic_subject_choice(pair).state == DYNAMIC_STABLE && form.is_open &&
           form.targets.slot[0] ==
               dynamic_subject_target(pair, __atomic_load_n(&called, __ATOMIC_RELAXED));
}

static bool comes(bool (*condition)(void))
{
    uint64_t limit = clock_now_ns() + test_patience_ns(LIMIT_NS);

    while (!condition() && clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    return condition();
}

static bool learning_begin(struct test *test)
{
    const struct dynamic_call_form empty = {.compare = DYNAMIC_COMPARE_IMMEDIATE};

    return dynamic_subject_set(test, pair, &empty) &&
           EXPECT_EQUAL(test, dynamic_auto_set(pair->call, true, clock_now_ns(), NULL), PATCH_OK);
}

static bool begin(struct test *test, uint32_t target)
{
    calls = astray = 0;
    called = target;
    return EXPECT(test, workers_start(&callers, true, call_all_the_time, NULL)) &&
           learning_begin(test);
}

static void end(struct test *test)
{
    workers_join(&callers);
    EXPECT_EQUAL(test, astray, 0);
    EXPECT(test, calls > 0);
    dynamic_subject_put_back(test, pair);
}

static uint64_t epochs_before;

static bool epochs_go_on(void)
{
    return dynamic_subject_choice(pair).epochs > epochs_before;
}

static void constant_target_is_learnt_and_then_nothing_is_patched(struct test *test)
{
    if (begin(test, 3) && EXPECT(test, comes(has_learnt))) {
        struct dynamic_call_statistics before = dynamic_subject_view(pair).statistics;

        epochs_before = dynamic_subject_choice(pair).epochs;
        thread_sleep_ns(STEADY_NS);
        EXPECT(test, comes(epochs_go_on));
        EXPECT_EQUAL(test, dynamic_subject_view(pair).statistics.batches, before.batches);
        EXPECT_EQUAL(test, dynamic_subject_view(pair).statistics.ipis, before.ipis);
    }
    end(test);
}

static void other_target_is_learnt(struct test *test)
{
    if (begin(test, 3) && EXPECT(test, comes(has_learnt))) {
        struct dynamic_call_statistics before = dynamic_subject_view(pair).statistics;

        __atomic_store_n(&called, 6, __ATOMIC_RELAXED);
        EXPECT(test, comes(has_learnt));
        EXPECT(test, dynamic_subject_view(pair).statistics.batches <= before.batches + 2);
    }
    end(test);
}

/* Nobody has called: nothing is decided but that. */
static void call_without_a_site_stays_as_it_is(struct test *test)
{
    struct dynamic_call_view before, after;
    struct dynamic_auto_view choice;

    dynamic_call_look(dynamic_uncalled, &before);
    EXPECT_EQUAL(test, dynamic_auto_set(dynamic_uncalled, true, clock_now_ns(), NULL), PATCH_OK);
    thread_sleep_ns(STEADY_NS);
    dynamic_call_look(dynamic_uncalled, &after);
    dynamic_auto_look(dynamic_uncalled, &choice);
    EXPECT_EQUAL(test, after.sites, 0);
    EXPECT_EQUAL(test, after.statistics.batches, before.statistics.batches); /* nothing to patch */
    EXPECT_EQUAL(test, after.statistics.changes, before.statistics.changes);
    EXPECT(test, choice.state == DYNAMIC_LEARNING || choice.state == DYNAMIC_RESTING);
    EXPECT_EQUAL(test, dynamic_auto_set(dynamic_uncalled, false, clock_now_ns(), NULL), PATCH_OK);
}

/* ---- Without memory ---------------------------------------------------------------------------
 */

static void *blocks[BLOCKS_MAX];
static uint64_t refusals_before;

/* No page is left, nor a block of the size of the counts. */
static void memory_use_up(void)
{
    unsigned count = 0;

    heap_trim();
    page_allocator_fail_after(0);
    while (count < BLOCKS_MAX &&
           (blocks[count] =
                heap_allocate(platform_cpu_possible() * sizeof(struct dynamic_count))) != NULL) {
        count++;
    }
}

static void memory_give_back(void)
{
    page_allocator_fail_after(PAGE_FAIL_NEVER);
    for (unsigned i = 0; i < BLOCKS_MAX; i++) {
        heap_free(blocks[i]);
        blocks[i] = NULL;
    }
}

static bool is_refused(void)
{
    return dynamic_memory_refusals() >= refusals_before + 2;
}

static bool has_memory(void)
{
    return dynamic_subject_view(pair).has_memory;
}

/* Takes the memory away while it learns. Returns false if it has learnt before that. */
static bool memory_take(struct test *test)
{
    EXPECT(test, comes(begins));
    memory_use_up();
    refusals_before = dynamic_memory_refusals();
    dynamic_call_give_memory(pair->call, NULL, 0);
    EXPECT(test, comes(is_refused)); /* the worker has been there twice, and ended what it was at */
    return dynamic_subject_choice(pair).state != DYNAMIC_STABLE;
}

static void without_memory_calls_work_and_learn_later(struct test *test)
{
    struct dynamic_count *kept = pair->call->counts;
    uint32_t cpus = pair->call->count_cpus;

    if (!EXPECT(test, kept != NULL) || !begin(test, 3)) {
        return;
    }
    bool is_early = memory_take(test);
    for (unsigned i = 0; i < TRIES && !is_early; i++) {
        dynamic_call_give_memory(pair->call, kept, cpus);
        memory_give_back();
        dynamic_subject_put_back(test, pair);
        is_early = learning_begin(test) && memory_take(test);
    }
    EXPECT(test, !has_memory());
    EXPECT_EQUAL(test, dynamic_subject_choice(pair).state, DYNAMIC_LEARNING);
    EXPECT(test, !dynamic_subject_view(pair).form.is_open);
    memory_give_back();
    EXPECT(test, comes(has_memory));
    EXPECT(test, comes(has_learnt));
    end(test);

    struct dynamic_count *given = pair->call->counts;

    dynamic_call_give_memory(pair->call, kept, cpus);
    heap_free(given);
}

static const struct test_case cases[] = {
    TEST_CASE(constant_target_is_learnt_and_then_nothing_is_patched),
    TEST_CASE(other_target_is_learnt),
    TEST_CASE(call_without_a_site_stays_as_it_is),
    TEST_CASE(without_memory_calls_work_and_learn_later),
};

const struct test_suite suite_dynamic_worker =
    TEST_SUITE("dynamic_worker", cases, .lets_worker_choose = true);
