// SPDX-License-Identifier: MIT
/* Threads call through a dispatcher on the real CPU while it changes: programs come, go, are
 * erased and are written anew at the same address; shapes change.
 *
 *     updater                                 caller
 *     published[n] = NULL                     program = published[n] (acquire)
 *     dispatcher_update(remove n), returns    xdp_call(program): compares, jumps, runs it
 *     its memory becomes int3, or another     ... returns what program n returns
 *     program                                 checkpoint
 *
 * Detects a call that arrives at another program, one that runs a removed program or an image that
 * is being rewritten (int3 ends the test, other bytes give another number): updates that do not
 * wait for a grace period. A race would be luck, so the two that matter are staged: a caller is
 * stopped, by a signal, at an address inside the image, and an update that must wait for it is
 * watched not to return, and not to touch a byte of that half (facts: bug 13, two updates in a row
 * with a parked reader). Could miss what is wrong in a window of a few instructions elsewhere;
 * test_dispatcher.c looks at every step of an update. */
#include "patching/xdp_call.h"

#include "patching/generated_text.h"
#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"
#include "tests/host/live_stop.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef DISPATCHER_UPDATES /* a tenth under the thread sanitizer: live.mk */
#define DISPATCHER_UPDATES 10000
#endif

enum {
    PROGRAMS = DISPATCHER_ENTRY_MAX + 8, /* more than there are entries */
    STRANGER = PROGRAMS,                 /* never in the dispatcher */
    STAGED = DISPATCHER_ENTRY_MAX - 2,   /* entries */
    PROGRAM_BYTES = 16,
    FIRST_RESULT = 1000,
    CALLERS = 2,
    UPDATER_CPU = CALLERS,
    PARK_SIGNAL = SIGUSR1,
    PARK_TRIES = 20000,
    PARK_US = 100,
    WATCHED_MS = 1000, /* an update that must wait is seen waiting */
    US_PER_MS = 1000,
};

DEFINE_XDP_CALL(contested);

/* Where programs are generated. */
__asm__(".pushsection .text.generated, \"ax\", @progbits\n\t"
        ".balign 64, 0xcc\n"
        "program_text:\n\t"
        ".fill 73 * 16, 1, 0xcc\n\t"
        ".popsection");
_Static_assert((PROGRAMS + 1) * PROGRAM_BYTES == 73 * 16, "the assembler text above says so");
extern const uint8_t program_text[];

static const char *why_not;
static struct xdp_program programs[PROGRAMS + 1];
static const struct xdp_program *published[PROGRAMS]; /* atomic; NULL: not to be called */
static uint32_t generations[PROGRAMS + 1], results[PROGRAMS + 1];
static unsigned stop;         /* atomic */
static uint64_t calls, wrong; /* atomic */

static uint8_t *program_address(uint32_t number)
{
    return (uint8_t *)program_text + number * (size_t)PROGRAM_BYTES;
}

/* mov eax, result; ret. The result differs from one generation to the next, and is handed to the
 * program as its data, for the caller to compare. Context: nobody calls it. */
static void program_write(uint32_t number)
{
    uint32_t *result = &results[number];
    uint8_t code[] = {0xb8, 0, 0, 0, 0, 0xc3};

    *result = FIRST_RESULT * ++generations[number] + number;
    memcpy(&code[1], result, sizeof(*result));
    assert_int_equal(
        generated_text_write((uint64_t)program_address(number), code, sizeof(code), NULL),
        PATCH_OK);
    programs[number] = (struct xdp_program){
        .name = "generated",
        .function = (dispatched_function *)program_address(number),
        .instructions = result,
    };
}

static unsigned program_call(const struct xdp_program *program)
{
    return xdp_call(contested, program, NULL);
}

static bool program_is_right(const struct xdp_program *program)
{
    return program_call(program) == *(const uint32_t *)program->instructions;
}

static void entry_add(uint32_t number)
{
    assert_int_equal(xdp_call_update(contested, NULL, &programs[number], NULL), PATCH_OK);
}

static void entry_remove(uint32_t number)
{
    assert_int_equal(xdp_call_update(contested, &programs[number], NULL, NULL), PATCH_OK);
}

static void shape_set(enum dispatcher_shape shape)
{
    const struct dispatcher_form form = {.shape = shape, .generation = UINT64_MAX};

    assert_int_equal(dispatcher_set_form(&dispatcher_contested, &form, NULL), PATCH_OK);
}

static struct dispatcher_view look(void)
{
    struct dispatcher_view view;

    xdp_call_stats(contested, &view);
    return view;
}

/* The staged ones: one reader, which a signal stops inside the image, and one updater. */

static struct {
    pthread_t thread;
    const struct xdp_program *program;
    uint64_t address;     /* atomic: where it stands; 0: it runs */
    unsigned is_released; /* atomic */
} reader;

/* The half in which it stands. */
static struct {
    const uint8_t *address;
    uint8_t bytes[DISPATCHER_HALF_BYTES];
} parked;

static struct {
    const struct xdp_program *from, *to;
    enum patch_status status;
    unsigned is_done; /* atomic */
} update;

static unsigned is_staged; /* atomic: the reader is parked; by the thread that updates */

/* Context: a signal handler: stays as long as the test wants it. */
static void park(int number, siginfo_t *information, void *context)
{
    uint64_t address = (uint64_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    uint64_t offset = address - (uint64_t)dispatcher_image_contested;

    (void)number;
    (void)information;
    /* Not at the first byte: there it has not gone any way yet. */
    if (offset >= sizeof(dispatcher_image_contested) || offset % DISPATCHER_HALF_BYTES == 0 ||
        __atomic_load_n(&reader.is_released, __ATOMIC_ACQUIRE)) {
        return;
    }
    __atomic_store_n(&reader.address, address, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&reader.is_released, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
    __atomic_store_n(&reader.address, 0, __ATOMIC_RELEASE);
}

static void *read_all_the_time(void *argument)
{
    live_enter_cpu((unsigned)(uintptr_t)argument);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&wrong, !program_is_right(reader.program), __ATOMIC_RELAXED);
        __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
        live_checkpoint();
    }
    live_leave_cpu();
    return NULL;
}

static void reader_begin(const struct xdp_program *program)
{
    stop = 0;
    wrong = 0;
    reader.program = program;
    reader.address = 0;
    reader.is_released = 0;
    assert_int_equal(pthread_create(&reader.thread, NULL, read_all_the_time, (void *)0), 0);
}

/* Stops the reader inside an image. Returns false if it is never met there. */
static bool reader_park(void)
{
    for (unsigned i = 0; i < PARK_TRIES; i++) {
        uint64_t address = __atomic_load_n(&reader.address, __ATOMIC_ACQUIRE);

        if (address != 0) {
            parked.address =
                (const uint8_t *)(address / DISPATCHER_HALF_BYTES * DISPATCHER_HALF_BYTES);
            memcpy(parked.bytes, parked.address, sizeof(parked.bytes));
            return true;
        }
        pthread_kill(reader.thread, PARK_SIGNAL);
        usleep(PARK_US);
    }
    return false;
}

static bool parked_is_kept(void)
{
    return memcmp(parked.address, parked.bytes, sizeof(parked.bytes)) == 0;
}

static void reader_end(void)
{
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    __atomic_store_n(&reader.is_released, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(reader.thread, NULL), 0);
    assert_int_equal(wrong, 0);
}

static void *update_once(void *argument)
{
    live_enter_cpu((unsigned)(uintptr_t)argument);
    update.status = xdp_call_update(contested, update.from, update.to, NULL);
    __atomic_store_n(&update.is_done, 1, __ATOMIC_RELEASE);
    live_leave_cpu();
    return NULL;
}

static pthread_t update_begin(const struct xdp_program *from, const struct xdp_program *to)
{
    pthread_t thread;

    update.from = from;
    update.to = to;
    update.is_done = 0;
    assert_int_equal(pthread_create(&thread, NULL, update_once, (void *)(uintptr_t)UPDATER_CPU), 0);
    return thread;
}

static bool update_is_done(void)
{
    return __atomic_load_n(&update.is_done, __ATOMIC_ACQUIRE);
}

/* Returns whether the update stays under way for as long as it is watched, and the half in which
 * the reader stands stays as it is. */
static bool update_waits(void)
{
    for (unsigned ms = 0; ms < WATCHED_MS; ms++) {
        if (update_is_done() || !parked_is_kept()) {
            return false;
        }
        usleep(US_PER_MS);
    }
    return true;
}

static void entries_fill(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        entry_add(i);
    }
}

static void entries_empty(void)
{
    struct dispatcher_view view = look();

    for (uint32_t i = 0; i < view.count; i++) {
        assert_int_equal(dispatcher_update(&dispatcher_contested,
                                           (dispatched_function *)view.entries[i].target, NULL,
                                           NULL),
                         PATCH_OK);
    }
    assert_int_equal(look().count, 0);
}

/* Most of a call is compares, so that a signal meets it there. Ends with a removal, which waits
 * until nobody is in the other half: the next update need not. */
static void stage_set(void)
{
    shape_set(DISPATCHER_LINEAR);
    entries_fill(STAGED + 1);
    entry_remove(STAGED);
}

static void second_update_in_a_row_waits_for_a_reader_parked_in_the_image(void **state)
{
    (void)state;
    stage_set();
    reader_begin(&programs[STRANGER]);

    bool is_parked = reader_park();

    entry_add(STAGED); /* into the other half: waits for nobody */

    bool is_kept = parked_is_kept();
    pthread_t updater = update_begin(NULL, &programs[STAGED + 1]);
    bool waits = update_waits();

    __atomic_store_n(&reader.is_released, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(updater, NULL), 0);
    reader_end();
    assert_true(is_parked);
    assert_true(is_kept);
    assert_true(waits);
    assert_int_equal(update.status, PATCH_OK);
    assert_true(look().image == (uint64_t)parked.address); /* written after all */
    entries_empty();
}

/* In the batch that takes the program out: whatever an update waits for before, the reader comes
 * later. Once int3 stands, it goes through the new image, or is still in the old one; either way
 * the removed program is where it goes. */
static void hold_and_park(enum patch_step step, enum patch_moment moment)
{
    if (step == PATCH_STEP_INT3 && moment == PATCH_MOMENT_WRITTEN) {
        /* Release: pairs with the acquire of the test: the copy of the half is there. */
        __atomic_store_n(&is_staged, reader_park(), __ATOMIC_RELEASE);
    }
}

static void removal_waits_for_a_reader_on_its_way_to_the_removed_program(void **state)
{
    uint32_t last = STAGED - 1;

    (void)state;
    stage_set();
    reader_begin(&programs[last]);
    live_set_hold(hold_and_park);

    pthread_t updater = update_begin(&programs[last], NULL);

    while (!update_is_done() && !__atomic_load_n(&is_staged, __ATOMIC_ACQUIRE)) {
        usleep(PARK_US);
    }
    bool waits = update_waits();

    reader.program = &programs[STRANGER]; /* nobody passes it any more */
    __atomic_store_n(&reader.is_released, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(updater, NULL), 0);
    live_set_hold(NULL);
    assert_int_equal(generated_text_erase((uint64_t)program_address(last), PROGRAM_BYTES, NULL),
                     PATCH_OK);
    reader_end();
    assert_true(is_staged);
    assert_true(waits);
    assert_int_equal(update.status, PATCH_OK);
    entries_empty();
    program_write(last);
}

/* The race: everything at random. */

static void *call_at_random(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 1;

    live_enter_cpu((unsigned)(uintptr_t)argument);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        /* Acquire: pairs with the release in program_publish(). */
        const struct xdp_program *program =
            __atomic_load_n(&published[next_random(&random) % PROGRAMS], __ATOMIC_ACQUIRE);

        if (!program_is_right(program != NULL ? program : &programs[STRANGER])) {
            __atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
        live_checkpoint();
    }
    live_leave_cpu();
    return NULL;
}

static void program_publish(uint32_t number, const struct xdp_program *program)
{
    __atomic_store_n(&published[number], program, __ATOMIC_RELEASE);
}

static bool is_entry(uint32_t number)
{
    struct dispatcher_view view = look();

    for (uint32_t i = 0; i < view.count; i++) {
        if (view.entries[i].target == (uint64_t)program_address(number)) {
            return true;
        }
    }
    return false;
}

static void program_go(uint32_t number)
{
    program_publish(number, NULL);
    if (is_entry(number)) {
        entry_remove(number);
    } else {
        assert_true(platform_synchronize()); /* it ran through the fallback */
    }
    assert_int_equal(generated_text_erase((uint64_t)program_address(number), PROGRAM_BYTES, NULL),
                     PATCH_OK);
}

static void program_come(uint32_t number)
{
    enum patch_status status;

    program_write(number);
    status = xdp_call_update(contested, NULL, &programs[number], NULL);
    assert_true(status == PATCH_OK || status == PATCH_ERR_NO_SLOT);
    program_publish(number, &programs[number]);
}

static void change_at_random(uint64_t *random)
{
    uint32_t number = next_random(random) % PROGRAMS;

    if (next_random(random) % 4 == 0) {
        shape_set(next_random(random) % DISPATCHER_SHAPE_COUNT);
    } else if (published[number] != NULL) {
        program_go(number);
    } else {
        program_come(number);
    }
}

static void calls_arrive_while_programs_and_shapes_change(void **state)
{
    pthread_t callers[CALLERS];
    uint64_t random = 1;

    (void)state;
    stop = 0;
    calls = wrong = 0;
    for (uintptr_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call_at_random, (void *)i), 0);
    }
    for (unsigned i = 0; i < DISPATCHER_UPDATES; i++) {
        change_at_random(&random);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i], NULL), 0);
    }
    struct dispatcher_view view = look();

    print_message("# %u changes, %lu of the text, %lu grace periods; %lu calls\n",
                  DISPATCHER_UPDATES, view.statistics.updates, view.statistics.grace_periods,
                  calls);
    assert_int_equal(wrong, 0);
    assert_true(calls > 0);
    assert_true(view.statistics.grace_periods > 0);
    entries_empty();
}

static int group_setup(void **state)
{
    (void)state;
    why_not = live_initialize();
    if (why_not == NULL && static_call_initialize(NULL) != PATCH_OK) {
        why_not = "the static calls of this program cannot be initialized";
    }
    if (why_not == NULL && live_signal_install(PARK_SIGNAL, park) != 0) {
        why_not = "no handler for a signal";
    }
    if (why_not != NULL) {
        print_message("%s\n", why_not);
        return -1;
    }
    for (uint32_t i = 0; i <= STRANGER; i++) {
        program_write(i);
    }
    return 0;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(second_update_in_a_row_waits_for_a_reader_parked_in_the_image),
    cmocka_unit_test(removal_waits_for_a_reader_on_its_way_to_the_removed_program),
    cmocka_unit_test(calls_arrive_while_programs_and_shapes_change),
};

HOST_TEST_MAIN(tests, group_setup)
