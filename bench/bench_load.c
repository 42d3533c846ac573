// SPDX-License-Identifier: MIT
/* Busy threads on every other CPU. Invariant: between start and stop every other CPU runs work() in
 * a loop and does nothing else but take interrupts. */
#include "arch/instructions.h"
#include "bench/bench.h"
#include "kernel/grace_period.h"
#include "kernel/thread.h"

const char *const bench_load_names[] = {"idle", "busy", NULL};

static struct load {
    uint32_t (*work)(void);
    bool stop;        /* atomic; partner: the loop in load_thread() */
    uint32_t running; /* atomic */
    struct thread *threads[CPU_MAX];
    uint64_t rounds[CPU_MAX];
} load;

static void load_thread(void *argument)
{
    (void)argument;
    uint64_t rounds = 0;
    __atomic_fetch_add(&load.running, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&load.stop, __ATOMIC_RELAXED)) {
        load.work();
        thread_checkpoint();
        rounds++;
        cpu_relax();
    }
    load.rounds[cpu_index()] = rounds;
}

bool bench_load_start(uint32_t (*work)(void))
{
    uint32_t started = 0;
    load = (struct load){.work = work};
    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu == cpu_index() || !cpu_index_is_online(cpu)) {
            continue;
        }
        load.threads[cpu] = thread_create("bench load", cpu, load_thread, NULL);
        if (load.threads[cpu] == NULL) {
            bench_load_stop();
            return false;
        }
        started++;
    }
    while (__atomic_load_n(&load.running, __ATOMIC_ACQUIRE) < started) {
        thread_sleep_ns(100000);
    }
    return true;
}

uint64_t bench_load_stop(void)
{
    uint64_t rounds = 0;
    __atomic_store_n(&load.stop, true, __ATOMIC_RELAXED);
    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (load.threads[cpu] != NULL) {
            thread_join(load.threads[cpu]);
            rounds += load.rounds[cpu];
        }
    }
    return rounds;
}
