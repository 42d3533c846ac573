// SPDX-License-Identifier: MIT
/* When to measure, and where epochs lead; see dispatcher_choice.h. What a trial concludes is in
 * way_verdict.c. Invariant: outside of REST the wish is sampled; in ROUNDS it is candidate
 * number `turn` of round `round`. Called by: dispatcher_auto.c. */
#include "patching/dispatcher_choice.h"

#include "patching/bytes.h"
#include "patching/way_verdict.h"

#define SECOND_NS      1000000000ull
#define INTERVAL_LEAST SECOND_NS
#define INTERVAL_MOST  (64 * SECOND_NS)
#define WATCH_CALM     (4 * SECOND_NS)  /* between looks that find nothing */
#define SETTLING       (SECOND_NS / 10) /* entries are left alone for so long before a trial */
#define MISSES_RARE    16               /* one call in so many is a hit: as good as none */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint32_t bits_count(uint32_t bits)
{
    uint32_t count = 0;

    for (; bits != 0; bits &= bits - 1) {
        count++;
    }
    return count;
}

enum dispatcher_shape dispatcher_shape_canonical(enum dispatcher_shape shape, uint32_t entries)
{
    if (shape == DISPATCHER_NONE) {
        return shape;
    }
    if (entries <= 1) {
        return DISPATCHER_TREE;
    }
    bool is_linear =
        (shape == DISPATCHER_TREE4 && entries <= 4) || (shape == DISPATCHER_HOT2 && entries <= 2);

    return is_linear ? DISPATCHER_LINEAR : shape;
}

static void intervals_reset(struct dispatcher_choice *choice)
{
    choice->retry_interval_ns = INTERVAL_LEAST;
    choice->watch_interval_ns = INTERVAL_LEAST;
}

void dispatcher_choice_switch(struct dispatcher_choice *choice, bool is_on, uint64_t now_ns)
{
    choice->state = is_on ? DISPATCHER_CHOICE_WATCHING : DISPATCHER_CHOICE_OFF;
    choice->next_ns = is_on ? now_ns : UINT64_MAX;
    choice->phase = DISPATCHER_PHASE_REST;
    choice->reason = DISPATCHER_REASON_FIRST;
    choice->is_settled = false;
    choice->is_reordered = false;
    choice->wish = (struct dispatcher_wish){.shape = DISPATCHER_SHAPE_COUNT};
    intervals_reset(choice);
}

static void rest(struct dispatcher_choice *choice, enum dispatcher_shape shape)
{
    choice->state = DISPATCHER_CHOICE_WATCHING;
    choice->phase = DISPATCHER_PHASE_REST;
    choice->wish.shape = shape;
    choice->wish.is_sampled = false;
}

/* Samples the current shape: to watch, or as the first epoch of a trial. */
static void sample(struct dispatcher_choice *choice, enum dispatcher_phase phase)
{
    choice->state = DISPATCHER_CHOICE_WATCHING;
    choice->phase = phase;
    choice->is_alarmed = false;
    choice->silent_epochs = 0;
    choice->is_reordered = false;
    choice->wish.shape = choice->before;
    choice->wish.is_sampled = true;
    choice->wish.cpu = TRIAL_ANY_CPU;
    choice->wish.has_hottest = false;
}

/* What runs now is what it was before the trial. */
static void entries_changed(struct dispatcher_choice *choice,
                            const struct dispatcher_situation *situation)
{
    bool is_resting = choice->phase == DISPATCHER_PHASE_REST;

    choice->given_up += choice->phase == DISPATCHER_PHASE_ROUNDS;
    choice->reason = choice->is_settled ? DISPATCHER_REASON_PROGRAMS : choice->reason;
    choice->is_settled = false;
    choice->generation = situation->generation;
    choice->entries = situation->entries;
    choice->wish.has_hottest = false;
    choice->is_reordered = false;
    intervals_reset(choice);
    rest(choice, is_resting ? choice->wish.shape : choice->before);
    choice->next_ns = situation->now_ns + SETTLING;
}

/* The time has come for something. */
static void begin(struct dispatcher_choice *choice, const struct dispatcher_situation *situation)
{
    bool is_trial = !choice->is_settled || situation->now_ns >= choice->retry_ns;

    choice->before = dispatcher_shape_canonical(choice->wish.shape, choice->entries);
    choice->patches = 0;
    if (is_trial && choice->is_settled) {
        choice->reason = DISPATCHER_REASON_TIME;
    }
    sample(choice, is_trial ? DISPATCHER_PHASE_CENSUS : DISPATCHER_PHASE_WATCH);
}

void dispatcher_choice_look(struct dispatcher_choice *choice,
                            const struct dispatcher_situation *situation)
{
    if (choice->state == DISPATCHER_CHOICE_OFF) {
        return;
    }
    if (choice->wish.shape == DISPATCHER_SHAPE_COUNT) {
        choice->wish.shape = situation->shape;
    }
    if (situation->generation != choice->generation || situation->entries != choice->entries) {
        entries_changed(choice, situation);
    }
    if (choice->entries == 0) {
        choice->next_ns = UINT64_MAX;
    } else if (choice->phase == DISPATCHER_PHASE_REST && situation->now_ns >= choice->next_ns) {
        begin(choice, situation);
    }
}

bool dispatcher_choice_wants_patch(const struct dispatcher_choice *choice,
                                   const struct dispatcher_situation *situation)
{
    return choice->state != DISPATCHER_CHOICE_OFF &&
           (choice->wish.shape != situation->shape ||
            choice->wish.is_sampled != situation->is_sampled || choice->is_reordered);
}

void dispatcher_choice_formed(struct dispatcher_choice *choice, bool is_patched)
{
    choice->is_reordered = false;
    choice->patches += is_patched;
}

void dispatcher_choice_refused(struct dispatcher_choice *choice, uint64_t now_ns)
{
    choice->is_reordered = false;
    if (choice->phase != DISPATCHER_PHASE_REST) {
        choice->given_up++;
        choice->retry_interval_ns = least(choice->retry_interval_ns * 2, INTERVAL_MOST);
        choice->next_ns = choice->retry_ns = now_ns + choice->retry_interval_ns;
        rest(choice, choice->before);
        choice->wish.has_hottest = false;
    }
}

static bool is_unusual(const struct dispatcher_choice *choice, const struct dispatcher_epoch *epoch)
{
    uint64_t usual = choice->usual_cost;
    uint64_t difference = epoch->cost > usual ? epoch->cost - usual : usual - epoch->cost;
    bool has_costs = usual != 0 && epoch->cost != 0;

    return (has_costs && difference > usual / 4) ||
           dispatcher_census_differs(&epoch->census, &choice->usual);
}

/* When to look again after the traffic was found as usual, or a decision was made. */
static void sleep_until_next(struct dispatcher_choice *choice, uint64_t now_ns)
{
    choice->next_ns = least(choice->retry_ns, now_ns + choice->watch_interval_ns);
}

static void watched(struct dispatcher_choice *choice, const struct dispatcher_situation *situation)
{
    if (choice->watch_interval_ns < WATCH_CALM) {
        choice->watch_interval_ns *= 2;
    } else if (choice->watch_interval_ns > WATCH_CALM) {
        choice->watch_interval_ns /= 2;
    }
    rest(choice, choice->before);
    sleep_until_next(choice, situation->now_ns);
}

/* The candidate of this turn: the order of a round begins one further than that of the last. */
static enum dispatcher_shape shape_of_turn(const struct dispatcher_choice *choice)
{
    uint32_t count = bits_count(choice->candidates);
    uint32_t place = (choice->turn + choice->round) % count;
    uint32_t left = choice->candidates;

    while (place-- > 0) {
        left &= left - 1;
    }
    return (enum dispatcher_shape)__builtin_ctz(left);
}

static uint32_t all_candidates(uint32_t entries)
{
    uint32_t candidates = 0;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        candidates |= 1u << dispatcher_shape_canonical(shape, entries);
    }
    return candidates;
}

static void census_take(struct dispatcher_choice *choice, const struct dispatcher_epoch *epoch)
{
    dispatcher_census_add(&choice->census, &epoch->census);
    choice->samples += epoch->census.total;
}

static void hottest_rank(struct dispatcher_choice *choice)
{
    dispatcher_census_rank(&choice->census, choice->entries, choice->hottest);
    choice->wish.has_hottest = true;
    choice->is_reordered = true;
}

/* The first epoch, whether more follow or not. */
static void census_begin(struct dispatcher_choice *choice, const struct dispatcher_epoch *epoch)
{
    bytes_clear(&choice->census, sizeof(choice->census));
    bytes_clear(choice->epochs, sizeof(choice->epochs));
    choice->samples = 0;
    choice->cpu = epoch->cpu;
    choice->overhead = epoch->overhead;
    census_take(choice, epoch);
}

static void rounds_begin(struct dispatcher_choice *choice, const struct dispatcher_epoch *epoch)
{
    census_begin(choice, epoch);
    choice->round = choice->turn = 0;
    choice->wish.cpu = epoch->cpu;
    choice->candidates = all_candidates(choice->entries);
    hottest_rank(choice);
    choice->state = DISPATCHER_CHOICE_TRYING;
    choice->phase = DISPATCHER_PHASE_ROUNDS;
    choice->wish.shape = shape_of_turn(choice);
}

static void decision_note(struct dispatcher_choice *choice, enum dispatcher_shape after,
                          uint64_t now_ns)
{
    struct dispatcher_decision *decision =
        &choice->decisions[choice->decided % DISPATCHER_DECISIONS];

    decision->sequence = ++choice->decided;
    decision->time_ns = now_ns;
    decision->generation = choice->generation;
    decision->reason = choice->reason;
    decision->before = choice->before;
    decision->after = after;
    decision->entries = choice->entries;
    decision->patches = choice->patches + 1; /* the one that ends it */
    decision->samples = choice->samples;
    decision->cpu = choice->cpu;
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        decision->costs[shape] = way_verdict_cost(choice->epochs[shape]);
    }
}

static void intervals_choose(struct dispatcher_choice *choice, uint64_t now_ns)
{
    if (!choice->is_settled) {
        intervals_reset(choice);
    } else { /* also if the answer is another one: it may go to and fro */
        choice->retry_interval_ns = least(choice->retry_interval_ns * 2, INTERVAL_MOST);
        if (choice->reason == DISPATCHER_REASON_TRAFFIC) {
            choice->watch_interval_ns = least(choice->watch_interval_ns * 2, INTERVAL_MOST);
        }
    }
    choice->retry_ns = now_ns + choice->retry_interval_ns;
    sleep_until_next(choice, now_ns);
}

/* @after it is, for the traffic of the census. */
static void settle(struct dispatcher_choice *choice, enum dispatcher_shape after, uint64_t now_ns)
{
    decision_note(choice, after, now_ns);
    intervals_choose(choice, now_ns);
    bytes_copy(&choice->usual, &choice->census, sizeof(choice->usual));
    choice->usual_cost = way_verdict_cost(choice->epochs[after]);
    choice->is_settled = true;
    hottest_rank(choice);
    rest(choice, after);
}

static void decide(struct dispatcher_choice *choice, uint64_t now_ns)
{
    const struct way_trial trial = {
        .epochs = choice->epochs,
        .candidates = choice->candidates,
        .current = choice->before,
        .plain = DISPATCHER_NONE,
        .overhead = choice->overhead,
        .is_routine = choice->reason == DISPATCHER_REASON_TIME,
    };

    settle(choice, (enum dispatcher_shape)way_verdict_choose(&trial), now_ns);
}

static bool is_nearly_all_misses(const struct dispatcher_epoch *epoch)
{
    return epoch->census.total - epoch->census.misses <= epoch->census.total / MISSES_RARE;
}

/* Decides without a trial, if that needs none, or none is possible. Whatever a shape does before a
 * miss, the fallback does not: misses need no clock. Calls that never come in a row cannot be
 * timed; they are rare, and what they cost matters little. Returns false if a trial is to tell. */
static bool census_decides(struct dispatcher_choice *choice, const struct dispatcher_epoch *epoch,
                           uint64_t now_ns)
{
    bool misses = is_nearly_all_misses(epoch);

    if (!misses && epoch->cost != 0) {
        return false;
    }
    census_begin(choice, epoch);
    choice->epochs[choice->before][0] = epoch->cost;
    settle(choice, misses ? DISPATCHER_NONE : choice->before, now_ns);
    return true;
}

static uint32_t rounds_of(enum dispatcher_reason reason)
{
    return reason == DISPATCHER_REASON_TIME ? DISPATCHER_ROUTINE_ROUNDS : DISPATCHER_TRIAL_ROUNDS;
}

/* An epoch of a shape that is tried. */
static void turn_end(struct dispatcher_choice *choice, const struct dispatcher_epoch *epoch,
                     uint64_t now_ns)
{
    choice->epochs[choice->wish.shape][choice->round] = epoch->cost;
    census_take(choice, epoch);
    if (++choice->turn == bits_count(choice->candidates)) {
        choice->turn = 0;
        choice->round++;
        choice->candidates =
            way_verdict_hopeful(choice->epochs, choice->candidates, choice->before, choice->round);
    }
    if (choice->round == rounds_of(choice->reason) || choice->candidates == 1u << choice->before) {
        decide(choice, now_ns);
    } else {
        choice->wish.shape = shape_of_turn(choice);
    }
}

/* Nobody calls; the CPU that did may have left it to others. */
static void fell_silent(struct dispatcher_choice *choice)
{
    uint32_t epochs = choice->silent_epochs + 1;

    if (choice->phase == DISPATCHER_PHASE_ROUNDS) {
        choice->given_up++;
        sample(choice, DISPATCHER_PHASE_CENSUS);
    }
    choice->silent_epochs = epochs;
}

void dispatcher_choice_measured(struct dispatcher_choice *choice,
                                const struct dispatcher_situation *situation,
                                const struct dispatcher_epoch *epoch)
{
    if (choice->phase == DISPATCHER_PHASE_REST) {
        return;
    }
    bool is_timed = epoch->cost != 0 || choice->phase != DISPATCHER_PHASE_ROUNDS;

    if (epoch->census.total < DISPATCHER_EPOCH_LEAST || !is_timed) {
        fell_silent(choice);
        return;
    }
    choice->silent_epochs = 0;
    if (choice->phase == DISPATCHER_PHASE_ROUNDS) {
        turn_end(choice, epoch, situation->now_ns);
        return;
    }
    bool is_alarm = choice->is_settled && is_unusual(choice, epoch);

    if (choice->phase == DISPATCHER_PHASE_WATCH && is_alarm && !choice->is_alarmed) {
        choice->is_alarmed = true; /* once more, to be sure */
    } else if (choice->phase == DISPATCHER_PHASE_WATCH && !is_alarm) {
        watched(choice, situation);
    } else {
        choice->reason = is_alarm ? DISPATCHER_REASON_TRAFFIC : choice->reason;
        if (!census_decides(choice, epoch, situation->now_ns)) {
            rounds_begin(choice, epoch);
        }
    }
}

const char *dispatcher_reason_name(enum dispatcher_reason reason)
{
    static const char *const names[] = {"first", "programs", "traffic", "time"};

    return (unsigned)reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "?";
}

const char *dispatcher_choice_state_name(enum dispatcher_choice_state state)
{
    static const char *const names[] = {"off", "watching", "trying"};

    return (unsigned)state < sizeof(names) / sizeof(names[0]) ? names[state] : "?";
}
