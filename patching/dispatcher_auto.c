// SPDX-License-Identifier: MIT
/* Carries out what the policy wants; see dispatcher_auto.h. Invariant: all of a step, and all of
 * switching on and off, is under the change lock: the policy never sees a dispatcher that somebody
 * changes meanwhile, and nobody samples one that was switched off. Called by: the kernel's worker,
 * benches, tests. */
#include "patching/dispatcher_auto.h"

#include "patching/bytes.h"
#include "patching/patch_budget.h"
#include "patching/platform.h"

#define EPOCH_NS 50000000ull  /* at most */
#define POLL_NS  1000000ull   /* while an epoch fills */
#define RETRY_NS 100000000ull /* behind a patch that failed */

/* under the change lock: */
static struct patch_budget budget = {
    .per_second = DISPATCHER_BUDGET_DEFAULT,
    .left = DISPATCHER_BUDGET_DEFAULT * 1000000000ll,
};

void dispatcher_auto_set_budget(unsigned patches_per_second)
{
    platform_change_lock();
    patch_budget_set(&budget, patches_per_second, budget.time_ns);
    platform_change_unlock();
}

static void epoch_begin(struct dispatcher *dispatcher, uint64_t now_ns)
{
    struct dispatcher_choice *choice = &dispatcher->choice;

    if (choice->phase != DISPATCHER_PHASE_ROUNDS) {
        choice->overhead = trial_overhead(dispatcher->trial);
    }
    trial_start(dispatcher->trial, choice->wish.cpu);
    choice->is_recording = true;
    choice->epoch_end_ns = now_ns + EPOCH_NS;
}

static void epoch_cancel(struct dispatcher *dispatcher)
{
    if (dispatcher->choice.is_recording) {
        (void)trial_stop(dispatcher->trial);
        dispatcher->choice.is_recording = false;
    }
}

static void epoch_end(struct dispatcher *dispatcher, const struct dispatcher_situation *situation)
{
    static uint64_t targets[DISPATCHER_ENTRY_MAX]; /* under the change lock, both */
    static struct dispatcher_epoch epoch;
    const struct trial_sample *samples = dispatcher->trial->samples;
    uint32_t count = trial_stop(dispatcher->trial);

    for (uint32_t i = 0; i < dispatcher->set.count; i++) {
        targets[i] = dispatcher->set.entries[i].target;
    }
    bytes_clear(&epoch, sizeof(epoch));
    dispatcher_census_count(&epoch.census, samples, count, targets, dispatcher->set.count);
    epoch.cost = trial_cost(samples, count);
    epoch.overhead = dispatcher->choice.overhead;
    epoch.cpu = trial_cpu(dispatcher->trial);
    dispatcher->statistics.sampled_misses += epoch.census.misses;
    dispatcher->statistics.sampled_hits += count - epoch.census.misses;
    dispatcher->choice.is_recording = false;
    dispatcher_choice_measured(&dispatcher->choice, situation, &epoch);
}

/* The form that is wished. Context: until the next call, the change lock is held. */
static struct dispatcher_form wished_form(const struct dispatcher *dispatcher)
{
    static uint64_t hottest[DISPATCHER_ENTRY_MAX];
    const struct dispatcher_choice *choice = &dispatcher->choice;
    struct dispatcher_form form = {
        .shape = choice->wish.shape,
        .is_sampled = choice->wish.is_sampled,
        .generation = choice->generation,
    };

    if (choice->wish.has_hottest) {
        form.hottest = hottest;
        form.hottest_count = dispatcher->set.count;
    }
    for (uint32_t i = 0; i < form.hottest_count; i++) {
        hottest[i] = dispatcher->set.entries[choice->hottest[i]].target;
    }
    return form;
}

/* Brings the dispatcher to the wish. Returns when to go on. */
static uint64_t wish_fulfil(struct dispatcher *dispatcher, uint64_t now_ns)
{
    struct dispatcher_choice *choice = &dispatcher->choice;
    struct dispatcher_form form = wished_form(dispatcher);
    /* One is kept for the way back, so that is always affordable; and without a budget, free. */
    uint64_t when = patch_budget_when(&budget, form.is_sampled ? 2 : 1, now_ns);
    uint64_t updates = dispatcher->statistics.updates;

    if (when > now_ns && (form.is_sampled || when != UINT64_MAX)) {
        return when;
    }
    enum patch_status status = dispatcher_set_form_locked(dispatcher, &form, NULL);
    bool is_patched = dispatcher->statistics.updates != updates;

    if (is_patched || status != PATCH_OK) {
        patch_budget_take(&budget, now_ns);
    }
    if (status != PATCH_OK) {
        choice->refused++;
        choice->refused_with = status;
        dispatcher_choice_refused(choice, now_ns);
        return now_ns + RETRY_NS;
    }
    dispatcher_choice_formed(choice, is_patched);
    return now_ns; /* which may be long ago, so no epoch is begun with it */
}

/* One thing that is due. Returns when the next is. */
static uint64_t act(struct dispatcher *dispatcher, const struct dispatcher_situation *situation)
{
    struct dispatcher_choice *choice = &dispatcher->choice;
    uint64_t now_ns = situation->now_ns;

    if (dispatcher_choice_wants_patch(choice, situation)) {
        epoch_cancel(dispatcher);
        return wish_fulfil(dispatcher, now_ns);
    }
    if (!choice->wish.is_sampled) {
        return choice->next_ns;
    }
    if (!choice->is_recording) {
        epoch_begin(dispatcher, now_ns);
    } else if (trial_is_full(dispatcher->trial) || now_ns >= choice->epoch_end_ns) {
        epoch_end(dispatcher, situation);
        return now_ns;
    }
    return now_ns + (choice->silent_epochs != 0 ? EPOCH_NS : POLL_NS);
}

static uint64_t step_locked(struct dispatcher *dispatcher, uint64_t now_ns)
{
    struct dispatcher_choice *choice = &dispatcher->choice;
    const struct dispatcher_situation situation = {
        .now_ns = now_ns,
        .generation = dispatcher->generation,
        .entries = dispatcher->set.count,
        .shape = dispatcher->shape,
        .is_sampled = dispatcher->is_sampled,
    };

    if (choice->state == DISPATCHER_CHOICE_OFF) {
        return UINT64_MAX;
    }
    if (choice->generation != situation.generation) {
        epoch_cancel(dispatcher); /* of entries that were others */
    }
    dispatcher_choice_look(choice, &situation);
    return act(dispatcher, &situation);
}

uint64_t dispatcher_auto_step(struct dispatcher *dispatcher, uint64_t now_ns)
{
    if (!platform_may_patch()) {
        return now_ns + RETRY_NS;
    }
    platform_change_lock();
    uint64_t next_ns = step_locked(dispatcher, now_ns);

    platform_change_unlock();
    return next_ns;
}

/* The shape becomes what was decided last, also if no step has carried that out yet; in a trial,
 * what it was before. Nothing is sampled. */
static enum patch_status switch_off_locked(struct dispatcher *dispatcher, struct patch_error *error)
{
    struct dispatcher_choice *choice = &dispatcher->choice;
    bool is_trial = choice->phase == DISPATCHER_PHASE_ROUNDS;
    struct dispatcher_form form = {.shape = dispatcher->shape, .generation = UINT64_MAX};

    if (is_trial) {
        form.shape = choice->before;
    } else if (choice->wish.shape != DISPATCHER_SHAPE_COUNT) { /* some step has looked */
        if (choice->generation == dispatcher->generation) {
            form = wished_form(dispatcher); /* with the order, which is of these entries */
        }
        form.shape = choice->wish.shape;
        form.is_sampled = false;
    }

    epoch_cancel(dispatcher);
    enum patch_status status = dispatcher_set_form_locked(dispatcher, &form, error);

    if (status == PATCH_OK) {
        dispatcher_choice_switch(choice, false, 0);
    }
    return status;
}

enum patch_status dispatcher_auto_set(struct dispatcher *dispatcher, bool is_on,
                                      struct patch_error *error)
{
    enum patch_status status = PATCH_OK;

    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, dispatcher->name, 0);
    }
    platform_change_lock();
    bool was_on = dispatcher->choice.state != DISPATCHER_CHOICE_OFF;

    if (is_on && !was_on) {
        dispatcher_choice_switch(&dispatcher->choice, true, 0);
    } else if (!is_on && was_on) {
        status = switch_off_locked(dispatcher, error);
    }
    platform_change_unlock();
    return status;
}

bool dispatcher_auto_is_on(struct dispatcher *dispatcher)
{
    platform_change_lock();
    bool is_on = dispatcher->choice.state != DISPATCHER_CHOICE_OFF;

    platform_change_unlock();
    return is_on;
}

void dispatcher_auto_look(struct dispatcher *dispatcher, struct dispatcher_auto_view *view)
{
    const struct dispatcher_choice *choice = &dispatcher->choice;

    platform_change_lock();
    view->state = choice->state;
    view->decided = choice->decided;
    view->given_up = choice->given_up;
    view->refused = choice->refused;
    view->refused_with = choice->refused_with;
    platform_change_unlock();
}

bool dispatcher_auto_decision(struct dispatcher *dispatcher, uint64_t sequence,
                              struct dispatcher_decision *decision)
{
    const struct dispatcher_choice *choice = &dispatcher->choice;

    platform_change_lock();
    bool is_there = sequence != 0 && sequence <= choice->decided &&
                    choice->decided - sequence < DISPATCHER_DECISIONS;

    if (is_there) {
        bytes_copy(decision, &choice->decisions[(sequence - 1) % DISPATCHER_DECISIONS],
                   sizeof(*decision));
    }
    platform_change_unlock();
    return is_there;
}

uint64_t dispatcher_auto_decided(struct dispatcher *dispatcher)
{
    platform_change_lock();
    uint64_t decided = dispatcher->choice.decided;

    platform_change_unlock();
    return decided;
}
