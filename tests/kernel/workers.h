// SPDX-License-Identifier: MIT
/* Threads for tests: one on each CPU, or on each but the caller's. Invariant: no worker begins its
 * work before all have arrived, so that they really meet; workers_join() returns when every one has
 * ended and is freed. Callers: the suites of this room. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arch/percpu.h"

struct workers {
    void (*work)(void *argument);
    void *argument;
    struct thread *threads[CPU_MAX];
    uint32_t count;
    uint32_t arrived; /* atomic */
    bool go;          /* atomic: set when all have arrived */
    bool stop;        /* atomic: set by workers_join(), polled through workers_should_stop() */
};

/* Starts work(argument) on every online CPU, the caller's too if @here. Returns false, and has
 * stopped what it started, when memory is short. Context: thread. */
bool workers_start(struct workers *workers, bool here, void (*work)(void *argument),
                   void *argument);

/* Whether workers_join() was called. A checkpoint (kernel/grace_period.h): asked in nobody's
 * callback. */
bool workers_should_stop(const struct workers *workers);

/* Asks all to stop and waits for them. */
void workers_join(struct workers *workers);

/* Waits until nobody on @cpu has a deadline, and nobody waits there for his turn, for a few seconds
 * at most: the choice worker, held while it slept (kernel/choice_worker.h), still takes the tick
 * that wakes it, and perhaps one for its turn. For those who compare ticks. */
void workers_wait_undisturbed(uint32_t cpu);
