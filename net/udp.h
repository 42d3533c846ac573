// SPDX-License-Identifier: MIT
/* UDP (RFC 768): ports, each with a handler that runs in the poll thread; sockets (udp_socket.h)
 * are such a handler. Invariant: what reaches a handler has a right checksum (or says it has none)
 * and a length that lies inside its packet. */
#pragma once

#include "net/ipv4.h"
#include "net/packet.h"
#include "patching/dynamic_call.h"
#include "patching/status.h"

#include <stdbool.h>
#include <stdint.h>

#define UDP_HEADER_BYTES 8
#define UDP_PAYLOAD_MAX  1472
#define UDP_PORT_MAX     32 /* ports bound at a time */
#define UDP_PORT_ECHO    7
#define UDP_PORT_DISCARD 9
#define UDP_PORT_TIME    37 /* answers with cycle stamps: net/udp_services.c */

/* What the time service answers, numbers big-endian:
 *
 *     bytes 0-7    the first 8 bytes of the request, as they came; zeroes where it is shorter
 *     bytes 8-15   TSC when the request was received: by the driver while the key
 *                  netstamp_needed is on (to the nanosecond), else when the service was called
 *     bytes 16-23  TSC when the answer was made
 */
#define UDP_TIME_TAG_BYTES    8
#define UDP_TIME_RECEIVED     8
#define UDP_TIME_SENT         16
#define UDP_TIME_ANSWER_BYTES 24

struct udp_datagram {
    struct packet *packet;              /* the handler's from now on; data at the payload */
    const struct ipv4_receipt *receipt; /* valid until the handler returns */
    uint16_t source_port, destination_port;
};
typedef void udp_handler(void *argument, const struct udp_datagram *datagram);

/* The call that each datagram is delivered by. Handlers are the kernel's own text, which stays. */
DECLARE_DYNAMIC_CALL(udp_deliver, udp_handler, 2);

/* Called by ipv4.c; data at the UDP header. Takes the packet. */
void udp_receive(struct packet *packet, const struct ipv4_receipt *receipt);

/* Binds a port (0: any free one from 49152 up). Returns the port, or 0 if it is taken or there are
 * UDP_PORT_MAX already. Context: thread. */
uint16_t udp_bind(uint16_t port, udp_handler *handler, void *argument);

/* Frees a port; on return no CPU is in its handler. Context: thread. */
void udp_unbind(uint16_t port);

/* The handler of a port, NULL: nobody's; may be outdated on return. For whoever shows or pins it.
 * Context: any. */
udp_handler *udp_handler_of(uint16_t port);

/* Sends the packet's data as payload. @device as in ipv4_send(). Takes the packet.
 * Context: thread or poll thread. */
void udp_send(struct net_device *device, uint16_t source_port, uint32_t destination,
              uint16_t destination_port, struct packet *packet);

/* Sends a received datagram back to its sender, the payload as it is in the packet now. @changed:
 * the payload is not what came, so the checksum must be made anew. Takes the packet. Returns
 * whether it went. Context: the handler. */
bool udp_send_back(const struct udp_datagram *datagram, bool changed);

/* Binds the echo, discard and time services. They answer no broadcast, and no request from a port
 * of such a service (or 0): drop.answer_refused counts those. Context: thread, once. */
void udp_services_initialize(void);
