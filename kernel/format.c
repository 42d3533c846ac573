// SPDX-License-Identifier: MIT
/* printf-style formatting. Invariant: the length is counted to the end, the buffer written only
 * below its size. In .text.nopatch: called by panic and everything else, calls only strlen(). */
#include "kernel/format.h"

#include <stdbool.h>
#include <stdint.h>

#include "kernel/string.h"

struct output {
    char *buffer;
    size_t size;
    size_t length; /* of the whole text, may exceed size */
};

/* One directive: %[-0][width][.precision][length]conversion. */
struct directive {
    bool left;
    bool zeros;
    size_t width;
    size_t precision; /* SIZE_MAX: none given */
    unsigned bytes;   /* of an integer argument: 1, 2, 4 or 8 */
    char conversion;
};

static void put(struct output *output, char character)
{
    if (output->length + 1 < output->size) {
        output->buffer[output->length] = character;
    }
    output->length++;
}

static void put_repeated(struct output *output, char character, size_t count)
{
    while (count-- > 0) {
        put(output, character);
    }
}

/* Puts @prefix (sign or 0x) and @text, padded to the directive's width. */
static void put_padded(struct output *output, const struct directive *directive, const char *prefix,
                       const char *text, size_t length)
{
    size_t total = strlen(prefix) + length;
    size_t padding = directive->width > total ? directive->width - total : 0;
    bool zeros = directive->zeros && !directive->left;

    if (!directive->left && !zeros) {
        put_repeated(output, ' ', padding);
    }
    while (*prefix != '\0') {
        put(output, *prefix++);
    }
    if (zeros) {
        put_repeated(output, '0', padding);
    }
    for (size_t i = 0; i < length; i++) {
        put(output, text[i]);
    }
    if (directive->left) {
        put_repeated(output, ' ', padding);
    }
}

static void put_integer(struct output *output, const struct directive *directive, uint64_t value,
                        unsigned base, const char *prefix)
{
    const char *digits = directive->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[20];
    size_t start = sizeof(text);

    do {
        text[--start] = digits[value % base];
        value /= base;
    } while (value != 0);
    put_padded(output, directive, prefix, text + start, sizeof(text) - start);
}

static void put_string(struct output *output, struct directive *directive, const char *text)
{
    size_t length = 0;

    if (text == NULL) {
        text = "(null)";
    }
    while (length < directive->precision && text[length] != '\0') {
        length++;
    }
    directive->zeros = false;
    put_padded(output, directive, "", text, length);
}

/* Reads digits at *@format and moves it behind them; stops counting long before the value
 * overflows. */
static size_t read_number(const char **format)
{
    size_t value = 0;

    while (**format >= '0' && **format <= '9') {
        if (value < 100000) {
            value = value * 10 + (size_t)(**format - '0');
        }
        (*format)++;
    }
    return value;
}

static unsigned read_length(const char **format)
{
    unsigned bytes = 4;

    for (;; (*format)++) {
        if (**format == 'l' || **format == 'z') {
            bytes = 8;
        } else if (**format == 'h') {
            bytes /= 2;
        } else {
            return bytes > 0 ? bytes : 1;
        }
    }
}

/* An argument list that can be handed on by address. */
struct arguments {
    va_list list;
};

static uint64_t take_unsigned(const struct directive *directive, struct arguments *arguments)
{
    if (directive->bytes == 8) {
        return va_arg(arguments->list, uint64_t);
    }
    uint32_t value = va_arg(arguments->list, uint32_t);

    return directive->bytes == 4 ? value : value & ((1u << (directive->bytes * 8)) - 1);
}

static int64_t take_signed(const struct directive *directive, struct arguments *arguments)
{
    uint64_t value = take_unsigned(directive, arguments);
    unsigned shift = 64 - directive->bytes * 8;

    return (int64_t)(value << shift) >> shift;
}

/* A width or precision: digits, or * for an int argument; a negative one counts as 0. */
static size_t read_size(const char **format, struct arguments *arguments)
{
    if (**format != '*') {
        return read_number(format);
    }
    (*format)++;
    int value = va_arg(arguments->list, int);

    return value > 0 ? (size_t)value : 0;
}

/* Parses the directive behind a '%' and moves *@format behind it. */
static struct directive read_directive(const char **format, struct arguments *arguments)
{
    struct directive directive = {.precision = SIZE_MAX};

    for (; **format == '-' || **format == '0'; (*format)++) {
        directive.left = directive.left || **format == '-';
        directive.zeros = directive.zeros || **format == '0';
    }
    directive.width = read_size(format, arguments);
    if (**format == '.') {
        (*format)++;
        directive.precision = read_size(format, arguments);
    }
    directive.bytes = read_length(format);
    directive.conversion = **format;
    if (**format != '\0') {
        (*format)++;
    }
    return directive;
}

/* Returns false if the conversion is unknown: nothing has been put then. */
static bool put_directive(struct output *output, struct directive *directive,
                          struct arguments *arguments)
{
    char conversion = directive->conversion;

    if (conversion == 'd' || conversion == 'i') {
        int64_t value = take_signed(directive, arguments);
        uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
        put_integer(output, directive, magnitude, 10, value < 0 ? "-" : "");
    } else if (conversion == 'u') {
        put_integer(output, directive, take_unsigned(directive, arguments), 10, "");
    } else if (conversion == 'x' || conversion == 'X') {
        put_integer(output, directive, take_unsigned(directive, arguments), 16, "");
    } else if (conversion == 'p') {
        put_integer(output, directive, (uintptr_t)va_arg(arguments->list, void *), 16, "0x");
    } else if (conversion == 's') {
        put_string(output, directive, va_arg(arguments->list, const char *));
    } else if (conversion == 'c') {
        char character = (char)va_arg(arguments->list, int);
        directive->zeros = false;
        put_padded(output, directive, "", &character, 1);
    } else if (conversion == '%') {
        put(output, '%');
    } else {
        return false;
    }
    return true;
}

size_t format_text_va(char *buffer, size_t size, const char *format, va_list list)
{
    struct output output = {.buffer = buffer, .size = size};
    struct arguments arguments;

    va_copy(arguments.list, list);
    while (*format != '\0') {
        const char *start = format++;

        if (*start != '%') {
            put(&output, *start);
            continue;
        }
        struct directive directive = read_directive(&format, &arguments);

        if (!put_directive(&output, &directive, &arguments)) {
            while (start < format) {
                put(&output, *start++);
            }
        }
    }
    va_end(arguments.list);
    if (size > 0) {
        buffer[output.length < size ? output.length : size - 1] = '\0';
    }
    return output.length;
}

size_t format_text(char *buffer, size_t size, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    size_t length = format_text_va(buffer, size, format, list);
    va_end(list);
    return length;
}
