// SPDX-License-Identifier: MIT
/* See choice_world.h. Invariant: the policy sees epochs alone. */
#include "tests/host/choice_world.h"

#include "patching/trial.h"
#include "tests/host/host_test.h"

#include <string.h>

enum {
    FIRST_ADDRESS = 0x1000,
    STEP = 16,
    /* ticks: */
    SLOW = 34,
    DIRECT = 4,
    COMPARE = 1,
    MISPREDICTED = 18,
    RECORDER = 36,
    TRIAL_EPOCH_CALLS = 384,
    WARM_UP_CALLS = 256,
    ZIPF_UNIT = 840
};

uint64_t world_address(uint32_t target)
{
    return FIRST_ADDRESS + (uint64_t)target * STEP;
}

uint64_t world_ticks_to_ns(uint64_t ticks)
{
    return ticks / 4;
}

double world_fraction(struct world *world)
{
    return (double)(next_random(&world->random) >> 11) / (double)(1ull << 53);
}

static uint32_t below(struct world *world, uint32_t limit)
{
    return (uint32_t)(next_random(&world->random) >> 20) % limit;
}

static uint32_t zipf(struct world *world, uint32_t targets)
{
    uint32_t sum = 0;

    for (uint32_t i = 1; i <= targets; i++) {
        sum += ZIPF_UNIT / i;
    }
    uint32_t at = below(world, sum);
    uint32_t target = 1;

    while (at >= ZIPF_UNIT / target) {
        at -= ZIPF_UNIT / target++;
    }
    return target - 1;
}

static uint32_t sequence_next(struct world *world)
{
    const struct sequence *sequence = &world->sequence;
    uint32_t targets = sequence->targets;

    switch (sequence->kind) {
    case SEQUENCE_CONSTANT:
        return 0;
    case SEQUENCE_BURSTS:
        return below(world, 20) == 0 ? below(world, targets) : world->last % targets;
    case SEQUENCE_ROBIN:
        return (uint32_t)(world->made % targets);
    case SEQUENCE_ZIPF:
        return zipf(world, targets);
    case SEQUENCE_MOSTLY:
        return below(world, 1000) < sequence->share ? 0 : below(world, targets);
    default:
        return below(world, targets);
    }
}

static uint32_t call_next(struct world *world)
{
    const struct sequence *sequence = &world->sequence;
    uint32_t phase =
        sequence->phase_calls != 0 ? (uint32_t)(world->made / sequence->phase_calls) : 0;

    world->last = sequence_next(world);
    world->made++;
    uint32_t number = sequence->is_reversed ? WORLD_TARGETS - world->last : world->last;

    return (sequence->first + phase * sequence->targets + number) % WORLD_TARGETS;
}

static int slot_of(const struct world *world, uint32_t target)
{
    for (int i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        if (world->slot_targets.slot[i] == world_address(target)) {
            return i;
        }
    }
    return -1;
}

/* In ticks. The slow way is a retpoline: never predicted. */
static uint32_t call_cost(struct world *world, uint32_t target, bool is_chain)
{
    int slot = slot_of(world, target);
    uint8_t way = (uint8_t)(slot + 1);
    uint8_t *predicted = &world->predicted[is_chain][world->history % WORLD_HISTORY];
    uint32_t cost = *predicted == way ? 0 : MISPREDICTED;

    *predicted = way;
    world->history = world->history * 5 + target;
    if (!is_chain) {
        return SLOW;
    }
    return cost + (slot >= 0 ? DIRECT + (uint32_t)slot * COMPARE : SLOW + world->slots * COMPARE);
}

double world_cost(struct world *world, bool is_chain)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < WARM_UP_CALLS; i++) {
        (void)call_cost(world, call_next(world), is_chain);
    }
    for (unsigned i = 0; i < TRIAL_EPOCH_CALLS; i++) {
        sum += call_cost(world, call_next(world), is_chain);
    }
    return (double)sum / TRIAL_EPOCH_CALLS;
}

static void epoch_time(struct world *world, struct dynamic_epoch *epoch)
{
    double off = 1 + world->noise * (2 * world_fraction(world) - 1);

    epoch->length_ns = DYNAMIC_EPOCH_NS / 10;
    epoch->overhead = RECORDER * TRIAL_COST_UNIT;
    if (world->calls == 0) {
        return;
    }
    epoch->census.total = TRIAL_EPOCH_CALLS;
    if (!world->is_untimed) {
        double cost = RECORDER + world_cost(world, world->choice.wish.goes_through);

        epoch->cost = (uint64_t)(cost * off * TRIAL_COST_UNIT);
    }
}

static void epoch_count(struct world *world, struct dynamic_epoch *epoch)
{
    uint64_t calls[WORLD_TARGETS] = {0};
    struct dynamic_census *census = &epoch->census;

    epoch->length_ns = DYNAMIC_EPOCH_NS;
    for (uint32_t i = 0; i < world->calls; i++) {
        uint32_t target = call_next(world);

        calls[target] += world->is_watched && (!world->is_open || slot_of(world, target) < 0);
    }
    for (uint32_t target = 0; target < WORLD_TARGETS; target++) {
        world->seen[target] |= calls[target] != 0;
        census->total += calls[target];
        if (census->row_count == DYNAMIC_CENSUS_ROWS) {
            census->others += calls[target];
        } else if (calls[target] != 0) {
            census->rows[census->row_count++] =
                (struct dynamic_row){world_address(target), calls[target]};
        }
    }
    world->counted = world->is_watched && !world->is_open ? world->counted + 1 : 0;
    world->epochs++;
}

/* Nobody twice, nobody that was not called, nobody that is gone, nobody behind the last slot. */
static void targets_check(const struct world *world, const struct dynamic_targets *targets)
{
    for (uint32_t i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        uint64_t target = targets->slot[i];

        if (target == 0) {
            continue;
        }
        assert_true(i < world->slots);
        assert_true(world->seen[(target - FIRST_ADDRESS) / STEP]);
        for (uint32_t other = 0; other < i; other++) {
            assert_true(targets->slot[other] != target);
        }
    }
}

static void wish_check(const struct world *world)
{
    const struct dynamic_choice *choice = &world->choice;
    const struct dynamic_wish *wish = &choice->wish;
    enum dynamic_state state = choice->state;
    bool is_same = dynamic_targets_same(&wish->targets, &world->slot_targets);

    targets_check(world, &wish->targets);
    assert_int_equal(wish->is_open, state == DYNAMIC_STABLE || state == DYNAMIC_PINNED);
    assert_int_equal(wish->is_timed, state == DYNAMIC_TRYING);
    assert_true(!wish->goes_through || wish->is_timed);
    assert_true(!wish->is_open || !dynamic_targets_empty(&wish->targets));
    if (state != DYNAMIC_RESTING) {
        assert_int_equal(wish->is_watched, state != DYNAMIC_OFF && state != DYNAMIC_PINNED);
    }
    if (is_same) { /* not in another order, either */
        assert_memory_equal(&wish->targets, &world->slot_targets, sizeof(wish->targets));
    } else if (state != DYNAMIC_PINNED) {
        assert_true(world->counted >= DYNAMIC_AGREE);
    }
}

/* As dynamic_call_set_form(). */
static uint32_t batches_of(const struct world *world)
{
    const struct dynamic_wish *wish = &world->choice.wish;

    if (!dynamic_targets_same(&wish->targets, &world->slot_targets)) {
        return world->is_open ? 2 : 1;
    }
    return wish->is_open != world->is_open || wish->is_watched != world->is_watched;
}

static bool wish_carry_out(struct world *world)
{
    const struct dynamic_wish *wish = &world->choice.wish;
    uint32_t batches = batches_of(world);
    uint64_t cost_ns = batches * BATCH_NS;

    wish_check(world);
    world->now_ns += cost_ns;
    world->batches += batches;
    if (world->is_refused && batches != 0) {
        dynamic_choice_refused(&world->choice, world->now_ns);
        assert_true(world->choice.next_ns > world->now_ns);
        world->now_ns = world->choice.next_ns;
        return false;
    }
    if (!dynamic_targets_same(&wish->targets, &world->slot_targets)) {
        world->changes++;
        world->counted = 0;
    }
    world->slot_targets = wish->targets;
    world->is_open = wish->is_open;
    world->is_watched = wish->is_watched;
    dynamic_choice_formed(&world->choice, batches, cost_ns, world->now_ns);
    return true;
}

void world_step(struct world *world)
{
    struct dynamic_choice *choice = &world->choice;
    struct dynamic_epoch epoch = {.cost = 0};
    const struct dynamic_terms terms = {
        .change_ns = world->change_ns,
        .saving = (SLOW - DIRECT) * TRIAL_COST_UNIT,
        .ticks_to_ns = world_ticks_to_ns,
    };

    if (!wish_carry_out(world)) {
        return;
    }
    assert_true(choice->next_ns > world->now_ns);
    if (choice->state == DYNAMIC_OFF || choice->state == DYNAMIC_PINNED) {
        world->now_ns += DYNAMIC_EPOCH_NS;
        return;
    }
    if (choice->wish.is_timed) {
        epoch_time(world, &epoch);
        world->now_ns += epoch.length_ns;
    } else {
        epoch_count(world, &epoch);
        world->now_ns = choice->next_ns;
    }
    epoch.now_ns = world->now_ns;
    dynamic_choice_measured(choice, &terms, &epoch);
}

void world_run(struct world *world, uint64_t ns)
{
    uint64_t end = world->now_ns + ns;

    while (world->now_ns < end) {
        world_step(world);
    }
}

/* As dynamic_calls_forget(). */
void world_forget(struct world *world, uint32_t target)
{
    bool was_there = dynamic_targets_remove(&world->slot_targets, world_address(target));

    uint32_t batches = was_there && world->is_open ? 2 : was_there;

    world->batches += batches;
    world->forgotten += batches;
    world->is_open &= !dynamic_targets_empty(&world->slot_targets);
    world->seen[target] = false;
    dynamic_choice_forget(&world->choice, world_address(target), 0);
}

struct world world_make(struct sequence sequence, uint32_t slots, uint64_t seed)
{
    struct world world = {
        .sequence = sequence,
        .slots = slots,
        .calls = 2000,
        .noise = 0.01,
        .change_ns = 2 * BATCH_NS,
        .now_ns = SECOND,
        .random = seed * 2 + 1,
    };

    for (int i = 0; i < 8; i++) {
        next_random(&world.random);
    }
    dynamic_choice_switch(&world.choice, true, slots, world.now_ns);
    return world;
}

const struct dynamic_decision *world_decision(const struct world *world)
{
    assert_true(world->choice.decided > 0);
    return &world->choice.decisions[(world->choice.decided - 1) % DYNAMIC_DECISIONS];
}

struct sequence world_sequence(enum sequence_kind kind, uint32_t targets)
{
    return (struct sequence){.kind = kind, .targets = targets, .first = 3};
}

struct world world_steady(struct sequence sequence, uint32_t slots, uint64_t seed)
{
    struct world world = world_make(sequence, slots, seed);

    world_run(&world, 20 * SECOND);
    return world;
}

bool world_has(const struct world *world, uint32_t target)
{
    return dynamic_targets_has(&world->slot_targets, world_address(target));
}

void world_expect(const struct world *world, enum dynamic_state state, enum dynamic_reason reason)
{
    assert_string_equal(dynamic_state_name(world->choice.state), dynamic_state_name(state));
    assert_int_equal(world->choice.state, state);
    assert_string_equal(dynamic_reason_name(world->choice.reason), dynamic_reason_name(reason));
}

unsigned world_decided_by(const struct world *world, enum dynamic_reason reason)
{
    unsigned count = 0;

    for (uint64_t i = 0; i < world->choice.decided && i < DYNAMIC_DECISIONS; i++) {
        count += world->choice.decisions[i].reason == reason;
    }
    return count;
}
