// SPDX-License-Identifier: MIT
/* See single_step.h. */
#include "tests/host/single_step.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define TRAP_FLAG 0x100

static void (*at_every_step)(void);
static void (*at_breakpoint)(ucontext_t *context);
static unsigned steps;
static bool stop;

static void handle_trap(int signal_number, siginfo_t *information, void *context)
{
    (void)signal_number;
    if (information->si_code != TRAP_TRACE && at_breakpoint != NULL) {
        at_breakpoint(context);
        return;
    }
    steps++;
    at_every_step();
    if (stop) {
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    }
}

void single_step_set_breakpoint(void (*callback)(ucontext_t *context))
{
    at_breakpoint = callback;
}

void single_step_stop(void)
{
    stop = true;
}

void single_step_begin(void (*callback)(void))
{
    const struct sigaction action = {.sa_sigaction = handle_trap, .sa_flags = SA_SIGINFO};

    steps = 0;
    at_every_step = callback;
    stop = false;
    sigaction(SIGTRAP, &action, NULL);
    __asm__ volatile("pushf\n\torq $0x100, (%%rsp)\n\tpopf" ::: "memory", "cc");
}

void single_step_end(void)
{
    __asm__ volatile("pushf\n\tandq $~0x100, (%%rsp)\n\tpopf" ::: "memory", "cc");
}

unsigned single_step_count(void)
{
    return steps;
}
