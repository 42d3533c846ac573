// SPDX-License-Identifier: MIT
/* Grace periods; see grace_period.h. Invariant: a period ends only after each thread that existed
 * when it began was outside at some moment of it, and each handler that ran then has ended. Called
 * by patch_platform.c and tests.
 *
 * A thread that stands on no CPU cannot say anything, so the one who waits looks: off its CPU and
 * not preempted means that it left of its own will. That look needs the run-queue lock:
 *
 *     patcher, without the lock                CPU n
 *                                              the thread runs in the old image
 *     is_preempted: false
 *                                              is_preempted = true; current = another thread
 *     current: not this one
 *     "outside": frees the old image           preempted in it
 *
 * With it, who is found away is switched in, if at all, behind the look: it then reads what was
 * published before. */
#include "kernel/grace_period.h"

#include "arch/clock.h"
#include "arch/ipi.h"
#include "arch/nmi.h"
#include "arch/patience.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "kernel/run_queue.h"
#include "kernel/symbols.h"

#define MILLISECOND          1000000ull
#define FIRST_SLEEP_NS       20000ull
#define LONGEST_SLEEP_NS     MILLISECOND
#define REPORT_NS            (1000 * MILLISECOND)
#define BACKTRACE_TIMEOUT_NS (100 * MILLISECOND)
#define NAMED_MAX            4 /* holdouts that a report names */

uint64_t grace_newest_period;

static uint64_t timeout_ns = GRACE_TIMEOUT_MS * MILLISECOND; /* atomic */

static struct spinlock statistics_lock = SPINLOCK("grace statistics");
static struct grace_statistics statistics; /* under statistics_lock */

/* A thread that keeps the caller waiting. A copy: it may end, and be freed, any time. */
struct holdout {
    char name[THREAD_NAME_MAX];
    uint32_t cpu;
    bool is_running;
};

/* One look at all threads. */
struct look {
    uint64_t period;
    const struct thread *self;
    size_t holdouts;
    struct holdout named[NAMED_MAX];
};

/* Whether @thread stands on no CPU and left the last one of its own will. */
static bool thread_is_away(const struct thread *thread, bool *is_running)
{
    /* Acquire: pairs with the release in thread_pin(): a thread that has just named its next CPU
     * there may still be `current` of the last one, but is outside already. */
    uint32_t cpu = __atomic_load_n(&thread->cpu, __ATOMIC_ACQUIRE);
    struct run_queue *queue = run_queue_of(cpu);

    spinlock_lock(&queue->lock); /* interrupts are off: the thread list's lock is held */
    bool is_still_there = __atomic_load_n(&thread->cpu, __ATOMIC_RELAXED) == cpu;
    *is_running = queue->current == thread;
    bool is_away = is_still_there && !*is_running && !thread->is_preempted;
    spinlock_unlock(&queue->lock);
    return is_away;
}

static void look_at_thread(const struct thread *thread, void *argument)
{
    struct look *look = argument;
    bool is_running;

    /* An idle thread runs the idle routine and nothing else of anybody's. Acquire: pairs with
     * grace_period_note_outside(). */
    if (thread == look->self || thread_is_idle(thread) ||
        __atomic_load_n(&thread->outside_period, __ATOMIC_ACQUIRE) >= look->period ||
        thread_is_away(thread, &is_running)) {
        return;
    }
    if (look->holdouts < NAMED_MAX) {
        struct holdout *holdout = &look->named[look->holdouts];

        format_text(holdout->name, sizeof(holdout->name), "%s", thread->name);
        holdout->cpu = thread->cpu;
        holdout->is_running = is_running;
    }
    look->holdouts++;
}

/* Returns whether all are outside. */
static bool look_at_all(struct look *look)
{
    look->holdouts = 0;
    thread_for_each(look_at_thread, look);
    return look->holdouts == 0;
}

static void report_holdout(enum log_level level, const struct holdout *holdout, uint64_t waited_ns,
                           const char *end)
{
    char place[SYMBOL_TEXT_MAX] = "preempted somewhere";
    struct cpu_snapshot snapshot;

    if (holdout->is_running &&
        nmi_capture_backtrace(holdout->cpu, &snapshot, BACKTRACE_TIMEOUT_NS)) {
        symbol_describe(snapshot.rip, place, sizeof(place));
    }
    log_write(level, "grace period: thread %s (cpu %u) was not outside for %llu ms%s: %s",
              holdout->name, (unsigned)holdout->cpu, (unsigned long long)(waited_ns / MILLISECOND),
              end, place);
}

static void report(const struct look *look, uint64_t waited_ns, bool gives_up)
{
    enum log_level level = gives_up ? LOG_ERROR : LOG_WARNING;

    for (size_t i = 0; i < look->holdouts && i < NAMED_MAX; i++) {
        report_holdout(level, &look->named[i], waited_ns, gives_up ? ", given up" : "");
    }
    if (look->holdouts > NAMED_MAX) {
        log_write(level, "grace period: and %zu threads more", look->holdouts - NAMED_MAX);
    }
}

/* Looks, sleeps, looks again, for ever longer. Returns false when the time is over. */
static bool wait_for_threads(struct look *look)
{
    uint64_t limit_ns = __atomic_load_n(&timeout_ns, __ATOMIC_RELAXED);
    struct patience patience =
        patience_begin(clock_now_ns(), limit_ns < REPORT_NS ? limit_ns : REPORT_NS);
    uint64_t sleep_ns = FIRST_SLEEP_NS;
    bool is_reported = false;

    while (!look_at_all(look)) {
        uint64_t waited_ns = patience_spent(&patience, clock_now_ns());

        if (waited_ns >= limit_ns) {
            report(look, waited_ns, true);
            return false;
        }
        if (waited_ns >= REPORT_NS && !is_reported) {
            report(look, waited_ns, false);
            is_reported = true;
        }
        thread_sleep_ns(sleep_ns);
        sleep_ns = sleep_ns < LONGEST_SLEEP_NS / 2 ? 2 * sleep_ns : LONGEST_SLEEP_NS;
    }
    return true;
}

/* A handler runs with interrupts off, so a CPU that answers has left the one it was in. */
static bool wait_for_handlers(void)
{
    unsigned sent, silent;

    return sync_cores_try(&sent, &silent);
}

static void count_period(bool is_over, uint64_t waited_ns)
{
    uint64_t flags = spinlock_lock_save(&statistics_lock);

    statistics.periods += is_over ? 1 : 0;
    statistics.given_up += is_over ? 0 : 1;
    statistics.waited_ns += waited_ns;
    if (waited_ns > statistics.longest_ns) {
        statistics.longest_ns = waited_ns;
    }
    spinlock_unlock_restore(&statistics_lock, flags);
}

bool synchronize_tasks(void)
{
    struct thread *self = thread_current();

    if (self == NULL) {
        return true; /* early boot: one CPU, interrupts off, no other thread */
    }
    if (!interrupts_enabled() || this_cpu()->preempt_count != 0 || thread_is_idle(self)) {
        panic("grace period: thread %s waits with interrupts off, a spinlock held, or as the idle "
              "thread",
              self->name);
    }
    uint64_t start_ns = clock_now_ns();
    /* The round comes before the number: a CPU may execute what a batch that was given up had
     * written, until it serialises. Its thread could say that it is outside, and then enter by such
     * an instruction what the caller means to free (tests/model/README.md, "Dispatchers").
     * Sequentially consistent: what the caller published is visible to whoever reads this number:
     * pairs with the acquire in grace_period_note_outside(). */
    bool is_over = wait_for_handlers();
    struct look look = {
        .period = __atomic_add_fetch(&grace_newest_period, 1, __ATOMIC_SEQ_CST),
        .self = self,
    };

    is_over = is_over && wait_for_threads(&look);

    count_period(is_over, clock_now_ns() - start_ns);
    return is_over;
}

void thread_checkpoint(void)
{
    grace_period_note_outside(&thread_current()->outside_period);
}

uint64_t grace_timeout_set_ms(uint64_t limit_ms)
{
    return __atomic_exchange_n(&timeout_ns, limit_ms * MILLISECOND, __ATOMIC_RELAXED) / MILLISECOND;
}

void grace_statistics_read(struct grace_statistics *out)
{
    uint64_t flags = spinlock_lock_save(&statistics_lock);

    *out = statistics;
    spinlock_unlock_restore(&statistics_lock, flags);
}
