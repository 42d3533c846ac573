// SPDX-License-Identifier: MIT
/* Entries of functions: made one nop at boot, traced and untraced in batches. The table lists
 * places in the recorder's arena, more than one batch takes. Detects an entry changed that was not
 * chosen, a chunk too large, a round too many, text that off or a failed batch does not restore.
 * The recorder checks each byte on the way. What a traced entry calls is tested in
 * test_trace_ring.c. */
#include "patching/function_trace.h"

#include "patching/instruction.h"
#include "patching/platform.h"
#include "patching/poke.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

enum {
    ENTRIES = PATCH_BATCH_MAX + 1,
    THIRDS = (ENTRIES + 2) / 3,
    STRIDE = 16,
    LENGTH = INSN_CALL32_LENGTH,
};

uint64_t test_entries[ENTRIES]; /* the table, under the names of the linker script: */
__asm__(".globl function_entries_start, function_entries_end\n"
        ".set function_entries_start, test_entries\n"
        ".set function_entries_end, test_entries + 8 * 4097");
_Static_assert(ENTRIES == 4097, "written out above");

extern void function_trace_entry(void);

static const uint8_t nop5[LENGTH] = {0x0f, 0x1f, 0x44, 0x00, 0x00};
static struct function_trace_cost cost;
static struct patch_error error;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    for (unsigned i = 0; i < ENTRIES; i++) {
        test_entries[i] = (uint64_t)recorder_arena + i * STRIDE;
        memcpy((void *)test_entries[i], nop5, LENGTH);
    }
    return 0;
}

/* The call of function_trace_entry() that a traced entry shows. */
static void call_at(uint64_t address, uint8_t bytes[LENGTH])
{
    int32_t distance = (int32_t)((uint64_t)function_trace_entry - address - LENGTH);

    bytes[0] = 0xe8;
    memcpy(bytes + 1, &distance, sizeof(distance));
}

static void watch_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t call[LENGTH];

        call_at(test_entries[i], call);
        recorder_watch(test_entries[i], nop5, call, LENGTH);
    }
}

/* Whether entry @index shows the call, all of it; it must show that or the nop. */
static bool shows_call(unsigned index)
{
    uint8_t call[LENGTH];
    bool is_call;

    call_at(test_entries[index], call);
    is_call = memcmp((void *)test_entries[index], call, LENGTH) == 0;
    assert_true(is_call || memcmp((void *)test_entries[index], nop5, LENGTH) == 0);
    assert_int_equal(function_trace_is_on(index), is_call);
    return is_call;
}

static unsigned count_calls(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < ENTRIES; i++) {
        count += shows_call(i);
    }
    assert_int_equal(function_trace_count_on(), count);
    return count;
}

/* Chooses indices below @argument. */
static bool is_below(uint32_t index, void *argument)
{
    assert_true(platform_lock_is_held());
    return index < *(const uint32_t *)argument;
}

static bool is_third(uint32_t index, void *argument)
{
    (void)argument;
    return index % 3 == 0;
}

static enum patch_status set_below(bool on, uint32_t count, uint32_t chunk)
{
    enum patch_status status = function_trace_set(on, is_below, &count, chunk, &cost, &error);

    assert_false(platform_lock_is_held());
    assert_int_equal(error.status, status);
    return status;
}

static void expect_cost(uint32_t functions, uint32_t batches, uint32_t rounds)
{
    assert_int_equal(cost.functions, functions);
    assert_int_equal(cost.batches, batches);
    assert_int_equal(cost.rounds, rounds);
    assert_int_equal(cost.ipis, rounds * (recorder.cpus - 1));
}

static void all_functions_of_a_batch_take_three_rounds_and_off_restores_every_byte(void **state)
{
    (void)state;
    static uint8_t before[RECORDER_ARENA_SIZE];

    memcpy(before, recorder_arena, sizeof(before));
    watch_all(PATCH_BATCH_MAX);
    assert_int_equal(set_below(true, PATCH_BATCH_MAX, 0), PATCH_OK);
    expect_cost(PATCH_BATCH_MAX, 1, 3);
    assert_int_equal(count_calls(), PATCH_BATCH_MAX);
    assert_true(cost.total_ns > 0);
    assert_int_equal(set_below(false, PATCH_BATCH_MAX, 0), PATCH_OK);
    expect_cost(PATCH_BATCH_MAX, 1, 3);
    assert_memory_equal(recorder_arena, before, sizeof(before));
    recorder_expect_synced();
}

static void more_than_fit_take_another_batch(void **state)
{
    (void)state;
    watch_all(ENTRIES);
    assert_int_equal(set_below(true, ENTRIES, 0), PATCH_OK);
    expect_cost(ENTRIES, 2, 6);
    assert_int_equal(count_calls(), ENTRIES);
}

static void chunk_bounds_each_batch(void **state)
{
    (void)state;
    watch_all(250);
    assert_int_equal(set_below(true, 250, 100), PATCH_OK);
    expect_cost(250, 3, 9);
    assert_int_equal(count_calls(), 250);
    assert_int_equal(set_below(false, 250, 1), PATCH_OK);
    expect_cost(250, 250, 750);
}

static void chunk_is_cut_to_a_batch(void **state)
{
    (void)state;
    watch_all(ENTRIES);
    assert_int_equal(set_below(true, ENTRIES, ENTRIES), PATCH_OK);
    expect_cost(ENTRIES, 2, 6);
}

static void only_what_is_chosen_and_differs_is_changed(void **state)
{
    (void)state;
    watch_all(ENTRIES);
    assert_int_equal(function_trace_set(true, is_third, NULL, 0, &cost, &error), PATCH_OK);
    expect_cost(THIRDS, 1, 3);
    for (unsigned i = 0; i < ENTRIES; i++) {
        assert_int_equal(shows_call(i), i % 3 == 0);
    }
    assert_int_equal(set_below(true, 30, 0), PATCH_OK); /* ten of them are on */
    expect_cost(20, 1, 3);
    assert_int_equal(set_below(true, 30, 0), PATCH_OK);
    expect_cost(0, 0, 0);
    assert_int_equal(set_below(false, 30, 0), PATCH_OK);
    assert_int_equal(count_calls(), THIRDS - 10);
}

static void error_may_be_null(void **state)
{
    (void)state;
    watch_all(ENTRIES);
    assert_int_equal(function_trace_set(true, is_third, NULL, 0, &cost, NULL), PATCH_OK);
    assert_int_equal(count_calls(), THIRDS);
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_NAIVE, PATCH_ALLOW_UNSAFE),
                     PATCH_OK);
    assert_int_equal(function_trace_set(false, is_third, NULL, 0, &cost, NULL), PATCH_ERR_UNSAFE);
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
}

static void every_protocol_but_naive_traces(void **state)
{
    (void)state;
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        bool is_naive = id == PATCH_PROTOCOL_NAIVE;

        setup(NULL);
        watch_all(40);
        assert_int_equal(patch_protocol_set_default(id, PATCH_ALLOW_UNSAFE), PATCH_OK);
        assert_int_equal(set_below(true, 40, 0), is_naive ? PATCH_ERR_UNSAFE : PATCH_OK);
        assert_int_equal(count_calls(), is_naive ? 0 : 40);
        assert_string_equal(is_naive ? recorder_log() : "", "");
    }
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
}

static void batch_that_fails_is_put_back_and_those_before_it_stand(void **state)
{
    (void)state;
    watch_all(30);
    recorder.fail_write = 10 * 3 + 15; /* in the second batch of ten, behind its int3s */
    assert_int_equal(set_below(true, 30, 10), PATCH_ERR_WRITE);
    assert_int_equal(cost.functions, 10);
    assert_int_equal(cost.batches, 2);
    assert_int_equal(count_calls(), 10);
    assert_true(error.address >= test_entries[10] && error.address < test_entries[20]);
    assert_int_equal(set_below(true, 30, 10), PATCH_OK);
    expect_cost(20, 2, 6);
    recorder_expect_synced();
}

static void context_that_may_not_patch_is_refused(void **state)
{
    (void)state;
    recorder.may_patch = false;
    assert_int_equal(set_below(true, 1, 0), PATCH_ERR_CONTEXT);
    expect_cost(0, 0, 0);
    assert_string_equal(recorder_log(), "");
}

static void entry_that_may_not_be_patched_is_refused_by_address(void **state)
{
    (void)state;
    uint64_t last = test_entries[ENTRIES - 1];

    watch_all(ENTRIES);
    recorder.text_end = last;
    assert_int_equal(set_below(true, ENTRIES, 0), PATCH_ERR_NOT_TEXT);
    assert_int_equal(error.address, last);
    assert_int_equal(cost.functions, PATCH_BATCH_MAX);
    assert_int_equal(count_calls(), PATCH_BATCH_MAX);
}

static void functions_are_found_by_where_they_begin(void **state)
{
    (void)state;
    assert_int_equal(function_trace_count(), ENTRIES);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        assert_int_equal(function_trace_address(i), test_entries[i]);
        assert_int_equal(function_trace_find(test_entries[i]), i);
        assert_int_equal(function_trace_find(test_entries[i] + 1), ENTRIES);
    }
    assert_int_equal(function_trace_find(0), ENTRIES);
    assert_int_equal(function_trace_find(UINT64_MAX), ENTRIES);
}

static void initialize_makes_one_nop_of_what_compilers_write(void **state)
{
    (void)state;
    static const uint8_t clang[LENGTH] = {0x0f, 0x1f, 0x44, 0x00, 0x08};

    recorder.early_boot = true;
    for (unsigned i = 0; i < ENTRIES; i++) {
        memset((void *)test_entries[i], 0x90, LENGTH);
    }
    memcpy((void *)test_entries[1], clang, LENGTH);
    memcpy((void *)test_entries[2], nop5, LENGTH);
    for (unsigned i = 0; i < ENTRIES; i++) {
        recorder_watch(test_entries[i], (const uint8_t *)test_entries[i], nop5, LENGTH);
    }
    assert_int_equal(function_trace_initialize(&error), PATCH_OK);
    assert_int_equal(count_calls(), 0);
    assert_int_equal(recorder.writes, ENTRIES - 1);
    assert_int_equal(recorder.rounds, 1);
    assert_int_equal(function_trace_initialize(&error), PATCH_OK);
    assert_int_equal(recorder.writes, ENTRIES - 1);
}

static void initialize_names_the_entry_that_is_wrong(void **state)
{
    (void)state;
    uint64_t seventh = test_entries[7];

    recorder.early_boot = true;
    test_entries[7] = (uint64_t)nop5; /* not in the arena */
    assert_int_equal(function_trace_initialize(&error), PATCH_ERR_NOT_TEXT);
    assert_int_equal(error.address, nop5);

    test_entries[7] = test_entries[6];
    assert_int_equal(function_trace_initialize(&error), PATCH_ERR_DUPLICATE);
    assert_int_equal(error.address, test_entries[6]);

    test_entries[7] = test_entries[5];
    assert_int_equal(function_trace_initialize(&error), PATCH_ERR_DUPLICATE);

    test_entries[7] = seventh;
    memset((void *)seventh, 0x90, LENGTH - 1);
    assert_int_equal(function_trace_initialize(&error), PATCH_ERR_INSTRUCTION);
    assert_int_equal(error.address, seventh);

    memset((void *)seventh, 0x90, LENGTH);
    recorder_watch(seventh, (const uint8_t *)seventh, nop5, LENGTH);
    recorder.fail_write = 1;
    assert_int_equal(function_trace_initialize(&error), PATCH_ERR_WRITE);
    assert_int_equal(error.address, seventh);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(all_functions_of_a_batch_take_three_rounds_and_off_restores_every_byte,
                           setup),
    cmocka_unit_test_setup(error_may_be_null, setup),
    cmocka_unit_test_setup(more_than_fit_take_another_batch, setup),
    cmocka_unit_test_setup(chunk_bounds_each_batch, setup),
    cmocka_unit_test_setup(chunk_is_cut_to_a_batch, setup),
    cmocka_unit_test_setup(only_what_is_chosen_and_differs_is_changed, setup),
    cmocka_unit_test_setup(every_protocol_but_naive_traces, setup),
    cmocka_unit_test_setup(batch_that_fails_is_put_back_and_those_before_it_stand, setup),
    cmocka_unit_test_setup(context_that_may_not_patch_is_refused, setup),
    cmocka_unit_test_setup(entry_that_may_not_be_patched_is_refused_by_address, setup),
    cmocka_unit_test_setup(functions_are_found_by_where_they_begin, setup),
    cmocka_unit_test_setup(initialize_makes_one_nop_of_what_compilers_write, setup),
    cmocka_unit_test_setup(initialize_names_the_entry_that_is_wrong, setup),
};

HOST_TEST_MAIN(tests, NULL)
