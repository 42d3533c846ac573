// SPDX-License-Identifier: MIT
/* The first steps of a received frame; see receive.h. Invariant: a frame that its queue's program
 * does not let pass goes no further, whatever the program returned. */
#include "net/receive.h"

#include "net/counters.h"
#include "net/ethernet.h"
#include "net/net_device.h"
#include "net/program.h"

DEFINE_STATIC_KEY_FALSE(netstamp_needed);
DEFINE_STATIC_KEY_FALSE(receive_hook_dynamic);
DEFINE_DYNAMIC_CALL_INSTANCES(hook, dispatched_function, 2);

/* Does what the program wants done with a frame. Takes the packet unless it passes: then returns
 * true. */
static bool action_is_pass(struct net_queue *queue, struct packet *packet, unsigned action)
{
    switch (action) {
    case NET_ACTION_PASS:
        queue->counters.actions[NET_ACTION_PASS]++;
        return true;
    case NET_ACTION_DROP:
        queue->counters.actions[NET_ACTION_DROP]++;
        net_drop(packet, NET_DROP_PROGRAM);
        return false;
    case NET_ACTION_TX:
        queue->counters.actions[NET_ACTION_TX]++;
        net_count(NET_PROGRAM_TX);
        net_device_transmit(packet->device, packet->queue, packet);
        return false;
    default:
        queue->counters.actions[NET_ACTION_ABORT]++;
        net_drop(packet, NET_DROP_PROGRAM_ABORT);
        return false;
    }
}

/* Runs it by one of the two ways; neither runs anything else. */
static unsigned program_run(const struct net_program *program, struct packet *packet)
{
    if (static_branch_unlikely(&receive_hook_dynamic)) {
        return dynamic_call_instance(hook, packet->device->hook_instance, program->xdp.function,
                                     packet, program->xdp.instructions);
    }
    return xdp_call(receive, &program->xdp, packet);
}

static void receive_stamped(struct net_queue *queue, struct packet *packet)
{
    /* Acquire: pairs with the release in queue_set_program() of program.c; without it the program
     * could miss what was prepared for it, its own code included. */
    const struct net_program *program = __atomic_load_n(&queue->program, __ATOMIC_ACQUIRE);

    if (program == NULL || action_is_pass(queue, packet, program_run(program, packet))) {
        ethernet_receive(packet);
    }
}

void net_receive(struct packet *packet)
{
    struct net_queue *queue = &packet->device->queues[packet->queue];

    queue->counters.received++;
    queue->counters.received_bytes += packet->length;
    packet_stamp(packet);
    receive_stamped(queue, packet);
}

void net_receive_own(struct packet *packet)
{
    packet_stamp(packet);
    ethernet_receive(packet);
}
