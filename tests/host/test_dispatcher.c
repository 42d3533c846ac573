// SPDX-License-Identifier: MIT
/* Dispatchers over the recorder: entries, halves, grace periods, and every fault at every step.
 * Invariant: after each test the dispatcher is empty and its memory int3. What runs is the code
 * itself: calls go through the entry, as patched. */
#include "patching/xdp_call.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

enum { PROGRAMS = DISPATCHER_ENTRY_MAX + 2, CONTEXT = 77 };

DEFINE_XDP_CALL(subject);

/* Program n returns n + 1; each a function of its own. */
extern uint8_t programs_start[];
__asm__(".text\n\t"
        ".balign 16\n"
        "programs_start:\n\t"
        ".set program, 1\n\t"
        ".rept 66\n\t"
        ".balign 16, 0xcc\n\t"
        "mov $program, %eax\n\t"
        "ret\n\t"
        ".set program, program + 1\n\t"
        ".endr\n\t");

static dispatched_function *program(unsigned number)
{
    return (dispatched_function *)(programs_start + 16 * (size_t)number);
}

/* Goes through the compiled call site. */
static unsigned call(unsigned number)
{
    const struct xdp_program called = {"program", program(number), NULL};
    static int context = CONTEXT;

    return xdp_call(subject, &called, &context);
}

static struct dispatcher *const dispatcher = &dispatcher_subject;
static struct dispatcher_view view;

static void look(void)
{
    dispatcher_look(dispatcher, &view);
}

static uint8_t *half(unsigned number)
{
    return dispatcher_image_subject + number * (size_t)DISPATCHER_HALF_BYTES;
}

static unsigned half_in_use(void)
{
    look();
    return view.image == (uint64_t)half(1);
}

static bool is_int3(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] != 0xcc) {
            return false;
        }
    }
    return true;
}

static void add(unsigned number)
{
    assert_int_equal(dispatcher_update(dispatcher, NULL, program(number), NULL), PATCH_OK);
}

static void take_out(unsigned number)
{
    assert_int_equal(dispatcher_update(dispatcher, program(number), NULL, NULL), PATCH_OK);
}

static void add_first(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        add(i);
    }
}

static struct dispatcher_form form_of(enum dispatcher_shape shape)
{
    return (struct dispatcher_form){.shape = shape, .generation = UINT64_MAX};
}

static void shape_set(enum dispatcher_shape shape)
{
    const struct dispatcher_form form = form_of(shape);

    assert_int_equal(dispatcher_set_form(dispatcher, &form, NULL), PATCH_OK);
}

static void expect_all_calls(void)
{
    for (unsigned i = 0; i < PROGRAMS; i++) {
        assert_int_equal(call(i), i + 1);
    }
}

static void faults_forget(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    recorder.ignores_unwatched = true;
}

static int group_setup(void **state)
{
    (void)state;
    faults_forget();
    recorder.early_boot = true;
    return own_text_unprotect() == 0 && static_call_initialize(NULL) == PATCH_OK ? 0 : -1;
}

static int setup(void **state)
{
    (void)state;
    faults_forget();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    faults_forget();
    shape_set(DISPATCHER_TREE);
    for (look(); view.count > 0; look()) {
        dispatched_function *target = (dispatched_function *)view.entries[0].target;

        assert_int_equal(dispatcher_update(dispatcher, target, NULL, NULL), PATCH_OK);
    }
    return is_int3(half(0), 2 * DISPATCHER_HALF_BYTES) ? 0 : -1;
}

static void entries_are_reached_through_the_image(void **state)
{
    (void)state;
    assert_int_equal(call(0), 1);
    add(0);
    look();
    assert_int_equal(view.count, 1);
    assert_true(view.image != 0);
    assert_ptr_equal(static_call_target(dispatcher->entry), view.image);
    expect_all_calls();

    /* Without the image's own jump the call would not arrive: it does not go through the fallback.
     */
    ((uint8_t *)view.image)[view.image_length - 5] = 0xf4;
    assert_int_equal(call(0), 1);
    ((uint8_t *)view.image)[view.image_length - 5] = 0xe9;
}

static void every_shape_and_size_reaches_every_program(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= DISPATCHER_ENTRY_MAX; count++) {
        for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
            shape_set(shape);
            expect_all_calls();
        }
        if (count < DISPATCHER_ENTRY_MAX) {
            add(count);
        }
    }
}

static void users_share_an_entry(void **state)
{
    (void)state;
    add(3);
    unsigned rounds = recorder.rounds;

    add(3);
    take_out(3);
    assert_int_equal(recorder.rounds, rounds); /* nothing to patch */
    look();
    assert_int_equal(view.count, 1);
    assert_int_equal(view.references, 1);
    take_out(3);
    look();
    assert_int_equal(view.count, 0);
    assert_ptr_equal(static_call_target(dispatcher->entry), __x86_indirect_thunk_rdx);
}

static void one_takes_the_place_of_another_in_one_batch(void **state)
{
    (void)state;
    add_first(DISPATCHER_ENTRY_MAX);
    look();
    uint64_t updates = view.statistics.updates;

    assert_int_equal(dispatcher_update(dispatcher, program(5), program(64), NULL), PATCH_OK);
    look();
    assert_int_equal(view.count, DISPATCHER_ENTRY_MAX);
    assert_int_equal(view.statistics.updates, updates + 1);
    expect_all_calls();
}

static void one_takes_its_own_place_and_keeps_its_rank(void **state)
{
    (void)state;
    add_first(2);
    faults_forget();
    assert_int_equal(dispatcher_update(dispatcher, program(0), program(0), NULL), PATCH_OK);
    assert_int_equal(recorder.writes, 0);
    look();
    assert_int_equal(view.hottest[0], 0);
}

static void a_full_dispatcher_refuses_and_goes_on(void **state)
{
    struct patch_error error;

    (void)state;
    add_first(DISPATCHER_ENTRY_MAX);
    faults_forget();
    assert_int_equal(dispatcher_update(dispatcher, NULL, program(64), &error), PATCH_ERR_NO_SLOT);
    assert_ptr_equal(error.address, program(64));
    assert_string_equal(error.name, "subject");
    assert_int_equal(recorder.writes, 0);
    look();
    assert_int_equal(view.statistics.refused, 1);
    expect_all_calls();
    add(7); /* another user of one that is there */
    take_out(7);
}

static void what_is_not_there_cannot_go(void **state)
{
    struct patch_error error;

    (void)state;
    add(1);
    faults_forget();
    assert_int_equal(dispatcher_update(dispatcher, program(2), program(3), &error),
                     PATCH_ERR_NO_ENTRY);
    assert_ptr_equal(error.address, program(2));
    assert_int_equal(recorder.writes, 0);
    look();
    assert_int_equal(view.count, 1);
}

static void far_programs_are_refused_in_every_shape(void **state)
{
    static const uint64_t far[] = {0x7f0000000000, 0x100000000, 0xffffffff80000000};
    struct patch_error error;

    (void)state;
    add(1);
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        shape_set(shape);
        faults_forget();
        for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
            assert_int_equal(
                dispatcher_update(dispatcher, NULL, (dispatched_function *)far[i], &error),
                PATCH_ERR_RANGE);
            assert_int_equal(error.address, far[i]);
        }
        assert_int_equal(recorder.writes, 0);
    }
}

static void no_thread_no_update(void **state)
{
    (void)state;
    recorder.may_patch = false;
    assert_int_equal(dispatcher_update(dispatcher, NULL, program(1), NULL), PATCH_ERR_CONTEXT);
    recorder.may_patch = true;
}

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
    add(65);
    take_out(65);
    parked.half = half(half_in_use());
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
    add_first(3);
    park_in_the_half_in_use();
    add(3);
    assert_int_equal(parked.periods, 0); /* it went to the other half */
    add(4);
    assert_int_equal(parked.periods, 1);
    expect_all_calls();
}

static void a_switch_to_the_fallback_and_back_leaves_it_too(void **state)
{
    (void)state;
    add_first(3);
    park_in_the_half_in_use();
    shape_set(DISPATCHER_NONE);
    assert_int_equal(parked.periods, 0);
    shape_set(DISPATCHER_LINEAR);
    assert_int_equal(parked.periods, 1);
}

static void a_removed_program_is_left_before_the_update_returns(void **state)
{
    (void)state;
    add_first(3);
    park_in_the_half_in_use();
    take_out(1);
    assert_int_equal(parked.periods, 1);
    assert_true(is_int3(half(1 - half_in_use()), DISPATCHER_HALF_BYTES));
}

static void a_reader_that_stays_stops_the_update_before_a_byte_is_written(void **state)
{
    struct patch_error error;

    (void)state;
    add_first(3);
    add(3);
    faults_forget();
    recorder.synchronize_fails = true;
    assert_int_equal(dispatcher_update(dispatcher, NULL, program(4), &error), PATCH_ERR_NOT_LEFT);
    assert_string_equal(error.name, "subject");
    assert_int_equal(recorder.writes, 0);
    recorder.synchronize_fails = false;
    look();
    assert_int_equal(view.count, 4);
    add(4);
    expect_all_calls();
}

static void a_reader_that_stays_in_a_removed_program_is_told(void **state)
{
    (void)state;
    add(0);
    faults_forget();
    recorder.synchronize_fails = true;
    assert_int_equal(dispatcher_update(dispatcher, program(0), NULL, NULL), PATCH_ERR_STILL_INSIDE);
    look();
    assert_int_equal(view.count, 0);
    assert_false(is_int3(half(0), 2 * DISPATCHER_HALF_BYTES)); /* it may still be there */
    recorder.synchronize_fails = false;
    add(1);
    take_out(1);
}

/* What must be as before when an update has failed. */
static struct {
    struct dispatcher_view view;
    uint8_t image[DISPATCHER_HALF_BYTES];
} before;

static void state_note(void)
{
    look();
    before.view = view;
    memcpy(before.image, half(half_in_use()), sizeof(before.image));
}

static void expect_state(void)
{
    look();
    assert_int_equal(view.count, before.view.count);
    assert_int_equal(view.generation, before.view.generation);
    assert_int_equal(view.image, before.view.image);
    assert_memory_equal(view.entries, before.view.entries, sizeof(view.entries));
    assert_memory_equal((const void *)view.image, before.image, view.image_length);
    assert_ptr_equal(static_call_target(dispatcher->entry), view.image);
    expect_all_calls();
}

static void a_write_that_fails_changes_nothing(void **state)
{
    enum patch_status status = PATCH_ERR_WRITE;
    unsigned failed = 0;

    (void)state;
    add_first(9);
    while (status != PATCH_OK) {
        state_note();
        faults_forget();
        recorder.fail_write = ++failed;
        recorder.fault = failed % FAULT_COUNT;
        status = dispatcher_update(dispatcher, NULL, program(9), NULL);
        faults_forget();
        if (status != PATCH_OK) {
            assert_int_equal(status, PATCH_ERR_WRITE);
            expect_state();
        }
    }
    assert_true(failed > 10);
    expect_all_calls();
}

static void a_cpu_that_is_silent_changes_nothing(void **state)
{
    enum patch_status status = PATCH_OK;
    struct patch_error error;

    (void)state;
    add_first(9);
    for (unsigned round = 1; round <= 2; round++) { /* behind the image; behind int3 */
        state_note();
        faults_forget();
        recorder.silent_round = round;
        status = dispatcher_update(dispatcher, NULL, program(9), &error);
        faults_forget();
        assert_int_equal(status, PATCH_ERR_SILENT_CPU);
        assert_int_equal(error.cpu, RECORDER_SILENT_CPU);
        expect_state();
    }
}

/* A CPU that met the int3 of the failed batch went to the new image. */
static void a_batch_that_fails_leaves_somebody_in_the_new_image(void **state)
{
    (void)state;
    add_first(3);
    shape_set(DISPATCHER_TREE);
    take_out(2); /* whoever was anywhere is out */
    look();
    uint64_t periods = view.statistics.grace_periods;

    faults_forget();
    recorder.silent_round = 2;
    assert_int_equal(dispatcher_update(dispatcher, NULL, program(9), NULL), PATCH_ERR_SILENT_CPU);
    faults_forget();
    add(9);
    look();
    assert_int_equal(view.statistics.grace_periods, periods + 1);
}

static void a_shape_that_is_the_same_code_costs_nothing(void **state)
{
    (void)state;
    add(0);
    faults_forget();
    shape_set(DISPATCHER_LINEAR);
    shape_set(DISPATCHER_HOT1);
    assert_int_equal(recorder.writes, 0);
    look();
    assert_int_equal(view.shape, DISPATCHER_HOT1);
}

static void ranks_decide_who_is_compared_first(void **state)
{
    const uint64_t hottest[] = {(uint64_t)program(2), 12345, (uint64_t)program(2),
                                (uint64_t)program(1)};
    struct dispatcher_form form = form_of(DISPATCHER_HOT1);

    (void)state;
    add_first(3);
    form.hottest = hottest;
    form.hottest_count = sizeof(hottest) / sizeof(hottest[0]);
    assert_int_equal(dispatcher_set_form(dispatcher, &form, NULL), PATCH_OK);
    look();
    assert_int_equal(view.hottest[0], 2);
    assert_int_equal(view.hottest[1], 1);
    assert_int_equal(view.hottest[2], 0);
    int32_t compared;

    memcpy(&compared, (const uint8_t *)view.image + 3, sizeof(compared));
    assert_ptr_equal((int64_t)compared, program(2));
    take_out(0); /* the numbers move down */
    look();
    assert_int_equal(view.hottest[0], 1);
    assert_int_equal(view.hottest[1], 0);
    expect_all_calls();
}

static void samplers_see_calls_and_pass_them_on(void **state)
{
    struct dispatcher_form form = form_of(DISPATCHER_TREE);
    struct trial *trial = dispatcher->trial;

    (void)state;
    add_first(4);
    form.is_sampled = true;
    assert_int_equal(dispatcher_set_form(dispatcher, &form, NULL), PATCH_OK);
    trial_start(trial, TRIAL_ANY_CPU);
    expect_all_calls();
    assert_int_equal(trial_stop(trial), PROGRAMS);
    for (unsigned i = 0; i < PROGRAMS; i++) {
        assert_ptr_equal(trial->samples[i].target, program(i));
    }
    add(4);
    look();
    assert_true(view.is_sampled); /* an update keeps the form */
    assert_ptr_equal(static_call_target(dispatcher->sampled), view.image);
    form.is_sampled = false;
    assert_int_equal(dispatcher_set_form(dispatcher, &form, NULL), PATCH_OK);
    assert_ptr_equal(static_call_target(dispatcher->sampled), __x86_indirect_thunk_rdx);
    expect_all_calls();
}

static void a_form_for_another_set_is_refused(void **state)
{
    struct dispatcher_form form = form_of(DISPATCHER_LINEAR);
    struct patch_error error;

    (void)state;
    add_first(3);
    look();
    form.generation = view.generation;
    add(3);
    assert_int_equal(dispatcher_set_form(dispatcher, &form, &error), PATCH_ERR_IN_USE);
    form = form_of(DISPATCHER_SHAPE_COUNT);
    assert_int_equal(dispatcher_set_form(dispatcher, &form, &error), PATCH_ERR_SHAPE);
    look();
    assert_int_equal(view.shape, DISPATCHER_TREE);
}

static void dispatchers_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(dispatcher_find("subject"), dispatcher);
    assert_null(dispatcher_find("other"));
    assert_ptr_equal(dispatcher_at(0), dispatcher);
    assert_null(dispatcher_at(1));
}

#define DISPATCHER_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISPATCHER_TEST(entries_are_reached_through_the_image),
        DISPATCHER_TEST(every_shape_and_size_reaches_every_program),
        DISPATCHER_TEST(users_share_an_entry),
        DISPATCHER_TEST(one_takes_the_place_of_another_in_one_batch),
        DISPATCHER_TEST(one_takes_its_own_place_and_keeps_its_rank),
        DISPATCHER_TEST(a_full_dispatcher_refuses_and_goes_on),
        DISPATCHER_TEST(what_is_not_there_cannot_go),
        DISPATCHER_TEST(far_programs_are_refused_in_every_shape),
        DISPATCHER_TEST(no_thread_no_update),
        DISPATCHER_TEST(two_updates_in_a_row_leave_a_parked_reader_its_code),
        DISPATCHER_TEST(a_switch_to_the_fallback_and_back_leaves_it_too),
        DISPATCHER_TEST(a_removed_program_is_left_before_the_update_returns),
        DISPATCHER_TEST(a_reader_that_stays_stops_the_update_before_a_byte_is_written),
        DISPATCHER_TEST(a_reader_that_stays_in_a_removed_program_is_told),
        DISPATCHER_TEST(a_write_that_fails_changes_nothing),
        DISPATCHER_TEST(a_cpu_that_is_silent_changes_nothing),
        DISPATCHER_TEST(a_batch_that_fails_leaves_somebody_in_the_new_image),
        DISPATCHER_TEST(a_shape_that_is_the_same_code_costs_nothing),
        DISPATCHER_TEST(ranks_decide_who_is_compared_first),
        DISPATCHER_TEST(samplers_see_calls_and_pass_them_on),
        DISPATCHER_TEST(a_form_for_another_set_is_refused),
        DISPATCHER_TEST(dispatchers_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
