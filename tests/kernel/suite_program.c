// SPDX-License-Identifier: MIT
/* Packet programs on a card in memory: each queue runs its own, changes are whole, and no frame
 * meets a program once its detach has returned. Why it detects: a frame is held inside a program
 * while somebody takes it away; under fire, generated programs are unloaded, that is int3, as soon
 * as they are replaced, and others write down when they run after that. Could miss: a window too
 * narrow for the frames of these seconds. */
#include "net/program.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "tests/kernel/net_frames.h"
#include "tests/kernel/program_fire.h"

#define QUEUES      2u
#define HOLD_NS     10000000ull /* how long a detach is given to return too early */
#define PATIENCE_NS 60000000000ull
#define REST_NS     100000ull
#define RIVAL_FIRST 40u /* generated programs of the second thread that changes things */
#define RIVAL_LAST  43u
#define FAR_ADDRESS 0xffff888000001000ull /* no sign-extended 32-bit number */
#define LOW_ADDRESS 0x40000000ull         /* one, but out of reach of a jump */

/* ---- verdicts ---- */

static struct net_program drops, passes;

static void make_programs(void)
{
    net_program_initialize(&drops, "test drops", program_says_drop, NULL);
    net_program_initialize(&passes, "test passes", program_says_pass, NULL);
}

static void each_queue_runs_its_own_program(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = QUEUES});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    make_programs();
    program_attach(test, nic, 0, &drops);
    program_attach(test, nic, 1, &passes);
    for (uint32_t i = 0; i < 30; i++) {
        EXPECT(test, fake_nic_inject_word(nic, i % QUEUES, i));
    }
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, net_program_count(&nic->device, 0, NET_ACTION_DROP), 15);
    EXPECT_EQUAL(test, net_program_count(&nic->device, 0, NET_ACTION_PASS), 0);
    EXPECT_EQUAL(test, net_program_count(&nic->device, 1, NET_ACTION_DROP), 0);
    EXPECT_EQUAL(test, net_program_count(&nic->device, 1, NET_ACTION_PASS), 15);
    EXPECT_EQUAL(test, net_program_detach(&nic->device, 1, NULL), NET_PROGRAM_OK);
    EXPECT(test, net_program_of(&nic->device, 0) == &drops);
    EXPECT(test, fake_nic_inject_word(nic, 1, 0));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, net_program_count(&nic->device, 1, NET_ACTION_PASS), 15);
    fake_nic_remove(test, nic);
}

/* A program that no dispatcher can jump to is refused for all queues, and those run what they ran.
 */
static void program_out_of_reach_is_refused_whole(struct test *test)
{
    static const uint64_t addresses[] = {FAR_ADDRESS, LOW_ADDRESS};
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = QUEUES});
    struct net_program far;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    make_programs();
    program_attach(test, nic, 1, &drops);
    for (unsigned i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct patch_error error = {0};

        net_program_initialize(&far, "test far", (dispatched_function *)addresses[i], NULL);
        EXPECT_EQUAL(test, net_program_attach(&nic->device, NET_PROGRAM_ALL_QUEUES, &far, &error),
                     NET_PROGRAM_PATCH);
        EXPECT_EQUAL(test, error.status, PATCH_ERR_RANGE);
        EXPECT_EQUAL(test, far.users, 0);
        EXPECT(test, net_program_of(&nic->device, 0) == NULL);
        EXPECT(test, net_program_of(&nic->device, 1) == &drops);
    }
    EXPECT(test, fake_nic_inject_word(nic, 1, 0));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, net_program_count(&nic->device, 1, NET_ACTION_DROP), 1);
    fake_nic_remove(test, nic);
}

/* ---- a frame inside ---- */

static struct hold {
    struct fake_nic *nic;
    /* atomic: */
    uint32_t inside, left; /* frames that came into the program, and out again */
    bool is_released;
    bool has_returned;       /* the detach */
    uint32_t left_at_return; /* frames that had come out by then */
    enum net_program_status status;
} hold;

/* Queue 0's first frame stays until it is released. */
static unsigned holds_frame(const void *context, const void *instructions)
{
    (void)instructions;
    const struct packet *packet = context;
    uint64_t deadline_ns = clock_now_ns() + test_patience_ns(PATIENCE_NS);

    if (packet->queue == 0) {
        __atomic_fetch_add(&hold.inside, 1, __ATOMIC_RELAXED);
        while (!__atomic_load_n(&hold.is_released, __ATOMIC_ACQUIRE) &&
               clock_now_ns() < deadline_ns) {
            cpu_relax();
        }
        __atomic_fetch_add(&hold.left, 1, __ATOMIC_RELEASE);
    }
    return NET_ACTION_DROP;
}

static void take_away(void *argument)
{
    (void)argument;
    hold.status = net_program_detach(&hold.nic->device, 0, NULL);
    hold.left_at_return = __atomic_load_n(&hold.left, __ATOMIC_ACQUIRE);
    __atomic_store_n(&hold.has_returned, true, __ATOMIC_RELEASE);
}

static bool is_inside(void *argument)
{
    (void)argument;
    return __atomic_load_n(&hold.inside, __ATOMIC_RELAXED) == 1;
}

static bool is_taken_away(void *argument)
{
    (void)argument;
    return net_program_of(&hold.nic->device, 0) == NULL;
}

static void detach_while_held(struct test *test)
{
    struct thread *thread;

    EXPECT(test, fake_nic_inject_word(hold.nic, 0, 1));
    EXPECT(test, wait_patiently(is_inside, NULL));
    thread = thread_create("detach", cpu_index(), take_away, NULL);
    if (EXPECT(test, thread != NULL)) {
        EXPECT(test, wait_patiently(is_taken_away, NULL)); /* later frames do not meet it */
        thread_sleep_ns(HOLD_NS);
        EXPECT(test, !__atomic_load_n(&hold.has_returned, __ATOMIC_ACQUIRE));
        __atomic_store_n(&hold.is_released, true, __ATOMIC_RELEASE);
        thread_join(thread);
        EXPECT_EQUAL(test, hold.status, NET_PROGRAM_OK);
        EXPECT_EQUAL(test, hold.left_at_return, 1);
    }
    __atomic_store_n(&hold.is_released, true, __ATOMIC_RELEASE);
}

/* Once alone, so that its entry goes; once with another queue that has it too, so that it stays. */
static void detach_waits_for_the_frame_inside(struct test *test)
{
    for (unsigned queues = 1; queues <= QUEUES; queues++) {
        struct net_program holds;

        hold = (struct hold){.nic = fake_nic_add(&(struct fake_nic_options){.queues = queues})};
        if (!EXPECT(test, hold.nic != NULL)) {
            return;
        }
        net_program_initialize(&holds, "test holds", holds_frame, NULL);
        program_attach(test, hold.nic, NET_PROGRAM_ALL_QUEUES, &holds);
        detach_while_held(test);
        EXPECT(test, fake_nic_settle(hold.nic));
        EXPECT_EQUAL(test, holds.users, queues - 1);
        fake_nic_remove(test, hold.nic);
    }
}

/* ---- a full dispatcher ---- */

/* Generates and enters programs @first to @last. */
static void enter_generated(struct test *test, uint32_t first, uint32_t last)
{
    for (uint32_t number = first; number <= last; number++) {
        struct net_program *program = NULL;

        if (EXPECT_EQUAL(test, net_program_generate(number, &program, NULL), NET_PROGRAM_OK)) {
            EXPECT_EQUAL(test, net_program_enter(program, NULL), NET_PROGRAM_OK);
        }
    }
}

static void unload_generated(struct test *test, uint32_t first, uint32_t last)
{
    for (uint32_t number = first; number <= last; number++) {
        struct net_program *program = NULL;

        if (EXPECT_EQUAL(test, net_program_generate(number, &program, NULL), NET_PROGRAM_OK)) {
            net_program_leave(program, NULL);
            EXPECT_EQUAL(test, net_program_unload(program, NULL), NET_PROGRAM_OK);
        }
    }
}

/* Frames go through the fallback to the same verdicts; when there is room, the program comes in. */
static void program_without_an_entry_runs_all_the_same(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = QUEUES});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    make_programs();
    enter_generated(test, 0, NET_PROGRAM_GENERATED_MAX - 1);
    EXPECT_EQUAL(test, net_program_attach(&nic->device, NET_PROGRAM_ALL_QUEUES, &drops, NULL),
                 NET_PROGRAM_FULL);
    EXPECT_EQUAL(test, drops.users, QUEUES);
    EXPECT_EQUAL(test, drops.dispatched, 0);
    for (uint32_t i = 0; i < 10; i++) {
        EXPECT(test, fake_nic_inject_word(nic, i % QUEUES, i));
    }
    EXPECT(test, fake_nic_settle(nic));
    unload_generated(test, 5, 5);
    EXPECT_EQUAL(test, drops.dispatched, QUEUES);
    for (uint32_t i = 0; i < 10; i++) {
        EXPECT(test, fake_nic_inject_word(nic, i % QUEUES, i));
    }
    EXPECT(test, fake_nic_settle(nic));
    for (uint32_t queue = 0; queue < QUEUES; queue++) {
        EXPECT_EQUAL(test, net_program_count(&nic->device, queue, NET_ACTION_DROP), 10);
    }
    fake_nic_remove(test, nic);
    unload_generated(test, 0, NET_PROGRAM_GENERATED_MAX - 1);
}

/* ---- under fire ---- */

/* A program that knows whether it was replaced. */
struct witness {
    struct net_program program;
    bool is_gone;   /* atomic */
    uint32_t wrong; /* atomic: runs while it is gone */
};

static struct fire {
    struct fake_nic *nic;
    struct program_fire frames;
    struct witness witnesses[2];
    bool is_over; /* atomic */
    uint32_t rival_failures;
} fire;

static unsigned says_when_gone(const void *context, const void *instructions)
{
    (void)context;
    struct witness *witness = (struct witness *)instructions;

    if (__atomic_load_n(&witness->is_gone, __ATOMIC_ACQUIRE)) {
        __atomic_fetch_add(&witness->wrong, 1, __ATOMIC_RELAXED);
    }
    return NET_ACTION_DROP;
}

/* Another thread that changes the dispatcher meanwhile: programs that nobody attaches. */
static void rival(void *argument)
{
    (void)argument;
    while (!__atomic_load_n(&fire.is_over, __ATOMIC_ACQUIRE)) {
        for (uint32_t number = RIVAL_FIRST; number <= RIVAL_LAST; number++) {
            struct net_program *program = NULL;
            bool is_good = net_program_generate(number, &program, NULL) == NET_PROGRAM_OK &&
                           net_program_enter(program, NULL) == NET_PROGRAM_OK &&
                           net_program_leave(program, NULL) == NET_PROGRAM_OK &&
                           net_program_unload(program, NULL) == NET_PROGRAM_OK;

            fire.rival_failures += !is_good;
        }
        thread_sleep_ns(REST_NS);
    }
}

/* Attaches a witness in place of what is there, and says so to the one it replaces. */
static void change_witness(struct test *test, unsigned number)
{
    struct witness *next = &fire.witnesses[number % 2];
    struct witness *last = &fire.witnesses[(number + 1) % 2];

    __atomic_store_n(&next->is_gone, false, __ATOMIC_RELEASE);
    program_attach(test, fire.nic, NET_PROGRAM_ALL_QUEUES, &next->program);
    __atomic_store_n(&last->is_gone, true, __ATOMIC_RELEASE);
}

/* A generated program between two witnesses; its code is int3 right behind its last frame. */
static void change_generated(struct test *test, uint32_t number)
{
    struct net_program *program = NULL;

    if (EXPECT_EQUAL(test, net_program_generate(number, &program, NULL), NET_PROGRAM_OK)) {
        program_attach(test, fire.nic, number % QUEUES, program);
        program_attach(test, fire.nic, NET_PROGRAM_ALL_QUEUES, program);
    }
}

static uint32_t change_until_the_end(struct test *test)
{
    uint64_t end_ns = clock_now_ns() + PROGRAM_FIRE_NS;
    uint32_t changes = 0;

    while (clock_now_ns() < end_ns && !test_should_stop(test)) {
        uint32_t generated = changes % RIVAL_FIRST;

        change_witness(test, 1);
        change_generated(test, generated);
        __atomic_store_n(&fire.witnesses[1].is_gone, true, __ATOMIC_RELEASE);
        change_witness(test, 0);
        unload_generated(test, generated, generated);
        changes++;
    }
    return changes;
}

static bool fire_start(struct test *test)
{
    fire = (struct fire){.nic = fake_nic_add(&(struct fake_nic_options){.queues = QUEUES})};
    if (!EXPECT(test, fire.nic != NULL)) {
        return false;
    }
    for (unsigned i = 0; i < 2; i++) {
        net_program_initialize(&fire.witnesses[i].program, i == 0 ? "test even" : "test odd",
                               says_when_gone, &fire.witnesses[i]);
    }
    change_witness(test, 0);
    return program_fire_begin(test, &fire.frames, fire.nic);
}

/* CPUs send while one thread replaces the programs of both queues and another one changes the
 * dispatcher. There is a program at every instant: each frame has exactly one verdict. Both
 * witnesses share one function, so that their entry never goes and each wait is program.c's own. */
static void programs_come_and_go_under_fire(struct test *test)
{
    struct thread *thread;

    if (!fire_start(test)) {
        return;
    }
    thread = thread_create("rival", cpu_index(), rival, NULL);
    EXPECT(test, thread != NULL);
    EXPECT(test, change_until_the_end(test) > 0);
    __atomic_store_n(&fire.is_over, true, __ATOMIC_RELEASE);
    if (thread != NULL) {
        thread_join(thread);
    }
    program_fire_end(test, &fire.frames);
    EXPECT_EQUAL(test, fire.rival_failures, 0);
    EXPECT_EQUAL(test, fire.witnesses[0].wrong + fire.witnesses[1].wrong, 0);
    fake_nic_remove(test, fire.nic);
}

static const struct test_case cases[] = {
    TEST_CASE(each_queue_runs_its_own_program),
    TEST_CASE(program_out_of_reach_is_refused_whole),
    TEST_CASE(detach_waits_for_the_frame_inside),
    TEST_CASE(program_without_an_entry_runs_all_the_same),
    TEST_CASE(programs_come_and_go_under_fire),
};

const struct test_suite suite_program = TEST_SUITE("program", cases, .lets_worker_choose = true);
