// SPDX-License-Identifier: MIT
/* Suite grace_period: who is waited for, and who is not.
 *
 * "Is waited for" is shown by an order of events, not by a time: somebody stays inside until a
 * third thread lets him out, KEPT_IN_NS after it has seen that the wait began; if the wait ends
 * while he is inside, it ended too early. Missed only if the wait's end itself comes that late. "Is
 * not waited for": he does not come out before the wait has ended, which then must end well. */
#include "kernel/grace_period.h"

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupt_vectors.h"
#include "bench/bench.h"
#include "bench/hold_readers.h"
#include "kernel/log.h"
#include "kernel/run_queue.h"
#include "kernel/string.h"
#include "kernel/wait_queue.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/grace_torture.h"
#include "tests/kernel/net_frames.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define MILLISECOND      1000000ull
#define POLL_NS          100000ull
#define KEPT_IN_NS       (100 * MILLISECOND)
#define PATIENCE_NS      (20000 * MILLISECOND) /* for what comes soon or never */
#define SHORT_TIMEOUT_MS 60
#define PERIODS          10 /* of each of many callers */

/* Of one case; atomic. */
static struct scene {
    bool is_inside;
    bool is_released;
    bool is_over;           /* what the one inside waited for himself */
    uint64_t period_before; /* of those who wait for him */
} scene;

static bool flag_read(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void flag_set(bool *flag, bool value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
}

static bool flag_comes(const bool *flag)
{
    uint64_t limit = clock_now_ns() + PATIENCE_NS;

    while (!flag_read(flag) && clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    return flag_read(flag);
}

static uint32_t other_cpu(void)
{
    uint32_t other = cpu_index();

    for (uint32_t cpu = 0; cpu < cpu_present_count(); cpu++) {
        other = cpu != cpu_index() && cpu_index_is_online(cpu) ? cpu : other;
    }
    return other;
}

static bool needs_second_cpu(struct test *test)
{
    if (cpu_count() < 2) {
        test_skip(test, "needs a second CPU");
        return true;
    }
    return false;
}

/* The marked region: patched code in which a thread stands. Neither blocks nor says anything. */
static void stay_inside(void *argument)
{
    (void)argument;
    flag_set(&scene.is_inside, true);
    while (!flag_read(&scene.is_released)) {
        cpu_relax();
    }
    flag_set(&scene.is_inside, false);
}

/* However late the one that waits comes to run, the time begins with its period. */
static void release_later(void *argument)
{
    uint64_t limit = clock_now_ns() + PATIENCE_NS;

    (void)argument;
    while (__atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE) == scene.period_before &&
           clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    thread_sleep_ns(KEPT_IN_NS);
    flag_set(&scene.is_released, true);
}

/* Waits for a grace period while somebody is inside, who is let out meanwhile. */
static void expect_waited_for(struct test *test)
{
    scene.period_before = __atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE);
    struct thread *releaser = thread_create("releaser", cpu_index(), release_later, NULL);

    if (EXPECT(test, releaser != NULL)) {
        EXPECT(test, synchronize_tasks());
        EXPECT(test, !flag_read(&scene.is_inside));
        thread_join(releaser);
    }
    flag_set(&scene.is_released, true);
}

/* Starts @run on @cpu. Returns NULL if it does not get inside. */
static struct thread *start_inside(struct test *test, uint32_t cpu, void (*run)(void *argument))
{
    scene = (struct scene){0};
    struct thread *thread = thread_create("grace reader", cpu, run, NULL);

    if (EXPECT(test, thread != NULL) && !EXPECT(test, flag_comes(&scene.is_inside))) {
        flag_set(&scene.is_released, true);
        thread_join(thread);
        return NULL;
    }
    return thread;
}

static void expect_runner_waited_for(struct test *test, void (*run)(void *argument))
{
    if (needs_second_cpu(test)) {
        return;
    }
    struct thread *thread = start_inside(test, other_cpu(), run);

    if (thread != NULL) {
        expect_waited_for(test);
        thread_join(thread);
    }
}

static void running_thread_inside_is_waited_for(struct test *test)
{
    expect_runner_waited_for(test, stay_inside);
}

/* The reader never blocks and has the CPU of this thread: so whenever this thread runs, the reader
 * was preempted, in the region. */
static void preempted_thread_inside_is_waited_for(struct test *test)
{
    struct thread *thread = start_inside(test, cpu_index(), stay_inside);

    if (thread != NULL) {
        EXPECT(test, flag_read(&scene.is_inside) && thread->state == THREAD_RUNNABLE);
        expect_waited_for(test);
        thread_join(thread);
    }
}

/* Stays until it was seen, and KEPT_IN_NS from then on. */
static void handle_inside(void *argument)
{
    uint64_t limit = clock_now_ns() + PATIENCE_NS;

    (void)argument;
    flag_set(&scene.is_inside, true);
    while (!flag_read(&scene.is_released) && clock_now_ns() < limit) {
        cpu_relax();
    }
    limit = clock_now_ns() + KEPT_IN_NS;
    while (clock_now_ns() < limit) {
        cpu_relax();
    }
    flag_set(&scene.is_inside, false);
}

/* On a CPU that may well be idle: no thread is there to be waited for in its place. */
static void handler_in_progress_is_waited_for(struct test *test)
{
    static unsigned vector; /* nobody gives one back: the same each time */

    if (needs_second_cpu(test)) {
        return;
    }
    if (vector == 0) {
        vector = interrupt_vector_allocate(handle_inside, NULL);
    }
    if (!EXPECT(test, vector != 0)) {
        return;
    }
    scene = (struct scene){0};
    apic_send_ipi(other_cpu(), vector);
    EXPECT(test, flag_comes(&scene.is_inside));
    flag_set(&scene.is_released, true);
    EXPECT(test, synchronize_tasks());
    EXPECT(test, !flag_read(&scene.is_inside));
}

static struct wait_queue blocking = WAIT_QUEUE("grace test");

static bool condition_is_released(void *argument)
{
    (void)argument;
    return flag_read(&scene.is_released);
}

static void block(void *argument)
{
    (void)argument;
    flag_set(&scene.is_inside, true);
    wait_queue_wait_until(&blocking, condition_is_released, NULL);
}

static bool is_blocked(const struct thread *thread)
{
    uint64_t limit = clock_now_ns() + PATIENCE_NS;

    while (__atomic_load_n(&thread->state, __ATOMIC_ACQUIRE) != THREAD_BLOCKED &&
           clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    return thread->state == THREAD_BLOCKED;
}

/* It stays blocked all the time; who waits for it waits in vain. */
static void blocked_threads_are_outside(struct test *test)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct thread *thread = start_inside(test, i == 0 ? cpu_index() : other_cpu(), block);

        if (thread != NULL) {
            EXPECT(test, is_blocked(thread));
            EXPECT(test, synchronize_tasks());
            flag_set(&scene.is_released, true);
            wait_queue_wake_all(&blocking);
            thread_join(thread);
        }
    }
}

static void pass_checkpoints(void *argument)
{
    while (!workers_should_stop(argument)) {
        cpu_relax();
    }
}

static void yield_only(void *argument)
{
    while (!flag_read(&((struct workers *)argument)->stop)) {
        thread_yield();
    }
}

/* The workers do not end before the periods have. */
static void expect_not_waited_for(struct test *test, void (*work)(void *argument))
{
    static struct workers workers;

    if (EXPECT(test, workers_start(&workers, true, work, &workers))) {
        for (unsigned i = 0; i < PERIODS && EXPECT(test, synchronize_tasks()); i++) {
        }
        workers_join(&workers);
    }
}

static void checkpoints_let_busy_threads_through(struct test *test)
{
    expect_not_waited_for(test, pass_checkpoints);
}

/* Some of them are alone on their CPU: a yield without a switch must count as well. */
static void yields_let_busy_threads_through(struct test *test)
{
    expect_not_waited_for(test, yield_only);
}

static void pass_checkpoint_and_stay_inside(void *argument)
{
    thread_checkpoint();
    stay_inside(argument);
}

static void checkpoint_before_the_call_does_not_count(struct test *test)
{
    expect_runner_waited_for(test, pass_checkpoint_and_stay_inside);
}

/* In the region; as soon as somebody waits for it, it waits itself, still in the region. */
static void wait_inside(void *argument)
{
    uint64_t period = __atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE);
    uint64_t limit = clock_now_ns() + PATIENCE_NS;

    (void)argument;
    flag_set(&scene.is_inside, true);
    while (__atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE) == period &&
           clock_now_ns() < limit) {
        cpu_relax();
    }
    flag_set(&scene.is_over, synchronize_tasks());
}

/* Both wait for everybody, so each for the other, were the one that waits not outside. */
static void callee_that_waits_itself_does_not_deadlock(struct test *test)
{
    struct thread *thread = start_inside(test, cpu_index(), wait_inside);

    if (thread != NULL) {
        EXPECT(test, synchronize_tasks());
        thread_join(thread);
        EXPECT(test, scene.is_over);
    }
}

/* Whether the log has an error line that begins with @text, from @sequence on. */
static bool log_has_error(uint64_t sequence, const char *text)
{
    struct log_record record;

    while (log_read(&sequence, &record)) {
        if (record.level == LOG_ERROR && strncmp(record.text, text, strlen(text)) == 0) {
            return true;
        }
    }
    return false;
}

static void thread_that_never_comes_out_is_named_and_given_up(struct test *test)
{
    struct grace_statistics before, after;
    uint64_t sequence = log_next_sequence();
    struct thread *thread = start_inside(test, other_cpu(), stay_inside);

    if (thread == NULL) {
        return;
    }
    uint64_t timeout_ms = grace_timeout_set_ms(SHORT_TIMEOUT_MS);
    grace_statistics_read(&before);
    EXPECT(test, !synchronize_tasks() && flag_read(&scene.is_inside));
    grace_timeout_set_ms(timeout_ms);
    EXPECT(test, log_has_error(sequence, "grace period: thread grace reader "));
    grace_statistics_read(&after);
    EXPECT(test, after.given_up > before.given_up);
    flag_set(&scene.is_released, true);
    thread_join(thread);
    EXPECT(test, synchronize_tasks());
}

static void wait_often(void *argument)
{
    for (unsigned i = 0; i < PERIODS; i++) {
        __atomic_fetch_add((uint64_t *)argument, synchronize_tasks(), __ATOMIC_RELAXED);
    }
}

static void all_cpus_may_wait_at_once(struct test *test)
{
    static struct workers workers;
    uint64_t ended = 0;

    if (EXPECT(test, workers_start(&workers, true, wait_often, &ended))) {
        uint64_t expected = (uint64_t)workers.count * PERIODS;
        workers_join(&workers);
        EXPECT_EQUAL(test, ended, expected);
    }
}

static uint32_t load_work(void)
{
    return 0;
}

/* Loads of benches and readers of held batches compute for seconds without blocking. */
static void computing_threads_of_the_kernel_pass_checkpoints(struct test *test)
{
    if (EXPECT(test, bench_load_start(load_work))) {
        EXPECT(test, synchronize_tasks());
        bench_load_stop();
    }
    if (EXPECT(test, hold_readers_start())) {
        EXPECT(test, synchronize_tasks());
        hold_readers_stop();
    }
}

static bool frames_never_end; /* atomic */

static void inject_another(struct fake_nic *nic, unsigned queue)
{
    uint8_t frame[FRAME_BYTES_MIN];

    if (flag_read(&frames_never_end)) {
        frame_make(frame, 1);
        flag_set(&scene.is_inside, fake_nic_inject(nic, queue, frame, sizeof(frame)));
    }
}

/* Whenever the poll thread finds its ring empty, and would go to sleep, another frame is there: it
 * polls on for ever, and each poll runs programs. */
static void poll_thread_that_never_rests_passes_checkpoints(struct test *test)
{
    scene = (struct scene){0};
    flag_set(&frames_never_end, true);
    struct fake_nic *nic = fake_nic_add(
        &(struct fake_nic_options){.queues = 1, .before_interrupt_on = inject_another});

    if (EXPECT(test, nic != NULL)) {
        EXPECT(test, fake_nic_inject_word(nic, 0, 1));
        EXPECT(test, flag_comes(&scene.is_inside));
        uint64_t timeout_ms = grace_timeout_set_ms(PATIENCE_NS / MILLISECOND);
        for (unsigned i = 0; i < PERIODS && EXPECT(test, synchronize_tasks()); i++) {
        }
        grace_timeout_set_ms(timeout_ms);
        flag_set(&frames_never_end, false);
        fake_nic_remove(test, nic);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(running_thread_inside_is_waited_for),
    TEST_CASE(preempted_thread_inside_is_waited_for),
    TEST_CASE(handler_in_progress_is_waited_for),
    TEST_CASE(checkpoint_before_the_call_does_not_count),
    TEST_CASE(blocked_threads_are_outside),
    TEST_CASE(checkpoints_let_busy_threads_through),
    TEST_CASE(yields_let_busy_threads_through),
    TEST_CASE(callee_that_waits_itself_does_not_deadlock),
    TEST_CASE(thread_that_never_comes_out_is_named_and_given_up),
    TEST_CASE(all_cpus_may_wait_at_once),
    TEST_CASE(computing_threads_of_the_kernel_pass_checkpoints),
    TEST_CASE(poll_thread_that_never_rests_passes_checkpoints),
    TEST_CASE(no_reader_sees_a_version_that_a_period_has_freed),
};

const struct test_suite suite_grace_period = TEST_SUITE("grace_period", cases);
