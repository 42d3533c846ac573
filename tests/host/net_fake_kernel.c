// SPDX-License-Identifier: MIT
/* A kernel for net/ as a Linux program; see net_fake_kernel.h. */
#include "tests/host/net_fake_kernel.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/clock.h"
#include "arch/paging.h"
#include "kernel/cross_call.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/page_allocator.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "kernel/wait_queue.h"
#include "net/housekeeping.h"

__thread bool net_fake_interrupts_are_off;
__thread unsigned net_fake_cpu;
unsigned net_fake_cpu_count = 1;
uint64_t net_fake_now_ns;
char net_fake_log[8192];
void (*net_fake_on_wait)(void);
void (*net_fake_on_look)(void);
size_t net_fake_memory_count;

uint64_t clock_now_ns(void)
{
    return __atomic_load_n(&net_fake_now_ns, __ATOMIC_RELAXED);
}

struct clock_scale clock_scale = {.tsc_hz = 1000000000};

static void somebody_looks(void)
{
    if (net_fake_on_look != NULL) {
        net_fake_on_look();
    }
}

void log_write(enum log_level level, const char *format, ...)
{
    size_t used = strlen(net_fake_log);
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    vsnprintf(net_fake_log + used, sizeof(net_fake_log) - used, format, arguments);
    va_end(arguments);
    used = strlen(net_fake_log);
    snprintf(net_fake_log + used, sizeof(net_fake_log) - used, "\n");
    somebody_looks();
}

void panic(const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "panic: ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "\n");
    abort();
}

void spinlock_report_stuck(const struct spinlock *lock)
{
    panic("%s is stuck", lock->name);
}

void spinlock_report_interrupts(const struct spinlock *lock)
{
    panic("%s is taken in the wrong context", lock->name);
}

uint64_t page_allocate(void)
{
    return page_allocate_run(1);
}

uint64_t page_allocate_run(size_t pages)
{
    void *run = aligned_alloc(PAGE_SIZE, pages * PAGE_SIZE);

    if (run == NULL) {
        return 0;
    }
    memset(run, 0, pages * PAGE_SIZE);
    net_fake_memory_count++;
    return virtual_to_physical(run);
}

void page_free(uint64_t physical)
{
    page_free_run(physical, 1);
}

void page_free_run(uint64_t physical, size_t pages)
{
    (void)pages;
    net_fake_memory_count--;
    free(physical_to_virtual(physical));
}

void *heap_allocate(size_t bytes)
{
    net_fake_memory_count++;
    return calloc(1, bytes);
}

void heap_free(void *block)
{
    net_fake_memory_count -= block != NULL;
    free(block);
}

struct thread *thread_current(void)
{
    return NULL;
}

static void something_happens(void)
{
    if (net_fake_on_wait != NULL) {
        net_fake_on_wait();
    }
}

void thread_sleep_ns(uint64_t duration_ns)
{
    something_happens();
    __atomic_fetch_add(&net_fake_now_ns, duration_ns, __ATOMIC_RELAXED);
}

static bool ask_under_lock(struct wait_queue *queue, bool (*condition)(void *argument),
                           void *argument)
{
    uint64_t flags = spinlock_lock_save(&queue->lock);
    bool is_true = condition(argument);

    spinlock_unlock_restore(&queue->lock, flags);
    return is_true;
}

bool wait_queue_wait_until_deadline(struct wait_queue *queue, bool (*condition)(void *argument),
                                    void *argument, uint64_t deadline_ns)
{
    if (net_fake_interrupts_are_off) {
        panic("a wait with interrupts off");
    }
    if (ask_under_lock(queue, condition, argument)) {
        return true;
    }
    something_happens();
    if (ask_under_lock(queue, condition, argument)) {
        return true;
    }
    net_fake_now_ns = deadline_ns > net_fake_now_ns ? deadline_ns : net_fake_now_ns;
    return false;
}

void wait_queue_wake_one(struct wait_queue *queue)
{
    (void)queue;
}

void wait_queue_wake_all(struct wait_queue *queue)
{
    (void)queue;
}

/* There are none here. */
void interrupt_handlers_wait(void)
{
}

/* The thread that looks after ARP and DHCP: tests are that. */
void net_housekeeping_wake(void)
{
}

void mutex_lock(struct mutex *mutex)
{
    somebody_looks();
    if (mutex->owner != NULL) {
        panic("mutex %s is taken twice", mutex->waiters.lock.name);
    }
    mutex->owner = (struct thread *)mutex;
}

void mutex_unlock(struct mutex *mutex)
{
    mutex->owner = NULL;
    somebody_looks();
}
