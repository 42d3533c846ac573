// SPDX-License-Identifier: MIT
/* Threads' lives: creation, end, joining, moving, listing. Invariant: a thread's memory is freed by
 * its joiner alone, after the run-queue lock has shown that no CPU stands on its stack. */
#include "kernel/thread.h"

#include "arch/context.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/paging.h"
#include "kernel/format.h"
#include "kernel/heap.h"
#include "kernel/idle.h"
#include "kernel/panic.h"
#include "kernel/run_queue.h"
#include "kernel/wait_queue.h"

static struct spinlock list_lock = SPINLOCK("thread list");
/* under list_lock: */
static struct thread *thread_list, *thread_list_last;
static size_t listed_threads;
static uint32_t next_id;

static struct wait_queue exit_queue = WAIT_QUEUE("thread exit");
static struct thread boot_thread;
static struct thread *idle_threads[CPU_MAX];

static void list_add(struct thread *thread)
{
    uint64_t flags = spinlock_lock_save(&list_lock);
    if (thread_list_last == NULL) {
        thread_list = thread;
    } else {
        thread_list_last->list_next = thread; /* at the end: `threads` lists in order of age */
    }
    thread_list_last = thread;
    thread->id = next_id++;
    listed_threads++;
    spinlock_unlock_restore(&list_lock, flags);
}

static void list_remove(struct thread *thread)
{
    uint64_t flags = spinlock_lock_save(&list_lock);
    struct thread *previous = NULL;
    struct thread **link = &thread_list;
    while (*link != thread) {
        previous = *link;
        link = &previous->list_next;
    }
    *link = thread->list_next;
    if (thread_list_last == thread) {
        thread_list_last = previous;
    }
    listed_threads--;
    spinlock_unlock_restore(&list_lock, flags);
}

struct thread *thread_current(void)
{
    return this_cpu()->current;
}

/* The caller's context becomes the idle thread of @cpu. */
static void idle_thread_adopt(struct thread *thread, uint32_t cpu)
{
    struct run_queue *queue = run_queue_of(cpu);
    thread->cpu = cpu;
    thread->state = THREAD_RUNNABLE;
    queue->idle = thread;
    queue->current = thread;
    this_cpu()->current = thread;
}

void thread_initialize(void)
{
    scheduler_initialize();
    format_text(boot_thread.name, sizeof(boot_thread.name), "idle/0");
    idle_thread_adopt(&boot_thread, 0);
    list_add(&boot_thread);
}

bool thread_prepare_cpu(uint32_t cpu)
{
    struct thread *thread = heap_allocate(sizeof(*thread));
    if (thread == NULL) {
        return false;
    }
    format_text(thread->name, sizeof(thread->name), "idle/%u", (unsigned)cpu);
    thread->cpu = cpu;
    idle_threads[cpu] = thread;
    list_add(thread); /* here, not on the CPU itself: 255 CPUs at once would queue for the lock */
    return true;
}

void thread_initialize_secondary(void)
{
    struct thread *thread = idle_threads[cpu_index()];
    idle_thread_adopt(thread, cpu_index());
}

void thread_idle_loop(void)
{
    struct run_queue *queue = run_queue_of(cpu_index());
    for (;;) {
        interrupts_disable();
        if (__atomic_load_n(&queue->first, __ATOMIC_RELAXED) == NULL) {
            static_call(cpu_idle)();
        } else {
            schedule(SWITCH_OWN_WILL);
            interrupts_enable();
        }
    }
}

/* First code of a new thread: schedule() switched to it with the run-queue lock held. */
static void thread_start(void *argument)
{
    schedule_finish();
    interrupts_enable();
    thread_current()->entry(argument);
    thread_exit();
}

bool cpu_index_is_online(uint32_t cpu)
{
    return cpu < cpu_present_count() && cpu_is_online(cpu_by_index(cpu));
}

static uint32_t shortest_queue(void)
{
    uint32_t best = cpu_index();
    uint32_t best_length = UINT32_MAX;
    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (!cpu_index_is_online(cpu)) {
            continue;
        }
        struct run_queue *queue = run_queue_of(cpu);
        uint32_t busy = queue->current != queue->idle; /* a racy look is good enough here */
        uint32_t length = __atomic_load_n(&queue->length, __ATOMIC_RELAXED) + busy;
        if (length < best_length) {
            best = cpu;
            best_length = length;
        }
    }
    return best;
}

struct thread *thread_create(const char *name, uint32_t cpu, void (*entry)(void *argument),
                             void *argument)
{
    if (cpu != THREAD_ANY_CPU && !cpu_index_is_online(cpu)) {
        return NULL;
    }
    struct thread *thread = heap_allocate(sizeof(*thread));
    uint64_t stack = stack_allocate();
    if (thread == NULL || stack == 0) {
        heap_free(thread);
        if (stack != 0) {
            stack_free(stack);
        }
        return NULL;
    }
    format_text(thread->name, sizeof(thread->name), "%s", name);
    thread->entry = entry;
    thread->stack_top = stack;
    thread->cpu = cpu == THREAD_ANY_CPU ? shortest_queue() : cpu;
    thread->state = THREAD_RUNNABLE;
    thread->saved_stack_pointer = context_prepare(stack, thread_start, argument);
    list_add(thread);
    run_queue_enqueue(thread);
    return thread;
}

void thread_exit(void)
{
    struct thread *self = thread_current();
    struct run_queue *queue = run_queue_of(cpu_index());
    interrupts_disable();
    spinlock_lock(&queue->lock);
    self->state = THREAD_DEAD;
    spinlock_unlock(&queue->lock);
    wait_queue_wake_all(&exit_queue);
    schedule(SWITCH_OWN_WILL);
    panic("thread %s: ran on after its end", self->name);
}

static bool thread_is_dead(void *argument)
{
    struct thread *thread = argument;
    return __atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) == THREAD_DEAD;
}

void thread_join(struct thread *thread)
{
    wait_queue_wait_until(&exit_queue, thread_is_dead, thread);
    /* DEAD is set while it still stands on its stack; it has interrupts off, so this is short. */
    struct run_queue *queue = run_queue_of(thread->cpu);
    for (;;) {
        uint64_t flags = spinlock_lock_save(&queue->lock);
        bool switched_out = queue->current != thread;
        spinlock_unlock_restore(&queue->lock, flags);
        if (switched_out) {
            break;
        }
        cpu_relax();
    }
    list_remove(thread);
    stack_free(thread->stack_top);
    heap_free(thread);
}

bool thread_pin(uint32_t cpu)
{
    if (!cpu_index_is_online(cpu)) {
        return false;
    }
    uint64_t flags = interrupts_save();
    struct thread *self = thread_current();
    if (self->cpu != cpu) {
        struct run_queue *queue = run_queue_of(self->cpu);
        spinlock_lock(&queue->lock);
        /* schedule() sees that it no longer belongs here and sends it over. Release: pairs with
         * thread_is_away() in grace_period.c. */
        __atomic_store_n(&self->cpu, cpu, __ATOMIC_RELEASE);
        spinlock_unlock(&queue->lock);
        schedule(SWITCH_OWN_WILL);
    }
    interrupts_restore(flags);
    return true;
}

void thread_for_each(void (*visit)(const struct thread *thread, void *argument), void *argument)
{
    uint64_t flags = spinlock_lock_save(&list_lock);
    for (struct thread *thread = thread_list; thread != NULL; thread = thread->list_next) {
        visit(thread, argument);
    }
    spinlock_unlock_restore(&list_lock, flags);
}

size_t thread_count(void)
{
    uint64_t flags = spinlock_lock_save(&list_lock);
    size_t count = listed_threads;
    spinlock_unlock_restore(&list_lock, flags);
    return count;
}

const char *thread_state_name(const struct thread *thread)
{
    static const char *const names[] = {"runnable", "blocked", "sleeping", "dead"};
    bool running = run_queue_of(thread->cpu)->current == thread;
    if (!cpu_index_is_online(thread->cpu)) {
        return "offline"; /* the idle thread of a CPU that was not started */
    }
    return running ? "running" : names[thread->state];
}
