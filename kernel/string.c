// SPDX-License-Identifier: MIT
/* The C string functions. Invariant: no call leaves this file, not even one that the compiler makes
 * out of a loop: copies are string instructions. Called by everything, from .text.nopatch too. */
#include "kernel/string.h"

#include <stdint.h>

void *memcpy(void *restrict destination, const void *restrict source, size_t length)
{
    void *to = destination;
    size_t words = length / 8;
    size_t rest = length % 8;

    __asm__ volatile("rep movsq" : "+D"(to), "+S"(source), "+c"(words) : : "memory");
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(source), "+c"(rest) : : "memory");
    return destination;
}

void *memmove(void *destination, const void *source, size_t length)
{
    if ((uintptr_t)destination - (uintptr_t)source >= length) {
        return memcpy(destination, source, length); /* ascending order is safe */
    }
    unsigned char *to = destination;
    const unsigned char *from = source;

    /* Not by STD and REP MOVSB: an NMI in between would run its C code with the direction flag set.
     */
    while (length > 0) {
        length--;
        to[length] = from[length];
        __asm__ volatile(""); /* or a compiler may recognise memmove() and call it */
    }
    return destination;
}

void *memset(void *destination, int value, size_t length)
{
    void *to = destination;
    uint64_t pattern = (uint8_t)value * 0x0101010101010101ull;
    size_t words = length / 8;
    size_t rest = length % 8;

    __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(pattern) : "memory");
    return destination;
}

int memcmp(const void *left, const void *right, size_t length)
{
    const unsigned char *a = left;
    const unsigned char *b = right;

    for (size_t i = 0; i < length; i++) {
        if (a[i] != b[i]) {
            return a[i] - b[i];
        }
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0') {
        length++;
        __asm__ volatile(""); /* or a compiler may recognise strlen() and call it */
    }
    return length;
}

int strncmp(const char *left, const char *right, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char a = (unsigned char)left[i];
        unsigned char b = (unsigned char)right[i];

        if (a != b || a == '\0') {
            return a - b;
        }
    }
    return 0;
}

int strcmp(const char *left, const char *right)
{
    return strncmp(left, right, SIZE_MAX);
}

char *strchr(const char *text, int character)
{
    for (;; text++) {
        if (*text == (char)character) {
            return (char *)text;
        }
        if (*text == '\0') {
            return NULL;
        }
    }
}
