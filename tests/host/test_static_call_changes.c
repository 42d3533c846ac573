// SPDX-License-Identifier: MIT
/* Changes of static calls: forms, plans, records, refusals, failed writes. Detects text, target and
 * form that come apart when a change fails, a plan or a record that lies, an error that does not
 * name its culprit. */
#include "tests/host/calls.h"

#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

/* Beyond the reach of any jump from this program's text, which lies low (-no-pie). */
#define FAR_AWAY ((static_call_function *)0x7fff00000000)

static struct patch_error error;

static enum patch_status set(const struct tested_call *tested, static_call_function *target)
{
    return static_call_set(tested->call, target, &error);
}

/* Nothing was written, and the error names @tested. */
static void expect_refused(const struct tested_call *tested, enum patch_status actual,
                           enum patch_status expected)
{
    assert_int_equal(actual, expected);
    assert_int_equal(error.status, expected);
    assert_string_equal(error.name, tested->call->name);
    assert_string_equal(recorder_log(), "");
    assert_false(tested->call->is_changing);
    calls_expect_text(tested, tested->initial_form, tested->initial);
    memset(&error, 0, sizeof(error));
}

static void form_changes_the_sites_and_not_the_trampoline(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        const struct tested_call *tested = &tested_calls[i];
        unsigned sites = tested->call->site_count;

        for (enum call_state to = 0; to < STATE_COUNT; to++) {
            struct patch_record record;

            if (!tested_call_has(tested, to)) {
                continue;
            }
            for (unsigned form = 0; form < STATIC_CALL_FORM_COUNT; form++) {
                calls_bring(tested, !form, to);
                calls_watch(tested, form, to);
                assert_int_equal(static_call_set_form(tested->call, form, NULL), PATCH_OK);
                recorder_expect_synced();
                assert_int_equal(recorder.rounds, 3);
                calls_expect_text(tested, form, to);
                calls_expect_execution(tested, to);
                assert_true(patch_record_get(patch_record_newest(), &record));
                assert_int_equal(record.sites, sites);
                assert_string_equal(record.who, tested->call->name);

                assert_int_equal(static_call_set_form(tested->call, form, NULL), PATCH_OK);
                assert_int_equal(recorder.rounds, 3); /* the second one was free */
            }
        }
    }
}

static void unknown_form_is_refused(void **state)
{
    (void)state;
    expect_refused(call_plain,
                   static_call_set_form(call_plain->call, STATIC_CALL_FORM_COUNT, &error),
                   PATCH_ERR_INSTRUCTION);
    expect_refused(call_zero, static_call_set_form(call_zero->call, -1, &error),
                   PATCH_ERR_INSTRUCTION);
}

static void null_is_refused_where_the_type_forbids_it(void **state)
{
    (void)state;
    expect_refused(call_plain, set(call_plain, NULL), PATCH_ERR_NO_TARGET);
    expect_refused(call_outer, set(call_outer, NULL), PATCH_ERR_NO_TARGET);
}

static void target_out_of_reach_is_refused(void **state)
{
    (void)state;
    expect_refused(call_plain, set(call_plain, FAR_AWAY), PATCH_ERR_RANGE);
    expect_refused(call_outer, set(call_outer, FAR_AWAY), PATCH_ERR_RANGE);
    expect_refused(call_zero, set(call_zero, FAR_AWAY), PATCH_ERR_RANGE);
}

/* Byte by byte: the limit is 2 GiB from the trampoline, the farthest of all. */
static void reach_ends_at_2_gib(void **state)
{
    (void)state;
    uint64_t limit = call_lonely->call->trampoline + 5 + INT32_MAX;
    uint8_t jump[5] = {0xe9, 0xff, 0xff, 0xff, 0x7f};

    assert_int_equal(set(call_lonely, (static_call_function *)(limit + 1)), PATCH_ERR_RANGE);
    assert_string_equal(error.name, "lonely");
    recorder_watch(call_lonely->call->trampoline, (uint8_t *)call_lonely->call->trampoline, jump,
                   5);
    assert_int_equal(set(call_lonely, (static_call_function *)limit), PATCH_OK);
    assert_memory_equal((void *)call_lonely->call->trampoline, jump, 5);
    assert_int_equal(set(call_lonely, call_lonely->targets[STATE_A]), PATCH_OK);
}

static void target_inside_its_own_text_is_refused(void **state)
{
    (void)state;
    const struct call_site *site = &call_plain->call->sites[1];
    uint64_t trampoline = call_plain->call->trampoline;

    for (unsigned byte = 0; byte < 5; byte++) {
        expect_refused(call_plain, set(call_plain, (static_call_function *)(trampoline + byte)),
                       PATCH_ERR_TARGET_IN_SITE);
        if (byte > 0) {
            expect_refused(call_plain,
                           set(call_plain, (static_call_function *)(site->address + byte)),
                           PATCH_ERR_TARGET_IN_SITE);
        }
    }
}

static void wrong_context_is_refused(void **state)
{
    (void)state;
    struct static_call *call = call_plain->call;
    struct patch_plan plan = {1, 1, 1};

    recorder.may_patch = false;
    expect_refused(call_plain, set(call_plain, call_plain->targets[STATE_B]), PATCH_ERR_CONTEXT);
    expect_refused(call_plain, static_call_set_form(call, STATIC_CALL_OUT_OF_LINE, &error),
                   PATCH_ERR_CONTEXT);
    expect_refused(call_plain,
                   static_call_plan(call, call_plain->targets[STATE_B], NULL, NULL, &plan, &error),
                   PATCH_ERR_CONTEXT);
    assert_int_equal(plan.rounds, 0);
    assert_int_equal(static_call_set(call, call_plain->targets[STATE_B], NULL), PATCH_ERR_CONTEXT);
}

/* What stands at a site, or at the trampoline, is not what an update expects. */
static void foreign_bytes_are_refused_and_named(void **state)
{
    (void)state;
    const struct static_call *call = call_plain->call;

    for (uint32_t i = 0; i <= call->site_count; i++) {
        bool is_site = i < call->site_count;
        uint64_t address = is_site ? call->sites[i].address : call->trampoline;
        uint8_t *last = (uint8_t *)address + 4;
        enum patch_status status;

        *last ^= 1;
        status = set(call_plain, call_plain->targets[STATE_B]);
        *last ^= 1;
        assert_int_equal(error.address, address);
        expect_refused(call_plain, status, PATCH_ERR_UNEXPECTED);
    }
}

static void call_with_too_many_sites_is_refused(void **state)
{
    (void)state;
    static struct call_site many[PATCH_BATCH_MAX + 1];
    struct static_call *call = call_plain->call;
    const struct call_site *sites = call->sites;
    uint32_t count = call->site_count;
    enum patch_status status;

    for (size_t i = 0; i < ARRAY_COUNT(many); i++) {
        many[i] = (struct call_site){own_text_start() + 8 * i, 0, CALL_SITE_CALL, 5};
    }
    call->sites = many;
    call->site_count = PATCH_BATCH_MAX; /* and the trampoline */
    status = set(call_plain, call_plain->targets[STATE_B]);
    call->sites = sites;
    call->site_count = count;
    expect_refused(call_plain, status, PATCH_ERR_FULL);
}

/* A site of a kind that does not exist: the table was overwritten behind initialize. */
static void site_of_an_unknown_kind_is_refused(void **state)
{
    (void)state;
    struct call_site *site = (struct call_site *)&call_plain->call->sites[0];
    enum patch_status status;

    assert_int_equal(calls_unprotect(site, site + 1), 0);
    site->kind = 3;
    status = set(call_plain, call_plain->targets[STATE_B]);
    site->kind = CALL_SITE_CALL;
    expect_refused(call_plain, status, PATCH_ERR_INSTRUCTION);
}

/* Every write of every kind of change fails in turn, in each way a write can fail. */
static void failed_write_leaves_everything_as_it_was(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        const struct tested_call *tested = &tested_calls[i];
        enum static_call_form form = tested->initial_form;
        unsigned writes;

        calls_begin();
        calls_watch(tested, form, STATE_B);
        assert_int_equal(set(tested, tested->targets[STATE_B]), PATCH_OK);
        writes = recorder.writes;
        for (unsigned write = 1; write <= writes * FAULT_COUNT; write++) {
            calls_bring(tested, form, tested->initial);
            calls_watch(tested, form, STATE_B);
            recorder.fail_write = (write - 1) / FAULT_COUNT + 1;
            recorder.fault = write % FAULT_COUNT;
            assert_int_equal(set(tested, tested->targets[STATE_B]), PATCH_ERR_WRITE);
            assert_string_equal(error.name, tested->call->name);
            recorder_expect_synced();
            calls_expect_text(tested, form, tested->initial);
            calls_expect_execution(tested, tested->initial);
        }
        calls_bring(tested, form, STATE_B); /* and then it works */
        calls_expect_execution(tested, STATE_B);
    }
}

static void failed_change_of_form_leaves_everything_as_it_was(void **state)
{
    (void)state;
    for (unsigned write = 1; write <= 3 * CALLERS; write++) {
        calls_bring(call_plain, STATIC_CALL_INLINE, STATE_B);
        calls_watch(call_plain, STATIC_CALL_OUT_OF_LINE, STATE_B);
        recorder.fail_write = write;
        assert_int_equal(static_call_set_form(call_plain->call, STATIC_CALL_OUT_OF_LINE, &error),
                         PATCH_ERR_WRITE);
        assert_string_equal(error.name, "plain");
        calls_expect_text(call_plain, STATIC_CALL_INLINE, STATE_B);
        calls_expect_execution(call_plain, STATE_B);
    }
}

static void silent_cpu_leaves_everything_as_it_was(void **state)
{
    (void)state;
    calls_watch(call_plain, STATIC_CALL_INLINE, STATE_B);
    recorder.silent_round = 1;
    assert_int_equal(set(call_plain, call_plain->targets[STATE_B]), PATCH_ERR_SILENT_CPU);
    assert_int_equal(error.cpu, RECORDER_SILENT_CPU);
    calls_expect_text(call_plain, STATIC_CALL_INLINE, STATE_A);
}

/* noinline: the records must name these functions as the callers. */
__attribute__((noinline)) static enum patch_status update_from_here(void)
{
    enum patch_status status = static_call_update(lonely, nothing_b, &error);

    __asm__ volatile("" ::: "memory"); /* no tail call */
    return status;
}

__attribute__((noinline)) static enum patch_status change_form_from_here(void)
{
    enum patch_status status =
        static_call_set_form(call_plain->call, STATIC_CALL_OUT_OF_LINE, &error);

    __asm__ volatile("" ::: "memory");
    return status;
}

static void record_names_call_and_caller(void **state)
{
    (void)state;
    struct patch_record record;

    calls_watch(call_lonely, STATIC_CALL_FORM_DEFAULT, STATE_B);
    assert_int_equal(update_from_here(), PATCH_OK);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_string_equal(record.who, "lonely");
    assert_in_range(record.caller, (uint64_t)update_from_here, (uint64_t)update_from_here + 64);
    assert_int_equal(record.sites, 1);
    assert_int_equal(record.rounds, 3);
    assert_int_equal(record.ipis, 9);

    calls_begin();
    calls_watch(call_plain, STATIC_CALL_OUT_OF_LINE, STATE_A);
    assert_int_equal(change_form_from_here(), PATCH_OK);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_string_equal(record.who, "plain");
    assert_in_range(record.caller, (uint64_t)change_form_from_here,
                    (uint64_t)change_form_from_here + 64);
    assert_int_equal(record.sites, CALLERS);
    assert_int_equal(record.traps, recorder.traps);
}

struct visit_log {
    unsigned count;
    struct patch_site sites[16];
};

static void visit(void *context, const struct patch_site *site)
{
    struct visit_log *log = context;

    log->sites[log->count++] = *site;
}

static void plan_expect(const struct tested_call *tested, enum static_call_form form,
                        enum call_state from, enum call_state to)
{
    struct visit_log log = {0};
    struct patch_plan plan;
    unsigned sites = 1 + (form == STATIC_CALL_INLINE ? tested->call->site_count : 0);

    calls_bring(tested, form, from);
    assert_int_equal(
        static_call_plan(tested->call, tested->targets[to], visit, &log, &plan, &error), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    calls_expect_text(tested, form, from);
    assert_int_equal(plan.sites, from == to ? 0 : sites);
    assert_int_equal(log.count, plan.sites);
    for (unsigned i = 0; i < log.count; i++) {
        assert_memory_equal((void *)log.sites[i].address, log.sites[i].old_bytes,
                            log.sites[i].length);
    }
    calls_watch(tested, form, to);
    assert_int_equal(set(tested, tested->targets[to]), PATCH_OK);
    assert_int_equal(plan.rounds, recorder.rounds);
    assert_int_equal(plan.ipis, recorder.rounds * 3);
    for (unsigned i = 0; i < log.count; i++) {
        assert_memory_equal((void *)log.sites[i].address, log.sites[i].new_bytes,
                            log.sites[i].length);
    }
}

static void plan_shows_byte_for_byte_what_the_update_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        for (enum call_state to = 0; to < STATE_COUNT; to++) {
            if (tested_call_has(&tested_calls[i], to)) {
                plan_expect(&tested_calls[i], STATIC_CALL_INLINE, STATE_A, to);
                plan_expect(&tested_calls[i], STATIC_CALL_OUT_OF_LINE, STATE_B, to);
            }
        }
    }
}

static void plan_refuses_what_the_update_would_refuse(void **state)
{
    (void)state;
    struct patch_plan plan;

    expect_refused(call_plain, static_call_plan(call_plain->call, NULL, visit, NULL, &plan, &error),
                   PATCH_ERR_NO_TARGET);
    expect_refused(call_plain,
                   static_call_plan(call_plain->call, FAR_AWAY, visit, NULL, &plan, &error),
                   PATCH_ERR_RANGE);
    assert_int_equal(static_call_plan(call_plain->call, FAR_AWAY, visit, NULL, &plan, NULL),
                     PATCH_ERR_RANGE);
}

static void plan_over_foreign_bytes_is_refused_and_named(void **state)
{
    (void)state;
    uint64_t address = call_plain->call->sites[1].address;
    struct patch_plan plan;
    enum patch_status status;

    *(uint8_t *)(address + 4) ^= 1;
    status =
        static_call_plan(call_plain->call, call_plain->targets[STATE_B], NULL, NULL, &plan, &error);
    *(uint8_t *)(address + 4) ^= 1;
    assert_int_equal(error.address, address);
    assert_int_equal(plan.sites, 0);
    expect_refused(call_plain, status, PATCH_ERR_UNEXPECTED);
}

static const struct CMUnitTest tests[] = {
    CALL_TEST(form_changes_the_sites_and_not_the_trampoline),
    CALL_TEST(unknown_form_is_refused),
    CALL_TEST(null_is_refused_where_the_type_forbids_it),
    CALL_TEST(target_out_of_reach_is_refused),
    CALL_TEST(reach_ends_at_2_gib),
    CALL_TEST(target_inside_its_own_text_is_refused),
    CALL_TEST(wrong_context_is_refused),
    CALL_TEST(foreign_bytes_are_refused_and_named),
    CALL_TEST(call_with_too_many_sites_is_refused),
    CALL_TEST(site_of_an_unknown_kind_is_refused),
    CALL_TEST(failed_write_leaves_everything_as_it_was),
    CALL_TEST(failed_change_of_form_leaves_everything_as_it_was),
    CALL_TEST(silent_cpu_leaves_everything_as_it_was),
    CALL_TEST(record_names_call_and_caller),
    CALL_TEST(plan_shows_byte_for_byte_what_the_update_does),
    CALL_TEST(plan_refuses_what_the_update_would_refuse),
    CALL_TEST(plan_over_foreign_bytes_is_refused_and_named),
};

HOST_TEST_MAIN(tests, calls_group_setup)
