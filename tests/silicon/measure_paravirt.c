// SPDX-License-Identifier: MIT
/* What the forms of a paravirt site cost (patching/paravirt.h): whether prefixes that only fill
 * cost anything, and what the calls do that stand there otherwise, the seed's `call; nop` among
 * them. Of what an op may be only that is measured which a process may do. Each loop is one piece
 * of assembler, the same but for what it repeats. Called by: main.c. */
#include "tests/silicon/measure.h"

#include "tests/silicon/loops.h"

#include <stdio.h>

enum { REPEATED = 16 }; /* an iteration, so that the loop's own instructions hide little */

/* incl 12(%rdi), as a spinlock is released; each time of another one, or the row would be about
 * stores that wait for each other. */
static uint8_t locks[REPEATED][64] __attribute__((aligned(64)));

/* What an op's function is, out of line; and a word to call it through. */
__asm__(".pushsection .text\n\t"
        ".balign 16, 0xcc\n"
        "paravirt_function:\n\t"
        "incl 12(%rdi)\n\t"
        "ret\n\t"
        ".popsection\n\t"
        ".pushsection .data\n\t"
        ".balign 8\n"
        "paravirt_slot:\n\t"
        ".quad paravirt_function\n\t"
        ".popsection");

/* Below the red zone: some push. */
#define LOOP(name, text)                                                                           \
    __attribute__((noinline, aligned(64))) static void name(uint64_t iterations)                   \
    {                                                                                              \
        void *lock = locks;                                                                        \
                                                                                                   \
        __asm__ volatile("sub $128, %%rsp\n\t"                                                     \
                         ".balign 64\n"                                                            \
                         "1:\n\t"                                                                  \
                         ".rept %c[repeated]\n\t" text "\n\t"                                      \
                         "add $64, %[lock]\n\t"                                                    \
                         ".endr\n\t"                                                               \
                         "sub $64 * %c[repeated], %[lock]\n\t"                                     \
                         "dec %[iterations]\n\t"                                                   \
                         "jnz 1b\n\t"                                                              \
                         "add $128, %%rsp"                                                         \
                         : [iterations] "+r"(iterations), [lock] "+D"(lock)                        \
                         : [repeated] "i"(REPEATED)                                                \
                         : "rax", "memory", "cc");                                                 \
    }

#define FILL(count)                                                                                \
    ".rept " #count "\n\t"                                                                         \
    ".byte 0x2e\n\t"                                                                               \
    ".endr\n\t"
#define FILLED(name, text, more)                                                                   \
    LOOP(name##_0, text more)                                                                      \
    LOOP(name##_1, FILL(1) text more)                                                              \
    LOOP(name##_2, FILL(2) text more)                                                              \
    LOOP(name##_3, FILL(3) text more)                                                              \
    LOOP(name##_4, FILL(4) text more)                                                              \
    LOOP(name##_5, FILL(5) text more)

LOOP(empty, "")
FILLED(nop, "nop", "")
FILLED(incl, "incl 12(%%rdi)", "")
FILLED(pushfq, "pushfq", "\n\tpopq %%rax")
LOOP(call_direct, "call paravirt_function")
LOOP(call_filled, FILL(1) "call paravirt_function")
LOOP(call_and_nop, "call paravirt_function\n\tnop")
LOOP(call_indirect, "call *paravirt_slot(%%rip)")

#define FILLS(name)                                                                                \
    {                                                                                              \
        name##_0, name##_1, name##_2, name##_3, name##_4, name##_5                                 \
    }
enum { FILL_COUNTS = 6 };
static const struct {
    const char *what;
    unsigned length; /* without fill; a site has 6 bytes */
    void (*loops[FILL_COUNTS])(uint64_t);
} filled[] = {
    {"nop", 1, FILLS(nop)},
    {"pushfq; pop", 1, FILLS(pushfq)},
    {"incl 12(%rdi)", 3, FILLS(incl)},
};

static const struct {
    const char *what;
    void (*loop)(uint64_t);
} calls[] = {
    {"call of incl: 5 bytes", call_direct},
    {"call of incl: direct, cs call", call_filled},
    {"call of incl: call, nop", call_and_nop},
    {"call of incl: indirect", call_indirect},
};

void measure_paravirt(void)
{
    char what[64];

    loops_begin("silicon.paravirt", "Paravirt sites: one of them, 16 in a row, net of the loop");
    for (unsigned i = 0; i < sizeof(filled) / sizeof(filled[0]); i++) {
        for (unsigned fill = 0; fill < FILL_COUNTS; fill++) {
            bool is_site = fill + filled[i].length == 6;

            snprintf(what, sizeof(what), "%s, fill %u%s", filled[i].what, fill,
                     is_site ? ": inline" : "");
            loops_row_of_parts(what, filled[i].loops[fill], empty, REPEATED);
        }
    }
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        loops_row_of_parts(calls[i].what, calls[i].loop, empty, REPEATED);
    }
}
