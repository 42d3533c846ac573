// SPDX-License-Identifier: MIT
/* The value of ip=, word by word; see net_address.h. Invariant: a word is understood to its last
 * character, or refused with a reason. Pure. Called by net_start.c. */
#include "kernel/string.h"
#include "net/ipv4.h"
#include "net/net_address.h"

#define PREFIX_MAX 32u

/* One or two digits and nothing else, no leading zero: what is read is written in one way, as with
 * ipv4_read(). */
static bool prefix_read(const char *text, uint32_t *prefix)
{
    uint32_t value = 0;
    unsigned digits = 0;

    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 3; digits++) {
        value = value * 10 + (uint32_t)(text[digits] - '0');
    }
    *prefix = value;
    return digits > 0 && text[digits] == '\0' && (digits == 1 || text[0] != '0');
}

/* Returns why @choice->word is not ADDRESS/PREFIX of a host, or NULL with the choice filled in. */
static const char *static_address_read(struct net_address_choice *choice)
{
    char address[NET_ADDRESS_WORD_MAX + 1];
    char *slash;
    uint32_t prefix;

    memcpy(address, choice->word, sizeof(address));
    slash = strchr(address, '/');
    if (slash == NULL) {
        return "neither dhcp, none nor ADDRESS/PREFIX";
    }
    *slash = '\0';
    if (!ipv4_read(address, &choice->address)) {
        return "the address is not four numbers from 0 to 255 with dots, no leading zeroes";
    }
    if (!prefix_read(slash + 1, &prefix) || prefix > PREFIX_MAX || prefix == 0) {
        return "the prefix is not a number from 1 to 32, no leading zeroes";
    }
    choice->mask = UINT32_MAX << (PREFIX_MAX - prefix);
    return net_address_fault(choice->address, choice->mask);
}

static const char *word_read(struct net_address_choice *choice)
{
    const char *fault = NULL;

    if (choice->word[0] == '\0') {
        return "it is empty";
    }
    if (strcmp(choice->word, "dhcp") == 0) {
        choice->source = NET_CONFIG_DHCP;
    } else if (strcmp(choice->word, "none") != 0) {
        fault = static_address_read(choice);
        choice->source = fault == NULL ? NET_CONFIG_STATIC : NET_CONFIG_NONE;
    }
    return fault;
}

bool net_address_list_take(const char **cursor, struct net_address_choice *choice)
{
    const char *start = *cursor;
    size_t length = 0;

    if (start == NULL) {
        return false;
    }
    *choice = (struct net_address_choice){.source = NET_CONFIG_NONE};
    while (start[length] != '\0' && start[length] != ',') {
        length++;
    }
    *cursor = start[length] == ',' ? start + length + 1 : NULL;
    memcpy(choice->word, start,
           length < NET_ADDRESS_WORD_MAX ? length : (size_t)NET_ADDRESS_WORD_MAX);
    choice->fault = length > NET_ADDRESS_WORD_MAX ? "it is too long" : word_read(choice);
    return true;
}
