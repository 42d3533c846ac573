// SPDX-License-Identifier: MIT
/* The first steps of a received frame; see receive.h. Invariant: a frame that the hook does not let
 * pass goes no further, whatever the hook returned. */
#include "net/receive.h"

#include "net/counters.h"
#include "net/ethernet.h"
#include "net/net_device.h"

DEFINE_STATIC_KEY_FALSE(netstamp_needed);

/* What a hook wants done with a frame. Takes the packet unless it passes: then returns true. */
static bool action_is_pass(struct packet *packet, unsigned action)
{
    switch (action) {
    case NET_ACTION_PASS:
        return true;
    case NET_ACTION_DROP:
        net_drop(packet, NET_DROP_HOOK);
        return false;
    case NET_ACTION_TX:
        net_count(NET_HOOK_TX);
        net_device_transmit(packet->device, packet->queue, packet);
        return false;
    default:
        net_drop(packet, NET_DROP_HOOK_ABORT);
        return false;
    }
}

static void receive_stamped(struct packet *packet)
{
    /* Acquire: pairs with the release in net_device_set_hook(); without it the hook could miss what
     * was prepared for it. */
    net_receive_hook *hook = __atomic_load_n(&packet->device->hook, __ATOMIC_ACQUIRE);

    if (hook == NULL || action_is_pass(packet, hook(packet))) {
        ethernet_receive(packet);
    }
}

void net_receive(struct packet *packet)
{
    struct net_queue_counters *counters = &packet->device->queues[packet->queue].counters;

    counters->received++;
    counters->received_bytes += packet->length;
    packet_stamp(packet);
    receive_stamped(packet);
}

void net_receive_own(struct packet *packet)
{
    packet_stamp(packet);
    ethernet_receive(packet);
}
