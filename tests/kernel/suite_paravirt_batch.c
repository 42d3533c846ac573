// SPDX-License-Identifier: MIT
/* Changes of paravirt ops as batches: what they cost, what refuses them, and what a failure leaves.
 * Why it detects: records of batches are exact, and the whole text is compared with that of boot. A
 * write that fails needs a machine that fails: tests/host. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/ipi.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "patching/platform.h"
#include "tests/kernel/paravirt_double.h"
#include "tests/kernel/paravirt_probes.h"
#include "tests/kernel/paravirt_set.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define MUTE_NS       1000000ull
#define SILENT_NS     200000000ull
#define SILENT_END_NS 30000000000ull

/* ---- costs ---- */

/* Sites that a change of all ops from @before to what they are now had to write. */
static uint32_t sites_that_differ(enum paravirt_form before, const struct paravirt_way *const *ways)
{
    uint32_t count = 0;

    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        uint8_t bytes[PARAVIRT_SITE_LENGTH];
        enum patch_status status = paravirt_site_encode(&paravirt_ops[site->op], site->address,
                                                        before, ways[site->op], bytes);

        count +=
            status != PATCH_OK || memcmp(bytes, (const void *)site->address, sizeof(bytes)) != 0;
    }
    return count;
}

/* The newest batch was the one behind @newest, and changed @sites. */
static void expect_one_batch(struct test *test, uint64_t newest, uint32_t sites)
{
    struct patch_record record;

    EXPECT(test, sites > 0);
    EXPECT_EQUAL(test, patch_record_newest(), newest + 1);
    EXPECT(test, patch_record_get(newest + 1, &record));
    EXPECT_EQUAL(test, record.sites, sites);
    EXPECT_EQUAL(test, record.rounds, 3);
    EXPECT_EQUAL(test, record.ipis, 3 * (cpu_count() - 1));
}

static void all_ops_change_form_in_one_batch_of_three_rounds(struct test *test)
{
    for (unsigned i = 0; i < PARAVIRT_FORM_CHANGES; i++) {
        enum paravirt_form before = paravirt_form();
        uint64_t newest = patch_record_newest();

        paravirt_set_form(test, paravirt_form_order[i]);
        expect_one_batch(test, newest, sites_that_differ(before, paravirt_native_ways));
        paravirt_set_form(test, paravirt_form_order[i]);
        EXPECT_EQUAL(test, patch_record_newest(), newest + 1); /* the same form is free */
    }
}

/* In the indirect form. */
static void expect_slots_alone_change(struct test *test)
{
    struct patch_record record;
    uint64_t count = paravirt_double_count(PARAVIRT_clock_read);

    paravirt_set_form(test, PARAVIRT_INDIRECT);
    paravirt_set_ways(test, paravirt_double_list);
    EXPECT(test, patch_record_get(patch_record_newest(), &record));
    EXPECT_EQUAL(test, record.sites, 0);
    EXPECT_EQUAL(test, record.rounds, 0);
    EXPECT_EQUAL(test, record.ipis, 0);
    clock_now_ns();
    EXPECT(test, paravirt_double_count(PARAVIRT_clock_read) > count);
    paravirt_set_ways(test, paravirt_native_ways);
    paravirt_set_form(test, PARAVIRT_INLINE);
}

/* Mutant: slot-not-written. */
static void all_ops_change_way_in_one_batch_of_three_rounds(struct test *test)
{
    paravirt_double_initialize();
    for (unsigned form = PARAVIRT_DIRECT; form < PARAVIRT_FORM_COUNT; form++) {
        paravirt_set_form(test, (enum paravirt_form)form);
        for (unsigned turn = 0; turn < 2; turn++) {
            const struct paravirt_way *const *before =
                turn == 0 ? paravirt_native_ways : paravirt_double_list;
            uint64_t newest = patch_record_newest();

            paravirt_set_ways(test, turn == 0 ? paravirt_double_list : paravirt_native_ways);
            expect_one_batch(test, newest, sites_that_differ((enum paravirt_form)form, before));
        }
    }
    expect_slots_alone_change(test);
}

/* ---- refusals and failures ---- */

static const struct paravirt_way way_far = {.name = "far",
                                            .function = (paravirt_function *)0x1000000000};
static const uint8_t long_instruction[PARAVIRT_SITE_LENGTH + 1] = {0x2e, 0x2e, 0x2e, 0x2e,
                                                                   0x2e, 0x2e, 0x90};
static const struct paravirt_way way_long = {.name = "long",
                                             .function = native_safe_halt,
                                             .text = "nop",
                                             .instruction = long_instruction,
                                             .instruction_end =
                                                 long_instruction + sizeof(long_instruction)};

static void expect_untouched(struct test *test)
{
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        EXPECT(test, paravirt_ops[op].way == paravirt_native_ways[op]);
        EXPECT(test, pv_ops[op] == paravirt_native_ways[op]->function);
        EXPECT_EQUAL(test, paravirt_ops[op].form, PARAVIRT_INLINE);
        EXPECT(test, !paravirt_ops[op].is_changing);
    }
}

/* All ops to the double, but @culprit, whose change is @change. */
static void expect_refused(struct test *test, enum paravirt_op_id culprit,
                           struct patch_change change, enum patch_status status)
{
    struct patch_change changes[PARAVIRT_OP_COUNT];
    struct patch_error error = {0};

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        changes[op] = op == culprit
                          ? change
                          : paravirt_change_to(&paravirt_ops[op], paravirt_double_list[op]);
    }
    EXPECT_EQUAL(test, patch_transaction("test refusal", changes, PARAVIRT_OP_COUNT, &error),
                 status);
    EXPECT(test, error.name != NULL && strcmp(error.name, paravirt_ops[culprit].name) == 0);
    expect_untouched(test);
}

static void bad_changes_are_refused_by_name_and_change_nothing(struct test *test)
{
    struct paravirt_op *eoi = &paravirt_ops[PARAVIRT_eoi];
    struct paravirt_op *last = &paravirt_ops[PARAVIRT_OP_COUNT - 1];

    expect_refused(test, PARAVIRT_eoi, paravirt_change_to(eoi, &way_far), PATCH_ERR_RANGE);
    expect_refused(test, PARAVIRT_eoi, paravirt_change_to(eoi, &way_long), PATCH_ERR_INSTRUCTION);
    expect_refused(test, PARAVIRT_eoi, paravirt_change_to(eoi, NULL), PATCH_ERR_NO_TARGET);
    expect_refused(test, PARAVIRT_eoi, paravirt_form_change_to(eoi, PARAVIRT_FORM_COUNT),
                   PATCH_ERR_INSTRUCTION);
    struct patch_change twice[] = {
        paravirt_form_change_to(last, PARAVIRT_DIRECT),
        paravirt_change_to(last, paravirt_double_list[PARAVIRT_OP_COUNT - 1])};
    EXPECT_EQUAL(test, patch_transaction("test twice", twice, 2, NULL), PATCH_ERR_DUPLICATE);
    expect_untouched(test);
    uint64_t flags = interrupts_save();
    enum patch_status status = patch_transaction("test context", twice, 1, NULL);
    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    expect_untouched(test);
}

static void site_write(struct test *test, uint64_t address, const uint8_t *bytes)
{
    struct platform_round round = {0};

    platform_lock();
    platform_text_open();
    EXPECT(test, platform_text_write((void *)address, bytes, PARAVIRT_SITE_LENGTH));
    platform_text_close();
    EXPECT(test, platform_sync_cores(&round));
    platform_unlock();
}

/* A stranger has written a site that nobody but its probe runs. */
static void site_that_is_not_what_it_should_be_stops_the_whole_change(struct test *test)
{
    const enum paravirt_op_id op = PARAVIRT_tlb_flush_page;
    uint64_t address = paravirt_probe_site(op)->address;
    struct paravirt_refusal refusal;
    uint8_t before[PARAVIRT_SITE_LENGTH];
    uint8_t direct[PARAVIRT_SITE_LENGTH];

    memcpy(before, (const void *)address, sizeof(before));
    EXPECT_EQUAL(test,
                 paravirt_site_encode(&paravirt_ops[op], address, PARAVIRT_DIRECT,
                                      paravirt_ops[op].way, direct),
                 PATCH_OK);
    site_write(test, address, direct);
    EXPECT(test, !paravirt_switch_form(PARAVIRT_INDIRECT, &refusal));
    EXPECT_EQUAL(test, refusal.patch.status, PATCH_ERR_UNEXPECTED);
    EXPECT_EQUAL(test, refusal.patch.address, address);
    EXPECT(test, strcmp(refusal.patch.name, paravirt_ops[op].name) == 0);
    EXPECT(test, text_snapshot_difference() - address < PARAVIRT_SITE_LENGTH);
    site_write(test, address, before);
    expect_untouched(test);
}

static struct silence {
    struct workers workers;
    bool is_silent, is_over; /* atomic */
} silence;

/* The worker that comes first turns its interrupts off until told, or for SILENT_END_NS. */
static void be_silent(void *argument)
{
    uint64_t end_ns = clock_now_ns() + SILENT_END_NS;
    uint64_t flags;

    (void)argument;
    if (__atomic_test_and_set(&silence.is_silent, __ATOMIC_RELAXED)) {
        return;
    }
    flags = interrupts_save();
    while (!__atomic_load_n(&silence.is_over, __ATOMIC_RELAXED) && clock_now_ns() < end_ns) {
        cpu_relax();
    }
    interrupts_restore(flags);
}

/* The batch fails behind its first writes, and is put back. */
static void cpu_that_does_not_answer_leaves_all_ops_as_they_were(struct test *test)
{
    uint64_t patience_ns = ipi_patience_ns();
    struct paravirt_refusal refusal;
    bool is_done;

    if (cpu_count() == 1) {
        test_skip(test, "needs a second CPU that does not answer");
        return;
    }
    silence = (struct silence){0};
    if (!EXPECT(test, workers_start(&silence.workers, false, be_silent, NULL))) {
        return;
    }
    while (!__atomic_load_n(&silence.is_silent, __ATOMIC_RELAXED)) {
        thread_sleep_ns(MUTE_NS);
    }
    thread_sleep_ns(MUTE_NS);
    ipi_set_patience_ns(SILENT_NS);
    is_done = paravirt_switch_form(PARAVIRT_INDIRECT, &refusal);
    ipi_set_patience_ns(patience_ns);
    __atomic_store_n(&silence.is_over, true, __ATOMIC_RELAXED);
    workers_join(&silence.workers);
    EXPECT(test, !is_done);
    EXPECT_EQUAL(test, refusal.patch.status, PATCH_ERR_SILENT_CPU);
    expect_untouched(test);
}

static const struct test_case cases[] = {
    TEST_CASE(all_ops_change_form_in_one_batch_of_three_rounds),
    TEST_CASE(all_ops_change_way_in_one_batch_of_three_rounds),
    TEST_CASE(bad_changes_are_refused_by_name_and_change_nothing),
    TEST_CASE(site_that_is_not_what_it_should_be_stops_the_whole_change),
    TEST_CASE(cpu_that_does_not_answer_leaves_all_ops_as_they_were),
};

const struct test_suite suite_paravirt_batch = TEST_SUITE("paravirt_batch", cases);
