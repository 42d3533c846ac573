// SPDX-License-Identifier: MIT
/* Test threads by CPU. Invariant: see workers.h. */
#include "tests/kernel/workers.h"

#include "kernel/thread.h"

bool workers_start(struct workers *workers, bool here, void (*work)(void *argument), void *argument)
{
    *workers = (struct workers){0};
    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (!cpu_index_is_online(cpu) || (cpu == cpu_index() && !here)) {
            continue;
        }
        struct thread *thread = thread_create("test worker", cpu, work, argument);
        if (thread == NULL) {
            workers_join(workers);
            return false;
        }
        workers->threads[workers->count++] = thread;
    }
    return true;
}

bool workers_should_stop(const struct workers *workers)
{
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
