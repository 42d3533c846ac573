// SPDX-License-Identifier: MIT
/* ARP (RFC 826): answers for our addresses, resolves others', and forgets what is old. Invariant:
 * the table never grows beyond ARP_ENTRY_MAX, whatever is sent: a flood replaces what was used
 * longest ago, and only what we asked for or already know is learnt; an entry waits with at most
 * ARP_PENDING_MAX packets. */
#pragma once

#include "net/net_device.h"
#include "net/packet.h"

#include <stdbool.h>
#include <stdint.h>

#define ARP_ENTRY_MAX    64
#define ARP_PENDING_MAX  4
#define ARP_LIFETIME_NS  (60 * 1000000000ull) /* unless confirmed */
#define ARP_RETRY_NS     (1 * 1000000000ull)
#define ARP_REQUESTS_MAX 3

enum arp_state { ARP_FREE, ARP_ASKED, ARP_KNOWN };

struct arp_view { /* a copy of an entry, for listings */
    enum arp_state state;
    struct net_device *device;
    uint32_t address;
    uint8_t mac[MAC_BYTES];
    uint64_t age_ns;  /* since it was learnt or first asked for */
    unsigned pending; /* packets that wait for the answer */
};

/* The protocol handler of ethertype 0x0806. Takes the packet. */
void arp_receive(struct packet *packet);

/* Sends an IPv4 packet (data at the IP header) to @next_hop, at once if it is known, else when it
 * answers. Takes the packet. */
void arp_send_ipv4(struct net_device *device, uint32_t next_hop, struct packet *packet);

/* Repeats questions, gives up (the waiting packets are dropped, counted), forgets the old. Called
 * about ten times a second by net's housekeeping thread. */
void arp_tick(uint64_t now_ns);

/* Tells the neighbours that @device has a (new) address. */
void arp_announce(struct net_device *device);

/* Forgets everything about a device whose address or link changed, NULL: about all. */
void arp_forget(struct net_device *device);

/* Copies entry @index (0 to ARP_ENTRY_MAX - 1); returns false if it is free. */
bool arp_look(unsigned index, struct arp_view *view);
const char *arp_state_name(enum arp_state state);
