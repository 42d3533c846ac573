// SPDX-License-Identifier: MIT
/* Copying and comparing a few bytes without libc. Invariant: no compiler turns these loops into
 * calls of memcpy() or memcmp(): the empty asm hides the pattern. Used by: the .c files of this
 * room. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void bytes_copy(void *to, const void *from, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)to)[i] = ((const uint8_t *)from)[i];
        __asm__ volatile("" ::: "memory");
    }
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
    for (size_t i = 0; i < length; i++) {
        if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i]) {
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
