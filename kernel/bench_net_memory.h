// SPDX-License-Identifier: MIT
/* A network device that is none: its poll gives frames made from a template, what it is to send is
 * freed. `bench net --memory` measures the packet path with it, without a host in between; under
 * icount exactly. Called by: bench_net.c. */
#pragma once

#include "kernel/bench_net.h"
#include "kernel/shell.h"
#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

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
