// SPDX-License-Identifier: MIT
/* What the forms of a call cost: direct, indirect, through a retpoline, and static calls as
 * patching leaves them, in line (the call itself is the site) and out of line (a trampoline's jump
 * is). Always the same target, so every branch is predicted but those that prevent it. Called by:
 * main.c. */
#include "tests/silicon/measure.h"

#include "patching/instruction.h"
#include "patching/platform.h"
#include "tests/silicon/loops.h"
#include "tests/silicon/report.h"

/* void NAME(unsigned iterations): BODY so many times; at least once. */
#define CALL_LOOP(name, body)                                                                      \
    void name(unsigned iterations);                                                                \
    __asm__(".pushsection .text\n\t"                                                               \
            ".balign 64\n" #name ":\n\t"                                                           \
            ".balign 32\n"                                                                         \
            "1:\t" body "dec %edi\n\t"                                                             \
            "jnz 1b\n\t"                                                                           \
            "ret\n\t"                                                                              \
            ".popsection")

/* A function whose bytes are @body. */
#define CALL_PART(name, body)                                                                      \
    extern const uint8_t name[];                                                                   \
    __asm__(".pushsection .text\n\t"                                                               \
            ".balign 32\n" #name ":\n\t" body ".popsection")

#define NOP5 ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n\t"

extern void (*calls_pointer)(void);

CALL_PART(calls_target, "ret\n\t");
CALL_PART(calls_trampoline, NOP5 "int3\n\t");
CALL_PART(calls_retpoline, "call 2f\n"
                           "1:\tpause\n\t"
                           "lfence\n\t"
                           "jmp 1b\n"
                           "2:\tmov %r11, (%rsp)\n\t"
                           "ret\n\t");
CALL_PART(calls_fence, "lfence\n\t"
                       "jmp *%r11\n\t");

CALL_LOOP(calls_empty, "");
CALL_LOOP(calls_direct, "call calls_target\n\t");
CALL_LOOP(calls_indirect, "call *calls_pointer(%rip)\n\t");
CALL_LOOP(calls_through_retpoline, "mov calls_pointer(%rip), %r11\n\tcall calls_retpoline\n\t");
CALL_LOOP(calls_through_fence, "mov calls_pointer(%rip), %r11\n\tcall calls_fence\n\t");
CALL_LOOP(calls_in_line, ".globl calls_site\ncalls_site:\t" NOP5);
CALL_LOOP(calls_out_of_line, "call calls_trampoline\n\t");

extern const uint8_t calls_site[];
void (*calls_pointer)(void) = (void (*)(void))(uintptr_t)calls_target;

/* Turns the nop5 at @address into @kind to calls_target, or back. */
static bool redirect(const uint8_t *address, enum instruction_kind kind, bool back)
{
    static struct patch_batch batch;
    const struct instruction forms[2] = {
        {.kind = INSTRUCTION_NOP, .length = INSN_CALL32_LENGTH},
        {.kind = kind, .length = INSN_CALL32_LENGTH, .target = (uint64_t)calls_target},
    };
    uint8_t bytes[2][PATCH_SITE_LENGTH_MAX];

    for (unsigned i = 0; i < 2; i++) {
        if (instruction_encode(&forms[i], (uint64_t)address, bytes[i]) != PATCH_OK) {
            return false;
        }
    }
    patch_batch_initialize(&batch, "call form");
    return patch_batch_add(&batch, (uint64_t)address, bytes[back], bytes[!back],
                           INSN_CALL32_LENGTH) == PATCH_OK &&
           patch_batch_apply(&batch) == PATCH_OK;
}

/* A static call, patched in and out again. */
static void static_call_row(const char *what, void (*loop)(unsigned), const uint8_t *site,
                            enum instruction_kind kind)
{
    if (!redirect(site, kind, false)) {
        report_note("not measured: %s: the site could not be patched", what);
        return;
    }
    loops_row(what, loop, calls_empty);
    if (!redirect(site, kind, true)) {
        platform_fatal("a call form could not be taken back", site, 0, 0);
    }
}

void measure_calls(void)
{
    loops_begin("silicon.call", "Calls: one call and return, net of the loop");
    loops_row("direct", calls_direct, calls_empty);
    static_call_row("static, in line", calls_in_line, calls_site, INSTRUCTION_CALL);
    static_call_row("static, out of line", calls_out_of_line, calls_trampoline, INSTRUCTION_JUMP);
    loops_row("indirect, predicted", calls_indirect, calls_empty);
    loops_row("lfence; jmp", calls_through_fence, calls_empty);
    loops_row("retpoline", calls_through_retpoline, calls_empty);
}
