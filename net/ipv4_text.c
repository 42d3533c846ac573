// SPDX-License-Identifier: MIT
/* Addresses as text; see ipv4.h. Invariant: what is read is written exactly one way (four decimal
 * numbers without signs, leading zeroes or blanks), so 010.0.0.1 is refused rather than guessed.
 * Called by the command line and by shell commands. */
#include "kernel/format.h"
#include "net/ipv4.h"

#define PREFIX_MAX 32

void ipv4_format(uint32_t address, char text[IPV4_TEXT_BYTES])
{
    format_text(text, IPV4_TEXT_BYTES, "%u.%u.%u.%u", address >> 24, address >> 16 & 0xff,
                address >> 8 & 0xff, address & 0xff);
}

/* Reads digits up to the first other character, which @text points to behind it. */
static bool number_read(const char **text, unsigned most, unsigned *number)
{
    const char *digit = *text;

    *number = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        *number = *number * 10 + (unsigned)(*digit - '0');
        if (*number > most || (digit > *text && **text == '0')) {
            return false;
        }
    }
    if (digit == *text) {
        return false;
    }
    *text = digit;
    return true;
}

/* Reads four numbers; @text points behind them then. */
static bool address_read(const char **text, uint32_t *address)
{
    unsigned number;

    *address = 0;
    for (unsigned i = 0; i < 4; i++) {
        if ((i > 0 && *(*text)++ != '.') || !number_read(text, 255, &number)) {
            return false;
        }
        *address = *address << 8 | number;
    }
    return true;
}

bool ipv4_read(const char *text, uint32_t *address)
{
    uint32_t value;

    if (!address_read(&text, &value) || *text != '\0') {
        return false;
    }
    *address = value;
    return true;
}

bool ipv4_read_with_prefix(const char *text, uint32_t *address, uint32_t *mask)
{
    uint32_t value;
    unsigned prefix;

    if (!address_read(&text, &value) || *text++ != '/' ||
        !number_read(&text, PREFIX_MAX, &prefix) || *text != '\0') {
        return false;
    }
    *address = value;
    *mask = prefix == 0 ? 0 : UINT32_MAX << (PREFIX_MAX - prefix);
    return true;
}
