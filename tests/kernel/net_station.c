// SPDX-License-Identifier: MIT
/* A station on a net that is only in memory; see net_station.h. */
#include "tests/kernel/net_station.h"

#include "arch/clock.h"
#include "kernel/thread.h"
#include "net/net_config.h"
#include "net/udp.h"
#include "tests/kernel/net_frames.h"

#define PATIENCE_NS 60000000000ull

const uint8_t net_station_peer_mac[MAC_BYTES] = {0x02, 0x99, 0, 0, 0, 0x02};

static const uint16_t service_ports[] = {UDP_PORT_ECHO, UDP_PORT_DISCARD, UDP_PORT_TIME};

static void sink_handle(void *argument, const struct udp_datagram *datagram)
{
    struct net_station *station = argument;

    packet_free(datagram->packet);
    __atomic_fetch_add(&station->sunk, 1, __ATOMIC_RELEASE);
}

/* Binds them unless they are: without a card nobody has. */
static bool services_bind(struct net_station *station)
{
    if (udp_bind(UDP_PORT_ECHO, sink_handle, station) == 0) {
        return false;
    }
    udp_unbind(UDP_PORT_ECHO);
    udp_services_initialize();
    return true;
}

static void services_unbind(void)
{
    for (unsigned i = 0; i < sizeof(service_ports) / sizeof(service_ports[0]); i++) {
        udp_unbind(service_ports[i]);
    }
}

bool net_station_open(struct net_station *station, unsigned queues, fake_nic_capture *capture)
{
    *station = (struct net_station){
        .nic = fake_nic_add(&(struct fake_nic_options){.queues = queues, .capture = capture})};
    if (station->nic == NULL) {
        return false;
    }
    station->owns_services = services_bind(station);
    udp_bind(NET_STATION_SINK_PORT, sink_handle, station);
    net_config_set_address(&station->nic->device, NET_STATION_ADDRESS, NET_STATION_MASK,
                           NET_CONFIG_STATIC);
    return true;
}

void net_station_close(struct test *test, struct net_station *station)
{
    udp_unbind(NET_STATION_SINK_PORT);
    if (station->owns_services) {
        services_unbind();
    }
    fake_nic_remove(test, station->nic);
}

uint32_t net_station_frame(const struct net_station *station, uint8_t *frame, uint16_t port,
                           uint32_t payload, uint32_t seed)
{
    uint8_t bytes[UDP_PAYLOAD_MAX];

    bytes_fill(bytes, payload, seed);
    return frame_make_udp(frame, &(struct frame_udp){.to = station->nic->device.mac,
                                                     .from = net_station_peer_mac,
                                                     .source = NET_STATION_PEER,
                                                     .destination = NET_STATION_ADDRESS,
                                                     .source_port = NET_STATION_PEER_PORT,
                                                     .destination_port = port,
                                                     .payload = bytes,
                                                     .length = payload});
}

bool net_station_wait_captured(struct net_station *station, uint64_t count)
{
    uint64_t deadline_ns = clock_now_ns() + PATIENCE_NS;

    while (fake_nic_captured(station->nic) < count) {
        if (clock_now_ns() > deadline_ns) {
            return false;
        }
        thread_sleep_ns(20000);
    }
    return true;
}
