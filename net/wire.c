// SPDX-License-Identifier: MIT
/* The Internet checksum; see wire.h. Invariant: a sum never loses a carry: it is kept below 2^32 by
 * folding every 64 KiB at the latest, and frames are far shorter. */
#include "net/wire.h"

#include "kernel/string.h"

uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t length)
{
    uint64_t total = 0;

    /* Four bytes at a time in the machine's own order: swapping the bytes of each word swaps those
     * of the sum (RFC 1071, section 2 (B)). */
    for (; length >= 4; bytes += 4, length -= 4) {
        uint32_t word;

        memcpy(&word, bytes, sizeof(word));
        total += word;
    }
    total = (total & 0xffffffff) + (total >> 32);
    total = (total & 0xffff) + (total >> 16 & 0xffff) + (total >> 32);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    sum += (uint32_t)((total & 0xff) << 8 | total >> 8);
    for (; length >= 2; bytes += 2, length -= 2) {
        sum += wire_get16(bytes);
    }
    return length == 1 ? sum + ((uint32_t)*bytes << 8) : sum;
}

uint16_t checksum_finish(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum += sum >> 16;
    return (uint16_t)~sum;
}
