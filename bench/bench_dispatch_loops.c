// SPDX-License-Identifier: MIT
/* The loops of bench_dispatch_loops.h and what they call. Invariant: the sequence is read in order,
 * across runs of a loop: what a branch predictor saw last is what the sequence has had last. Called
 * by: bench_ways.c, by their addresses; tests/silicon. */
#include "bench/bench_dispatch_loops.h"

DEFINE_XDP_CALL(bench, .is_by_hand = true);

/* In assembler: no entry that can be traced, nothing but the least that a program can be. */
#define PROGRAM_BYTES 16
__asm__(".pushsection .text, \"ax\", @progbits\n\t"
        ".balign 64, 0xcc\n\t"
        ".globl dispatch_programs_text\n\t"
        ".type dispatch_programs_text, @function\n"
        "dispatch_programs_text:\n\t"
        ".set dispatch_number, 0\n\t"
        ".rept 65\n\t"
        ".balign 16, 0xcc\n\t"
        "movl $dispatch_number, %eax\n\t"
        "ret\n\t"
        ".set dispatch_number, dispatch_number + 1\n\t"
        ".endr\n\t"
        ".size dispatch_programs_text, . - dispatch_programs_text\n\t"
        ".popsection");
_Static_assert(PROGRAM_BYTES == 16 && DISPATCH_PROGRAMS == 65, "the assembler text above says so");

extern const uint8_t dispatch_programs_text[];

static struct xdp_program programs[DISPATCH_PROGRAMS];

struct dispatch_sequence dispatch_sequence;

const struct xdp_program *dispatch_program(uint32_t number)
{
    programs[number] = (struct xdp_program){
        .name = "bench",
        .function = (dispatched_function *)(dispatch_programs_text + number * PROGRAM_BYTES),
    };
    return &programs[number];
}

void dispatch_loops_rewind(void)
{
    dispatch_sequence.position = 0;
}

void dispatch_loops_set(const uint8_t numbers[DISPATCH_SEQUENCE])
{
    dispatch_loops_rewind();
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        dispatch_sequence.programs[i] = dispatch_program(numbers[i]);
    }
}

/* What the compiler must assume of any call. */
#define CALL_CLOBBERS "rax", "rcx", "r8", "r9", "r10", "r11", "memory", "cc"

/* The registers of a call: context, instructions, function. */
#define CALL_REGISTERS(context, instructions, function)                                            \
    "+D"(context), "+S"(instructions), "+d"(function)

/* No call, and all that surrounds one: the arguments in their registers. */
static inline __attribute__((always_inline)) void call_nothing(const void *context,
                                                               const void *instructions,
                                                               dispatched_function *function)
{
    __asm__ volatile("" : CALL_REGISTERS(context, instructions, function) : : CALL_CLOBBERS);
}

/* Of the one target; the others' registers are loaded all the same. */
static inline __attribute__((always_inline)) void call_first(const void *context,
                                                             const void *instructions,
                                                             dispatched_function *function)
{
    __asm__ volatile("call dispatch_programs_text"
                     : CALL_REGISTERS(context, instructions, function)
                     :
                     : CALL_CLOBBERS);
}

/* What C cannot say while indirect calls go through thunks: a call of the register itself. */
static inline __attribute__((always_inline)) void call_register(const void *context,
                                                                const void *instructions,
                                                                dispatched_function *function)
{
    __asm__ volatile("call *%%rdx"
                     : CALL_REGISTERS(context, instructions, function)
                     :
                     : CALL_CLOBBERS);
}

DISPATCH_LOOP(dispatch_loop_nothing, call_nothing(NULL, program->instructions, program->function))
DISPATCH_LOOP(dispatch_loop_direct, call_first(NULL, program->instructions, program->function))
DISPATCH_LOOP(dispatch_loop_indirect, call_register(NULL, program->instructions, program->function))
DISPATCH_LOOP(dispatch_loop_retpoline,
              __x86_indirect_thunk_rdx(NULL, program->instructions, program->function))
DISPATCH_LOOP(dispatch_loop_dispatched, xdp_call(bench, program, NULL))
