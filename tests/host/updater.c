// SPDX-License-Identifier: MIT
/* See updater.h. */
#include "tests/host/updater.h"

#include <stdint.h>
#include <ucontext.h>

enum { STACK_SIZE = 256 * 1024 };

struct updater updater;

static ucontext_t cpu, context;
static uint8_t stack[STACK_SIZE] __attribute__((aligned(16)));
static bool (*update)(void);
static bool has_ended;

static void run(void)
{
    updater.is_done = update();
    has_ended = true;
    swapcontext(&context, &cpu);
}

void updater_start(bool (*what)(void))
{
    updater = (struct updater){0};
    update = what;
    has_ended = false;
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = sizeof(stack);
    makecontext(&context, run, 0);
}

void updater_pause(void)
{
    updater.moments++;
    swapcontext(&context, &cpu);
}

void updater_go_on(unsigned moments)
{
    for (; moments > 0 && !has_ended; moments--) {
        swapcontext(&cpu, &context);
    }
}
