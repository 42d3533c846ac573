// SPDX-License-Identifier: MIT
/* What tells the protocols apart: rounds, writes, moments, refusals. That none but naive shows a
 * mixture is shown in test_batch.c. Detects a round or write too many or too few, a neighbour of a
 * quadword spoilt, an unsafe protocol let through. Could miss: a processor that tears an aligned
 * store when it fetches (`make silicon`). */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

static struct patch_batch batch;

static const struct site_form nop2 = {INSTRUCTION_NOP, 2, 0, 0};
static const struct site_form jump2 = {INSTRUCTION_JUMP, 2, 0, 0x40};
static const struct site_form nop5 = {INSTRUCTION_NOP, 5, 0, 0};
static const struct site_form jump5 = {INSTRUCTION_JUMP, 5, 0, 0x01020304};

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static void begin(enum patch_protocol_id protocol, unsigned flags)
{
    patch_batch_initialize(&batch, "protocol");
    batch.protocol = protocol;
    batch.flags = flags;
}

static struct test_site add(size_t offset, const struct site_form *from, const struct site_form *to)
{
    struct test_site site = site_make(offset, from, to);

    site_add(&batch, &site);
    return site;
}

static void expect_status(enum patch_status status)
{
    enum patch_status actual = patch_batch_apply(&batch);

    if (actual != status) {
        fail_msg("%s at %#lx", patch_status_text(actual), (unsigned long)batch.error.address);
    }
    assert_int_equal(batch.record.rounds, recorder.rounds);
    assert_int_equal(batch.record.status, status);
}

static void qword_takes_one_round_and_no_trap_where_sites_fit(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT);
    sites_add_nop_to_jump(&batch, 300, 8); /* at the start of a quadword each */
    expect_status(PATCH_OK);
    sites_expect_new();
    recorder_expect_synced();
    assert_int_equal(recorder.rounds, 1);
    assert_int_equal(recorder.traps, 0);
    assert_int_equal(batch.record.quadwords, 300);
    assert_int_equal(batch.record.bytes, 300 * 8);
    assert_int_equal(batch.record.ipis, recorder.cpus - 1);
}

/* Five bytes fit at offsets 0 to 3 of a quadword, two at 0 to 6. */
static void qword_takes_exactly_the_sites_inside_a_quadword(void **state)
{
    (void)state;
    for (unsigned offset = 0; offset < 8; offset++) {
        recorder_reset();
        begin(PATCH_PROTOCOL_QWORD, 0);
        add(64 + offset, &nop5, &jump5);
        expect_status(PATCH_OK);
        assert_int_equal(batch.record.quadwords, offset <= 3);
        assert_string_equal(recorder_log(), offset <= 3 ? "(q)S" : "(w)S(w)S(w)S");

        recorder_reset();
        begin(PATCH_PROTOCOL_QWORD, 0);
        add(64 + offset, &nop2, &jump2);
        expect_status(PATCH_OK);
        assert_int_equal(batch.record.quadwords, offset <= 6);
    }
}

static void qword_writes_the_others_by_int3_in_the_same_rounds(void **state)
{
    (void)state;
    unsigned rounds;

    begin(PATCH_PROTOCOL_QWORD, 0);
    add(0, &nop5, &jump5);
    add(64 + 5, &nop5, &jump5);
    add(128, &nop5, &jump5);
    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    platform_unlock();
    assert_int_equal(rounds, 3);
    assert_int_equal(batch.record.quadwords, 2);
    expect_status(PATCH_OK);
    assert_string_equal(recorder_log(), "(w)S(w)S(qwq)S");
    assert_int_equal(batch.record.quadwords, 2);
}

static void plan_by_one_protocol_leaves_nothing_to_the_next(void **state)
{
    (void)state;
    unsigned rounds;

    begin(PATCH_PROTOCOL_QWORD, 0);
    add(0, &nop5, &jump5);
    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    platform_unlock();
    batch.protocol = PATCH_PROTOCOL_INT3_BATCH;
    expect_status(PATCH_OK);
    assert_string_equal(recorder_log(), "(w)S(w)S(w)S");
    assert_int_equal(batch.record.quadwords, 0);
}

/* One quadword holds a site of its own and the ends of two that cross its borders. */
static void qword_keeps_what_stands_around_the_site(void **state)
{
    (void)state;
    struct test_site sites[3];

    begin(PATCH_PROTOCOL_QWORD, 0);
    sites[0] = add(64 - 3, &nop5, &jump5);
    sites[1] = add(64 + 3, &nop2, &jump2);
    sites[2] = add(64 + 7, &nop5, &jump5);
    recorder_arena[64 + 2] = 0xa5;
    recorder_arena[64 + 5] = 0x5a;
    expect_status(PATCH_OK);
    for (size_t i = 0; i < ARRAY_COUNT(sites); i++) {
        site_expect(&sites[i], sites[i].new_bytes);
    }
    assert_int_equal(recorder_arena[64 + 2], 0xa5);
    assert_int_equal(recorder_arena[64 + 5], 0x5a);
    assert_int_equal(batch.record.quadwords, 1);
}

static void strict_qword_refuses_a_site_that_does_not_fit(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT);
    add(0, &nop5, &jump5);

    struct test_site crossing = add(64 + 4, &nop5, &jump5);

    expect_status(PATCH_ERR_QUADWORD);
    assert_int_equal(batch.record.quadwords, 0);
    assert_int_equal(batch.error.address, crossing.address);
    assert_string_equal(recorder_log(), "");
}

/* As an emulator does: then quadwords are as unsafe as anything without int3. */
static void qword_falls_back_where_bytes_are_fetched_one_by_one(void **state)
{
    (void)state;
    recorder.fetches_bytewise = true;
    begin(PATCH_PROTOCOL_QWORD, 0);
    add(0, &nop5, &jump5);
    expect_status(PATCH_OK);
    assert_string_equal(recorder_log(), "(w)S(w)S(w)S");
    assert_int_equal(batch.record.quadwords, 0);

    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT);
    struct test_site site = add(64, &nop5, &jump5);
    recorder.rounds = 0;
    expect_status(PATCH_ERR_UNSAFE);
    assert_int_equal(batch.error.address, site.address);
    site_expect(&site, site.old_bytes);

    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT | PATCH_ALLOW_UNSAFE);
    site_add(&batch, &site);
    expect_status(PATCH_OK);
    assert_int_equal(batch.record.quadwords, 1);
}

static void stop_writes_whole_instructions_in_one_rendezvous(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_STOP, 0);
    add(3, &nop5, &jump5);
    add(64, &nop2, &jump2);
    expect_status(PATCH_OK);
    recorder_expect_synced();
    assert_string_equal(recorder_log(), "[(ww)]");
    assert_int_equal(batch.record.ipis, recorder.cpus - 1);
    assert_int_equal(recorder.traps, 0);
}

static void naive_writes_byte_after_byte_and_never_syncs(void **state)
{
    (void)state;
    recorder.tolerates_mixtures = true;
    begin(PATCH_PROTOCOL_NAIVE, PATCH_ALLOW_UNSAFE);

    struct test_site site = add(0, &nop2, &jump2);

    expect_status(PATCH_OK);
    site_expect(&site, site.new_bytes);
    assert_string_equal(recorder_log(), "(w)(w)");
    assert_int_equal(recorder.rounds, 0);
}

/* That the recorder sees what is wrong with it: otherwise it could not tell right from wrong. */
static void naive_shows_mixed_bytes(void **state)
{
    (void)state;
    recorder.tolerates_mixtures = true;
    begin(PATCH_PROTOCOL_NAIVE, PATCH_ALLOW_UNSAFE);
    add(1, &nop5, &jump5);
    expect_status(PATCH_OK);
    assert_true(recorder.mixtures > 0);
}

static void naive_is_refused_without_the_flag(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_NAIVE, 0);
    add(0, &nop2, &jump2);
    expect_status(PATCH_ERR_UNSAFE);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_NAIVE, 0), PATCH_ERR_UNSAFE);
    assert_int_equal(patch_protocol_default(), PATCH_PROTOCOL_INT3_BATCH);
}

static void unknown_protocol_or_flag_is_refused(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_COUNT, PATCH_ALLOW_UNSAFE);
    add(0, &nop2, &jump2);
    expect_status(PATCH_ERR_PROTOCOL);
    begin(PATCH_PROTOCOL_STOP, 1u << 16);
    add(8, &nop2, &jump2);
    recorder.rounds = 0;
    expect_status(PATCH_ERR_PROTOCOL);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_STOP, 1u << 16), PATCH_ERR_PROTOCOL);
}

static void default_carries_its_flags_into_batches(void **state)
{
    (void)state;
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_NAIVE, PATCH_ALLOW_UNSAFE),
                     PATCH_OK);
    patch_batch_initialize(&batch, "default");
    assert_int_equal(batch.protocol, PATCH_PROTOCOL_NAIVE);
    assert_int_equal(batch.flags, PATCH_ALLOW_UNSAFE);
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    patch_batch_initialize(&batch, "default");
    assert_int_equal(batch.protocol, PATCH_PROTOCOL_INT3_BATCH);
    assert_int_equal(batch.flags, 0);
}

static char moments[64];

static void note_moment(enum patch_step step, enum patch_moment moment)
{
    size_t length = strlen(moments);

    assert_true(length + 3 < sizeof(moments));
    moments[length] = "itf"[step];
    moments[length + 1] = ".ws"[moment];
    moments[length + 2] = '\0';
}

/* i int3, t tail, f first; . within, w written, s synced. */
static void every_step_can_be_held_once_a_moment(void **state)
{
    (void)state;
    static const struct {
        enum patch_protocol_id protocol;
        const char *moments;
    } rows[] = {
        {PATCH_PROTOCOL_INT3, "iwistwtsfwfsiwistwtsfwfs"},
        {PATCH_PROTOCOL_INT3_BATCH, "iwistwtsfwfs"},
        {PATCH_PROTOCOL_QWORD, "fwfs"},
        {PATCH_PROTOCOL_STOP, "fw"},
        {PATCH_PROTOCOL_NAIVE, "f.f.fw"},
    };

    assert_int_equal(ARRAY_COUNT(rows), PATCH_PROTOCOL_COUNT);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        recorder_reset();
        recorder.tolerates_mixtures = true;
        recorder.on_step = note_moment;
        moments[0] = '\0';
        begin(rows[i].protocol, PATCH_ALLOW_UNSAFE);
        add(0, &nop2, &jump2);
        add(16, &nop2, &jump2);
        expect_status(PATCH_OK);
        assert_string_equal(moments, rows[i].moments);
    }
}

static void protocols_are_found_by_name(void **state)
{
    (void)state;
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        assert_int_equal(patch_protocol_find(patch_protocol_name(id)), id);

        const struct patch_protocol_facts *facts = patch_protocol_facts(id);

        assert_string_equal(facts->name, patch_protocol_name(id));
        assert_true(strlen(facts->summary) > 10 && strlen(facts->limits) > 5);
        assert_true(strlen(facts->rounds) > 0 && strlen(facts->ipis) > 0);
        assert_int_equal(facts->is_unsafe, id >= SAFE_PROTOCOL_COUNT);
    }
    assert_int_equal(patch_protocol_find("int"), PATCH_PROTOCOL_COUNT);
    assert_int_equal(patch_protocol_find("int3-batches"), PATCH_PROTOCOL_COUNT);
    assert_string_equal(patch_protocol_name(PATCH_PROTOCOL_COUNT), "?");
    assert_null(patch_protocol_facts(PATCH_PROTOCOL_COUNT));
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_COUNT, 0), PATCH_ERR_PROTOCOL);
    assert_int_equal(patch_protocol_default(), PATCH_PROTOCOL_INT3_BATCH);
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3, 0), PATCH_OK);
    patch_batch_initialize(&batch, "default");
    assert_int_equal(batch.protocol, PATCH_PROTOCOL_INT3);
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(qword_takes_one_round_and_no_trap_where_sites_fit, setup),
    cmocka_unit_test_setup(qword_takes_exactly_the_sites_inside_a_quadword, setup),
    cmocka_unit_test_setup(qword_writes_the_others_by_int3_in_the_same_rounds, setup),
    cmocka_unit_test_setup(plan_by_one_protocol_leaves_nothing_to_the_next, setup),
    cmocka_unit_test_setup(qword_keeps_what_stands_around_the_site, setup),
    cmocka_unit_test_setup(strict_qword_refuses_a_site_that_does_not_fit, setup),
    cmocka_unit_test_setup(qword_falls_back_where_bytes_are_fetched_one_by_one, setup),
    cmocka_unit_test_setup(stop_writes_whole_instructions_in_one_rendezvous, setup),
    cmocka_unit_test_setup(naive_writes_byte_after_byte_and_never_syncs, setup),
    cmocka_unit_test_setup(naive_shows_mixed_bytes, setup),
    cmocka_unit_test_setup(naive_is_refused_without_the_flag, setup),
    cmocka_unit_test_setup(unknown_protocol_or_flag_is_refused, setup),
    cmocka_unit_test_setup(default_carries_its_flags_into_batches, setup),
    cmocka_unit_test_setup(every_step_can_be_held_once_a_moment, setup),
    cmocka_unit_test_setup(protocols_are_found_by_name, setup),
};

HOST_TEST_MAIN(tests, NULL)
