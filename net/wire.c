// SPDX-License-Identifier: MIT
/* The Internet checksum; see wire.h. Invariant: no carry is lost: each one that leaves the top of
 * the sum comes back at its bottom. */
#include "net/wire.h"

/* Eight bytes at any address, as this machine orders them. */
struct wire_word {
    uint64_t value;
} __attribute__((packed, may_alias));

/* The sum of whole words, folded to 16 bits. In the machine's byte order: swapping the bytes of
 * every word swaps those of the sum (RFC 1071, section 2 (B)). */
static uint32_t words_sum(const uint8_t *bytes, size_t count)
{
    const struct wire_word *words = (const struct wire_word *)bytes;
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        total += words[i].value;
        total += total < words[i].value ? 1 : 0;
    }
    total = (total & 0xffffffff) + (total >> 32);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    return (uint32_t)((total & 0xff) << 8 | total >> 8);
}

uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t length)
{
    sum += words_sum(bytes, length / 8);
    bytes += length & ~(size_t)7;
    for (length %= 8; length >= 2; bytes += 2, length -= 2) {
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
