// SPDX-License-Identifier: MIT
/* The kernel as host of patching/: implements patching/platform.h. Invariant: text is written only
 * with the patch lock held (or on the one CPU of early boot). What the breakpoint handler calls,
 * and what runs while a site may be half written, is in patch_platform_nopatch.c. */
#include "patching/platform.h"

#include "arch/clock.h"
#include "arch/features.h"
#include "arch/interrupts.h"
#include "arch/ipi.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/stop_cpus.h"
#include "kernel/grace_period.h"
#include "kernel/mutex.h"
#include "kernel/panic.h"
#include "kernel/patch_hold.h"
#include "kernel/thread.h"

static struct mutex patch_mutex = MUTEX("patch lock");
static struct mutex change_mutex = MUTEX("change lock"); /* before patch_mutex */

bool platform_text_is_patchable(const void *address, size_t length)
{
    uint64_t first = (uint64_t)address;
    uint64_t end = first + length;
    if (end < first || first < (uint64_t)text_start || end > (uint64_t)text_end) {
        return false;
    }
    return end <= (uint64_t)nopatch_start || first >= (uint64_t)nopatch_end;
}

/* QEMU's TCG translates from memory byte by byte, in a thread of its own for each CPU: the store of
 * another CPU may come between two of these reads. Seen: nop5 0f 1f 44 00 00 turning into jmp
 * e9 04 00 00 00 was executed as 0f 1f 00, 00 00. int3 is not concerned: what is behind one is not
 * read, and no translation spans the sync that follows. */
bool platform_quadword_is_fetched_whole(void)
{
    return !cpu_is_emulated();
}

bool platform_text_needs_refresh(void)
{
    return cpu_is_emulated();
}

bool platform_sync_cores(struct platform_round *round)
{
    return sync_cores_try(&round->ipis, &round->silent_cpu);
}

bool platform_stop_cpus(struct platform_round *round)
{
    return stop_cpus(&round->ipis, &round->silent_cpu);
}

void platform_release_cpus(void)
{
    release_cpus();
}

void platform_step_reached(enum patch_step step, enum patch_moment moment)
{
    patch_hold_reach(step, moment);
}

void platform_lock(void)
{
    mutex_lock(&patch_mutex);
}

void platform_unlock(void)
{
    mutex_unlock(&patch_mutex);
}

bool platform_lock_is_held(void)
{
    return mutex_is_held(&patch_mutex);
}

void platform_change_lock(void)
{
    if (platform_lock_is_held()) {
        panic("change lock: taken with the patch lock held, which comes behind it");
    }
    mutex_lock(&change_mutex);
}

void platform_change_unlock(void)
{
    mutex_unlock(&change_mutex);
}

bool platform_change_lock_is_held(void)
{
    return mutex_is_held(&change_mutex);
}

bool platform_synchronize(void)
{
    if (platform_lock_is_held()) {
        panic("grace period: waited for with the patch lock held");
    }
    return synchronize_tasks();
}

bool platform_may_patch(void)
{
    struct cpu *cpu = this_cpu();
    if (cpu->current == NULL) {
        return cpu_count() == 1; /* early boot: nobody else could run into half-written text */
    }
    return interrupts_enabled() && cpu->preempt_count == 0 && cpu->interrupt_depth == 0;
}

unsigned platform_cpu_count(void)
{
    return cpu_count();
}

uint64_t platform_ticks_to_ns(uint64_t ticks)
{
    return clock_ticks_to_ns(ticks);
}

uint64_t platform_wall_ns(void)
{
    return clock_wall_ns();
}
