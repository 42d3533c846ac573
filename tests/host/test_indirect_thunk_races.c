// SPDX-License-Identifier: MIT
/* A call through a thunk while the mitigation is switched: every interleaving of the two. The
 * caller is stopped in front of every instruction of the thunk (trap flag) and behind an int3, the
 * patcher at every point of its batch (a second context that platform_step_reached() leaves), and
 * who goes on next is enumerated. Detects a body that depends on what the site has become
 * meanwhile, and an int3 emulated in a way that does not fit the body it leads to. Could miss what
 * one CPU alone never shows: stale instructions; the recorder's watcher (test_indirect_thunk.c)
 * looks for those. */
#include "tests/host/thunk_call.h"

#include "patching/instruction.h"
#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <signal.h>
#include <stdbool.h>
#include <ucontext.h>

enum {
    SEGMENTS = 7,   /* of a batch by int3-batch: three steps of two moments, and the end */
    POINTS_MAX = 6, /* where a call is stopped; the first one is in front of it */
    THUNK_SIZE = 32,
    STACK_SIZE = 256 * 1024,
};

static struct {
    ucontext_t caller, patcher;
    enum mitigation to;
    unsigned segments; /* of the batch that have run */
} actors;

static struct {
    unsigned advance[POINTS_MAX]; /* segments that the patcher runs while the caller stands there */
    unsigned points;              /* reached by this call */
} schedule;

/* What has been met, to show that the interleavings are those meant. */
static struct {
    unsigned calls, traps, points_max;
    unsigned ended_inside; /* batches that ended while the call stood behind the site */
} met;

static void patcher_stops(enum patch_step step, enum patch_moment moment)
{
    (void)step;
    (void)moment;
    swapcontext(&actors.patcher, &actors.caller);
}

static void patcher_run(void)
{
    assert_int_equal(mitigation_set(actors.to, NULL), PATCH_OK);
    actors.segments = SEGMENTS - 1;
}

static void patcher_goes_on(unsigned segments)
{
    for (; segments > 0; segments--) {
        assert_true(actors.segments < SEGMENTS);
        swapcontext(&actors.caller, &actors.patcher);
        actors.segments++;
    }
}

static void caller_stands(bool behind_site)
{
    unsigned point = schedule.points++;

    if (point < POINTS_MAX) {
        patcher_goes_on(schedule.advance[point]);
        met.ended_inside +=
            behind_site && schedule.advance[point] > 0 && actors.segments == SEGMENTS;
    }
}

static void caller_traps(ucontext_t *context)
{
    met.traps++;
    caller_stands(false);
    assert_true(recorder_trap_signal(1, context));
}

extern uint64_t thunk_address; /* thunk_call.c */

/* Behind an int3 the caller stands one byte into the site, where no instruction begins. */
static void handle_trap(int signal_number, siginfo_t *information, void *context)
{
    greg_t *machine = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t ip;

    (void)signal_number;
    (void)information;
    if ((uint64_t)machine[REG_RIP] == thunk_address + 1) {
        caller_traps(context);
    }
    ip = (uint64_t)machine[REG_RIP];
    if (ip - thunk_address < THUNK_SIZE) {
        caller_stands(ip != thunk_address);
    } else {
        machine[REG_EFL] &= ~(greg_t)THUNK_FLAG_STEP;
    }
}

static void run_schedule(const struct indirect_thunk_site *thunk, enum mitigation to, uint64_t seed)
{
    static char stack[STACK_SIZE];

    thunk_tests_begin(to);
    recorder.on_step = patcher_stops;
    actors.to = to;
    actors.segments = 0;
    getcontext(&actors.patcher);
    actors.patcher.uc_stack.ss_sp = stack;
    actors.patcher.uc_stack.ss_size = sizeof(stack);
    actors.patcher.uc_link = &actors.caller;
    makecontext(&actors.patcher, patcher_run, 0);

    schedule.points = 0;
    caller_stands(false);
    thunk_call(thunk->address, thunk_register(thunk->name), seed, THUNK_FLAG_STEP);
    patcher_goes_on(SEGMENTS - actors.segments);
    assert_int_equal(mitigation_current(), to);

    met.calls++;
    met.points_max = schedule.points > met.points_max ? schedule.points : met.points_max;
}

/* Spreads @left segments over the points from @point on, in every way; each way there and back. */
static void run_all_schedules(const struct indirect_thunk_site *thunk, const enum mitigation *pair,
                              unsigned point, unsigned left)
{
    if (point == POINTS_MAX) {
        run_schedule(thunk, pair[1], met.calls + 1);
        run_schedule(thunk, pair[0], met.calls + 1);
        return;
    }
    for (unsigned here = 0; here <= left; here++) {
        schedule.advance[point] = here;
        run_all_schedules(thunk, pair, point + 1, left - here);
    }
}

static void call_arrives_however_it_meets_a_switch(void **state)
{
    (void)state;
    static const enum mitigation pairs[][2] = {
        {MITIGATION_RETPOLINE, MITIGATION_LFENCE},
        {MITIGATION_LFENCE, MITIGATION_NONE},
        {MITIGATION_NONE, MITIGATION_RETPOLINE},
    };
    static const unsigned indices[] = {0, THUNK_COUNT - 1}; /* rax, r15 */
    struct sigaction action = {.sa_sigaction = handle_trap, .sa_flags = SA_SIGINFO};

    assert_int_equal(sigaction(SIGTRAP, &action, NULL), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(indices); i++) {
        const struct indirect_thunk_site thunk = indirect_thunk_site(indices[i]);

        for (unsigned pair = 0; pair < ARRAY_COUNT(pairs); pair++) {
            thunk_tests_switch(pairs[pair][0]);
            run_all_schedules(&thunk, pairs[pair], 0, SEGMENTS);
        }
    }
    print_message("%u calls, %u of them met an int3, %u outlasted the switch behind the site\n",
                  met.calls, met.traps, met.ended_inside);
    assert_in_range(met.points_max, 1, POINTS_MAX);
    assert_true(met.traps > met.calls / 10);
    assert_true(met.ended_inside > met.calls / 10);
}

static const struct CMUnitTest tests[] = {
    THUNK_TEST(call_arrives_however_it_meets_a_switch),
};

HOST_TEST_MAIN(tests, thunk_tests_group_setup)
