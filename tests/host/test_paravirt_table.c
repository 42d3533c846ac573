// SPDX-License-Identifier: MIT
/* Tables that paravirt_initialize() must refuse before it writes a byte. Each test spoils one
 * entry, or one op, sees the refusal name it, and puts it back; the last ones let initialize
 * succeed, in every form. That an image with a spoiled table is not built: tools/test_image.py. */
#include "tests/host/paravirts.h"

#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

enum { SITES_MAX = 256 };

static struct paravirt_site *table; /* writable */
static uint8_t as_linked[SITES_MAX][PARAVIRT_SITE_LENGTH];

static size_t table_length(void)
{
    return (size_t)(paravirt_sites_end - paravirt_sites_start);
}

static enum patch_status initialize(enum paravirt_form form, struct patch_error *error)
{
    return paravirt_initialize(paravirt_ops, PARAVIRT_OP_COUNT, pv_ops, form, error);
}

static void expect_no_change_possible(void)
{
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        struct paravirt_op *op = &paravirt_ops[i];
        const struct paravirt_way *way = op->way, *other = paravirt_subjects[i].other;
        struct patch_change changes[] = {paravirt_change_to(op, other),
                                         paravirt_form_change_to(op, PARAVIRT_INDIRECT)};
        struct patch_error error;
        struct patch_plan plan;

        for (unsigned n = 0; n < ARRAY_COUNT(changes); n++) {
            assert_int_equal(patch_transaction("too early", &changes[n], 1, &error),
                             PATCH_ERR_NOT_INITIALIZED);
            assert_string_equal(error.name, op->name);
        }
        assert_int_equal(paravirt_plan(op, other, NULL, NULL, &plan, NULL),
                         PATCH_ERR_NOT_INITIALIZED);
        assert_ptr_equal(op->way, way);
        assert_false(op->is_changing);
    }
}

static void expect_text_as_linked(void)
{
    for (size_t i = 0; i < table_length(); i++) {
        assert_memory_equal((const void *)paravirt_sites_start[i].address, as_linked[i],
                            PARAVIRT_SITE_LENGTH);
    }
}

static void expect_refusal(enum patch_status status, const char *name, uint64_t address)
{
    struct patch_error error;

    for (enum paravirt_form form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        assert_int_equal(initialize(form, &error), status);
        assert_int_equal(error.status, status);
        if (name == NULL) {
            assert_null(error.name);
        } else {
            assert_string_equal(error.name, name);
        }
        assert_int_equal(error.address, address);
        assert_string_equal(recorder_log(), "");
        assert_int_equal(initialize(form, NULL), status);
    }
    expect_no_change_possible();
}

static const char *name_of(const struct paravirt_site *site)
{
    return paravirt_ops[site->op].name;
}

/* What runs early in boot may use the ops. */
static void ops_work_through_their_slots_before(void **state)
{
    (void)state;
    struct paravirt_run run = {0};

    paravirt_subjects[PARAVIRT_irq_save].run(&run);
    assert_true(run.word != 0);
    memset(&paravirt_seen, 0, sizeof(paravirt_seen));
    paravirt_subjects[PARAVIRT_clock_read].run(&run);
    assert_int_equal(paravirt_seen.calls, 1);
    expect_no_change_possible();
}

static bool is_on_top_of_another(const struct paravirt_site *entry)
{
    bool is = false;

    for (size_t i = 0; i < table_length(); i++) {
        is |= &table[i] != entry &&
              llabs((long long)(table[i].address - entry->address)) < PARAVIRT_SITE_LENGTH;
    }
    return is;
}

/* Each entry in turn, a byte to either side, unless its neighbour stands there. */
static void entry_that_points_at_no_site_is_refused(void **state)
{
    (void)state;
    unsigned refused = 0;

    for (size_t i = 0; i < table_length() * 2; i++) {
        struct paravirt_site *entry = &table[i / 2];
        uint64_t saved = entry->address;

        entry->address += i % 2 ? 1 : (uint64_t)-1;
        if (!is_on_top_of_another(entry)) {
            expect_refusal(PATCH_ERR_INSTRUCTION, name_of(entry), entry->address);
            refused++;
        }
        entry->address = saved;
    }
    assert_true(refused > table_length());
}

static void entry_of_another_op_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < table_length(); i++) {
        uint64_t saved = table[i].op;

        for (table[i].op = 0; table[i].op < PARAVIRT_OP_COUNT; table[i].op++) {
            if (table[i].op != saved) {
                expect_refusal(PATCH_ERR_INSTRUCTION, name_of(&table[i]), table[i].address);
            }
        }
        table[i].op = saved;
    }
}

static void entry_of_no_op_is_refused(void **state)
{
    (void)state;
    static const uint64_t indices[] = {PARAVIRT_OP_COUNT, 1ull << 32, UINT64_MAX};
    struct paravirt_site *last = &table[table_length() - 1];
    uint64_t saved = last->op;

    for (size_t i = 0; i < ARRAY_COUNT(indices); i++) {
        last->op = indices[i];
        expect_refusal(PATCH_ERR_INSTRUCTION, NULL, last->address);
    }
    last->op = saved;
}

static void entry_outside_text_is_refused(void **state)
{
    (void)state;
    struct paravirt_site *entry = &table[table_length() / 2];
    uint64_t saved = entry->address;
    const uint64_t addresses[] = {0, (uint64_t)&entry, own_text_end() - PARAVIRT_SITE_LENGTH + 1,
                                  own_text_end(), UINT64_MAX - PARAVIRT_SITE_LENGTH};

    for (size_t i = 0; i < ARRAY_COUNT(addresses); i++) {
        entry->address = addresses[i];
        expect_refusal(PATCH_ERR_NOT_TEXT, name_of(entry), addresses[i]);
    }
    entry->address = saved;
}

static void site_that_stands_there_twice_is_refused(void **state)
{
    (void)state;
    struct paravirt_site *last = &table[table_length() - 1], saved = *last;

    *last = table[0];
    expect_refusal(PATCH_ERR_DUPLICATE, name_of(&table[0]), table[0].address);
    for (unsigned by = 1; by < PARAVIRT_SITE_LENGTH; by++) {
        last->address = table[0].address + by;
        expect_refusal(PATCH_ERR_OVERLAP, name_of(&table[0]), last->address);
        last->address = table[0].address - by;
        expect_refusal(PATCH_ERR_OVERLAP, name_of(&table[0]), last->address);
    }
    *last = saved;
}

static void op_that_its_slot_does_not_call_is_refused(void **state)
{
    (void)state;
    static const struct paravirt_way nobody = {.name = "nobody"};
    struct paravirt_op *op = &paravirt_ops[PARAVIRT_OP_COUNT - 1];
    const struct paravirt_way *const ways[] = {NULL, &nobody, paravirt_subjects[0].other};
    const struct paravirt_way *saved = op->way;

    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        op->way = ways[i];
        expect_refusal(PATCH_ERR_NO_TARGET, op->name, 0);
    }
    op->way = saved;
}

/* In the form in which it would be inlined. */
static void way_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const uint8_t nop7[] = {0x0f, 0x1f, 0x80, 0, 0, 0, 0};
    struct paravirt_op *op = &paravirt_ops[table[0].op];
    const struct paravirt_way *saved = op->way;
    const struct paravirt_way too_long = {"too_long", saved->function, "nop7", nop7,
                                          nop7 + sizeof(nop7)};
    struct patch_error error;

    op->way = &too_long;
    assert_int_equal(initialize(PARAVIRT_INLINE, &error), PATCH_ERR_INSTRUCTION);
    assert_string_equal(error.name, op->name);
    assert_int_equal(error.address, table[0].address);
    assert_string_equal(recorder_log(), "");
    op->way = saved;
}

static void way_out_of_reach_is_refused(void **state)
{
    (void)state;
    struct paravirt_op *op = &paravirt_ops[table[0].op];
    const struct paravirt_way *saved = op->way;
    const struct paravirt_way far = {"far", (paravirt_function *)0x7fff00000000, NULL, NULL, NULL};
    struct patch_error error;

    op->way = &far;
    pv_ops[table[0].op] = far.function;
    assert_int_equal(initialize(PARAVIRT_DIRECT, &error), PATCH_ERR_RANGE);
    assert_string_equal(error.name, op->name);
    assert_int_equal(error.address, table[0].address);
    assert_string_equal(recorder_log(), "");
    op->way = saved;
    pv_ops[table[0].op] = saved->function;
}

static void unknown_form_is_refused(void **state)
{
    (void)state;
    assert_int_equal(initialize(PARAVIRT_FORM_COUNT, NULL), PATCH_ERR_INSTRUCTION);
    assert_int_equal(initialize((enum paravirt_form) - 1, NULL), PATCH_ERR_INSTRUCTION);
    assert_string_equal(recorder_log(), "");
    expect_no_change_possible();
}

/* What is written by then stays; the host stops, or calls that. The sites are none of the
 * watcher's here. */
static void write_that_fails_is_refused_and_named(void **state)
{
    (void)state;
    struct patch_error error;

    recorder.fail_write = 1;
    recorder.fault = FAULT_NOTHING_WRITTEN;
    assert_int_equal(initialize(PARAVIRT_INLINE, &error), PATCH_ERR_WRITE);
    assert_string_equal(error.name, name_of(&table[0]));
    assert_int_equal(error.address, table[0].address);
    assert_string_equal(recorder_log(), "(w)S");
    expect_no_change_possible();
}

static void silent_cpu_stops_the_machine(void **state)
{
    (void)state;
    jmp_buf after;

    recorder.silent_round = 1;
    recorder.on_fatal = &after;
    if (setjmp(after) == 0) {
        enum patch_status status = initialize(PARAVIRT_INDIRECT, NULL);

        fail_msg("initialize returned %d", (int)status);
    }
    assert_int_equal(recorder.fatal_cpu, RECORDER_SILENT_CPU);
}

static void begin_as_linked(void)
{
    paravirts_begin();
    recorder.early_boot = true;
    for (size_t i = 0; i < table_length(); i++) {
        memcpy((void *)table[i].address, as_linked[i], PARAVIRT_SITE_LENGTH);
    }
}

/* One stretch of writes, one for each site, and one sync, with the watcher looking on; the indirect
 * form stands there already. */
static void initialize_gives_every_op_its_form_and_syncs_once(void **state)
{
    (void)state;
    for (enum paravirt_form form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        uint32_t sites = 0;

        begin_as_linked();
        for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
            paravirts_watch(&paravirt_ops[i], form, paravirt_native_ways[i]);
        }
        assert_int_equal(initialize(form, NULL), PATCH_OK);
        assert_int_equal(recorder.writes, form == PARAVIRT_INDIRECT ? 0 : table_length());
        assert_string_equal(recorder_log() + strspn(recorder_log(), "(w"),
                            form == PARAVIRT_INDIRECT ? "S" : ")S");
        recorder_expect_synced();
        for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
            paravirts_expect(&paravirt_ops[i], form, paravirt_native_ways[i]);
            sites += paravirt_ops[i].site_count;
        }
        assert_int_equal(sites, table_length());
    }
}

/* The sites are inline by now: nobody takes them for indirect calls, and no op changes any more. */
static void second_initialize_is_refused(void **state)
{
    (void)state;
    begin_as_linked();
    recorder.ignores_unwatched = true;
    assert_int_equal(initialize(PARAVIRT_INLINE, NULL), PATCH_OK);
    paravirts_begin();
    expect_refusal(PATCH_ERR_INSTRUCTION, name_of(&table[0]), table[0].address);
}

static int setup(void **state)
{
    (void)state;
    paravirts_begin();
    return 0;
}

/* Nothing was written, or what was is gone. */
static int teardown(void **state)
{
    (void)state;
    expect_text_as_linked();
    return 0;
}

static int group_setup(void **state)
{
    setup(state);
    table = paravirts_unprotect_table();
    for (size_t i = 0; i < table_length() && i < SITES_MAX; i++) {
        memcpy(as_linked[i], (const void *)paravirt_sites_start[i].address, PARAVIRT_SITE_LENGTH);
    }
    return table != NULL && table_length() <= SITES_MAX ? own_text_unprotect() : -1;
}

#define TABLE_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
static const struct CMUnitTest tests[] = {
    TABLE_TEST(ops_work_through_their_slots_before),
    TABLE_TEST(entry_that_points_at_no_site_is_refused),
    TABLE_TEST(entry_of_another_op_is_refused),
    TABLE_TEST(entry_of_no_op_is_refused),
    TABLE_TEST(entry_outside_text_is_refused),
    TABLE_TEST(site_that_stands_there_twice_is_refused),
    TABLE_TEST(op_that_its_slot_does_not_call_is_refused),
    TABLE_TEST(way_that_does_not_fit_is_refused),
    TABLE_TEST(way_out_of_reach_is_refused),
    TABLE_TEST(unknown_form_is_refused),
    TABLE_TEST(write_that_fails_is_refused_and_named),
    TABLE_TEST(silent_cpu_stops_the_machine),
    cmocka_unit_test_setup(initialize_gives_every_op_its_form_and_syncs_once, setup),
    cmocka_unit_test_setup(second_initialize_is_refused, setup),
};

HOST_TEST_MAIN(tests, group_setup)
