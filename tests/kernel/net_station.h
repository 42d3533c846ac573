// SPDX-License-Identifier: MIT
/* A fake card that is a station on a net: it has an address, the services are bound, and a peer
 * sends frames to it. Invariant: what net_station_open() bound and set, net_station_close() undoes.
 * Callers: the suites of the network. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/kernel/fake_nic.h"

/* 192.0.2.0/24 is set aside for examples (RFC 5737): no real card is in it. */
#define NET_STATION_ADDRESS   0xc0000201u
#define NET_STATION_PEER      0xc0000202u
#define NET_STATION_MASK      0xffffff00u
#define NET_STATION_PEER_PORT 40000
#define NET_STATION_SINK_PORT 7000 /* counts and frees */

extern const uint8_t net_station_peer_mac[MAC_BYTES];

struct net_station {
    struct fake_nic *nic;
    bool owns_services; /* they were not bound before: there is no card in this machine */
    uint64_t sunk;      /* atomic: datagrams to the sink */
};

/* Returns false, nothing left behind, when memory is short. @capture: see fake_nic.h; may be NULL.
 * Context: thread. */
bool net_station_open(struct net_station *station, unsigned queues, fake_nic_capture *capture);
void net_station_close(struct test *test, struct net_station *station);

/* Writes a frame of the peer to @port of the station: @payload bytes, random by @seed. Returns its
 * length. */
uint32_t net_station_frame(const struct net_station *station, uint8_t *frame, uint16_t port,
                           uint32_t payload, uint32_t seed);

/* Waits until the card has sent so many frames in all; false after some seconds. */
bool net_station_wait_captured(struct net_station *station, uint64_t count);
