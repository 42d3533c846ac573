// SPDX-License-Identifier: MIT
/* Dynamic calls under fire: all CPUs call random targets through all of them while one thread
 * changes slots, kind of comparison, gate and watch key as fast as it can, by one safe protocol
 * after the other. Why it detects: whoever is reached says who it is and what it was given, so a
 * call that goes astray once is seen; every other call dawdles between comparison and call, so that
 * changes often find somebody there. Could miss: a gap of a few instructions elsewhere, and the
 * missing sync as such, which an emulator does not show (tests/host does). It is TORTURE_NS long
 * every day; dynamic_call_changes=100000 on the kernel command line makes it that many changes
 * long. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "kernel/command_line.h"
#include "kernel/thread.h"
#include "patching/poke.h"
#include "tests/kernel/dynamic_subjects.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define TORTURE_NS    4000000000ull
#define CHANGES_MOST  10000000
#define DAWDLE_MOST   256
#define BURST         64 /* calls, and a rest: a change would wait for the time slices of all */
#define REST_NS       100000ull
#define TARGETS_TAKEN 6 /* few, so that slots often name them */
#define TURN_CHANGES  20

static struct {
    struct workers workers;
    uint64_t calls, astray; /* atomic */
} fire;

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static uint64_t dawdle(uint64_t argument)
{
    for (uint64_t i = argument % DAWDLE_MOST; i > 0; i--) {
        cpu_relax();
    }
    return argument;
}

/* Returns whether the call arrived. */
static bool call_one(uint64_t number)
{
    const struct dynamic_subject *subject = &dynamic_subjects[number % DYNAMIC_SUBJECTS];
    unsigned target = (unsigned)(number >> 8) % TARGETS_TAKEN;
    uint64_t first = number >> 16 & 0xffff, second = number >> 32 & 0xffff;
    uint64_t answer = (number >> 48 & 1) != 0
                          ? subject->reach(target, first, second)
                          : subject->reach_paused(target, first, second, dawdle);

    return answer == DYNAMIC_ANSWER(target, first, second);
}

static void call_at_random(void *argument)
{
    uint64_t seed = 0x9e3779b97f4a7c15 + cpu_index();
    uint64_t calls = 0, astray = 0;

    (void)argument;
    while (!workers_should_stop(&fire.workers)) {
        for (unsigned i = 0; i < BURST; i++) {
            astray += !call_one(random_next(&seed));
        }
        calls += BURST;
        thread_sleep_ns(REST_NS);
    }
    __atomic_fetch_add(&fire.calls, calls, __ATOMIC_RELAXED);
    __atomic_fetch_add(&fire.astray, astray, __ATOMIC_RELAXED);
}

/* Targets one after the other from a random one on, in a random number of slots. */
static struct dynamic_call_form form_at_random(const struct dynamic_subject *subject,
                                               uint64_t number)
{
    struct dynamic_call_form form = {
        .compare = (enum dynamic_compare)(number % DYNAMIC_COMPARE_COUNT),
        .is_open = number >> 8 & 3, /* mostly */
        .is_watched = number >> 10 & 1,
    };
    unsigned first = (unsigned)(number >> 16) % TARGETS_TAKEN;

    for (unsigned i = 0; i < subject->call->slot_count; i++) {
        if ((number >> (24 + i) & 3) != 0) {
            form.targets.slot[i] = dynamic_subject_target(subject, (first + i) % TARGETS_TAKEN);
        }
    }
    return form;
}

static bool change_one(uint64_t number)
{
    const struct dynamic_subject *subject = &dynamic_subjects[(number >> 40) % DYNAMIC_SUBJECTS];
    const struct dynamic_call_form form = form_at_random(subject, number);
    bool is_done = dynamic_call_set_form(subject->call, &form, NULL) == PATCH_OK;

    if (!form.is_open && (number >> 50 & 1) != 0) {
        is_done &= dynamic_subject_go_through(subject);
    }
    return is_done;
}

/* The protocols that keep their promise. */
static const enum patch_protocol_id protocols[] = {
    PATCH_PROTOCOL_INT3_BATCH,
    PATCH_PROTOCOL_INT3,
    PATCH_PROTOCOL_QWORD,
    PATCH_PROTOCOL_STOP,
};
#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

static void change_for_long(struct test *test)
{
    uint64_t wanted = 0, lost = 0, changes = 0, seed = 88172645463325252;
    uint64_t end_ns = clock_now_ns() + test_torture_ns(TORTURE_NS);

    command_line_get_number("dynamic_call_changes", 1, CHANGES_MOST, &wanted);
    while (changes < PROTOCOLS * TURN_CHANGES ||
           (wanted != 0 ? changes < wanted : clock_now_ns() < end_ns)) {
        if (test_should_stop(test)) {
            test_skip(test, "stopped by Ctrl-C");
            break;
        }
        if (changes % TURN_CHANGES == 0) {
            EXPECT_EQUAL(
                test, patch_protocol_set_default(protocols[changes / TURN_CHANGES % PROTOCOLS], 0),
                PATCH_OK);
        }
        lost += !change_one(random_next(&seed));
        changes++;
    }
    EXPECT_EQUAL(test, lost, 0);
}

static void calls_reach_what_they_are_given_whatever_changes(struct test *test)
{
    enum patch_protocol_id before = patch_protocol_default();

    fire.calls = fire.astray = 0;
    if (EXPECT(test, workers_start(&fire.workers, true, call_at_random, NULL))) {
        change_for_long(test);
        workers_join(&fire.workers);
        EXPECT_EQUAL(test, fire.astray, 0);
        EXPECT(test, fire.calls > 0);
    }
    EXPECT_EQUAL(test, patch_protocol_set_default(before, 0), PATCH_OK);
    for (unsigned i = 0; i < DYNAMIC_SUBJECTS; i++) {
        dynamic_subject_expect(test, &dynamic_subjects[i]);
        dynamic_subject_put_back(test, &dynamic_subjects[i]);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(calls_reach_what_they_are_given_whatever_changes),
};

const struct test_suite suite_dynamic_torture = TEST_SUITE("dynamic_torture", cases);
