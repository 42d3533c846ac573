// SPDX-License-Identifier: MIT
/* Preemptive kernel threads, one run queue a CPU, round robin.
 *
 *   struct thread *worker = thread_create("worker", 2, work, &job);
 *   ...
 *   thread_join(worker);
 *
 * Rules:
 * - A thread stays on its CPU until it moves itself with thread_pin(), so this_cpu() is stable
 *   across preemption.
 * - schedule() is entered with interrupts off and preempt_count 0; blocking with a spinlock held is
 *   a panic, not a deadlock.
 * - The tick runs only on a CPU with two or more runnable threads; a sleeper arms the timer for its
 *   own deadline and for nothing else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/percpu.h"

#define THREAD_NAME_MAX 24
#define THREAD_ANY_CPU  UINT32_MAX
#define THREAD_SLICE_NS 10000000ull

enum thread_state { THREAD_RUNNABLE, THREAD_BLOCKED, THREAD_SLEEPING, THREAD_DEAD };

struct thread {
    uint64_t saved_stack_pointer; /* arch/context.h */
    char name[THREAD_NAME_MAX];
    uint32_t id;
    void (*entry)(void *argument);
    uint64_t stack_top; /* 0 for idle threads: they run on their CPU's boot stack */
    /* under the run-queue lock of its CPU: */
    uint32_t cpu;
    enum thread_state state;
    struct thread *run_next;
    bool is_in_sleepers; /* SLEEPING, or BLOCKED with a deadline */
    struct thread *sleep_next;
    uint64_t wake_ns;
    uint64_t started_ns; /* when it last got the CPU */
    uint64_t run_ns;     /* CPU time up to then */
    uint64_t switches;   /* times it got the CPU */
    bool is_preempted;   /* when it last lost the CPU, that was against its will */
    /* with the key sched_stats on, else 0: */
    uint64_t ready_ns;    /* when it last became runnable */
    uint64_t wait_ns;     /* total time runnable but not running */
    uint64_t preemptions; /* times it lost the CPU against its will */
    /* atomic, written by the CPU it runs on: newest grace period that saw it outside
     * (kernel/grace_period.h) */
    uint64_t outside_period;
    /* under the lock of the wait queue it is in: */
    struct thread *wait_next;
    /* under the thread-list lock: */
    struct thread *list_next;
};

/* Makes the caller, the boot context of the boot CPU, its idle thread. Context: boot, once, after
 * heap and per-CPU data. */
void thread_initialize(void);

/* The same for an application processor, whose idle thread was allocated by
 * thread_prepare_cpu(). Context: the CPU itself, interrupts off. */
bool thread_prepare_cpu(uint32_t cpu);
void thread_initialize_secondary(void);

/* Runs threads for ever, halting while there are none. Context: the idle thread of each CPU. */
_Noreturn void thread_idle_loop(void);

/* Starts entry(argument) on @cpu, or with THREAD_ANY_CPU on the CPU with the shortest queue.
 * Returns NULL when memory is short or @cpu is not online. The caller owns the result and must
 * thread_join() it, or never let it end. Context: thread. */
struct thread *thread_create(const char *name, uint32_t cpu, void (*entry)(void *argument),
                             void *argument);

/* Waits until @thread has ended, then frees it. Once a thread. Context: thread. */
void thread_join(struct thread *thread);

_Noreturn void thread_exit(void);

/* Lets the next runnable thread of this CPU run. Context: thread, interrupts on. */
void thread_yield(void);

/* Sleeps at least until clock_now_ns() >= @deadline_ns / for @duration_ns. Context: thread. */
void thread_sleep_until_ns(uint64_t deadline_ns);
void thread_sleep_ns(uint64_t duration_ns);

/* Moves the calling thread to @cpu and stays there. Returns false if @cpu is not online. */
bool thread_pin(uint32_t cpu);

struct thread *thread_current(void);

/* How long CPU @cpu, which is online, has had nothing to run, up to now, interrupts meanwhile
 * included. Context: any but NMI. */
uint64_t thread_cpu_idle_ns(uint32_t cpu);

/* Whether @thread is the idle thread of a CPU. */
static inline bool thread_is_idle(const struct thread *thread)
{
    return thread->stack_top == 0;
}

/* Whether @cpu may be named where a CPU is asked for. */
bool cpu_index_is_online(uint32_t cpu);

/* Makes a BLOCKED thread runnable, its deadline void; any other stays as it is (a sleeper sleeps
 * on). Context: any but NMI. Ordering: full; partner is the state change in
 * wait_queue_wait_until(). */
void thread_wake(struct thread *thread);

/* Blocks the caller, whose state was set to BLOCKED under the lock of the thing it waits for, until
 * thread_wake() or @deadline_ns (WAIT_NO_DEADLINE: none). Context: thread, interrupts off since
 * then. For wait_queue.c. */
void thread_block_prepared(void);
void thread_set_blocked(uint64_t deadline_ns);

/* Calls visit(thread, argument) for each thread, under the list lock. Context: thread. */
void thread_for_each(void (*visit)(const struct thread *thread, void *argument), void *argument);
size_t thread_count(void);
const char *thread_state_name(const struct thread *thread);

/* Between the two, this thread is not preempted. Nests. Context: any. */
static inline void preempt_disable(void)
{
    cpu_preempt_count_increment();
}

void preempt_enable(void);

/* Called by the interrupt exit path (arch/traps.c) with interrupts off when need_reschedule is set,
 * preempt_count is 0 and the interrupted code had interrupts on. */
void thread_preempt_from_interrupt(void);
