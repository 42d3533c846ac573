// SPDX-License-Identifier: MIT
/* What may be an address of ours, and how the words of ip= are read. Invariant: what is called good
 * here can be used as it is: a host's address, a mask of leading ones. Pure. Called by
 * net_config.c, dhcp_message.c and the host tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum net_config_source { NET_CONFIG_NONE, NET_CONFIG_STATIC, NET_CONFIG_DHCP };

#define NET_ADDRESS_WORD_MAX 32 /* characters of one word of a list that are looked at */

/* One word of ip=. */
struct net_address_choice {
    enum net_config_source source; /* NONE: "none", or a fault */
    uint32_t address, mask;        /* of STATIC */
    const char *fault;             /* why the word is refused; NULL: it is not */
    char word[NET_ADDRESS_WORD_MAX + 1];
};

/* Why @address with @mask cannot be a host's, in words; NULL: it can. */
const char *net_address_fault(uint32_t address, uint32_t mask);

/* The number of leading ones of @mask. */
unsigned net_address_prefix(uint32_t mask);

/* Reads the next word of a list with commas and moves *@cursor behind it; an empty word is a fault.
 * Returns false at the end of the list. "dhcp", "none" or ADDRESS/PREFIX. */
bool net_address_list_take(const char **cursor, struct net_address_choice *choice);
