// SPDX-License-Identifier: MIT
/* Paravirt ops under fire: all CPUs take and release named locks, turn interrupts off and on and
 * compare clocks, while one thread switches backends, layer and forms as fast as it can. Why it
 * detects: each lock protects a count that two owners at once would lose; locks halt almost at once
 * and wait for a kick, and fake_halt.h reports who was served and not kicked; the other clock is
 * behind, so that a single read without a floor goes back by that much:
 *
 *     one CPU                                   another CPU
 *     time = clock_now_ns()
 *     newest = max(newest, time)  (release)     before = newest  (acquire)
 *                                               clock_now_ns() must not be below
 *
 * Could miss: what needs a processor's own order of loads and stores (tests/host). It is TORTURE_NS
 * long every day; paravirt_switches=10000 on the kernel command line makes it that many switches
 * long. */
#include "arch/clock.h"
#include "arch/clock_floor.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "kernel/clock_change.h"
#include "kernel/command_line.h"
#include "kernel/console.h"
#include "kernel/lock_halt.h"
#include "kernel/paravirt_counted.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "tests/kernel/fake_halt.h"
#include "tests/kernel/paravirt_set.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define TORTURE_NS    3000000000ull
#define SWITCHES_MOST 10000000
#define MANY_SWITCHES 1000
#define CLOCK_FAR_NS  600000000ull /* behind at first: longer than a grace period takes */
#define CLOCK_NEAR_NS 200000ull    /* from then on */
#define CLOCK_SLOWER  1024         /* by one part of so many */
#define FEW_SPINS     2u
#define BURST         8 /* turns, and a rest: a switch would wait for the time slices of all */
#define REST_NS       500000ull
#define LOCKS         2
#define LOCKERS       8 /* CPUs, from the first on: tickets of more outlast the time slices */

/* ---- another clock ---- */

/* Where it begins; of its own: native time begins anew with each switch back. */
static uint64_t clock_base_ns, clock_base_ticks, clock_behind_ns;

static __attribute__((noinline)) uint64_t torture_clock_read(void)
{
    uint64_t passed = clock_ticks_to_ns(read_tsc() - clock_base_ticks);

    return clock_floor_apply(clock_base_ns + passed - passed / CLOCK_SLOWER);
}

/* Nobody reads it yet, or any more. */
static __attribute__((noinline)) const char *torture_clock_enter(enum paravirt_op_id op)
{
    (void)op;
    clock_base_ns = clock_now_ns() - clock_behind_ns;
    clock_base_ticks = read_tsc();
    clock_behind_ns = CLOCK_NEAR_NS;
    return NULL;
}

static void torture_clock_leave(enum paravirt_op_id op)
{
    (void)op;
}

static const struct paravirt_way way_clock = {.name = "torture_clock_read",
                                              .function = (paravirt_function *)torture_clock_read};

static const struct paravirt_backend clock_backend = {
    .name = "test clock",
    .summary = "a clock that is behind, and slower",
    .ways = {[PARAVIRT_clock_read] = &way_clock},
    .enter = torture_clock_enter,
    .leave = torture_clock_leave,
};

/* ---- all CPUs ---- */

static struct fire {
    struct workers workers;
    uint64_t turns, backwards, flags_wrong; /* atomic */
    uint64_t switches;
    _Alignas(64) uint64_t newest_ns; /* atomic: the latest time that anyone was told */
    struct {
        _Alignas(64) struct spinlock lock;
        uint64_t count; /* under the lock */
    } locked[LOCKS];
    uint64_t expected[LOCKS]; /* atomic */
} fire;

static void newest_raise(uint64_t now)
{
    uint64_t newest = __atomic_load_n(&fire.newest_ns, __ATOMIC_RELAXED);

    while (newest < now && !__atomic_compare_exchange_n(&fire.newest_ns, &newest, now, false,
                                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
    }
}

/* Returns whether the clock went back. */
static bool clock_turn(void)
{
    uint64_t before = __atomic_load_n(&fire.newest_ns, __ATOMIC_ACQUIRE);
    uint64_t now = clock_now_ns();

    newest_raise(now);
    return now < before;
}

static bool flags_turn(void)
{
    uint64_t flags = interrupts_save();
    bool was_off = !interrupts_enabled();
    uint64_t inner = interrupts_save();

    interrupts_restore(inner);
    was_off = was_off && !interrupts_enabled();
    interrupts_restore(flags);
    return was_off && interrupts_enabled();
}

/* Reads, dawdles, writes: a second owner would lose counts. */
static void lock_turn(unsigned which)
{
    uint64_t flags = spinlock_lock_save(&fire.locked[which].lock);
    uint64_t count = *(volatile uint64_t *)&fire.locked[which].count;

    for (unsigned i = 0; i < 8; i++) {
        cpu_relax();
    }
    *(volatile uint64_t *)&fire.locked[which].count = count + 1;
    spinlock_unlock_restore(&fire.locked[which].lock, flags);
}

static void use_everything(void *argument)
{
    uint64_t turns = 0, backwards = 0, flags_wrong = 0;
    uint64_t taken[LOCKS] = {0};

    (void)argument;
    while (!workers_should_stop(&fire.workers)) {
        unsigned which = (unsigned)turns % LOCKS;

        if (cpu_index() < LOCKERS) {
            lock_turn(which);
            taken[which]++;
        }
        backwards += clock_turn();
        flags_wrong += !flags_turn();
        if (++turns % BURST == 0) {
            thread_sleep_ns(REST_NS * cpu_count());
        }
    }
    __atomic_fetch_add(&fire.turns, turns, __ATOMIC_RELAXED);
    __atomic_fetch_add(&fire.backwards, backwards, __ATOMIC_RELAXED);
    __atomic_fetch_add(&fire.flags_wrong, flags_wrong, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < LOCKS; i++) {
        __atomic_fetch_add(&fire.expected[i], taken[i], __ATOMIC_RELAXED);
    }
}

/* ---- the switches ---- */

static bool op_to(const char *op, const struct paravirt_backend *backend)
{
    struct paravirt_refusal refusal;

    return paravirt_switch_op(op, backend, &refusal);
}

/* In this order, again and again: each change under each of some others. A switch of a base takes
 * the layer off. */
static bool switch_one(uint64_t number)
{
    const struct paravirt_backend *native = paravirt_backend_find("native");
    struct paravirt_refusal refusal;

    switch (number % 8) {
    case 0:
        return op_to("lock", &fake_halt_backend);
    case 1:
        return op_to("clock_read", &clock_backend);
    case 2:
        return paravirt_switch_form(PARAVIRT_DIRECT, &refusal);
    case 3:
        return paravirt_switch_all(paravirt_backend_find("counted"), &refusal);
    case 4:
        return paravirt_switch_form(PARAVIRT_INDIRECT, &refusal);
    case 5:
        return op_to("clock_read", native) && paravirt_switch_uncounted(&refusal);
    case 6:
        return op_to("lock", native);
    default:
        return paravirt_switch_form(PARAVIRT_INLINE, &refusal);
    }
}

/* Locks halt, or not; the clock is one, or the other. */
static bool switch_lock_or_clock(uint64_t number)
{
    const struct paravirt_backend *native = paravirt_backend_find("native");

    switch (number % 4) {
    case 0:
        return op_to("lock", &fake_halt_backend);
    case 1:
        return op_to("clock_read", &clock_backend);
    case 2:
        return op_to("lock", native);
    default:
        return op_to("clock_read", native);
    }
}

static uint64_t halts_count(void)
{
    uint64_t halts = 0;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        halts += lock_halt_counts(cpu).halts;
    }
    return halts;
}

static void switch_for_long(struct test *test, bool (*switch_next)(uint64_t number))
{
    uint64_t wanted = 0, done = 0, lost = 0;
    uint64_t start_ns = clock_now_ns();
    uint64_t end_ns = start_ns + test_torture_ns(TORTURE_NS);

    command_line_get_number("paravirt_switches", 1, SWITCHES_MOST, &wanted);
    while (done < 16 || (wanted != 0 ? done < wanted : clock_now_ns() < end_ns)) {
        if (test_should_stop(test)) {
            test_skip(test, "stopped by Ctrl-C");
            break;
        }
        lost += !switch_next(done++);
    }
    EXPECT_EQUAL(test, lost, 0);
    fire.switches = done;
    console_print("    # %llu switches in %llu ms\n", (unsigned long long)done,
                  (unsigned long long)((clock_now_ns() - start_ns) / 1000000));
}

static void fire_expect(struct test *test, uint64_t halts_before)
{
    EXPECT(test, fire.turns > 0);
    EXPECT_EQUAL(test, fire.backwards, 0);
    EXPECT_EQUAL(test, fire.flags_wrong, 0);
    for (unsigned i = 0; i < LOCKS; i++) {
        EXPECT_EQUAL(test, fire.locked[i].count, fire.expected[i]);
        EXPECT_EQUAL(test, fire.locked[i].lock.next, fire.locked[i].lock.serving);
        EXPECT_EQUAL(test, fire.locked[i].lock.halted, 0);
    }
    /* In a short run on a crowded host the CPUs may never have met at a lock. */
    EXPECT(test, cpu_count() == 1 || fire.switches < MANY_SWITCHES || halts_count() > halts_before);
}

static void run_under_fire(struct test *test, bool (*switch_next)(uint64_t number))
{
    uint64_t lost_before = fake_halt_lost(NULL);
    uint64_t halts_before = halts_count();

    fire = (struct fire){
        .locked = {{.lock = SPINLOCK("test torture a")}, {.lock = SPINLOCK("test torture b")}}};
    thread_sleep_until_ns(2 * CLOCK_FAR_NS); /* no time below 0 */
    clock_behind_ns = CLOCK_FAR_NS;
    __atomic_store_n(&lock_halt_spins, FEW_SPINS, __ATOMIC_RELAXED);
    if (EXPECT(test, workers_start(&fire.workers, true, use_everything, NULL))) {
        switch_for_long(test, switch_next);
        workers_join(&fire.workers);
        fire_expect(test, halts_before);
    }
    __atomic_store_n(&lock_halt_spins, LOCK_HALT_SPINS, __ATOMIC_RELAXED);
    fake_halt_print_lost(lost_before);
    EXPECT_EQUAL(test, fake_halt_lost(NULL), lost_before);
}

static void torture(struct test *test, bool (*switch_next)(uint64_t number))
{
    if (!EXPECT(test, paravirt_backend_add(&fake_halt_backend))) {
        return;
    }
    if (EXPECT(test, paravirt_backend_add(&clock_backend))) {
        run_under_fire(test, switch_next);
        paravirt_set_native(test);
        paravirt_counted_clear(); /* its memory, too */
        EXPECT(test, paravirt_backend_remove(&clock_backend));
    }
    EXPECT(test, paravirt_backend_remove(&fake_halt_backend));
}

static void locks_and_clocks_survive_switches_of_them(struct test *test)
{
    torture(test, switch_lock_or_clock);
}

static void everything_survives_switches_of_everything(struct test *test)
{
    torture(test, switch_one);
}

static bool clock_goes(struct test *test, const struct paravirt_way *way)
{
    struct patch_change change = paravirt_change_to(&paravirt_ops[PARAVIRT_clock_read], way);
    uint64_t before = clock_now_ns();
    uint64_t during;

    if (!EXPECT(test, clock_change_begin())) {
        return false;
    }
    EXPECT_EQUAL(test, patch_transaction("test clock", &change, 1, NULL), PATCH_OK);
    during = clock_now_ns();
    EXPECT(test, during >= before);
    EXPECT(test, clock_change_end());
    EXPECT(test, clock_now_ns() > during);
    return true;
}

/* By hand, without the grace period that hides how early the floor goes: who sleeps sleeps until
 * the source has caught up, and so does a grace period. Mutants: floor-let-go-too-early,
 * clock-without-floor. */
static void floor_stands_until_the_source_has_caught_up(struct test *test)
{
    thread_sleep_until_ns(2 * CLOCK_FAR_NS);
    clock_behind_ns = CLOCK_FAR_NS;
    torture_clock_enter(PARAVIRT_clock_read);
    if (clock_goes(test, &way_clock)) {
        clock_goes(test, paravirt_native_ways[PARAVIRT_clock_read]);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(floor_stands_until_the_source_has_caught_up),
    TEST_CASE(locks_and_clocks_survive_switches_of_them),
    TEST_CASE(everything_survives_switches_of_everything),
};

const struct test_suite suite_paravirt_torture = TEST_SUITE("paravirt_torture", cases);
