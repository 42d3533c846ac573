// SPDX-License-Identifier: MIT
/* Counting and timing an epoch; see dynamic_epoch.h. Invariant: one call has the trial; an epoch
 * that is cancelled leaves nothing but counts, which the next one clears. Called by:
 * dynamic_auto.c. */
#include "patching/dynamic_epoch.h"

#include "patching/bytes.h"

#define TIMED_NS 50000000ull /* an epoch of a trial, at most */

enum {
    TIMED_LEAST = 64, /* calls: fewer tell nothing about what they cost */
    SLICES = 16,      /* of an epoch: one is counted, ... */
    SLICE_LEAST = 64, /* ... if that many calls were */
};

/* Whose trial it is. From its first epoch to its end, so that epochs are compared which nobody
 * else's stand between. */
static struct {
    struct dynamic_call *call; /* NULL: nobody's */
    uint64_t overhead;
    uint32_t cpu; /* which the next epoch is to be of */
} trial_user;

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool dynamic_trial_is_taken(const struct dynamic_call *call)
{
    return trial_user.call != NULL && trial_user.call != call;
}

static void trial_enter(struct dynamic_call *call)
{
    if (trial_user.call != call) {
        trial_user.call = call;
        trial_user.cpu = TRIAL_ANY_CPU;
        trial_user.overhead = trial_overhead(&dynamic_trial);
    }
    trial_start(&dynamic_trial, trial_user.cpu);
    dynamic_watch_set_timed(call, true);
}

/* Ends an epoch of a trial. Returns how many samples it has. Epochs to come are of the CPU that has
 * recorded, unless it fell silent. */
static uint32_t trial_pause(struct dynamic_call *call)
{
    dynamic_watch_set_timed(call, false);

    bool is_slow_again = dynamic_call_set_through(call, false); /* never refused */
    uint32_t count = trial_stop(&dynamic_trial);

    (void)is_slow_again;
    trial_user.cpu = count != 0 ? trial_cpu(&dynamic_trial) : TRIAL_ANY_CPU;
    return count;
}

void dynamic_trial_leave(const struct dynamic_call *call)
{
    if (trial_user.call == call) {
        trial_user.call = NULL;
    }
}

void dynamic_epoch_begin(struct dynamic_call *call, uint64_t now_ns)
{
    struct dynamic_choice *choice = &call->choice;

    choice->is_recording = true;
    choice->epoch_start_ns = now_ns;
    choice->epoch_end_ns = choice->next_ns;
    choice->epoch_changes = dynamic_changes_seen(call);
    choice->slice_end_ns = now_ns + DYNAMIC_EPOCH_NS / SLICES;
    choice->counted_ns = 0;
    if (choice->wish.is_timed) {
        choice->slice_end_ns = 0;
        choice->epoch_end_ns = least(choice->epoch_end_ns, now_ns + TIMED_NS);
        trial_enter(call);
    }
}

void dynamic_epoch_cancel(struct dynamic_call *call)
{
    if (call->is_timed) {
        (void)trial_pause(call);
    }
    call->choice.is_recording = false;
    call->choice.slice_end_ns = 0;
    call->choice.epoch_end_ns = 0;
}

bool dynamic_epoch_is_over(const struct dynamic_call *call, uint64_t now_ns)
{
    return now_ns >= call->choice.epoch_end_ns || (call->is_timed && trial_is_full(&dynamic_trial));
}

/* To count a call costs as much as two of them, or three; so where there are many, a part of the
 * epoch must do. */
static void slice_end(struct dynamic_call *call, uint64_t now_ns)
{
    static struct dynamic_census census; /* under the change lock */
    struct dynamic_choice *choice = &call->choice;

    choice->slice_end_ns = 0;
    dynamic_count_merge(&census, call->counts, call->count_cpus);
    if (census.total >= SLICE_LEAST) {
        dynamic_watch_set_counting(call, false);
        choice->counted_ns = now_ns - choice->epoch_start_ns;
    }
}

void dynamic_epoch_look(struct dynamic_call *call, uint64_t now_ns)
{
    if (call->choice.slice_end_ns != 0 && now_ns >= call->choice.slice_end_ns) {
        slice_end(call, now_ns);
    }
}

uint64_t dynamic_epoch_due(const struct dynamic_choice *choice)
{
    return choice->slice_end_ns != 0 ? least(choice->slice_end_ns, choice->epoch_end_ns)
                                     : choice->epoch_end_ns;
}

static bool is_in_slot(const struct dynamic_call *call, uint64_t target)
{
    for (uint32_t i = 0; i < call->slot_count; i++) {
        if (call->form.targets.slot[i] == target) {
            return true;
        }
    }
    return false;
}

/* As many as in the whole epoch, as a slice of it tells. */
static uint64_t scaled(const struct dynamic_choice *choice, uint64_t calls, uint64_t now_ns)
{
    uint64_t length_ns = now_ns > choice->epoch_start_ns ? now_ns - choice->epoch_start_ns : 0;

    return choice->counted_ns != 0 ? dynamic_scores_rate(calls, choice->counted_ns, length_ns)
                                   : calls;
}

static void census_take(struct dynamic_call *call, struct dynamic_census *census, uint64_t now_ns)
{
    uint64_t hits = 0;

    dynamic_count_merge(census, call->counts, call->count_cpus);
    for (uint32_t i = 0; i < census->row_count; i++) {
        hits += is_in_slot(call, census->rows[i].target) ? census->rows[i].calls : 0;
    }
    call->choice.hits += scaled(&call->choice, hits, now_ns);
    call->choice.misses += scaled(&call->choice, census->total - hits, now_ns);
}

void dynamic_epoch_end(struct dynamic_call *call, uint64_t now_ns, struct dynamic_epoch *epoch)
{
    struct dynamic_choice *choice = &call->choice;

    bytes_clear(epoch, sizeof(*epoch));
    epoch->now_ns = now_ns;
    epoch->length_ns = choice->counted_ns;
    if (epoch->length_ns == 0 && now_ns > choice->epoch_start_ns) {
        epoch->length_ns = now_ns - choice->epoch_start_ns;
    }
    if (call->is_timed) {
        uint32_t count = trial_pause(call);

        epoch->census.total = count;
        epoch->cost = count >= TIMED_LEAST ? trial_cost(dynamic_trial.samples, count) : 0;
        epoch->overhead = trial_user.overhead;
    } else {
        census_take(call, &epoch->census, now_ns);
    }
    choice->is_recording = false;
}
