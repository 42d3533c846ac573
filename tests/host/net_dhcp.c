// SPDX-License-Identifier: MIT
/* Tests of net/dhcp.c with net_config.c and frames by hand: what another thread sees meanwhile. It
 * looks at every moment outside the configuration's lock (net_fake_on_look): before and after each
 * change and at each line of the log. So a state that is told too early, or an address without its
 * router, is seen always, not by luck. What it would miss: a store that another CPU sees out of
 * order; mail_lock keeps those. */
#include "tests/host/net_frames.h"

#include <stdio.h>
#include <string.h>

#include "net/dhcp.h"
#include "net/dhcp_client.h"
#include "net/net_config.h"

#define LEASED       0x0a01000fu /* 10.1.0.15/24 */
#define LEASED_LATER (LEASED + 1)
#define SERVER       0x0a010001u
#define ROUTER       0x0a010002u
#define ROUTER_LATER (ROUTER + 1)
#define LEASE_S      800u
#define REBIND_NS    (700 * SECOND) /* from then on questions go to all */
#define PATIENCE_NS  (70 * SECOND)  /* more than between any two questions */

/* A device that has asked by DHCP is asked about for good: each case has one of its own. */
static unsigned cases;
static struct net_device *card;

/* What "bound" means now. */
static uint32_t expected_address, expected_gateway;
/* What was seen since seen_forget(). */
static unsigned seen_bound, seen_not_bound;
static char seen_fault[160];

static bool is_state(const char *name)
{
    return strcmp(net_dhcp_state(card, NULL), name) == 0;
}

/* In the order of `net` and of the commands that wait for an address. The first fault is kept. */
static void look(void)
{
    uint64_t lease_ns;
    bool is_bound = strcmp(net_dhcp_state(card, &lease_ns), "bound") == 0;
    uint32_t address = card->ipv4_address, gateway = net_config_gateway();
    const char *fault = NULL;

    seen_bound += is_bound;
    seen_not_bound += !is_bound;
    if (is_bound && (address != expected_address || gateway != expected_gateway ||
                     net_config_source(card) != NET_CONFIG_DHCP || lease_ns == 0)) {
        fault = "bound, but not with all of the lease";
    } else if (is_bound && net_dhcp_is_asking(card)) {
        fault = "bound, and still asking";
    } else if (!is_bound && lease_ns != 0) {
        fault = "time of a lease that is not in force";
    } else if (address == expected_address && gateway == 0 && expected_gateway != 0) {
        fault = "an address without its router";
    }
    if (fault != NULL && seen_fault[0] == '\0') {
        snprintf(seen_fault, sizeof(seen_fault), "%s: address %x gateway %x lease_ns %lu", fault,
                 address, gateway, lease_ns);
    }
}

static void seen_forget(void)
{
    seen_bound = seen_not_bound = 0;
    seen_fault[0] = '\0';
}

static void expect_no_fault(void)
{
    assert_string_equal(seen_fault, "");
}

static void look_after_dhcp(uint64_t later_ns)
{
    net_fake_now_ns += later_ns;
    net_fake_on_look = look;
    dhcp_round(net_fake_now_ns);
    net_fake_on_look = NULL;
}

/* An address that somebody else sets ends DHCP for the card. */
static void finish_card(void)
{
    net_config_set_address(card, LEASED + 100, NET_MASK, NET_CONFIG_STATIC);
    dhcp_round(net_fake_now_ns);
    assert_true(is_state("off"));
    assert_false(net_dhcp_is_asking(card));
    card = NULL;
}

static void begin(void)
{
    if (card != NULL) { /* a test that failed left it */
        finish_card();
    }
    net_begin();
    assert_true(net_config_set_gateway(0));
    card = net_fake_device_add(++cases, 0, 0);
    assert_non_null(card);
    expected_address = LEASED;
    expected_gateway = ROUTER;
    seen_forget();
    dhcp_start(card);
    look_after_dhcp(0);
}

static void end(void)
{
    expect_no_fault();
    finish_card();
    net_counters_take();
    net_end();
}

/* Of the last question that the card has sent. */
static uint32_t question_transaction(void)
{
    for (unsigned i = net_fake_sent_count; i-- > 0;) {
        const struct net_fake_frame *sent = &net_fake_sent[i];

        if (sent->device == card && get16(sent->bytes + 12) == 0x0800 &&
            get16(sent->bytes + AT_UDP + 2) == DHCP_PORT_SERVER) {
            return get32(sent->bytes + AT_DATA + 4);
        }
    }
    fail_msg("no question was sent");
    return 0;
}

static uint8_t *option_put(uint8_t *at, uint8_t option, uint32_t value)
{
    at[0] = option;
    at[1] = 4;
    put32(at + 2, value);
    return at + 6;
}

/* @router 0: none is named. */
static void message_write(uint8_t *message, enum dhcp_type type, uint32_t address, uint32_t router)
{
    static const uint8_t cookie[] = {0x63, 0x82, 0x53, 0x63}, start[] = {2, 1, 6, 0};
    uint8_t *option = message + 240;

    memset(message, 0, 300);
    memcpy(message, start, sizeof(start));
    put32(message + 4, question_transaction());
    put32(message + 16, address);
    memcpy(message + 28, card->mac, 6);
    memcpy(message + 236, cookie, sizeof(cookie));
    memcpy(option, (const uint8_t[]){53, 1, (uint8_t)type}, 3);
    option = option_put(option + 3, 54, SERVER);
    option = option_put(option, 1, NET_MASK);
    option = option_put(option, 51, LEASE_S);
    if (router != 0) {
        option = option_put(option, 3, router);
    }
    *option = 255;
}

static void answer(enum dhcp_type type, uint32_t address, uint32_t router)
{
    struct frame frame;

    frame_udp(&frame, DHCP_PORT_SERVER, DHCP_PORT_CLIENT, 300);
    memcpy(frame.bytes, all_mac, 6);
    put32(frame.bytes + AT_IPV4 + 12, SERVER);
    put32(frame.bytes + AT_IPV4 + 16, UINT32_MAX);
    message_write(frame.bytes + AT_DATA, type, address, router);
    frame_fix_ipv4(&frame);
    frame_fix_udp(&frame);
    assert_true(net_fake_receive(card, frame.bytes, frame.length, 0xaa));
    look_after_dhcp(0);
}

static void lease(uint32_t address, uint32_t router)
{
    answer(DHCP_OFFER, address, router);
    answer(DHCP_ACK, address, router);
}

static void expect_bound(void)
{
    uint64_t lease_ns;

    expect_no_fault();
    assert_string_equal(net_dhcp_state(card, &lease_ns), "bound");
    assert_false(net_dhcp_is_asking(card));
    assert_int_equal(lease_ns, LEASE_S * SECOND);
    assert_int_equal(card->ipv4_address, expected_address);
    assert_int_equal(net_config_source(card), NET_CONFIG_DHCP);
    assert_int_equal(net_config_gateway(), expected_gateway);
}

/* Without a lease, and asking for one. */
static void expect_asking(void)
{
    uint64_t lease_ns;

    expect_no_fault();
    assert_string_equal(net_dhcp_state(card, &lease_ns), "asking");
    assert_true(net_dhcp_is_asking(card));
    assert_int_equal(lease_ns, 0);
    assert_int_equal(card->ipv4_address, 0);
    assert_int_equal(net_config_source(card), NET_CONFIG_NONE);
    assert_int_equal(net_config_gateway(), 0);
}

static void bound_is_said_when_all_of_the_lease_is_in_force(void **state)
{
    (void)state;
    begin();
    expect_asking();
    answer(DHCP_OFFER, LEASED, ROUTER);
    expect_asking();
    seen_forget();
    answer(DHCP_ACK, LEASED, ROUTER);
    assert_true(seen_not_bound > 0); /* it was looked at before */
    expect_bound();
    end();
}

static void lease_without_a_router_is_bound(void **state)
{
    (void)state;
    begin();
    expected_gateway = 0;
    lease(LEASED, 0);
    expect_bound();
    /* One outside the net is as none, and is named. */
    look_after_dhcp(REBIND_NS);
    answer(DHCP_ACK, LEASED, GATE_ADDRESS);
    expect_bound();
    assert_non_null(strstr(net_fake_log, "names the gateway 10.0.0.254"));
    end();
}

static void renewal_stays_bound(void **state)
{
    (void)state;
    begin();
    lease(LEASED, ROUTER);
    seen_forget();
    look_after_dhcp(REBIND_NS);
    answer(DHCP_ACK, LEASED, ROUTER);
    assert_true(seen_bound > 0);
    assert_int_equal(seen_not_bound, 0);
    expect_bound();
    look_after_dhcp(REBIND_NS);
    answer(DHCP_ACK, LEASED, 0); /* the router before is kept */
    expect_bound();
    end();
}

static void renewal_with_a_change_is_bound_when_that_is_in_force(void **state)
{
    (void)state;
    begin();
    lease(LEASED, ROUTER);
    look_after_dhcp(REBIND_NS);
    expected_gateway = ROUTER_LATER;
    seen_fault[0] = '\0';
    answer(DHCP_ACK, LEASED, ROUTER_LATER);
    expect_bound();
    look_after_dhcp(REBIND_NS);
    expected_address = LEASED_LATER;
    answer(DHCP_ACK, LEASED_LATER, ROUTER_LATER);
    expect_bound();
    end();
}

/* The same lease after its end: what stood there before must not count. */
static void lease_that_was_lost_is_bound_anew(void **state)
{
    (void)state;
    begin();
    lease(LEASED, ROUTER);
    look_after_dhcp(REBIND_NS);
    answer(DHCP_NAK, 0, 0);
    expect_asking();
    look_after_dhcp(PATIENCE_NS);
    lease(LEASED, ROUTER);
    expect_bound();
    look_after_dhcp(LEASE_S * SECOND);
    expect_asking();
    look_after_dhcp(0);
    lease(LEASED, ROUTER);
    expect_bound();
    end();
}

static void address_of_another_device_is_never_bound(void **state)
{
    (void)state;
    begin();
    expected_address = OWN_ADDRESS;
    seen_forget();
    lease(OWN_ADDRESS, GATE_ADDRESS);
    assert_int_equal(seen_bound, 0);
    expect_asking();
    assert_non_null(strstr(net_fake_log, "which another device has: refused"));
    look_after_dhcp(PATIENCE_NS);
    expected_address = LEASED;
    lease(LEASED, ROUTER);
    expect_bound();
    /* Nor by a server that changes its mind; the address before is not ours any more then. */
    look_after_dhcp(REBIND_NS);
    answer(DHCP_ACK, OWN_ADDRESS, GATE_ADDRESS);
    expect_asking();
    look_after_dhcp(PATIENCE_NS);
    expect_asking();
    end();
}

static void silence_ends_with_a_lease(void **state)
{
    (void)state;
    begin();
    for (unsigned i = 0; i < DHCP_TRIES; i++) {
        assert_true(is_state("asking"));
        net_fake_now_ns += PATIENCE_NS;
        dhcp_round(net_fake_now_ns);
    }
    assert_true(is_state("no answer"));
    assert_false(net_dhcp_is_asking(card));
    seen_forget();
    lease(LEASED, ROUTER);
    expect_bound();
    end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(bound_is_said_when_all_of_the_lease_is_in_force),
    cmocka_unit_test(lease_without_a_router_is_bound),
    cmocka_unit_test(renewal_stays_bound),
    cmocka_unit_test(renewal_with_a_change_is_bound_when_that_is_in_force),
    cmocka_unit_test(lease_that_was_lost_is_bound_anew),
    cmocka_unit_test(address_of_another_device_is_never_bound),
    cmocka_unit_test(silence_ends_with_a_lease),
};

HOST_TEST_MAIN(tests, NULL)
