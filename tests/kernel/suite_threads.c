// SPDX-License-Identifier: MIT
/* Threads, round robin, sleep, mutex, wait queues, pinning. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/mutex.h"
#include "kernel/run_queue.h"
#include "kernel/thread.h"
#include "kernel/wait_queue.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define MILLISECOND 1000000ull
#define PATIENCE_NS (10000 * MILLISECOND) /* for what comes soon or never */

static unsigned last_cpu(void)
{
    unsigned last = 0;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        last = cpu_index_is_online(cpu) ? cpu : last;
    }
    return last;
}

static void note_cpu(void *argument)
{
    *(uint32_t *)argument = cpu_index() + 1;
}

static void thread_runs_where_it_was_created(struct test *test)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint32_t seen = 0;
        struct thread *thread = thread_create("note", cpu, note_cpu, &seen);
        EXPECT_EQUAL(test, thread != NULL, cpu_index_is_online(cpu));
        if (thread != NULL) {
            thread_join(thread);
            EXPECT_EQUAL(test, seen, cpu + 1);
        }
    }
    EXPECT(test, thread_create("nowhere", CPU_MAX, note_cpu, NULL) == NULL);
}

struct spin {
    bool stop;
    uint64_t rounds[2];
    uint32_t next;
};

static void spin_until_stopped(void *argument)
{
    struct spin *spin = argument;
    uint32_t mine = __atomic_fetch_add(&spin->next, 1, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&spin->stop, __ATOMIC_RELAXED)) {
        __atomic_fetch_add(&spin->rounds[mine], 1, __ATOMIC_RELAXED);
        cpu_relax();
    }
}

/* Two threads that never yield share one CPU: without a working tick the second never runs. */
static void spinning_threads_share_a_cpu(struct test *test)
{
    struct spin spin = {0};
    unsigned cpu = last_cpu();
    struct thread *first = thread_create("spin", cpu, spin_until_stopped, &spin);
    struct thread *second = thread_create("spin", cpu, spin_until_stopped, &spin);
    if (EXPECT(test, first != NULL && second != NULL)) {
        uint64_t deadline = clock_now_ns() + PATIENCE_NS;
        while (clock_now_ns() < deadline &&
               (__atomic_load_n(&spin.rounds[0], __ATOMIC_RELAXED) == 0 ||
                __atomic_load_n(&spin.rounds[1], __ATOMIC_RELAXED) == 0)) {
            thread_sleep_ns(10 * MILLISECOND);
        }
        EXPECT(test, spin.rounds[0] != 0);
        EXPECT(test, spin.rounds[1] != 0);
    }
    __atomic_store_n(&spin.stop, true, __ATOMIC_RELAXED);
    if (first != NULL) {
        thread_join(first);
    }
    if (second != NULL) {
        thread_join(second);
    }
}

/* A CPU with one runnable thread has no tick: the thread keeps the CPU without timer interrupts. */
static void single_thread_runs_without_ticks(struct test *test)
{
    unsigned cpu = last_cpu();
    if (cpu == cpu_index()) {
        test_skip(test, "needs a second CPU");
        return;
    }
    struct spin spin = {0};
    struct thread *thread = thread_create("spin", cpu, spin_until_stopped, &spin);
    if (!EXPECT(test, thread != NULL)) {
        return;
    }
    workers_wait_undisturbed(cpu);
    thread_sleep_ns(20 * MILLISECOND); /* let it start */
    uint64_t before = run_queue_of(cpu)->ticks;
    thread_sleep_ns(100 * MILLISECOND);
    EXPECT_EQUAL(test, run_queue_of(cpu)->ticks, before);
    __atomic_store_n(&spin.stop, true, __ATOMIC_RELAXED);
    thread_join(thread);
}

static void sleep_never_ends_early(struct test *test)
{
    for (unsigned i = 0; i < 5; i++) {
        uint64_t before = clock_now_ns();
        thread_sleep_ns(3 * MILLISECOND);
        EXPECT(test, clock_now_ns() - before >= 3 * MILLISECOND);
    }
}

#define INCREMENTS 2000

static struct shared_counter {
    struct mutex mutex;
    uint64_t value; /* under mutex */
    bool inside;    /* under mutex: somebody is */
    uint64_t clashes;
} shared = {.mutex = MUTEX("test counter")};

static void count_under_mutex(void *argument)
{
    (void)argument;
    for (unsigned i = 0; i < INCREMENTS; i++) {
        mutex_lock(&shared.mutex);
        if (__atomic_exchange_n(&shared.inside, true, __ATOMIC_RELAXED)) {
            __atomic_fetch_add(&shared.clashes, 1, __ATOMIC_RELAXED);
        }
        uint64_t value = shared.value;
        for (unsigned pause = 0; pause < 20; pause++) {
            cpu_relax(); /* widens the window between load and store */
        }
        shared.value = value + 1;
        __atomic_store_n(&shared.inside, false, __ATOMIC_RELAXED);
        mutex_unlock(&shared.mutex);
    }
}

/* Unprotected load and store lose increments as soon as two threads are inside. */
static void mutex_lets_one_thread_in(struct test *test)
{
    struct workers workers;
    shared.value = 0;
    shared.clashes = 0;
    if (!EXPECT(test, workers_start(&workers, true, count_under_mutex, NULL))) {
        return;
    }
    uint64_t expected = (uint64_t)workers.count * INCREMENTS;
    workers_join(&workers);
    EXPECT_EQUAL(test, shared.value, expected);
    EXPECT_EQUAL(test, shared.clashes, 0);
}

#define VOLLEYS      1000
#define NO_VOLLEY_NS (10000 * MILLISECOND)

static struct ping_pong {
    struct wait_queue queue;
    uint32_t turn; /* 0 or 1: who may play */
    uint32_t done; /* players that have ended */
    uint32_t volleys;
} table = {.queue = WAIT_QUEUE("ping pong")};

struct player {
    uint32_t me;
};

static bool is_my_turn(void *argument)
{
    const struct player *player = argument;
    return __atomic_load_n(&table.turn, __ATOMIC_RELAXED) == player->me;
}

static void play(void *argument)
{
    const struct player *player = argument;
    for (unsigned i = 0; i < VOLLEYS; i++) {
        wait_queue_wait_until(&table.queue, is_my_turn, argument);
        __atomic_fetch_add(&table.volleys, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&table.turn, 1 - player->me, __ATOMIC_RELAXED);
        wait_queue_wake_all(&table.queue);
    }
    __atomic_fetch_add(&table.done, 1, __ATOMIC_RELEASE);
}

/* Waits for both; gives up when there was no volley for NO_VOLLEY_NS, and from then on wakes them
 * until they end. */
static bool players_end(void)
{
    uint64_t deadline = clock_now_ns() + NO_VOLLEY_NS;
    uint32_t seen = 0;
    bool goes_on = true;
    while (__atomic_load_n(&table.done, __ATOMIC_ACQUIRE) < 2) {
        uint32_t volleys = __atomic_load_n(&table.volleys, __ATOMIC_RELAXED);
        thread_sleep_ns(MILLISECOND);
        if (volleys != seen) {
            seen = volleys;
            deadline = clock_now_ns() + NO_VOLLEY_NS;
        }
        goes_on = goes_on && clock_now_ns() <= deadline;
        if (!goes_on) {
            wait_queue_wake_all(&table.queue);
        }
    }
    return goes_on;
}

/* Each volley hands over by one wake-up; a lost one leaves both asleep until the rescue. */
static void no_wake_up_is_lost(struct test *test)
{
    struct player players[2] = {{0}, {1}};
    table.turn = table.done = table.volleys = 0;
    struct thread *first = thread_create("ping", 0, play, &players[0]);
    struct thread *second = thread_create("pong", last_cpu(), play, &players[1]);
    if (!EXPECT(test, first != NULL && second != NULL)) {
        return;
    }
    EXPECT(test, players_end());
    thread_join(first);
    thread_join(second);
    EXPECT_EQUAL(test, table.turn, 0);
}

/* The narrow case, made wide: the waiter's condition says false and, before it returns, has another
 * CPU make it true and wake. With the condition under the queue's lock that wake-up must wait until
 * the waiter has joined the queue; read outside the lock, it comes too early every time. */
static struct narrow {
    struct wait_queue queue;
    bool open;    /* what is waited for */
    bool checked; /* the waiter has read `open` */
    bool woken;   /* the waker has done its wake-up */
    uint32_t done;
} narrow = {.queue = WAIT_QUEUE("narrow")};

static bool narrow_condition(void *argument)
{
    (void)argument;
    bool open = __atomic_load_n(&narrow.open, __ATOMIC_RELAXED);
    uint64_t end = clock_now_ns() + 200 * MILLISECOND; /* only where the wake-up has to wait */
    __atomic_store_n(&narrow.checked, true, __ATOMIC_RELEASE);
    while (!open && !__atomic_load_n(&narrow.woken, __ATOMIC_RELAXED) && clock_now_ns() < end) {
        cpu_relax();
    }
    return open;
}

static void narrow_waiter(void *argument)
{
    wait_queue_wait_until(&narrow.queue, narrow_condition, argument);
    __atomic_fetch_add(&narrow.done, 1, __ATOMIC_RELEASE);
}

static void narrow_waker(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&narrow.checked, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    __atomic_store_n(&narrow.open, true, __ATOMIC_RELAXED);
    wait_queue_wake_all(&narrow.queue);
    __atomic_store_n(&narrow.woken, true, __ATOMIC_RELAXED);
}

static void wake_up_between_check_and_sleep_is_not_lost(struct test *test)
{
    if (cpu_count() == 1) {
        test_skip(test, "needs a second CPU");
        return;
    }
    narrow.open = narrow.checked = narrow.woken = false;
    narrow.done = 0;
    struct thread *waker = thread_create("waker", last_cpu(), narrow_waker, NULL);
    struct thread *waiter = thread_create("waiter", 0, narrow_waiter, NULL);
    if (!EXPECT(test, waker != NULL && waiter != NULL)) {
        return;
    }
    uint64_t deadline = clock_now_ns() + PATIENCE_NS;
    while (!__atomic_load_n(&narrow.done, __ATOMIC_ACQUIRE) && clock_now_ns() < deadline) {
        thread_sleep_ns(MILLISECOND);
    }
    EXPECT_EQUAL(test, narrow.done, 1);
    wait_queue_wake_all(&narrow.queue); /* the rescue, if it was lost */
    thread_join(waker);
    thread_join(waiter);
}

static bool condition_constant(void *argument)
{
    return *(const bool *)argument;
}

/* A waiter that its deadline woke must take itself out of the queue: nobody else will, and the next
 * waker would wake whatever that thread does by then. A condition that is true counts more than the
 * deadline: what made it true may have come on the way. */
static void deadline_ends_a_wait(struct test *test)
{
    static struct wait_queue queue = WAIT_QUEUE("deadline");
    bool is_met = false;

    for (unsigned i = 0; i < 5; i++) {
        uint64_t deadline = clock_now_ns() + 3 * MILLISECOND;
        EXPECT(test,
               !wait_queue_wait_until_deadline(&queue, condition_constant, &is_met, deadline));
        EXPECT(test, clock_now_ns() >= deadline);
        EXPECT(test, queue.first == NULL && queue.last == NULL);
        EXPECT(test, !thread_current()->is_in_sleepers);
    }
    is_met = true;
    EXPECT(test, wait_queue_wait_until_deadline(&queue, condition_constant, &is_met, 1));
    EXPECT(test, queue.first == NULL);
}

static bool is_among_sleepers(const struct thread *thread)
{
    struct run_queue *queue = run_queue_of(thread->cpu);
    uint64_t flags = spinlock_lock_save(&queue->lock);
    const struct thread *sleeper = queue->sleepers;

    while (sleeper != NULL && sleeper != thread) {
        sleeper = sleeper->sleep_next;
    }
    spinlock_unlock_restore(&queue->lock, flags);
    return sleeper == thread;
}

static struct long_wait {
    struct wait_queue queue;
    bool open;
    bool was_met, stayed_among_sleepers; /* what the waiter found */
    struct thread *waiter;
} long_wait = {.queue = WAIT_QUEUE("long wait")};

static void wait_an_hour(void *argument)
{
    uint64_t deadline = clock_now_ns() + 3600000 * MILLISECOND;

    long_wait.was_met =
        wait_queue_wait_until_deadline(&long_wait.queue, condition_constant, argument, deadline);
    long_wait.stayed_among_sleepers = is_among_sleepers(thread_current());
}

/* A waiter that was woken must leave the sleepers: at its deadline the timer would put a thread
 * that runs, or one that is freed, into the run queue. */
static void wake_up_ends_a_deadline(struct test *test)
{
    long_wait.open = long_wait.was_met = false;
    long_wait.stayed_among_sleepers = true;
    struct thread *waiter = thread_create("long wait", last_cpu(), wait_an_hour, &long_wait.open);
    if (!EXPECT(test, waiter != NULL)) {
        return;
    }
    uint64_t limit = clock_now_ns() + PATIENCE_NS;
    while (!is_among_sleepers(waiter) && clock_now_ns() < limit) {
        thread_sleep_ns(MILLISECOND);
    }
    EXPECT(test, is_among_sleepers(waiter));
    __atomic_store_n(&long_wait.open, true, __ATOMIC_RELAXED);
    wait_queue_wake_one(&long_wait.queue);
    thread_join(waiter);
    EXPECT(test, long_wait.was_met);
    EXPECT(test, !long_wait.stayed_among_sleepers);
}

static void play_against_the_clock(void *argument)
{
    const struct player *player = argument;

    for (unsigned i = 0; i < VOLLEYS; i++) {
        while (!wait_queue_wait_until_deadline(&table.queue, is_my_turn, argument,
                                               clock_now_ns() + (i % 64 + 1) * 1000)) {
        }
        __atomic_fetch_add(&table.volleys, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&table.turn, 1 - player->me, __ATOMIC_RELAXED);
        wait_queue_wake_one(&table.queue);
    }
    __atomic_fetch_add(&table.done, 1, __ATOMIC_RELEASE);
}

/* Ping pong in which each wait ends by the other player or by a deadline 1 to 64 us away, so that
 * both ends meet: a thread that stays in a list it has left closes that list to a ring, and whoever
 * walks it never comes back. Lost wake-ups it misses, for the deadline makes up for them. */
static void wake_ups_race_with_deadlines(struct test *test)
{
    struct player players[2] = {{0}, {1}};
    table.turn = table.done = table.volleys = 0;
    struct thread *first = thread_create("ping", 0, play_against_the_clock, &players[0]);
    struct thread *second = thread_create("pong", last_cpu(), play_against_the_clock, &players[1]);
    if (!EXPECT(test, first != NULL && second != NULL)) {
        return;
    }
    EXPECT(test, players_end());
    thread_join(first);
    thread_join(second);
    EXPECT_EQUAL(test, table.turn, 0);
    EXPECT(test, table.queue.first == NULL);
}

static void visit_all_cpus(void *argument)
{
    uint32_t *wrong = argument;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        bool moved = thread_pin(cpu);
        if (moved != cpu_index_is_online(cpu) || (moved && cpu_index() != cpu)) {
            (*wrong)++;
        }
    }
}

static void pin_moves_the_caller(struct test *test)
{
    uint32_t wrong = 0;
    struct thread *thread = thread_create("traveller", THREAD_ANY_CPU, visit_all_cpus, &wrong);
    if (EXPECT(test, thread != NULL)) {
        thread_join(thread);
        EXPECT_EQUAL(test, wrong, 0);
    }
}

static void nothing_to_do(void *argument)
{
    (void)argument;
}

static void threads_that_end_leave_nothing(struct test *test)
{
    size_t before = thread_count();
    for (unsigned i = 0; i < 200; i++) {
        struct thread *thread = thread_create("brief", THREAD_ANY_CPU, nothing_to_do, NULL);
        if (EXPECT(test, thread != NULL)) {
            thread_join(thread);
        }
    }
    EXPECT_EQUAL(test, thread_count(), before);
}

static const struct test_case cases[] = {
    TEST_CASE(thread_runs_where_it_was_created),
    TEST_CASE(spinning_threads_share_a_cpu),
    TEST_CASE(single_thread_runs_without_ticks),
    TEST_CASE(sleep_never_ends_early),
    TEST_CASE(mutex_lets_one_thread_in),
    TEST_CASE(no_wake_up_is_lost),
    TEST_CASE(wake_up_between_check_and_sleep_is_not_lost),
    TEST_CASE(deadline_ends_a_wait),
    TEST_CASE(wake_up_ends_a_deadline),
    TEST_CASE(wake_ups_race_with_deadlines),
    TEST_CASE(pin_moves_the_caller),
    TEST_CASE(threads_that_end_leave_nothing),
};

const struct test_suite suite_threads = TEST_SUITE("threads", cases);
