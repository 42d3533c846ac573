// SPDX-License-Identifier: MIT
/* The inside of arp.c: who was asked for, who answered, and what waits for the answer. Others use
 * arp.h. Nothing here sends: what is to be sent is returned, so that the table's lock is never held
 * while a driver's is taken. */
#pragma once

#include "net/arp.h"

enum arp_answer {
    ARP_ANSWER_KNOWN, /* the packet is the caller's, to be sent to @mac */
    ARP_ANSWER_WAIT,  /* the table has taken it */
    ARP_ANSWER_ASK    /* the same, and the caller is to ask */
};

/* Where to send @packet that is for @address. */
enum arp_answer arp_table_resolve(struct net_device *device, uint32_t address,
                                  struct packet *packet, uint64_t now_ns, uint8_t mac[MAC_BYTES]);

/* @address was heard from @mac. Returns false if nobody asked for it; else *@waiting is the list
 * (packet->next) of packets to send there. */
bool arp_table_learn(struct net_device *device, uint32_t address, const uint8_t mac[MAC_BYTES],
                     uint64_t now_ns, struct packet **waiting);

/* Ages entry @index. Returns true if the caller is to ask (again) for *@address. */
bool arp_table_age(unsigned index, uint64_t now_ns, struct net_device **device, uint32_t *address);
