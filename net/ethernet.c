// SPDX-License-Identifier: MIT
/* Ethernet II; see ethernet.h. */
#include "net/ethernet.h"

#include "net/counters.h"

void ethernet_receive(struct packet *packet)
{
    net_drop(packet,
             packet->length < ETHERNET_HEADER_BYTES ? NET_DROP_FRAME_SHORT : NET_DROP_ETHERTYPE);
}
