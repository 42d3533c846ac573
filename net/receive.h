// SPDX-License-Identifier: MIT
/* The way of a received frame: time stamp (if the key netstamp_needed is on), the queue's program,
 * ethernet, then one indirect call to the protocol of its type. Invariant: every frame given to
 * net_receive() ends in exactly one place: a counter of net/counters.h and its buffer free, a
 * transmit ring, or a socket's queue. */
#pragma once

#include "arch/clock.h"
#include "net/packet.h"
#include "patching/dispatcher.h"
#include "patching/dynamic_call.h"
#include "patching/static_key.h"

/* Whether received frames are stamped with the time: counted by its users (sockets, ping), and a
 * key like any other: `key netstamp_needed on`. */
DECLARE_STATIC_KEY(netstamp_needed);

/* How a queue's program is run: by the dispatcher `receive`, one for all cards, or, with the key
 * on, by the dynamic call of the card, hook_0 to hook_3 (`prog hook`). */
DECLARE_STATIC_KEY(receive_hook_dynamic);
DECLARE_DYNAMIC_CALL_INSTANCES(hook, dispatched_function, 2);

/* Takes a frame that a device received; packet->device and ->queue are set. Context: the queue's
 * poll thread (tests: any thread). */
void net_receive(struct packet *packet);

/* A frame that this machine sent to itself. */
void net_receive_own(struct packet *packet);

/* Stamps a frame that has no stamp yet, if anybody wants stamps. Inlined at each place where frames
 * come in or are taken over: the sites of the key. */
static inline __attribute__((always_inline)) void packet_stamp(struct packet *packet)
{
    if (static_branch_unlikely(&netstamp_needed)) {
        if (packet->received_ns == 0) {
            packet->received_ns = clock_now_ns();
        }
    }
}
