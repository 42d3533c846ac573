// SPDX-License-Identifier: MIT
/* A network device that is none: its poll gives frames made from a template, what it is to send is
 * freed. `bench net --memory` measures the packet path with it, without a host in between; under
 * icount exactly. Called by: bench_net.c. */
#pragma once

#include "bench/bench_net.h"
#include "kernel/shell.h"
#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

/* What a device in memory has besides its own poll() and interrupt_on(): what is to be sent is
 * freed, there are no rings. */
extern const struct net_device_operations bench_net_memory_operations;

/* 198.18.0.0/15 is set aside for benchmarks (RFC 2544). The device's, and who sends to it. */
#define BENCH_NET_OWN_ADDRESS  0xc6120001u
#define BENCH_NET_OWN_MASK     0xfffffffcu
#define BENCH_NET_PEER_ADDRESS 0xc6120002u

/* Writes a UDP frame of the least size, its checksums in place: @payload bytes (at most 18),
 * zeroes, to @port of the station @mac. */
void bench_net_frame_make(uint8_t frame[FRAME_BYTES_MIN], const uint8_t mac[MAC_BYTES],
                          uint16_t source_port, uint16_t port, uint32_t payload);

/* Makes and registers the device, with an address of its own. Returns NULL, having said why, when
 * memory is short or there is no room for another device. Context: thread. */
struct net_device *bench_net_memory_start(void);

/* Takes the device away again. Context: thread; every packet is back in its pool. */
void bench_net_memory_stop(struct net_device *device);

/* Lets the device receive request->packets UDP frames. *@elapsed_ns: from the first of them until
 * the last was done with. Returns false if some were not within a minute (it has said so), or on
 * Ctrl-C. Context: thread. */
bool bench_net_memory_run(struct net_device *device, const struct bench_net_request *request,
                          const struct bench_net_mode *mode, struct shell_session *session,
                          uint64_t *elapsed_ns);
