// SPDX-License-Identifier: MIT
/* Whether an address can be ours; see net_address.h. Invariant: what passes has a mask of leading
 * ones, at least one, and is a single host in it. Pure. Called by net_config.c and
 * net_address_list.c. */
#include "net/net_address.h"

#include <stddef.h>

const char *net_address_fault(uint32_t address, uint32_t mask)
{
    uint32_t host = address & ~mask;

    if (mask == 0 || (~mask & (~mask + 1)) != 0) {
        return "the mask is not 1 to 32 leading ones";
    }
    if (address >> 24 == 0) {
        return "0.x.x.x is this network, not a host";
    }
    if (address >> 24 == 127) {
        return "127.x.x.x is the loopback network";
    }
    if (address >> 28 == 0xe) {
        return "it is a multicast address";
    }
    if (address >> 28 == 0xf) {
        return "240.0.0.0 and above is reserved or broadcast";
    }
    if (~mask > 1 && host == 0) { /* /31 has two hosts, /32 one: RFC 3021 */
        return "its host part is zero: that is the network itself";
    }
    if (~mask > 1 && host == ~mask) {
        return "its host part is all ones: that is the network's broadcast";
    }
    return NULL;
}

unsigned net_address_prefix(uint32_t mask)
{
    unsigned prefix = 0;

    for (; (mask & 0x80000000u) != 0; mask <<= 1) {
        prefix++;
    }
    return prefix;
}
