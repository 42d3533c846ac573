// SPDX-License-Identifier: MIT
/* printf-style formatting into a caller's buffer. Invariant: never writes beyond the buffer and
 * always ends it with NUL. Part of .text.nopatch: panic, NMI and #BP failure paths call it, so it
 * calls only kernel/string.c.
 *
 * Understood: %d %i %u %x %X %p %c %s %%, lengths hh h l ll z, flags '-' and '0', width (number or
 * *), precision (number or *) for strings. Anything else is copied as it stands, so that it is
 * seen. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

/* Writes at most @size - 1 characters and a NUL; nothing at all if @size is 0. Context: any.
 * Returns the length that the whole text has, as snprintf does: >= @size means it was cut. */
size_t format_text(char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

size_t format_text_va(char *buffer, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
