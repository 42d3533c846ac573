// SPDX-License-Identifier: MIT
/* What a traced entry calls, with a recorder that spoils every register a C function may. Detects a
 * register that is not kept, a stack that is not aligned or not as before, wrong arguments. */
#include "tests/host/host_test.h"

#include <stdbool.h>

enum { REGISTERS = 15 };

bool trace_recording; /* both in the place of trace_ring.c */
void trace_ring_add(uint64_t behind_entry, uint64_t caller);

/* All general registers but the stack pointer, as call_traced() sets and finds them. */
uint64_t registers_before[REGISTERS], registers_after[REGISTERS];
uint64_t stack_before, stack_after; /* pointer */

/* What the recorder saw. */
uint64_t recorded_function, recorded_caller, recorded_stack, recorded_calls;

void call_traced(void);
extern char behind_entry[], behind_call[];
__asm__(".text\n"
        ".macro each_register operation\n"
        "    \\operation rax, 0\n    \\operation rbx, 8\n    \\operation rcx, 16\n"
        "    \\operation rdx, 24\n    \\operation rsi, 32\n    \\operation rdi, 40\n"
        "    \\operation rbp, 48\n    \\operation r8, 56\n    \\operation r9, 64\n"
        "    \\operation r10, 72\n    \\operation r11, 80\n    \\operation r12, 88\n"
        "    \\operation r13, 96\n    \\operation r14, 104\n    \\operation r15, 112\n"
        ".endm\n"
        ".macro load name, offset\n    movq registers_before + \\offset(%rip), %\\name\n.endm\n"
        ".macro store name, offset\n    movq %\\name, registers_after + \\offset(%rip)\n.endm\n"
        ".globl call_traced, behind_entry, behind_call, trace_ring_add\n"
        "call_traced:\n"
        "    push %rbx\n    push %rbp\n    push %r12\n    push %r13\n    push %r14\n"
        "    push %r15\n    sub $8, %rsp\n"
        "    mov %rsp, stack_before(%rip)\n"
        "    each_register load\n"
        "    call 1f\n"
        "behind_call:\n"
        "    mov %rsp, stack_after(%rip)\n"
        "    each_register store\n"
        "    add $8, %rsp\n    pop %r15\n    pop %r14\n    pop %r13\n    pop %r12\n"
        "    pop %rbp\n    pop %rbx\n    ret\n"
        "1:  call function_trace_entry\n"
        "behind_entry:\n"
        "    ret\n"
        "trace_ring_add:\n"
        "    incq recorded_calls(%rip)\n"
        "    mov %rdi, recorded_function(%rip)\n"
        "    mov %rsi, recorded_caller(%rip)\n"
        "    mov %rsp, recorded_stack(%rip)\n"
        "    mov $0x5555, %eax\n    mov %eax, %ecx\n    mov %eax, %edx\n    mov %eax, %esi\n"
        "    mov %eax, %edi\n    mov %eax, %r8d\n    mov %eax, %r9d\n    mov %eax, %r10d\n"
        "    mov %eax, %r11d\n"
        "    ret\n");

static int setup(void **state)
{
    (void)state;
    for (unsigned i = 0; i < REGISTERS; i++) {
        registers_before[i] = 0x0123456789abcdefull * (i + 1);
        registers_after[i] = 0;
    }
    recorded_calls = 0;
    return 0;
}

static void traced_call_keeps_every_register_and_the_stack(void **state)
{
    (void)state;
    for (unsigned recording = 0; recording < 2; recording++) {
        setup(NULL);
        trace_recording = recording != 0;
        call_traced();
        assert_int_equal(recorded_calls, recording);
        assert_memory_equal(registers_after, registers_before, sizeof(registers_before));
        assert_int_equal(stack_after, stack_before);
    }
}

static void recorder_learns_function_and_caller(void **state)
{
    (void)state;
    trace_recording = true;
    call_traced();
    assert_int_equal(recorded_function, behind_entry);
    assert_int_equal(recorded_caller, behind_call);
}

static void recorder_finds_an_aligned_stack(void **state)
{
    (void)state;
    trace_recording = true;
    call_traced();
    assert_int_equal(stack_before % 16, 0); /* as compilers leave it before a call */
    assert_int_equal((recorded_stack + 8) % 16, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(traced_call_keeps_every_register_and_the_stack, setup),
    cmocka_unit_test_setup(recorder_learns_function_and_caller, setup),
    cmocka_unit_test_setup(recorder_finds_an_aligned_stack, setup),
};

HOST_TEST_MAIN(tests, NULL)
