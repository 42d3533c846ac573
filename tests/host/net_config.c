// SPDX-License-Identifier: MIT
/* Tests of net/net_config.c: who sets the gateway and when it is used. Each case looks at what is
 * used after every change of an address, so that a choice that is not made anew shows up. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/net_config.h"

#define SECOND_NET    0x0a010000u
#define SECOND_WISH   (SECOND_NET + 9)
#define ROUTER        (OWN_ADDRESS - OWN_ADDRESS % 256 + 77)
#define ROUTER_LATER  (ROUTER + 1)
#define SECOND_ROUTER (SECOND_NET + 2)

static struct net_device *second;

/* Two cards without an address, and no gateway. */
static void begin(void)
{
    net_begin();
    second = net_fake_device_add(1, 0, 0);
    assert_true(net_config_set_gateway(0));
    assert_true(net_config_set_address(nic, 0, 0, NET_CONFIG_NONE));
    assert_int_equal(net_config_gateway(), 0);
}

static void end(void)
{
    assert_true(net_config_set_gateway(0));
    net_counters_take();
    net_end();
}

/* @router 0: none is named. */
static void lease(struct net_device *device, uint32_t address, uint32_t router)
{
    assert_true(net_config_set_lease(device, address, 0xffffff00, router));
    assert_int_equal(net_config_source(device), NET_CONFIG_DHCP);
}

static void lease_ends(struct net_device *device)
{
    assert_true(net_config_set_address(device, 0, 0, NET_CONFIG_NONE));
}

static void expect_gateway_fault(const char *expected)
{
    uint32_t wish;
    const char *fault = net_config_gateway_fault(&wish);

    assert_int_equal(fault != NULL, expected != NULL);
    if (fault != NULL) {
        assert_non_null(strstr(fault, expected));
    }
}

static void wish_waits_for_an_address_in_its_net(void **state)
{
    (void)state;
    begin();
    assert_false(net_config_set_gateway(SECOND_WISH));
    assert_int_equal(net_config_gateway(), 0);
    expect_gateway_fault("the net of no device");
    lease(nic, OWN_ADDRESS, 0);
    assert_int_equal(net_config_gateway(), 0);
    lease(second, SECOND_NET + 1, 0);
    assert_int_equal(net_config_gateway(), SECOND_WISH);
    expect_gateway_fault(NULL);
    lease_ends(second); /* and again, after the lease is over */
    assert_int_equal(net_config_gateway(), 0);
    lease(second, SECOND_NET + 5, 0);
    assert_int_equal(net_config_gateway(), SECOND_WISH);
    assert_true(net_config_set_gateway(0));
    assert_int_equal(net_config_gateway(), 0);
    expect_gateway_fault(NULL);
    end();
}

static void wish_that_cannot_be_a_router_says_why(void **state)
{
    static const struct {
        uint32_t wish;
        const char *part_of_reason;
    } rows[] = {
        {SECOND_NET + 1, "address of our own"},
        {SECOND_NET, "host part is zero"},
        {SECOND_NET + 255, "all ones"},
        {SECOND_NET + 256, "the net of no device"},
    };

    (void)state;
    begin();
    lease(second, SECOND_NET + 1, 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        assert_false(net_config_set_gateway(rows[i].wish));
        assert_int_equal(net_config_gateway(), 0);
        expect_gateway_fault(rows[i].part_of_reason);
    }
    end();
}

static void wish_wins_over_routers_while_it_can_be_used(void **state)
{
    (void)state;
    begin();
    assert_false(net_config_set_gateway(SECOND_WISH));
    lease(nic, OWN_ADDRESS, ROUTER);
    assert_int_equal(net_config_gateway(), ROUTER);
    lease(second, SECOND_NET + 1, 0);
    assert_int_equal(net_config_gateway(), SECOND_WISH);
    lease(nic, OWN_ADDRESS, ROUTER_LATER);
    lease(second, SECOND_NET + 1, SECOND_ROUTER);
    assert_int_equal(net_config_gateway(), SECOND_WISH);
    lease_ends(second);
    assert_int_equal(net_config_gateway(), ROUTER_LATER);
    end();
}

static void router_is_followed_until_its_lease_ends(void **state)
{
    (void)state;
    begin();
    lease(nic, OWN_ADDRESS, ROUTER);
    assert_int_equal(net_config_gateway(), ROUTER);
    lease(nic, OWN_ADDRESS, ROUTER_LATER); /* with a renewal */
    assert_int_equal(net_config_gateway(), ROUTER_LATER);
    lease(second, SECOND_NET + 1, SECOND_ROUTER);
    assert_int_equal(net_config_gateway(), ROUTER_LATER); /* the first card's */
    lease_ends(nic);
    assert_int_equal(net_config_gateway(), SECOND_ROUTER);
    lease(nic, OWN_ADDRESS, 0); /* what was named with the lease before is not remembered */
    assert_int_equal(net_config_gateway(), SECOND_ROUTER);
    end();
}

static void router_outside_its_net_is_refused(void **state)
{
    static const uint32_t wrong[] = {0, OWN_ADDRESS, SECOND_NET + 1, SECOND_ROUTER, NET_BROADCAST};

    (void)state;
    begin();
    lease(second, SECOND_NET + 1, ROUTER);
    lease(nic, OWN_ADDRESS, ROUTER);
    assert_int_equal(second->ipv4_router, 0);
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        lease(nic, OWN_ADDRESS, wrong[i]);
        assert_int_equal(nic->ipv4_router, ROUTER);
        assert_int_equal(net_config_gateway(), ROUTER);
    }
    end();
}

static void lease_of_another_devices_address_changes_nothing(void **state)
{
    (void)state;
    begin();
    lease(nic, OWN_ADDRESS, ROUTER);
    lease(second, SECOND_NET + 1, SECOND_ROUTER);
    assert_false(net_config_set_lease(second, OWN_ADDRESS, NET_MASK, ROUTER_LATER));
    assert_int_equal(second->ipv4_address, SECOND_NET + 1);
    assert_int_equal(second->ipv4_router, SECOND_ROUTER);
    assert_int_equal(net_config_gateway(), ROUTER);
    end();
}

/* Its ARP entries stay and nobody is told, or each renewal would disturb what goes on. */
static void renewal_does_not_touch_the_address(void **state)
{
    unsigned sent;

    (void)state;
    begin();
    lease(nic, OWN_ADDRESS, 0);
    sent = net_fake_sent_count;
    assert_true(sent > 0);
    lease(nic, OWN_ADDRESS, ROUTER);
    assert_int_equal(net_fake_sent_count, sent);
    lease(nic, OWN_ADDRESS + 1, ROUTER);
    assert_true(net_fake_sent_count > sent);
    end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(wish_waits_for_an_address_in_its_net),
    cmocka_unit_test(wish_that_cannot_be_a_router_says_why),
    cmocka_unit_test(wish_wins_over_routers_while_it_can_be_used),
    cmocka_unit_test(router_is_followed_until_its_lease_ends),
    cmocka_unit_test(router_outside_its_net_is_refused),
    cmocka_unit_test(lease_of_another_devices_address_changes_nothing),
    cmocka_unit_test(renewal_does_not_touch_the_address),
};

HOST_TEST_MAIN(tests, NULL)
