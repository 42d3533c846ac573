// SPDX-License-Identifier: MIT
/* Five seconds in which everything that is patched changes at once. On every CPU a caller goes
 * through static keys, static calls of every kind of site and form, lazy calls and the thunks of
 * indirect branches, and checks where it got; on every CPU a changer changes some of them, one
 * batch after the other; this thread switches protocols and traces all functions, those of callers,
 * changers, scheduler and patcher among them.
 *
 *   changer, the only one of a subject     caller
 *   started = n (release)                  before = finished (acquire)
 *   update n, returns                      goes through the subject: meets states
 *   finished = n (release)                 after = started (acquire)
 *                                          each of them must be one of updates before .. after
 *
 * Why it detects: what a batch leaves behind, or spoils for another kind, is a state too old, a
 * branch lost, or bytes that the next batch does not expect: it is refused, which counts as lost;
 * and patchers that do not exclude each other spoil each other's batch. Could miss: what is
 * stale for less than a pass, and the missing sync as such, which an emulator does not show
 * (tests/host and tests/model do); a race that needs an instant that five seconds do not hit.
 * Invariant: behind it all is as at boot. Called by: suite_torture.c. */
#include "tests/kernel/torture_everything.h"

#include "arch/clock.h"
#include "arch/percpu.h"
#include "bench/bench_keys.h"
#include "bench/bench_lazy.h"
#include "kernel/mutex.h"
#include "kernel/thread.h"
#include "kernel/trace_rings.h"
#include "patching/function_trace.h"
#include "patching/indirect_thunk.h"
#include "patching/static_key.h"
#include "patching/trace_ring.h"
#include "patching/transaction.h"
#include "tests/kernel/call_subjects.h"
#include "tests/kernel/test.h"
#include "tests/kernel/thunk_pass.h"
#include "tests/kernel/workers.h"

#define TORTURE_NS 5000000000ull
#define MOMENT_NS  5000000ull

/* Callers rest behind so many passes. On a host with fewer cores than we have CPUs an update would
 * wait for the time slices of them all. */
#define BURST   4
#define REST_NS 200000ull

#define JOB_TURNS_LEAST 2 /* until then it goes on, however slow the host */

#define MIXED (1u << 31) /* met no state that there is, or not each site once */

/* What is changed: update number n leads to state n modulo @states. */
struct subject {
    uint32_t (*meet)(const void *object, unsigned turn); /* goes through; returns states, as bits */
    struct patch_change (*change_to)(const void *object, unsigned state);
    const void *object;
    unsigned states;
    uint64_t started, finished; /* atomic: see above */
    uint64_t settled;           /* atomic: passes that had to meet one state */
};

/* Of sites that count @second << 16 | @first, and are @sites. */
static uint32_t states_of_sum(uint32_t sum, uint32_t sites)
{
    uint32_t first = sum & 0xffff;
    uint32_t second = sum >> 16;
    return first + second != sites ? MIXED : (first != 0 ? 1u : 0) | (second != 0 ? 2u : 0);
}

static uint32_t key_meet(const void *object, unsigned turn)
{
    const struct bench_key *bench = object;
    (void)turn;
    return states_of_sum(bench->run(), bench->sites);
}

static struct patch_change key_change_to(const void *object, unsigned state)
{
    return static_key_change_to(((const struct bench_key *)object)->key, state != 0);
}

static uint32_t lazy_meet(const void *object, unsigned turn)
{
    const struct bench_lazy *bench = object;
    (void)turn;
    return states_of_sum(bench->run(), bench->sites);
}

static struct patch_change lazy_change_to(const void *object, unsigned state)
{
    return lazy_call_change_to(((const struct bench_lazy *)object)->lazy,
                               (lazy_call_function *)(state ? bench_lazy_new : bench_lazy_old));
}

static uint32_t call_meet(const void *object, unsigned turn)
{
    const struct call_subject *call = object;
    uint64_t reached = call->reach(turn % CALL_WAYS);
    return reached >= call->initial && reached < CALL_TARGETS ? 1u << (reached - call->initial)
                                                              : MIXED;
}

static struct patch_change call_change_to(const void *object, unsigned state)
{
    const struct call_subject *call = object;
    return static_call_change_to(call->call, call->targets[call->initial + state]);
}

enum { KEY_1, KEY_4, KEY_16, LAZY_1, LAZY_56, RETURNING, WRITING, OUTER, SUBJECTS };

#define SUBJECT(kind, what, count)                                                                 \
    {                                                                                              \
        kind##_meet, kind##_change_to, (what), (count), 0, 0, 0                                    \
    }

static struct everything {
    struct workers callers, changers;
    struct subject subjects[SUBJECTS];
    uint64_t passes, mixed, stale, strayed; /* atomic, by callers */
    uint64_t lost;                          /* atomic: changes refused, by changers */
    uint32_t changers_begun;                /* atomic */
    uint64_t turns[SUBJECTS];               /* atomic: of jobs, each by its changer */
} all;

/* Taken for what changes many sites, and while protocol int3 is the default: its three rounds a
 * site would take longer than the case. */
static struct mutex many_sites = MUTEX("torture, many sites");

static void add(uint64_t *counter, uint64_t amount)
{
    if (amount != 0) {
        __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
    }
}

/* The states of updates @before to @after. */
static uint32_t states_allowed(const struct subject *subject, uint64_t before, uint64_t after)
{
    uint32_t states = 0;
    for (uint64_t n = before; n <= after && n < before + subject->states; n++) {
        states |= 1u << (n % subject->states);
    }
    return states;
}

static void subject_check(struct subject *subject, unsigned turn)
{
    /* Acquire, both: pair with the releases in update_begin() and update_end(). */
    uint64_t before = __atomic_load_n(&subject->finished, __ATOMIC_ACQUIRE);
    uint32_t states = subject->meet(subject->object, turn);
    uint64_t after = __atomic_load_n(&subject->started, __ATOMIC_ACQUIRE);
    if (states == MIXED) {
        add(&all.mixed, 1);
    } else if ((states & ~states_allowed(subject, before, after)) != 0) {
        add(&all.stale, 1);
    }
    add(&subject->settled, before == after);
}

static void call_everything(void *argument)
{
    (void)argument;
    for (unsigned turn = 0; !workers_should_stop(&all.callers); turn++) {
        for (unsigned i = 0; i < SUBJECTS; i++) {
            subject_check(&all.subjects[i], turn);
        }
        add(&all.strayed, thunk_pass(turn));
        add(&all.passes, 1);
        if (turn % BURST == 0) {
            thread_sleep_ns(REST_NS);
        }
    }
}

static void lost_if_not(enum patch_status status)
{
    add(&all.lost, status != PATCH_OK);
}

static struct patch_change update_begin(struct subject *subject)
{
    uint64_t number = subject->started + 1;
    /* Release: whoever reads it knows the updates before; below: is behind this one. */
    __atomic_store_n(&subject->started, number, __ATOMIC_RELEASE);
    return subject->change_to(subject->object, (unsigned)(number % subject->states));
}

static void update_end(struct subject *subject)
{
    __atomic_store_n(&subject->finished, subject->started, __ATOMIC_RELEASE);
}

/* Updates @count subjects in one batch. */
static void update(const unsigned *members, unsigned count)
{
    struct patch_change changes[SUBJECTS];
    for (unsigned i = 0; i < count; i++) {
        changes[i] = update_begin(&all.subjects[members[i]]);
    }
    lost_if_not(patch_transaction("torture", changes, count, NULL));
    for (unsigned i = 0; i < count; i++) {
        update_end(&all.subjects[members[i]]);
    }
}

static void change_keys(unsigned turn)
{
    unsigned key = turn % 4 == 0 ? KEY_4 : KEY_1;
    update(&key, 1);
}

static void change_calls(unsigned turn)
{
    unsigned call = turn % 2 == 0 ? RETURNING : OUTER;
    update(&call, 1);
}

static void change_lazy_call(unsigned turn)
{
    static const unsigned lazy_call = LAZY_56;
    mutex_lock(&many_sites);
    update(&lazy_call, 1);
    if (turn % 8 == 7) {
        lost_if_not(lazy_call_forget(bench_lazy_find(56)->lazy, NULL));
    }
    mutex_unlock(&many_sites);
}

/* A key, a lazy call and a static call, in one batch. */
static void change_together(unsigned turn)
{
    static const unsigned members[] = {KEY_16, LAZY_1, WRITING};
    (void)turn;
    mutex_lock(&many_sites);
    update(members, sizeof(members) / sizeof(members[0]));
    mutex_unlock(&many_sites);
}

static const struct call_subject *const calls[] = {&call_returning, &call_writing, &call_outer};

/* No caller notices. */
static void change_forms(unsigned turn)
{
    bool is_inline = turn / 3 % 2 == 0;
    lost_if_not(static_call_set_form(
        calls[turn % 3]->call, is_inline ? STATIC_CALL_INLINE : STATIC_CALL_OUT_OF_LINE, NULL));
}

static void change_mitigation(unsigned turn)
{
    mutex_lock(&many_sites);
    lost_if_not(mitigation_set(thunk_switches[turn % THUNK_SWITCHES], NULL));
    mutex_unlock(&many_sites);
}

static void (*const jobs[])(unsigned turn) = {
    change_keys, change_calls, change_together, change_lazy_call, change_mitigation, change_forms,
};
#define JOBS (sizeof(jobs) / sizeof(jobs[0]))
_Static_assert(JOBS <= SUBJECTS, "turns");

/* Each changer has jobs of its own: with one CPU all, with many one. */
static void change_everything(void *argument)
{
    uint32_t mine = __atomic_fetch_add(&all.changers_begun, 1, __ATOMIC_RELAXED);
    (void)argument;
    while (!workers_should_stop(&all.changers)) {
        for (uint32_t i = mine; i < JOBS; i += all.changers.count) {
            jobs[i]((unsigned)all.turns[i]);
            add(&all.turns[i], 1);
        }
        thread_sleep_ns(REST_NS);
    }
}

static bool is_any(uint32_t index, void *argument)
{
    (void)index;
    (void)argument;
    return true;
}

static void trace_all(struct test *test, bool on)
{
    struct function_trace_cost cost;
    struct patch_error error;
    mutex_lock(&many_sites);
    EXPECT_EQUAL(test, function_trace_set(on, is_any, NULL, 0, &cost, &error), PATCH_OK);
    EXPECT_EQUAL(test, cost.functions, function_trace_count());
    mutex_unlock(&many_sites);
}

/* All functions on and off: recorded in rings, which are exchanged meanwhile; without rings; or
 * with recording off. */
static void trace_for_a_moment(struct test *test, unsigned turn)
{
    bool has_rings = turn % 3 != 1;
    unsigned silent;
    EXPECT(test, trace_rings_free(&silent));
    if (has_rings) {
        EXPECT(test, trace_rings_open(TRACE_RECORDS_LEAST));
    }
    trace_recording_set(turn % 3 != 2);
    trace_all(test, true);
    thread_sleep_ns(MOMENT_NS);
    if (has_rings) {
        EXPECT(test, trace_rings_reserve(TRACE_RECORDS_LEAST * 2) && trace_rings_stop(&silent));
        trace_rings_begin();
        trace_recording_set(true);
        thread_sleep_ns(MOMENT_NS);
    }
    trace_all(test, false);
}

/* The protocols that keep their promise. qword takes the steps of int3-batch in an emulator. */
static const enum patch_protocol_id protocols[] = {
    PATCH_PROTOCOL_INT3_BATCH,
    PATCH_PROTOCOL_STOP,
    PATCH_PROTOCOL_QWORD,
    PATCH_PROTOCOL_INT3,
};
#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static void turn_take(struct test *test, unsigned turn)
{
    enum patch_protocol_id protocol = protocols[turn % PROTOCOLS];
    if (protocol != PATCH_PROTOCOL_INT3) {
        EXPECT_EQUAL(test, patch_protocol_set_default(protocol, 0), PATCH_OK);
        trace_for_a_moment(test, turn);
        return;
    }
    mutex_lock(&many_sites);
    EXPECT_EQUAL(test, patch_protocol_set_default(protocol, 0), PATCH_OK);
    thread_sleep_ns(MOMENT_NS);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    mutex_unlock(&many_sites);
}

static void everything_begin(void)
{
    all = (struct everything){.subjects = {
                                  [KEY_1] = SUBJECT(key, bench_key_find(1), 2),
                                  [KEY_4] = SUBJECT(key, bench_key_find(4), 2),
                                  [KEY_16] = SUBJECT(key, bench_key_find(16), 2),
                                  [LAZY_1] = SUBJECT(lazy, bench_lazy_find(1), 2),
                                  [LAZY_56] = SUBJECT(lazy, bench_lazy_find(56), 2),
                                  [RETURNING] = SUBJECT(call, &call_returning, CALL_TARGETS),
                                  [WRITING] = SUBJECT(call, &call_writing, CALL_TARGETS),
                                  [OUTER] = SUBJECT(call, &call_outer, CALL_TARGETS - 1),
                              }};
}

/* As at boot; nobody calls or changes any more. */
static void everything_put_back(struct test *test)
{
    unsigned silent;
    EXPECT(test, trace_rings_free(&silent));
    EXPECT_EQUAL(test, function_trace_count_on(), 0);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    EXPECT_EQUAL(test, mitigation_set(MITIGATION_RETPOLINE, NULL), PATCH_OK);
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        EXPECT_EQUAL(test, static_call_set_form(calls[i]->call, calls[i]->form, NULL), PATCH_OK);
    }
    for (unsigned i = 0; i < SUBJECTS; i++) {
        struct patch_change change = all.subjects[i].change_to(all.subjects[i].object, 0);
        EXPECT_EQUAL(test, patch_transaction("torture ends", &change, 1, NULL), PATCH_OK);
    }
    EXPECT(test, bench_lazy_reset(bench_lazy_find(1)));
    EXPECT(test, bench_lazy_reset(bench_lazy_find(56)));
}

static void everything_expect(struct test *test)
{
    EXPECT_EQUAL(test, all.mixed, 0);
    EXPECT_EQUAL(test, all.stale, 0);
    EXPECT_EQUAL(test, all.strayed, 0);
    EXPECT_EQUAL(test, all.lost, 0);
    if (test->skip_reason != NULL) {
        return;
    }
    EXPECT(test, all.passes > 0);
    for (unsigned i = 0; i < SUBJECTS; i++) {
        EXPECT(test, all.subjects[i].finished > 0);
        EXPECT(test, all.subjects[i].settled > 0);
    }
}

static bool torture_goes_on(unsigned turn, uint64_t deadline)
{
    bool all_had_turns = turn >= PROTOCOLS;
    for (unsigned i = 0; i < JOBS; i++) {
        all_had_turns &= __atomic_load_n(&all.turns[i], __ATOMIC_RELAXED) >= JOB_TURNS_LEAST;
    }
    return !all_had_turns || clock_now_ns() < deadline;
}

void everything_that_is_patched_changes_at_once(struct test *test)
{
    everything_begin();
    if (!EXPECT(test, workers_start(&all.callers, true, call_everything, NULL))) {
        return;
    }
    if (EXPECT(test, workers_start(&all.changers, true, change_everything, NULL))) {
        uint64_t deadline = clock_now_ns() + test_torture_ns(TORTURE_NS);
        for (unsigned turn = 0; torture_goes_on(turn, deadline); turn++) {
            if (test_should_stop(test)) {
                test_skip(test, "stopped by Ctrl-C");
                break;
            }
            turn_take(test, turn);
        }
        workers_join(&all.changers);
    }
    workers_join(&all.callers);
    everything_put_back(test);
    everything_expect(test);
}
