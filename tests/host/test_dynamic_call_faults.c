// SPDX-License-Identifier: MIT
/* Changes of dynamic calls that are refused, or fail midway: each write of both batches, a CPU that
 * is silent, a thread that does not come out. Detects slots that have changed in part, values in
 * memory that are not those of the text, a form that lies about the gate, a call that cannot be
 * changed any more, a culprit without a name. Could miss: a failure behind the first of the sites
 * that are last, which stops the machine (test_batch_faults). */
#include "tests/host/dynamics.h"

#include "patching/dynamic_compare.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

#define IMMEDIATE DYNAMIC_COMPARE_IMMEDIATE
#define MEMORY    DYNAMIC_COMPARE_MEMORY

static struct patch_error error;

/* The slots are those of @before, and the call is what it says; calls arrive. */
static void expect_slots_of(const struct dynamic_subject *subject,
                            const struct dynamic_call_form *before)
{
    const struct dynamic_call_form form = dynamics_look(subject).form;

    assert_memory_equal(&form.targets, &before->targets, sizeof(form.targets));
    assert_int_equal(form.compare, before->compare);
    assert_int_equal(form.is_watched, before->is_watched);
    assert_true(before->is_open || !form.is_open);
    dynamics_expect_text(subject, &form);
    dynamics_expect_all_calls(subject);
    assert_int_equal(subject->call->is_counting, form.is_watched);
}

static void expect_refused(const struct dynamic_call_form *form, enum patch_status status,
                           uint64_t culprit)
{
    const struct dynamic_call_form before = dynamics_look(subject_two).form;
    uint64_t failed = dynamics_look(subject_two).statistics.failed;

    dynamics_begin();
    assert_int_equal(dynamic_call_set_form(subject_two->call, form, &error), status);
    assert_int_equal(error.status, status);
    assert_string_equal(error.name, "two");
    assert_int_equal(error.address, culprit);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(dynamic_call_set_form(subject_two->call, form, NULL), status);
    dynamics_expect_text(subject_two, &before);
    assert_true(dynamics_look(subject_two).statistics.failed <= failed + 2);
}

static void targets_that_cannot_be_are_refused(void **state)
{
    const uint64_t a = (uint64_t)subject_two->targets[0];
    const uint64_t b = (uint64_t)subject_two->targets[1];
    const struct {
        uint64_t slots[DYNAMIC_SLOTS_MAX];
        enum patch_status status;
        uint64_t culprit;
    } rows[] = {
        {{a, a}, PATCH_ERR_TARGETS, a},
        {{0, 0, b}, PATCH_ERR_TARGETS, b},
        {{a, b, 0, b}, PATCH_ERR_TARGETS, b},
        {{b, 0, 0, a}, PATCH_ERR_TARGETS, a},
        {{DYNAMIC_CALL_NEVER}, PATCH_ERR_RANGE, DYNAMIC_CALL_NEVER},
        {{a, DYNAMIC_CALL_NEVER}, PATCH_ERR_RANGE, DYNAMIC_CALL_NEVER},
        {{0x80000000}, PATCH_ERR_RANGE, 0x80000000},
        {{a, 0x100000000}, PATCH_ERR_RANGE, 0x100000000},
        {{0x7fff00000000}, PATCH_ERR_RANGE, 0x7fff00000000},
        {{b, 0xffffffff7fffffff}, PATCH_ERR_RANGE, 0xffffffff7fffffff},
        {{UINT64_MAX << 32}, PATCH_ERR_RANGE, UINT64_MAX << 32},
    };

    (void)state;
    for (unsigned i = 0; i < 2 * ARRAY_COUNT(rows); i++) {
        const struct dynamic_call_form before = dynamics_form(subject_two, "ab", i % 2, true, true);
        struct dynamic_call_form form = before;

        dynamics_bring(subject_two, &before);
        memcpy(form.targets.slot, rows[i / 2].slots, sizeof(form.targets.slot));
        expect_refused(&form, rows[i / 2].status, rows[i / 2].culprit);
    }
}

static void an_unknown_comparison_is_refused(void **state)
{
    struct dynamic_call_form form = dynamics_form(subject_two, "ab", IMMEDIATE, true, true);

    (void)state;
    dynamics_bring(subject_two, &form);
    form.compare = DYNAMIC_COMPARE_COUNT;
    expect_refused(&form, PATCH_ERR_INSTRUCTION, 0);
    form.compare = (enum dynamic_compare) - 1;
    expect_refused(&form, PATCH_ERR_INSTRUCTION, 0);
}

static void no_thread_no_change(void **state)
{
    const struct dynamic_call_form form = dynamics_form(subject_two, "ab", IMMEDIATE, true, true);

    (void)state;
    recorder.may_patch = false;
    assert_int_equal(dynamic_call_set_form(subject_two->call, &form, &error), PATCH_ERR_CONTEXT);
    assert_string_equal(error.name, "two");
    recorder.may_patch = true;
    assert_string_equal(recorder_log(), "");
}

/* It fits a comparison, but no direct call reaches it from this program: the second batch knows. */
static void a_target_out_of_reach_leaves_the_gate_closed(void **state)
{
    const struct dynamic_call_form before = dynamics_form(subject_two, "ab", MEMORY, true, false);
    struct dynamic_call_form form = before;

    (void)state;
    dynamics_bring(subject_two, &before);
    form.targets.slot[1] = 0xffffffff80000000;
    assert_int_equal(dynamic_call_set_form(subject_two->call, &form, &error), PATCH_ERR_RANGE);
    assert_int_equal(error.status, PATCH_ERR_RANGE);
    assert_non_null(error.name);
    assert_false(dynamics_look(subject_two).form.is_open);
    expect_slots_of(subject_two, &before);
    assert_int_equal(dynamics_look(subject_two).statistics.failed, 1);
    dynamics_bring(subject_two, &before);
    dynamics_expect_text(subject_two, &before);
}

/* Writes of the change from @from to @to that come before those of the sites that are last. */
static unsigned count_writes(const struct dynamic_subject *subject,
                             const struct dynamic_call_form *from,
                             const struct dynamic_call_form *to)
{
    dynamics_begin();
    dynamics_bring(subject, from);
    dynamics_begin();
    dynamics_bring(subject, to);
    return recorder.writes - (to->is_open ? subject->call->gate->site_count : 0);
}

/* Whichever write fails, in whichever way. */
static void fail_each_write(const struct dynamic_subject *subject,
                            const struct dynamic_call_form *from,
                            const struct dynamic_call_form *to)
{
    unsigned writes = count_writes(subject, from, to);

    for (unsigned write = 1; write <= writes; write++) {
        for (enum recorder_fault fault = 0; fault < FAULT_COUNT; fault++) {
            uint64_t failed = dynamics_look(subject).statistics.failed;

            dynamics_begin();
            dynamics_bring(subject, from);
            dynamics_begin();
            recorder.fail_write = write;
            recorder.fault = fault;
            memset(&error, 0, sizeof(error));
            assert_int_equal(dynamic_call_set_form(subject->call, to, &error), PATCH_ERR_WRITE);
            assert_int_equal(error.status, PATCH_ERR_WRITE);
            assert_non_null(error.name);
            recorder.fail_write = 0;
            expect_slots_of(subject, from);
            assert_int_equal(dynamics_look(subject).statistics.failed, failed + 1);
        }
    }
    dynamics_begin();
    dynamics_bring(subject, to);
    dynamics_expect_text(subject, to);
    dynamics_expect_all_calls(subject);
}

static void a_write_that_fails_leaves_values_in_the_text(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_two, "ab", IMMEDIATE, true, true);
    const struct dynamic_call_form to = dynamics_form(subject_two, "ca", IMMEDIATE, true, false);

    (void)state;
    fail_each_write(subject_two, &from, &to);
}

static void a_write_that_fails_leaves_values_in_memory(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_two, "ab", MEMORY, true, false);
    const struct dynamic_call_form to = dynamics_form(subject_two, "c.", MEMORY, true, false);

    (void)state;
    fail_each_write(subject_two, &from, &to);
}

static void a_write_that_fails_leaves_the_kind_of_comparison(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_four, "abc", MEMORY, true, false);
    const struct dynamic_call_form to = dynamics_form(subject_four, "abc", IMMEDIATE, true, true);

    (void)state;
    fail_each_write(subject_four, &from, &to);
    fail_each_write(subject_four, &to, &from);
}

static void a_write_that_fails_leaves_the_gate_as_it_says(void **state)
{
    const struct dynamic_call_form open = dynamics_form(subject_two, "ab", IMMEDIATE, true, false);
    const struct dynamic_call_form shut = dynamics_form(subject_two, "ab", IMMEDIATE, false, true);
    const struct dynamic_call_form other = dynamics_form(subject_two, "ba", MEMORY, false, false);

    (void)state;
    fail_each_write(subject_two, &open, &shut);
    fail_each_write(subject_two, &shut, &open);
    fail_each_write(subject_two, &shut, &other);
    fail_each_write(subject_two, &open, &other);
}

/* Whoever came through while it was opening is in the chain, although it is shut again. */
static void a_gate_that_opened_in_vain_is_waited_for(void **state)
{
    const struct dynamic_call_form open = dynamics_form(subject_two, "ab", IMMEDIATE, true, false);
    const struct dynamic_call_form shut = dynamics_form(subject_two, "ab", IMMEDIATE, false, false);
    const struct dynamic_call_form other =
        dynamics_form(subject_two, "ba", IMMEDIATE, false, false);
    unsigned writes = count_writes(subject_two, &shut, &open);

    (void)state;
    dynamics_begin();
    dynamics_bring(subject_two, &other);
    dynamics_bring(subject_two, &shut); /* nobody is in the chain */
    dynamics_begin();
    recorder.fail_write = writes;
    recorder.fault = 0;
    assert_int_equal(dynamic_call_set_form(subject_two->call, &open, &error), PATCH_ERR_WRITE);
    recorder.fail_write = 0;
    unsigned before = recorder.synchronizes;

    dynamics_bring(subject_two, &other);
    assert_int_equal(recorder.synchronizes, before + 1);
}

/* In the first round of either batch. */
static void a_silent_cpu_leaves_everything(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_two, "ab", MEMORY, true, false);
    const struct dynamic_call_form to = dynamics_form(subject_two, "bc", MEMORY, true, false);
    struct dynamic_call_form shut = from;

    (void)state;
    shut.is_open = false;
    dynamics_bring(subject_two, &from);
    dynamics_begin();
    dynamics_bring(subject_two, &shut);
    unsigned first_batch = recorder.rounds;

    for (unsigned round = 1; round <= first_batch + 1; round += first_batch) {
        dynamics_begin();
        dynamics_bring(subject_two, &from);
        dynamics_begin();
        recorder.silent_round = round;
        assert_int_equal(dynamic_call_set_form(subject_two->call, &to, &error),
                         PATCH_ERR_SILENT_CPU);
        assert_int_equal(error.cpu, RECORDER_SILENT_CPU);
        recorder.silent_round = 0;
        assert_int_equal(dynamics_look(subject_two).form.is_open, round == 1);
        expect_slots_of(subject_two, &from);
    }
    dynamics_begin();
    dynamics_bring(subject_two, &to);
    dynamics_expect_text(subject_two, &to);
}

/* The gate stays closed; the next change needs no batch for it, but waits again. */
static void a_thread_that_stays_stops_the_change_before_a_slot(void **state)
{
    (void)state;
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        const struct dynamic_call_form from = dynamics_form(subject_two, "ab", compare, true, true);
        const struct dynamic_call_form to = dynamics_form(subject_two, "bc", compare, true, true);

        dynamics_begin();
        dynamics_bring(subject_two, &from);
        const struct dynamic_call_statistics before = dynamics_look(subject_two).statistics;

        dynamics_begin();
        recorder.synchronize_fails = true;
        for (unsigned tries = 1; tries <= 2; tries++) {
            assert_int_equal(dynamic_call_set_form(subject_two->call, &to, &error),
                             PATCH_ERR_NOT_LEFT);
            assert_string_equal(error.name, "two");
            assert_int_equal(recorder.synchronizes, tries);
            assert_false(dynamics_look(subject_two).form.is_open);
            expect_slots_of(subject_two, &from);
        }
        recorder.synchronize_fails = false;
        dynamics_bring(subject_two, &to);
        dynamics_expect_text(subject_two, &to);
        assert_int_equal(recorder.synchronizes, 3);
        const struct dynamic_call_statistics behind = dynamics_look(subject_two).statistics;

        assert_int_equal(behind.batches - before.batches, 2);
        assert_int_equal(behind.grace_periods - before.grace_periods, 3);
        assert_int_equal(behind.changes - before.changes, 1);
        assert_int_equal(behind.failed - before.failed, 2);
    }
}

/* Back to what it was is no change of slots, so it does not wait. */
static void a_change_that_failed_can_be_taken_back(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_two, "ab", MEMORY, true, false);
    const struct dynamic_call_form to = dynamics_form(subject_two, "bc", MEMORY, true, false);

    (void)state;
    dynamics_bring(subject_two, &from);
    dynamics_begin();
    recorder.synchronize_fails = true;
    assert_int_equal(dynamic_call_set_form(subject_two->call, &to, NULL), PATCH_ERR_NOT_LEFT);
    dynamics_bring(subject_two, &from);
    assert_int_equal(recorder.synchronizes, 1);
    dynamics_expect_text(subject_two, &from);
    dynamics_expect_all_calls(subject_two);
}

/* Batch 2 of a change from @from fails when its first byte is written: a CPU may keep what stood
 * there for a moment until it serialises. */
static void fail_second_batch(const struct dynamic_call_form *from)
{
    struct dynamic_call_form shut = *from;
    struct dynamic_call_form to = dynamics_form(subject_two, "bc", from->compare, true, false);

    shut.is_open = false;
    dynamics_begin();
    dynamics_bring(subject_two, from);
    dynamics_bring(subject_two, &shut);
    dynamics_begin();
    recorder.fail_write = 2;
    assert_int_equal(dynamic_call_set_form(subject_two->call, &to, NULL), PATCH_ERR_WRITE);
    assert_int_equal(recorder.synchronizes, 1);
    dynamics_begin();
}

static void nobody_passes_a_gate_that_opens_behind_a_failure_unserialised(void **state)
{
    (void)state;
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        const struct dynamic_call_form from =
            dynamics_form(subject_two, "ab", compare, true, false);
        struct dynamic_call_form watched = from;

        fail_second_batch(&from);
        recorder.synchronize_fails = true;
        assert_int_equal(dynamic_call_set_form(subject_two->call, &from, &error),
                         PATCH_ERR_NOT_LEFT);
        assert_string_equal(error.name, "two");
        assert_string_equal(recorder_log(), "G");
        assert_false(dynamics_look(subject_two).form.is_open);
        expect_slots_of(subject_two, &from);

        watched.is_open = false; /* that lets nobody in */
        watched.is_watched = true;
        dynamics_bring(subject_two, &watched);
        assert_int_equal(recorder.synchronizes, 1);

        recorder.synchronize_fails = false;
        dynamics_bring(subject_two, &from);
        assert_int_equal(recorder.synchronizes, 2);
        dynamics_expect_text(subject_two, &from);
        watched.is_open = true; /* once is enough */
        dynamics_bring(subject_two, &watched);
        assert_int_equal(recorder.synchronizes, 2);
    }
}

static void a_trial_behind_a_failure_waits(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_two, "ab", MEMORY, true, false);
    struct dynamic_call *call = subject_two->call;

    (void)state;
    fail_second_batch(&from);
    recorder.synchronize_fails = true;
    assert_false(dynamic_call_set_through(call, true));
    assert_false(call->goes_through);
    assert_true(dynamic_call_set_through(call, false));
    assert_int_equal(recorder.synchronizes, 1);
    recorder.synchronize_fails = false;
    assert_true(dynamic_call_set_through(call, true));
    assert_true(call->goes_through);
    assert_int_equal(recorder.synchronizes, 2);
    assert_true(dynamic_call_set_through(call, true));
    assert_int_equal(recorder.synchronizes, 2);
}

/* Its own syncs come before its gate. */
static void a_change_of_slots_behind_a_failure_does_not_wait(void **state)
{
    const struct dynamic_call_form from = dynamics_form(subject_two, "ab", IMMEDIATE, true, false);
    const struct dynamic_call_form to = dynamics_form(subject_two, "ca", IMMEDIATE, true, false);
    struct dynamic_call_form shut = to;

    (void)state;
    fail_second_batch(&from);
    dynamics_bring(subject_two, &to);
    assert_int_equal(recorder.synchronizes, 0);
    dynamics_expect_text(subject_two, &to);
    shut.is_open = false;
    dynamics_bring(subject_two, &shut);
    dynamics_bring(subject_two, &to);
    assert_int_equal(recorder.synchronizes, 0);
}

static void a_slot_stands_in_a_transaction_once(void **state)
{
    struct dynamic_call_slot *slot = &subject_two->call->slots[0];
    struct patch_change changes[] = {
        dynamic_compare_change_to(slot, DYNAMIC_CALL_NEVER),
        dynamic_compare_change_to(slot, (uint64_t)subject_two->targets[0]),
    };

    (void)state;
    assert_int_equal(patch_transaction("t", changes, 2, &error), PATCH_ERR_DUPLICATE);
    assert_string_equal(error.name, "dynamic_two_0");
    assert_false(slot->is_changing);
    changes[0] = changes[1] = dynamic_compare_change_to(slot, slot->compared); /* no site */
    assert_int_equal(patch_transaction("t", changes, 2, &error), PATCH_ERR_DUPLICATE);
    changes[1] = dynamic_compare_change_to(slot + 1, 0x80000000);
    assert_int_equal(patch_transaction("t", changes, 2, &error), PATCH_ERR_RANGE);
    assert_string_equal(error.name, "dynamic_two_1");
    assert_false(slot[0].is_changing || slot[1].is_changing);
    assert_string_equal(recorder_log(), "");
}

static const struct CMUnitTest tests[] = {
    DYNAMIC_TEST(targets_that_cannot_be_are_refused),
    DYNAMIC_TEST(an_unknown_comparison_is_refused),
    DYNAMIC_TEST(no_thread_no_change),
    DYNAMIC_TEST(a_target_out_of_reach_leaves_the_gate_closed),
    DYNAMIC_TEST(a_write_that_fails_leaves_values_in_the_text),
    DYNAMIC_TEST(a_write_that_fails_leaves_values_in_memory),
    DYNAMIC_TEST(a_write_that_fails_leaves_the_kind_of_comparison),
    DYNAMIC_TEST(a_write_that_fails_leaves_the_gate_as_it_says),
    DYNAMIC_TEST(a_gate_that_opened_in_vain_is_waited_for),
    DYNAMIC_TEST(a_silent_cpu_leaves_everything),
    DYNAMIC_TEST(a_thread_that_stays_stops_the_change_before_a_slot),
    DYNAMIC_TEST(a_change_that_failed_can_be_taken_back),
    DYNAMIC_TEST(nobody_passes_a_gate_that_opens_behind_a_failure_unserialised),
    DYNAMIC_TEST(a_trial_behind_a_failure_waits),
    DYNAMIC_TEST(a_change_of_slots_behind_a_failure_does_not_wait),
    DYNAMIC_TEST(a_slot_stands_in_a_transaction_once),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
