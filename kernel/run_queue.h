// SPDX-License-Identifier: MIT
/* The scheduler's inside: one run queue a CPU. Invariant: a runnable thread is either `current` of
 * its CPU or in that CPU's list, exactly once. Callers: scheduler.c, thread.c, commands_machine.c
 * (statistics). Others use thread.h. */
#pragma once

#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "patching/static_key.h"

/* Counts how long threads wait and how often they are preempted. Off by default: its sites lie in
 * the hottest paths of the scheduler, and that is what makes it a good key to flip. */
DECLARE_STATIC_KEY(sched_stats);

struct run_queue {
    struct spinlock lock;
    /* under lock: */
    struct thread *current;
    struct thread *idle;
    struct thread *first, *last; /* runnable, waiting for the CPU, in order */
    uint32_t length;
    struct thread *sleepers;  /* SLEEPING, or BLOCKED with a deadline; earliest wake_ns first */
    struct thread *departing; /* leaves for another CPU once it is switched out */
    uint64_t slice_end_ns;
    uint64_t timer_deadline_ns; /* what the LAPIC timer is armed for; UINT64_MAX: off */
    uint64_t ticks;             /* timer interrupts */
    uint64_t switches;
    uint64_t wakes; /* only while sched_stats is on */
} __attribute__((aligned(64)));

struct run_queue *run_queue_of(uint32_t cpu);

/* Puts @thread, runnable and in no queue, into its CPU's queue and sees to it that the CPU notices.
 * Context: any but NMI. */
void run_queue_enqueue(struct thread *thread);

enum switch_reason {
    SWITCH_OWN_WILL,   /* blocks, sleeps, yields, moves, ends: outside patched code */
    SWITCH_PREEMPTION, /* anywhere */
};

/* Gives the CPU to the next thread. Context: interrupts off, preempt_count 0. Returns when the
 * caller runs again, interrupts still off. */
void schedule(enum switch_reason reason);

/* Second half of a switch, in the new thread: unlocks the queue that schedule() locked. */
void schedule_finish(void);

/* Registers the timer and reschedule interrupts. Context: boot, once. */
void scheduler_initialize(void);
