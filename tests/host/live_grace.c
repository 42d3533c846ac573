// SPDX-License-Identifier: MIT
/* Grace periods among threads that play CPUs, and the change lock. Invariant: a period ends only
 * after each CPU that was entered when it began has passed a checkpoint behind its begin, or was
 * left. Used by: live.c, patching/.
 *
 *     patcher                                 a CPU
 *     publishes; period = ++newest            in the old code; a signal handler on top of it
 *     waits                                   leaves it; checkpoint: outside = newest (release)
 *     sees outside >= period (acquire)        reads what was published: it came before newest
 *
 * A signal handler in progress keeps its thread from the next checkpoint, so it is waited for with
 * it; one on the caller's own thread there is none, for a handler does not wait for grace periods.
 */
#include "tests/host/live_grace.h"

#include "patching/platform.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#define GRACE_LIMIT_NS 60000000000ull
#define POLL_NS        20000

static pthread_mutex_t change_lock = PTHREAD_MUTEX_INITIALIZER;
static __thread bool change_lock_is_held;

/* One CPU, on a cache line of its own. */
static struct {
    _Alignas(64) uint64_t outside; /* atomic: newest period that saw it outside */
    uint64_t entered;              /* atomic: odd while a thread is this CPU */
} cpus[LIVE_CPU_MAX];

static uint64_t newest; /* atomic: number of the newest period */
static uint64_t limit_ns = GRACE_LIMIT_NS;
static __thread unsigned own_cpu;
static __thread bool is_cpu;

/* Acquire: what this CPU reads from now on is not older than the period. Release: pairs with
 * cpu_is_outside(). */
static void note_outside(unsigned cpu)
{
    __atomic_store_n(&cpus[cpu].outside, __atomic_load_n(&newest, __ATOMIC_ACQUIRE),
                     __ATOMIC_RELEASE);
}

void live_grace_enter(unsigned cpu)
{
    own_cpu = cpu;
    is_cpu = true;
    /* Sequentially consistent: pairs with the period's begin in platform_synchronize(). Either that
     * sees the CPU entered, or the CPU sees the period and what was published before it. */
    __atomic_fetch_add(&cpus[cpu].entered, 1, __ATOMIC_SEQ_CST);
    note_outside(cpu);
}

void live_grace_leave(unsigned cpu)
{
    is_cpu = false;
    /* Release: pairs with cpu_is_outside(). */
    __atomic_fetch_add(&cpus[cpu].entered, 1, __ATOMIC_RELEASE);
}

void live_checkpoint(void)
{
    if (is_cpu) {
        note_outside(own_cpu);
    }
}

void live_set_grace_limit(uint64_t ns)
{
    limit_ns = ns;
}

/* Whether CPU @cpu, @entered when the @period began, has been outside since. */
static bool cpu_is_outside(unsigned cpu, uint64_t entered, uint64_t period)
{
    return entered % 2 == 0 || __atomic_load_n(&cpus[cpu].entered, __ATOMIC_ACQUIRE) != entered ||
           __atomic_load_n(&cpus[cpu].outside, __ATOMIC_ACQUIRE) >= period;
}

static bool wait_for_cpu(unsigned cpu, uint64_t entered, uint64_t period, uint64_t start)
{
    const struct timespec pause = {.tv_nsec = POLL_NS};

    while (!cpu_is_outside(cpu, entered, period)) {
        uint64_t waited_ns = platform_ticks_to_ns(platform_time_ticks() - start);

        if (waited_ns > limit_ns) {
            fprintf(stderr, "grace period: CPU %u did not come to a checkpoint for %lu ms\n", cpu,
                    (unsigned long)(waited_ns / 1000000));
            return false;
        }
        nanosleep(&pause, NULL);
    }
    return true;
}

bool platform_synchronize(void)
{
    uint64_t entered[LIVE_CPU_MAX];
    uint64_t start = platform_time_ticks();
    struct platform_round round;

    if (platform_lock_is_held()) {
        platform_fatal("grace period waited for with the patch lock held", NULL, 0, 1);
    }
    if (!platform_sync_cores(&round)) {
        return false;
    }
    uint64_t period = __atomic_add_fetch(&newest, 1, __ATOMIC_SEQ_CST);

    for (unsigned i = 0; i < LIVE_CPU_MAX; i++) {
        entered[i] = __atomic_load_n(&cpus[i].entered, __ATOMIC_SEQ_CST);
    }
    for (unsigned i = 0; i < LIVE_CPU_MAX; i++) {
        if (!(is_cpu && i == own_cpu) && !wait_for_cpu(i, entered[i], period, start)) {
            return false;
        }
    }
    return true;
}

void platform_change_lock(void)
{
    if (platform_lock_is_held()) {
        platform_fatal("change lock taken with the patch lock held", NULL, 0, 1);
    }
    pthread_mutex_lock(&change_lock);
    change_lock_is_held = true;
}

void platform_change_unlock(void)
{
    change_lock_is_held = false;
    pthread_mutex_unlock(&change_lock);
}

bool platform_change_lock_is_held(void)
{
    return change_lock_is_held;
}
