// SPDX-License-Identifier: MIT
/* Carries out what the policy wants; see dynamic_auto.h. Invariant: an epoch is of one form of one
 * call: whoever changes the call meanwhile ends it, and what was seen in it is not used. Called by:
 * the kernel's worker, the shell, benches, tests. */
#include "patching/dynamic_auto.h"

#include "patching/bytes.h"
#include "patching/dynamic_epoch.h"
#include "patching/indirect_thunk.h"
#include "patching/patch_budget.h"
#include "patching/platform.h"

#define BATCH_NS 200000ull     /* a batch, before there was one */
#define POLL_NS  1000000ull    /* while the buffer of a trial fills, or while another has it */
#define RETRY_NS 100000000ull  /* behind a change that failed */
#define LOOK_NS  1000000000ull /* without memory or budget */

enum { CHANGE_BATCHES = 2 };

/* under the change lock, all: */
static struct patch_budget budget = {
    .per_second = DYNAMIC_BUDGET_DEFAULT,
    .left = DYNAMIC_BUDGET_DEFAULT * 1000000000ll,
};

/* One for all calls: what the slow way costs is a matter of the thunks. */
static struct {
    uint64_t saving; /* 0: not known */
    enum mitigation mitigation;
} estimate;

void dynamic_auto_set_budget(unsigned batches_per_second)
{
    platform_change_lock();
    patch_budget_set(&budget, batches_per_second, budget.time_ns);
    platform_change_unlock();
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Measured anew where it is to decide: other processors of the same machine, or its host, may have
 * other clocks by then. */
static uint64_t saving_look(bool is_to_decide)
{
    enum mitigation mitigation = mitigation_current();

    if (is_to_decide || estimate.saving == 0 || estimate.mitigation != mitigation) {
        estimate.saving = dynamic_saving_estimate();
        estimate.mitigation = mitigation;
    }
    return estimate.saving;
}

/* By the cheapest batch of all dynamic calls so far, or as much as one took that a slow machine
 * made, an emulated one, as long as there was none. What makes batches dearer is what else runs on
 * the machine, hardly the number of sites; and a call that rests since its own first batch was dear
 * would make no other. */
static uint64_t change_cost_ns(void)
{
    const struct dynamic_call *call;
    uint64_t cheapest_ns = 0;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        uint64_t batch_ns = call->statistics.cheapest_ns;

        if (batch_ns != 0 && (cheapest_ns == 0 || batch_ns < cheapest_ns)) {
            cheapest_ns = batch_ns;
        }
    }
    return (cheapest_ns != 0 ? cheapest_ns : BATCH_NS) * CHANGE_BATCHES;
}

static void epoch_end(struct dynamic_call *call, uint64_t now_ns)
{
    static struct dynamic_epoch epoch; /* under the change lock */
    struct dynamic_choice *choice = &call->choice;
    const struct dynamic_terms terms = {
        .change_ns = change_cost_ns(),
        .saving = saving_look(choice->state == DYNAMIC_LEARNING),
        .ticks_to_ns = platform_ticks_to_ns,
    };

    dynamic_epoch_end(call, now_ns, &epoch);
    dynamic_choice_measured(choice, &terms, &epoch);
}

/* ---- Wishes -----------------------------------------------------------------------------------
 */

/* When the budget has what it takes to make @call what @form says. */
static uint64_t affordable_when(const struct dynamic_call *call,
                                const struct dynamic_call_form *form, uint64_t now_ns)
{
    bool is_slots_change = !bytes_equal(&form->targets, &call->form.targets, sizeof(form->targets));
    bool is_keys_change =
        form->is_open != call->form.is_open || form->is_watched != call->form.is_watched;

    if (!is_slots_change && !is_keys_change) {
        return now_ns;
    }
    return patch_budget_when(&budget, is_slots_change ? CHANGE_BATCHES : 1, now_ns);
}

/* A change that failed costs one batch, also if it got nowhere. */
static void budget_pay(uint64_t batches, enum patch_status status, uint64_t now_ns)
{
    if (status != PATCH_OK && batches == 0) {
        batches = 1;
    }
    for (uint64_t i = 0; i < batches; i++) {
        patch_budget_take(&budget, now_ns);
    }
}

static uint64_t wish_refused(struct dynamic_call *call, enum patch_status status, uint64_t now_ns)
{
    struct dynamic_choice *choice = &call->choice;

    dynamic_trial_leave(call);
    choice->refused++;
    choice->refused_with = status;
    dynamic_choice_refused(choice, now_ns);
    choice->slice_end_ns = 0;
    choice->epoch_end_ns = now_ns + RETRY_NS;
    return choice->epoch_end_ns;
}

/* Also if the text is that already: it clears the counts. */
static uint64_t wish_carry_out(struct dynamic_call *call, const struct dynamic_call_form *form,
                               uint64_t now_ns)
{
    const struct dynamic_call_statistics before = call->statistics;
    enum patch_status status = dynamic_call_set_form_locked(call, form, NULL);

    if (status == PATCH_OK && !dynamic_call_set_through(call, call->choice.wish.goes_through)) {
        status = PATCH_ERR_NOT_LEFT;
    }
    uint64_t batches = call->statistics.batches - before.batches;
    uint64_t cost_ns = call->statistics.cost_ns - before.cost_ns;
    uint64_t done_ns = now_ns + cost_ns + call->statistics.grace_ns - before.grace_ns;

    budget_pay(batches, status, done_ns);
    if (status != PATCH_OK) {
        return wish_refused(call, status, done_ns);
    }
    if (!call->choice.wish.is_timed) {
        dynamic_trial_leave(call);
    }
    dynamic_choice_formed(&call->choice, (uint32_t)batches, cost_ns, done_ns);
    dynamic_epoch_begin(call, done_ns);
    return call->is_timed ? done_ns + POLL_NS : dynamic_epoch_due(&call->choice);
}

/* Brings the call to the wish, unless it has to wait. Returns when to go on. */
static uint64_t wish_fulfil(struct dynamic_call *call, uint64_t now_ns)
{
    const struct dynamic_wish *wish = &call->choice.wish;
    const struct dynamic_call_form form = {
        .targets = wish->targets,
        .compare = call->form.compare,
        .is_open = wish->is_open,
        .is_watched = wish->is_watched,
    };
    uint64_t when = affordable_when(call, &form, now_ns);

    if (wish->is_timed && dynamic_trial_is_taken(call)) {
        return now_ns + POLL_NS;
    }
    if (when > now_ns) {
        return least(when, now_ns + LOOK_NS);
    }
    return wish_carry_out(call, &form, now_ns);
}

static bool is_as_wished(const struct dynamic_call *call)
{
    const struct dynamic_wish *wish = &call->choice.wish;

    return call->form.is_open == wish->is_open && call->form.is_watched == wish->is_watched &&
           call->is_timed == wish->is_timed && call->goes_through == wish->goes_through &&
           bytes_equal(&call->form.targets, &wish->targets, sizeof(wish->targets));
}

/* The next step makes the text so. */
static void learn_anew(struct dynamic_call *call, uint64_t now_ns)
{
    dynamic_epoch_cancel(call);
    dynamic_trial_leave(call);
    (void)saving_look(true);
    dynamic_choice_switch(&call->choice, true, call->slot_count, now_ns);
    call->choice.mitigation = (uint32_t)mitigation_current();
}

static uint64_t step_locked(struct dynamic_call *call, uint64_t now_ns)
{
    struct dynamic_choice *choice = &call->choice;

    if (choice->state == DYNAMIC_OFF || choice->state == DYNAMIC_PINNED) {
        return UINT64_MAX;
    }
    if (__atomic_load_n(&call->counts, __ATOMIC_RELAXED) == NULL) {
        return now_ns + LOOK_NS;
    }
    if (choice->mitigation != (uint32_t)mitigation_current()) {
        learn_anew(call, now_ns); /* what was timed was the slow way of another thunk */
    }
    if (choice->is_recording &&
        (!is_as_wished(call) || dynamic_changes_seen(call) != choice->epoch_changes)) {
        dynamic_epoch_cancel(call);
    }
    if (choice->is_recording && dynamic_epoch_is_over(call, now_ns)) {
        epoch_end(call, now_ns);
    } else if (now_ns < choice->epoch_end_ns) {
        dynamic_epoch_look(call, now_ns);
        return call->is_timed ? now_ns + POLL_NS : dynamic_epoch_due(choice);
    }
    return wish_fulfil(call, now_ns);
}

uint64_t dynamic_auto_step(struct dynamic_call *call, uint64_t now_ns)
{
    if (!platform_may_patch()) {
        return now_ns + RETRY_NS;
    }
    platform_change_lock();
    uint64_t next_ns = step_locked(call, now_ns);

    platform_change_unlock();
    return next_ns;
}

/* ---- By hand ----------------------------------------------------------------------------------
 */

/* Nothing is timed behind it, whether the form could be made or not. */
static enum patch_status form_set_by_hand(struct dynamic_call *call,
                                          const struct dynamic_call_form *form,
                                          struct patch_error *error)
{
    dynamic_epoch_cancel(call);
    dynamic_trial_leave(call);
    return dynamic_call_set_form_locked(call, form, error);
}

static enum patch_status switch_off_locked(struct dynamic_call *call, uint64_t now_ns,
                                           struct patch_error *error)
{
    struct dynamic_call_form form = call->form;

    form.is_open = false;
    form.is_watched = false;
    enum patch_status status = form_set_by_hand(call, &form, error);

    if (status == PATCH_OK) {
        dynamic_choice_switch(&call->choice, false, call->slot_count, now_ns);
    }
    return status;
}

static void switch_on_locked(struct dynamic_call *call, uint64_t now_ns)
{
    enum dynamic_state state = call->choice.state;

    if (state == DYNAMIC_OFF || state == DYNAMIC_PINNED || state == DYNAMIC_RESTING) {
        learn_anew(call, now_ns);
    }
}

enum patch_status dynamic_auto_set(struct dynamic_call *call, bool is_on, uint64_t now_ns,
                                   struct patch_error *error)
{
    enum patch_status status = PATCH_OK;

    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, call->name, 0);
    }
    platform_change_lock();
    if (is_on) {
        switch_on_locked(call, now_ns);
    } else {
        status = switch_off_locked(call, now_ns, error);
    }
    platform_change_unlock();
    return status;
}

static bool targets_are_empty(const struct dynamic_targets *targets)
{
    static const struct dynamic_targets none;

    return bytes_equal(targets, &none, sizeof(none));
}

enum patch_status dynamic_auto_pin(struct dynamic_call *call, const struct dynamic_targets *targets,
                                   uint64_t now_ns, struct patch_error *error)
{
    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, call->name, 0);
    }
    if (targets_are_empty(targets)) {
        return patch_error_set(error, PATCH_ERR_NO_TARGET, call->name, 0);
    }
    platform_change_lock();
    const struct dynamic_call_form form = {
        .targets = *targets,
        .compare = call->form.compare,
        .is_open = true,
    };
    enum patch_status status = form_set_by_hand(call, &form, error);

    if (status == PATCH_OK) {
        dynamic_choice_pin(&call->choice, targets, now_ns);
    }
    platform_change_unlock();
    return status;
}

enum patch_status dynamic_auto_set_compare(struct dynamic_call *call, enum dynamic_compare compare,
                                           struct patch_error *error)
{
    if (!platform_may_patch()) {
        return patch_error_set(error, PATCH_ERR_CONTEXT, call->name, 0);
    }
    platform_change_lock();
    struct dynamic_call_form form = call->form;

    form.compare = compare;
    enum patch_status status = form_set_by_hand(call, &form, error);

    if (call->choice.state == DYNAMIC_TRYING) {
        learn_anew(call, call->choice.epoch_start_ns); /* half of the rounds are of the other one */
    }
    platform_change_unlock();
    return status;
}

bool dynamic_auto_decision(struct dynamic_call *call, uint64_t sequence,
                           struct dynamic_decision *decision)
{
    const struct dynamic_choice *choice = &call->choice;

    platform_change_lock();
    bool is_there = sequence != 0 && sequence <= choice->decided &&
                    choice->decided - sequence < DYNAMIC_DECISIONS;

    if (is_there) {
        bytes_copy(decision, &choice->decisions[(sequence - 1) % DYNAMIC_DECISIONS],
                   sizeof(*decision));
    }
    platform_change_unlock();
    return is_there;
}

void dynamic_auto_look(struct dynamic_call *call, struct dynamic_auto_view *view)
{
    const struct dynamic_choice *choice = &call->choice;

    platform_change_lock();
    view->state = choice->state;
    view->reason = choice->reason;
    view->hits = choice->hits;
    view->misses = choice->misses;
    view->epochs = choice->epochs;
    view->changes = choice->changes;
    view->decided = choice->decided;
    view->refused = choice->refused;
    view->refused_with = choice->refused_with;
    view->next_alarm_ns =
        choice->quiet_until_ns > choice->epoch_start_ns ? choice->quiet_until_ns : 0;
    view->rest_until_ns = choice->state == DYNAMIC_RESTING ? choice->rest_until_ns : 0;
    platform_change_unlock();
}
