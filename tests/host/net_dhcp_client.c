// SPDX-License-Identifier: MIT
/* Tests of net/dhcp_client.c on a clock that the tests turn: what is asked when and of whom, and
 * what an answer changes. What RFC 2131 leaves open (how often, how soon again) is held to bounds.
 */
#include "tests/host/host_test.h"

#include <string.h>

#include "net/dhcp_client.h"

#define SECOND    1000000000ull
#define BROADCAST UINT32_MAX
#define NOTHING   UINT64_MAX

static struct dhcp_client client;
static struct dhcp_step step;

static struct dhcp_answer answer_of(enum dhcp_type type)
{
    return (struct dhcp_answer){.type = type,
                                .transaction = client.transaction,
                                .address = 0x0a00020f,
                                .mask = 0xffffff00,
                                .router = 0x0a000202,
                                .server = 0x0a000201,
                                .lease_s = 800};
}

static void tick(uint64_t now)
{
    dhcp_client_tick(&client, now, &step);
}

static void give(const struct dhcp_answer *answer, uint64_t now)
{
    dhcp_client_answer(&client, answer, now, &step);
}

static void give_type(enum dhcp_type type, uint64_t now)
{
    struct dhcp_answer answer = answer_of(type);

    give(&answer, now);
}

static void expect_nothing(void)
{
    assert_false(step.send);
    assert_int_equal(step.change, DHCP_KEEP);
}

/* Gets a lease of @lease_s seconds; T1 and T2 as given, 0: not. */
static void bind_with_times(uint64_t now, uint32_t lease_s, uint32_t renew_s, uint32_t rebind_s)
{
    struct dhcp_answer answer = answer_of(DHCP_OFFER);

    dhcp_client_start(&client, 1, now);
    tick(now);
    answer.lease_s = lease_s;
    answer.renew_s = renew_s;
    answer.rebind_s = rebind_s;
    answer.transaction = client.transaction;
    give(&answer, now);
    answer.transaction = client.transaction;
    answer.type = DHCP_ACK;
    give(&answer, now);
    assert_int_equal(step.change, DHCP_TAKE_ADDRESS);
    assert_int_equal(client.state, DHCP_BOUND);
}

static void bind_at(uint64_t now, uint32_t lease_s)
{
    bind_with_times(now, lease_s, 0, 0);
}

static void a_lease_is_discovered_and_requested(void **state)
{
    (void)state;
    dhcp_client_start(&client, 7, 5 * SECOND);
    assert_int_equal(dhcp_client_next(&client), 5 * SECOND);
    tick(5 * SECOND);
    assert_true(step.send);
    assert_int_equal(step.question.type, DHCP_DISCOVER);
    assert_int_equal(step.destination, BROADCAST);
    assert_int_equal(step.question.own_address, 0);
    give_type(DHCP_OFFER, 6 * SECOND);
    assert_true(step.send);
    assert_int_equal(step.question.type, DHCP_REQUEST);
    assert_int_equal(step.question.wanted_address, 0x0a00020f);
    assert_int_equal(step.question.server, 0x0a000201);
    assert_int_equal(step.question.own_address, 0);
    assert_int_equal(step.question.seconds, 1);
    assert_int_equal(step.destination, BROADCAST);
    assert_int_equal(step.change, DHCP_KEEP);
    give_type(DHCP_ACK, 7 * SECOND);
    assert_false(step.send);
    assert_int_equal(step.change, DHCP_TAKE_ADDRESS);
    assert_int_equal(client.lease.address, 0x0a00020f);
    assert_int_equal(dhcp_client_next(&client), 7 * SECOND + 400 * SECOND);
}

/* 4, 8, 16, 32, 64, 64 ... seconds, each give or take one. */
static void questions_grow_rarer_but_never_end(void **state)
{
    static const uint64_t waits[] = {4, 8, 16, 32, 64, 64, 64, 64};
    uint64_t now = 0;

    (void)state;
    dhcp_client_start(&client, 99, now);
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        uint64_t next;

        tick(now);
        assert_true(step.send);
        assert_int_equal(step.question.type, DHCP_DISCOVER);
        next = dhcp_client_next(&client);
        assert_in_range(next - now, (waits[i] - 1) * SECOND, (waits[i] + 1) * SECOND);
        tick(next - 1);
        expect_nothing();
        now = next;
    }
}

static void a_request_without_answer_starts_again(void **state)
{
    (void)state;
    dhcp_client_start(&client, 3, 0);
    tick(0);
    give_type(DHCP_OFFER, 0);
    for (unsigned i = 1; i < DHCP_TRIES; i++) {
        tick(dhcp_client_next(&client));
        assert_int_equal(step.question.type, DHCP_REQUEST);
    }
    tick(dhcp_client_next(&client));
    assert_true(step.send);
    assert_int_equal(step.question.type, DHCP_DISCOVER);
    assert_int_equal(client.state, DHCP_SELECTING);
}

static void answers_that_are_not_for_the_question_change_nothing(void **state)
{
    struct dhcp_answer answer;
    struct dhcp_client before;

    (void)state;
    dhcp_client_start(&client, 3, 0);
    give_type(DHCP_OFFER, 0); /* before anything was asked */
    expect_nothing();
    tick(0);
    before = client;
    give_type(DHCP_ACK, 0);
    give_type(DHCP_NAK, 0);
    answer = answer_of(DHCP_OFFER);
    answer.transaction ^= 1;
    give(&answer, 0);
    expect_nothing();
    assert_memory_equal(&client, &before, sizeof(client));
    give_type(DHCP_OFFER, 0);
    before = client;
    give_type(DHCP_OFFER, 0); /* of a second server */
    expect_nothing();
    assert_memory_equal(&client, &before, sizeof(client));
    bind_at(0, 800);
    before = client;
    give_type(DHCP_ACK, 0);
    expect_nothing();
    give_type(DHCP_NAK, 0);
    expect_nothing();
    assert_memory_equal(&client, &before, sizeof(client));
}

/* A lease needs an address of a host, a mask, a server and a time. */
static void offers_that_lack_something_are_not_taken(void **state)
{
    struct dhcp_answer offers[6];

    (void)state;
    dhcp_client_start(&client, 3, 0);
    tick(0);
    for (unsigned i = 0; i < 6; i++) {
        offers[i] = answer_of(DHCP_OFFER);
    }
    offers[0].address = 0;
    offers[1].mask = 0;
    offers[2].server = 0;
    offers[3].lease_s = 0;
    offers[4].address = 0x0a0002ff; /* the broadcast of its net */
    offers[5].mask = 0x00ffffff;
    for (unsigned i = 0; i < 6; i++) {
        give(&offers[i], 0);
        expect_nothing();
        assert_int_equal(client.state, DHCP_SELECTING);
    }
}

static void a_lease_is_renewed_at_half_of_its_time(void **state)
{
    struct dhcp_answer answer;

    (void)state;
    bind_at(0, 800);
    tick(400 * SECOND - 1);
    expect_nothing();
    tick(400 * SECOND);
    assert_true(step.send);
    assert_int_equal(step.question.type, DHCP_REQUEST);
    assert_int_equal(step.question.own_address, 0x0a00020f);
    assert_int_equal(step.question.wanted_address, 0);
    assert_int_equal(step.question.server, 0);
    assert_int_equal(step.destination, 0x0a000201);
    assert_int_equal(dhcp_client_next(&client), 550 * SECOND); /* half of the way to 700 */
    answer = answer_of(DHCP_ACK);
    answer.renew_s = 10;
    answer.rebind_s = 20;
    give(&answer, 401 * SECOND);
    assert_int_equal(step.change, DHCP_TAKE_ADDRESS);
    assert_int_equal(client.state, DHCP_BOUND);
    assert_int_equal(client.renew_ns, 411 * SECOND);
    assert_int_equal(client.rebind_ns, 421 * SECOND);
    assert_int_equal(client.expire_ns, 1201 * SECOND);
}

/* Nobody answers any more: the server is asked up to 7/8, then anyone, then the address is gone,
 * and not a nanosecond later. */
static void a_lease_that_nobody_renews_ends(void **state)
{
    unsigned unicast = 0, broadcast = 0;
    uint64_t now = 0;

    (void)state;
    bind_at(0, 8000);
    for (;;) {
        uint64_t next = dhcp_client_next(&client);

        assert_true(next > now);
        now = next;
        tick(now);
        if (step.change == DHCP_DROP_ADDRESS) {
            break;
        }
        assert_true(step.send);
        assert_int_equal(step.question.own_address, 0x0a00020f);
        if (step.destination == BROADCAST) {
            broadcast++;
            assert_true(now >= 7000 * SECOND);
        } else {
            unicast++;
            assert_true(now < 7000 * SECOND);
        }
    }
    assert_int_equal(now, 8000 * SECOND);
    assert_in_range(unicast, 4, 12);
    assert_in_range(broadcast, 3, 10);
    assert_false(step.send);
    tick(now);
    assert_true(step.send);
    assert_int_equal(step.question.type, DHCP_DISCOVER);
    assert_int_equal(step.question.own_address, 0);
}

/* A tick that comes late, after hours of standstill, ends the lease at once. */
static void a_late_tick_does_not_renew_what_is_over(void **state)
{
    (void)state;
    bind_at(0, 800);
    tick(5000 * SECOND);
    assert_int_equal(step.change, DHCP_DROP_ADDRESS);
    assert_false(step.send);
}

static void a_refusal_takes_the_address_away(void **state)
{
    (void)state;
    bind_at(0, 800);
    tick(400 * SECOND);
    give_type(DHCP_NAK, 401 * SECOND);
    assert_int_equal(step.change, DHCP_DROP_ADDRESS);
    assert_int_equal(client.state, DHCP_SELECTING);
    assert_in_range(dhcp_client_next(&client), 402 * SECOND, 420 * SECOND); /* no storm */

    dhcp_client_start(&client, 3, 0);
    tick(0);
    give_type(DHCP_OFFER, 0);
    give_type(DHCP_NAK, 0);
    assert_int_equal(step.change, DHCP_KEEP); /* there was none yet */
    assert_int_equal(client.state, DHCP_SELECTING);
}

static void a_lease_without_end_is_left_alone(void **state)
{
    (void)state;
    bind_at(0, DHCP_LEASE_INFINITE);
    assert_int_equal(dhcp_client_next(&client), NOTHING);
    tick(NOTHING - 1);
    expect_nothing();
}

/* A server that leases for a second, or names times out of order, gets no more than a question a
 * second. */
static void silly_times_make_no_storm(void **state)
{
    static const struct {
        uint32_t lease, renew, rebind;
    } rows[] = {{1, 0, 0}, {2, 0, 0}, {10, 9, 8}, {10, 5, 11}, {10, 0, 5}, {10, 5, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        bind_with_times(0, rows[i].lease, rows[i].renew, rows[i].rebind);
        assert_true(dhcp_client_next(&client) >= SECOND);
        assert_true(client.renew_ns <= client.rebind_ns && client.rebind_ns <= client.expire_ns);
        assert_int_equal(client.expire_ns, rows[i].lease * SECOND);
        if (rows[i].lease == 10) {
            assert_int_equal(client.renew_ns, 5 * SECOND);
            assert_int_equal(client.rebind_ns, 8 * SECOND); /* 7/8 in whole seconds */
        }
    }
}

static void a_link_that_comes_up_asks_at_once(void **state)
{
    (void)state;
    dhcp_client_start(&client, 3, 0);
    tick(0);
    tick(dhcp_client_next(&client));
    dhcp_client_link_up(&client, 20 * SECOND);
    assert_int_equal(dhcp_client_next(&client), 20 * SECOND);
    tick(20 * SECOND);
    assert_int_equal(step.question.type, DHCP_DISCOVER);

    client.state = DHCP_OFF;
    dhcp_client_link_up(&client, 30 * SECOND);
    assert_int_equal(dhcp_client_next(&client), NOTHING);
}

/* Everybody is asked whether the address still holds (RFC 2131, section 4.4.2): the old server may
 * not be there. Three times, then the address is gone and another is asked for. */
static void a_lease_is_asked_about_when_the_link_returns(void **state)
{
    static const uint64_t waits[] = {4, 8, 16};
    uint64_t now = 20 * SECOND;

    (void)state;
    bind_at(0, 80000);
    dhcp_client_link_up(&client, now);
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        uint64_t next;

        assert_int_equal(dhcp_client_next(&client), now);
        tick(now);
        assert_true(step.send);
        assert_int_equal(step.change, DHCP_KEEP);
        assert_int_equal(step.destination, BROADCAST);
        assert_int_equal(step.question.type, DHCP_REQUEST);
        assert_int_equal(step.question.wanted_address, 0x0a00020f);
        assert_int_equal(step.question.own_address, 0);
        assert_int_equal(step.question.server, 0);
        next = dhcp_client_next(&client);
        assert_in_range(next - now, (waits[i] - 1) * SECOND, (waits[i] + 1) * SECOND);
        tick(next - 1);
        expect_nothing();
        now = next;
    }
    tick(now);
    assert_false(step.send);
    assert_int_equal(step.change, DHCP_DROP_ADDRESS);
    assert_int_equal(dhcp_client_next(&client), now);
    tick(now);
    assert_int_equal(step.question.type, DHCP_DISCOVER);
    assert_int_equal(step.question.wanted_address, 0);
}

/* From each state with a lease; any server may say yes or no, and a no is not waited after. */
static void a_lease_is_kept_or_lost_when_the_link_returns(void **state)
{
    static const uint64_t times_s[] = {20, 400, 700}; /* BOUND, RENEWING, REBINDING */

    (void)state;
    for (size_t i = 0; i < sizeof(times_s) / sizeof(times_s[0]); i++) {
        uint64_t now = times_s[i] * SECOND;
        struct dhcp_answer answer;

        bind_at(0, 800);
        tick(now);
        dhcp_client_link_up(&client, now);
        give_type(DHCP_ACK, now); /* before anything was asked */
        expect_nothing();
        tick(now);
        assert_int_equal(client.state, DHCP_REBOOTING);
        dhcp_client_link_up(&client, now); /* and once more */
        tick(now);
        answer = answer_of(DHCP_ACK);
        answer.server++;
        give(&answer, now);
        assert_int_equal(step.change, DHCP_TAKE_ADDRESS);
        assert_int_equal(client.state, DHCP_BOUND);
        assert_int_equal(client.lease.server, 0x0a000202);
        assert_int_equal(client.expire_ns, now + 800 * SECOND);

        dhcp_client_link_up(&client, now);
        tick(now);
        answer = answer_of(DHCP_NAK);
        answer.server = 0x0a0002fe;
        give(&answer, now);
        assert_int_equal(step.change, DHCP_DROP_ADDRESS);
        tick(now);
        assert_int_equal(step.question.type, DHCP_DISCOVER);
    }
}

static void a_lease_ends_while_it_is_asked_about(void **state)
{
    (void)state;
    bind_at(0, 800);
    dhcp_client_link_up(&client, 799 * SECOND);
    tick(799 * SECOND);
    assert_true(step.send);
    assert_int_equal(dhcp_client_next(&client), 800 * SECOND);
    tick(800 * SECOND);
    assert_int_equal(step.change, DHCP_DROP_ADDRESS);
}

/* In REQUESTING and RENEWING one server is asked, and only that one may answer; in REBINDING any.
 */
static void servers_that_were_not_asked_have_no_say(void **state)
{
    static const enum dhcp_type types[] = {DHCP_ACK, DHCP_NAK};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct dhcp_client before;
        struct dhcp_answer answer;

        dhcp_client_start(&client, 3, 0);
        tick(0);
        give_type(DHCP_OFFER, 0);
        before = client;
        answer = answer_of(types[i]);
        answer.server = i == 0 ? 0x0a0002fe : 0;
        give(&answer, 0);
        expect_nothing();
        assert_memory_equal(&client, &before, sizeof(client));
        give_type(DHCP_ACK, 0);
        assert_int_equal(step.change, DHCP_TAKE_ADDRESS);

        tick(400 * SECOND);
        before = client;
        answer = answer_of(types[i]);
        answer.server ^= 1;
        assert_false(dhcp_client_wants(&client, &answer));
        give(&answer, 401 * SECOND);
        expect_nothing();
        assert_memory_equal(&client, &before, sizeof(client));

        tick(700 * SECOND);
        answer = answer_of(types[i]);
        answer.server ^= 1;
        assert_true(dhcp_client_wants(&client, &answer));
        give(&answer, 701 * SECOND);
        assert_int_not_equal(step.change, DHCP_KEEP);
    }
}

/* The old server's late answer must not be taken for one to the new question. */
static void each_exchange_has_a_transaction_of_its_own(void **state)
{
    uint32_t first, second;

    (void)state;
    bind_at(0, 800);
    first = client.transaction;
    tick(400 * SECOND);
    second = client.transaction;
    tick(700 * SECOND);
    assert_int_not_equal(first, second);
    assert_int_not_equal(second, client.transaction);
    dhcp_client_start(&client, 0, 0);
    assert_int_not_equal(client.transaction, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_lease_is_discovered_and_requested),
    cmocka_unit_test(questions_grow_rarer_but_never_end),
    cmocka_unit_test(a_request_without_answer_starts_again),
    cmocka_unit_test(answers_that_are_not_for_the_question_change_nothing),
    cmocka_unit_test(offers_that_lack_something_are_not_taken),
    cmocka_unit_test(a_lease_is_renewed_at_half_of_its_time),
    cmocka_unit_test(a_lease_that_nobody_renews_ends),
    cmocka_unit_test(a_late_tick_does_not_renew_what_is_over),
    cmocka_unit_test(a_refusal_takes_the_address_away),
    cmocka_unit_test(a_lease_without_end_is_left_alone),
    cmocka_unit_test(silly_times_make_no_storm),
    cmocka_unit_test(a_link_that_comes_up_asks_at_once),
    cmocka_unit_test(a_lease_is_asked_about_when_the_link_returns),
    cmocka_unit_test(a_lease_is_kept_or_lost_when_the_link_returns),
    cmocka_unit_test(a_lease_ends_while_it_is_asked_about),
    cmocka_unit_test(servers_that_were_not_asked_have_no_say),
    cmocka_unit_test(each_exchange_has_a_transaction_of_its_own),
};

HOST_TEST_MAIN(tests, NULL)
