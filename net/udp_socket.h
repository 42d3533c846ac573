// SPDX-License-Identifier: MIT
/* Sockets: a bound UDP port with a queue that a thread reads. Invariant: a queue holds at most its
 * depth of packets; what comes beyond is dropped and counted (drop.socket_full, and in the socket).
 *
 *     struct udp_socket *socket = udp_socket_open(9000, 256, false);
 *     while ((packet = udp_socket_receive(socket, deadline_ns, &from)) != NULL) {
 *         ... packet->data, packet->length: the payload ...
 *         packet_free(packet);
 *     }
 *     udp_socket_close(socket);
 */
#pragma once

#include "net/packet.h"

#include <stdbool.h>
#include <stdint.h>

struct udp_socket;

struct udp_sender {
    uint32_t address;
    uint16_t port;
};

/* Opens a socket on @port (0: any). @stamps: its packets carry received_ns; holds the key
 * netstamp_needed while open. Returns NULL if the port is taken or memory is short. Context:
 * thread. */
struct udp_socket *udp_socket_open(uint16_t port, unsigned depth, bool stamps);

/* Frees what is queued. Context: thread, the only one that uses the socket. */
void udp_socket_close(struct udp_socket *socket);

uint16_t udp_socket_port(const struct udp_socket *socket);
uint64_t udp_socket_dropped(const struct udp_socket *socket);

/* Returns the next packet, the caller's from now on, or NULL when none has come by @deadline_ns
 * (clock_now_ns()); @sender may be NULL. One thread reads a socket. Context: thread, interrupts on.
 */
struct packet *udp_socket_receive(struct udp_socket *socket, uint64_t deadline_ns,
                                  struct udp_sender *sender);

/* The same for up to @count packets that are there; waits only for the first. */
unsigned udp_socket_receive_many(struct udp_socket *socket, uint64_t deadline_ns,
                                 struct packet **packets, unsigned count);
