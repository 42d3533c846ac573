// SPDX-License-Identifier: MIT
/* DHCP on real devices: dhcp_client.h with packets, a clock and addresses. Called by net_start.c
 * and housekeeping.c; its state is shown by net_dhcp_state() (net_config.h). */
#pragma once

#include "net/net_device.h"

#include <stdint.h>

/* Asks for an address for @device, which stays for good. Context: thread, before dhcp_round(). */
void dhcp_start(struct net_device *device);

/* Does what is due at @now_ns: takes answers that came, asks, takes and drops addresses. Returns
 * when there is something to do again; UINT64_MAX: only an answer or a link will tell, either of
 * which wakes the housekeeping thread. Context: the housekeeping thread. */
uint64_t dhcp_round(uint64_t now_ns);
