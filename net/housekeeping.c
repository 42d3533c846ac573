// SPDX-License-Identifier: MIT
/* The thread that looks after the network; see housekeeping.h: repeats ARP questions, forgets old
 * answers, frees what devices have sent, tells the neighbours of a link that came up, and drives
 * DHCP. Invariant: while there is nothing to look after it sleeps IDLE_ROUND_NS at a
 * time, so that an idle machine stays without ticks; who makes it work wakes it. Started by
 * net_start.c. */
#include "net/housekeeping.h"

#include "arch/clock.h"
#include "kernel/thread.h"
#include "kernel/wait_queue.h"
#include "net/arp.h"
#include "net/dhcp.h"
#include "net/net_device.h"

#define BUSY_ROUND_NS 100000000ull
#define IDLE_ROUND_NS 10000000000ull

static struct wait_queue wait = WAIT_QUEUE("network housekeeping");
static bool is_wanted; /* atomic: there is work; cleared by the thread before it looks */

void net_housekeeping_wake(void)
{
    /* Full order: pairs with the exchange in housekeeping(): what made the work comes before the
     * flag, and a thread that has cleared the flag sees it. */
    if (!__atomic_exchange_n(&is_wanted, true, __ATOMIC_SEQ_CST)) {
        wait_queue_wake_one(&wait);
    }
}

static bool is_work_wanted(void *argument)
{
    (void)argument;
    return __atomic_load_n(&is_wanted, __ATOMIC_RELAXED);
}

/* A link that has changed may lead to others now: what was known of it is forgotten, and they are
 * told of us. */
static void follow_link(struct net_device *device)
{
    uint64_t changes = __atomic_load_n(&device->link_changes, __ATOMIC_RELAXED);

    if (changes == device->link_changes_seen) {
        return;
    }
    device->link_changes_seen = changes;
    arp_forget(device);
    if (__atomic_load_n(&device->link_is_up, __ATOMIC_ACQUIRE)) {
        arp_announce(device);
    }
}

static void look_after_device(struct net_device *device, void *argument)
{
    bool *is_busy = argument;

    follow_link(device);
    *is_busy |= net_device_reclaim(device) != 0; /* of queues that send nothing more */
}

static bool arp_asks(void)
{
    struct arp_view view;

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        if (arp_look(i, &view) && view.state == ARP_ASKED) {
            return true;
        }
    }
    return false;
}

/* Looks after everything once. Returns when to look again. */
static uint64_t housekeeping_round(uint64_t now_ns)
{
    uint64_t next_ns = now_ns + IDLE_ROUND_NS;
    uint64_t dhcp_ns;
    bool is_busy = false;

    net_device_for_each(look_after_device, &is_busy);
    arp_tick(now_ns);
    is_busy |= arp_asks();
    dhcp_ns = dhcp_round(now_ns);
    if (is_busy) {
        next_ns = now_ns + BUSY_ROUND_NS;
    }
    return dhcp_ns < next_ns ? dhcp_ns : next_ns;
}

static void housekeeping(void *argument)
{
    (void)argument;
    for (;;) {
        uint64_t next_ns;

        (void)__atomic_exchange_n(&is_wanted, false, __ATOMIC_SEQ_CST);
        next_ns = housekeeping_round(clock_now_ns());
        wait_queue_wait_until_deadline(&wait, is_work_wanted, NULL, next_ns);
    }
}

bool net_housekeeping_start(void)
{
    return thread_create("net/housekeeping", 0, housekeeping, NULL) != NULL;
}
