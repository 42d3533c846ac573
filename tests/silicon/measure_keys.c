// SPDX-License-Identifier: MIT
/* What a static branch costs whoever passes it, beside a flag that is loaded and tested. Called by:
 * main.c. */
#include "tests/silicon/measure.h"

#include "patching/static_key.h"
#include "tests/silicon/loops.h"
#include "tests/silicon/report.h"

#define PASS(taken)                                                                                \
    do {                                                                                           \
        if (taken) {                                                                               \
            __asm__ volatile("incq %0" : "+m"(taken_count)::"cc");                                 \
        }                                                                                          \
        __asm__ volatile("" ::: "memory"); /* the flag is loaded anew each time */                 \
    } while (0)

DEFINE_STATIC_KEY_FALSE(silicon_key);

static bool flag;
static uint64_t taken_count;

__attribute__((noinline, aligned(64))) static void pass_key(uint64_t passes)
{
    for (; passes > 0; passes--) {
        PASS(static_branch_unlikely(&silicon_key));
    }
}

__attribute__((noinline, aligned(64))) static void pass_flag(uint64_t passes)
{
    for (; passes > 0; passes--) {
        PASS(__builtin_expect(flag, false));
    }
}

/* What both do when they are on. */
__attribute__((noinline, aligned(64))) static void pass_always(uint64_t passes)
{
    for (; passes > 0; passes--) {
        PASS(true);
    }
}

__attribute__((noinline, aligned(64))) static void pass_never(uint64_t passes)
{
    for (; passes > 0; passes--) {
        PASS(false);
    }
}

static bool key_set(bool enabled)
{
    return (enabled ? static_key_enable(&silicon_key) : static_key_disable(&silicon_key)) ==
           PATCH_OK;
}

void measure_keys(void)
{
    loops_begin("silicon.key", "Static keys: one pass, net of a loop whose branch is decided");
    loops_row("key off", pass_key, pass_never);
    flag = false;
    loops_row("load and test, off", pass_flag, pass_never);
    if (!key_set(true)) {
        report_note("not measured: the key could not be enabled");
        return;
    }
    loops_row("key on", pass_key, pass_always);
    flag = true;
    loops_row("load and test, on", pass_flag, pass_always);
    if (!key_set(false)) {
        report_note("the key could not be disabled");
    }
}
