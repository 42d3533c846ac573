// SPDX-License-Identifier: MIT
/* Dispatchers over the recorder: readers that are preempted inside an image, and every fault at
 * every step of an update. Invariant checked: an update that fails has changed nothing that anybody
 * executes, and no update writes where somebody may be. */
#include "tests/host/dispatched.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

/* A reader was preempted in the half that the entry left; it comes out in the grace period. */
static struct {
    const uint8_t *half; /* NULL: nobody there */
    uint8_t bytes[DISPATCHER_HALF_BYTES];
    unsigned periods;
} parked;

static void expect_parked_code(void)
{
    if (parked.half != NULL) {
        assert_memory_equal(parked.half, parked.bytes, sizeof(parked.bytes));
    }
}

static void parked_leaves(void)
{
    expect_parked_code();
    parked.half = NULL;
    parked.periods++;
}

/* Nobody is anywhere else: a removal has waited. */
static void park_in_the_half_in_use(void)
{
    dispatched_add(65);
    dispatched_take_out(65);
    parked.half = dispatched_half(dispatched_half_in_use());
    memcpy(parked.bytes, parked.half, sizeof(parked.bytes));
    parked.periods = 0;
    recorder.on_sync = expect_parked_code;
    recorder.on_synchronize = parked_leaves;
}

/* Detects it because the bytes are compared at every sync: whatever is written under the reader is
 * synced before it could come out. */
static void two_updates_in_a_row_leave_a_parked_reader_its_code(void **state)
{
    (void)state;
    dispatched_add_first(3);
    park_in_the_half_in_use();
    dispatched_add(3);
    assert_int_equal(parked.periods, 0); /* it went to the other half */
    dispatched_add(4);
    assert_int_equal(parked.periods, 1);
    dispatched_expect_all_calls();
}

static void a_switch_to_the_fallback_and_back_leaves_it_too(void **state)
{
    (void)state;
    dispatched_add_first(3);
    park_in_the_half_in_use();
    dispatched_shape_set(DISPATCHER_NONE);
    assert_int_equal(parked.periods, 0);
    dispatched_shape_set(DISPATCHER_LINEAR);
    assert_int_equal(parked.periods, 1);
}

static void a_removed_program_is_left_before_the_update_returns(void **state)
{
    (void)state;
    dispatched_add_first(3);
    park_in_the_half_in_use();
    dispatched_take_out(1);
    assert_int_equal(parked.periods, 1);
    assert_true(
        dispatched_is_int3(dispatched_half(1 - dispatched_half_in_use()), DISPATCHER_HALF_BYTES));
}

static void a_reader_that_stays_stops_the_update_before_a_byte_is_written(void **state)
{
    struct patch_error error;

    (void)state;
    dispatched_add_first(3);
    dispatched_add(3);
    dispatched_begin();
    recorder.synchronize_fails = true;
    assert_int_equal(dispatcher_update(&dispatcher_subject, NULL, dispatched_program(4), &error),
                     PATCH_ERR_NOT_LEFT);
    assert_string_equal(error.name, "subject");
    assert_int_equal(recorder.writes, 0);
    recorder.synchronize_fails = false;
    dispatched_look();
    assert_int_equal(dispatched_view.count, 4);
    dispatched_add(4);
    dispatched_expect_all_calls();
}

static void a_reader_that_stays_in_a_removed_program_is_told(void **state)
{
    (void)state;
    dispatched_add(0);
    dispatched_begin();
    recorder.synchronize_fails = true;
    assert_int_equal(dispatcher_update(&dispatcher_subject, dispatched_program(0), NULL, NULL),
                     PATCH_ERR_STILL_INSIDE);
    dispatched_look();
    assert_int_equal(dispatched_view.count, 0);
    assert_false(dispatched_is_int3(dispatched_half(0),
                                    2 * DISPATCHER_HALF_BYTES)); /* it may still be there */
    recorder.synchronize_fails = false;
    dispatched_add(1);
    dispatched_take_out(1);
}

/* What must be as before when an update has failed. */
static struct {
    struct dispatcher_view view;
    uint8_t image[DISPATCHER_HALF_BYTES];
} before;

static void state_note(void)
{
    dispatched_look();
    before.view = dispatched_view;
    memcpy(before.image, dispatched_half(dispatched_half_in_use()), sizeof(before.image));
}

static void expect_state(void)
{
    dispatched_look();
    assert_int_equal(dispatched_view.count, before.view.count);
    assert_int_equal(dispatched_view.generation, before.view.generation);
    assert_int_equal(dispatched_view.image, before.view.image);
    assert_memory_equal(dispatched_view.entries, before.view.entries,
                        sizeof(dispatched_view.entries));
    assert_memory_equal((const void *)dispatched_view.image, before.image,
                        dispatched_view.image_length);
    assert_ptr_equal(static_call_target(dispatcher_subject.entry), dispatched_view.image);
    dispatched_expect_all_calls();
}

static void a_write_that_fails_changes_nothing(void **state)
{
    enum patch_status status = PATCH_ERR_WRITE;
    unsigned failed = 0;

    (void)state;
    dispatched_add_first(9);
    while (status != PATCH_OK) {
        state_note();
        dispatched_begin();
        recorder.fail_write = ++failed;
        recorder.fault = failed % FAULT_COUNT;
        status = dispatcher_update(&dispatcher_subject, NULL, dispatched_program(9), NULL);
        dispatched_begin();
        if (status != PATCH_OK) {
            assert_int_equal(status, PATCH_ERR_WRITE);
            expect_state();
        }
    }
    assert_true(failed > 10);
    dispatched_expect_all_calls();
}

static void a_cpu_that_is_silent_changes_nothing(void **state)
{
    enum patch_status status = PATCH_OK;
    struct patch_error error;

    (void)state;
    dispatched_add_first(9);
    for (unsigned round = 1; round <= 2; round++) { /* behind the image; behind int3 */
        state_note();
        dispatched_begin();
        recorder.silent_round = round;
        status = dispatcher_update(&dispatcher_subject, NULL, dispatched_program(9), &error);
        dispatched_begin();
        assert_int_equal(status, PATCH_ERR_SILENT_CPU);
        assert_int_equal(error.cpu, RECORDER_SILENT_CPU);
        expect_state();
    }
}

/* A CPU that met the int3 of the failed batch went to the new image. */
static void a_batch_that_fails_leaves_somebody_in_the_new_image(void **state)
{
    (void)state;
    dispatched_add_first(3);
    dispatched_shape_set(DISPATCHER_TREE);
    dispatched_take_out(2); /* whoever was anywhere is out */
    dispatched_look();
    uint64_t periods = dispatched_view.statistics.grace_periods;

    dispatched_begin();
    recorder.silent_round = 2;
    assert_int_equal(dispatcher_update(&dispatcher_subject, NULL, dispatched_program(9), NULL),
                     PATCH_ERR_SILENT_CPU);
    dispatched_begin();
    dispatched_add(9);
    dispatched_look();
    assert_int_equal(dispatched_view.statistics.grace_periods, periods + 1);
}

static const struct CMUnitTest tests[] = {
    DISPATCHED_TEST(two_updates_in_a_row_leave_a_parked_reader_its_code),
    DISPATCHED_TEST(a_switch_to_the_fallback_and_back_leaves_it_too),
    DISPATCHED_TEST(a_removed_program_is_left_before_the_update_returns),
    DISPATCHED_TEST(a_reader_that_stays_stops_the_update_before_a_byte_is_written),
    DISPATCHED_TEST(a_reader_that_stays_in_a_removed_program_is_told),
    DISPATCHED_TEST(a_write_that_fails_changes_nothing),
    DISPATCHED_TEST(a_cpu_that_is_silent_changes_nothing),
    DISPATCHED_TEST(a_batch_that_fails_leaves_somebody_in_the_new_image),
};

HOST_TEST_MAIN(tests, dispatched_group_setup)
