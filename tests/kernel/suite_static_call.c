// SPDX-License-Identifier: MIT
/* Static calls on the running kernel: every kind of site in every state; callers on all CPUs while
 * one updates; updaters on all CPUs.
 *
 * The races count targets round: update number n goes to target n modulo TARGETS, target 0 being
 * none (returns 0, or does nothing).
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
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "kernel/bench_keys.h"
#include "kernel/command_line.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/static_call.h"
#include "patching/static_key.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define RACE_NS      500000000ull
#define UPDATES_MOST 10000000
#define TARGETS      8

/* In a long race callers rest behind so many calls. On a host with fewer cores than we have CPUs an
 * update would wait for the time slices of them all. */
#define BURST   64
#define REST_NS 100000ull

/* Of the calls that return, and of those that write, what they reached. */
#define TARGET(n)                                                                                  \
    static uint64_t return_##n(uint64_t *reached)                                                  \
    {                                                                                              \
        (void)reached;                                                                             \
        return n;                                                                                  \
    }                                                                                              \
    static void write_##n(uint64_t *reached)                                                       \
    {                                                                                              \
        *reached = n;                                                                              \
    }
TARGET(1)
TARGET(2)
TARGET(3)
TARGET(4)
TARGET(5)
TARGET(6)
TARGET(7)

DEFINE_STATIC_CALL_RETURN_ZERO(test_returning, uint64_t, return_1);
DEFINE_STATIC_CALL_NULL(test_writing, write_1);
DEFINE_STATIC_CALL_NULL(test_uncalled, write_1);
DEFINE_STATIC_CALL_FORM(test_outer, return_1, STATIC_CALL_OUT_OF_LINE);

#define FUNCTION(name) (static_call_function *)(name)
#define ALL(kind)                                                                                  \
    {                                                                                              \
        NULL, FUNCTION(kind##_1), FUNCTION(kind##_2), FUNCTION(kind##_3), FUNCTION(kind##_4),      \
            FUNCTION(kind##_5), FUNCTION(kind##_6), FUNCTION(kind##_7)                             \
    }
static static_call_function *const returning_targets[TARGETS] = ALL(return );
static static_call_function *const writing_targets[TARGETS] = ALL(write);

/* One caller for each kind of site. They set rax before, so that it shows what a call without a
 * target makes of it. */
#define ASSEMBLED_CALLERS(name)                                                                    \
    __asm__(".pushsection .text\n\t"                                                               \
            ".type " #name "_by_call, @function\n" #name "_by_call:\n\t"                           \
            "movq $-1, %rax\n\tcall static_call_" #name "\n\tret\n"                                \
            ".type " #name "_by_jump, @function\n" #name "_by_jump:\n\t"                           \
            "movq $-1, %rax\n\tjmp static_call_" #name "\n\tud2\n"                                 \
            ".type " #name "_by_jump_if, @function\n" #name "_by_jump_if:\n\t"                     \
            "movq $-1, %rax\n\ttestq %rdi, %rdi\n\tjnz static_call_" #name "\n\t"                  \
            "movl $99, %eax\n\tret\n\t"                                                            \
            ".popsection");                                                                        \
    extern __typeof__(static_call_##name) name##_by_call, name##_by_jump, name##_by_jump_if

ASSEMBLED_CALLERS(test_returning);
ASSEMBLED_CALLERS(test_writing);
ASSEMBLED_CALLERS(test_outer);

#define WAYS 4

/* The number of the target reached, by one way after the other; the last is the compiler's. */
static uint64_t reach_returning(unsigned way)
{
    uint64_t unused;
    switch (way) {
    case 0:
        return test_returning_by_call(&unused);
    case 1:
        return test_returning_by_jump(&unused);
    case 2:
        return test_returning_by_jump_if(&unused);
    default:
        return static_call(test_returning)(&unused);
    }
}

static uint64_t reach_writing(unsigned way)
{
    uint64_t reached = 0;
    switch (way) {
    case 0:
        test_writing_by_call(&reached);
        break;
    case 1:
        test_writing_by_jump(&reached);
        break;
    case 2:
        test_writing_by_jump_if(&reached);
        break;
    default:
        static_call(test_writing)(&reached);
    }
    return reached;
}

static uint64_t reach_outer(unsigned way)
{
    uint64_t unused;
    switch (way) {
    case 0:
        return test_outer_by_call(&unused);
    case 1:
        return test_outer_by_jump(&unused);
    case 2:
        return test_outer_by_jump_if(&unused);
    default:
        return static_call(test_outer)(&unused);
    }
}

struct subject {
    struct static_call *call;
    static_call_function *const *targets;
    uint64_t (*reach)(unsigned way);
    unsigned initial;
};

static const struct subject returning = {&static_call_data_test_returning, returning_targets,
                                         reach_returning, 0};
static const struct subject writing = {&static_call_data_test_writing, writing_targets,
                                       reach_writing, 0};
static const struct subject outer = {&static_call_data_test_outer, returning_targets, reach_outer,
                                     1};

static bool update(struct test *test, const struct subject *subject, unsigned target)
{
    return EXPECT_EQUAL(test, static_call_set(subject->call, subject->targets[target], NULL),
                        PATCH_OK);
}

static bool form(struct test *test, const struct subject *subject, enum static_call_form form)
{
    return EXPECT_EQUAL(test, static_call_set_form(subject->call, form, NULL), PATCH_OK);
}

/* As it was defined. */
static void put_back(struct test *test, const struct subject *subject)
{
    form(test, subject, subject == &outer ? STATIC_CALL_OUT_OF_LINE : STATIC_CALL_FORM_DEFAULT);
    update(test, subject, subject->initial);
}

static void expect_reached(struct test *test, const struct subject *subject, unsigned target)
{
    for (unsigned way = 0; way < WAYS; way++) {
        EXPECT_EQUAL(test, subject->reach(way), target);
    }
}

static void every_kind_of_site_follows_every_update(struct test *test)
{
    static const struct subject *const all[] = {&returning, &writing, &outer};
    for (unsigned i = 0; i < 3; i++) {
        expect_reached(test, all[i], all[i]->initial);
        for (unsigned target = all[i]->initial; target < TARGETS; target++) {
            unsigned first = all[i]->initial;
            unsigned next = first + (target + 3) % (TARGETS - first); /* not the next target */
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
    for (uint32_t i = 0; i < returning.call->site_count; i++) {
        kinds[returning.call->sites[i].kind % 3]++;
    }
    EXPECT(test, kinds[CALL_SITE_CALL] >= 1);
    EXPECT(test, kinds[CALL_SITE_JUMP] >= 1);
    EXPECT(test, kinds[CALL_SITE_JUMP_IF] >= 1);
    EXPECT_EQUAL(test, static_call_data_test_uncalled.site_count, 0);
}

static void conditional_call_that_is_not_taken_does_nothing(struct test *test)
{
    for (unsigned target = 0; target < 2; target++) {
        update(test, &returning, target);
        EXPECT_EQUAL(test, test_returning_by_jump_if(NULL), 99);
    }
    put_back(test, &returning);
}

static void expect_record(struct test *test, const struct subject *subject, uint32_t sites)
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
    static const struct subject *const all[] = {&returning, &writing, &outer};
    for (unsigned i = 0; i < 3; i++) {
        const struct subject *subject = all[i];
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

static void expect_refused(struct test *test, const struct subject *subject,
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
    uint64_t trampoline = returning.call->trampoline;
    expect_refused(test, &outer, NULL, PATCH_ERR_NO_TARGET);
    expect_refused(test, &returning, (static_call_function *)0x1000000000, PATCH_ERR_RANGE);
    expect_refused(test, &returning, (static_call_function *)trampoline, PATCH_ERR_TARGET_IN_SITE);
    uint64_t flags = interrupts_save();
    enum patch_status status = static_call_set(returning.call, returning.targets[1], NULL);
    enum patch_status form_status =
        static_call_set_form(returning.call, STATIC_CALL_OUT_OF_LINE, NULL);
    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    EXPECT_EQUAL(test, form_status, PATCH_ERR_CONTEXT);
    expect_reached(test, &returning, 0);
}

static void transaction_changes_calls_and_keys_in_one_batch(struct test *test)
{
    const struct bench_key *four = bench_key_find(4);
    for (unsigned on = 1; on <= 1; on--) {
        struct patch_change changes[] = {
            static_call_change_to(returning.call, returning.targets[on]),
            static_key_change_to(four->key, on),
            static_call_change_to(writing.call, writing.targets[on]),
        };
        uint64_t newest = patch_record_newest();
        EXPECT_EQUAL(test, patch_transaction("test calls and keys", changes, 3, NULL), PATCH_OK);
        EXPECT_EQUAL(test, patch_record_newest(), newest + 1);
        expect_reached(test, &returning, on);
        expect_reached(test, &writing, on);
        EXPECT_EQUAL(test, bench_taken(four->run()), on ? 4 : 0);
    }
}

static void transaction_with_a_refusal_changes_nothing(struct test *test)
{
    struct patch_change changes[] = {
        static_call_change_to(returning.call, returning.targets[1]),
        static_key_change_to(bench_key_find(4)->key, true),
        static_call_change_to(outer.call, NULL),
    };
    struct patch_error error = {0};
    uint64_t newest = patch_record_newest();
    EXPECT_EQUAL(test, patch_transaction("test refusal", changes, 3, &error), PATCH_ERR_NO_TARGET);
    EXPECT(test, error.name != NULL && strcmp(error.name, "test_outer") == 0);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
    expect_reached(test, &returning, 0);
    EXPECT_EQUAL(test, bench_taken(bench_key_find(4)->run()), 0);
    changes[2] = changes[0];
    EXPECT_EQUAL(test, patch_transaction("test twice", changes, 3, &error), PATCH_ERR_DUPLICATE);
    expect_reached(test, &returning, 0);
}

static struct race {
    struct workers workers;
    const struct subject *subject;
    uint64_t started, finished; /* atomic: see above */
    uint64_t calls, misses;     /* atomic */
    uint64_t refused;           /* atomic */
    uint64_t updates;           /* how many; 0: as many as fit in before */
    uint64_t end_ns;
} race;

static void race_begin(const struct subject *subject)
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
    return done <= TARGETS || clock_now_ns() < race.end_ns;
}

static bool is_one_of(uint64_t target, uint64_t before, uint64_t after)
{
    return target < TARGETS && (after - before >= TARGETS - 1 ||
                                (target + TARGETS - before % TARGETS) % TARGETS <= after - before);
}

static void call_all_the_time(void *argument)
{
    (void)argument;
    uint64_t calls = 0;
    uint64_t misses = 0;
    while (!workers_should_stop(&race.workers)) {
        for (unsigned way = 0; way < WAYS; way++) {
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

static void update_many(struct test *test, const struct subject *subject)
{
    uint64_t failures = 0;
    uint64_t number = 0;
    while (race_goes_on(number) && !test_should_stop(test)) {
        number++;
        /* Release: whoever reads it knows the updates before; below: is behind this one. */
        __atomic_store_n(&race.started, number, __ATOMIC_RELEASE);
        failures +=
            static_call_set(subject->call, subject->targets[number % TARGETS], NULL) != PATCH_OK;
        __atomic_store_n(&race.finished, number, __ATOMIC_RELEASE);
    }
    EXPECT_EQUAL(test, failures, 0);
    if (test_should_stop(test)) {
        test_skip(test, "stopped by Ctrl-C");
    }
}

static void race_run(struct test *test, const struct subject *subject, enum static_call_form wanted)
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
    race_run(test, &returning, STATIC_CALL_INLINE);
}

static void inline_call_without_result_reaches_old_or_new_and_then_only_new(struct test *test)
{
    race_run(test, &writing, STATIC_CALL_INLINE);
}

static void call_out_of_line_reaches_old_or_new_and_then_only_new(struct test *test)
{
    race_run(test, &returning, STATIC_CALL_OUT_OF_LINE);
}

static void call_that_nobody_makes_is_updated_all_the_same(struct test *test)
{
    static const struct subject uncalled = {&static_call_data_test_uncalled, writing_targets, NULL,
                                            0};
    uint64_t newest = patch_record_newest();
    race_begin(&uncalled);
    update_many(test, &uncalled);
    EXPECT_EQUAL(test, patch_record_newest() - newest, race.finished);
    put_back(test, &uncalled);
}

/* Each CPU has targets of its own, none of them shared; the one that ends last decides. */
static void update_to_own_targets(void *argument)
{
    (void)argument;
    unsigned own = 1 + cpu_index() % (TARGETS - 1);
    for (unsigned i = 0; i % 2 == 1 || clock_now_ns() < race.end_ns; i++) {
        unsigned target = i % 2 == 0 ? own : 0; /* always ends with none */
        if (static_call_set(returning.call, returning.targets[target], NULL) != PATCH_OK) {
            __atomic_fetch_add(&race.refused, 1, __ATOMIC_RELAXED);
        }
        uint64_t reached = reach_returning(i % WAYS); /* anybody's, but somebody's */
        if (reached >= TARGETS) {
            __atomic_fetch_add(&race.misses, 1, __ATOMIC_RELAXED);
        }
    }
}

static void racing_updaters_leave_text_and_target_in_step(struct test *test)
{
    race_begin(&returning);
    if (EXPECT(test, workers_start(&race.workers, true, update_to_own_targets, NULL))) {
        workers_join(&race.workers);
        EXPECT_EQUAL(test, race.refused, 0);
        EXPECT_EQUAL(test, race.misses, 0);
        EXPECT(test, static_call_target(returning.call) == NULL);
        expect_reached(test, &returning, 0);
    }
    put_back(test, &returning);
}

/* The caller never notices a form. */
static void change_of_form_is_not_noticed_by_callers(struct test *test)
{
    race_begin(&writing);
    if (EXPECT(test, workers_start(&race.workers, false, call_all_the_time, NULL))) {
        for (unsigned i = 0; i < 2 || clock_now_ns() < race.end_ns; i++) {
            form(test, &writing, (i & 1) != 0 ? STATIC_CALL_INLINE : STATIC_CALL_OUT_OF_LINE);
        }
        workers_join(&race.workers);
        EXPECT_EQUAL(test, race.misses, 0);
    }
    put_back(test, &writing);
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
