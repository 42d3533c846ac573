// SPDX-License-Identifier: MIT
/* Probes of paravirt ops; see paravirt_probes.h. */
#include "tests/kernel/paravirt_probes.h"

#include "kernel/panic.h"

#include <stdbool.h>
#include <stddef.h>

#define CANARY(register) (0xc0de5afe12345678ull + 0x0101010101010101ull * (register))

/* Behind the site: what a STACKED op has left goes into the word below it (the address of a pop to
 * the stack is that behind the pop: Intel SDM volume 2, "POP"). */
#define FETCH_NOTHING
#define FETCH_TAKES
#define FETCH_TAKES2
#define FETCH_RETURNS
#define FETCH_STACKED "popq (%%rsp)\n\t"

/* The stack at the site: PROBE_TOP, the probe, what C wants kept. No flag is touched behind it. */
#define PROBE_TEXT(name, fetch)                                                                    \
    "push %%rbp\n\tpush %%rbx\n\tpush %%r12\n\tpush %%r13\n\tpush %%r14\n\tpush %%r15\n\t"         \
    "push %%rdi\n\tpush %[top]\n\t"                                                                \
    "mov 0(%%rdi), %%rax\n\tmov 8(%%rdi), %%rcx\n\tmov 16(%%rdi), %%rdx\n\t"                       \
    "mov 24(%%rdi), %%rbx\n\tmov 32(%%rdi), %%rbp\n\tmov 40(%%rdi), %%rsi\n\t"                     \
    "mov 56(%%rdi), %%r8\n\tmov 64(%%rdi), %%r9\n\tmov 72(%%rdi), %%r10\n\t"                       \
    "mov 80(%%rdi), %%r11\n\tmov 88(%%rdi), %%r12\n\tmov 96(%%rdi), %%r13\n\t"                     \
    "mov 104(%%rdi), %%r14\n\tmov 112(%%rdi), %%r15\n\tmov 48(%%rdi), %%rdi\n\t" PARAVIRT_SITE(    \
        pv_ops) ".pushsection .rodata\n\t.balign 8\nprobe_site_" name                              \
                ":\t.quad 771b\n\t.popsection\n\t" fetch "xchg %%rdi, 8(%%rsp)\n\t"                \
                "mov %%rax, 0(%%rdi)\n\tmov %%rcx, 8(%%rdi)\n\tmov %%rdx, 16(%%rdi)\n\t"           \
                "mov %%rbx, 24(%%rdi)\n\tmov %%rbp, 32(%%rdi)\n\tmov %%rsi, 40(%%rdi)\n\t"         \
                "mov %%r8, 56(%%rdi)\n\tmov %%r9, 64(%%rdi)\n\tmov %%r10, 72(%%rdi)\n\t"           \
                "mov %%r11, 80(%%rdi)\n\tmov %%r12, 88(%%rdi)\n\tmov %%r13, 96(%%rdi)\n\t"         \
                "mov %%r14, 104(%%rdi)\n\tmov %%r15, 112(%%rdi)\n\t"                               \
                "popq 120(%%rdi)\n\tpopq 48(%%rdi)\n\t"                                            \
                "pop %%r15\n\tpop %%r14\n\tpop %%r13\n\tpop %%r12\n\tpop %%rbx\n\tpop %%rbp\n\t"

_Static_assert(offsetof(struct probe, registers) == 0 && PROBE_RDI == 6 && PROBE_R15 == 14 &&
                   offsetof(struct probe, top) == 120,
               "PROBE_TEXT");

#define PROBE_FUNCTION(name, group, keeping, shape, ...)                                           \
    extern const uint64_t probe_site_##name;                                                       \
    static __attribute__((noinline)) void probe_##name(struct probe *probe)                        \
    {                                                                                              \
        __asm__ volatile(PROBE_TEXT(#name, FETCH_##shape)                                          \
                         : "+D"(probe), "+r"(paravirt_stack_pointer)                               \
                         : PARAVIRT_NUMBERS(name), [top] "i"(PROBE_TOP)                            \
                         : "rax", "rsi", PARAVIRT_CALL_REGISTERS);                                 \
    }
PARAVIRT_TABLE(PROBE_FUNCTION)

#define KEPT_BY_CALLS                                                                              \
    (1u << PROBE_RBX | 1u << PROBE_RBP | 1u << PROBE_R12 | 1u << PROBE_R13 | 1u << PROBE_R14 |     \
     1u << PROBE_R15)
#define KEPT_BY_KEEPS ((1u << PROBE_REGISTERS) - 1)

static const struct {
    void (*run)(struct probe *probe);
    unsigned kept; /* bit per enum probe_register */
    bool is_stacked;
    const uint64_t *site;
} probes[PARAVIRT_OP_COUNT] = {
#define IS_STACKED_NOTHING false
#define IS_STACKED_TAKES   false
#define IS_STACKED_TAKES2  false
#define IS_STACKED_RETURNS false
#define IS_STACKED_STACKED true
#define PROBE_ENTRY(name, group, keeping, shape, ...)                                              \
    [PARAVIRT_##name] = {probe_##name, KEPT_BY_##keeping, IS_STACKED_##shape, &probe_site_##name},
    PARAVIRT_TABLE(PROBE_ENTRY)};

static const char *const register_faults[PROBE_REGISTERS] = {
    "loses rax", "loses rcx", "loses rdx", "loses rbx", "loses rbp",
    "loses rsi", "loses rdi", "loses r8",  "loses r9",  "loses r10",
    "loses r11", "loses r12", "loses r13", "loses r14", "loses r15",
};

const char *paravirt_probe(enum paravirt_op_id op, struct probe *probe)
{
    struct probe before;

    for (unsigned i = 0; i < PROBE_REGISTERS; i++) {
        bool is_operand = i == PROBE_RDI || i == PROBE_RSI;

        before.registers[i] = is_operand ? probe->registers[i] : CANARY(i);
        probe->registers[i] = before.registers[i];
    }
    probes[op].run(probe);
    for (unsigned i = 0; i < PROBE_REGISTERS; i++) {
        if ((probes[op].kept >> i & 1) != 0 && probe->registers[i] != before.registers[i]) {
            return register_faults[i];
        }
    }
    return probes[op].is_stacked || probe->top == PROBE_TOP ? NULL : "loses the stack";
}

const struct paravirt_site *paravirt_probe_site(enum paravirt_op_id op)
{
    const struct paravirt_site *site = paravirt_sites_start;

    while (site < paravirt_sites_end && site->address != *probes[op].site) {
        site++;
    }
    if (site == paravirt_sites_end || site->op != (uint64_t)op) {
        panic("paravirt op %s: the probe's site is not in the table", paravirt_ops[op].name);
    }
    return site;
}
