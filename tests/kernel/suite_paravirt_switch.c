// SPDX-License-Identifier: MIT
/* Switches of backends: what is entered before the batch is left behind it, when nobody is inside;
 * what is refused leaves everything as it was. Why it detects: a backend of its own looks around in
 * each call of its enter() and leave(); a thread stands inside an old way for as long as the test
 * wants. Misses: what a failing write leaves (tests/host). */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "kernel/grace_period.h"
#include "kernel/glob.h"
#include "kernel/options.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "patching/platform.h"
#include "patching/record.h"
#include "tests/kernel/paravirt_double.h"
#include "tests/kernel/paravirt_set.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define LINGER_NS   20000000ull    /* inside the old way, after it was taken away */
#define TOO_LATE_NS 20000000000ull /* nobody has taken it away */

/* ---- a backend that looks around ---- */

static struct watch {
    unsigned entered[PARAVIRT_OP_COUNT], left[PARAVIRT_OP_COUNT];
    unsigned too_late, too_early; /* enter() behind the batch, leave() before it */
    enum paravirt_op_id refuses;  /* enter() of this one */
} watch;

/* A thread that goes through the op tlb_flush_local, and what it is told. */
static struct visitor {
    struct workers workers;
    bool is_expected; /* atomic: who comes next stays inside */
    bool is_inside;   /* atomic */
    bool is_kept;     /* atomic: stays until it is not */
    bool was_inside_at_leave;
} visitor;

static void watched_flush_local(void);
static const struct paravirt_way way_flush_local = {.name = "watched_flush_local",
                                                    .function = watched_flush_local};

static const enum paravirt_op_id own_ops[] = {PARAVIRT_irq_disable, PARAVIRT_tlb_flush_page,
                                              PARAVIRT_tlb_flush_local, PARAVIRT_eoi};

static bool is_own(enum paravirt_op_id op)
{
    return op == PARAVIRT_irq_disable || op == PARAVIRT_tlb_flush_page ||
           op == PARAVIRT_tlb_flush_local || op == PARAVIRT_eoi;
}

static const char *watched_enter(enum paravirt_op_id op)
{
    if (op == watch.refuses) {
        return "the test wants it so";
    }
    watch.entered[op]++;
    watch.too_late += paravirt_ops[op].way != paravirt_native_ways[op];
    return NULL;
}

static void watched_leave(enum paravirt_op_id op)
{
    watch.left[op]++;
    watch.too_early += paravirt_ops[op].way != paravirt_native_ways[op];
    if (op == PARAVIRT_tlb_flush_local) {
        visitor.was_inside_at_leave = __atomic_load_n(&visitor.is_inside, __ATOMIC_ACQUIRE);
    }
}

static const struct paravirt_backend watched = {
    .name = "test watched",
    .summary = "looks around when it is entered and left",
    .ways = {[PARAVIRT_irq_disable] = &paravirt_double_ways[PARAVIRT_irq_disable],
             [PARAVIRT_tlb_flush_page] = &paravirt_double_ways[PARAVIRT_tlb_flush_page],
             [PARAVIRT_tlb_flush_local] = &way_flush_local,
             [PARAVIRT_eoi] = &paravirt_double_ways[PARAVIRT_eoi]},
    .enter = watched_enter,
    .leave = watched_leave,
};

static bool watched_begin(struct test *test)
{
    paravirt_double_initialize();
    watch = (struct watch){.refuses = PARAVIRT_OP_COUNT};
    return EXPECT(test, paravirt_backend_add(&watched));
}

static void expect_native(struct test *test)
{
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        EXPECT(test, paravirt_backend_of(op) == paravirt_backend_at(0));
        EXPECT(test, paravirt_layer_of(op) == NULL);
        EXPECT(test, pv_ops[op] == paravirt_native_ways[op]->function);
    }
}

static void watched_end(struct test *test)
{
    paravirt_set_native(test);
    EXPECT(test, paravirt_backend_remove(&watched));
    EXPECT_EQUAL(test, watch.too_late, 0);
    EXPECT_EQUAL(test, watch.too_early, 0);
    expect_native(test);
}

static void expect_balance(struct test *test, unsigned entered, unsigned left)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        EXPECT_EQUAL(test, watch.entered[op], is_own(op) ? entered : 0);
        EXPECT_EQUAL(test, watch.left[op], is_own(op) ? left : 0);
    }
}

static void backend_is_entered_before_the_batch_and_left_behind_it(struct test *test)
{
    if (!watched_begin(test)) {
        return;
    }
    paravirt_set_all(test, &watched);
    expect_balance(test, 1, 0);
    EXPECT(test, !paravirt_backend_remove(&watched)); /* it is in use */
    paravirt_set_all(test, &watched);                 /* it is there already */
    expect_balance(test, 1, 0);
    paravirt_set_op(test, "eoi", paravirt_backend_at(0));
    EXPECT_EQUAL(test, watch.left[PARAVIRT_eoi], 1);
    EXPECT_EQUAL(test, watch.left[PARAVIRT_irq_disable], 0);
    paravirt_set_op(test, "eoi", &watched);
    EXPECT_EQUAL(test, watch.entered[PARAVIRT_eoi], 2);
    paravirt_set_native(test);
    for (size_t i = 0; i < ARRAY_COUNT(own_ops); i++) {
        EXPECT_EQUAL(test, watch.left[own_ops[i]], watch.entered[own_ops[i]]);
    }
    watched_end(test);
}

/* ---- refusals ---- */

/* All ops to @backend is refused with a text like @pattern, and leaves no record. */
static void expect_refused(struct test *test, const struct paravirt_backend *backend,
                           const char *pattern)
{
    uint64_t newest = patch_record_newest();
    struct paravirt_refusal refusal;

    EXPECT(test, !paravirt_switch_all(backend, &refusal));
    EXPECT(test, glob_match(pattern, refusal.text));
    EXPECT_EQUAL(test, patch_record_newest(), newest);
    expect_native(test);
}

static void backend_that_cannot_be_entered_is_left_where_it_was(struct test *test)
{
    if (!watched_begin(test)) {
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(own_ops); i++) {
        unsigned entered = 0;
        unsigned left = 0;

        watch = (struct watch){.refuses = own_ops[i]};
        expect_refused(test, &watched, "backend test watched: op *: the test wants it so");
        for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
            entered += watch.entered[op];
            left += watch.left[op];
            EXPECT_EQUAL(test, watch.left[op], watch.entered[op]);
        }
        EXPECT_EQUAL(test, entered, i); /* in the order of the table */
        EXPECT_EQUAL(test, left, i);
    }
    watched_end(test);
}

static const struct paravirt_way way_far = {.name = "far",
                                            .function = (paravirt_function *)0x1000000000};

/* The last op of the backend is out of reach: found when all others are entered and queued. */
static void batch_that_fails_leaves_what_was_entered(struct test *test)
{
    struct paravirt_backend broken = watched;
    struct paravirt_refusal refusal;

    if (!watched_begin(test)) {
        return;
    }
    EXPECT(test, paravirt_backend_remove(&watched));
    broken.ways[PARAVIRT_eoi] = &way_far;
    EXPECT(test, paravirt_backend_add(&broken));
    EXPECT(test, !paravirt_switch_all(&broken, &refusal));
    EXPECT(test, glob_match("op eoi: *", refusal.text));
    EXPECT_EQUAL(test, refusal.patch.status, PATCH_ERR_RANGE);
    expect_balance(test, 1, 1);
    expect_native(test);
    EXPECT(test, paravirt_backend_remove(&broken));
    EXPECT(test, paravirt_backend_add(&watched));
    watched_end(test);
}

static const struct paravirt_backend half = {
    .name = "test half",
    .summary = "releases locks, and knows nothing of those that wait",
    .ways = {[PARAVIRT_lock_unlock] = &paravirt_double_ways[PARAVIRT_lock_unlock],
             [PARAVIRT_eoi] = &paravirt_double_ways[PARAVIRT_eoi]},
};

static const struct paravirt_backend nothing = {
    .name = "test nothing",
    .summary = "has no way",
};

static void backends_that_do_not_fit_are_refused_by_name(struct test *test)
{
    struct paravirt_refusal refusal;
    uint64_t flags;

    expect_refused(
        test, &half,
        "backend test half: it has no way for op lock_slow, but for others of group lock");
    EXPECT(test, !paravirt_switch_op("eoi", &half, &refusal)); /* the backend is wrong, all of it */
    expect_refused(test, &nothing, "backend test nothing: it has no way for any op");
    EXPECT(test, !paravirt_switch_op("eoi", &nothing, &refusal));
    EXPECT(test,
           glob_match("backend test nothing: op eoi: it has no way of its own", refusal.text));
    EXPECT(test, !paravirt_switch_form(PARAVIRT_FORM_COUNT, &refusal));
    flags = interrupts_save();
    EXPECT(test, !paravirt_switch_form(PARAVIRT_DIRECT, &refusal));
    interrupts_restore(flags);
    EXPECT_EQUAL(test, refusal.patch.status, PATCH_ERR_CONTEXT);
    expect_native(test);
}

/* ---- layers ---- */

static const struct paravirt_backend other_layer = {
    .name = "test layer",
    .summary = "stands over what there is",
    .ways = {[PARAVIRT_tlb_flush_page] = &paravirt_double_ways[PARAVIRT_tlb_flush_page],
             [PARAVIRT_eoi] = &paravirt_double_ways[PARAVIRT_eoi]},
    .is_layer = true,
};

static void layer_stands_over_a_base_and_over_no_other_layer(struct test *test)
{
    struct paravirt_refusal refusal;
    const struct paravirt_backend *counted = paravirt_backend_find("counted");

    if (!watched_begin(test) || !EXPECT(test, counted != NULL) ||
        !EXPECT(test, paravirt_backend_add(&other_layer))) {
        return;
    }
    paravirt_set_op(test, "eoi", &watched);
    paravirt_set_all(test, &other_layer); /* leaves alone what it has no way for */
    EXPECT(test, paravirt_backend_of(PARAVIRT_eoi) == &watched);
    EXPECT(test, paravirt_layer_of(PARAVIRT_eoi) == &other_layer);
    EXPECT(test, paravirt_below[PARAVIRT_eoi] == watched.ways[PARAVIRT_eoi]->function);
    EXPECT(test, paravirt_layer_of(PARAVIRT_irq_save) == NULL);
    EXPECT(test, !paravirt_switch_all(counted, &refusal));
    EXPECT(test,
           glob_match("backend counted: op *: test layer stands over it already", refusal.text));
    EXPECT(test, paravirt_layer_of(PARAVIRT_irq_save) == NULL);
    EXPECT(test, paravirt_switch_uncounted(&refusal));
    EXPECT(test, paravirt_layer_of(PARAVIRT_eoi) == NULL);
    EXPECT(test, paravirt_backend_of(PARAVIRT_eoi) == &watched); /* its base stays, and entered */
    EXPECT_EQUAL(test, watch.left[PARAVIRT_eoi], 0);
    paravirt_set_native(test);
    EXPECT_EQUAL(test, watch.left[PARAVIRT_eoi], 1);
    EXPECT(test, paravirt_backend_remove(&other_layer));
    watched_end(test);
}

/* ---- who is inside ---- */

/* The visitor stays until its way was taken away, and a little longer. */
static void watched_flush_local(void)
{
    uint64_t end_ns = clock_now_ns() + TOO_LATE_NS;

    if (__atomic_exchange_n(&visitor.is_expected, false, __ATOMIC_RELAXED)) {
        /* Release, both: partner: the acquire in watched_leave(). */
        __atomic_store_n(&visitor.is_inside, true, __ATOMIC_RELEASE);
        while (__atomic_load_n(&paravirt_ops[PARAVIRT_tlb_flush_local].way, __ATOMIC_RELAXED) ==
                   &way_flush_local &&
               clock_now_ns() < end_ns) {
            cpu_relax();
        }
        for (end_ns = clock_now_ns() + LINGER_NS; clock_now_ns() < end_ns;) {
            cpu_relax();
        }
        for (end_ns = clock_now_ns() + TOO_LATE_NS;
             __atomic_load_n(&visitor.is_kept, __ATOMIC_RELAXED) && clock_now_ns() < end_ns;) {
            cpu_relax();
        }
        __atomic_store_n(&visitor.is_inside, false, __ATOMIC_RELEASE);
    }
    paravirt_double_ways[PARAVIRT_tlb_flush_local].function();
}

static void visit(void *argument)
{
    (void)argument;
    pv_tlb_flush_local();
}

/* The thread is inside when the switch begins, and leaves LINGER_NS after the batch: a switch that
 * does not wait for it calls leave() while it is inside. */
static void backend_is_left_when_nobody_is_inside(struct test *test)
{
    if (!watched_begin(test)) {
        return;
    }
    paravirt_set_op(test, "tlb_flush_local", &watched);
    visitor = (struct visitor){.is_expected = true, .was_inside_at_leave = true};
    if (EXPECT(test, workers_start(&visitor.workers, true, visit, NULL))) {
        while (!__atomic_load_n(&visitor.is_inside, __ATOMIC_RELAXED)) {
            thread_sleep_ns(1000000);
        }
        paravirt_set_op(test, "tlb_flush_local", paravirt_backend_at(0));
        EXPECT_EQUAL(test, watch.left[PARAVIRT_tlb_flush_local], 1);
        EXPECT(test, !visitor.was_inside_at_leave);
        workers_join(&visitor.workers);
    }
    watched_end(test);
}

static unsigned ways_left(void)
{
    struct paravirt_leftovers left;

    platform_change_lock();
    left = paravirt_leftovers();
    platform_change_unlock();
    return left.ways;
}

/* The thread stays inside for longer than a grace period waits: nothing is left before it goes. */
static void what_somebody_is_inside_is_kept_and_tried_again(struct test *test)
{
    uint64_t limit_ms;

    if (!watched_begin(test)) {
        return;
    }
    EXPECT_EQUAL(test, ways_left(), 0);
    paravirt_set_op(test, "tlb_flush_local", &watched);
    visitor = (struct visitor){.is_expected = true, .is_kept = true, .was_inside_at_leave = true};
    if (EXPECT(test, workers_start(&visitor.workers, true, visit, NULL))) {
        while (!__atomic_load_n(&visitor.is_inside, __ATOMIC_RELAXED)) {
            thread_sleep_ns(1000000);
        }
        limit_ms = grace_timeout_set_ms(1);
        paravirt_set_op(test, "tlb_flush_local", paravirt_backend_at(0));
        EXPECT_EQUAL(test, ways_left(), 1);
        EXPECT(test, !paravirt_leftovers_retry());
        EXPECT_EQUAL(test, watch.left[PARAVIRT_tlb_flush_local], 0);
        grace_timeout_set_ms(limit_ms);
        __atomic_store_n(&visitor.is_kept, false, __ATOMIC_RELAXED);
        EXPECT(test, paravirt_leftovers_retry());
        EXPECT_EQUAL(test, ways_left(), 0);
        EXPECT_EQUAL(test, watch.left[PARAVIRT_tlb_flush_local], 1);
        EXPECT(test, !visitor.was_inside_at_leave);
        workers_join(&visitor.workers);
    }
    watched_end(test);
}

/* ---- times of records ---- */

/* Native time goes on from where the other source has come to; what was recorded stays. */
static void records_keep_their_time(struct test *test)
{
    uint64_t ticks = read_tsc();
    uint64_t time_ns = clock_ticks_to_time_ns(ticks);
    uint64_t before_ns = clock_now_ns();

    if (EXPECT(test, paravirt_set_double(test))) {
        paravirt_set_native(test);
    }
    EXPECT(test, clock_now_ns() >= before_ns);
    EXPECT_EQUAL(test, clock_ticks_to_time_ns(ticks), time_ns);
    expect_native(test);
}

static const struct test_case cases[] = {
    TEST_CASE(backend_is_entered_before_the_batch_and_left_behind_it),
    TEST_CASE(backend_that_cannot_be_entered_is_left_where_it_was),
    TEST_CASE(batch_that_fails_leaves_what_was_entered),
    TEST_CASE(backends_that_do_not_fit_are_refused_by_name),
    TEST_CASE(layer_stands_over_a_base_and_over_no_other_layer),
    TEST_CASE(backend_is_left_when_nobody_is_inside),
    TEST_CASE(what_somebody_is_inside_is_kept_and_tried_again),
    TEST_CASE(records_keep_their_time),
};

const struct test_suite suite_paravirt_switch = TEST_SUITE("paravirt_switch", cases);
