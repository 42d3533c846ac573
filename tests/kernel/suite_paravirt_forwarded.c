// SPDX-License-Identifier: MIT
/* What ops do under the layer `counted`: the interrupt flag, locks, registers are as without it;
 * and what it says about locks, by name. Detects a way that forwards to another op, a thunk that
 * loses a register, a wait that is not counted. Could miss a register that happens to be left alone
 * by what the compiler made of the counting. */
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "kernel/glob.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "tests/kernel/counted_layer.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

static struct spinlock own_lock = SPINLOCK("test counted own"); /* released, never taken */

/* ---- flags and registers ---- */

static void interrupt_flag_follows_the_ops(struct test *test)
{
    uint64_t saved_on, saved_off;
    bool after_disable, after_enable, after_disable_again, after_restore;

    if (!counted_layer_on(test, "irq_disable") || !counted_layer_on(test, "irq_enable") ||
        !counted_layer_on(test, "irq_save") || !counted_layer_on(test, "irq_restore")) {
        counted_layer_off(test);
        return;
    }
    pv_irq_disable();
    after_disable = counted_layer_interrupts_are_on();
    pv_irq_enable();
    after_enable = counted_layer_interrupts_are_on();
    saved_on = pv_irq_save();
    pv_irq_disable();
    after_disable_again = counted_layer_interrupts_are_on();
    saved_off = pv_irq_save();
    pv_irq_restore();
    after_restore = counted_layer_interrupts_are_on();
    EXPECT(test, !after_disable);
    EXPECT(test, after_enable);
    EXPECT(test, !after_disable_again);
    EXPECT(test, after_restore);
    EXPECT(test, (saved_on & FLAG_INTERRUPT) != 0);
    EXPECT(test, (saved_off & FLAG_INTERRUPT) == 0);
    EXPECT(test, (saved_off & 2) != 0); /* always 1: these are flags */
    counted_layer_off(test);
}

/* Ops that keep registers, with an operand that is right for those that take one; eoi is not
 * among them: its way is made by the same macro as that of lock_unlock. */
static const enum paravirt_op_id keeping[] = {
    PARAVIRT_irq_save,   PARAVIRT_irq_disable, PARAVIRT_irq_restore,
    PARAVIRT_irq_enable, PARAVIRT_lock_unlock, PARAVIRT_tlb_flush_page,
};
enum { KEEPING = sizeof(keeping) / sizeof(keeping[0]) };

static void registers_are_kept(struct test *test)
{
    struct counted_layer_registers registers[KEEPING];

    if (!counted_layer_on(test, NULL)) {
        return;
    }
    for (unsigned i = 0; i < KEEPING; i++) {
        counted_layer_call(paravirt_ops[keeping[i]].way->function, (uint64_t)&own_lock,
                           &registers[i]);
    }
    for (unsigned i = 0; i < KEEPING; i++) {
        bool is_stacked = keeping[i] == PARAVIRT_irq_save;

        for (unsigned r = 0; r < COUNTED_LAYER_REGISTERS; r++) {
            EXPECT_EQUAL(test, registers[i].after[r],
                         r == COUNTED_LAYER_RDI ? (uint64_t)&own_lock : COUNTED_LAYER_CANARY + r);
        }
        EXPECT_EQUAL(test, registers[i].pushed, is_stacked ? 8 : 0);
        EXPECT(test, !is_stacked || (registers[i].result & FLAG_INTERRUPT) != 0);
    }
    counted_layer_off(test);
}

static void clock_goes_on(struct test *test)
{
    uint64_t before = pv_clock_read();
    uint64_t counted, after;

    if (!counted_layer_on(test, "clock_read")) {
        return;
    }
    counted = pv_clock_read();
    counted_layer_off(test);
    after = pv_clock_read();
    EXPECT(test, before < counted && counted < after);
}

/* A layer forwards to what a table of functions says: there is one such table. */
static void second_layer_is_refused(struct test *test)
{
    static struct paravirt_backend second;
    struct paravirt_refusal refusal;
    uint64_t calls;

    second = paravirt_backend_counted;
    second.name = "counted-again";
    second.enter = NULL;
    second.leave = NULL;
    if (!counted_layer_on(test, "tlb_flush_page")) {
        return;
    }
    if (EXPECT(test, paravirt_backend_add(&second))) {
        EXPECT(test, !paravirt_switch_all(&second, &refusal));
        EXPECT(test, glob_match("*tlb_flush_page*", refusal.text));
        EXPECT(test, paravirt_is_counted(PARAVIRT_tlb_flush_page));
        EXPECT(test, !paravirt_is_counted(PARAVIRT_irq_save));
        EXPECT(test, paravirt_backend_remove(&second));
    }
    EXPECT(test, counted_layer_on(test, "tlb_flush_page")); /* itself again: as it is */
    calls = counted_layer_total(PARAVIRT_tlb_flush_page);
    pv_tlb_flush_page((uint64_t)&own_lock);
    EXPECT_EQUAL(test, counted_layer_total(PARAVIRT_tlb_flush_page), calls + 1);
    counted_layer_off(test);
}

/* ---- locks ---- */

static struct fight {
    struct workers workers;
    struct spinlock lock;
    uint64_t inside; /* under lock, on purpose not atomic */
    uint64_t rounds; /* atomic */
} fight;

static void fight_thread(void *argument)
{
    uint64_t rounds = 0;

    (void)argument;
    do {
        uint64_t flags = spinlock_lock_save(&fight.lock);

        fight.inside++;
        spinlock_unlock_restore(&fight.lock, flags);
        rounds++;
    } while (!workers_should_stop(&fight.workers) || rounds < 1000);
    __atomic_fetch_add(&fight.rounds, rounds, __ATOMIC_RELAXED);
}

static void locks_let_one_in_and_are_counted_by_name(struct test *test)
{
    struct paravirt_lock_counts row;

    fight = (struct fight){.lock = SPINLOCK("test counted fight")};
    if (!counted_layer_on(test, "lock")) {
        return;
    }
    if (EXPECT(test, workers_start(&fight.workers, true, fight_thread, NULL))) {
        workers_join(&fight.workers);
    }
    EXPECT(test, counted_layer_lock("test counted fight", &row));
    EXPECT_EQUAL(test, fight.inside, fight.rounds);
    EXPECT_EQUAL(test, row.taken, fight.rounds);
    EXPECT_EQUAL(test, fight.lock.serving, (uint32_t)fight.rounds);
    EXPECT(test, row.contended <= row.taken);
    EXPECT(test, row.contended > 0 || row.waited_ticks == 0);
    counted_layer_off(test);
}

/* A lock with interrupts on, so that its owner may wait for the other CPU to come. */
static struct duel {
    struct spinlock lock, free_lock;
    bool is_taken; /* atomic */
} duel;

static void duel_thread(void *argument)
{
    (void)argument;
    /* Acquire: pairs with the release below: the lock has its owner. */
    while (!__atomic_load_n(&duel.is_taken, __ATOMIC_ACQUIRE)) {
        cpu_relax();
    }
    preempt_disable();
    spinlock_lock_interruptible(&duel.lock);
    spinlock_unlock(&duel.lock);
    preempt_enable();
}

/* Holds the lock until another CPU has drawn a ticket and waits. */
static void duel_fight(void)
{
    preempt_disable();
    spinlock_lock_interruptible(&duel.lock);
    __atomic_store_n(&duel.is_taken, true, __ATOMIC_RELEASE);
    while (__atomic_load_n(&duel.lock.next, __ATOMIC_RELAXED) != duel.lock.serving + 2) {
        cpu_relax();
    }
    spinlock_unlock(&duel.lock);
    preempt_enable();
}

/* Made, not waited for: one lock that is free, then one that somebody has. */
static void wait_for_a_lock_is_counted_under_its_name(struct test *test)
{
    unsigned other = cpu_index() == 0 ? 1 : 0;
    struct paravirt_lock_counts row, free_row;
    struct thread *thread = NULL;

    if (cpu_count() == 1 || !cpu_is_online(cpu_by_index(other))) {
        test_skip(test, "one CPU");
        return;
    }
    duel = (struct duel){.lock = SPINLOCK("test counted duel"),
                         .free_lock = SPINLOCK("test counted free")};
    if (!counted_layer_on(test, "lock")) {
        return;
    }
    spinlock_unlock_restore(&duel.free_lock, spinlock_lock_save(&duel.free_lock));
    thread = thread_create("test duel", other, duel_thread, NULL);
    if (EXPECT(test, thread != NULL)) {
        duel_fight();
        thread_join(thread);
        EXPECT(test, counted_layer_lock("test counted duel", &row));
        EXPECT_EQUAL(test, row.taken, 2);
        EXPECT_EQUAL(test, row.contended, 1);
        EXPECT(test, row.waited_ticks > 0);
        EXPECT_EQUAL(test, row.longest_ticks, row.waited_ticks);
        EXPECT(test, counted_layer_lock(duel.free_lock.name, &free_row));
        EXPECT_EQUAL(test, free_row.taken, 1);
        EXPECT_EQUAL(test, free_row.contended + free_row.waited_ticks, 0);
    }
    counted_layer_off(test);
}

/* One text at two addresses is one row. */
static void locks_of_one_name_are_one_row(struct test *test)
{
    static const char left[] = "test counted twin", right[] = "test counted twin";
    static struct spinlock locks[] = {SPINLOCK(left), SPINLOCK(right), SPINLOCK(left)};
    struct paravirt_lock_counts row;

    if (!EXPECT(test, &left[0] != &right[0]) || !counted_layer_on(test, "lock")) {
        return;
    }
    for (unsigned i = 0; i < 3; i++) {
        spinlock_unlock_restore(&locks[i], spinlock_lock_save(&locks[i]));
    }
    EXPECT(test, counted_layer_lock(left, &row));
    EXPECT_EQUAL(test, row.taken, 3);
    counted_layer_off(test);
}

/* More names than the table has places: the rest in a row of its own, none lost. */
static void names_beyond_the_table_are_counted_together(struct test *test)
{
    enum { NAMES = COUNTED_LOCK_NAMES + 20 };
    static char names[NAMES][4]; /* outlive the table, which keeps addresses */
    struct paravirt_lock_counts row;
    uint64_t named = 0;

    if (!counted_layer_on(test, "lock")) {
        return;
    }
    for (unsigned i = 0; i < NAMES; i++) {
        struct spinlock lock = SPINLOCK(names[i]);

        names[i][0] = (char)('A' + i / 26);
        names[i][1] = (char)('a' + i % 26);
        spinlock_unlock_restore(&lock, spinlock_lock_save(&lock));
    }
    for (unsigned i = 0; i < NAMES; i++) {
        if (counted_layer_lock(names[i], &row)) {
            EXPECT_EQUAL(test, row.taken, 1);
            named += row.taken;
        }
    }
    EXPECT(test, counted_layer_lock(paravirt_lock_others, &row));
    EXPECT(test, named < NAMES && row.taken >= NAMES - named); /* the kernel has names, too */
    counted_layer_off(test);
}

static const struct test_case cases[] = {
    TEST_CASE(interrupt_flag_follows_the_ops),
    TEST_CASE(registers_are_kept),
    TEST_CASE(clock_goes_on),
    TEST_CASE(second_layer_is_refused),
    TEST_CASE(locks_let_one_in_and_are_counted_by_name),
    TEST_CASE(wait_for_a_lock_is_counted_under_its_name),
    TEST_CASE(locks_of_one_name_are_one_row),
    TEST_CASE(names_beyond_the_table_are_counted_together),
};

const struct test_suite suite_paravirt_forwarded = TEST_SUITE("paravirt_forwarded", cases);
