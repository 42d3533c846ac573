// SPDX-License-Identifier: MIT
/* Tests of net/program*.c over a dispatcher that notes what it is told (net_fake_dispatcher.h): in
 * which order queues, dispatcher and grace periods come, that a change that fails changes nothing,
 * what becomes of programs that find no entry; and what the built-in programs make of frames. A
 * kernel that told a queue before the program is ready, or reused memory too early, writes another
 * order. What threads do meanwhile is tests/kernel/suite_program.c's. */
#include "net/program.h"

#include <string.h>

#include "tests/host/net_fake_dispatcher.h"
#include "tests/host/net_frames.h"

static struct net_program first, second;

static unsigned program_one(const void *context, const void *instructions)
{
    (void)context;
    (void)instructions;
    return NET_ACTION_DROP;
}

static unsigned program_two(const void *context, const void *instructions)
{
    (void)context;
    (void)instructions;
    return NET_ACTION_PASS;
}

static void begin(void)
{
    net_begin();
    net_program_initialize(&first, "first", program_one, NULL);
    net_program_initialize(&second, "second", program_two, NULL);
    net_fake_steps[0] = '\0';
}

static void end(void)
{
    struct dispatcher_view view;

    net_fake_on_step = NULL;
    xdp_call_stats(receive, &view);
    assert_int_equal(view.count, 0);
    assert_int_equal(first.users + second.users, 0);
    assert_false(first.is_linked || second.is_linked);
    assert_int_equal(first.dispatched + second.dispatched, 0);
    net_end();
}

static enum net_program_status attach(uint32_t queue, struct net_program *program)
{
    return net_program_attach(nic, queue, program, NULL);
}

static enum net_program_status detach(uint32_t queue)
{
    return net_program_detach(nic, queue, NULL);
}

static void expect_steps(const char *steps)
{
    assert_string_equal(net_fake_steps, steps);
    net_fake_steps[0] = '\0';
}

static void expect_programs(const struct net_program *on_0, const struct net_program *on_1)
{
    assert_ptr_equal(net_program_of(nic, 0), on_0);
    assert_ptr_equal(net_program_of(nic, 1), on_1);
}

/* What queue 0 had at each step. */
static const struct net_program *seen[8];
static unsigned seen_count;

static void note_program(char step)
{
    (void)step;
    seen[seen_count++] = net_program_of(nic, 0);
}

static void queues_are_told_between_the_new_entry_and_the_wait(void **state)
{
    (void)state;
    begin();
    assert_int_equal(attach(0, &first), NET_PROGRAM_OK);
    net_fake_steps[0] = '\0';
    net_fake_on_step = note_program;
    seen_count = 0;
    assert_int_equal(attach(0, &second), NET_PROGRAM_OK);
    expect_steps("+-"); /* the entry that goes takes a grace period along */
    assert_ptr_equal(seen[0], &first);
    assert_ptr_equal(seen[1], &second);
    seen_count = 0;
    assert_int_equal(detach(0), NET_PROGRAM_OK);
    expect_steps("-");
    assert_ptr_equal(seen[0], NULL);
    end();
}

/* Its entry stays for the other queue, so nothing but a wait of our own can tell. */
static void program_that_stays_dispatched_is_waited_for(void **state)
{
    (void)state;
    begin();
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, &first), NET_PROGRAM_OK);
    expect_steps("++");
    assert_int_equal(detach(1), NET_PROGRAM_OK);
    expect_steps("-g");
    assert_int_equal(attach(1, &second), NET_PROGRAM_OK);
    assert_int_equal(attach(1, &first), NET_PROGRAM_OK);
    net_fake_steps[0] = '\0';
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    expect_steps("--");
    end();
}

static void bad_requests_are_named_and_change_nothing(void **state)
{
    (void)state;
    begin();
    assert_int_equal(attach(2, &first), NET_PROGRAM_NO_QUEUE);
    assert_int_equal(attach(UINT32_MAX - 1, &first), NET_PROGRAM_NO_QUEUE);
    assert_int_equal(detach(2), NET_PROGRAM_NO_QUEUE);
    assert_int_equal(detach(0), NET_PROGRAM_NONE);
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_NONE);
    assert_int_equal(net_program_leave(&first, NULL), NET_PROGRAM_NONE);
    expect_steps("");
    assert_int_equal(attach(1, &first), NET_PROGRAM_OK);
    assert_int_equal(attach(1, &first), NET_PROGRAM_SAME);
    expect_steps("+");
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, &first), NET_PROGRAM_OK);
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, &first), NET_PROGRAM_SAME);
    assert_int_equal(first.users, 2);
    assert_int_equal(net_program_enter(&first, NULL), NET_PROGRAM_OK);
    assert_int_equal(net_program_enter(&first, NULL), NET_PROGRAM_SAME);
    assert_int_equal(first.users, 3);
    assert_int_equal(net_program_leave(&first, NULL), NET_PROGRAM_OK);
    assert_int_equal(net_program_of(nic, 2) == NULL, true);
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    end();
}

/* Each step of a change of both queues fails in turn; the last try has none left to fail. */
static void change_that_fails_changes_nothing(void **state)
{
    unsigned failed = 0;

    (void)state;
    begin();
    assert_int_equal(attach(0, &first), NET_PROGRAM_OK);
    for (int after = 0;; after++) {
        struct patch_error error = {0};
        enum net_program_status status;

        net_fake_steps_until_failure = after;
        status = net_program_attach(nic, NET_PROGRAM_ALL_QUEUES, &second, &error);
        net_fake_steps_until_failure = -1;
        if (status == NET_PROGRAM_OK) {
            break;
        }
        failed++;
        assert_int_equal(status, NET_PROGRAM_PATCH);
        assert_int_not_equal(error.status, PATCH_OK);
        expect_programs(&first, NULL);
        assert_int_equal(first.users, 1);
        assert_int_equal(second.users, 0);
        /* What could not be put right then is put right by the next change. */
        assert_int_equal(net_program_enter(&first, NULL), NET_PROGRAM_OK);
        assert_int_equal(net_program_leave(&first, NULL), NET_PROGRAM_OK);
        assert_int_equal(first.dispatched, 1);
        assert_int_equal(second.dispatched, 0);
    }
    assert_int_equal(failed, 3); /* an entry, a reference to it, the old entry */
    expect_programs(&second, &second);
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    end();
}

static void detach_that_nobody_can_wait_for_says_so(void **state)
{
    struct patch_error error = {0};

    (void)state;
    begin();
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, &first), NET_PROGRAM_OK);
    net_fake_steps_until_failure = 1; /* the reference goes, the grace period does not end */
    assert_int_equal(net_program_detach(nic, 0, &error), NET_PROGRAM_PATCH);
    net_fake_steps_until_failure = -1;
    assert_int_equal(error.status, PATCH_ERR_STILL_INSIDE);
    expect_programs(NULL, &first);
    assert_int_equal(detach(1), NET_PROGRAM_OK);
    end();
}

/* A program without an entry runs all the same, and gets one as soon as there is room. */
static void full_dispatcher_takes_programs_in_later(void **state)
{
    struct frame frame;

    (void)state;
    begin();
    net_fake_entries_most = 1;
    assert_int_equal(net_program_enter(&second, NULL), NET_PROGRAM_OK);
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, &first), NET_PROGRAM_FULL);
    assert_non_null(strstr(net_fake_log, "first"));
    assert_int_equal(first.users, 2);
    assert_int_equal(first.dispatched, 0);
    frame_icmp(&frame, 8, 0, 100);
    receive(&frame);
    expect_counted(NET_DROP_PROGRAM, -1);
    net_fake_steps[0] = '\0';
    assert_int_equal(detach(0), NET_PROGRAM_OK);
    expect_steps("g"); /* nothing to take out, and still somebody could be in it */
    assert_int_equal(attach(0, &first), NET_PROGRAM_FULL);
    assert_int_equal(net_program_leave(&second, NULL), NET_PROGRAM_OK);
    assert_int_equal(first.dispatched, 2);
    /* The entry of the one that is replaced is free for the one that replaces it. */
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, &second), NET_PROGRAM_OK);
    assert_int_equal(second.dispatched, 2);
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    net_fake_entries_most = 64;
    end();
}

static void all_64_generated_programs_fit_and_one_more_does_not(void **state)
{
    struct net_program *program;

    (void)state;
    begin();
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(net_program_generate(i, &program, NULL), NET_PROGRAM_OK);
        assert_int_equal(net_program_enter(program, NULL), NET_PROGRAM_OK);
    }
    assert_int_equal(net_program_generate(64, &program, NULL), NET_PROGRAM_NO_NUMBER);
    assert_int_equal(net_program_enter(&first, NULL), NET_PROGRAM_FULL);
    assert_int_equal(net_program_leave(&first, NULL), NET_PROGRAM_OK);
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(net_program_generate(i, &program, NULL), NET_PROGRAM_OK);
        assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_IN_USE);
        assert_int_equal(net_program_leave(program, NULL), NET_PROGRAM_OK);
        assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_OK);
        assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_NONE);
    }
    end();
}

/* No dynamic call may name it, and none may be on its way there, before it is erased; if that
 * cannot be had the code stays. */
static void unload_waits_and_leaves_int3(void **state)
{
    struct patch_error error = {0};
    struct net_program *program;
    const uint8_t *code;

    (void)state;
    begin();
    assert_int_equal(net_program_number("gen9"), 9);
    assert_true(net_program_number("gen09") >= 64 && net_program_number("gen64") >= 64);
    assert_null(net_program_find("gen9"));
    assert_int_equal(net_program_generate(9, &program, NULL), NET_PROGRAM_OK);
    assert_ptr_equal(net_program_find("gen9"), program);
    code = (const uint8_t *)(uint64_t)program->xdp.function;
    assert_int_not_equal(code[0], 0xcc);
    net_fake_steps_until_failure = 0;
    assert_int_equal(net_program_unload(program, &error), NET_PROGRAM_PATCH);
    assert_int_equal(error.status, PATCH_ERR_STILL_INSIDE);
    net_fake_steps_until_failure = -1;
    assert_int_equal(net_fake_forgotten, (uint64_t)code);
    assert_int_not_equal(code[0], 0xcc);
    assert_ptr_equal(net_program_find("gen9"), program);
    net_fake_steps[0] = '\0';
    assert_int_equal(net_program_unload(program, NULL), NET_PROGRAM_OK);
    expect_steps("fe");
    for (unsigned i = 0; i < 128; i++) {
        assert_int_equal(code[i], 0xcc);
    }
    assert_null(net_program_find("gen9"));
    assert_int_equal(net_program_unload(net_program_find("drop"), NULL), NET_PROGRAM_BUILT_IN);
    end();
}

static void device_that_goes_leaves_no_reference(void **state)
{
    struct net_device *other;

    (void)state;
    begin();
    other = net_fake_device_add(3, 0, 0);
    assert_int_equal(net_program_attach(other, NET_PROGRAM_ALL_QUEUES, &first, NULL),
                     NET_PROGRAM_OK);
    net_fake_device_remove(other);
    end();
}

/* ---- built-in programs ---- */

static void attach_builtin(const char *name)
{
    assert_int_equal(attach(NET_PROGRAM_ALL_QUEUES, net_program_find(name)), NET_PROGRAM_OK);
}

static void builtin_programs_do_what_their_names_say(void **state)
{
    uint64_t before = net_program_count(nic, 1, NET_ACTION_DROP);
    struct frame frame;

    (void)state;
    begin();
    frame_icmp(&frame, 8, 0, 100);
    attach_builtin("drop");
    receive(&frame);
    expect_counted(NET_DROP_PROGRAM, -1);
    attach_builtin("abort");
    receive(&frame);
    expect_counted(NET_DROP_PROGRAM_ABORT, -1);
    attach_builtin("pass");
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_SENT_ICMP, -1);
    assert_int_equal(net_program_count(nic, 1, NET_ACTION_DROP), before + 1);
    assert_int_equal(net_program_count(nic, 1, NET_ACTION_ABORT), 1);
    assert_int_equal(net_program_count(nic, 1, NET_ACTION_PASS), 1);
    assert_int_equal(net_program_count(nic, 0, NET_ACTION_PASS), 0);
    assert_int_equal(net_program_count(nic, 1, NET_ACTION_COUNT), 0);
    assert_true(net_program_runs(net_program_find("pass")) == UINT64_MAX);
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    end();
}

/* The frame that `echo` makes of one that it answers. */
static void turn_around(struct frame *to, const struct frame *from)
{
    *to = *from;
    memcpy(to->bytes, from->bytes + 6, 6);
    memcpy(to->bytes + 6, from->bytes, 6);
    memcpy(to->bytes + 26, from->bytes + 30, 4);
    memcpy(to->bytes + 30, from->bytes + 26, 4);
    memcpy(to->bytes + 34, from->bytes + 36, 2);
    memcpy(to->bytes + 36, from->bytes + 34, 2);
}

static void echo_turns_udp_around(void **state)
{
    struct frame frame, answer;

    (void)state;
    begin();
    attach_builtin("echo");
    for (uint32_t payload = 0; payload <= 1472; payload += 46) {
        frame_udp(&frame, 1111, 2222, payload);
        turn_around(&answer, &frame);
        receive(&frame);
        expect_counted(NET_PROGRAM_TX, -1);
    }
    expect_sent(net_fake_sent_count - 1, answer.bytes, answer.length);
    frame_icmp(&frame, 8, 0, 100);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_SENT_ICMP, -1);
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    end();
}

/* Cut, malformed, a fragment, to or from a group, from ourselves, for others: not one is sent. */
static void echo_lets_pass_what_may_not_be_answered(void **state)
{
    static const struct {
        unsigned at;
        uint8_t byte;
    } changes[] = {
        {0, 0xff}, {5, 9},     {6, 3},     {12, 9},    {14, 0x46}, {14, 0x55}, {14, 0x44},
        {17, 27},  {16, 1},    {20, 0x20}, {21, 1},    {23, 6},    {24, 9},    {26, 127},
        {26, 224}, {29, 0xff}, {29, 1},    {30, 0xff}, {33, 9},
    };
    struct frame frame;
    unsigned sent;

    (void)state;
    begin();
    attach_builtin("echo");
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        frame_udp(&frame, 1111, 2222, 100);
        frame.bytes[changes[i].at] = changes[i].byte;
        if (changes[i].at != 24 && changes[i].at != 14) { /* the checksum itself */
            frame_fix_ipv4(&frame);
        }
        sent = (unsigned)net_program_count(nic, 1, NET_ACTION_TX);
        receive(&frame);
        assert_int_equal(net_program_count(nic, 1, NET_ACTION_TX), sent);
    }
    for (uint32_t length = 0; length < 42; length++) {
        frame_udp(&frame, 1111, 2222, 0);
        frame.length = length;
        receive(&frame);
    }
    assert_int_equal(net_program_count(nic, 1, NET_ACTION_TX), 0);
    net_counters_take();
    assert_int_equal(detach(NET_PROGRAM_ALL_QUEUES), NET_PROGRAM_OK);
    end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(queues_are_told_between_the_new_entry_and_the_wait),
    cmocka_unit_test(program_that_stays_dispatched_is_waited_for),
    cmocka_unit_test(bad_requests_are_named_and_change_nothing),
    cmocka_unit_test(change_that_fails_changes_nothing),
    cmocka_unit_test(detach_that_nobody_can_wait_for_says_so),
    cmocka_unit_test(full_dispatcher_takes_programs_in_later),
    cmocka_unit_test(all_64_generated_programs_fit_and_one_more_does_not),
    cmocka_unit_test(unload_waits_and_leaves_int3),
    cmocka_unit_test(device_that_goes_leaves_no_reference),
    cmocka_unit_test(builtin_programs_do_what_their_names_say),
    cmocka_unit_test(echo_turns_udp_around),
    cmocka_unit_test(echo_lets_pass_what_may_not_be_answered),
};

HOST_TEST_MAIN(tests, NULL)
