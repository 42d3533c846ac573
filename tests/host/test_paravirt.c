// SPDX-License-Identifier: MIT
/* Changes of paravirt ops: from every form to every other, to another way in each form, several ops
 * at once, plans, what a site shows. The watcher looks on as sites change; all bytes are compared
 * with the picture in patching/paravirt.h. Detects a site that is not in the batch, bytes of
 * another form or way, a stand-in of the old way, a slot that is written before the batch or not at
 * all. Could miss: what the ways then do (test_paravirt_code.c). */
#include "tests/host/paravirts.h"

#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

enum { ROUNDS = 3 };

/* Instructions of other lengths than the table's; nobody executes them. */
static const uint8_t six_bytes[] = {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00};
static const uint8_t two_bytes[] = {0x66, 0x90};

static bool shows_the_same(enum paravirt_form a, const struct paravirt_way *way_a,
                           enum paravirt_form b, const struct paravirt_way *way_b)
{
    bool a_is_inline = a == PARAVIRT_INLINE && way_a->instruction != NULL;
    bool b_is_inline = b == PARAVIRT_INLINE && way_b->instruction != NULL;

    if (a == PARAVIRT_INDIRECT || b == PARAVIRT_INDIRECT) {
        return a == b;
    }
    return a_is_inline == b_is_inline && way_a == way_b;
}

/* Every op but @changed is native and inline. */
static void expect_others_untouched(const struct paravirt_op *changed)
{
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        if (op_at(i) != changed) {
            paravirts_expect(op_at(i), PARAVIRT_INLINE, native_of(i));
        }
    }
}

static const struct paravirt_op *looked_at;
static paravirt_function *slot_expected;
static unsigned looks;

/* While the batch runs the slot is that of before. */
static void look_at_slot(enum patch_step step, enum patch_moment moment)
{
    (void)step;
    (void)moment;
    looks++;
    assert_ptr_equal(*looked_at->slot, slot_expected);
}

/* Makes one change, from @from and @old to @to and @new, and expects all of it. */
static void change_and_expect(size_t index, enum paravirt_form from, const struct paravirt_way *old,
                              enum paravirt_form to, const struct paravirt_way *new)
{
    struct paravirt_op *op = op_at(index);
    bool is_form = old == new;
    struct patch_change change =
        is_form ? paravirt_form_change_to(op, to) : paravirt_change_to(op, new);
    bool costs_nothing = shows_the_same(from, old, to, new);

    paravirts_take(op, from, old);
    paravirts_watch(op, to, new);
    looked_at = op;
    slot_expected = old->function;
    looks = 0;
    recorder.on_step = look_at_slot;
    assert_int_equal(patch_transaction("one change", &change, 1, NULL), PATCH_OK);
    assert_int_equal(recorder.rounds, costs_nothing ? 0 : ROUNDS);
    assert_int_equal(looks > 0, !costs_nothing);
    assert_int_equal(recorder.traps > 0, !costs_nothing);
    if (costs_nothing) {
        assert_string_equal(recorder_log(), "");
    }
    recorder_expect_synced();
    paravirts_expect(op, to, new);
    expect_others_untouched(op);
}

static void every_op_goes_from_every_form_to_every_other(void **state)
{
    (void)state;
    for (size_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
        for (unsigned i = 0; i < 2 * PARAVIRT_FORM_COUNT * PARAVIRT_FORM_COUNT; i++) {
            const struct paravirt_way *way = i % 2 ? other_of(op) : native_of(op);

            change_and_expect(op, i / 2 / PARAVIRT_FORM_COUNT, way, i / 2 % PARAVIRT_FORM_COUNT,
                              way);
        }
        paravirts_take(op_at(op), PARAVIRT_INLINE, native_of(op));
    }
}

static void every_op_goes_another_way_in_every_form(void **state)
{
    (void)state;
    for (size_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
        for (enum paravirt_form form = 0; form < PARAVIRT_FORM_COUNT; form++) {
            change_and_expect(op, form, native_of(op), form, other_of(op));
            change_and_expect(op, form, other_of(op), form, native_of(op));
        }
        paravirts_take(op_at(op), PARAVIRT_INLINE, native_of(op));
    }
}

/* Of instructions of every length to and from each other. */
static void inlined_instruction_gives_way_to_another(void **state)
{
    (void)state;
    const struct paravirt_way ways[] = {
        *native_of(PARAVIRT_lock_kick),
        {"six", native_of(PARAVIRT_irq_disable)->function, "nop6", six_bytes,
         six_bytes + sizeof(six_bytes)},
        {"two", native_of(PARAVIRT_irq_enable)->function, "nop2", two_bytes,
         two_bytes + sizeof(two_bytes)},
        *other_of(PARAVIRT_lock_kick),
    };

    for (unsigned i = 0; i < ARRAY_COUNT(ways) * ARRAY_COUNT(ways); i++) {
        const struct paravirt_way *old = &ways[i / ARRAY_COUNT(ways)];
        const struct paravirt_way *new = &ways[i % ARRAY_COUNT(ways)];

        if (old != new) {
            change_and_expect(PARAVIRT_lock_kick, PARAVIRT_INLINE, old, PARAVIRT_INLINE, new);
        }
    }
    paravirts_take(op_at(PARAVIRT_lock_kick), PARAVIRT_INLINE, native_of(PARAVIRT_lock_kick));
}

/* ---- many at once ---- */

static struct patch_change changes[PARAVIRT_OP_COUNT + 1];

static int setup(void **state)
{
    (void)state;
    paravirts_take_all(PARAVIRT_INLINE, true);
    return 0;
}

static void all_ops_change_in_three_rounds(void **state)
{
    (void)state;
    for (enum paravirt_form form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        paravirts_take_all(form, true);
        for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
            changes[i] = paravirt_change_to(op_at(i), other_of(i));
            paravirts_watch(op_at(i), form, other_of(i));
        }
        assert_int_equal(patch_transaction("all ways", changes, PARAVIRT_OP_COUNT, NULL), PATCH_OK);
        assert_int_equal(recorder.rounds, form == PARAVIRT_INDIRECT ? 0 : ROUNDS);
        paravirts_expect_all(form, false);
    }
    for (unsigned i = 0; i < PARAVIRT_FORM_COUNT * PARAVIRT_FORM_COUNT; i++) {
        enum paravirt_form from = i / PARAVIRT_FORM_COUNT, to = i % PARAVIRT_FORM_COUNT;

        paravirts_take_all(from, true);
        for (size_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
            changes[op] = paravirt_form_change_to(op_at(op), to);
            paravirts_watch(op_at(op), to, native_of(op));
        }
        assert_int_equal(patch_transaction("all forms", changes, PARAVIRT_OP_COUNT, NULL),
                         PATCH_OK);
        assert_int_equal(recorder.rounds, from == to ? 0 : ROUNDS);
        paravirts_expect_all(to, true);
    }
}

static void changes_of_way_and_form_go_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        bool is_way = i % 2 != 0;

        changes[i] = is_way ? paravirt_change_to(op_at(i), other_of(i))
                            : paravirt_form_change_to(op_at(i), i % PARAVIRT_FORM_COUNT);
        paravirts_watch(op_at(i), is_way ? PARAVIRT_INLINE : i % PARAVIRT_FORM_COUNT,
                        is_way ? other_of(i) : native_of(i));
    }
    assert_int_equal(patch_transaction("both", changes, PARAVIRT_OP_COUNT, NULL), PATCH_OK);
    assert_int_equal(recorder.rounds, ROUNDS);
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        paravirts_expect(op_at(i), i % 2 ? PARAVIRT_INLINE : i % PARAVIRT_FORM_COUNT,
                         i % 2 ? other_of(i) : native_of(i));
    }
}

static void change_to_what_is_there_costs_nothing(void **state)
{
    (void)state;
    uint64_t records = patch_record_newest();

    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        changes[i] = i % 2 ? paravirt_change_to(op_at(i), native_of(i))
                           : paravirt_form_change_to(op_at(i), PARAVIRT_INLINE);
    }
    assert_int_equal(patch_transaction("nothing", changes, PARAVIRT_OP_COUNT, NULL), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(patch_record_newest(), records);
    paravirts_expect_all(PARAVIRT_INLINE, true);
}

/* ---- plans ---- */

static unsigned visited;

static void visit_site(void *context, const struct patch_site *site)
{
    const struct paravirt_op *op = context;
    size_t index = (size_t)(op - paravirt_ops);
    uint8_t bytes[PARAVIRT_SITE_LENGTH];

    assert_int_equal(site->length, PARAVIRT_SITE_LENGTH);
    paravirts_expected(op, site->address, op->form, op->way, bytes);
    assert_memory_equal(site->old_bytes, bytes, sizeof(bytes));
    paravirts_expected(op, site->address, op->form, other_of(index), bytes);
    assert_memory_equal(site->new_bytes, bytes, sizeof(bytes));
    visited++;
}

static void plan_says_what_a_change_would_do_and_does_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAVIRT_OP_COUNT * PARAVIRT_FORM_COUNT; i++) {
        size_t index = i / PARAVIRT_FORM_COUNT;
        enum paravirt_form form = i % PARAVIRT_FORM_COUNT;
        bool costs_nothing = form == PARAVIRT_INDIRECT;
        struct paravirt_op *op = op_at(index);
        struct patch_plan plan;

        paravirts_take(op, form, native_of(index));
        visited = 0;
        assert_int_equal(paravirt_plan(op, other_of(index), visit_site, op, &plan, NULL), PATCH_OK);
        assert_int_equal(visited, costs_nothing ? 0 : op->site_count);
        assert_int_equal(plan.sites, visited);
        assert_int_equal(plan.rounds, costs_nothing ? 0 : ROUNDS);
        assert_int_equal(plan.ipis, plan.rounds * (recorder.cpus - 1));
        assert_string_equal(recorder_log(), "");
        paravirts_expect(op, form, native_of(index));
        assert_int_equal(paravirt_plan(op, op->way, visit_site, op, &plan, NULL), PATCH_OK);
        assert_int_equal(plan.sites, 0);
        assert_int_equal(paravirt_plan(op, NULL, NULL, NULL, &plan, NULL), PATCH_ERR_NO_TARGET);
        paravirts_take(op, PARAVIRT_INLINE, native_of(index));
    }
}

/* ---- what a site shows ---- */

static void site_with_any_other_byte_shows_nothing(void **state)
{
    (void)state;
    for (enum paravirt_form form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        paravirts_take_all(form, true);
        for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
             site++) {
            uint8_t *text = (uint8_t *)site->address;
            uint8_t saved[PARAVIRT_SITE_LENGTH];

            for (unsigned i = 0; i < PARAVIRT_SITE_LENGTH; i++) {
                text[i] ^= 0x80;
                assert_int_equal(paravirt_site_shows(op_at(site->op), site), PARAVIRT_FORM_COUNT);
                text[i] ^= 0x80;
            }
            memcpy(saved, text, sizeof(saved));
            text[0] = 0xcc;
            assert_int_equal(paravirt_site_shows(op_at(site->op), site), PARAVIRT_FORM_COUNT);
            paravirts_expected(op_at(site->op), site->address, PARAVIRT_DIRECT, other_of(site->op),
                               text); /* another way's */
            assert_int_equal(paravirt_site_shows(op_at(site->op), site), PARAVIRT_FORM_COUNT);
            memcpy(text, saved, sizeof(saved));
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(every_op_goes_from_every_form_to_every_other, setup),
    cmocka_unit_test_setup(every_op_goes_another_way_in_every_form, setup),
    cmocka_unit_test_setup(inlined_instruction_gives_way_to_another, setup),
    cmocka_unit_test_setup(all_ops_change_in_three_rounds, setup),
    cmocka_unit_test_setup(changes_of_way_and_form_go_together, setup),
    cmocka_unit_test_setup(change_to_what_is_there_costs_nothing, setup),
    cmocka_unit_test_setup(plan_says_what_a_change_would_do_and_does_nothing, setup),
    cmocka_unit_test_setup(site_with_any_other_byte_shows_nothing, setup),
};

HOST_TEST_MAIN(tests, paravirts_group_setup)
