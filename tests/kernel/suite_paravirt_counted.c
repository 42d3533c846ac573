// SPDX-License-Identifier: MIT
/* The layer `counted` on the running kernel: counts are exact, wherever an interrupt comes in.
 *
 * Figures are read from the layer's cells themselves, not through paravirt_counted_add(): that
 * takes a mutex, and so would count what it reads. Ops whose counts have to be exact are such as
 * nobody else calls while the suite runs: tlb_flush_page, tlb_flush_local. Could miss a count lost
 * to another CPU: each CPU writes its own cells, but for those that clear.
 *
 * What the ops do under it, and locks by name: suite_paravirt_forwarded.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "arch/single_step.h"
#include "kernel/cross_call.h"
#include "kernel/glob.h"
#include "kernel/page_allocator.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/platform.h"
#include "patching/transaction.h"
#include "tests/kernel/counted_layer.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define HALT_NS  5000000ull
#define STORM_NS 200000000ull /* or five interrupts, where CPUs share one of the host */

static uint64_t page_word; /* its page's translation is dropped: harmless */

static void flush_page(void)
{
    pv_tlb_flush_page((uint64_t)&page_word);
}

/* ---- exact ---- */

static void flush_some(void *argument)
{
    for (unsigned i = 0; i < *(unsigned *)argument; i++) {
        flush_page();
    }
}

static void calls_are_counted_where_they_were_made(struct test *test)
{
    if (!counted_layer_on(test, "tlb_flush_page")) {
        return;
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        unsigned calls = 3 + cpu % 7;
        uint64_t others = counted_layer_total(PARAVIRT_tlb_flush_page) -
                          counted_layer_calls(PARAVIRT_tlb_flush_page, cpu);
        uint64_t before = counted_layer_calls(PARAVIRT_tlb_flush_page, cpu);

        if (!on_cpu(cpu, flush_some, &calls)) {
            continue; /* not online */
        }
        EXPECT_EQUAL(test, counted_layer_calls(PARAVIRT_tlb_flush_page, cpu) - before, calls);
        EXPECT_EQUAL(test,
                     counted_layer_total(PARAVIRT_tlb_flush_page) -
                         counted_layer_calls(PARAVIRT_tlb_flush_page, cpu),
                     others);
    }
    counted_layer_off(test);
}

static struct storm {
    struct workers workers;
    uint64_t calls[CPU_MAX]; /* atomic: an interrupt adds, too */
} storm;

static void storm_call(unsigned calls)
{
    __atomic_fetch_add(&storm.calls[cpu_index()], calls, __ATOMIC_RELAXED);
    flush_some(&calls);
}

static void storm_thread(void *argument)
{
    (void)argument;
    do {
        storm_call(50);
    } while (!workers_should_stop(&storm.workers));
}

static void storm_interrupt(void *argument)
{
    (void)argument;
    storm_call(3);
}

/* Threads on all CPUs, and interrupts on all that make the same call. */
static void calls_of_all_cpus_and_their_interrupts_add_up(struct test *test)
{
    memset(&storm, 0, sizeof(storm));
    if (!counted_layer_on(test, "tlb_flush_page")) {
        return;
    }
    if (EXPECT(test, workers_start(&storm.workers, true, storm_thread, NULL))) {
        uint64_t end_ns = clock_now_ns() + STORM_NS;

        for (unsigned i = 0; i < 5 || (i < 100 && clock_now_ns() < end_ns); i++) {
            on_each_cpu(storm_interrupt, NULL);
        }
        workers_join(&storm.workers);
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT_EQUAL(test, counted_layer_calls(PARAVIRT_tlb_flush_page, cpu), storm.calls[cpu]);
    }
    counted_layer_off(test);
}

/* ---- exact at every instruction ---- */

static struct interleaving {
    uint64_t calls;
    struct spinlock inner, outer;
} interleaving;

static void flush_once(uint64_t argument)
{
    (void)argument;
    flush_page();
}

static void flush_between(uint64_t address, uint64_t next, void *context)
{
    (void)address;
    (void)next;
    (void)context;
    interleaving.calls++;
    flush_page();
}

/* Locks that nobody takes: their release moves a number. */
static void unlock_once(uint64_t argument)
{
    (void)argument;
    pv_lock_unlock(&interleaving.outer);
}

static void unlock_between(uint64_t address, uint64_t next, void *context)
{
    (void)address;
    (void)next;
    (void)context;
    interleaving.calls++;
    pv_lock_unlock(&interleaving.inner);
}

/* Runs @once with @between behind each of its instructions. */
static bool interleave(struct test *test, void (*once)(uint64_t), single_step_callback *between)
{
    static const char name[] = "test counted between";
    uint64_t flags;

    interleaving = (struct interleaving){.inner = SPINLOCK(name), .outer = SPINLOCK(name)};
    if (!EXPECT_EQUAL(test, patch_lock_take(), PATCH_OK)) {
        return false;
    }
    flags = interrupts_save();
    single_step_run(once, 0, between, NULL);
    interrupts_restore(flags);
    platform_unlock();
    return EXPECT(test, interleaving.calls > 50);
}

static void expect_whole(struct test *test, enum paravirt_op_id op, uint64_t calls)
{
    const struct counted_times *times = &counted_places[cpu_index()].block->ops[op];
    uint64_t in_buckets = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        in_buckets += times->buckets[i];
    }
    EXPECT_EQUAL(test, times->count, calls);
    EXPECT_EQUAL(test, in_buckets, calls);
    EXPECT(test, times->longest >= ~times->shortest);
    EXPECT(test, times->ticks >= times->longest);
    EXPECT(test, times->ticks <= calls * times->longest);
}

/* A call, and the same call behind each of its instructions, as an interrupt would make it there. A
 * count that is read, raised and stored in more than one instruction loses what came in between. An
 * emulator lets interrupts in between its blocks only, so the storm above would not show that. */
static void count_is_exact_wherever_an_interrupt_comes(struct test *test)
{
    if (!counted_layer_on(test, "tlb_flush_page")) {
        return;
    }
    if (interleave(test, flush_once, flush_between)) {
        expect_whole(test, PARAVIRT_tlb_flush_page, interleaving.calls + 1);
    }
    counted_layer_off(test);
}

static void count_of_a_lock_is_exact_wherever_an_interrupt_comes(struct test *test)
{
    struct paravirt_lock_counts row;

    if (!counted_layer_on(test, "lock")) {
        return;
    }
    if (interleave(test, unlock_once, unlock_between)) {
        EXPECT(test, counted_layer_lock(interleaving.outer.name, &row));
        EXPECT_EQUAL(test, row.taken, interleaving.calls + 1);
        EXPECT_EQUAL(test, interleaving.inner.serving, interleaving.calls);
        EXPECT_EQUAL(test, interleaving.outer.serving, 1);
    }
    counted_layer_off(test);
}

/* ---- each op as itself ---- */

static struct spinlock own_lock = SPINLOCK("test counted own");

static void call_irq_save(void)
{
    (void)pv_irq_save();
}

static void call_lock_unlock(void)
{
    pv_lock_unlock(&own_lock);
}

static void call_lock_slow(void)
{
    pv_lock_slow(&own_lock, own_lock.serving); /* which is served already */
}

static void call_lock_kick(void)
{
    pv_lock_kick(cpu_index()); /* that is awake */
}

static void call_clock_read(void)
{
    (void)pv_clock_read();
}

/* The others need a machine around them: see below. */
static const struct own_call {
    enum paravirt_op_id op;
    void (*call)(void);
} own_calls[] = {
    {PARAVIRT_irq_save, call_irq_save},
    {PARAVIRT_irq_restore, pv_irq_restore},
    {PARAVIRT_irq_disable, pv_irq_disable},
    {PARAVIRT_irq_enable, pv_irq_enable},
    {PARAVIRT_lock_slow, call_lock_slow},
    {PARAVIRT_lock_unlock, call_lock_unlock},
    {PARAVIRT_lock_kick, call_lock_kick},
    {PARAVIRT_tlb_flush_page, flush_page},
    {PARAVIRT_tlb_flush_local, pv_tlb_flush_local},
    {PARAVIRT_clock_read, call_clock_read},
};

struct op_figures {
    uint64_t count[PARAVIRT_OP_COUNT];
    uint64_t ticks[PARAVIRT_OP_COUNT];
};

static void figures_read(const struct counted_cpu *block, struct op_figures *figures)
{
    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
        figures->count[op] = __atomic_load_n(&block->ops[op].count, __ATOMIC_RELAXED);
        figures->ticks[op] = __atomic_load_n(&block->ops[op].ticks, __ATOMIC_RELAXED);
    }
}

/* Makes one call; returns whether nothing but the call can have been counted on this CPU. */
static bool own_call_make(const struct own_call *own, struct op_figures *before,
                          struct op_figures *after)
{
    const struct cpu *cpu = this_cpu();
    const struct counted_cpu *block = counted_places[cpu->index].block;
    uint64_t flags = interrupts_save();
    uint64_t interrupts = __atomic_load_n(&cpu->counters.interrupts, __ATOMIC_RELAXED);

    figures_read(block, before);
    own->call();
    figures_read(block, after);
    interrupts -= __atomic_load_n(&cpu->counters.interrupts, __ATOMIC_RELAXED);
    pv_irq_disable();
    interrupts_restore(flags);
    return interrupts == 0;
}

/* A call that turns interrupts on lets one in now and then, which counts what it calls: so it is
 * made again until none came. */
static void each_op_is_counted_and_timed_as_itself(struct test *test)
{
    struct op_figures before, after;

    if (!counted_layer_on(test, NULL)) {
        return;
    }
    for (unsigned i = 0; i < sizeof(own_calls) / sizeof(own_calls[0]); i++) {
        unsigned tries = 1000;

        while (!own_call_make(&own_calls[i], &before, &after) && tries > 0) {
            tries--;
        }
        EXPECT(test, tries > 0);
        for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
            bool is_own = op == own_calls[i].op;

            EXPECT_EQUAL(test, after.count[op] - before.count[op], is_own);
            EXPECT_EQUAL(test, after.ticks[op] > before.ticks[op], is_own);
        }
    }
    counted_layer_off(test);
}

static void do_nothing(void *argument)
{
    (void)argument;
}

/* One op calls another: the flush of all CPUs is a flush on each. */
static void ops_inside_ops_are_counted_too(struct test *test)
{
    unsigned here = cpu_index();

    if (!counted_layer_on(test, NULL)) {
        return;
    }
    pv_tlb_flush_all();
    EXPECT_EQUAL(test, counted_layer_calls(PARAVIRT_tlb_flush_all, here), 1);
    EXPECT_EQUAL(test, counted_layer_total(PARAVIRT_tlb_flush_all), 1);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT_EQUAL(test, counted_layer_calls(PARAVIRT_tlb_flush_local, cpu),
                     cpu_is_online(cpu_by_index(cpu)));
    }
    counted_layer_off(test);
}

/* Interrupts sent and ended, and a CPU that halts. */
static void machine_ops_are_counted(struct test *test)
{
    unsigned here = cpu_index();
    unsigned other = here == 0 ? 1 : 0;

    if (!counted_layer_on(test, NULL)) {
        return;
    }
    if (cpu_count() > 1 && cpu_is_online(cpu_by_index(other))) {
        uint64_t sent = counted_layer_calls(PARAVIRT_send_ipi, here);
        uint64_t ended = counted_layer_calls(PARAVIRT_eoi, other);
        uint64_t broadcast = counted_layer_calls(PARAVIRT_broadcast_ipi, here);

        EXPECT(test, on_cpu(other, do_nothing, NULL));
        EXPECT(test, counted_layer_calls(PARAVIRT_send_ipi, here) > sent);
        interrupt_handlers_wait(); /* the end of an interrupt comes behind what it called */
        EXPECT(test, counted_layer_calls(PARAVIRT_eoi, other) > ended);
        on_each_cpu(do_nothing, NULL);
        EXPECT(test, counted_layer_calls(PARAVIRT_broadcast_ipi, here) > broadcast);
    }
    /* Where the host takes the CPU away its sleep is over before it comes to halt. */
    for (unsigned i = 0; i < 100 && counted_layer_calls(PARAVIRT_safe_halt, here) == 0; i++) {
        thread_sleep_ns(HALT_NS);
    }
    EXPECT(test, counted_layer_calls(PARAVIRT_safe_halt, here) > 0);
    counted_layer_off(test);
}

/* ---- on and off ---- */

static void taken_off_nothing_is_counted_and_figures_stay(struct test *test)
{
    struct paravirt_refusal refusal;
    struct paravirt_counts counts = {0};
    uint64_t calls;

    if (!counted_layer_on(test, NULL)) {
        return;
    }
    flush_page();
    EXPECT(test, paravirt_switch_uncounted(&refusal));
    calls = counted_layer_total(PARAVIRT_irq_save);
    EXPECT(test, calls > 0);
    flush_page();
    thread_sleep_ns(HALT_NS);
    EXPECT_EQUAL(test, counted_layer_total(PARAVIRT_irq_save), calls);
    paravirt_counted_add(PARAVIRT_tlb_flush_page, 0, cpu_present_count(), &counts);
    EXPECT_EQUAL(test, counts.times.count, 1);
    EXPECT_EQUAL(test, counts.ticks, counts.times.maximum);
    EXPECT_EQUAL(test, counts.times.minimum, counts.times.maximum);
    counted_layer_off(test);
}

static void clear_begins_at_zero_and_counting_goes_on(struct test *test)
{
    struct paravirt_counts counts = {0};

    if (!counted_layer_on(test, "tlb_flush_page")) {
        return;
    }
    flush_page();
    paravirt_counted_clear();
    EXPECT(test, paravirt_counted_has_memory());
    paravirt_counted_add(PARAVIRT_tlb_flush_page, 0, cpu_present_count(), &counts);
    EXPECT_EQUAL(test, counts.times.count, 0);
    EXPECT_EQUAL(test, counts.ticks, 0);
    flush_page();
    flush_page();
    expect_whole(test, PARAVIRT_tlb_flush_page, 2);
    counted_layer_off(test);
}

static struct latecomer {
    uint32_t *inside;
    bool has_left; /* atomic */
} latecomer;

static void latecomer_thread(void *argument)
{
    (void)argument;
    thread_sleep_ns(HALT_NS);
    __atomic_store_n(&latecomer.has_left, true, __ATOMIC_RELAXED);
    /* Release: who sees it sees has_left; as the layer does. */
    __atomic_fetch_sub(latecomer.inside, 1, __ATOMIC_RELEASE);
}

/* Somebody who came through a site before it changed, and was stopped inside. */
static void memory_is_kept_while_somebody_counts_in_it(struct test *test)
{
    struct paravirt_refusal refusal;
    struct thread *thread;

    latecomer = (struct latecomer){.inside = &counted_places[cpu_index()].inside};
    if (!counted_layer_on(test, "tlb_flush_page")) {
        return;
    }
    EXPECT(test, paravirt_switch_uncounted(&refusal));
    __atomic_fetch_add(latecomer.inside, 1, __ATOMIC_SEQ_CST);
    thread = thread_create("test latecomer", cpu_index(), latecomer_thread, NULL);
    if (EXPECT(test, thread != NULL)) {
        paravirt_counted_clear();
        EXPECT(test, __atomic_load_n(&latecomer.has_left, __ATOMIC_RELAXED));
        thread_join(thread);
    } else {
        __atomic_fetch_sub(latecomer.inside, 1, __ATOMIC_RELEASE);
    }
    counted_layer_off(test);
}

static void without_memory_it_is_refused(struct test *test)
{
    struct paravirt_refusal refusal;
    bool is_on;

    EXPECT(test, !paravirt_counted_has_memory());
    page_allocator_fail_after(cpu_count() > 1 ? 1 : 0); /* one CPU gets its block */
    is_on = paravirt_switch_all(&paravirt_backend_counted, &refusal);
    page_allocator_fail_after(PAGE_FAIL_NEVER);
    EXPECT(test, !is_on);
    EXPECT(test, glob_match("*no memory*", refusal.text));
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        EXPECT(test, !paravirt_is_counted(op));
    }
    EXPECT(test, !paravirt_counted_has_memory());
    EXPECT(test, counted_layer_on(test, NULL)); /* with memory it works */
    counted_layer_off(test);
}

static const struct test_case cases[] = {
    TEST_CASE(calls_are_counted_where_they_were_made),
    TEST_CASE(calls_of_all_cpus_and_their_interrupts_add_up),
    TEST_CASE(count_is_exact_wherever_an_interrupt_comes),
    TEST_CASE(count_of_a_lock_is_exact_wherever_an_interrupt_comes),
    TEST_CASE(each_op_is_counted_and_timed_as_itself),
    TEST_CASE(ops_inside_ops_are_counted_too),
    TEST_CASE(machine_ops_are_counted),
    TEST_CASE(taken_off_nothing_is_counted_and_figures_stay),
    TEST_CASE(clear_begins_at_zero_and_counting_goes_on),
    TEST_CASE(memory_is_kept_while_somebody_counts_in_it),
    TEST_CASE(without_memory_it_is_refused),
};

const struct test_suite suite_paravirt_counted = TEST_SUITE("paravirt_counted", cases);
