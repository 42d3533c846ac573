// SPDX-License-Identifier: MIT
/* The inside of net_device.c: threads of queues. Others, `bench net` excepted, use net_device.h. */
#pragma once

#include "net/net_device.h"
#include "patching/static_key.h"

/* Adds up the time spent in polls (poll_ticks): for `bench net`. */
DECLARE_STATIC_KEY(net_poll_timed);

/* Starts the threads of a queue. Returns false, none running, when memory is short. Context:
 * thread. */
bool net_queue_start(struct net_queue *queue);

/* Ends and joins them. Context: thread. */
void net_queue_stop(struct net_queue *queue);

/* Keeps the thread off the queue, waits until it is; false if it still polls after @patience_ns. /
 * Lets it look again. Context: thread. */
bool net_queue_pause(struct net_queue *queue, uint64_t patience_ns);
void net_queue_resume(struct net_queue *queue);

/* Rings the doorbell for frames that were sent without. Context: thread. In net_transmit.c. */
void net_queue_start_late(struct net_queue *queue);
