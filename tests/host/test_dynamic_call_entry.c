// SPDX-License-Identifier: MIT
/* Where watched dynamic calls go (patching/dynamic_watch_entry.asm), with known registers: all but
 * rax come back, and so does the stack pointer. Detects a register that is lost or exchanged, an
 * argument that does not arrive, an answer that is not that of the C function. Could miss: a
 * register that is not kept, and that the C of today does not use. */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"
#include "tests/host/thunk_call.h"

enum { FLAGS = 0x202, ROUNDS = 100 };

/* As the text of a call of `two` does; then on to where the registers are looked at. */
#define SITE(entry)                                                                                \
    __asm__(".pushsection .text\n"                                                                 \
            "site_" entry ":\n\t"                                                                  \
            "mov %rax, rax_given\n\t"                                                              \
            "pushq $dynamic_call_two\n\t"                                                          \
            "call dynamic_watch_" entry "\n\t"                                                     \
            "mov %rax, rax_left\n\t"                                                               \
            "mov rax_given, %rax\n\t"                                                              \
            "jmp thunk_target\n\t"                                                                 \
            ".popsection")
SITE("closed");
SITE("missed");
extern const uint8_t site_closed[], site_missed[];
uint64_t rax_given, rax_left;

/* Calls the entry with random registers. Returns the target. */
static uint64_t enter(const uint8_t *site, uint64_t *random)
{
    for (unsigned i = 0; i < ARRAY_COUNT(thunk_given.general); i++) {
        thunk_given.general[i] = next_random(random);
    }
    thunk_given.flags = FLAGS;
    thunk_call_given((uint64_t)site);
    return rax_given;
}

static void watch_two(void)
{
    const struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, false, true);

    dynamics_bring(subject_two, &form);
    dynamic_call_give_memory(subject_two->call, dynamic_counts, DYNAMIC_CPUS);
}

static void expect_counted(uint64_t target)
{
    assert_int_equal(dynamic_counts[0].rows[0].target, target);
    assert_int_equal(dynamic_counts[0].rows[0].calls, 1);
    dynamic_count_clear(dynamic_counts, DYNAMIC_CPUS);
}

static void closed_call_keeps_all_registers_and_is_answered(void **state)
{
    uint64_t random = 1;

    (void)state;
    watch_two();
    for (unsigned round = 0; round < ROUNDS; round++) {
        bool goes_through = round % 2;

        assert_true(dynamic_call_set_through(subject_two->call, goes_through));
        rax_left = UINT64_MAX;
        expect_counted(enter(site_closed, &random));
        assert_int_equal(rax_left, goes_through);
    }
}

static void missed_call_keeps_all_registers(void **state)
{
    uint64_t random = 2;

    (void)state;
    watch_two();
    for (unsigned round = 0; round < ROUNDS; round++) {
        expect_counted(enter(site_missed, &random));
    }
}

static void timed_call_keeps_all_registers(void **state)
{
    uint64_t random = 3;

    (void)state;
    watch_two();
    subject_two->call->is_timed = true;
    trial_start(&dynamic_trial, TRIAL_ANY_CPU);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t target = enter(site_closed, &random);

        assert_int_equal(dynamic_trial.samples[round].target, target);
    }
    assert_int_equal(trial_stop(&dynamic_trial), ROUNDS);
    subject_two->call->is_timed = false;
}

static const struct CMUnitTest tests[] = {
    DYNAMIC_TEST(closed_call_keeps_all_registers_and_is_answered),
    DYNAMIC_TEST(missed_call_keeps_all_registers),
    DYNAMIC_TEST(timed_call_keeps_all_registers),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
