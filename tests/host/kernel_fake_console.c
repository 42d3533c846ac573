// SPDX-License-Identifier: MIT
/* A console for host tests: console_write() and console_print() into memory. */
#include "tests/host/kernel_fake_console.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "kernel/console.h"
#include "kernel/format.h"

char fake_console_text[65536];

void fake_console_reset(void)
{
    fake_console_text[0] = '\0';
}

void console_write(const char *text, size_t length)
{
    size_t used = strlen(fake_console_text);

    assert(used + length < sizeof(fake_console_text));
    memcpy(fake_console_text + used, text, length);
    fake_console_text[used + length] = '\0';
}

void console_print(const char *format, ...)
{
    char text[CONSOLE_PRINT_MAX + 1];
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_text_va(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert(length <= CONSOLE_PRINT_MAX);
    console_write(text, length);
}
