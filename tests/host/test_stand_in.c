// SPDX-License-Identifier: MIT
/* Sites whose bytes nobody decodes, with a stand-in that their int3 calls. The watcher checks after
 * every byte that no mixture can be fetched, and that whoever runs into int3 comes out at the first
 * byte of the stand-in, with the address behind the site on the stack and everything else as it
 * was. Here every pair of instructions that an operation may consist of, every protocol, every
 * write that fails and every round from which on a CPU is silent get their turn, and every check of
 * a batch that is refused. Could miss: what the stand-in then does (test_live_stand_in). */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

enum { ALIGNMENTS = 40, MIXED_MAX = 32 };

/* An instruction that may stand at a site. */
struct opaque {
    uint8_t length;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];
};

static const struct opaque opaques[] = {
    {6, {0xff, 0x15, 0x10, 0x20, 0x30, 0x40}},       /* call [rip + 0x40302010] */
    {6, {0x2e, 0xe8, 0x11, 0x21, 0x31, 0x41}},       /* cs call */
    {6, {0x2e, 0xe8, 0xef, 0xde, 0xce, 0xbe}},       /* cs call, backwards */
    {6, {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfa}},       /* cli, padded */
    {6, {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfb}},       /* sti, padded: another last byte alone */
    {6, {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x9c}},       /* pushfq, padded */
    {6, {0x2e, 0x2e, 0x2e, 0xff, 0x47, 0x0c}},       /* inc dword [rdi + 12], padded */
    {6, {0x2e, 0x2e, 0x2e, 0x0f, 0x01, 0x3f}},       /* invlpg [rdi], padded */
    {6, {0xc7, 0x07, 0x00, 0x00, 0x00, 0x00}},       /* mov dword [rdi], 0 */
    {6, {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00}},       /* nop6 */
    {1, {0xfa}},                                     /* cli */
    {1, {0x90}},                                     /* nop */
    {3, {0x0f, 0x01, 0x3f}},                         /* invlpg [rdi] */
    {3, {0xff, 0x47, 0x0c}},                         /* inc dword [rdi + 12] */
    {7, {0x2e, 0xc7, 0x07, 0x00, 0x00, 0x00, 0x00}}, /* mov dword [rdi], 0, padded */
    {7, {0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00}}, /* nop7 */
};
enum { THROUGH_POINTER, DIRECT, BACKWARDS, CLI, STI, PUSHFQ, INC, INVLPG, STORE, NOP6 };

static struct patch_batch batch;
static struct test_site made[MIXED_MAX];
static size_t made_count;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static void begin(enum patch_protocol_id protocol)
{
    recorder_reset();
    patch_batch_initialize(&batch, "stand-ins");
    batch.protocol = protocol;
    made_count = 0;
}

/* A place for stand-in number @number, at the end of the arena: nobody executes it. */
static uint64_t stand_in_at(unsigned number)
{
    return (uint64_t)recorder_arena + RECORDER_ARENA_SIZE - 1 - number;
}

/* Puts @from into the arena at @offset, to become @to. */
static struct test_site place(size_t offset, const struct opaque *from, const struct opaque *to)
{
    struct test_site site = {
        .address = (uint64_t)recorder_arena + offset,
        .length = from->length,
    };

    assert_int_equal(from->length, to->length);
    memcpy(site.old_bytes, from->bytes, from->length);
    memcpy(site.new_bytes, to->bytes, to->length);
    memcpy(recorder_arena + offset, from->bytes, from->length);
    recorder_watch(site.address, site.old_bytes, site.new_bytes, site.length);
    return site;
}

static enum patch_status add_to_batch(const struct test_site *site, uint64_t stand_in)
{
    return patch_batch_add_stand_in(&batch, site->address, site->old_bytes, site->new_bytes,
                                    site->length, stand_in);
}

static void add(size_t offset, const struct opaque *from, const struct opaque *to,
                uint64_t stand_in)
{
    struct test_site site = place(offset, from, to);

    recorder_watch_stand_in(site.address, stand_in);
    assert_int_equal(add_to_batch(&site, stand_in), PATCH_OK);
    made[made_count++] = site;
}

static unsigned plan(void)
{
    unsigned rounds = 0;

    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    platform_unlock();
    return rounds;
}

static void expect_success(void)
{
    unsigned rounds = plan(); /* which goes through the checks once more */

    assert_int_equal(sites_apply(&batch), PATCH_OK);
    assert_int_equal(recorder.rounds, rounds);
    assert_int_equal(batch.record.traps, recorder.traps);
    recorder_expect_synced();
    for (size_t i = 0; i < made_count; i++) {
        site_expect(&made[i], made[i].new_bytes);
    }
}

static void expect_put_back(void)
{
    for (size_t i = 0; i < made_count; i++) {
        site_expect(&made[i], made[i].old_bytes);
    }
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        assert_int_equal(patch_trap_cpus[cpu].references, 0);
    }
}

static void every_pair_at_every_alignment_goes_through_its_stand_in(void **state)
{
    (void)state;
    for (unsigned pair = 0; pair < ARRAY_COUNT(opaques) * ARRAY_COUNT(opaques); pair++) {
        const struct opaque *from = &opaques[pair / ARRAY_COUNT(opaques)];
        const struct opaque *to = &opaques[pair % ARRAY_COUNT(opaques)];

        for (unsigned run = 0; from->length == to->length && run < ALIGNMENTS * SAFE_PROTOCOL_COUNT;
             run++) {
            enum patch_protocol_id protocol = run / ALIGNMENTS;
            bool shows_int3 =
                protocol == PATCH_PROTOCOL_INT3 || protocol == PATCH_PROTOCOL_INT3_BATCH;

            begin(protocol);
            add(4096 - ALIGNMENTS / 2 + run % ALIGNMENTS, from, to, stand_in_at(pair));
            expect_success();
            assert_true(!shows_int3 || from == to || recorder.traps > 0);
        }
    }
}

/* Sites of both kinds, some without a change, from the last to the first: whatever the checks move
 * keeps its own stand-in. */
static void add_mixed(void)
{
    const struct site_form nop = {INSTRUCTION_NOP, 6, 0, 0};
    const struct site_form padded = {INSTRUCTION_CALL, 6, 0, 0x01020304};
    const struct site_form through_word = {INSTRUCTION_CALL_MEMORY, 6, 0, 0x10000};

    for (unsigned i = MIXED_MAX; i-- > 0;) {
        size_t offset = 0x800 + 13 * i;

        if (i % 4 == 1) {
            made[made_count] = site_make(offset, i % 8 == 1 ? &nop : &through_word, &padded);
            site_add(&batch, &made[made_count++]);
        } else {
            const struct opaque *to = &opaques[(3 * i + 1) % (NOP6 + 1)];

            add(offset, i % 4 == 3 ? to : &opaques[i % (NOP6 + 1)], to, stand_in_at(i));
        }
    }
}

static void sites_of_a_batch_keep_their_stand_ins_when_it_is_sorted(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol);
        add_mixed();
        expect_success();
        assert_in_range(batch.record.sites, MIXED_MAX / 2, MIXED_MAX - MIXED_MAX / 4);
    }
}

static void failing_write_is_put_back_byte_by_byte(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol);
        add_mixed();
        expect_success();

        unsigned writes = recorder.writes;

        for (unsigned run = 0; run < writes * FAULT_COUNT; run++) {
            begin(protocol);
            add_mixed();
            recorder.fail_write = run / FAULT_COUNT + 1;
            recorder.fault = run % FAULT_COUNT;
            assert_int_equal(sites_apply(&batch), PATCH_ERR_WRITE);
            expect_put_back();
            recorder_expect_synced();
            assert_int_equal(batch.record.traps, recorder.traps);
        }
    }
}

static void naive_puts_back_too(void **state)
{
    (void)state;
    for (unsigned write = 1; write <= 60; write++) {
        begin(PATCH_PROTOCOL_NAIVE);
        add_mixed();
        batch.flags = PATCH_ALLOW_UNSAFE;
        recorder.tolerates_mixtures = true;
        recorder.fail_write = write;
        assert_int_equal(sites_apply(&batch), PATCH_ERR_WRITE);
        expect_put_back();
    }
}

/* Put back, or stopped while int3 stands. */
static void silent_cpu_finds_old_bytes_or_int3(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol);
        add_mixed();

        unsigned rounds = plan();
        unsigned put_back = 0;

        for (unsigned round = 1; round <= rounds; round++) {
            begin(protocol);
            add_mixed();
            recorder.silent_round = round;

            unsigned outcome = sites_apply(&batch);

            if (outcome != SITES_STOPPED) {
                assert_int_equal(outcome, PATCH_ERR_SILENT_CPU);
                assert_int_equal(batch.error.cpu, RECORDER_SILENT_CPU);
                expect_put_back();
                put_back++;
            } else {
                assert_int_equal(recorder.fatal_cpu, RECORDER_SILENT_CPU);
            }
        }
        assert_true(put_back > 0);
    }
}

/* Whoever fetched int3 in time may come late: the bytes of then are fetched again. */
static void trap_behind_the_batch_goes_back_to_the_site(void **state)
{
    (void)state;
    struct patch_registers registers = {.sp = 0x1000, .flags = 0x246, .ax = 7};

    begin(PATCH_PROTOCOL_INT3_BATCH);
    add(100, &opaques[DIRECT], &opaques[CLI], stand_in_at(0));
    expect_success();
    assert_true(recorder_trap(1, made[0].address, &registers));
    assert_int_equal(registers.ip, made[0].address);
    assert_int_equal(registers.sp, 0x1000);
}

static void expect_refusal(enum patch_status status, uint64_t culprit, uint64_t other)
{
    static uint8_t text_before[RECORDER_ARENA_SIZE];

    memcpy(text_before, recorder_arena, sizeof(text_before));
    assert_int_equal(patch_batch_apply(&batch), status);
    assert_int_equal(batch.error.status, status);
    assert_int_equal(batch.error.address, culprit);
    assert_int_equal(batch.error.other, other);
    assert_string_equal(recorder_log(), "");
    assert_memory_equal(text_before, recorder_arena, sizeof(text_before));
}

static void stand_in_out_of_reach_is_refused(void **state)
{
    (void)state;
    static const int64_t too_far[] = {(int64_t)INT32_MAX + 1, (int64_t)INT32_MIN - 1, 1ll << 32,
                                      INT64_MIN, INT64_MAX};
    static const int64_t near_enough[] = {INT32_MAX, INT32_MIN, 0, -1000};

    for (size_t i = 0; i < ARRAY_COUNT(too_far); i++) {
        begin(PATCH_PROTOCOL_INT3_BATCH);
        struct test_site site = place(64, &opaques[DIRECT], &opaques[INC]);
        uint64_t stand_in = site.address + site.length + (uint64_t)too_far[i];

        assert_int_equal(add_to_batch(&site, stand_in), PATCH_ERR_RANGE);
        assert_int_equal(add_to_batch(&site, stand_in_at(0)), PATCH_ERR_RANGE); /* it sticks */
        expect_refusal(PATCH_ERR_RANGE, site.address, stand_in);
    }
    for (size_t i = 0; i < ARRAY_COUNT(near_enough); i++) {
        begin(PATCH_PROTOCOL_INT3_BATCH);
        add(0x4000, &opaques[DIRECT], &opaques[INC],
            (uint64_t)recorder_arena + 0x4000 + 6 + (uint64_t)near_enough[i]);
        expect_success();
    }
}

/* At its first byte a site is executed whole, whatever stands there. */
static void stand_in_inside_a_site_of_the_batch_is_refused(void **state)
{
    (void)state;
    const struct site_form nop = {INSTRUCTION_NOP, 5, 0, 0};
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 0x01000000};
    static const struct {
        size_t offset;
        uint8_t length;
    } hits[] = {{0x100, 6}, {0x200, 5}, {0x300, 6}};

    for (size_t hit = 0; hit < ARRAY_COUNT(hits); hit++) {
        for (unsigned byte = 0; byte <= hits[hit].length; byte++) {
            uint64_t address = (uint64_t)recorder_arena + hits[hit].offset;

            begin(PATCH_PROTOCOL_INT3_BATCH);
            add(0x300, &opaques[PUSHFQ], &opaques[STORE], stand_in_at(1));
            add(0x100, &opaques[BACKWARDS], &opaques[INVLPG], address + byte);
            made[made_count] = site_make(0x200, &nop, &jump);
            site_add(&batch, &made[made_count++]);
            if (byte == 0 || byte == hits[hit].length) {
                expect_success();
            } else {
                expect_refusal(PATCH_ERR_TARGET_IN_SITE, (uint64_t)recorder_arena + 0x100, address);
            }
        }
    }
}

static void length_of_no_site_is_refused(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, PATCH_SITE_LENGTH_MAX + 1, 255, 256 + 6, SIZE_MAX};

    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        uint64_t address = (uint64_t)recorder_arena + 16;
        const uint8_t *bytes = opaques[CLI].bytes;

        begin(PATCH_PROTOCOL_INT3_BATCH);
        assert_int_equal(
            patch_batch_add_stand_in(&batch, address, bytes, bytes, lengths[i], stand_in_at(0)),
            PATCH_ERR_LENGTH);
        expect_refusal(PATCH_ERR_LENGTH, address, 0);
    }
}

static void site_4097_is_refused(void **state)
{
    (void)state;
    struct test_site one_more = {.length = 6};

    begin(PATCH_PROTOCOL_INT3_BATCH);
    sites_add_nop_to_jump(&batch, PATCH_BATCH_MAX, 8);
    one_more.address = (uint64_t)recorder_arena + 8 * PATCH_BATCH_MAX;
    assert_int_equal(add_to_batch(&one_more, one_more.address), PATCH_ERR_FULL);
    expect_refusal(PATCH_ERR_FULL, one_more.address, 0);
    sites_expect_old();
}

static void site_outside_text_is_refused(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_INT3_BATCH);
    add(0x1000, &opaques[CLI], &opaques[DIRECT], stand_in_at(0));
    recorder.text_end = made[0].address + made[0].length - 1;
    expect_refusal(PATCH_ERR_NOT_TEXT, made[0].address, 0);
}

static void other_bytes_than_the_old_ones_are_refused(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 6; byte++) {
        begin(PATCH_PROTOCOL_INT3_BATCH);
        add(0x1000, &opaques[CLI], &opaques[DIRECT], stand_in_at(0));
        recorder_arena[0x1000 + byte] ^= 1;
        expect_refusal(PATCH_ERR_UNEXPECTED, made[0].address, 0);
        assert_memory_equal(batch.error.expected, opaques[CLI].bytes, 6);
        assert_memory_equal(batch.error.actual, recorder_arena + 0x1000, 6);
    }
}

static void sites_that_share_a_byte_are_refused(void **state)
{
    (void)state;
    for (unsigned distance = 0; distance < 6; distance++) {
        const struct opaque prefixes = {6, {0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e}};
        uint64_t first = (uint64_t)recorder_arena + 0x1000;

        begin(PATCH_PROTOCOL_INT3_BATCH);
        add(0x1000 + distance, &prefixes, &opaques[CLI], stand_in_at(0));
        add(0x1000, &prefixes, &opaques[CLI], stand_in_at(0));
        expect_refusal(distance == 0 ? PATCH_ERR_DUPLICATE : PATCH_ERR_OVERLAP, first + distance,
                       first);
    }
}

/* The only instruction that cannot be told from the engine's own. */
static void int3_is_refused_as_old_and_as_new_instruction(void **state)
{
    (void)state;
    const struct opaque int3 = {6, {INSN_INT3, 0x90, 0x90, 0x90, 0x90, 0x90}};

    for (unsigned is_old = 0; is_old < 2; is_old++) {
        begin(PATCH_PROTOCOL_INT3_BATCH);
        add(0x1000, is_old ? &int3 : &opaques[CLI], is_old ? &opaques[CLI] : &int3, stand_in_at(0));
        expect_refusal(PATCH_ERR_INSTRUCTION, made[0].address, 0);
        assert_memory_equal(batch.error.expected, int3.bytes, 6);
    }
}

/* Its int3 would stand for an old instruction that nobody can emulate. Transactions say of sites in
 * a batch that they are last. */
static void site_with_a_stand_in_cannot_be_last(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_INT3_BATCH);
    add(0x1000, &opaques[NOP6], &opaques[CLI], stand_in_at(0));
    batch.sites[0].is_last = true;
    expect_refusal(PATCH_ERR_INSTRUCTION, made[0].address, 0);
}

/* Slots of a batch are used again. */
static void next_batch_decodes_its_sites_again(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_INT3_BATCH);
    add(0x1000, &opaques[NOP6], &opaques[CLI], stand_in_at(0));
    expect_success();
    begin(PATCH_PROTOCOL_INT3_BATCH);
    made[0] = place(0x1000, &opaques[NOP6], &opaques[CLI]);
    site_add(&batch, &made[0]);
    expect_refusal(PATCH_ERR_INSTRUCTION, made[0].address, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(every_pair_at_every_alignment_goes_through_its_stand_in, setup),
    cmocka_unit_test_setup(sites_of_a_batch_keep_their_stand_ins_when_it_is_sorted, setup),
    cmocka_unit_test_setup(failing_write_is_put_back_byte_by_byte, setup),
    cmocka_unit_test_setup(naive_puts_back_too, setup),
    cmocka_unit_test_setup(silent_cpu_finds_old_bytes_or_int3, setup),
    cmocka_unit_test_setup(trap_behind_the_batch_goes_back_to_the_site, setup),
    cmocka_unit_test_setup(stand_in_out_of_reach_is_refused, setup),
    cmocka_unit_test_setup(stand_in_inside_a_site_of_the_batch_is_refused, setup),
    cmocka_unit_test_setup(length_of_no_site_is_refused, setup),
    cmocka_unit_test_setup(site_4097_is_refused, setup),
    cmocka_unit_test_setup(site_outside_text_is_refused, setup),
    cmocka_unit_test_setup(other_bytes_than_the_old_ones_are_refused, setup),
    cmocka_unit_test_setup(sites_that_share_a_byte_are_refused, setup),
    cmocka_unit_test_setup(int3_is_refused_as_old_and_as_new_instruction, setup),
    cmocka_unit_test_setup(site_with_a_stand_in_cannot_be_last, setup),
    cmocka_unit_test_setup(next_batch_decodes_its_sites_again, setup),
};

HOST_TEST_MAIN(tests, NULL)
