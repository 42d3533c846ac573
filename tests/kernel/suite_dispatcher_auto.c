// SPDX-License-Identifier: MIT
/* Dispatchers that choose their shape, on the running kernel: the worker steps them, threads call.
 * Why it detects: programs say who they are, so a call that goes astray is seen; a decision says
 * what it was made for; patches are counted by the dispatcher. Which shape is best is asked only
 * where a way is made far dearer than the others, by the programs themselves; finer
 * worlds are in tests/host/test_dispatcher_choice.c. Could miss: an update between two given lines
 * of a step, which tests/host/test_dispatcher_auto.c plays. */
#include "patching/dispatcher_auto.h"
#include "patching/xdp_call.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/thread.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define LIMIT_NS        30000000000ull /* of one trial */
#define TRIALS_MOST     8              /* that may be given up, and begin anew */
#define STOPS_MOST      100
#define POLL_NS         1000000ull
#define STEADY_NS       300000000ull
#define TORTURE_NS      1500000000ull
#define BURST           4096 /* calls, and a rest: updates would wait for the time slices of all */
#define CALLERS_REST_NS 200000ull
#define CALLERS_MAX     8u
#define ENTRIES         8
#define PROGRAMS        64

DEFINE_XDP_CALL(test_auto, .is_by_hand = true);

static struct dispatcher *const subject = &dispatcher_test_auto;
static struct dispatcher_view view;
static struct workers callers;
static uint32_t first, spread; /* atomic: programs [first, first + spread) are called in turn */
static uint64_t calls, astray; /* atomic */
static bool are_calling;

/* Who has to pay, by what suite_dispatcher_auto_end does: */
enum dear_way { DEAR_JUMP, DEAR_FALLBACK, DEAR_NOTHING };
uint8_t suite_dispatcher_auto_dear = DEAR_NOTHING; /* atomic */

/* Program n returns n + 1; each a function of its own, 16 bytes apart. All end in one piece of code
 * that sees which way it was come: a retpoline leaves its target, rdx, right below the stack; and
 * what is found there is overwritten for the next call. Whoever comes the dear way goes round a
 * loop. An interrupt in between takes a call for one by a jump: one of thousands. */
extern uint8_t suite_dispatcher_auto_programs[];
__asm__(".pushsection .text, \"ax\", @progbits\n\t"
        ".balign 16, 0xcc\n\t"
        "suite_dispatcher_auto_programs:\n\t"
        ".set suite_dispatcher_auto_program, 1\n\t"
        ".rept 64\n\t"
        ".balign 16, 0xcc\n\t"
        "mov $suite_dispatcher_auto_program, %eax\n\t"
        "jmp suite_dispatcher_auto_end\n\t"
        ".set suite_dispatcher_auto_program, suite_dispatcher_auto_program + 1\n\t"
        ".endr\n\t"
        ".size suite_dispatcher_auto_programs, . - suite_dispatcher_auto_programs\n\t"
        ".balign 16, 0xcc\n\t"
        "suite_dispatcher_auto_end:\n\t"
        "xor %ecx, %ecx\n\t"
        "cmp %rdx, -8(%rsp)\n\t"
        "movq $0, -8(%rsp)\n\t"
        "sete %cl\n\t"
        "cmp suite_dispatcher_auto_dear(%rip), %cl\n\t"
        "jne 2f\n\t"
        "mov $200, %ecx\n"
        "1:\n\t"
        "dec %ecx\n\t"
        "jnz 1b\n"
        "2:\n\t"
        "ret\n\t"
        ".size suite_dispatcher_auto_end, . - suite_dispatcher_auto_end\n\t"
        ".popsection");

static dispatched_function *program(unsigned number)
{
    return (dispatched_function *)(suite_dispatcher_auto_programs + 16 * (size_t)number);
}

static void call_some(void)
{
    uint32_t from = __atomic_load_n(&first, __ATOMIC_RELAXED);
    uint32_t count = __atomic_load_n(&spread, __ATOMIC_RELAXED);
    bool is_dear = __atomic_load_n(&suite_dispatcher_auto_dear, __ATOMIC_RELAXED) != DEAR_NOTHING;
    uint32_t burst = is_dear ? BURST / 8 : BURST; /* takes about the same time */
    uint32_t wrong = 0;

    for (uint32_t i = 0; i < burst; i++) {
        uint32_t number = (from + i % count) % PROGRAMS;
        const struct xdp_program called = {"test", program(number), NULL};

        wrong += xdp_call(test_auto, &called, NULL) != number + 1;
    }
    __atomic_fetch_add(&astray, wrong, __ATOMIC_RELAXED);
    __atomic_fetch_add(&calls, burst, __ATOMIC_RELAXED);
}

static void call_until_stopped(void *argument)
{
    (void)argument;
    if (cpu_index() >= CALLERS_MAX) {
        return; /* dozens, where they share a few CPUs, would leave a trial no time */
    }
    while (!workers_should_stop(&callers)) {
        call_some();
        thread_sleep_ns(CALLERS_REST_NS);
    }
}

static bool update(struct test *test, dispatched_function *from, dispatched_function *to)
{
    return EXPECT_EQUAL(test, dispatcher_update(subject, from, to, NULL), PATCH_OK);
}

static struct dispatcher_auto_view state_now(void)
{
    struct dispatcher_auto_view state;

    dispatcher_auto_look(subject, &state);
    return state;
}

static bool entries_add(struct test *test)
{
    bool done = true;

    for (unsigned i = 0; i < ENTRIES && done; i++) {
        done = update(test, NULL, program(i));
    }
    return done;
}

/* Callers on CPUs call program @from and @count - 1 behind it; 0 to ENTRIES - 1 are entries. */
static bool begin(struct test *test, uint32_t from, uint32_t count)
{
    first = from;
    spread = count;
    calls = astray = 0;
    are_calling =
        entries_add(test) && EXPECT(test, workers_start(&callers, true, call_until_stopped, NULL));
    return are_calling;
}

static void end(struct test *test)
{
    const struct dispatcher_form tree = {.shape = DISPATCHER_TREE, .generation = UINT64_MAX};

    if (are_calling) {
        workers_join(&callers);
        are_calling = false;
        EXPECT_EQUAL(test, astray, 0);
        EXPECT(test, calls > 0);
    }
    EXPECT_EQUAL(test, dispatcher_auto_set(subject, false, NULL), PATCH_OK);
    EXPECT_EQUAL(test, dispatcher_set_form(subject, &tree, NULL), PATCH_OK);
    dispatcher_look(subject, &view);
    for (uint32_t i = 0; i < view.count; i++) {
        update(test, (dispatched_function *)view.entries[i].target, NULL);
    }
}

static bool automatic(struct test *test)
{
    return EXPECT_EQUAL(test, dispatcher_auto_set(subject, true, NULL), PATCH_OK);
}

/* For a decision. A trial that is given up begins anew, and the time for it. */
struct trial_wait {
    uint64_t limit_ns, given_up;
    unsigned trials;
};

static struct trial_wait trial_wait_begin(void)
{
    return (struct trial_wait){clock_now_ns() + test_patience_ns(LIMIT_NS), state_now().given_up,
                               0};
}

static bool trial_wait_goes_on(struct trial_wait *wait)
{
    uint64_t given_up = state_now().given_up;

    if (given_up > wait->given_up && wait->trials < TRIALS_MOST) {
        wait->limit_ns = clock_now_ns() + test_patience_ns(LIMIT_NS);
        wait->given_up = given_up;
        wait->trials++;
    }
    return clock_now_ns() < wait->limit_ns;
}

/* Waits for the decision behind number @known, and for its form. Returns false if there is none. */
static bool decided(struct test *test, uint64_t known, struct dispatcher_decision *decision)
{
    struct trial_wait wait = trial_wait_begin();

    do {
        thread_sleep_ns(POLL_NS);
        dispatcher_look(subject, &view);
    } while ((view.is_sampled || !dispatcher_auto_decision(subject, known + 1, decision)) &&
             trial_wait_goes_on(&wait));
    return EXPECT(test, dispatcher_auto_decision(subject, known + 1, decision)) &&
           EXPECT(test, !view.is_sampled);
}

/* Until the next watch, a second away. */
static void expect_rest(struct test *test, uint64_t since_ns)
{
    uint64_t updates = view.statistics.updates;

    thread_sleep_ns(STEADY_NS);
    dispatcher_look(subject, &view);
    if (clock_now_ns() < since_ns + 3 * STEADY_NS) {
        EXPECT_EQUAL(test, view.statistics.updates, updates);
        EXPECT(test, subject->entry->target != (static_call_function *)subject->sampler);
    }
}

static void choice_converges_and_leaves_a_direct_call(struct test *test)
{
    static struct dispatcher_decision decision;
    uint64_t known = state_now().decided;

    if (!begin(test, 0, ENTRIES) || !automatic(test) || !decided(test, known, &decision)) {
        end(test);
        return;
    }
    EXPECT_EQUAL(test, decision.reason, DISPATCHER_REASON_FIRST);
    EXPECT_EQUAL(test, view.shape, decision.after);
    EXPECT_EQUAL(test, decision.entries, ENTRIES);
    EXPECT(test, decision.costs[DISPATCHER_NONE] != 0);
    EXPECT(test, decision.patches <= DISPATCHER_SHAPE_COUNT * DISPATCHER_TRIAL_ROUNDS + 2);
    EXPECT(test, view.statistics.sampled_hits >= decision.samples);
    expect_rest(test, decision.time_ns);
    end(test);
}

/* From @before, with a dear way. */
static bool decided_from(struct test *test, enum dispatcher_shape before, enum dear_way dear,
                         struct dispatcher_decision *decision)
{
    const struct dispatcher_form form = {.shape = before, .generation = UINT64_MAX};
    uint64_t known = state_now().decided;
    bool is_well = begin(test, 0, ENTRIES) &&
                   EXPECT_EQUAL(test, dispatcher_set_form(subject, &form, NULL), PATCH_OK);

    __atomic_store_n(&suite_dispatcher_auto_dear, dear, __ATOMIC_RELAXED);
    is_well = is_well && automatic(test) && decided(test, known, decision);
    end(test);
    __atomic_store_n(&suite_dispatcher_auto_dear, DEAR_NOTHING, __ATOMIC_RELAXED);
    return is_well && EXPECT_EQUAL(test, decision->before, before);
}

/* Compares of all entries are taken; those of one or two send the others the dear way. */
static void fallback_is_left_where_it_is_dear(struct test *test)
{
    static struct dispatcher_decision decision;

    if (decided_from(test, DISPATCHER_NONE, DEAR_FALLBACK, &decision)) {
        EXPECT(test, decision.after != DISPATCHER_NONE);
        EXPECT(test, decision.after != DISPATCHER_HOT1 && decision.after != DISPATCHER_HOT2);
    }
}

static void fallback_is_taken_where_jumps_are_dear(struct test *test)
{
    static struct dispatcher_decision decision;

    if (decided_from(test, DISPATCHER_TREE, DEAR_JUMP, &decision)) {
        EXPECT_EQUAL(test, decision.after, DISPATCHER_NONE);
    }
}

static void other_traffic_is_learned(struct test *test)
{
    static struct dispatcher_decision decision;
    uint64_t known = state_now().decided;
    struct trial_wait wait = trial_wait_begin();
    bool is_learned = false;

    if (begin(test, 0, 1) && automatic(test) && decided(test, known, &decision)) {
        EXPECT_EQUAL(test, view.entries[view.hottest[0]].target, (uint64_t)program(0));
        __atomic_store_n(&first, ENTRIES - 1, __ATOMIC_RELAXED);
        while (!is_learned && trial_wait_goes_on(&wait) && decided(test, ++known, &decision)) {
            is_learned = decision.reason == DISPATCHER_REASON_TRAFFIC;
        }
        EXPECT(test, is_learned);
        EXPECT_EQUAL(test, view.entries[view.hottest[0]].target, (uint64_t)program(ENTRIES - 1));
    }
    end(test);
}

static void without_calls_a_sampler_waits(struct test *test)
{
    bool has_entries = entries_add(test);

    dispatcher_look(subject, &view);

    uint64_t updates = view.statistics.updates;

    if (has_entries && automatic(test)) {
        thread_sleep_ns(2 * STEADY_NS);
        dispatcher_look(subject, &view);
        EXPECT(test, view.statistics.updates <= updates + 1);
        EXPECT_EQUAL(test, view.shape, DISPATCHER_TREE);
    }
    end(test);
}

/* Switches automatic choice on, and off in the middle of a trial. Returns whether it has stopped
 * one: the trial may have ended just before. */
static bool off_in_a_trial(struct test *test)
{
    struct trial_wait wait = trial_wait_begin();
    struct dispatcher_auto_view state;

    if (!automatic(test)) {
        return false;
    }
    do {
        cpu_relax();
        state = state_now();
    } while (state.state != DISPATCHER_CHOICE_TRYING && trial_wait_goes_on(&wait));
    return EXPECT_EQUAL(test, state.state, DISPATCHER_CHOICE_TRYING) &&
           EXPECT_EQUAL(test, dispatcher_auto_set(subject, false, NULL), PATCH_OK) &&
           state_now().decided == state.decided;
}

static void off_stops_a_trial(struct test *test)
{
    const struct dispatcher_form tree = {.shape = DISPATCHER_TREE, .generation = UINT64_MAX};
    bool is_stopped = false;

    if (begin(test, 0, ENTRIES)) {
        for (unsigned i = 0; i < STOPS_MOST && !is_stopped && test->failures == 0; i++) {
            EXPECT_EQUAL(test, dispatcher_set_form(subject, &tree, NULL), PATCH_OK);
            is_stopped = off_in_a_trial(test);
        }
        EXPECT(test, is_stopped);
        dispatcher_look(subject, &view);
        EXPECT(test, !view.is_sampled);
        EXPECT_EQUAL(test, view.shape, DISPATCHER_TREE);
        expect_rest(test, clock_now_ns());
    }
    end(test);
}

/* Updates and trials at once; then a trial that is let end. */
static void calls_arrive_whatever_is_tried_and_updated(struct test *test)
{
    static struct dispatcher_decision decision;
    bool is_well = begin(test, 0, PROGRAMS) && automatic(test);
    uint64_t until = clock_now_ns() + test_torture_ns(TORTURE_NS);
    uint64_t known;

    for (unsigned turn = 0; is_well && clock_now_ns() < until; turn++) {
        unsigned newest = (turn + ENTRIES) % PROGRAMS;

        is_well = update(test, program(turn % PROGRAMS), program(newest));
        __atomic_store_n(&spread, turn % 2 == 0 ? PROGRAMS : 3, __ATOMIC_RELAXED);
        thread_sleep_ns(turn % 8 * 8 * POLL_NS);
    }
    known = state_now().decided;
    EXPECT(test, is_well && decided(test, known, &decision));
    EXPECT_EQUAL(test, state_now().refused, 0);
    end(test);
}

static const struct test_case cases[] = {
    TEST_CASE(choice_converges_and_leaves_a_direct_call),
    TEST_CASE(fallback_is_left_where_it_is_dear),
    TEST_CASE(fallback_is_taken_where_jumps_are_dear),
    TEST_CASE(other_traffic_is_learned),
    TEST_CASE(without_calls_a_sampler_waits),
    TEST_CASE(off_stops_a_trial),
    TEST_CASE(calls_arrive_whatever_is_tried_and_updated),
};

const struct test_suite suite_dispatcher_auto =
    TEST_SUITE("dispatcher_auto", cases, .lets_worker_choose = true);
