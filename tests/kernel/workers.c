// SPDX-License-Identifier: MIT
/* Test threads by CPU. Invariant: see workers.h. */
#include "tests/kernel/workers.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/grace_period.h"
#include "kernel/run_queue.h"
#include "kernel/thread.h"

#define POLL_NS        100000ull
#define UNDISTURBED_NS 5000000000ull

static void worker_run(void *argument)
{
    struct workers *workers = argument;
    __atomic_fetch_add(&workers->arrived, 1, __ATOMIC_RELAXED);
    /* Acquire: pairs with the release in workers_go(). */
    while (!__atomic_load_n(&workers->go, __ATOMIC_ACQUIRE)) {
        thread_checkpoint();
        cpu_relax();
    }
    workers->work(workers->argument);
}

/* Waits for all that were created, then lets them go. */
static void workers_go(struct workers *workers)
{
    while (__atomic_load_n(&workers->arrived, __ATOMIC_RELAXED) < workers->count) {
        thread_sleep_ns(POLL_NS);
    }
    __atomic_store_n(&workers->go, true, __ATOMIC_RELEASE);
}

bool workers_start(struct workers *workers, bool here, void (*work)(void *argument), void *argument)
{
    *workers = (struct workers){.work = work, .argument = argument};
    bool complete = true;
    for (uint32_t cpu = 0; complete && cpu < cpu_present_count(); cpu++) {
        if (!cpu_index_is_online(cpu) || (cpu == cpu_index() && !here)) {
            continue;
        }
        struct thread *thread = thread_create("test worker", cpu, worker_run, workers);
        if (thread != NULL) {
            workers->threads[workers->count++] = thread;
        }
        complete = thread != NULL;
    }
    if (!complete) {
        __atomic_store_n(&workers->stop, true, __ATOMIC_RELAXED);
    }
    workers_go(workers);
    if (!complete) {
        workers_join(workers);
    }
    return complete;
}

bool workers_should_stop(const struct workers *workers)
{
    thread_checkpoint();
    /* Relaxed: pairs with the store in workers_join(); nothing else hangs on it. */
    return __atomic_load_n(&workers->stop, __ATOMIC_RELAXED);
}

void workers_join(struct workers *workers)
{
    __atomic_store_n(&workers->stop, true, __ATOMIC_RELAXED);
    for (uint32_t i = 0; i < workers->count; i++) {
        thread_join(workers->threads[i]);
    }
}

static bool is_undisturbed(struct run_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->lock);
    bool is_so = queue->sleepers == NULL && queue->first == NULL;

    spinlock_unlock_restore(&queue->lock, flags);
    return is_so;
}

void workers_wait_undisturbed(uint32_t cpu)
{
    uint64_t limit = clock_now_ns() + UNDISTURBED_NS;

    while (!is_undisturbed(run_queue_of(cpu)) && clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
}
