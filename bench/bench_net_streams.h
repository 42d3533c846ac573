// SPDX-License-Identifier: MIT
/* Streams of 1-byte UDP datagrams from memory, each from a queue of its own through the packet path
 * into a socket of its own, read on the queue's CPU: seed 1's traffic without a host. Called by:
 * bench_seed_packets.c. */
#pragma once

#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

enum { BENCH_NET_STREAMS_MAX = 4 };

/* Makes a card with @count queues, 1 to BENCH_NET_STREAMS_MAX, and lets it receive as fast as the
 * readers are done: stream i from port 9000 + i to port @port + i. Returns NULL, having said why
 * behind @command, with nothing changed. Context: thread; one user at a time. */
struct net_device *bench_net_streams_start(const char *command, unsigned count, uint16_t port);

/* Ends the streams and takes the card away. */
void bench_net_streams_stop(void);

/* Datagrams that readers were done with. Context: any. */
uint64_t bench_net_streams_packets(void);

/* Time that all CPUs together had something to run, since the beginning of time. Context: thread.
 */
uint64_t bench_net_streams_busy_ns(void);
