// SPDX-License-Identifier: MIT
/* Changes of paravirt ops that are refused, or fail at each write and round: every op, its slot and
 * all of its sites are as before, the culprit is named, and the same change may be made again.
 * Detects a slot, way or form that is set though the batch failed, a change that never ends, a
 * check that is missing. Could miss: faults of a real CPU. */
#include "tests/host/paravirts.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

enum { MIXED = 3 }; /* changes that fail together */

static struct patch_change changes[PARAVIRT_OP_COUNT + 1];

static int setup(void **state)
{
    (void)state;
    paravirts_take_all(PARAVIRT_INLINE, true);
    return 0;
}

/* ---- refused ---- */

/* Of all @count changes nothing happens; @status names @culprit. Then the others go through, which
 * they could not if the refused ones had not ended. */
static void expect_refusal(size_t count, enum patch_status status, const char *culprit)
{
    struct patch_error error;

    assert_int_equal(patch_transaction("refused", changes, count, &error), status);
    assert_int_equal(error.status, status);
    assert_string_equal(error.name, culprit);
    assert_string_equal(recorder_log(), "");
    paravirts_expect_all(PARAVIRT_INLINE, true);
    paravirts_take_all(PARAVIRT_DIRECT, false);
    paravirts_take_all(PARAVIRT_INLINE, true);
}

static void op_that_is_listed_twice_is_refused(void **state)
{
    (void)state;
    struct paravirt_op *op = op_at(PARAVIRT_lock_unlock);
    const struct patch_change of_it[] = {
        paravirt_change_to(op, other_of(PARAVIRT_lock_unlock)),
        paravirt_form_change_to(op, PARAVIRT_DIRECT),
        paravirt_change_to(op, native_of(PARAVIRT_lock_unlock)),
    };

    for (unsigned i = 0; i < ARRAY_COUNT(of_it) * ARRAY_COUNT(of_it); i++) {
        changes[0] = of_it[i / ARRAY_COUNT(of_it)];
        changes[1] = paravirt_change_to(op_at(PARAVIRT_eoi), other_of(PARAVIRT_eoi));
        changes[2] = of_it[i % ARRAY_COUNT(of_it)];
        expect_refusal(3, PATCH_ERR_DUPLICATE, "lock_unlock");
    }
}

static void change_that_cannot_be_is_refused(void **state)
{
    (void)state;
    static const uint8_t nop7[] = {0x0f, 0x1f, 0x80, 0, 0, 0, 0};
    static const struct paravirt_way nobody = {.name = "nobody"};
    static const struct paravirt_way far = {.name = "far",
                                            .function = (paravirt_function *)0x7fff00000000};
    const struct paravirt_way too_long = {"too_long", native_of(0)->function, "nop7", nop7,
                                          nop7 + sizeof(nop7)};
    struct paravirt_op *op = op_at(PARAVIRT_eoi);
    const struct {
        struct patch_change change;
        enum patch_status status;
    } cases[] = {
        {paravirt_change_to(op, NULL), PATCH_ERR_NO_TARGET},
        {paravirt_change_to(op, &nobody), PATCH_ERR_NO_TARGET},
        {paravirt_change_to(op, &far), PATCH_ERR_RANGE},
        {paravirt_change_to(op, &too_long), PATCH_ERR_INSTRUCTION},
        {paravirt_form_change_to(op, PARAVIRT_FORM_COUNT), PATCH_ERR_INSTRUCTION},
        {paravirt_form_change_to(op, (enum paravirt_form)(PARAVIRT_FORM_COUNT + 256)),
         PATCH_ERR_INSTRUCTION},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases) * 3; i++) {
        size_t place = i % 3;

        for (size_t n = 0; n < 3; n++) {
            changes[n] = paravirt_change_to(op_at(n), other_of(n));
        }
        changes[place] = cases[i / 3].change;
        expect_refusal(3, cases[i / 3].status, "eoi");
    }
}

/* In the indirect form nothing is inlined yet: that one is refused when it would be. */
static void way_that_does_not_fit_cannot_be_inlined_later(void **state)
{
    (void)state;
    static const uint8_t nop7[] = {0x0f, 0x1f, 0x80, 0, 0, 0, 0};
    const struct paravirt_way too_long = {"too_long", native_of(0)->function, "nop7", nop7,
                                          nop7 + sizeof(nop7)};
    struct paravirt_op *op = op_at(PARAVIRT_eoi);
    struct patch_change change = paravirt_form_change_to(op, PARAVIRT_INLINE);

    paravirts_take(op, PARAVIRT_DIRECT, &too_long);
    assert_int_equal(patch_transaction("inline", &change, 1, NULL), PATCH_ERR_INSTRUCTION);
    paravirts_expect(op, PARAVIRT_DIRECT, &too_long);
    paravirts_take(op, PARAVIRT_DIRECT, native_of(PARAVIRT_eoi));
}

static void foreign_bytes_at_a_site_are_refused_and_named(void **state)
{
    (void)state;
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        struct paravirt_op *op = op_at(site->op);
        uint8_t *text = (uint8_t *)site->address;
        struct patch_error error;

        changes[0] = paravirt_change_to(op, other_of(site->op));
        text[PARAVIRT_SITE_LENGTH - 1] ^= 0x40;
        assert_int_equal(paravirt_site_shows(op, site), PARAVIRT_FORM_COUNT);
        assert_int_equal(patch_transaction("foreign", changes, 1, &error), PATCH_ERR_UNEXPECTED);
        assert_string_equal(error.name, op->name);
        assert_int_equal(error.address, site->address);
        assert_string_equal(recorder_log(), "");
        text[PARAVIRT_SITE_LENGTH - 1] ^= 0x40;
    }
    paravirts_expect_all(PARAVIRT_INLINE, true);
}

static void no_change_where_none_may_be_made(void **state)
{
    (void)state;
    changes[0] = paravirt_change_to(op_at(0), other_of(0));
    recorder.may_patch = false;
    assert_int_equal(patch_transaction("not here", changes, 1, NULL), PATCH_ERR_CONTEXT);
    assert_string_equal(recorder_log(), "");
    recorder.may_patch = true;
    paravirts_expect_all(PARAVIRT_INLINE, true);
}

/* ---- failing ---- */

/* One op in the indirect form, whose slot alone would change; one way; one form. */
static void mixed_begin(void)
{
    paravirts_take_all(PARAVIRT_INLINE, true);
    paravirts_take(op_at(0), PARAVIRT_INDIRECT, native_of(0));
    changes[0] = paravirt_change_to(op_at(0), other_of(0));
    changes[1] = paravirt_change_to(op_at(1), other_of(1));
    changes[2] = paravirt_form_change_to(op_at(2), PARAVIRT_DIRECT);
    paravirts_watch(op_at(0), PARAVIRT_INDIRECT, other_of(0));
    paravirts_watch(op_at(1), PARAVIRT_INLINE, other_of(1));
    paravirts_watch(op_at(2), PARAVIRT_DIRECT, native_of(2));
}

static void mixed_expect_as_before(void)
{
    paravirts_expect(op_at(0), PARAVIRT_INDIRECT, native_of(0));
    for (size_t i = 1; i < PARAVIRT_OP_COUNT; i++) {
        paravirts_expect(op_at(i), PARAVIRT_INLINE, native_of(i));
    }
}

static void failing_write_leaves_every_op_as_it_was(void **state)
{
    (void)state;
    mixed_begin();
    assert_int_equal(patch_transaction("mixed", changes, MIXED, NULL), PATCH_OK);

    unsigned writes = recorder.writes;

    assert_true(writes > 0);
    for (unsigned run = 0; run < writes * FAULT_COUNT; run++) {
        struct patch_error error;

        mixed_begin();
        recorder.fail_write = run / FAULT_COUNT + 1;
        recorder.fault = run % FAULT_COUNT;
        assert_int_equal(patch_transaction("mixed", changes, MIXED, &error), PATCH_ERR_WRITE);
        assert_true(strcmp(error.name, op_at(1)->name) == 0 ||
                    strcmp(error.name, op_at(2)->name) == 0);
        recorder_expect_synced();
        mixed_expect_as_before();
    }
    paravirts_take_all(PARAVIRT_DIRECT, false); /* nothing is still changing */
}

/* From the second round on it stops the machine: test_stand_in.c. */
static void silent_cpu_leaves_every_op_as_it_was(void **state)
{
    (void)state;
    struct patch_error error;

    mixed_begin();
    recorder.silent_round = 1;
    assert_int_equal(patch_transaction("mixed", changes, MIXED, &error), PATCH_ERR_SILENT_CPU);
    assert_int_equal(error.cpu, RECORDER_SILENT_CPU);
    mixed_expect_as_before();
    paravirts_take_all(PARAVIRT_DIRECT, false); /* nothing is still changing */
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(op_that_is_listed_twice_is_refused, setup),
    cmocka_unit_test_setup(change_that_cannot_be_is_refused, setup),
    cmocka_unit_test_setup(way_that_does_not_fit_cannot_be_inlined_later, setup),
    cmocka_unit_test_setup(foreign_bytes_at_a_site_are_refused_and_named, setup),
    cmocka_unit_test_setup(no_change_where_none_may_be_made, setup),
    cmocka_unit_test_setup(failing_write_leaves_every_op_as_it_was, setup),
    cmocka_unit_test_setup(silent_cpu_leaves_every_op_as_it_was, setup),
};

HOST_TEST_MAIN(tests, paravirts_group_setup)
