// SPDX-License-Identifier: MIT
/* Threads for tests: one on each CPU, or on each but the caller's. Invariant: workers_join()
 * returns when every one has ended and is freed. Callers: the suites of this room. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arch/percpu.h"

struct workers {
    struct thread *threads[CPU_MAX];
    uint32_t count;
    bool stop; /* atomic: set by workers_join(), polled through workers_should_stop() */
};

/* Starts work(argument) on every online CPU, the caller's too if @here. Returns false, and has
 * stopped what it started, when memory is short. */
bool workers_start(struct workers *workers, bool here, void (*work)(void *argument),
                   void *argument);

bool workers_should_stop(const struct workers *workers);

/* Asks all to stop and waits for them. */
void workers_join(struct workers *workers);
