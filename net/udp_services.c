// SPDX-License-Identifier: MIT
/* Three services of every machine on the net: echo (RFC 862), discard (RFC 863), and time, which
 * answers with cycle stamps (net/udp.h). Invariant: no answer to a broadcast, nor to a service like
 * these: two echoes would answer each other for ever. Called by udp.c in the poll thread, a packet
 * at a time; nothing here waits. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "net/counters.h"
#include "net/udp.h"
#include "net/wire.h"

/* Whether an answer would reach one sender that does not answer in turn. */
static bool may_be_answered(const struct udp_datagram *datagram)
{
    uint16_t port = datagram->source_port;

    return !datagram->receipt->is_broadcast && port != 0 && port != UDP_PORT_ECHO &&
           port != UDP_PORT_DISCARD && port != UDP_PORT_TIME;
}

static void echo_receive(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    if (!may_be_answered(datagram)) {
        net_drop(datagram->packet, NET_DROP_ANSWER);
        return;
    }
    udp_send_back(datagram, false);
}

static void discard_receive(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    net_drop(datagram->packet, NET_DROP_UDP_DISCARDED);
}

static void put_cycles(uint8_t *at, uint64_t cycles)
{
    wire_put32(at, (uint32_t)(cycles >> 32));
    wire_put32(at + 4, (uint32_t)cycles);
}

/* Cycle count when the frame came: by its stamp, if it has one, else now. Counted back from now:
 * the two clocks drift apart over hours, not over the age of a packet. */
static uint64_t cycles_when_received(const struct packet *packet)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t now = read_tsc();

    if (packet->received_ns == 0 || packet->received_ns > now_ns) {
        return now;
    }
    return now - clock_ns_to_ticks(now_ns - packet->received_ns);
}

static void time_receive(void *argument, const struct udp_datagram *datagram)
{
    struct packet *packet = datagram->packet;
    uint64_t received = cycles_when_received(packet);

    (void)argument;
    if (!may_be_answered(datagram) ||
        packet->length + packet_tailroom(packet) < UDP_TIME_ANSWER_BYTES) {
        net_drop(packet, NET_DROP_ANSWER);
        return;
    }
    if (packet->length < UDP_TIME_TAG_BYTES) {
        memset(packet->data + packet->length, 0, UDP_TIME_TAG_BYTES - packet->length);
    }
    packet->length = UDP_TIME_ANSWER_BYTES;
    put_cycles(packet->data + UDP_TIME_RECEIVED, received);
    put_cycles(packet->data + UDP_TIME_SENT, read_tsc());
    udp_send_back(datagram, true);
}

void udp_services_initialize(void)
{
    static const struct {
        uint16_t port;
        const char *name;
        udp_handler *handler;
    } services[] = {
        {UDP_PORT_ECHO, "echo", echo_receive},
        {UDP_PORT_DISCARD, "discard", discard_receive},
        {UDP_PORT_TIME, "time", time_receive},
    };

    for (unsigned i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        if (udp_bind(services[i].port, services[i].handler, NULL) == 0) {
            log_error("udp: no port left for the service %s (%u)", services[i].name,
                      (unsigned)services[i].port);
        }
    }
}
