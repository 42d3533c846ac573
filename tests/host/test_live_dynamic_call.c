// SPDX-License-Identifier: MIT
/* Threads make dynamic calls on the real CPU, of targets at random, while slots, gate, watch and
 * kind of comparison change, trials run, learning goes on, and targets go away and come back as
 * other code at the same address:
 *
 *     updater                                 caller
 *     published[n] = NULL                     target = published[n] (acquire)
 *     dynamic_calls_forget(n), returns        dynamic_call(target): compares, calls
 *     its memory becomes int3, or another     ... returns what target n returns
 *     target                                  checkpoint
 *
 * Detects a call that arrives at another target (each returns a number of its own, made of its
 * argument), and one that goes to a target that was forgotten (int3 ends the test). What happens
 * between a comparison and its call is luck here; test_dynamic_call_steps.c stops there at will. */
#include "patching/dynamic_auto.h"

#include "patching/generated_text.h"
#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <string.h>

#ifndef DYNAMIC_CALL_CHANGES /* a tenth under the thread sanitizer: live.mk */
#define DYNAMIC_CALL_CHANGES 10000
#endif

enum {
    TARGETS = 8,
    TARGET_BYTES = 16,
    CALLERS = 3,
    UPDATER_CPU = CALLERS,
    CPUS = CALLERS + 1,
    RUN = 16, /* calls between two checkpoints, at most */
    FIRST_RESULT = 1000,
    PACE_NS = 60000000, /* of the worker's clock, each step: epochs end quickly */
};

typedef uint64_t called(uint64_t argument);

DEFINE_DYNAMIC_CALL_BY_HAND(contested, called, 3);

/* Where targets are generated. */
__asm__(".pushsection .text.generated, \"ax\", @progbits\n\t"
        ".balign 64, 0xcc\n"
        "target_text:\n\t"
        ".fill 8 * 16, 1, 0xcc\n\t"
        ".popsection");
_Static_assert(TARGETS *TARGET_BYTES == 8 * 16, "the assembler text above says so");
extern const uint8_t target_text[];

static const char *why_not;
static struct dynamic_call *const subject = &dynamic_call_contested;
static struct dynamic_count counts[CPUS];
static called *published[TARGETS]; /* atomic; NULL: not to be called */
static uint32_t results[TARGETS];  /* written while nobody calls the target */
static uint32_t generation;
static unsigned stop;                          /* atomic */
static uint64_t calls, null_calls, wrong, odd; /* atomic; odd: of changes */

static uint64_t target_address(uint32_t number)
{
    return (uint64_t)target_text + number * (uint64_t)TARGET_BYTES;
}

/* lea rax, [rdi + result]; ret. Context: nobody calls it. */
static void target_come(uint32_t number)
{
    uint8_t code[] = {0x48, 0x8d, 0x87, 0, 0, 0, 0, 0xc3};

    results[number] = FIRST_RESULT * ++generation + number;
    memcpy(&code[3], &results[number], sizeof(results[number]));
    assert_int_equal(generated_text_write(target_address(number), code, sizeof(code), NULL),
                     PATCH_OK);
    /* Release; partner: the acquire in call_one(): code and result are there. */
    __atomic_store_n(&published[number], (called *)target_address(number), __ATOMIC_RELEASE);
}

static void target_go(uint32_t number)
{
    __atomic_store_n(&published[number], NULL, __ATOMIC_RELEASE);
    assert_int_equal(dynamic_calls_forget(target_address(number), NULL), PATCH_OK);
    assert_int_equal(generated_text_erase(target_address(number), TARGET_BYTES, NULL), PATCH_OK);
}

/* Two places in the text: one that goes on behind the call, one that leaves by it. */
__attribute__((noinline)) static uint64_t call_and_return(called *target, uint64_t argument)
{
    uint64_t result = dynamic_call(contested, target, argument);

    __asm__ volatile("" : "+r"(result));
    return result;
}

__attribute__((noinline)) static uint64_t call_and_leave(called *target, uint64_t argument)
{
    return dynamic_call(contested, target, argument);
}

static bool call_one(uint64_t random)
{
    uint32_t number = random % TARGETS;
    called *target = __atomic_load_n(&published[number], __ATOMIC_ACQUIRE);
    uint64_t result =
        random & TARGETS ? call_and_return(target, random) : call_and_leave(target, random);

    if (target == NULL) {
        __atomic_fetch_add(&null_calls, 1, __ATOMIC_RELAXED);
        return result == 0;
    }
    return result == random + results[number];
}

/* One target in turns of many calls, or each time another. */
static void *call_at_random(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument + 1;

    live_enter_cpu((unsigned)(uintptr_t)argument);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        uint64_t first = next_random(&random);

        for (unsigned i = 0; i < first % RUN; i++) {
            uint64_t number = first >> 32 & 1 ? first >> 8 : next_random(&random);

            __atomic_fetch_add(&wrong, !call_one(number), __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&calls, first % RUN, __ATOMIC_RELAXED);
        dynamic_call_break(contested);
        live_checkpoint();
    }
    live_leave_cpu();
    return NULL;
}

static struct dynamic_call_form form_at_random(uint64_t *random)
{
    struct dynamic_call_form form = {
        .compare = (enum dynamic_compare)(next_random(random) % DYNAMIC_COMPARE_COUNT),
        .is_open = next_random(random) % 4 != 0,
        .is_watched = next_random(random) % 2 != 0,
    };
    uint32_t first = next_random(random) % TARGETS;

    for (uint32_t i = 0; i < subject->slot_count; i++) {
        uint32_t number = (first + i * 3) % TARGETS;

        if (next_random(random) % 4 != 0 && published[number] != NULL) {
            form.targets.slot[i] = target_address(number);
        }
    }
    return form;
}

static void expect(enum patch_status status)
{
    odd += status != PATCH_OK;
}

/* Only what is behind a closed gate can be sent through the chain. */
static void chain_try(bool goes_through)
{
    struct dynamic_call_form form = {.is_watched = true};
    struct dynamic_call_view view;

    dynamic_call_look(subject, &view);
    form.targets = view.form.targets;
    form.compare = view.form.compare;
    expect(dynamic_call_set_form(subject, &form, NULL));
    platform_change_lock();
    odd += !dynamic_call_set_through(subject, goes_through);
    platform_change_unlock();
}

/* Learning on, and the steps of two epochs, or of a trial and a bit. */
static void learn(uint64_t *random)
{
    static uint64_t now_ns;
    unsigned steps = next_random(random) % 2 ? 5 : 40;

    expect(dynamic_auto_set(subject, true, now_ns, NULL));
    while (steps-- > 0) {
        now_ns += PACE_NS;
        (void)dynamic_auto_step(subject, now_ns);
    }
    if (next_random(random) % 2) {
        expect(dynamic_auto_set(subject, false, now_ns, NULL));
    }
}

static void pin(uint64_t *random)
{
    struct dynamic_call_form form = form_at_random(random);
    enum patch_status status = dynamic_auto_pin(subject, &form.targets, 0, NULL);

    expect(status == PATCH_ERR_NO_TARGET ? PATCH_OK : status); /* none at all, by chance */
}

static void change_at_random(uint64_t *random)
{
    const struct dynamic_call_form form = form_at_random(random);
    uint32_t number = next_random(random) % TARGETS;

    switch (next_random(random) % 8) {
    case 0:
        if (published[number] != NULL) {
            target_go(number);
        } else {
            target_come(number);
        }
        break;
    case 1:
        chain_try(next_random(random) % 2 != 0);
        break;
    case 2:
        learn(random);
        break;
    case 3:
        pin(random);
        break;
    case 4:
        expect(dynamic_auto_set_compare(subject, form.compare, NULL));
        break;
    default:
        expect(dynamic_call_set_form(subject, &form, NULL));
        break;
    }
}

static void calls_arrive_whatever_changes(void **state)
{
    pthread_t callers[CALLERS];
    struct dynamic_call_view view;
    uint64_t random = 1;

    (void)state;
    for (uint32_t i = 0; i < TARGETS; i++) {
        target_come(i);
    }
    for (uintptr_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&callers[i], NULL, call_at_random, (void *)i), 0);
    }
    for (unsigned i = 0; i < DYNAMIC_CALL_CHANGES; i++) {
        change_at_random(&random);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(callers[i], NULL), 0);
    }
    dynamic_call_look(subject, &view);
    print_message("# %u times something else, %lu changes, %lu batches, %lu grace periods, %lu "
                  "targets forgotten; %lu calls\n",
                  DYNAMIC_CALL_CHANGES, view.statistics.changes, view.statistics.batches,
                  view.statistics.grace_periods, view.statistics.forgotten, calls);
    assert_int_equal(wrong, 0);
    assert_int_equal(odd, 0);
    assert_int_equal(view.nulls, null_calls);
    assert_int_equal(view.statistics.failed, 0);
    assert_true(view.statistics.forgotten > 0);
    assert_true(calls > 0);
}

static int group_setup(void **state)
{
    (void)state;
    why_not = live_initialize();
    if (why_not == NULL &&
        (static_call_initialize(NULL) != PATCH_OK || static_key_initialize(NULL) != PATCH_OK ||
         dynamic_call_initialize(NULL) != PATCH_OK)) {
        why_not = "the dynamic calls of this program cannot be initialized";
    }
    if (why_not == NULL) {
        live_enter_cpu(UPDATER_CPU);
        dynamic_call_give_memory(subject, counts, CPUS);
        dynamic_auto_set_budget(UINT32_MAX);
    }
    return 0;
}

static int setup(void **state)
{
    (void)state;
    if (why_not != NULL) {
        print_message("skipped: %s\n", why_not);
        skip();
    }
    return 0;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(calls_arrive_whatever_changes, setup),
};

HOST_TEST_MAIN(tests, group_setup)
