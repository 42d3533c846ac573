// SPDX-License-Identifier: MIT
/* DHCP with packets; see dhcp.h. Invariant: the states are changed by the housekeeping thread
 * alone; the poll threads leave an answer in the device's letter box, which holds one, and wake it.
 * The box takes nothing but what the client wants, so that nobody can keep it full with others'
 * answers. An address that somebody else has set meanwhile ends DHCP for that device. A lease is
 * shown as "bound" when all that it gives is in force, not when it was acknowledged. */
#include "net/dhcp.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"
#include "net/counters.h"
#include "net/dhcp_client.h"
#include "net/housekeeping.h"
#include "net/net_config.h"
#include "net/udp.h"

struct dhcp_port {
    /* written once: */
    struct net_device *device;
    /* by the housekeeping thread: */
    uint64_t link_changes_seen; /* up to the last time that the link was up */
    bool is_given_up_on;        /* it was said that no server answers */
    /* changed by the housekeeping thread alone, under mail_lock: */
    struct dhcp_client client;
    struct dhcp_answer in_force; /* the lease that device and gateway follow; .address 0: none */
    /* under mail_lock: */
    bool has_answer;
    struct dhcp_answer answer;
};

static struct dhcp_port dhcp_ports[NET_DEVICE_MAX];
static unsigned dhcp_port_count; /* written before the housekeeping thread starts */
static struct spinlock mail_lock = SPINLOCK("dhcp mail");

static struct dhcp_port *port_of(const struct net_device *device)
{
    for (unsigned i = 0; i < dhcp_port_count; i++) {
        if (dhcp_ports[i].device == device) {
            return &dhcp_ports[i];
        }
    }
    return NULL;
}

/* Leaves an answer that the client wants. A second one that comes before the first was read is not
 * kept, for either would do; unless the first is to a question that was given up meanwhile. */
static void mail_put(struct dhcp_port *port, const struct dhcp_answer *answer)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);
    bool is_kept = dhcp_client_wants(&port->client, answer) &&
                   !(port->has_answer && dhcp_client_wants(&port->client, &port->answer));

    if (is_kept) {
        port->answer = *answer;
        port->has_answer = true;
    }
    spinlock_unlock_restore(&mail_lock, flags);
    if (is_kept) {
        net_housekeeping_wake();
    }
}

/* Gives the client the answer that came, if one did. Returns whether there is a step to do. */
static bool client_answer(struct dhcp_port *port, uint64_t now_ns, struct dhcp_step *step)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);
    bool has_answer = port->has_answer;

    if (has_answer) {
        dhcp_client_answer(&port->client, &port->answer, now_ns, step);
        port->has_answer = false;
    }
    spinlock_unlock_restore(&mail_lock, flags);
    return has_answer;
}

static void client_tick(struct dhcp_port *port, uint64_t now_ns, struct dhcp_step *step)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);

    dhcp_client_tick(&port->client, now_ns, step);
    spinlock_unlock_restore(&mail_lock, flags);
}

static void client_link_up(struct dhcp_port *port, uint64_t now_ns)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);

    dhcp_client_link_up(&port->client, now_ns);
    spinlock_unlock_restore(&mail_lock, flags);
}

static void client_refuse(struct dhcp_port *port, uint64_t now_ns)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);

    dhcp_client_refuse(&port->client, now_ns);
    spinlock_unlock_restore(&mail_lock, flags);
}

static void client_end(struct dhcp_port *port)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);

    port->client.state = DHCP_OFF;
    spinlock_unlock_restore(&mail_lock, flags);
}

/* The device and the gateway follow @lease from now on. */
static void lease_set_in_force(struct dhcp_port *port, const struct dhcp_answer *lease)
{
    uint64_t flags = spinlock_lock_save(&mail_lock);

    port->in_force = *lease;
    spinlock_unlock_restore(&mail_lock, flags);
}

/* Whether the client's lease is what device and gateway follow: not yet, after an acknowledgement
 * of anything new. */
static bool lease_is_in_force(const struct dhcp_port *port)
{
    const struct dhcp_answer *lease = &port->client.lease;

    return dhcp_client_has_lease(&port->client) && lease->address == port->in_force.address &&
           lease->mask == port->in_force.mask && lease->router == port->in_force.router;
}

static void dhcp_receive(void *argument, const struct udp_datagram *datagram)
{
    struct packet *packet = datagram->packet;
    struct dhcp_port *port = port_of(packet->device);
    struct dhcp_answer answer;

    (void)argument;
    if (port == NULL || datagram->source_port != DHCP_PORT_SERVER) {
        net_drop(packet, NET_DROP_UDP_PORT);
    } else if (dhcp_answer_read(packet->data, packet->length, port->device->mac, &answer) != NULL) {
        net_drop(packet, NET_DROP_DHCP_MALFORMED);
    } else {
        mail_put(port, &answer);
        packet_free(packet);
    }
}

static void question_send(struct dhcp_port *port, const struct dhcp_step *step)
{
    struct packet *packet = packet_allocate(port->device->pool);

    if (packet == NULL) {
        net_count(NET_DROP_NO_PACKET); /* asked again later, as if it had been lost */
        return;
    }
    dhcp_question_write(packet_append(packet, DHCP_QUESTION_BYTES), &step->question,
                        port->device->mac);
    udp_send(port->device, DHCP_PORT_CLIENT, step->destination, DHCP_PORT_SERVER, packet);
}

/* The gateway of the command line is for a net that is not there, perhaps not yet. */
static void gateway_wish_check(const struct net_device *device)
{
    char text[IPV4_TEXT_BYTES];
    uint32_t wish;
    const char *fault = net_config_gateway_fault(&wish);

    if (fault != NULL) {
        ipv4_format(wish, text);
        log_warning("command line: gw='%s': %s, even with the address of %s: not used", text, fault,
                    device->name);
    }
}

/* @gateway_before: what was used before this lease. A server that names no router leaves the one
 * before. */
static void router_log(const struct net_device *device, uint32_t router, uint32_t gateway_before)
{
    char text[IPV4_TEXT_BYTES];

    ipv4_format(router, text);
    if (router != 0 && device->ipv4_router != router) {
        log_warning("%s: DHCP names the gateway %s, which is no other host in its net: ignored",
                    device->name, text);
    } else if (router != 0 && router == net_config_gateway() && router != gateway_before) {
        log_info("%s: gateway %s by DHCP", device->name, text);
    }
}

static void address_clear(struct dhcp_port *port)
{
    static const struct dhcp_answer none;

    lease_set_in_force(port, &none);
    net_config_set_address(port->device, 0, 0, NET_CONFIG_NONE);
}

static void address_drop(struct dhcp_port *port)
{
    log_warning("%s: its address is no longer leased; asking for another", port->device->name);
    address_clear(port);
}

/* The address before, if this was a renewal, is not what the server leases any more. */
static void address_refuse(struct dhcp_port *port, uint64_t now_ns)
{
    char address[IPV4_TEXT_BYTES], server[IPV4_TEXT_BYTES];

    ipv4_format(port->client.lease.address, address);
    ipv4_format(port->client.lease.server, server);
    log_warning("%s: DHCP server %s offers %s, which another device has: refused",
                port->device->name, server, address);
    client_refuse(port, now_ns);
    address_clear(port);
}

static void address_take(struct dhcp_port *port, uint64_t now_ns)
{
    struct net_device *device = port->device;
    const struct dhcp_answer *lease = &port->client.lease;
    bool is_renewal = device->ipv4_address == lease->address && device->ipv4_mask == lease->mask;
    uint32_t gateway_before = net_config_gateway();
    char address[IPV4_TEXT_BYTES], server[IPV4_TEXT_BYTES];

    ipv4_format(lease->address, address);
    ipv4_format(lease->server, server);
    port->is_given_up_on = false;
    if (!net_config_set_lease(device, lease->address, lease->mask, lease->router)) {
        address_refuse(port, now_ns);
        return;
    }
    lease_set_in_force(port, lease);
    if (is_renewal) {
        log_debug("%s: lease of %s renewed for %u s", device->name, address, lease->lease_s);
    } else {
        log_info("%s: %s/%u by DHCP from %s for %u s", device->name, address,
                 net_address_prefix(lease->mask), server, lease->lease_s);
        gateway_wish_check(device);
    }
    router_log(device, lease->router, gateway_before);
}

static void step_do(struct dhcp_port *port, const struct dhcp_step *step, uint64_t now_ns)
{
    if (step->change == DHCP_TAKE_ADDRESS) {
        address_take(port, now_ns);
    } else if (step->change == DHCP_DROP_ADDRESS) {
        address_drop(port);
    }
    if (step->send) {
        question_send(port, step);
    }
    if (port->client.state == DHCP_SELECTING && port->client.tries > DHCP_TRIES &&
        !port->is_given_up_on) {
        port->is_given_up_on = true;
        log_warning("%s: no DHCP server answers; asking on (ip=none: not at all)",
                    port->device->name);
    }
}

/* Whether the address of the device is what DHCP left there. */
static bool is_undisturbed(const struct dhcp_port *port)
{
    enum net_config_source source = net_config_source(port->device);

    return source == (dhcp_client_has_lease(&port->client) ? NET_CONFIG_DHCP : NET_CONFIG_NONE);
}

/* Returns whether the link is up. One that went down and came back between two rounds has changed
 * too; one that is down is followed when it is up again. */
static bool follow_link(struct dhcp_port *port, uint64_t now_ns)
{
    bool is_up = __atomic_load_n(&port->device->link_is_up, __ATOMIC_ACQUIRE);
    uint64_t changes = __atomic_load_n(&port->device->link_changes, __ATOMIC_RELAXED);

    if (is_up && changes != port->link_changes_seen) {
        port->link_changes_seen = changes;
        client_link_up(port, now_ns);
    }
    return is_up;
}

static uint64_t port_round(struct dhcp_port *port, uint64_t now_ns)
{
    struct dhcp_client *client = &port->client;
    struct dhcp_step step;
    bool link_is_up;

    if (client->state != DHCP_OFF && !is_undisturbed(port)) {
        log_info("%s: got another address: DHCP ends", port->device->name);
        client_end(port);
    }
    link_is_up = follow_link(port, now_ns);
    if (client_answer(port, now_ns, &step)) {
        step_do(port, &step, now_ns);
    }
    /* Without a link nobody would hear a question; but a lease runs out. */
    if (link_is_up || (dhcp_client_has_lease(client) && now_ns >= client->expire_ns)) {
        client_tick(port, now_ns, &step);
        step_do(port, &step, now_ns);
        return dhcp_client_next(client);
    }
    return dhcp_client_has_lease(client) ? client->expire_ns : UINT64_MAX;
}

uint64_t dhcp_round(uint64_t now_ns)
{
    uint64_t next_ns = UINT64_MAX;

    for (unsigned i = 0; i < dhcp_port_count; i++) {
        uint64_t port_ns = port_round(&dhcp_ports[i], now_ns);

        next_ns = port_ns < next_ns ? port_ns : next_ns;
    }
    return next_ns;
}

void dhcp_start(struct net_device *device)
{
    struct dhcp_port *port = &dhcp_ports[dhcp_port_count];
    uint32_t random = (uint32_t)read_tsc();

    for (unsigned i = 0; i < MAC_BYTES; i++) {
        random = random * 31 + device->mac[i];
    }
    port->device = device;
    /* Up already or not: the first question goes out when it is. */
    port->link_changes_seen = __atomic_load_n(&device->link_changes, __ATOMIC_RELAXED);
    dhcp_client_start(&port->client, random, clock_now_ns());
    if (dhcp_port_count++ == 0 && udp_bind(DHCP_PORT_CLIENT, dhcp_receive, NULL) == 0) {
        log_error("udp: no port left for DHCP (%u)", DHCP_PORT_CLIENT);
    }
}

static const char *state_name_locked(const struct dhcp_port *port)
{
    if (port->client.state == DHCP_OFF) {
        return "off";
    }
    if (port->client.state >= DHCP_BOUND && lease_is_in_force(port)) {
        return "bound";
    }
    return port->is_given_up_on ? "no answer" : "asking";
}

static uint64_t lease_left_locked(const struct dhcp_port *port, uint64_t now_ns)
{
    uint64_t expire_ns = port->client.expire_ns;

    if (!lease_is_in_force(port) || expire_ns <= now_ns) {
        return 0;
    }
    return expire_ns == UINT64_MAX ? UINT64_MAX : expire_ns - now_ns;
}

const char *net_dhcp_state(const struct net_device *device, uint64_t *lease_ns)
{
    const struct dhcp_port *port = port_of(device);
    uint64_t now_ns = clock_now_ns();
    uint64_t left_ns = 0;
    const char *name = "off";

    if (port != NULL) {
        /* The lock's acquire pairs with lease_set_in_force()'s release: whoever has seen "bound"
         * finds the address and the gateway that were set before. */
        uint64_t flags = spinlock_lock_save(&mail_lock);

        name = state_name_locked(port);
        left_ns = lease_left_locked(port, now_ns);
        spinlock_unlock_restore(&mail_lock, flags);
    }
    if (lease_ns != NULL) {
        *lease_ns = left_ns;
    }
    return name;
}

bool net_dhcp_is_asking(const struct net_device *device)
{
    return strcmp(net_dhcp_state(device, NULL), "asking") == 0;
}
