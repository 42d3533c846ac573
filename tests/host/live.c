// SPDX-License-Identifier: MIT
/* See live.h. Invariant: a thread that runs into an int3 of ours goes through
 * patch_breakpoint_handle() and nothing else before it returns. */
#include "tests/host/live.h"

#include "patching/breakpoint.h"
#include "patching/platform.h"
#include "tests/host/live_clock.h"
#include "tests/host/live_grace.h"
#include "tests/host/live_stop.h"
#include "tests/host/live_text.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t patch_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool lock_is_held;
static __thread unsigned cpu_index;

/* Written while no batch is in flight: */
static void (*hold)(enum patch_step step, enum patch_moment moment);
static bool (*stranger)(ucontext_t *context);
static bool (*request_work)(void);
static bool sync_is_enabled = true;

static long membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

static void handle_trap(int signal_number, siginfo_t *information, void *context)
{
    greg_t *machine = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct patch_registers registers = {
        .ip = (uint64_t)machine[REG_RIP],
        .sp = (uint64_t)machine[REG_RSP],
        .flags = (uint64_t)machine[REG_EFL],
        .ax = (uint64_t)machine[REG_RAX],
    };

    (void)signal_number;
    (void)information;
    if (!patch_breakpoint_handle(&registers)) {
        if (stranger == NULL || !stranger(context)) {
            platform_fatal("int3 of nobody", (const void *)(registers.ip - 1), 0, 0);
        }
        return;
    }
    machine[REG_RIP] = (greg_t)registers.ip;
    machine[REG_RSP] = (greg_t)registers.sp;
    machine[REG_EFL] = (greg_t)registers.flags;
    machine[REG_RAX] = (greg_t)registers.ax;
}

/* Returns NULL, or "@what: the meaning of errno; @cure". */
static const char *explain(bool done, const char *what, const char *cure)
{
    static char text[256];

    if (done) {
        return NULL;
    }
    snprintf(text, sizeof(text), "%s: %s; %s", what, strerror(errno), cure);
    return text;
}

/* The order matters: what may be refused comes before what changes the program. */
const char *live_initialize(void)
{
    const char *why_not =
        explain(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) == 0,
                "membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE)",
                "needs Linux 4.16 with CONFIG_MEMBARRIER, and a seccomp filter that allows it");

    if (why_not == NULL) {
        const char *what = live_text_adopt_own();

        why_not = explain(what == NULL, what, "needs an executable memfd (sysctl vm.memfd_noexec)");
    }
    if (why_not == NULL) {
        why_not =
            explain(live_signal_install(SIGTRAP, handle_trap) == 0 && live_stop_initialize() == 0,
                    "rt_sigaction", "needs a seccomp filter that allows it");
    }
    if (why_not == NULL) {
        live_clock_calibrate();
    }
    return why_not;
}

void live_enter_cpu(unsigned cpu)
{
    cpu_index = cpu;
    live_stop_register(cpu);
    live_grace_enter(cpu);
}

void live_leave_cpu(void)
{
    live_grace_leave(cpu_index);
    live_stop_unregister(cpu_index);
}

void live_set_hold(void (*new_hold)(enum patch_step step, enum patch_moment moment))
{
    hold = new_hold;
}

void live_set_stranger(bool (*new_stranger)(ucontext_t *context))
{
    stranger = new_stranger;
}

void live_set_worker(bool (*request)(void))
{
    request_work = request;
}

void live_set_sync(bool enabled)
{
    sync_is_enabled = enabled;
}

void platform_step_reached(enum patch_step step, enum patch_moment moment)
{
    if (hold != NULL) {
        hold(step, moment);
    }
}

bool platform_quadword_is_fetched_whole(void)
{
    return true;
}

bool platform_text_needs_refresh(void)
{
    return false;
}

/* Interrupts every CPU that runs a thread of this program just now; the others serialise when they
 * come back to one. */
bool platform_sync_cores(struct platform_round *round)
{
    if (sync_is_enabled && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) != 0) {
        platform_fatal("membarrier failed", NULL, 0, (uint64_t)errno);
    }
    round->ipis = live_stop_others();
    return true;
}

void platform_lock(void)
{
    pthread_mutex_lock(&patch_lock);
    lock_is_held = true;
}

void platform_unlock(void)
{
    lock_is_held = false;
    pthread_mutex_unlock(&patch_lock);
}

bool platform_lock_is_held(void)
{
    return lock_is_held;
}

bool platform_may_patch(void)
{
    return true;
}

bool platform_request_work(void)
{
    return request_work != NULL && request_work();
}

unsigned platform_cpu_index(void)
{
    return cpu_index;
}

unsigned platform_cpu_count(void)
{
    return live_stop_others() + 1;
}

unsigned platform_cpu_possible(void)
{
    return LIVE_CPU_MAX;
}

uint64_t platform_time_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

uint64_t platform_wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void platform_relax(void)
{
    __builtin_ia32_pause();
}

_Noreturn void platform_fatal(const char *what, const void *address, uint64_t expected,
                              uint64_t actual)
{
    fprintf(stderr, "fatal: %s at %p: expected %#lx, actual %#lx\n", what, address,
            (unsigned long)expected, (unsigned long)actual);
    abort();
}

_Noreturn void platform_fatal_silent_cpu(unsigned cpu)
{
    fprintf(stderr, "fatal: CPU %u is silent while text is half written\n", cpu);
    abort();
}
