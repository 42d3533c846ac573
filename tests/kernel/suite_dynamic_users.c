// SPDX-License-Identifier: MIT
/* Those who make dynamic calls: the receive hook of cards, the packet path, interrupts. Each calls
 * what it was told to, whatever the slots name; and a program that is unloaded is in no slot and
 * called by none. Why it detects: slots name the right function, another one, none; programs that
 * say different things of a frame, so that a wrong one is counted; an unloaded one is int3, which
 * nobody survives. Could miss: a window too narrow for the frames of these seconds. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/cross_call.h"
#include "kernel/format.h"
#include "kernel/grace_period.h"
#include "kernel/symbols.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "net/ethernet.h"
#include "net/receive.h"
#include "tests/kernel/net_frames.h"
#include "tests/kernel/program_fire.h"

#define QUEUES           2u
#define FRAMES           20u
#define SHORT_TIMEOUT_MS 50
#define PATIENCE_NS      60000000000ull
#define CARD_PACKETS     128u
#define NAME_BYTES       16
#define INT3             0xcc

static uint64_t address_of(dispatched_function *function)
{
    return (uint64_t)function;
}

/* ---- a call under test ---- */

/* What it was, so that it is so again. */
struct subject {
    struct dynamic_call *call;
    struct dynamic_call_form before;
};

static bool subject_begin(struct test *test, struct subject *subject, const char *name)
{
    struct dynamic_call_view view;

    subject->call = dynamic_call_find(name);
    if (!EXPECT(test, subject->call != NULL)) {
        return false;
    }
    dynamic_call_look(subject->call, &view);
    subject->before = view.form;
    return true;
}

static void subject_end(struct test *test, struct subject *subject)
{
    EXPECT_EQUAL(test, dynamic_call_set_form(subject->call, &subject->before, NULL), PATCH_OK);
}

/* Opens the gate with these two targets in the slots; 0: empty. */
static enum patch_status slots_name(struct subject *subject, uint64_t first, uint64_t second,
                                    enum dynamic_compare compare)
{
    const struct dynamic_call_form form = {
        .targets = {{first, second}},
        .compare = compare,
        .is_open = true,
    };

    return dynamic_call_set_form(subject->call, &form, NULL);
}

static bool is_named(struct subject *subject, uint64_t target)
{
    struct dynamic_call_view view;

    dynamic_call_look(subject->call, &view);
    for (unsigned i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        if (view.form.targets.slot[i] == target) {
            return true;
        }
    }
    return false;
}

/* ---- the hook ---- */

static struct hook {
    struct fake_nic *nic;
    struct subject subject;
} hook;

static void nic_remove(struct test *test, struct fake_nic *nic)
{
    net_program_detach_all(&nic->device);
    fake_nic_remove(test, nic);
}

/* A card whose programs are run by its dynamic call. */
static bool hook_begin(struct test *test)
{
    char name[NAME_BYTES];

    hook.nic = fake_nic_add(&(struct fake_nic_options){.queues = QUEUES});
    if (!EXPECT(test, hook.nic != NULL)) {
        return false;
    }
    format_text(name, sizeof(name), "hook_%u", hook.nic->device.hook_instance);
    if (!EXPECT(test, hook.nic->device.hook_instance < DYNAMIC_INSTANCES) ||
        !subject_begin(test, &hook.subject, name)) {
        nic_remove(test, hook.nic);
        return false;
    }
    EXPECT_EQUAL(test, static_key_enable(&receive_hook_dynamic), PATCH_OK);
    return true;
}

static void hook_end(struct test *test)
{
    nic_remove(test, hook.nic);
    subject_end(test, &hook.subject);
    EXPECT_EQUAL(test, static_key_disable(&receive_hook_dynamic), PATCH_OK);
}

/* Queue 0 drops, queue 1 passes: with frames for both in turn each has its own verdicts. */
static void expect_own_verdicts(struct test *test, uint64_t rounds)
{
    for (uint32_t i = 0; i < FRAMES; i++) {
        EXPECT(test, fake_nic_inject_word(hook.nic, i % QUEUES, i));
    }
    EXPECT(test, fake_nic_settle(hook.nic));
    EXPECT_EQUAL(test, net_program_count(&hook.nic->device, 0, NET_ACTION_DROP),
                 rounds * FRAMES / QUEUES);
    EXPECT_EQUAL(test, net_program_count(&hook.nic->device, 0, NET_ACTION_PASS), 0);
    EXPECT_EQUAL(test, net_program_count(&hook.nic->device, 1, NET_ACTION_DROP), 0);
    EXPECT_EQUAL(test, net_program_count(&hook.nic->device, 1, NET_ACTION_PASS),
                 rounds * FRAMES / QUEUES);
}

static void hook_runs_what_the_queue_has(struct test *test)
{
    const uint64_t drops = address_of(program_says_drop), passes = address_of(program_says_pass);
    const uint64_t other = (uint64_t)symbol_address("memcpy");
    const uint64_t slots[][2] = {{drops, passes}, {passes, drops}, {drops, 0},
                                 {0, passes},     {other, 0},      {0, other}};
    struct net_program programs[QUEUES];
    uint64_t rounds = 0;

    if (!hook_begin(test)) {
        return;
    }
    net_program_initialize(&programs[0], "test drops", program_says_drop, NULL);
    net_program_initialize(&programs[1], "test passes", program_says_pass, NULL);
    program_attach(test, hook.nic, 0, &programs[0]);
    program_attach(test, hook.nic, 1, &programs[1]);
    expect_own_verdicts(test, ++rounds);
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
            EXPECT_EQUAL(test, slots_name(&hook.subject, slots[i][0], slots[i][1], compare),
                         PATCH_OK);
            expect_own_verdicts(test, ++rounds);
        }
    }
    hook_end(test);
}

/* There are more cards than hooks; the last ones go the slow way. */
static void cards_beyond_the_hooks_run_their_programs(struct test *test)
{
    struct fake_nic *nics[DYNAMIC_INSTANCES + 1];
    struct net_program drops;
    unsigned count = 0, without = 0;

    net_program_initialize(&drops, "test drops", program_says_drop, NULL);
    EXPECT_EQUAL(test, static_key_enable(&receive_hook_dynamic), PATCH_OK);
    while (count < DYNAMIC_INSTANCES + 1) {
        nics[count] =
            fake_nic_add(&(struct fake_nic_options){.queues = 1, .packets = CARD_PACKETS});
        if (!EXPECT(test, nics[count] != NULL)) {
            break;
        }
        without += nics[count]->device.hook_instance == DYNAMIC_INSTANCE_NONE;
        program_attach(test, nics[count], 0, &drops);
        EXPECT(test, fake_nic_inject_word(nics[count], 0, count));
        EXPECT(test, fake_nic_settle(nics[count]));
        EXPECT_EQUAL(test, net_program_count(&nics[count]->device, 0, NET_ACTION_DROP), 1);
        count++;
    }
    EXPECT(test, without > 0);
    while (count-- > 0) {
        nic_remove(test, nics[count]);
    }
    EXPECT_EQUAL(test, static_key_disable(&receive_hook_dynamic), PATCH_OK);
}

/* ---- programs that go ---- */

/* Runs a generated program through a slot, replaces it, unloads it: then no slot names it, and its
 * text is int3 from the first byte to the last. */
static void generated_comes_and_goes(struct test *test, uint32_t number, struct net_program *stays)
{
    enum dynamic_compare compare = number % DYNAMIC_COMPARE_COUNT;
    struct net_program *program = NULL;

    if (!EXPECT_EQUAL(test, net_program_generate(number, &program, NULL), NET_PROGRAM_OK)) {
        return;
    }
    uint64_t address = address_of(program->xdp.function);
    uint64_t other = address_of(stays->xdp.function);

    program_attach(test, hook.nic, NET_PROGRAM_ALL_QUEUES, program);
    EXPECT_EQUAL(test,
                 slots_name(&hook.subject, number % 3 == 0 ? other : address,
                            number % 3 == 0 ? address : other, compare),
                 PATCH_OK);
    program_attach(test, hook.nic, NET_PROGRAM_ALL_QUEUES, stays);
    EXPECT(test, is_named(&hook.subject, address));
    EXPECT_EQUAL(test, net_program_unload(program, NULL), NET_PROGRAM_OK);
    EXPECT(test, !is_named(&hook.subject, address));
    EXPECT(test, is_named(&hook.subject, other));
    EXPECT_EQUAL(test, *(const uint8_t *)address, INT3);
}

static void unloaded_program_is_in_no_slot_under_fire(struct test *test)
{
    static struct program_fire fire;
    struct net_program drops;
    uint32_t changes = 0;

    if (!hook_begin(test)) {
        return;
    }
    net_program_initialize(&drops, "test drops", program_says_drop, NULL);
    program_attach(test, hook.nic, NET_PROGRAM_ALL_QUEUES, &drops);
    if (program_fire_begin(test, &fire, hook.nic)) {
        uint64_t end_ns = clock_now_ns() + PROGRAM_FIRE_NS;

        while (clock_now_ns() < end_ns && !test_should_stop(test)) {
            generated_comes_and_goes(test, changes++ % NET_PROGRAM_GENERATED_MAX, &drops);
        }
        program_fire_end(test, &fire);
    }
    EXPECT(test, changes > 0);
    hook_end(test);
}

static struct hold {
    bool is_inside, is_released; /* atomic */
} hold;

/* Queue 0's first frame stays until it is released. */
static unsigned holds_frame(const void *context, const void *instructions)
{
    (void)context;
    (void)instructions;
    uint64_t deadline_ns = clock_now_ns() + test_patience_ns(PATIENCE_NS);

    __atomic_store_n(&hold.is_inside, true, __ATOMIC_RELAXED);
    while (!__atomic_load_n(&hold.is_released, __ATOMIC_ACQUIRE) && clock_now_ns() < deadline_ns) {
        cpu_relax();
    }
    return NET_ACTION_DROP;
}

static bool is_inside(void *argument)
{
    (void)argument;
    return __atomic_load_n(&hold.is_inside, __ATOMIC_RELAXED);
}

/* With the frame inside, nobody can tell whether a thread is on its way to @program. */
static void unload_while_held(struct test *test, struct net_program *program)
{
    struct patch_error error = {0};
    uint64_t timeout_ms = grace_timeout_set_ms(SHORT_TIMEOUT_MS);

    EXPECT(test, fake_nic_inject_word(hook.nic, 0, 1));
    EXPECT(test, wait_patiently(is_inside, NULL));
    EXPECT_EQUAL(test, net_program_unload(program, &error), NET_PROGRAM_PATCH);
    EXPECT(test, error.status != PATCH_OK);
    EXPECT(test, net_program_find(program->xdp.name) == program);
    EXPECT(test, *(const uint8_t *)address_of(program->xdp.function) != INT3);
    grace_timeout_set_ms(timeout_ms);
    __atomic_store_n(&hold.is_released, true, __ATOMIC_RELEASE);
}

/* Says so, and can be asked again. */
static void program_that_may_be_entered_is_not_unloaded(struct test *test)
{
    struct net_program *generated = NULL, holds;

    if (!hook_begin(test)) {
        return;
    }
    hold = (struct hold){0};
    net_program_initialize(&holds, "test holds", holds_frame, NULL);
    if (EXPECT_EQUAL(test, net_program_generate(7, &generated, NULL), NET_PROGRAM_OK)) {
        uint64_t address = address_of(generated->xdp.function);

        program_attach(test, hook.nic, NET_PROGRAM_ALL_QUEUES, &holds);
        EXPECT_EQUAL(test, slots_name(&hook.subject, address, 0, DYNAMIC_COMPARE_IMMEDIATE),
                     PATCH_OK);
        unload_while_held(test, generated);
        EXPECT(test, fake_nic_settle(hook.nic));
        EXPECT_EQUAL(test, net_program_unload(generated, NULL), NET_PROGRAM_OK);
        EXPECT(test, !is_named(&hook.subject, address));
    }
    hook_end(test);
}

/* ---- interrupts ---- */

static void add_one(void *argument)
{
    __atomic_fetch_add((uint32_t *)argument, 1, __ATOMIC_RELAXED);
}

/* Cross calls and the timer go on, whichever of their handlers the slots name, while that changes:
 * each cross call comes once to each CPU, and a sleeper wakes. */
static void interrupts_arrive_whatever_the_slots_name(struct test *test)
{
    const uint64_t timer = symbol_address("timer_interrupt");
    const uint64_t calls = symbol_address("call_interrupt");
    const uint64_t slots[][2] = {{timer, calls}, {calls, timer}, {timer, 0}, {0, calls}};
    struct subject subject;
    uint32_t ran = 0, expected = 0;

    if (!EXPECT(test, timer != 0 && calls != 0) || !subject_begin(test, &subject, "interrupt")) {
        return;
    }
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
            EXPECT_EQUAL(test, slots_name(&subject, slots[i][0], slots[i][1], compare), PATCH_OK);
            for (unsigned call = 0; call < FRAMES; call++) {
                on_each_cpu(add_one, &ran);
                expected += cpu_count();
            }
            thread_sleep_ns(1000000);
            EXPECT_EQUAL(test, ran, expected);
        }
    }
    subject_end(test, &subject);
}

/* ---- packets ---- */

/* As many frames of each, in turn. Both kinds end as drops: the card has no address. */
static void inject_both_protocols(struct test *test, struct fake_nic *nic)
{
    static const uint8_t peer[MAC_BYTES] = {0x02, 0, 0, 0, 1, 1};
    uint8_t arp[FRAME_BYTES_MIN], udp[FRAME_BYTES_MIN];
    const struct frame_udp datagram = {
        .to = nic->device.mac,
        .from = peer,
        .source = 0xc6120002,
        .destination = 0xc6120001,
        .source_port = 1,
        .destination_port = 2,
        .payload = peer,
        .length = 1,
    };
    uint32_t length = frame_make_udp(udp, &datagram);

    frame_make_arp(arp, 2, peer, datagram.source, nic->device.mac, datagram.destination);
    for (uint32_t i = 0; i < FRAMES; i++) {
        EXPECT(test, fake_nic_inject_patiently(nic, 0, udp, length));
        EXPECT(test, fake_nic_inject_patiently(nic, 0, arp, sizeof(arp)));
    }
    EXPECT(test, fake_nic_settle(nic));
}

/* Each of the two protocols of frames is delivered to its own, whichever the slots name. */
static void frames_reach_their_protocol_whatever_the_slots_name(struct test *test)
{
    const uint64_t ipv4 = symbol_address("ipv4_receive"), arp = symbol_address("arp_receive");
    const uint64_t slots[][2] = {{ipv4, arp}, {arp, ipv4}, {arp, 0}, {0, ipv4}};
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    struct subject subject;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    if (subject_begin(test, &subject, "deliver")) {
        for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
            uint64_t arp_before = net_counter_read(NET_RECEIVED_ARP);
            uint64_t ipv4_before = net_counter_read(NET_RECEIVED_IPV4);

            EXPECT_EQUAL(test, slots_name(&subject, slots[i][0], slots[i][1], i % 2), PATCH_OK);
            inject_both_protocols(test, nic);
            EXPECT_EQUAL(test, net_counter_read(NET_RECEIVED_ARP) - arp_before, FRAMES);
            EXPECT_EQUAL(test, net_counter_read(NET_RECEIVED_IPV4) - ipv4_before, FRAMES);
        }
        subject_end(test, &subject);
    }
    fake_nic_remove(test, nic);
}

static const struct test_case cases[] = {
    TEST_CASE(hook_runs_what_the_queue_has),
    TEST_CASE(cards_beyond_the_hooks_run_their_programs),
    TEST_CASE(unloaded_program_is_in_no_slot_under_fire),
    TEST_CASE(program_that_may_be_entered_is_not_unloaded),
    TEST_CASE(frames_reach_their_protocol_whatever_the_slots_name),
    TEST_CASE(interrupts_arrive_whatever_the_slots_name),
};

const struct test_suite suite_dynamic_users = TEST_SUITE("dynamic_users", cases);
