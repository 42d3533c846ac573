// SPDX-License-Identifier: MIT
/* The thread that looks after ARP, links, sent packets and DHCP. Invariant: there is one. Started
 * by net_start.c; woken by whatever makes work for it: ARP questions, links, DHCP answers. */
#pragma once

#include <stdbool.h>

/* Returns false if there is no memory for the thread. Context: the first thread, once. */
bool net_housekeeping_start(void);

/* Wakes the thread, because there is something that its tick is to look after. It looks ten times a
 * second as long as there is, and every ten seconds when there is not. Cheap when it is awake
 * already. Context: any but NMI; before net_housekeeping_start() it does nothing. */
void net_housekeeping_wake(void);
