// SPDX-License-Identifier: MIT
/* See dynamic_world.h. Invariant: the state of the policy is never written, only asked. */
#include "tests/host/dynamic_world.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

#define PATIENCE (20 * SECOND)

uint64_t world_now_ns = SECOND;
struct world world, other_world;

unsigned always_first(uint64_t call)
{
    (void)call;
    return 0;
}

unsigned always_second(uint64_t call)
{
    (void)call;
    return 1;
}

unsigned in_turns(uint64_t call)
{
    return call % 2;
}

unsigned seven_of_eight_first(uint64_t call)
{
    return call % 8 == 0 ? 1 + call / 8 % 5 : 0;
}

unsigned at_random(uint64_t call)
{
    uint64_t random = call + 88172645463325252ull;

    next_random(&random);
    next_random(&random);
    return (unsigned)(next_random(&random) % SUBJECT_TARGETS);
}

static bool is_named(const struct dynamic_call *call, uint64_t target)
{
    for (uint32_t i = 0; i < call->slot_count; i++) {
        if (call->form.targets.slot[i] == target) {
            return true;
        }
    }
    return false;
}

static unsigned cost_of(const struct world *caller, uint64_t target)
{
    const struct dynamic_call *call = caller->subject->call;

    if (!call->form.is_open && !call->goes_through) {
        return caller->cost.slow;
    }
    return is_named(call, target) ? caller->cost.hit : caller->cost.miss;
}

static void call_once(struct world *caller)
{
    unsigned number = caller->target(caller->made++);

    if (caller->waits) {
        dynamic_call_waits(caller->subject->call);
    }
    recorder_time_pass(cost_of(caller, (uint64_t)caller->subject->targets[number]));
    dynamics_run(caller->subject, BY_CALL, number);
}

static void live(struct world *caller)
{
    if (caller->subject == NULL) {
        return;
    }
    for (unsigned i = 0; i < caller->calls; i++) {
        call_once(caller);
    }
    if (world_now_ns >= caller->due_ns) {
        caller->due_ns = dynamic_auto_step(caller->subject->call, world_now_ns);
        assert_true(caller->due_ns > world_now_ns); /* else the worker would never sleep */
    }
}

static void world_live(void)
{
    world_now_ns += MILLISECOND;
    live(&world);
    live(&other_world);
}

void world_run(uint64_t ns)
{
    for (uint64_t end_ns = world_now_ns + ns; world_now_ns < end_ns;) {
        world_live();
    }
}

void world_run_until(enum dynamic_state state)
{
    uint64_t end_ns = world_now_ns + PATIENCE;

    while (world_now_ns < end_ns && world_look().state != state) {
        world_live();
    }
    assert_int_equal(world_look().state, state);
}

void world_switch(bool is_on)
{
    assert_int_equal(dynamic_auto_set(world.subject->call, is_on, world_now_ns, NULL), PATCH_OK);
    world.due_ns = 0;
}

struct dynamic_auto_view world_look(void)
{
    struct dynamic_auto_view view;

    dynamic_auto_look(world.subject->call, &view);
    return view;
}

struct dynamic_call_statistics world_statistics(void)
{
    return dynamics_look(world.subject).statistics;
}

struct dynamic_decision world_last_decision(void)
{
    struct dynamic_decision decision = {0};

    assert_true(dynamic_auto_decision(world.subject->call, world_look().decided, &decision));
    return decision;
}

void world_expect(enum dynamic_state state, const char *slots, bool is_open, bool is_watched)
{
    const struct dynamic_call_form form = dynamics_form(
        world.subject, slots, dynamics_look(world.subject).form.compare, is_open, is_watched);

    assert_int_equal(world_look().state, state);
    assert_int_equal(world.subject->call->form.is_open, is_open);
    assert_int_equal(world.subject->call->form.is_watched, is_watched);
    if (world_statistics().changes != 0) { /* before, comparisons are as the compiler left them */
        dynamics_expect_text(world.subject, &form);
    }
    dynamics_expect_all_calls(world.subject);
}

void world_expect_silence(uint64_t ns)
{
    struct dynamic_call_statistics before = world_statistics();
    unsigned rounds = recorder.rounds;
    unsigned writes = recorder.writes;
    uint64_t made = world.made;

    world_run(ns);
    assert_int_equal(world_statistics().batches, before.batches);
    assert_int_equal(world_statistics().failed, before.failed);
    assert_int_equal(recorder.rounds, rounds);
    assert_int_equal(recorder.writes, writes);
    assert_int_equal(recorder.synchronizes, before.grace_periods);
    assert_int_equal(world.made - made, ns / MILLISECOND * world.calls);
}

/* The recorder's clock: a look at it is 10 ticks, every TRIAL_STRIDEth call has one. */
void world_expect_cost(uint64_t cost, unsigned ticks)
{
    uint64_t looked = 10 * TRIAL_COST_UNIT / TRIAL_STRIDE;

    assert_in_range(cost, ticks * TRIAL_COST_UNIT, ticks * TRIAL_COST_UNIT + 2 * looked);
}

static void world_make(struct world *made, const struct dynamic_subject *subject)
{
    memset(made, 0, sizeof(*made));
    made->subject = subject;
    made->target = always_first;
    made->cost = (struct world_cost){.slow = 40, .hit = 10, .miss = 60};
    made->calls = WORLD_CALLS;
    if (subject != NULL) {
        memset(&subject->call->choice, 0, sizeof(subject->call->choice));
        dynamic_call_give_memory(subject->call, made->counts, DYNAMIC_CPUS);
    }
}

int world_setup(void **state)
{
    int failed = dynamics_setup(state);

    world_now_ns += 1000 * SECOND; /* the budget is shared by all cases */
    dynamic_auto_set_budget(DYNAMIC_BUDGET_DEFAULT);
    world_make(&world, subject_two);
    world_make(&other_world, NULL);
    return failed;
}

int world_teardown(void **state)
{
    dynamics_begin();
    world_switch(false);
    if (other_world.subject != NULL) {
        assert_int_equal(dynamic_auto_set(other_world.subject->call, false, 0, NULL), PATCH_OK);
    }
    return dynamics_teardown(state);
}
