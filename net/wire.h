// SPDX-License-Identifier: MIT
/* Numbers as they stand in frames: big-endian, at any address; and the Internet checksum.
 * Invariant: nothing here reads beyond what it is given. Called by the protocols. */
#pragma once

#include <stddef.h>
#include <stdint.h>

static inline uint16_t wire_get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t wire_get32(const uint8_t *at)
{
    return (uint32_t)wire_get16(at) << 16 | wire_get16(at + 2);
}

static inline void wire_put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void wire_put32(uint8_t *at, uint32_t value)
{
    wire_put16(at, (uint16_t)(value >> 16));
    wire_put16(at + 2, (uint16_t)value);
}

/* Ones' complement sum of @length bytes (RFC 1071), added to @sum; an odd last byte counts as the
 * high half of a word, so only the last part of a sum may be odd. checksum_finish() folds it and
 * complements: what to store, or 0 over data that hold their right checksum. */
uint32_t checksum_add(uint32_t sum, const uint8_t *bytes, size_t length);
uint16_t checksum_finish(uint32_t sum);

/* @checksum of data in which a word was @old and is @new now (RFC 1624, equation 3). Returns 0 also
 * where all data are 0 and the checksum is 0xffff: for data that are not. */
static inline uint16_t checksum_replace16(uint16_t checksum, uint16_t old, uint16_t new)
{
    return checksum_finish((uint32_t)(uint16_t)~checksum + (uint16_t)~old + new);
}
