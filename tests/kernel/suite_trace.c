// SPDX-License-Identifier: MIT
/* Tracing of function calls on the running kernel. What a traced entry keeps, and what an
 * interrupted recorder does, is proved instruction by instruction in tests/host; here real calls on
 * all CPUs meet real batches. */
#include "arch/clock.h"
#include "arch/ipi_trace.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/text_window.h"
#include "kernel/cross_call.h"
#include "kernel/heap.h"
#include "kernel/mutex.h"
#include "kernel/page_allocator.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/text_snapshot.h"
#include "kernel/thread.h"
#include "kernel/trace_rings.h"
#include "patching/breakpoint.h"
#include "patching/function_trace.h"
#include "patching/poke.h"
#include "patching/trace_ring.h"
#include "patching/write_window.h"
#include "tests/kernel/test.h"
#include "tests/kernel/trace_functions.h"
#include "tests/kernel/workers.h"

#define TORTURE_NS   1500000000ull
#define STORM_NS     1000000000ull
#define RING_RECORDS TRACE_RECORDS_LEAST

static struct function_trace_cost cost;
static struct patch_error error;
static unsigned silent;

static bool is_any(uint32_t index, void *argument)
{
    (void)index;
    (void)argument;
    return true;
}

/* The functions of the field: they stand in one row, but need not. */
static bool is_of_field(uint32_t index, void *argument)
{
    uint64_t address = function_trace_address(index);
    (void)argument;
    for (unsigned i = 0; i < TRACE_FIELD_COUNT; i++) {
        if ((uint64_t)trace_field[i] == address) {
            return true;
        }
    }
    return false;
}

static bool is_one(uint32_t index, void *argument)
{
    return function_trace_address(index) == (uint64_t)argument;
}

static bool set(struct test *test, bool on, function_trace_selector *select, void *argument)
{
    return EXPECT_EQUAL(test, function_trace_set(on, select, argument, 0, &cost, &error), PATCH_OK);
}

static bool record_begin(struct test *test, uint64_t records)
{
    bool open = EXPECT(test, trace_rings_open(records));
    trace_recording_set(open);
    return open;
}

static void record_end(struct test *test)
{
    set(test, false, is_any, NULL);
    EXPECT(test, trace_rings_free(&silent));
    EXPECT_EQUAL(test, function_trace_count_on(), 0);
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

/* Whether @address lies in the function that begins at @function. */
static bool is_in(uint64_t address, void (*function)(void))
{
    uint64_t offset;
    return symbol_find(address, &offset) != NULL && address - offset == (uint64_t)function;
}

/* Event @sequence of this CPU is a call of field function @number by trace_field_call(). */
static void expect_field_event(struct test *test, unsigned cpu, uint64_t sequence, unsigned number)
{
    struct trace_event event;
    if (EXPECT(test, trace_ring_get(cpu, sequence, &event))) {
        EXPECT_EQUAL(test, event.function, trace_field[number % TRACE_FIELD_COUNT]);
        EXPECT(test, is_in(event.caller, (void (*)(void))trace_field_call));
    }
}

static void calls_are_recorded_in_order_with_their_callers(struct test *test)
{
    struct trace_event event;
    uint64_t last_ticks = 0;
    if (!record_begin(test, TRACE_RECORDS_DEFAULT) || !set(test, true, is_of_field, NULL)) {
        return;
    }
    EXPECT_EQUAL(test, cost.functions, TRACE_FIELD_COUNT);
    EXPECT_EQUAL(test, cost.rounds, 3);
    preempt_disable();
    unsigned cpu = cpu_index();
    trace_field_call(5, 7, 1000);
    trace_field_call_first();
    preempt_enable();
    EXPECT(test, trace_rings_stop(&silent));
    EXPECT_EQUAL(test, trace_ring_newest(cpu), 1001);
    EXPECT_EQUAL(test, trace_ring_overwritten(cpu), 0);
    for (unsigned i = 0; i < 1000; i++) {
        expect_field_event(test, cpu, i + 1, 5 + i * 7);
        EXPECT(test, trace_ring_get(cpu, i + 1, &event) && event.ticks >= last_ticks);
        last_ticks = event.ticks;
    }
    EXPECT(test, trace_ring_get(cpu, 1001, &event));
    EXPECT_EQUAL(test, event.function, trace_field[0]);
    EXPECT(test, is_in(event.caller, trace_field_call_first));
    record_end(test);
}

static void full_ring_keeps_the_newest_and_counts_the_others(struct test *test)
{
    if (!record_begin(test, RING_RECORDS) || !set(test, true, is_of_field, NULL)) {
        return;
    }
    preempt_disable();
    unsigned cpu = cpu_index();
    trace_field_call(0, 1, 500);
    preempt_enable();
    EXPECT(test, trace_rings_stop(&silent));
    EXPECT_EQUAL(test, trace_ring_newest(cpu), 500);
    EXPECT_EQUAL(test, trace_ring_overwritten(cpu), 500 - RING_RECORDS);
    for (unsigned i = 500 - RING_RECORDS; i < 500; i++) {
        expect_field_event(test, cpu, i + 1, i);
    }
    record_end(test);
}

/* Would miss what an argument register is not kept for: the compiler may not use it. */
static void traced_function_gets_its_arguments(struct test *test)
{
    if (!record_begin(test, RING_RECORDS) || !set(test, true, is_one, (void *)trace_add)) {
        return;
    }
    EXPECT_EQUAL(test, cost.functions, 1);
    for (uint64_t i = 0; i < 100; i++) {
        EXPECT_EQUAL(test, trace_add(i, 2, 3, 4, 5, 6, 7, 8),
                     TRACE_ADD_RESULT(i, 2, 3, 4, 5, 6, 7, 8));
    }
    record_end(test);
}

/* Calls that interrupt calls: CPU n runs through the field, and is sent cross calls that do, too.
 */
static struct storm {
    struct workers workers;
    uint64_t calls[CPU_MAX];      /* by threads */
    uint64_t interrupts[CPU_MAX]; /* by cross calls */
} storm;

static void storm_run(void *argument)
{
    (void)argument;
    unsigned cpu = cpu_index();
    while (!workers_should_stop(&storm.workers)) {
        trace_field_call(cpu, 1, 10);
        storm.calls[cpu] += 10;
    }
}

static void storm_interrupt(void *argument)
{
    (void)argument;
    trace_field_call(cpu_index(), 1, 3);
    storm.interrupts[cpu_index()] += 3;
}

static void interrupted_recorders_lose_no_call(struct test *test)
{
    storm = (struct storm){0};
    if (!record_begin(test, RING_RECORDS) || !set(test, true, is_of_field, NULL) ||
        !EXPECT(test, workers_start(&storm.workers, false, storm_run, NULL))) {
        return;
    }
    /* With more busy CPUs than the host has, a cross call takes as long as its time slices. */
    uint64_t deadline = clock_now_ns() + STORM_NS;
    unsigned cross_calls = 0;
    while (cross_calls < 300 && clock_now_ns() < deadline) {
        on_each_cpu(storm_interrupt, NULL);
        cross_calls++;
    }
    workers_join(&storm.workers);
    EXPECT(test, trace_rings_stop(&silent));
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT_EQUAL(test, trace_ring_newest(cpu), storm.calls[cpu] + storm.interrupts[cpu]);
        EXPECT_EQUAL(test, storm.interrupts[cpu], cpu_index_is_online(cpu) ? 3 * cross_calls : 0);
    }
    record_end(test);
}

/* Nobody writes into a ring that was stopped, however hard the field is run through. */
static void stopped_rings_stay_as_they_are(struct test *test)
{
    static uint64_t newest[CPU_MAX];
    storm = (struct storm){0};
    if (!record_begin(test, RING_RECORDS) || !set(test, true, is_of_field, NULL) ||
        !EXPECT(test, workers_start(&storm.workers, false, storm_run, NULL))) {
        return;
    }
    for (unsigned round = 0; round < 20; round++) {
        trace_recording_set(true);
        thread_sleep_ns(2000000);
        EXPECT(test, trace_rings_stop(&silent));
        for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
            newest[cpu] = trace_ring_newest(cpu);
        }
        thread_sleep_ns(2000000);
        for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
            EXPECT_EQUAL(test, trace_ring_newest(cpu), newest[cpu]);
        }
        EXPECT(test, trace_rings_are_idle());
    }
    workers_join(&storm.workers);
    record_end(test);
}

static void nopatch_functions_cannot_be_traced(struct test *test)
{
    static void *const functions[] = {
        (void *)patch_breakpoint_handle, (void *)trace_ring_add,     (void *)text_window_write,
        (void *)text_window_close,       (void *)write_window_close, (void *)symbol_find,
    };
    for (unsigned i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        EXPECT_EQUAL(test, function_trace_find((uint64_t)functions[i]), function_trace_count());
    }
    for (uint32_t i = 0; i < function_trace_count(); i++) {
        uint64_t address = function_trace_address(i);
        EXPECT(test, address + 5 <= (uint64_t)nopatch_start || address >= (uint64_t)nopatch_end);
    }
    EXPECT(test, function_trace_count() > TRACE_FIELD_COUNT);
}

static void naive_does_not_trace(struct test *test)
{
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_NAIVE, PATCH_ALLOW_UNSAFE),
                 PATCH_OK);
    EXPECT_EQUAL(test, function_trace_set(true, is_of_field, NULL, 0, &cost, &error),
                 PATCH_ERR_UNSAFE);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    EXPECT_EQUAL(test, function_trace_count_on(), 0);
}

/* What all CPUs do meanwhile: threads, locks, memory, and interrupts of each other. */
static struct mutex work_mutex = MUTEX("trace work");
static struct workers torture_workers;
static uint64_t work_done, work_wrong; /* atomic */

static void work(void *argument)
{
    (void)argument;
    for (uint64_t i = cpu_index(); !workers_should_stop(&torture_workers); i++) {
        uint64_t *block = heap_allocate(64 + i % 500);
        mutex_lock(&work_mutex);
        uint64_t sum = trace_add(i, 1, 2, 3, 4, 5, 6, 7);
        mutex_unlock(&work_mutex);
        trace_field_call((unsigned)i, 3, 5);
        bool good = block != NULL && sum == TRACE_ADD_RESULT(i, 1, 2, 3, 4, 5, 6, 7);
        heap_free(block);
        thread_yield();
        __atomic_fetch_add(good ? &work_done : &work_wrong, 1, __ATOMIC_RELAXED);
    }
}

/* One by one is for few functions: with busy CPUs each round takes a time slice of the host. */
static void flip_all_functions(struct test *test, enum patch_protocol_id id)
{
    bool one_by_one = id == PATCH_PROTOCOL_INT3;
    function_trace_selector *select = one_by_one ? is_one : is_any;
    EXPECT_EQUAL(test, patch_protocol_set_default(id, 0), PATCH_OK);
    trace_recording_set(true);
    if (set(test, true, select, (void *)trace_add) && !one_by_one) {
        EXPECT_EQUAL(test, cost.functions, function_trace_count());
        EXPECT_EQUAL(test, cost.rounds, id == PATCH_PROTOCOL_STOP ? 1 : 3);
    }
    EXPECT_EQUAL(test, function_trace_count_on(), one_by_one ? 1 : function_trace_count());
    thread_sleep_ns(1000000);
    set(test, false, is_any, NULL);
    EXPECT_EQUAL(test, text_snapshot_difference(), 0);
}

/* All functions on and off, the scheduler's, the patcher's and the interrupt handlers' among them,
 * while every CPU works; by each protocol that keeps its promise. */
static void all_functions_are_traced_under_fire(struct test *test)
{
    static const enum patch_protocol_id protocols[] = {
        PATCH_PROTOCOL_INT3_BATCH,
        PATCH_PROTOCOL_STOP,
        PATCH_PROTOCOL_QWORD,
        PATCH_PROTOCOL_INT3,
    };
    uint64_t deadline = clock_now_ns() + test_torture_ns(TORTURE_NS);
    unsigned turns = 0;
    work_done = work_wrong = 0;
    if (!record_begin(test, RING_RECORDS) ||
        !EXPECT(test, workers_start(&torture_workers, true, work, NULL))) {
        return;
    }
    while ((clock_now_ns() < deadline || turns < 4) && !test_should_stop(test)) {
        flip_all_functions(test, protocols[turns++ % 4]);
    }
    workers_join(&torture_workers);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
    EXPECT_EQUAL(test, work_wrong, 0);
    EXPECT(test, work_done > 0);
    EXPECT(test, trace_rings_stop(&silent));
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        EXPECT(test, !cpu_index_is_online(cpu) || trace_ring_newest(cpu) > 0);
    }
    record_end(test);
}

/* Records of a sender, each word of which tells the number of the record. No IPI is sent. */
#define NUMBER_MASK 0x3fffu
#define NUMBERS_NS  500000000ull

static struct number_storm {
    struct workers workers;
    unsigned writer;
    uint64_t before; /* newest record of the writer's ring */
} numbers;

static void numbers_write(void *argument)
{
    (void)argument;
    uint64_t number = numbers.before;
    while (cpu_index() == numbers.writer && !workers_should_stop(&numbers.workers)) {
        unsigned low = (unsigned)++number & NUMBER_MASK;
        ipi_trace_add(low, low, low, (void *)number);
    }
}

static bool number_is_whole(const struct ipi_trace_record *record, uint64_t number)
{
    return record->sequence == number && record->caller == number &&
           record->to == (number & NUMBER_MASK) && record->vector == record->to &&
           record->targets == record->to;
}

/* Reads the record that is the next to be overwritten, again and again: where it is read while the
 * sender is at it, the second look must say so. May miss it on a host that lets the two run in turn
 * only. */
static uint64_t numbers_read(struct test *test)
{
    struct ipi_trace_record record;
    uint64_t deadline = clock_now_ns() + NUMBERS_NS;
    uint64_t seen = 0;
    while (clock_now_ns() < deadline) {
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t number = ipi_trace_newest(numbers.writer) - IPI_TRACE_RECORDS + 1;
            if (number <= numbers.before || !ipi_trace_get(numbers.writer, number, &record)) {
                continue;
            }
            if (!EXPECT(test, number_is_whole(&record, number))) {
                return seen;
            }
            seen++;
        }
    }
    return seen;
}

/* The ring is the user's: it is put back. */
static void ipi_records_are_seen_whole(struct test *test)
{
    static struct ipi_trace_record kept[IPI_TRACE_RECORDS];
    unsigned other = 0;
    while (other < cpu_present_count() && (other == cpu_index() || !cpu_index_is_online(other))) {
        other++;
    }
    if (other == cpu_present_count()) {
        test_skip(test, "nobody else writes on one CPU");
        return;
    }
    struct cpu *cpu = cpus[other];
    struct ipi_trace_stack *stacks = cpu->ipi_trace_stacks;
    numbers.writer = other;
    numbers.before = cpu->ipi_trace_next;
    memcpy(kept, cpu->ipi_trace, sizeof(kept));
    ipi_trace_set_stacks(other, NULL);
    if (EXPECT(test, workers_start(&numbers.workers, false, numbers_write, NULL))) {
        thread_sleep_ns(1000000);
        EXPECT(test, numbers_read(test) > 0);
        workers_join(&numbers.workers);
    }
    memcpy(cpu->ipi_trace, kept, sizeof(kept));
    cpu->ipi_trace_next = numbers.before;
    ipi_trace_set_stacks(other, stacks);
}

/* Calls of this CPU's ring, which holds @first to @first + 9 of the field and no other. */
static void expect_ten(struct test *test, unsigned cpu, unsigned first)
{
    EXPECT_EQUAL(test, trace_ring_newest(cpu), 10);
    for (unsigned i = 0; i < 10; i++) {
        expect_field_event(test, cpu, i + 1, first + i);
    }
}

/* Returns the CPU whose ring has them. */
static unsigned record_ten(struct test *test, unsigned first)
{
    trace_recording_set(true);
    preempt_disable();
    unsigned cpu = cpu_index();
    trace_field_call(first, 1, 10);
    preempt_enable();
    EXPECT(test, trace_rings_stop(&silent));
    return cpu;
}

/* What `trace on` stands on: what may still be refused drops nothing. */
static void record_stays_until_the_next_one_begins(struct test *test)
{
    size_t free_before = page_count().free;
    if (!record_begin(test, RING_RECORDS) || !set(test, true, is_of_field, NULL)) {
        return;
    }
    unsigned cpu = record_ten(test, 20);
    EXPECT(test, !trace_rings_reserve(1ull << 40));
    expect_ten(test, cpu, 20);
    EXPECT(test, trace_rings_reserve(2 * RING_RECORDS));
    expect_ten(test, cpu, 20);
    trace_rings_unreserve();
    expect_ten(test, cpu, 20);
    EXPECT_EQUAL(test, trace_rings_records(), RING_RECORDS);
    EXPECT(test, trace_rings_reserve(2 * RING_RECORDS));
    trace_rings_begin();
    EXPECT_EQUAL(test, trace_rings_records(), 2 * RING_RECORDS);
    EXPECT_EQUAL(test, trace_ring_newest(cpu), 0);
    trace_rings_begin(); /* nothing reserved: the same rings, empty */
    expect_ten(test, record_ten(test, 50), 50);
    record_end(test);
    EXPECT_EQUAL(test, page_count().free, free_before);
}

static const struct test_case cases[] = {
    TEST_CASE(nopatch_functions_cannot_be_traced),
    TEST_CASE(naive_does_not_trace),
    TEST_CASE(traced_function_gets_its_arguments),
    TEST_CASE(calls_are_recorded_in_order_with_their_callers),
    TEST_CASE(full_ring_keeps_the_newest_and_counts_the_others),
    TEST_CASE(interrupted_recorders_lose_no_call),
    TEST_CASE(stopped_rings_stay_as_they_are),
    TEST_CASE(record_stays_until_the_next_one_begins),
    TEST_CASE(ipi_records_are_seen_whole),
    TEST_CASE(all_functions_are_traced_under_fire),
};

const struct test_suite suite_trace = TEST_SUITE("trace", cases);
