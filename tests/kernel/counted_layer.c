// SPDX-License-Identifier: MIT
/* See counted_layer.h. */
#include "tests/kernel/counted_layer.h"

#include "arch/instructions.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/string.h"

#include <stddef.h>

bool counted_layer_on(struct test *test, const char *name)
{
    struct paravirt_refusal refusal;
    bool is_on = name == NULL ? paravirt_switch_all(&paravirt_backend_counted, &refusal)
                              : paravirt_switch_op(name, &paravirt_backend_counted, &refusal);

    if (!EXPECT(test, is_on)) {
        console_print("    # %s\n", refusal.text);
        return false;
    }
    paravirt_counted_clear();
    return true;
}

void counted_layer_off(struct test *test)
{
    struct paravirt_refusal refusal;

    EXPECT(test, paravirt_switch_uncounted(&refusal));
    paravirt_counted_clear();
    EXPECT(test, !paravirt_counted_has_memory());
}

uint64_t counted_layer_calls(enum paravirt_op_id op, unsigned cpu)
{
    return __atomic_load_n(&counted_places[cpu].block->ops[op].count, __ATOMIC_RELAXED);
}

uint64_t counted_layer_total(enum paravirt_op_id op)
{
    uint64_t total = 0;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        total += counted_layer_calls(op, cpu);
    }
    return total;
}

bool counted_layer_lock(const char *name, struct paravirt_lock_counts *row)
{
    static struct paravirt_lock_counts rows[PARAVIRT_LOCK_ROWS]; /* one test at a time */
    unsigned count = paravirt_counted_locks(rows);

    for (unsigned i = 0; i < count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            *row = rows[i];
            return true;
        }
    }
    *row = (struct paravirt_lock_counts){.name = name};
    return false;
}

bool counted_layer_interrupts_are_on(void)
{
    return raw_interrupts_enabled();
}

_Static_assert(offsetof(struct counted_layer_registers, pushed) == 72 &&
                   offsetof(struct counted_layer_registers, result) == 80,
               "counted_layer_call()");
_Static_assert(COUNTED_LAYER_CANARY == 0x5ea1c0de5ea1c000, "counted_layer_call()");

/* In: RDI = function, RSI = operand, RDX = where the registers go. RBX, RBP, R12 keep that across
 * the call: ways keep them, as every function does. */
__asm__(".pushsection .text, \"ax\", @progbits\n\t"
        ".globl counted_layer_call\n"
        "counted_layer_call:\n\t"
        "push %rbx\n\tpush %rbp\n\tpush %r12\n\t"
        "mov %rdi, %rbp\n\tmov %rsi, %rdi\n\tmov %rdx, %rbx\n\tmov %rsp, %r12\n\t"
        "movabs $0x5ea1c0de5ea1c000, %rax\n\t"
        "lea 1(%rax), %rcx\n\tlea 2(%rax), %rdx\n\tlea 3(%rax), %rsi\n\t"
        "lea 5(%rax), %r8\n\tlea 6(%rax), %r9\n\tlea 7(%rax), %r10\n\tlea 8(%rax), %r11\n\t"
        "call *%rbp\n\t"
        "mov %rax, 0(%rbx)\n\tmov %rcx, 8(%rbx)\n\tmov %rdx, 16(%rbx)\n\t"
        "mov %rsi, 24(%rbx)\n\tmov %rdi, 32(%rbx)\n\tmov %r8, 40(%rbx)\n\t"
        "mov %r9, 48(%rbx)\n\tmov %r10, 56(%rbx)\n\tmov %r11, 64(%rbx)\n\t"
        "mov %r12, %rax\n\tsub %rsp, %rax\n\tmov %rax, 72(%rbx)\n\t"
        "mov (%rsp), %rax\n\tmov %rax, 80(%rbx)\n\t"
        "mov %r12, %rsp\n\t"
        "pop %r12\n\tpop %rbp\n\tpop %rbx\n\t"
        "ret\n\t"
        ".popsection");
