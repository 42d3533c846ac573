// SPDX-License-Identifier: MIT
/* Tables that static_call_initialize() must refuse before it writes a byte. Each test spoils one
 * entry, sees the refusal name it, and puts the entry back; the last ones let initialize succeed.
 * That an image with a spoiled table is not built at all: tools/test_tools.py. */
#include "tests/host/calls.h"

#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

#define FAR_AWAY ((static_call_function *)0x7fff00000000)

/* call_sites_start, writable by then; a pointer whose origin the compiler does not see, lest it
 * take the entries for constants. */
static struct call_site *table;

static size_t table_length(void)
{
    return (size_t)(call_sites_end - call_sites_start);
}

static void expect_not_initialized(void)
{
    const struct tested_call *const both[] = {call_plain, call_nullable};
    struct patch_error error;
    struct patch_plan plan;

    for (unsigned i = 0; i < 2; i++) {
        struct static_call *call = both[i]->call;
        static_call_function *target = i == 0 ? both[i]->targets[STATE_B] : NULL;

        assert_int_equal(static_call_set(call, target, &error), PATCH_ERR_NOT_INITIALIZED);
        assert_string_equal(error.name, call->name);
        assert_int_equal(static_call_set_form(call, STATIC_CALL_OUT_OF_LINE, NULL),
                         PATCH_ERR_NOT_INITIALIZED);
        assert_int_equal(static_call_plan(call, target, NULL, NULL, &plan, NULL),
                         PATCH_ERR_NOT_INITIALIZED);
        assert_ptr_equal(static_call_target(call), both[i]->targets[STATE_A]);
        assert_false(call->is_changing);
    }
}

static void expect_refusal(enum patch_status status, const char *name, uint64_t address)
{
    struct patch_error error;

    assert_int_equal(static_call_initialize(&error), status);
    assert_int_equal(error.status, status);
    if (name == NULL) {
        assert_null(error.name);
    } else {
        assert_string_equal(error.name, name);
    }
    assert_int_equal(error.address, address);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(static_call_initialize(NULL), status);
    expect_not_initialized();
}

/* The first entry of @tested, of @kind. */
static struct call_site *entry_of(const struct tested_call *tested, enum call_site_kind kind)
{
    const struct static_call_entry *call = static_calls_start;
    struct call_site *site = table;

    while (call->call != tested->call) {
        call++;
    }
    while (site->function != call->trampoline || site->kind != kind) {
        site++;
    }
    return site;
}

/* Before anything is initialized, too: what runs early in boot may call. */
static void calls_work_through_their_trampolines_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        calls_expect_execution(&tested_calls[i], tested_calls[i].initial);
    }
    expect_not_initialized();
}

static void two_calls_of_one_name_are_refused(void **state)
{
    (void)state;
    const struct static_call_entry *entry = static_calls_start;
    uint64_t last = 0;
    const char *saved = call_outer->call->name;

    call_outer->call->name = "plain";
    for (; entry < static_calls_end; entry++) {
        if (entry->call == call_plain->call || entry->call == call_outer->call) {
            last = entry->trampoline;
        }
    }
    expect_refusal(PATCH_ERR_DUPLICATE, "plain", last);
    call_outer->call->name = saved;
}

/* Each entry in turn, as it stands in the table. */
static void entry_that_points_at_no_call_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_length(); i++) {
        const struct tested_call *tested = NULL;

        for (size_t call = 0; call < TESTED_CALLS && tested == NULL; call++) {
            for (const struct static_call_entry *entry = static_calls_start;
                 entry < static_calls_end; entry++) {
                if (entry->call == tested_calls[call].call &&
                    entry->trampoline == table[i].function) {
                    tested = &tested_calls[call];
                }
            }
        }
        table[i].address++;
        expect_refusal(PATCH_ERR_INSTRUCTION, tested->call->name, table[i].address);
        table[i].address--;
    }
}

static void entry_of_another_kind_is_refused(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct call_site *entry = entry_of(call_plain, kind);

        for (uint32_t other = 0; other < 5; other++) {
            entry->kind = other;
            if (other != kind) {
                expect_refusal(PATCH_ERR_INSTRUCTION, "plain", entry->address);
            }
        }
        entry->kind = kind;
    }
}

static void entry_of_another_length_is_refused(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < 3; kind++) {
        struct call_site *entry = entry_of(call_zero, kind);
        uint32_t saved = entry->length;

        for (uint32_t length = 0; length < 9; length++) {
            entry->length = length;
            if (length != saved) {
                expect_refusal(PATCH_ERR_INSTRUCTION, "zero_wide", entry->address);
            }
        }
        entry->length = saved;
    }
}

static void entry_outside_text_is_refused(void **state)
{
    (void)state;
    struct call_site *entry = entry_of(call_outer, CALL_SITE_JUMP_IF);
    uint64_t saved = entry->address;
    const uint64_t addresses[] = {(uint64_t)&entry, own_text_end(), own_text_end() - 5,
                                  UINT64_MAX - 5};

    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        entry->address = addresses[i];
        expect_refusal(PATCH_ERR_NOT_TEXT, "outer", addresses[i]);
    }
    entry->address = saved;
}

static void entry_of_an_unknown_function_is_refused(void **state)
{
    (void)state;
    uint64_t saved = table[0].function;

    table[0].function++;
    expect_refusal(PATCH_ERR_INSTRUCTION, NULL, table[0].address);
    table[0].function = saved;
}

static void entry_of_another_function_is_refused(void **state)
{
    (void)state;
    struct call_site *entry = entry_of(call_plain, CALL_SITE_CALL);
    uint64_t saved = entry->function;

    entry->function = entry_of(call_zero, CALL_SITE_CALL)->function;
    expect_refusal(PATCH_ERR_INSTRUCTION, "zero_wide", entry->address);
    entry->function = saved;
}

static void swap(struct call_site *one, struct call_site *other)
{
    struct call_site saved = *one;

    *one = *other;
    *other = saved;
}

static void run_that_is_split_is_refused(void **state)
{
    (void)state;
    struct call_site *other = entry_of(call_nullable, CALL_SITE_CALL);

    assert_true(other->address < table[2].address); /* so that the order alone does not show it */
    swap(&table[1], other);
    expect_refusal(PATCH_ERR_INSTRUCTION, "null_first", table[2].address);
    swap(&table[1], other);
}

static void run_out_of_order_is_refused(void **state)
{
    (void)state;
    struct call_site saved = table[1];

    swap(&table[0], &table[1]);
    expect_refusal(PATCH_ERR_INSTRUCTION, "null_first", table[1].address);
    swap(&table[0], &table[1]);
    table[1] = table[0]; /* the same site twice */
    expect_refusal(PATCH_ERR_INSTRUCTION, "null_first", table[1].address);
    table[1] = saved;
}

static void first_target_out_of_reach_is_refused(void **state)
{
    (void)state;
    struct static_call *call = call_zero->call;

    call->target = FAR_AWAY;
    expect_refusal(PATCH_ERR_RANGE, "zero_wide", entry_of(call_zero, CALL_SITE_CALL)->address);
    call->target = NULL;
}

static int setup(void **state)
{
    (void)state;
    calls_begin();
    return 0;
}

/* What is written by then stays; the host stops, or calls that. The sites are none of the
 * watcher's here. */
static void write_that_fails_is_refused_and_named(void **state)
{
    (void)state;
    struct patch_error error;

    recorder.fail_write = 1;
    recorder.fault = FAULT_NOTHING_WRITTEN;
    assert_int_equal(static_call_initialize(&error), PATCH_ERR_WRITE);
    assert_string_equal(error.name, "null_first");
    assert_int_equal(error.address, table[0].address);
    assert_string_equal(recorder_log(), "(w)S");
    expect_not_initialized();
}

static void silent_cpu_stops_the_machine(void **state)
{
    (void)state;
    jmp_buf after;

    recorder.fail_write = 1; /* no text changes */
    recorder.fault = FAULT_NOTHING_WRITTEN;
    recorder.silent_round = 1;
    recorder.on_fatal = &after;
    if (setjmp(after) == 0) {
        enum patch_status status = static_call_initialize(NULL);

        fail_msg("initialize returned %d", (int)status);
    }
    assert_int_equal(recorder.fatal_cpu, RECORDER_SILENT_CPU);
}

/* One stretch of writes, each at a site of an inline call, and one sync: calls_group_setup() has
 * the watcher look on. */
static void initialize_makes_calls_inline_and_syncs_once(void **state)
{
    assert_int_equal(calls_group_setup(state), 0);
    assert_string_equal(recorder_log() + strspn(recorder_log(), "(w"), ")S");
    assert_int_equal(recorder.writes, table_length() - CALLERS); /* but those out of line */
    recorder_expect_synced();
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        calls_expect_text(&tested_calls[i], tested_calls[i].initial_form, tested_calls[i].initial);
        calls_expect_execution(&tested_calls[i], tested_calls[i].initial);
    }
}

static void calls_are_found_by_name_in_order(void **state)
{
    (void)state;
    size_t count = 0;

    for (const struct static_call *call = static_call_first(); call != NULL; count++) {
        const struct static_call *next = static_call_next(call);

        assert_ptr_equal(static_call_find(call->name), call);
        assert_true(next == NULL || strcmp(call->name, next->name) < 0);
        call = next;
    }
    assert_int_equal(count, static_calls_end - static_calls_start);
    assert_int_equal(count, TESTED_CALLS + 1);
    assert_null(static_call_find("plai"));
    assert_null(static_call_find(""));
}

static void choices_are_registered_with_their_calls(void **state)
{
    (void)state;
    assert_int_equal(static_call_choices_end - static_call_choices_start, 2);
    for (const struct static_call_choice *choice = static_call_choices_start;
         choice < static_call_choices_end; choice++) {
        bool is_a = strcmp(choice->name, "wide_a") == 0;

        assert_ptr_equal(choice->call, call_plain->call);
        assert_ptr_equal(choice->target, call_plain->targets[is_a ? STATE_A : STATE_B]);
        assert_true(is_a || strcmp(choice->name, "wide_b") == 0);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(calls_work_through_their_trampolines_before, setup),
    cmocka_unit_test_setup(two_calls_of_one_name_are_refused, setup),
    cmocka_unit_test_setup(entry_that_points_at_no_call_is_refused, setup),
    cmocka_unit_test_setup(entry_of_another_kind_is_refused, setup),
    cmocka_unit_test_setup(entry_of_another_length_is_refused, setup),
    cmocka_unit_test_setup(entry_outside_text_is_refused, setup),
    cmocka_unit_test_setup(entry_of_an_unknown_function_is_refused, setup),
    cmocka_unit_test_setup(entry_of_another_function_is_refused, setup),
    cmocka_unit_test_setup(run_that_is_split_is_refused, setup),
    cmocka_unit_test_setup(run_out_of_order_is_refused, setup),
    cmocka_unit_test_setup(first_target_out_of_reach_is_refused, setup),
    cmocka_unit_test_setup(write_that_fails_is_refused_and_named, setup),
    cmocka_unit_test_setup(silent_cpu_stops_the_machine, setup),
    cmocka_unit_test_setup(initialize_makes_calls_inline_and_syncs_once, setup),
    cmocka_unit_test_setup(calls_are_found_by_name_in_order, setup),
    cmocka_unit_test_setup(choices_are_registered_with_their_calls, setup),
};

static int group_setup(void **state)
{
    (void)state;
    setup(NULL);
    __asm__("" : "=r"(table) : "0"(call_sites_start));
    return calls_unprotect(call_sites_start, call_sites_end) != 0 || own_text_unprotect() != 0 ? -1
                                                                                               : 0;
}

HOST_TEST_MAIN(tests, group_setup)
