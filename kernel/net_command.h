// SPDX-License-Identifier: MIT
/* What the shell commands of the network share: reading what a user typed, refusing by name, and
 * text forms. Invariant: every refusal is one line that begins with the command and names the
 * culprit. Called by commands_nic.c, commands_net.c, commands_pkt.c and pkt_*.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/shell.h"
#include "kernel/table.h"
#include "net/net_device.h"

#define MAC_TEXT_BYTES 18 /* "52:54:00:12:34:56" and NUL */

void mac_format(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT_BYTES]);

/* A column with an IPv4 address. */
void table_address(struct table *table, const char *name, uint32_t address);

/* Packets or bytes a second; 0 if no time has gone by. */
uint64_t rate_per_second(uint64_t count, uint64_t duration_ns);

/* Returns the device called @name, or NULL after saying, behind @command, that there is none. */
struct net_device *net_command_find_device(const char *command, const char *name);

/* Reads a whole word as an IPv4 address. Returns false after naming it. */
bool net_command_read_address(const char *command, const char *word, uint32_t *address);

/* Whether some device could send to others / a device leads to @destination, which is then
 * *@device, and @next_hop the neighbour. Return false after saying why. Right after boot both wait
 * for the answer to DHCP, five seconds at most. Context: thread. */
bool net_command_has_address(struct shell_session *session, const char *command);
bool net_command_route(struct shell_session *session, const char *command, uint32_t destination,
                       struct net_device **device, uint32_t *next_hop);

/* Whether a queue of @device has a program; says so, and how to detach it. */
bool net_command_has_program(const char *command, const struct net_device *device);

/* Offers the names of the devices. */
void net_command_complete_devices(struct shell_completion *completion);
