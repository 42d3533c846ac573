// SPDX-License-Identifier: MIT
/* Single steps (arch/single_step.h) through a function whose path is known. Detects a step that is
 * lost, doubled or out of order, and a trap flag that reaches the handler or outlives the function.
 * Could miss what single instructions do to the flag: the function has few kinds of them. */
#include "arch/instruction_shape.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/single_step.h"
#include "tests/kernel/test.h"

#define FLAG_TRAP (1ull << 8)
#define STEPS_MAX 16

/* In: rdi = where to store. The way: store, call, leaf, jump, end. */
void stepped(uint64_t place);
extern const char stepped_call[], stepped_jump[], stepped_end[], stepped_leaf[];
__asm__(".pushsection .text, \"ax\", @progbits\n"
        "stepped:\n\t"
        "movq $1, (%rdi)\n"
        "stepped_call:\n\t"
        "call stepped_leaf\n"
        "stepped_jump:\n\t"
        "jmp stepped_end\n\t"
        "ud2\n"
        "stepped_end:\n\t"
        "ret\n"
        "stepped_leaf:\n\t"
        "ret\n\t"
        ".popsection");

struct steps {
    unsigned count;
    uint64_t address[STEPS_MAX], next[STEPS_MAX];
    bool is_flag_seen; /* by the callback */
};

static void step_note(uint64_t address, uint64_t next, void *context)
{
    struct steps *steps = context;

    if (steps->count < STEPS_MAX) {
        steps->address[steps->count] = address;
        steps->next[steps->count] = next;
    }
    steps->count++;
    steps->is_flag_seen = steps->is_flag_seen || (flags_read() & FLAG_TRAP);
}

static struct steps steps_run(uint64_t *place)
{
    struct steps steps = {0};
    uint64_t flags = interrupts_save();

    single_step_run(stepped, (uint64_t)place, step_note, &steps);
    interrupts_restore(flags);
    return steps;
}

static void each_instruction_is_a_step_once_and_in_order(struct test *test)
{
    const uint64_t way[] = {(uint64_t)stepped, (uint64_t)stepped_call, (uint64_t)stepped_leaf,
                            (uint64_t)stepped_jump, (uint64_t)stepped_end};
    const unsigned length = sizeof(way) / sizeof(way[0]);
    uint64_t place = 0;
    const struct steps steps = steps_run(&place);

    EXPECT_EQUAL(test, place, 1);
    if (!EXPECT_EQUAL(test, steps.count, length + 1)) { /* the call of it comes first */
        return;
    }
    for (unsigned i = 0; i < length; i++) {
        EXPECT_EQUAL(test, steps.address[i + 1], way[i]);
        EXPECT_EQUAL(test, steps.next[i], way[i]);
    }
    EXPECT_EQUAL(test, steps.next[length],
                 steps.address[0] + 2); /* behind `call rax`, where it began */
}

static void no_handler_is_stepped_and_nothing_afterwards(struct test *test)
{
    uint64_t place = 0;
    const struct steps steps = steps_run(&place);

    EXPECT(test, !steps.is_flag_seen);
    EXPECT(test, !(flags_read() & FLAG_TRAP));
    EXPECT(test, interrupts_enabled());
}

/* The classifier agrees with the processor about every instruction on the way. */
static void each_step_leads_where_the_instruction_says(struct test *test)
{
    uint64_t place = 0;
    const struct steps steps = steps_run(&place);

    for (unsigned i = 0; i < steps.count && i < STEPS_MAX; i++) {
        struct instruction_shape shape;
        const uint8_t *bytes = (const uint8_t *)steps.address[i];

        EXPECT(test, instruction_shape(bytes, INSTRUCTION_SHAPE_LONGEST, &shape));
        EXPECT(test, instruction_shape_leads_to(&shape, steps.address[i], steps.next[i]));
    }
}

static const struct test_case cases[] = {
    TEST_CASE(each_instruction_is_a_step_once_and_in_order),
    TEST_CASE(no_handler_is_stepped_and_nothing_afterwards),
    TEST_CASE(each_step_leads_where_the_instruction_says),
};

const struct test_suite suite_single_step = TEST_SUITE("single_step", cases);
