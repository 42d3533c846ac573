// SPDX-License-Identifier: MIT
/* See watch.h. */
#include "tests/silicon/watch.h"

#include "patching/platform.h"
#include "tests/silicon/executor.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* One thread's file, kept open. */
struct watched {
    int thread;
    int file;
    uint64_t arrivals;
};

static struct watched patcher = {.file = -1};
static struct watched executor = {.file = -1};

static void watched_open(struct watched *watched, int thread)
{
    char path[64];

    if (watched->thread == thread) {
        return;
    }
    if (watched->file >= 0) {
        close(watched->file);
    }
    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", thread);
    watched->thread = thread;
    watched->file = thread != 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

/* Times the thread came onto a CPU; 0 if nobody counts. */
static uint64_t watched_read(const struct watched *watched)
{
    char text[96];
    unsigned long run;
    unsigned long waited;
    unsigned long arrivals;
    ssize_t length = watched->file >= 0 ? pread(watched->file, text, sizeof(text) - 1, 0) : 0;

    if (length <= 0) {
        return 0;
    }
    text[length] = '\0';
    return sscanf(text, "%lu %lu %lu", &run, &waited, &arrivals) == 3 ? arrivals : 0;
}

bool watch_is_possible(void)
{
    watched_open(&patcher, getpid());
    return watched_read(&patcher) != 0;
}

static void await_executor(void)
{
    uint64_t before = executor_pulse();

    while (executor_thread() != 0 && executor_pulse() == before) {
        platform_relax();
    }
}

void watch_begin(void)
{
    watched_open(&patcher, getpid());
    watched_open(&executor, executor_thread());
    await_executor();
    patcher.arrivals = watched_read(&patcher);
    executor.arrivals = watched_read(&executor);
}

bool watch_end(void)
{
    await_executor();
    return watched_read(&patcher) == patcher.arrivals &&
           watched_read(&executor) == executor.arrivals;
}
