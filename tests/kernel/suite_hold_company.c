// SPDX-License-Identifier: MIT
/* Held batches with company: an NMI storm (hold_storm.c), a second patcher, and threads that lost
 * their CPU right before, behind or inside what is being patched. What is checked, and what that
 * could miss: see suite_hold.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "kernel/wait_queue.h"
#include "tests/kernel/hold_test.h"
#include "tests/kernel/patch_sites.h"
#include "tests/kernel/workers.h"

#define POLL_NS       100000ull
#define REFRESH_POLLS 50

static unsigned other_cpu(unsigned number)
{
    unsigned cpu = cpu_index();
    for (unsigned i = 0; i <= number % (cpu_count() - 1); i++) {
        do {
            cpu = (cpu + 1) % cpu_present_count();
        } while (!cpu_index_is_online(cpu) || cpu == cpu_index());
    }
    return cpu;
}

/* Waits until is_so(); returns false after the limit. */
static bool wait_until(const struct hold_flip *flip, bool (*is_so)(void))
{
    uint64_t deadline = clock_now_ns() + HOLD_TIMEOUT_NS;
    for (unsigned i = 1; !is_so(); i++) {
        if (clock_now_ns() > deadline) {
            return false;
        }
        if (flip->holds != 0 && i % REFRESH_POLLS == 0) {
            hold_flip_refresh();
        }
        thread_sleep_ns(POLL_NS);
    }
    return true;
}

/* The second patcher: one thread wants other sites, one the very sites that are held. Both must be
 * found asleep on the patch lock in every later step; then the one succeeds, and the other is
 * refused because the bytes are not those it expects. A lock that lets them in shows as a batch
 * that returned while the first was held, as bytes out of place, or as a mixture. Mutant:
 * two-patchers-at-once. */
static struct rivals {
    unsigned start_at; /* the hold at which they begin */
    bool go;           /* atomic */
    struct thread *threads[2];
    bool returned[2]; /* atomic */
    enum patch_status status[2];
    struct test *test;
    enum hold_form goal; /* of the batch that is held */
    uint32_t sites;
} rivals;

static struct patch_batch same_sites; /* static: a handler would read it */

static void rival_wait(void)
{
    while (!__atomic_load_n(&rivals.go, __ATOMIC_ACQUIRE)) {
        thread_yield();
    }
}

static void rival_elsewhere(void *argument)
{
    (void)argument;
    rival_wait();
    rivals.status[0] = site_patch(rivals.test, (uint64_t)patch_site_plain, INSTRUCTION_JUMP,
                                  (uint64_t)patch_target_two, NULL);
    __atomic_store_n(&rivals.returned[0], true, __ATOMIC_RELEASE);
}

static void rival_at_the_same_sites(void *argument)
{
    (void)argument;
    rival_wait();
    patch_batch_initialize(&same_sites, "second patcher");
    for (unsigned i = 0; i < HOLD_SITES; i++) {
        uint8_t bytes[HOLD_FORMS][PATCH_SITE_LENGTH_MAX];
        hold_site_bytes(&hold_sites[i], HOLD_FORM_FIRST, bytes[HOLD_FORM_FIRST]);
        hold_site_bytes(&hold_sites[i], HOLD_FORM_SECOND, bytes[HOLD_FORM_SECOND]);
        if (rivals.sites >> i & 1) {
            EXPECT_EQUAL(rivals.test,
                         patch_batch_add(&same_sites, hold_sites[i].address,
                                         bytes[HOLD_FORM_SECOND - rivals.goal], bytes[rivals.goal],
                                         hold_sites[i].forms[HOLD_FORM_FIRST].length),
                         PATCH_OK);
        }
    }
    rivals.status[1] = patch_batch_apply(&same_sites);
    __atomic_store_n(&rivals.returned[1], true, __ATOMIC_RELEASE);
}

static bool rivals_sleep(void)
{
    for (unsigned i = 0; i < 2; i++) {
        if (__atomic_load_n(&rivals.threads[i]->state, __ATOMIC_RELAXED) != THREAD_BLOCKED) {
            return false;
        }
    }
    return true;
}

static void visit_with_rivals(struct hold_flip *flip)
{
    if (flip->holds < rivals.start_at) {
        return;
    }
    __atomic_store_n(&rivals.go, true, __ATOMIC_RELEASE);
    if (flip->protocol == PATCH_PROTOCOL_STOP) {
        hold_visit_plain(flip); /* they are parked like everybody else */
    } else if (!wait_until(flip, rivals_sleep)) {
        hold_flip_fault(flip, "a second patcher does not wait for the patch lock");
    }
    for (unsigned i = 0; i < 2; i++) {
        if (__atomic_load_n(&rivals.returned[i], __ATOMIC_ACQUIRE)) {
            hold_flip_fault(flip, "a second patcher came through: %s",
                            patch_status_text(rivals.status[i]));
        }
    }
}

/* One flip, at whose hold number @start_at the rivals begin. */
static void flip_with_rivals(struct test *test, const struct hold_scenario *scenario,
                             enum hold_form goal, unsigned start_at)
{
    rivals =
        (struct rivals){.start_at = start_at, .test = test, .goal = goal, .sites = scenario->sites};
    rivals.threads[0] = thread_create("rival", other_cpu(0), rival_elsewhere, NULL);
    rivals.threads[1] = thread_create("rival", other_cpu(1), rival_at_the_same_sites, NULL);
    bool complete = EXPECT(test, rivals.threads[0] != NULL && rivals.threads[1] != NULL);
    if (complete) {
        hold_test_flip(test, scenario, goal, visit_with_rivals);
    }
    __atomic_store_n(&rivals.go, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < 2; i++) {
        if (rivals.threads[i] != NULL) {
            thread_join(rivals.threads[i]);
        }
    }
    if (complete) {
        EXPECT_EQUAL(test, rivals.status[0], PATCH_OK);
        EXPECT_EQUAL(test, rivals.status[1], PATCH_ERR_UNEXPECTED);
    }
    EXPECT_EQUAL(test, patch_site_plain(), 2);
    EXPECT_EQUAL(test, site_patch(test, (uint64_t)patch_site_plain, INSTRUCTION_NOP, 0, NULL),
                 PATCH_OK);
}

static void run_with_rivals(struct test *test, const struct hold_scenario *scenario)
{
    if (!hold_test_begin(test)) {
        return;
    }
    /* There at odd holds, back at even ones; stop has one. */
    for (unsigned start_at = 1; start_at <= scenario->holds + scenario->holds % 2; start_at++) {
        enum hold_form goal = start_at % 2 != 0 ? HOLD_FORM_SECOND : HOLD_FORM_FIRST;
        unsigned hold = start_at <= scenario->holds ? start_at : scenario->holds;
        flip_with_rivals(test, scenario, goal, hold);
    }
    hold_test_end(test, scenario);
}

/* Threads that stand still, switched away, for part of a batch: one at each site with the site as
 * its next instruction, one in the code that the site led to, with the way back behind the site on
 * its stack if that was a call. They stop at one hold (0: before the batch) and go on in a later
 * one (the last: after it). Whoever goes on before a site must get what is allowed there now;
 * whoever goes on behind it must find its way back. Nothing is left to luck but which other
 * instructions a thread might stand at: there the second part helps, in which a thread that never
 * sleeps takes every reader's CPU away at ends of time slices, wherever the reader is then. Mutant:
 * emulated-call-returns-to-itself. */
struct stander {
    struct thread *thread;
    unsigned site;
    enum hold_stand stand;
    bool stands; /* atomic */
    bool ended;  /* atomic */
    enum hold_outcome outcome;
};

static struct standers {
    unsigned stop_at, go_at; /* holds; 0: before the batch, holds + 1: after it */
    bool go;                 /* atomic */
    struct stander at[HOLD_SITES * HOLD_STANDS];
    unsigned count;
    struct hold_flip then; /* where they stopped */
    bool failed;
} standers;

static struct wait_queue standers_queue = WAIT_QUEUE("standers");

static bool may_go(void *argument)
{
    (void)argument;
    return __atomic_load_n(&standers.go, __ATOMIC_ACQUIRE);
}

static void stander_stand(void *argument, enum hold_stand stand)
{
    struct stander *stander = argument;
    if (stand == stander->stand) {
        __atomic_store_n(&stander->stands, true, __ATOMIC_RELEASE);
        wait_queue_wait_until(&standers_queue, may_go, NULL);
    }
}

static void stander_run(void *argument)
{
    struct stander *stander = argument;
    stander->outcome = hold_sites[stander->site].run(stander_stand, stander);
    __atomic_store_n(&stander->ended, true, __ATOMIC_RELEASE);
}

static bool all_stand(void)
{
    for (unsigned i = 0; i < standers.count; i++) {
        const struct stander *stander = &standers.at[i];
        if (!__atomic_load_n(&stander->stands, __ATOMIC_ACQUIRE) ||
            __atomic_load_n(&stander->thread->state, __ATOMIC_RELAXED) != THREAD_BLOCKED) {
            return false;
        }
    }
    return true;
}

static bool all_have_ended(void)
{
    for (unsigned i = 0; i < standers.count; i++) {
        if (!__atomic_load_n(&standers.at[i].ended, __ATOMIC_ACQUIRE)) {
            return false;
        }
    }
    return true;
}

static void standers_stop(struct hold_flip *flip)
{
    standers.then = *flip;
    for (unsigned i = 0; i < HOLD_SITES * HOLD_STANDS; i++) {
        struct stander *stander = &standers.at[standers.count];
        if (!(flip->sites >> i / HOLD_STANDS & 1)) {
            continue;
        }
        *stander =
            (struct stander){.site = i / HOLD_STANDS, .stand = (enum hold_stand)(i % HOLD_STANDS)};
        stander->thread = thread_create("stander", other_cpu(i), stander_run, stander);
        if (stander->thread == NULL) {
            hold_flip_fault(flip, "out of memory for a thread");
            break;
        }
        standers.count++;
    }
    if (!wait_until(flip, all_stand)) {
        hold_flip_fault(flip, "a thread did not come to its site");
    }
}

static void standers_go(struct hold_flip *flip)
{
    __atomic_store_n(&standers.go, true, __ATOMIC_RELEASE);
    wait_queue_wake_all(&standers_queue);
    if (!wait_until(flip, all_have_ended)) {
        hold_flip_fault(flip, "a thread did not leave its site");
        return;
    }
    for (unsigned i = 0; i < standers.count; i++) {
        const struct stander *stander = &standers.at[i];
        bool before = stander->stand == HOLD_STAND_BEFORE;
        struct hold_flip *where = before ? flip : &standers.then;
        if (!hold_flip_check_outcome(where, stander->site, stander->outcome)) {
            hold_flip_fault(flip, "%s", where->fault);
        }
    }
}

static void visit_with_standers(struct hold_flip *flip)
{
    if (flip->holds == standers.stop_at) {
        standers_stop(flip);
    } else if (flip->holds == standers.go_at) {
        standers_go(flip);
    }
}

/* A flip as it is before its first hold, or after its last: nothing begun, everything synced. */
static struct hold_flip outside(const struct hold_scenario *scenario, enum hold_form goal,
                                bool is_over)
{
    return (struct hold_flip){
        .protocol = PATCH_PROTOCOL_STOP, /* all at once: old in the first step, new in the last */
        .sites = scenario->sites,
        .goal = goal,
        .step = is_over ? PATCH_STEP_FIRST : PATCH_STEP_INT3,
        .moment = is_over ? PATCH_MOMENT_SYNCED : PATCH_MOMENT_WRITTEN,
        .in_flight = HOLD_SITES,
    };
}

static void flip_with_standers(struct test *test, const struct hold_scenario *scenario,
                               enum hold_form goal, unsigned stop_at, unsigned go_at)
{
    struct hold_flip before = outside(scenario, goal, false);
    struct hold_flip after = outside(scenario, goal, true);
    memset(&standers, 0, sizeof(standers));
    standers.stop_at = stop_at;
    standers.go_at = go_at;
    if (stop_at == 0) {
        standers_stop(&before);
    }
    hold_test_flip(test, scenario, goal, visit_with_standers);
    if (!__atomic_load_n(&standers.go, __ATOMIC_RELAXED)) {
        standers_go(&after);
    }
    for (unsigned i = 0; i < standers.count; i++) {
        thread_join(standers.at[i].thread);
    }
    EXPECT(test, !before.is_faulty);
    EXPECT(test, !after.is_faulty);
    EXPECT(test, standers.count >= 2);
}

/* A thread beside each reader that gives its CPU up only when the slice ends. */
static struct workers hogs;

static void hog_run(void *argument)
{
    (void)argument;
    while (!workers_should_stop(&hogs)) {
        cpu_relax();
    }
}

/* Calls flip_with_standers() for the pairs of holds that are tried: from before the batch to
 * anywhere, from anywhere to the next hold. Nobody can be stopped or let go while all are parked.
 * There and back take turns. */
static void flips_with_standers(struct test *test, const struct hold_scenario *scenario)
{
    unsigned last = scenario->holds + 1;
    enum hold_form goal = HOLD_FORM_SECOND;
    for (unsigned stop_at = 0; stop_at < last; stop_at++) {
        for (unsigned go_at = stop_at + 1; go_at <= last; go_at++) {
            bool parked = scenario->protocol == PATCH_PROTOCOL_STOP && go_at - stop_at != last;
            if (!parked && (stop_at == 0 || go_at == stop_at + 1)) {
                flip_with_standers(test, scenario, goal, stop_at, go_at);
                goal = (enum hold_form)(HOLD_FORM_SECOND - goal);
            }
        }
    }
    if (goal == HOLD_FORM_FIRST) {
        flip_with_standers(test, scenario, goal, 0, last);
    }
}

static void run_preempted(struct test *test, const struct hold_scenario *scenario)
{
    if (!hold_test_begin(test)) {
        return;
    }
    flips_with_standers(test, scenario);
    if (EXPECT(test, workers_start(&hogs, false, hog_run, NULL))) {
        hold_test_flip(test, scenario, HOLD_FORM_SECOND, hold_visit_plain);
        hold_test_flip(test, scenario, HOLD_FORM_FIRST, NULL);
        workers_join(&hogs);
    }
    hold_test_end(test, scenario);
}

/* The same three claims of each protocol. */
#define CLAIMS(name, few, one)                                                                     \
    static void name##_stands_an_nmi_storm(struct test *test)                                      \
    {                                                                                              \
        hold_test_in_storm(test, &(few));                                                          \
    }                                                                                              \
    static void name##_keeps_a_second_patcher_waiting(struct test *test)                           \
    {                                                                                              \
        run_with_rivals(test, &(one));                                                             \
    }                                                                                              \
    static void name##_lets_preempted_threads_go_on(struct test *test)                             \
    {                                                                                              \
        run_preempted(test, &(one));                                                               \
    }

CLAIMS(int3, hold_int3, hold_int3_one)
CLAIMS(int3_batch, hold_int3_batch, hold_int3_batch)
CLAIMS(qword, hold_qword, hold_qword)
CLAIMS(stop, hold_stop, hold_stop)

static const struct test_case cases[] = {
    TEST_CASE(int3_stands_an_nmi_storm),
    TEST_CASE(int3_batch_stands_an_nmi_storm),
    TEST_CASE(qword_stands_an_nmi_storm),
    TEST_CASE(stop_stands_an_nmi_storm),
    TEST_CASE(int3_keeps_a_second_patcher_waiting),
    TEST_CASE(int3_batch_keeps_a_second_patcher_waiting),
    TEST_CASE(qword_keeps_a_second_patcher_waiting),
    TEST_CASE(stop_keeps_a_second_patcher_waiting),
    TEST_CASE(int3_lets_preempted_threads_go_on),
    TEST_CASE(int3_batch_lets_preempted_threads_go_on),
    TEST_CASE(qword_lets_preempted_threads_go_on),
    TEST_CASE(stop_lets_preempted_threads_go_on),
};

const struct test_suite suite_hold_company = TEST_SUITE("hold_company", cases);
