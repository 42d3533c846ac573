// SPDX-License-Identifier: MIT
/* See live.h. Invariant: a thread that runs into an int3 of ours goes through
 * patch_breakpoint_handle() and nothing else before it returns. */
#include "tests/host/live.h"

#include "patching/breakpoint.h"
#include "patching/platform.h"
#include "tests/host/own_text.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static pthread_mutex_t patch_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool lock_is_held;
static __thread unsigned cpu_index;

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
        abort();
    }
    machine[REG_RIP] = (greg_t)registers.ip;
    machine[REG_RSP] = (greg_t)registers.sp;
    machine[REG_RAX] = (greg_t)registers.ax;
}

const char *live_initialize(void)
{
    struct sigaction action = {.sa_sigaction = handle_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};

    if (own_text_unprotect() != 0) {
        return "text cannot be made writable";
    }
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) != 0) {
        return "no membarrier(SYNC_CORE) here";
    }
    return sigaction(SIGTRAP, &action, NULL) == 0 ? NULL : "no SIGTRAP handler";
}

void live_enter_cpu(unsigned cpu)
{
    cpu_index = cpu;
}

bool platform_text_is_patchable(const void *address, size_t length)
{
    uint64_t start = (uint64_t)address;

    return start >= own_text_start() && start + length <= own_text_end();
}

void platform_text_open(void)
{
}

void platform_text_close(void)
{
}

bool platform_text_write(void *address, const void *bytes, size_t length)
{
    memcpy(address, bytes, length);
    return memcmp(address, bytes, length) == 0;
}

bool platform_sync_cores(struct platform_round *round)
{
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE) != 0) {
        platform_fatal("membarrier failed", NULL, 0, 0);
    }
    round->ipis = LIVE_CPU_MAX - 1;
    return true;
}

bool platform_text_write_quadword(uint64_t *address, uint64_t value)
{
    __atomic_store_n(address, value, __ATOMIC_RELAXED);
    return *address == value;
}

/* Threads are not parked here yet: said as a CPU that does not come. */
bool platform_stop_cpus(struct platform_round *round)
{
    round->silent_cpu = cpu_index;
    return false;
}

void platform_release_cpus(void)
{
    abort();
}

void platform_step_reached(enum patch_step step, enum patch_moment moment)
{
    (void)step;
    (void)moment;
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

unsigned platform_cpu_index(void)
{
    return cpu_index;
}

unsigned platform_cpu_count(void)
{
    return LIVE_CPU_MAX;
}

unsigned platform_cpu_possible(void)
{
    return LIVE_CPU_MAX;
}

uint64_t platform_time_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

uint64_t platform_ticks_to_ns(uint64_t ticks)
{
    return ticks;
}

uint64_t platform_wall_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool platform_text_needs_refresh(void)
{
    return false;
}

void platform_relax(void)
{
    __builtin_ia32_pause();
}

_Noreturn void platform_fatal_silent_cpu(unsigned cpu)
{
    platform_fatal("silent CPU", NULL, cpu, 0);
}

_Noreturn void platform_fatal(const char *what, const void *address, uint64_t expected,
                              uint64_t actual)
{
    fprintf(stderr, "fatal: %s at %p: expected %#lx, actual %#lx\n", what, address,
            (unsigned long)expected, (unsigned long)actual);
    abort();
}
