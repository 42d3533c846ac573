// SPDX-License-Identifier: MIT
/* Copying and comparing a few bytes without libc. Invariant: no compiler turns the loops into calls
 * of memcpy() or memcmp(): the empty asm hides the pattern. An instruction (1 to 8 bytes) takes two
 * loads that may overlap, no loop. Used by: the .c files of this room, live_text.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unaligned words, whatever type the memory has. */
struct bytes4 {
    uint32_t value;
} __attribute__((packed, may_alias));

static inline uint32_t bytes_load4(const void *from)
{
    return ((const struct bytes4 *)from)->value;
}

struct bytes8 {
    uint64_t value;
} __attribute__((packed, may_alias));

/* By one load, whoever writes meanwhile. */
static inline uint64_t bytes_load8(const void *from)
{
    return ((const volatile struct bytes8 *)from)->value;
}

static inline void bytes_copy(void *to, const void *from, size_t length)
{
    uint8_t *target = to;
    const uint8_t *source = from;

    if (length >= 4 && length <= 8) {
        uint32_t first = bytes_load4(source);
        uint32_t last = bytes_load4(source + length - 4);

        ((struct bytes4 *)target)->value = first;
        ((struct bytes4 *)(target + length - 4))->value = last;
        return;
    }
    for (size_t i = 0; i < length; i++) {
        target[i] = source[i];
        __asm__ volatile("" ::: "memory");
    }
}

/* The @length bytes, 8 at most, as a number: the first byte is the lowest. Through registers alone:
 * a load that takes what two stores before it wrote would wait until both have left the core. */
static inline uint64_t bytes_pack(const void *from, size_t length)
{
    const uint8_t *source = from;
    uint64_t packed = 0;

    if (length >= 4 && length <= 8) {
        size_t last = length - 4; /* what both loads hold is or-ed with itself */

        return bytes_load4(source) | (uint64_t)bytes_load4(source + last) << 8 * last;
    }
    for (size_t i = 0; i < length; i++) {
        packed |= (uint64_t)source[i] << 8 * i;
    }
    return packed;
}

static inline void bytes_clear(void *to, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)to)[i] = 0;
        __asm__ volatile("" ::: "memory");
    }
}

static inline bool bytes_equal(const void *a, const void *b, size_t length)
{
    const uint8_t *left = a;
    const uint8_t *right = b;

    if (length >= 4 && length <= 8) {
        size_t last = length - 4;

        return bytes_load4(left) == bytes_load4(right) &&
               bytes_load4(left + last) == bytes_load4(right + last);
    }
    for (size_t i = 0; i < length; i++) {
        if (left[i] != right[i]) {
            return false;
        }
    }
    return true;
}

/* The order of two NUL-terminated strings: negative, 0 or positive. */
static inline int text_compare(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (int)(uint8_t)*a - (int)(uint8_t)*b;
}
