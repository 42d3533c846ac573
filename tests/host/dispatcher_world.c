// SPDX-License-Identifier: MIT
/* See dispatcher_world.h. Invariant: the true costs are used for epochs alone. */
#include "tests/host/dispatcher_world.h"

#include "tests/host/host_test.h"

enum { EPOCH_NS = 300000 }; /* full buffers */

const struct traffic traffic_constant_first = {
    "constant first, 64", 64, {4.2, 4.2, 4, 26, 4, 4.5, 34}, {1.0}};
const struct traffic traffic_constant_last = {
    "constant last, 64", 64, {7.4, 6.9, 4, 26, 4, 4.5, 34}, {[63] = 1.0}};
const struct traffic traffic_robin_16 = {
    "round robin, 16",
    16,
    {7.6, 7, 9.7, 9.7, 34, 33, 38},
    {1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0,
     1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0}};
const struct traffic traffic_burst_16 = {
    "bursts, 16", 16, {9.8, 9.3, 9.4, 12, 30, 28, 38}, {0.95, 0.05}};
const struct traffic traffic_zipf_8 = {
    "Zipf, 8", 8, {34, 31, 35, 27, 33, 33, 34}, {0.37, 0.18, 0.12, 0.09, 0.07, 0.06, 0.06, 0.05}};
const struct traffic traffic_random_4 = {
    "random, 4", 4, {33, 28, 28, 28, 33, 30, 34}, {0.25, 0.25, 0.25, 0.25}};
const struct traffic traffic_random_64 = {
    "random, 64", 64, {81, 70, 51, 51, 36, 37, 34}, {0.3, 0.3, 0.3, 0.1}};
const struct traffic traffic_all_miss = {"misses, 64", 64, {46, 44, 60, 60, 35, 36, 34}, {0}};
const struct traffic traffic_one = {"one", 1, {4, 4, 4, 4, 4, 4, 34}, {1.0}};
const struct traffic traffic_two = {"two", 2, {7, 5, 5, 5.2, 20, 5, 34}, {0.5, 0.5}};

const struct traffic *const traffics[TRAFFICS] = {
    &traffic_constant_first,
    &traffic_constant_last,
    &traffic_robin_16,
    &traffic_burst_16,
    &traffic_zipf_8,
    &traffic_random_4,
    &traffic_random_64,
    &traffic_all_miss,
    &traffic_one,
    &traffic_two,
};

double world_fraction(struct world *world)
{
    return (double)(next_random(&world->random) >> 11) / (double)(1ull << 53);
}

struct world world_make(const struct traffic *traffic, uint64_t seed)
{
    struct world world = {
        .situation = {.now_ns = SECOND, .entries = traffic->entries, .generation = 1},
        .traffic = traffic,
        .random = seed * 2 + 1,
    };

    for (int i = 0; i < 8; i++) {
        next_random(&world.random);
    }
    patch_budget_set(&world.budget, 50, SECOND);
    dispatcher_choice_switch(&world.choice, true, SECOND);
    return world;
}

void world_enter(struct world *world, const struct traffic *traffic)
{
    world->traffic = traffic;
    if (world->situation.entries != traffic->entries) {
        world->situation.entries = traffic->entries;
        world->situation.generation++;
    }
}

double world_true_cost(const struct world *world)
{
    return world->traffic->costs[world->situation.shape];
}

struct dispatcher_epoch world_epoch(struct world *world)
{
    double off = 1 + world->noise * (2 * world_fraction(world) - 1);
    struct dispatcher_epoch epoch = {.cpu = 1, .overhead = RECORDER_TICKS * TRIAL_COST_UNIT};

    if (world->is_silent) {
        return epoch;
    }
    off *= world_fraction(world) < world->spikes ? 2 : 1;
    off *= world->is_untimed ? 0 : 1;
    epoch.cost = (uint64_t)((RECORDER_TICKS + world_true_cost(world)) * off * TRIAL_COST_UNIT);
    epoch.census.total = TRIAL_SAMPLES;
    for (uint32_t i = 0; i < TRIAL_SAMPLES; i++) {
        double at = world_fraction(world);
        uint32_t entry = 0;

        while (entry < world->traffic->entries && at >= world->traffic->shares[entry]) {
            at -= world->traffic->shares[entry++];
        }
        epoch.census.calls[entry % DISPATCHER_ENTRY_MAX] += entry < world->traffic->entries;
        epoch.census.misses += entry == world->traffic->entries;
    }
    return epoch;
}

/* Brings the dispatcher to the wish, if the budget allows. */
static bool world_form(struct world *world)
{
    struct dispatcher_choice *choice = &world->choice;
    struct dispatcher_situation *now = &world->situation;

    if (patch_budget_when(&world->budget, choice->wish.is_sampled ? 2 : 1, now->now_ns) >
        now->now_ns) {
        return false;
    }
    patch_budget_take(&world->budget, now->now_ns);
    world->patches++;
    if (world->is_refused) {
        dispatcher_choice_refused(choice, now->now_ns);
        return false;
    }
    now->shape = choice->wish.shape;
    now->is_sampled = choice->wish.is_sampled;
    dispatcher_choice_formed(choice, true);
    return true;
}

void world_step(struct world *world)
{
    struct dispatcher_choice *choice = &world->choice;
    struct dispatcher_situation *now = &world->situation;

    now->now_ns += world->is_silent ? 100 * EPOCH_NS : EPOCH_NS;
    dispatcher_choice_look(choice, now);
    if (dispatcher_choice_wants_patch(choice, now) && !world_form(world)) {
        return;
    }
    if (choice->wish.is_sampled && choice->state != DISPATCHER_CHOICE_OFF) {
        struct dispatcher_epoch epoch = world_epoch(world);

        world->epochs++;
        dispatcher_choice_measured(choice, now, &epoch);
    }
}

void world_run(struct world *world, uint64_t ns)
{
    uint64_t end = world->situation.now_ns + ns;

    while (world->situation.now_ns < end) {
        world_step(world);
        if (!world->situation.is_sampled && world->choice.next_ns > world->situation.now_ns) {
            uint64_t next = world->choice.next_ns - 1;

            world->situation.now_ns = next < end ? next : end;
        }
    }
}

double traffic_best_cost(const struct traffic *traffic)
{
    double best = traffic->costs[0];

    for (int shape = 1; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        best = traffic->costs[shape] < best ? traffic->costs[shape] : best;
    }
    return best;
}
