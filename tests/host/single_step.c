// SPDX-License-Identifier: MIT
/* See single_step.h. */
#include "tests/host/single_step.h"

#include <signal.h>
#include <stddef.h>

static void (*at_every_step)(void);
static unsigned steps;

static void handle_step(int signal_number)
{
    (void)signal_number;
    steps++;
    at_every_step();
}

void single_step_begin(void (*callback)(void))
{
    steps = 0;
    at_every_step = callback;
    signal(SIGTRAP, handle_step);
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
