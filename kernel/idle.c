// SPDX-License-Identifier: MIT
/* Idle routines; see idle.h. Invariant: each turns interrupts on before it returns, and returns
 * soon after one was taken, so that the idle loop looks at its run queue again. */
#include "kernel/idle.h"

#include "arch/interrupts.h"
#include "kernel/command_line.h"
#include "kernel/log.h"

void idle_halt(void)
{
    pv_safe_halt(); /* a wake-up between the test and the halt is not lost */
}

/* Looks again at once: wakes faster, and keeps the CPU (under QEMU, a host CPU) busy. */
static void idle_poll(void)
{
    interrupts_enable();
    cpu_relax();
}

DEFINE_STATIC_CALL(cpu_idle, idle_halt);
STATIC_CALL_CHOICE(cpu_idle, idle_halt);
STATIC_CALL_CHOICE(cpu_idle, idle_poll);

void idle_initialize(void)
{
    static const char *const names[] = {"halt", "poll", NULL};
    uint64_t choice = 0;
    struct patch_error error = {0};

    command_line_get_choice("idle", names, &choice);
    if (static_call_update(cpu_idle, choice == 0 ? idle_halt : idle_poll, &error) != PATCH_OK) {
        log_warning("idle=%s: %s", names[choice], patch_status_text(error.status));
    }
}
