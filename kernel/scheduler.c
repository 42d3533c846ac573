// SPDX-License-Identifier: MIT
/* Round robin over per-CPU run queues, with a tick only where it has work to do. Invariant: the
 * run-queue lock is held from the choice of the next thread until that thread runs, so whoever
 * takes it sees every thread either running or completely switched out. */
#include "kernel/run_queue.h"

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/context.h"
#include "arch/interrupts.h"
#include "arch/ipi.h"
#include "arch/traps.h"
#include "kernel/grace_period.h"
#include "kernel/panic.h"
#include "kernel/wait_queue.h"

#define TIMER_OFF UINT64_MAX

static struct run_queue run_queues[CPU_MAX];

DEFINE_STATIC_KEY_FALSE(sched_stats);

struct run_queue *run_queue_of(uint32_t cpu)
{
    return &run_queues[cpu];
}

static struct run_queue *this_run_queue(void)
{
    return &run_queues[cpu_index()];
}

static void queue_append_locked(struct run_queue *queue, struct thread *thread)
{
    if (static_branch_unlikely(&sched_stats)) {
        thread->ready_ns = clock_now_ns();
    }
    thread->run_next = NULL;
    if (queue->last == NULL) {
        queue->first = thread;
    } else {
        queue->last->run_next = thread;
    }
    queue->last = thread;
    queue->length++;
}

static struct thread *queue_pop_locked(struct run_queue *queue)
{
    struct thread *thread = queue->first;
    if (thread == NULL) {
        return queue->idle;
    }
    queue->first = thread->run_next;
    if (queue->first == NULL) {
        queue->last = NULL;
    }
    queue->length--;
    return thread;
}

/* Arms the timer for the next thing that needs it: the end of the slice if somebody waits for the
 * CPU, the earliest sleeper, or nothing. Only for the queue of this CPU. */
static void timer_update_locked(struct run_queue *queue, uint64_t now_ns)
{
    uint64_t deadline = TIMER_OFF;
    if (queue->sleepers != NULL) {
        deadline = queue->sleepers->wake_ns;
    }
    if (queue->first != NULL && queue->current != queue->idle && queue->slice_end_ns < deadline) {
        deadline = queue->slice_end_ns;
    }
    if (deadline == queue->timer_deadline_ns) {
        return;
    }
    queue->timer_deadline_ns = deadline;
    if (deadline == TIMER_OFF) {
        apic_timer_stop();
    } else {
        apic_timer_arm_ns(deadline > now_ns ? deadline - now_ns : 1);
    }
}

/* The CPU of @queue has new work: an idle one must switch, a busy one must have its tick. */
static void notify_locked(struct run_queue *queue, uint32_t cpu)
{
    if (cpu != cpu_index()) {
        /* With two or more waiting its tick is on already. */
        if (queue->length == 1) {
            ipi_send(cpu, VECTOR_RESCHEDULE);
        }
    } else if (queue->current == queue->idle) {
        this_cpu()->need_reschedule = true;
    } else {
        timer_update_locked(queue, clock_now_ns());
    }
}

static void enqueue_locked(struct run_queue *queue, struct thread *thread)
{
    queue_append_locked(queue, thread);
    notify_locked(queue, thread->cpu);
}

void run_queue_enqueue(struct thread *thread)
{
    struct run_queue *queue = run_queue_of(thread->cpu);
    uint64_t flags = spinlock_lock_save(&queue->lock);
    enqueue_locked(queue, thread);
    spinlock_unlock_restore(&queue->lock, flags);
}

static void account_locked(struct thread *previous, struct thread *next, uint64_t now_ns)
{
    previous->run_ns += now_ns - previous->started_ns;
    next->started_ns = now_ns;
    next->switches++;
    if (static_branch_unlikely(&sched_stats)) {
        if (next->ready_ns != 0) {
            next->wait_ns += now_ns - next->ready_ns;
        }
    }
    next->ready_ns = 0; /* also when the key has just gone off: no wait may span that time */
}

uint64_t thread_cpu_idle_ns(uint32_t cpu)
{
    struct run_queue *queue = run_queue_of(cpu);
    uint64_t flags = spinlock_lock_save(&queue->lock);
    uint64_t now_ns = clock_now_ns();
    uint64_t idle_ns = queue->idle->run_ns;

    if (queue->current == queue->idle && now_ns > queue->idle->started_ns) {
        idle_ns += now_ns - queue->idle->started_ns;
    }
    spinlock_unlock_restore(&queue->lock, flags);
    return idle_ns;
}

void schedule(enum switch_reason reason)
{
    struct cpu *cpu = this_cpu();
    if (interrupts_enabled() || cpu->preempt_count != 0) {
        panic("schedule: thread %s blocks with preempt_count %u",
              cpu->current != NULL ? cpu->current->name : "?", (unsigned)cpu->preempt_count);
    }
    struct run_queue *queue = this_run_queue();
    spinlock_lock(&queue->lock);
    cpu->need_reschedule = false;
    struct thread *previous = queue->current;
    previous->is_preempted = reason == SWITCH_PREEMPTION;
    if (previous->state == THREAD_RUNNABLE && previous != queue->idle) {
        if (previous->cpu == cpu->index) {
            queue_append_locked(queue, previous);
        } else {
            queue->departing = previous;
        }
    }
    uint64_t now_ns = clock_now_ns();
    struct thread *next = queue_pop_locked(queue);
    if (!next->is_preempted) {
        grace_period_note_outside(&next->outside_period); /* the caller too, if nobody else runs */
    }
    queue->slice_end_ns = now_ns + THREAD_SLICE_NS;
    if (next != previous) {
        account_locked(previous, next, now_ns);
        queue->switches++;
        queue->current = next;
        cpu->current = next;
        timer_update_locked(queue, now_ns);
        context_switch(&previous->saved_stack_pointer, next->saved_stack_pointer);
    } else {
        timer_update_locked(queue, now_ns);
    }
    schedule_finish();
}

void schedule_finish(void)
{
    struct run_queue *queue = this_run_queue();
    struct thread *departing = queue->departing;
    queue->departing = NULL;
    spinlock_unlock(&queue->lock);
    if (departing != NULL) {
        run_queue_enqueue(departing);
    }
}

void thread_preempt_from_interrupt(void)
{
    if (static_branch_unlikely(&sched_stats)) {
        struct thread *current = thread_current();
        if (current->state == THREAD_RUNNABLE && current != this_run_queue()->idle) {
            current->preemptions++;
        }
    }
    schedule(SWITCH_PREEMPTION);
}

void preempt_enable(void)
{
    cpu_preempt_count_decrement();
    struct cpu *cpu = this_cpu();
    if (cpu->preempt_count == 0 && cpu->need_reschedule && cpu->current != NULL &&
        interrupts_enabled()) {
        uint64_t flags = interrupts_save();
        schedule(SWITCH_PREEMPTION);
        interrupts_restore(flags);
    }
}

/* In order of deadline; of two equal ones the first that came is first. */
static void sleepers_insert_locked(struct run_queue *queue, struct thread *thread,
                                   uint64_t deadline_ns)
{
    struct thread **link = &queue->sleepers;

    while (*link != NULL && (*link)->wake_ns <= deadline_ns) {
        link = &(*link)->sleep_next;
    }
    thread->wake_ns = deadline_ns;
    thread->is_in_sleepers = true;
    thread->sleep_next = *link;
    *link = thread;
}

static void sleepers_remove_locked(struct run_queue *queue, struct thread *thread)
{
    struct thread **link = &queue->sleepers;

    while (*link != thread) {
        link = &(*link)->sleep_next;
    }
    *link = thread->sleep_next;
    thread->is_in_sleepers = false;
}

void thread_wake(struct thread *thread)
{
    struct run_queue *queue = run_queue_of(thread->cpu);
    uint64_t flags = spinlock_lock_save(&queue->lock);
    if (thread->state == THREAD_BLOCKED) {
        if (static_branch_unlikely(&sched_stats)) {
            queue->wakes++;
        }
        thread->state = THREAD_RUNNABLE;
        if (thread->is_in_sleepers) {
            sleepers_remove_locked(queue, thread);
        }
        /* Still on its way out: schedule(), which waits for our lock, will keep it. */
        if (thread != queue->current) {
            enqueue_locked(queue, thread);
        }
    }
    spinlock_unlock_restore(&queue->lock, flags);
}

void thread_set_blocked(uint64_t deadline_ns)
{
    struct run_queue *queue = this_run_queue();
    spinlock_lock(&queue->lock);
    queue->current->state = THREAD_BLOCKED;
    if (deadline_ns != WAIT_NO_DEADLINE) {
        sleepers_insert_locked(queue, queue->current, deadline_ns);
    }
    spinlock_unlock(&queue->lock);
}

void thread_block_prepared(void)
{
    schedule(SWITCH_OWN_WILL);
}

void thread_sleep_until_ns(uint64_t deadline_ns)
{
    uint64_t flags = interrupts_save();
    struct run_queue *queue = this_run_queue();
    spinlock_lock(&queue->lock);
    queue->current->state = THREAD_SLEEPING;
    sleepers_insert_locked(queue, queue->current, deadline_ns);
    spinlock_unlock(&queue->lock);
    schedule(SWITCH_OWN_WILL);
    interrupts_restore(flags);
}

void thread_sleep_ns(uint64_t duration_ns)
{
    thread_sleep_until_ns(clock_now_ns() + duration_ns);
}

void thread_yield(void)
{
    uint64_t flags = interrupts_save();
    schedule(SWITCH_OWN_WILL);
    interrupts_restore(flags);
}

static void sleepers_wake_locked(struct run_queue *queue, uint64_t now_ns)
{
    while (queue->sleepers != NULL && queue->sleepers->wake_ns <= now_ns) {
        struct thread *thread = queue->sleepers;
        sleepers_remove_locked(queue, thread);
        thread->state = THREAD_RUNNABLE;
        queue_append_locked(queue, thread);
    }
}

static void timer_interrupt(struct trap_frame *frame)
{
    (void)frame;
    struct run_queue *queue = this_run_queue();
    spinlock_lock(&queue->lock);
    uint64_t now_ns = clock_now_ns();
    queue->ticks++;
    queue->timer_deadline_ns = TIMER_OFF;
    sleepers_wake_locked(queue, now_ns);
    bool slice_over = now_ns >= queue->slice_end_ns || queue->current == queue->idle;
    if (queue->first != NULL && slice_over) {
        this_cpu()->need_reschedule = true;
        queue->slice_end_ns = now_ns + THREAD_SLICE_NS; /* re-arm even if preemption is off now */
    }
    timer_update_locked(queue, now_ns);
    spinlock_unlock(&queue->lock);
}

static void reschedule_interrupt(struct trap_frame *frame)
{
    (void)frame;
    struct run_queue *queue = this_run_queue();
    spinlock_lock(&queue->lock);
    if (queue->first != NULL && queue->current == queue->idle) {
        this_cpu()->need_reschedule = true;
    }
    timer_update_locked(queue, clock_now_ns());
    spinlock_unlock(&queue->lock);
}

void scheduler_initialize(void)
{
    for (uint32_t cpu = 0; cpu < CPU_MAX; cpu++) {
        run_queues[cpu].lock = (struct spinlock)SPINLOCK("run queue");
        run_queues[cpu].timer_deadline_ns = TIMER_OFF;
    }
    trap_register_handler(VECTOR_TIMER, timer_interrupt);
    trap_register_handler(VECTOR_RESCHEDULE, reschedule_interrupt);
}
