// SPDX-License-Identifier: MIT
/* Dispatchers on the running kernel: readers that are preempted inside an image, programs that go
 * while all CPUs call them, updates under fire. Why it detects: a half that is not in use is int3
 * but for what the next image writes there, and a program that has gone says so when it is run.
 * Could miss: two given instructions of an image; tests/host/test_live_dispatcher.c stops there. */
#include "patching/xdp_call.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/grace_period.h"
#include "kernel/thread.h"
#include "patching/record.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define PARKINGS    20
#define FIRE_NS     500000000ull
#define RIVAL_SPINS 5000
#define PROGRAMS    (DISPATCHER_ENTRY_MAX + 2)

DEFINE_XDP_CALL(test_subject, .is_by_hand = true);

static struct dispatcher *const subject = &dispatcher_test_subject;

/* Program n returns n + 1; each a function of its own, 16 bytes apart. */
extern uint8_t suite_dispatcher_programs[];
__asm__(".pushsection .text, \"ax\", @progbits\n\t"
        ".balign 16, 0xcc\n\t"
        "suite_dispatcher_programs:\n\t"
        ".set suite_dispatcher_program, 1\n\t"
        ".rept 66\n\t"
        ".balign 16, 0xcc\n\t"
        "mov $suite_dispatcher_program, %eax\n\t"
        "ret\n\t"
        ".set suite_dispatcher_program, suite_dispatcher_program + 1\n\t"
        ".endr\n\t"
        ".size suite_dispatcher_programs, . - suite_dispatcher_programs\n\t"
        ".popsection");

static dispatched_function *program(unsigned number)
{
    return (dispatched_function *)(suite_dispatcher_programs + 16 * (size_t)number);
}

static unsigned call(unsigned number)
{
    const struct xdp_program called = {"test", program(number), NULL};

    return xdp_call(test_subject, &called, NULL);
}

static bool update(struct test *test, dispatched_function *from, dispatched_function *to)
{
    return EXPECT_EQUAL(test, dispatcher_update(subject, from, to, NULL), PATCH_OK);
}

static bool shape_set(struct test *test, enum dispatcher_shape shape)
{
    const struct dispatcher_form form = {.shape = shape, .generation = UINT64_MAX};

    return EXPECT_EQUAL(test, dispatcher_set_form(subject, &form, NULL), PATCH_OK);
}

/* Programs [first, end) in, one by one. */
static bool add(struct test *test, unsigned first, unsigned end)
{
    bool done = true;

    for (unsigned i = first; i < end && done; i++) {
        done = update(test, NULL, program(i));
    }
    return done;
}

/* Of a suite's end, and of a case that failed: nothing is left. */
static void empty(struct test *test)
{
    static struct dispatcher_view view;

    shape_set(test, DISPATCHER_TREE);
    for (dispatcher_look(subject, &view); view.count > 0; dispatcher_look(subject, &view)) {
        if (!update(test, (dispatched_function *)view.entries[0].target, NULL)) {
            return;
        }
    }
}

static struct workers workers;
static uint64_t wrong_results, calls; /* atomic */

static void count_call(bool is_right)
{
    __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
    if (!is_right) {
        __atomic_fetch_add(&wrong_results, 1, __ATOMIC_RELAXED);
    }
}

static bool stop_reader; /* atomic */

/* Compared with last: nearly all of this thread's time is spent inside the image. */
static void read_the_last(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&stop_reader, __ATOMIC_RELAXED)) {
        count_call(call(DISPATCHER_ENTRY_MAX - 1) == DISPATCHER_ENTRY_MAX);
        thread_checkpoint();
    }
}

/* Lets the reader run until it has made a call, and until it is preempted again. */
static void reader_run(void)
{
    uint64_t before = __atomic_load_n(&calls, __ATOMIC_RELAXED);

    while (__atomic_load_n(&calls, __ATOMIC_RELAXED) == before) {
        thread_yield();
    }
}

static struct dispatcher_statistics statistics_read(void)
{
    static struct dispatcher_view view;

    dispatcher_look(subject, &view);
    return view.statistics;
}

/* The reader stands in a row of compares. A tree has other instructions there, at other places; it
 * must not come to where the reader is, neither as the next image nor as the one behind that. Each
 * image takes the place of one that was left, so each waits: also where the reader happened to be
 * preempted outside. */
static bool image_changes(struct test *test, enum dispatcher_shape between)
{
    struct dispatcher_statistics before, after;

    reader_run();
    before = statistics_read();
    bool done = (between == DISPATCHER_LINEAR || shape_set(test, between)) &&
                shape_set(test, DISPATCHER_TREE) && shape_set(test, DISPATCHER_LINEAR);
    after = statistics_read();
    return done && EXPECT(test, after.updates >= before.updates + 2) &&
           EXPECT_EQUAL(test, after.grace_periods - before.grace_periods,
                        after.updates - before.updates);
}

/* The caller and the reader share a CPU: whenever the caller runs, the reader has been preempted.
 * Two updates in a row would write where it stands, unless the second waits for it. */
static void parked_reader_keeps_its_code(struct test *test)
{
    struct thread *reader;

    stop_reader = false;
    wrong_results = 0;
    if (!shape_set(test, DISPATCHER_LINEAR) || !add(test, 0, DISPATCHER_ENTRY_MAX)) {
        empty(test);
        return;
    }
    reader = thread_create("parked reader", cpu_index(), read_the_last, NULL);
    for (unsigned i = 0; EXPECT(test, reader != NULL) && i < PARKINGS; i++) {
        if (!image_changes(test, i % 2 == 0 ? DISPATCHER_HOT1 : DISPATCHER_LINEAR)) {
            break;
        }
    }
    __atomic_store_n(&stop_reader, true, __ATOMIC_RELAXED);
    if (reader != NULL) {
        thread_join(reader);
    }
    EXPECT_EQUAL(test, wrong_results, 0);
    empty(test);
}

/* Two programs that take each other's place. Each says whether it may be run: what it is given as
 * instructions. */
struct rival {
    const struct xdp_program *program;
    bool is_gone; /* atomic */
};
static struct rival rivals[2];

static unsigned rival_run(const struct rival *rival, unsigned result)
{
    for (unsigned i = 0; i < RIVAL_SPINS; i++) { /* so that it is nearly always preempted in here */
        cpu_relax();
    }
    if (__atomic_load_n(&rival->is_gone, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&wrong_results, 1, __ATOMIC_RELAXED);
    }
    return result;
}

static unsigned rival_first(const void *context, const void *instructions)
{
    (void)context;
    return rival_run(instructions, 1);
}

static unsigned rival_second(const void *context, const void *instructions)
{
    (void)context;
    return rival_run(instructions, 2);
}

static const struct xdp_program rival_programs[2] = {
    {"first", rival_first, &rivals[0]},
    {"second", rival_second, &rivals[1]},
};
static struct rival rivals[2] = {{&rival_programs[0], false}, {&rival_programs[1], false}};
static const struct xdp_program *rival_published; /* atomic */

static void call_the_published(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&stop_reader, __ATOMIC_RELAXED)) {
        /* Acquire: pairs with the release of the publisher; the program is alive as seen here. */
        const struct xdp_program *rival = __atomic_load_n(&rival_published, __ATOMIC_ACQUIRE);

        count_call(xdp_call(test_subject, rival, NULL) == (rival == &rival_programs[0] ? 1 : 2));
        thread_checkpoint();
    }
}

/* The next one is published before it is in the dispatcher, so that the old one can leave it empty:
 * that writes no image, and has nothing to wait for but those who are in the old program. */
static bool rival_takes_over(struct test *test, struct rival *old, struct rival *next)
{
    __atomic_store_n(&next->is_gone, false, __ATOMIC_RELEASE);
    __atomic_store_n(&rival_published, next->program, __ATOMIC_RELEASE);
    if (!EXPECT_EQUAL(test, xdp_call_update(test_subject, old->program, NULL, NULL), PATCH_OK)) {
        return false;
    }
    __atomic_store_n(&old->is_gone, true, __ATOMIC_RELEASE);
    return EXPECT_EQUAL(test, xdp_call_update(test_subject, NULL, next->program, NULL), PATCH_OK);
}

/* The caller and the reader share a CPU: whenever the caller runs, the reader has been preempted,
 * in the program that is about to go. */
static void removed_program_is_not_run_any_more(struct test *test)
{
    struct thread *reader;
    bool done = true;

    wrong_results = 0;
    stop_reader = false;
    rivals[0].is_gone = rivals[1].is_gone = false;
    rival_published = &rival_programs[0];
    if (!update(test, NULL, rival_first)) {
        return;
    }
    reader = thread_create("program reader", cpu_index(), call_the_published, NULL);
    for (unsigned i = 0; EXPECT(test, reader != NULL) && done && i < PARKINGS; i++) {
        reader_run();
        done = rival_takes_over(test, &rivals[i % 2], &rivals[(i + 1) % 2]);
    }
    __atomic_store_n(&stop_reader, true, __ATOMIC_RELAXED);
    if (reader != NULL) {
        thread_join(reader);
    }
    EXPECT_EQUAL(test, wrong_results, 0);
    empty(test);
}

static void call_all(void *argument)
{
    (void)argument;
    while (!workers_should_stop(&workers)) {
        for (unsigned i = 0; i < PROGRAMS; i++) {
            count_call(call(i) == i + 1);
        }
        thread_checkpoint();
        thread_yield();
    }
}

/* Every set and shape in turn, with steps that have no common divisor. */
static void updates_rain(struct test *test)
{
    uint64_t end_ns = clock_now_ns() + FIRE_NS;
    bool is_in[PROGRAMS] = {false};
    unsigned count = 0;

    for (unsigned i = 0; clock_now_ns() < end_ns; i++) {
        unsigned number = i * 7 % PROGRAMS;
        dispatched_function *target = program(number);

        if (is_in[number] || count < DISPATCHER_ENTRY_MAX) {
            if (!update(test, is_in[number] ? target : NULL, is_in[number] ? NULL : target)) {
                return;
            }
            is_in[number] = !is_in[number];
            count += is_in[number] ? 1 : UINT32_MAX;
        }
        if (i % 3 == 0 && !shape_set(test, i % DISPATCHER_SHAPE_COUNT)) {
            return;
        }
    }
}

static void every_call_arrives_while_updates_rain(struct test *test)
{
    wrong_results = calls = 0;
    if (EXPECT(test, workers_start(&workers, true, call_all, NULL))) {
        updates_rain(test);
        workers_join(&workers);
    }
    EXPECT(test, calls > 0);
    EXPECT_EQUAL(test, wrong_results, 0);
    empty(test);
}

/* The image is written where nobody is: no int3, one sync; then the entry, in three steps. */
static void update_is_one_batch(struct test *test)
{
    static struct dispatcher_view view;
    struct patch_record record;
    uint64_t before = patch_record_newest();

    if (add(test, 0, 1)) {
        EXPECT_EQUAL(test, patch_record_newest(), before + 1);
        EXPECT(test, patch_record_get(before + 1, &record));
        EXPECT_EQUAL(test, record.rounds, 3);
        dispatcher_look(subject, &view);
        EXPECT_EQUAL(test, call(0), 1);
        EXPECT(test, view.image != 0);
    }
    before = patch_record_newest();
    add(test, 0, 1); /* another user */
    update(test, program(0), NULL);
    EXPECT_EQUAL(test, patch_record_newest(), before);
    empty(test);
}

static const struct test_case cases[] = {
    TEST_CASE(update_is_one_batch),
    TEST_CASE(parked_reader_keeps_its_code),
    TEST_CASE(removed_program_is_not_run_any_more),
    TEST_CASE(every_call_arrives_while_updates_rain),
};

const struct test_suite suite_dispatcher = TEST_SUITE("dispatcher", cases);
