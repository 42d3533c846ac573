// SPDX-License-Identifier: MIT
/* Paravirt ops executed: each site, in every form and way that a program may execute, with every
 * register known; between any two steps of every change, by traps where int3 stands; and from C,
 * with values live across the call. Detects a native function, a thunk or a stand-in that loses a
 * register, leaves the stack unbalanced, or writes its result elsewhere; an inlined instruction
 * that does something else; a call whose clobbers or operands are wrong. Could miss: what
 * instructions do that only a kernel may execute; a clobber that this compiler does not use. */
#include "tests/host/paravirts.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <signal.h>
#include <string.h>

enum {
    FLAGS = 0xcd5, /* carry, parity, adjust, zero, sign, direction, overflow */
    FLAG_CARRY_BIT = 1,
    FLAGS_ALWAYS = 0x202,
    SEEDS = 20,
};

/* What an instruction of the table does to its operand in memory, and to the flags. */
struct effect {
    const char *text;
    bool needs_kernel;
    uint32_t offset; /* of the word that it changes */
    uint32_t (*word)(uint32_t before);
    bool keeps_flags;
};

static uint32_t word_incremented(uint32_t before)
{
    return before + 1;
}

static uint32_t word_cleared(uint32_t before)
{
    (void)before;
    return 0;
}

static const struct effect effects[] = {
    {.text = "pushfq", .keeps_flags = true},
    {.text = "nop", .keeps_flags = true},
    {.text = "incl 12(%rdi)", .offset = 12, .word = word_incremented},
    {.text = "movl $0, (%rdi)", .word = word_cleared, .keeps_flags = true},
    {.text = "sti", .needs_kernel = true},
    {.text = "cli", .needs_kernel = true},
    {.text = "invlpg (%rdi)", .needs_kernel = true},
};

static const struct effect *effect_of(const struct paravirt_way *way)
{
    for (size_t i = 0; i < ARRAY_COUNT(effects); i++) {
        if (strcmp(effects[i].text, way->text) == 0) {
            return &effects[i];
        }
    }
    fail_msg("%s: say here what it does", way->text);
    return NULL;
}

static bool may_run(const struct paravirt_way *way)
{
    return way->text != NULL ? !effect_of(way)->needs_kernel
                             : way->function != (paravirt_function *)native_safe_halt;
}

/* ---- one site, every register known ---- */

static struct paravirt_run run;
static uint8_t memory[64], memory_before[64];

static void give(uint64_t *random)
{
    memset(&run, 0, sizeof(run));
    for (size_t i = 0; i < PARAVIRT_REGISTERS; i++) {
        run.given.general[i] = next_random(random);
    }
    for (size_t i = 0; i < sizeof(memory); i++) {
        memory[i] = memory_before[i] = (uint8_t)next_random(random);
    }
    run.given.general[PARAVIRT_RDI] = (uint64_t)memory;
    run.given.flags = (next_random(random) & (FLAGS & ~0x400u)) | FLAGS_ALWAYS;
    memset(&paravirt_seen, 0, sizeof(paravirt_seen));
}

static uint32_t word_at(const uint8_t *bytes)
{
    uint32_t word;

    memcpy(&word, bytes, sizeof(word));
    return word;
}

static void expect_registers_kept(bool is_stacked)
{
    struct paravirt_registers expected = run.given;

    expected.general[PARAVIRT_RSP] -= is_stacked ? sizeof(uint64_t) : 0;
    assert_memory_equal(run.found.general, expected.general, sizeof(expected.general));
}

/* What a call of a function need not keep. */
static void forget_call_registers(void)
{
    static const unsigned of_a_call[] = {0, 1, 2, PARAVIRT_RSI, PARAVIRT_RDI, 8, 9, 10, 11};

    for (size_t i = 0; i < ARRAY_COUNT(of_a_call); i++) {
        run.found.general[of_a_call[i]] = run.given.general[of_a_call[i]];
    }
}

static void expect_instruction(const struct effect *effect, bool is_stacked)
{
    uint32_t before = word_at(memory_before + effect->offset);

    expect_registers_kept(is_stacked);
    assert_int_equal(paravirt_seen.calls, 0);
    if (is_stacked) {
        assert_int_equal(run.word & FLAGS, run.given.flags & FLAGS);
    }
    if (effect->keeps_flags) {
        assert_int_equal(run.found.flags & FLAGS, run.given.flags & FLAGS);
    } else { /* inc keeps the carry */
        assert_int_equal(run.found.flags & FLAG_CARRY_BIT, run.given.flags & FLAG_CARRY_BIT);
    }
    if (effect->word != NULL) {
        before = effect->word(before);
        assert_int_equal(word_at(memory + effect->offset), before);
        memcpy(memory_before + effect->offset, &before, sizeof(before));
    }
    assert_memory_equal(memory, memory_before, sizeof(memory));
}

static void expect_function(uint64_t op, bool is_native)
{
    const struct paravirt_subject *subject = &paravirt_subjects[op];
    enum paravirt_shape shape = subject->shape;

    assert_int_equal(paravirt_seen.calls, 1);
    assert_int_equal(paravirt_seen.op, op);
    assert_int_equal(paravirt_seen.is_native, is_native);
    if (shape == PARAVIRT_SHAPE_RETURNS) {
        assert_int_equal(run.found.general[PARAVIRT_RAX], paravirt_result(op, is_native));
    }
    if (shape == PARAVIRT_SHAPE_STACKED) {
        assert_int_equal(run.word, paravirt_result(op, is_native));
    }
    if (!subject->keeps_registers) {
        forget_call_registers();
    }
    expect_registers_kept(shape == PARAVIRT_SHAPE_STACKED);
    assert_memory_equal(memory, memory_before, sizeof(memory));
}

/* That one run of the op at @op did what @way does, all of it and nothing else. */
static void expect_way(uint64_t op, const struct paravirt_way *way)
{
    if (way->instruction != NULL) {
        expect_instruction(effect_of(way), paravirt_subjects[op].shape == PARAVIRT_SHAPE_STACKED);
    } else {
        expect_function(op, way == paravirt_native_ways[op]);
    }
}

static void every_op_does_the_same_in_every_form(void **state)
{
    (void)state;
    uint64_t random = 1;
    unsigned inlined = 0;

    for (uint64_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const struct paravirt_way *ways[] = {paravirt_native_ways[op], paravirt_subjects[op].other};

        for (unsigned i = 0; i < ARRAY_COUNT(ways) * PARAVIRT_FORM_COUNT; i++) {
            const struct paravirt_way *way = ways[i / PARAVIRT_FORM_COUNT];
            enum paravirt_form form = i % PARAVIRT_FORM_COUNT;

            if (!may_run(way)) {
                continue;
            }
            paravirts_take(&paravirt_ops[op], form, way);
            inlined += form == PARAVIRT_INLINE && way->instruction != NULL;
            for (unsigned seed = 0; seed < SEEDS; seed++) {
                give(&random);
                paravirt_subjects[op].run(&run);
                expect_way(op, way);
            }
        }
        paravirts_take(&paravirt_ops[op], PARAVIRT_INLINE, ways[0]);
    }
    assert_in_range(inlined, 1, PARAVIRT_OP_COUNT);
}

/* ---- between any two steps of a change ---- */

static struct {
    uint64_t op;
    const struct paravirt_way *old, *new;
    uint64_t random;
    unsigned runs, olds, news, traps;
} moment;

static void handle_trap(int signal_number, siginfo_t *information, void *context)
{
    (void)signal_number;
    (void)information;
    moment.traps++;
    if (!recorder_trap_signal(1, context)) {
        abort();
    }
}

/* A CPU that has not serialised may run the old way until the last step; one that traps, or runs
 * what now stands there, does one of the two, whole. */
static void run_between(enum patch_step step, enum patch_moment when)
{
    (void)step;
    (void)when;
    give(&moment.random);
    paravirt_subjects[moment.op].run(&run);
    moment.runs++;
    if (moment.old == moment.new) {
        expect_way(moment.op, moment.new);
        return;
    }
    bool is_other = paravirt_seen.calls == 1 && !paravirt_seen.is_native;
    const struct paravirt_way *other = paravirt_subjects[moment.op].other;
    const struct paravirt_way *native = moment.old == other ? moment.new : moment.old;
    const struct paravirt_way *did = is_other ? other : native;

    expect_way(moment.op, did);
    moment.olds += did == moment.old;
    moment.news += did == moment.new;
}

static void change_while_running(uint64_t op, enum paravirt_form from,
                                 const struct paravirt_way *old, struct patch_change change,
                                 const struct paravirt_way *new)
{
    paravirts_take(&paravirt_ops[op], from, old);
    recorder.ignores_unwatched = true;
    recorder.on_step = run_between;
    moment.op = op;
    moment.old = old;
    moment.new = new;
    moment.runs = moment.olds = moment.news = moment.traps = 0;
    assert_int_equal(patch_transaction("while it runs", &change, 1, NULL), PATCH_OK);
    recorder.on_step = NULL;
}

static void forms_change_while_the_op_runs(void **state)
{
    (void)state;
    unsigned traps = 0;

    for (uint64_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const struct paravirt_way *ways[] = {paravirt_native_ways[op], paravirt_subjects[op].other};

        for (unsigned i = 0; i < 2 * PARAVIRT_FORM_COUNT * PARAVIRT_FORM_COUNT; i++) {
            const struct paravirt_way *way = ways[i / PARAVIRT_FORM_COUNT / PARAVIRT_FORM_COUNT];
            enum paravirt_form from = i / PARAVIRT_FORM_COUNT % PARAVIRT_FORM_COUNT;
            enum paravirt_form to = i % PARAVIRT_FORM_COUNT;

            if (may_run(way)) {
                change_while_running(op, from, way, paravirt_form_change_to(&paravirt_ops[op], to),
                                     way);
                traps += moment.traps;
            }
        }
        paravirts_take(&paravirt_ops[op], PARAVIRT_INLINE, ways[0]);
    }
    assert_true(traps > PARAVIRT_OP_COUNT);
}

/* Old and new ones are seen; which ones, and behind the return only new: the last one is new. */
static void ways_change_while_the_op_runs(void **state)
{
    (void)state;
    for (uint64_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
        struct paravirt_op *subject = &paravirt_ops[op];
        const struct paravirt_way *ways[] = {paravirt_native_ways[op], paravirt_subjects[op].other};

        for (unsigned i = 0; may_run(ways[0]) && i < 2 * PARAVIRT_FORM_COUNT; i++) {
            const struct paravirt_way *old = ways[i % 2], *new = ways[1 - i % 2];
            enum paravirt_form form = i / 2;

            change_while_running(op, form, old, paravirt_change_to(subject, new), new);
            assert_int_equal(moment.runs > 0, form != PARAVIRT_INDIRECT);
            assert_int_equal(moment.news, moment.runs); /* from the first int3 on */
            assert_int_equal(moment.traps > 0, form != PARAVIRT_INDIRECT);
            run_between(0, 0);
            assert_int_equal(moment.news, moment.runs);
        }
        paravirts_take(subject, PARAVIRT_INLINE, ways[0]);
    }
}

/* ---- from C ---- */

/* That @calls calls arrived, the last of them with the arguments given. */
static void expect_arrival(uint64_t op, bool is_native, unsigned calls, uint64_t first,
                           uint64_t second)
{
    enum paravirt_shape shape = paravirt_subjects[op].shape;

    assert_int_equal(paravirt_seen.calls, calls);
    assert_int_equal(paravirt_seen.op, op);
    assert_int_equal(paravirt_seen.is_native, is_native);
    if (shape == PARAVIRT_SHAPE_TAKES || shape == PARAVIRT_SHAPE_TAKES2) {
        assert_int_equal((uint32_t)paravirt_seen.first, (uint32_t)first);
    }
    if (shape == PARAVIRT_SHAPE_TAKES2) {
        assert_int_equal((uint32_t)paravirt_seen.second, (uint32_t)second);
    }
    memset(&paravirt_seen, 0, sizeof(paravirt_seen));
}

static void expect_call_from_c(uint64_t op, const struct paravirt_way *way, uint64_t random)
{
    const struct paravirt_subject *subject = &paravirt_subjects[op];
    uint64_t values[PARAVIRT_LIVE_VALUES], expected[PARAVIRT_LIVE_VALUES];
    uint64_t first = (uint64_t)memory, second = next_random(&random);
    bool returns =
        subject->shape == PARAVIRT_SHAPE_RETURNS || subject->shape == PARAVIRT_SHAPE_STACKED;
    bool is_native = way == paravirt_native_ways[op];

    for (size_t i = 0; i < PARAVIRT_LIVE_VALUES; i++) {
        values[i] = next_random(&random);
        expected[i] = values[i] + 1 + (i == 0 ? first ^ second : 0);
    }
    memset(&paravirt_seen, 0, sizeof(paravirt_seen));

    uint64_t result = subject->call(first, second, values);

    assert_memory_equal(values, expected, sizeof(values));
    if (way->instruction != NULL) {
        assert_int_equal(paravirt_seen.calls, 0);
        return;
    }
    expect_arrival(op, is_native, 1, first, second);
    assert_int_equal(result, returns ? paravirt_result(op, is_native) : 0);
    result = subject->call_twice(first, second);
    expect_arrival(op, is_native, 2, first, second);
    assert_int_equal(result, returns ? paravirt_result(op, is_native) : first ^ second);
}

static void calls_from_c_pass_arguments_and_keep_what_is_live(void **state)
{
    (void)state;
    for (uint64_t op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const struct paravirt_way *ways[] = {paravirt_native_ways[op], paravirt_subjects[op].other};

        for (unsigned i = 0; i < 2 * PARAVIRT_FORM_COUNT; i++) {
            const struct paravirt_way *way = ways[i / PARAVIRT_FORM_COUNT];

            if (may_run(way)) {
                paravirts_take(&paravirt_ops[op], i % PARAVIRT_FORM_COUNT, way);
                expect_call_from_c(op, way, i + 1);
            }
        }
        paravirts_take(&paravirt_ops[op], PARAVIRT_INLINE, ways[0]);
    }
}

static int group_setup(void **state)
{
    struct sigaction action = {.sa_sigaction = handle_trap, .sa_flags = SA_SIGINFO};

    moment.random = 1;
    return sigaction(SIGTRAP, &action, NULL) == 0 ? paravirts_group_setup(state) : -1;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_op_does_the_same_in_every_form),
    cmocka_unit_test(forms_change_while_the_op_runs),
    cmocka_unit_test(ways_change_while_the_op_runs),
    cmocka_unit_test(calls_from_c_pass_arguments_and_keep_what_is_live),
};

HOST_TEST_MAIN(tests, group_setup)
