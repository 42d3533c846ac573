// SPDX-License-Identifier: MIT
/* Paravirt ops on the running kernel: each does what it is for and keeps what it has to, in every
 * form and both of two ways, on every CPU; and each site is what was set, to the byte. Held
 * batches, refusals and failures: suite_paravirt_batch.c; under fire: suite_paravirt_torture.c. Why
 * it detects: paravirt_probes.h, paravirt_checks.h; the whole text is compared with that of boot.
 */
#include "arch/interrupts.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/single_step.h"
#include "kernel/console.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"
#include "kernel/text_snapshot.h"
#include "patching/platform.h"
#include "tests/kernel/paravirt_checks.h"
#include "tests/kernel/paravirt_double.h"
#include "tests/kernel/paravirt_probes.h"
#include "tests/kernel/paravirt_set.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

static struct everywhere {
    struct workers workers;
    const char *where;
    uint32_t faults; /* atomic */
} everywhere;

static void check_here(void *argument)
{
    (void)argument;
    __atomic_fetch_add(&everywhere.faults, paravirt_check_all(everywhere.where, false),
                       __ATOMIC_RELAXED);
}

/* On this CPU alone, then on all of them at once. */
static void expect_ops_work(struct test *test, const char *where)
{
    EXPECT_EQUAL(test, paravirt_check_all(where, true), 0);
    everywhere = (struct everywhere){.where = where};
    if (EXPECT(test, workers_start(&everywhere.workers, true, check_here, NULL))) {
        workers_join(&everywhere.workers);
        EXPECT_EQUAL(test, everywhere.faults, 0);
    }
}

/* Mutants: irq-save-loses-a-register. */
static void native_ops_do_what_they_are_for_in_every_form(struct test *test)
{
    if (!paravirt_checks_begin(test)) {
        return;
    }
    for (unsigned form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        paravirt_set_form(test, (enum paravirt_form)form);
        expect_ops_work(test, paravirt_form_names[form]);
    }
    paravirt_checks_end();
}

/* The second ways spoil all that C may spoil, so what is lost here was lost by a thunk. Mutants:
 * thunk-forgets-a-register, stacked-thunk-forgets-a-register, slot-not-written. */
static void second_ways_do_it_too_and_are_gone_through(struct test *test)
{
    if (!paravirt_checks_begin(test)) {
        return;
    }
    if (paravirt_set_double(test)) {
        for (unsigned form = 0; form < PARAVIRT_FORM_COUNT; form++) {
            uint64_t before[PARAVIRT_OP_COUNT];

            paravirt_set_form(test, (enum paravirt_form)form);
            for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
                before[op] = paravirt_double_count(op);
            }
            expect_ops_work(test, paravirt_form_names[form]);
            for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
                if (!EXPECT(test, paravirt_double_count(op) > before[op])) {
                    console_print("    # %s: op %s does not go the second way\n",
                                  paravirt_form_names[form], paravirt_ops[op].name);
                }
            }
        }
        paravirt_set_native(test);
    }
    paravirt_checks_end();
}

/* ---- what sites show ---- */

static void expect_sites_show(struct test *test, enum paravirt_form form)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        const struct paravirt_op *op = &paravirt_ops[site->op];
        bool is_call = form == PARAVIRT_INLINE && !paravirt_way_is_instruction(op->way);

        EXPECT_EQUAL(test, paravirt_site_shows(op, site), is_call ? PARAVIRT_DIRECT : form);
    }
}

static bool is_in_a_site(uint64_t address)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        if (address >= site->address && address - site->address < PARAVIRT_SITE_LENGTH) {
            return true;
        }
    }
    return false;
}

/* What is not as at boot lies in a site: nothing beside one was written. */
static void expect_neighbours_untouched(struct test *test)
{
    unsigned strays = 0;

    for (uint64_t address = text_snapshot_difference();
         address != 0 && address < (uint64_t)text_end; address++) {
        strays +=
            *(const uint8_t *)address != text_snapshot_byte(address) && !is_in_a_site(address);
    }
    EXPECT_EQUAL(test, strays, 0);
}

static void sites_show_the_form_that_was_set(struct test *test)
{
    expect_sites_show(test, PARAVIRT_INLINE);
    for (unsigned i = 0; i < PARAVIRT_FORM_CHANGES; i++) {
        paravirt_set_form(test, paravirt_form_order[i]);
        EXPECT_EQUAL(test, paravirt_form(), paravirt_form_order[i]);
        expect_sites_show(test, paravirt_form_order[i]);
        expect_neighbours_untouched(test);
    }
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

/* The bytes, as the manual has them and not as the encoder has: "Opcode Map", Intel SDM volume 2.
 */
static void expect_bytes(struct test *test, enum paravirt_op_id id, enum paravirt_form form)
{
    const struct paravirt_op *op = &paravirt_ops[id];
    const struct paravirt_way *way = op->way;
    uint64_t address = paravirt_probe_site(id)->address;
    const uint8_t *bytes = (const uint8_t *)address;
    int32_t displacement;

    memcpy(&displacement, bytes + 2, sizeof(displacement));
    if (form == PARAVIRT_INLINE && way->instruction != NULL) {
        size_t length = (size_t)(way->instruction_end - way->instruction);

        EXPECT(test, memcmp(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length) == 0);
        for (size_t i = 0; i < PARAVIRT_SITE_LENGTH - length; i++) {
            EXPECT_EQUAL(test, bytes[i], 0x2e);
        }
        return;
    }
    EXPECT_EQUAL(test, bytes[0], form == PARAVIRT_INDIRECT ? 0xff : 0x2e);
    EXPECT_EQUAL(test, bytes[1], form == PARAVIRT_INDIRECT ? 0x15 : 0xe8);
    EXPECT_EQUAL(test, address + PARAVIRT_SITE_LENGTH + (uint64_t)(int64_t)displacement,
                 form == PARAVIRT_INDIRECT ? (uint64_t)&pv_ops[id] : (uint64_t)way->function);
    EXPECT(test, pv_ops[id] == way->function);
}

/* Mutants: fill-behind-the-instruction, slot-not-written. */
static void site_bytes_are_what_the_manual_says(struct test *test)
{
    for (unsigned doubled = 0; doubled < 2; doubled++) {
        if (doubled != 0 && !paravirt_set_double(test)) {
            return;
        }
        for (unsigned form = 0; form < PARAVIRT_FORM_COUNT; form++) {
            paravirt_set_form(test, (enum paravirt_form)form);
            for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
                expect_bytes(test, op, (enum paravirt_form)form);
            }
        }
    }
    paravirt_set_native(test);
}

/* ---- a site is one instruction ---- */

struct steps {
    uint64_t site, function;
    bool is_direct;  /* the step from the site led to the one behind it */
    bool is_called;  /* it led to the function */
    bool comes_back; /* a step led behind the site */
    bool is_inside;  /* a step led into the site */
};

static void step_note(uint64_t address, uint64_t next, void *context)
{
    struct steps *steps = context;
    uint64_t behind = steps->site + PARAVIRT_SITE_LENGTH;

    if (address == steps->site) {
        steps->is_direct = next == behind;
        steps->is_called = next == steps->function;
    }
    steps->comes_back = steps->comes_back || next == behind;
    steps->is_inside = steps->is_inside || (next > steps->site && next < behind);
}

static void probe_step(uint64_t argument)
{
    struct spinlock lock = {.name = "test"}; /* ticket 0 is served */
    bool takes_lock = argument == PARAVIRT_lock_unlock || argument == PARAVIRT_lock_slow;
    struct probe probe = {0};

    probe.registers[PROBE_RDI] = takes_lock ? (uint64_t)&lock : cpu_index();
    paravirt_probe((enum paravirt_op_id)argument, &probe);
}

static void steps_check(struct test *test, enum paravirt_op_id op)
{
    struct steps steps = {.site = paravirt_probe_site(op)->address,
                          .function = (uint64_t)paravirt_ops[op].way->function};
    bool is_inlined =
        paravirt_site_shows(&paravirt_ops[op], paravirt_probe_site(op)) == PARAVIRT_INLINE;
    uint64_t flags;

    platform_lock();
    flags = interrupts_save();
    single_step_run(probe_step, (uint64_t)op, step_note, &steps);
    interrupts_restore(flags);
    platform_unlock();
    EXPECT_EQUAL(test, steps.is_direct, is_inlined);
    EXPECT_EQUAL(test, steps.is_called, !is_inlined);
    EXPECT(test, steps.comes_back);
    EXPECT(test, !steps.is_inside);
}

/* Ops that may run with interrupts off and leave them so. */
static const enum paravirt_op_id stepped[] = {
    PARAVIRT_irq_save,  PARAVIRT_irq_disable,    PARAVIRT_lock_slow,       PARAVIRT_lock_unlock,
    PARAVIRT_lock_kick, PARAVIRT_tlb_flush_page, PARAVIRT_tlb_flush_local, PARAVIRT_clock_read,
};

/* So every form has the same next instruction, whoever comes back to it. */
static void every_form_is_one_instruction(struct test *test)
{
    for (unsigned form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        paravirt_set_form(test, (enum paravirt_form)form);
        for (unsigned i = 0; i < sizeof(stepped) / sizeof(stepped[0]); i++) {
            steps_check(test, stepped[i]);
        }
    }
}

static const struct test_case cases[] = {
    TEST_CASE(native_ops_do_what_they_are_for_in_every_form),
    TEST_CASE(second_ways_do_it_too_and_are_gone_through),
    TEST_CASE(sites_show_the_form_that_was_set),
    TEST_CASE(site_bytes_are_what_the_manual_says),
    TEST_CASE(every_form_is_one_instruction),
};

const struct test_suite suite_paravirt = TEST_SUITE("paravirt", cases);
