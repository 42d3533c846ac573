// SPDX-License-Identifier: MIT
/* Reading and writing DHCP messages; see dhcp_message.h. Invariant: every option is compared with
 * the end of its area before it is read. Pure. */
#include "net/dhcp_message.h"

#include "kernel/string.h"
#include "net/wire.h"

#include <stdbool.h>

/* The fixed part: RFC 2131, section 2, "Protocol Summary". */
#define AT_OPERATION     0
#define AT_HARDWARE_TYPE 1
#define AT_MAC_LENGTH    2
#define AT_TRANSACTION   4
#define AT_SECONDS       8
#define AT_FLAGS         10
#define AT_OWN_ADDRESS   12
#define AT_YOUR_ADDRESS  16
#define AT_MAC           28
#define AT_SERVER_NAME   44
#define AT_FILE          108
#define AT_COOKIE        236
#define AT_OPTIONS       240

#define OPERATION_REQUEST 1
#define OPERATION_REPLY   2
#define HARDWARE_ETHERNET 1
#define FLAG_BROADCAST    0x8000
#define COOKIE            0x63825363u

#define OPTION_PAD        0
#define OPTION_MASK       1
#define OPTION_ROUTER     3
#define OPTION_WANTED     50
#define OPTION_LEASE      51
#define OPTION_OVERLOAD   52
#define OPTION_TYPE       53
#define OPTION_SERVER     54
#define OPTION_PARAMETERS 55
#define OPTION_RENEW      58
#define OPTION_REBIND     59
#define OPTION_END        255

#define OVERLOAD_FILE 1 /* the field `file` holds options too */
#define OVERLOAD_NAME 2

struct option_sink {
    struct dhcp_answer *answer;
    uint8_t type, overload;
};

/* Where the four bytes of @option go; NULL: we do not need them. */
static uint32_t *number_of(struct dhcp_answer *answer, uint8_t option)
{
    switch (option) {
    case OPTION_MASK:
        return &answer->mask;
    case OPTION_ROUTER:
        return &answer->router;
    case OPTION_LEASE:
        return &answer->lease_s;
    case OPTION_SERVER:
        return &answer->server;
    case OPTION_RENEW:
        return &answer->renew_s;
    case OPTION_REBIND:
        return &answer->rebind_s;
    default:
        return NULL;
    }
}

/* Takes one option of @length bytes. Returns false if its length cannot be. */
static bool option_take(struct option_sink *sink, uint8_t option, const uint8_t *value,
                        uint8_t length)
{
    uint32_t *number = number_of(sink->answer, option);

    if (number != NULL) {
        /* Of several routers the first is the preferred one (RFC 2132, section 3.5). */
        if (option == OPTION_ROUTER ? length < 4 || length % 4 != 0 : length != 4) {
            return false;
        }
        *number = wire_get32(value);
    } else if (option == OPTION_TYPE || option == OPTION_OVERLOAD) {
        if (length != 1) {
            return false;
        }
        *(option == OPTION_TYPE ? &sink->type : &sink->overload) = *value;
    }
    return true;
}

/* Takes the options in [@at, @end), up to OPTION_END, which may be missing. Returns false if one
 * does not fit. */
static bool options_take(struct option_sink *sink, const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at != OPTION_END) {
        if (*at == OPTION_PAD) {
            at++;
            continue;
        }
        if (end - at < 2 || end - at - 2 < at[1] || !option_take(sink, at[0], at + 2, at[1])) {
            return false;
        }
        at += 2 + at[1];
    }
    return true;
}

/* The options proper, then the fields that they say hold options too (RFC 2131, section 4.1). */
static bool all_options_take(struct option_sink *sink, const uint8_t *bytes, size_t length)
{
    if (!options_take(sink, bytes + AT_OPTIONS, bytes + length)) {
        return false;
    }
    if ((sink->overload & OVERLOAD_FILE) != 0 &&
        !options_take(sink, bytes + AT_FILE, bytes + AT_COOKIE)) {
        return false;
    }
    return (sink->overload & OVERLOAD_NAME) == 0 ||
           options_take(sink, bytes + AT_SERVER_NAME, bytes + AT_FILE);
}

static const char *fixed_part_fault(const uint8_t *bytes, size_t length,
                                    const uint8_t mac[DHCP_MAC_BYTES])
{
    if (length < AT_OPTIONS) {
        return "shorter than its fixed part";
    }
    if (bytes[AT_OPERATION] != OPERATION_REPLY) {
        return "not an answer";
    }
    if (bytes[AT_HARDWARE_TYPE] != HARDWARE_ETHERNET || bytes[AT_MAC_LENGTH] != DHCP_MAC_BYTES ||
        memcmp(bytes + AT_MAC, mac, DHCP_MAC_BYTES) != 0) {
        return "for another station";
    }
    return wire_get32(bytes + AT_COOKIE) == COOKIE ? NULL : "BOOTP, not DHCP";
}

const char *dhcp_answer_read(const uint8_t *bytes, size_t length, const uint8_t mac[DHCP_MAC_BYTES],
                             struct dhcp_answer *answer)
{
    struct option_sink sink = {.answer = answer};
    const char *fault = fixed_part_fault(bytes, length, mac);

    *answer = (struct dhcp_answer){0};
    if (fault != NULL) {
        return fault;
    }
    if (!all_options_take(&sink, bytes, length)) {
        return "an option of an impossible length";
    }
    if (sink.type != DHCP_OFFER && sink.type != DHCP_ACK && sink.type != DHCP_NAK) {
        return "neither offer, acknowledgement nor refusal";
    }
    answer->type = (enum dhcp_type)sink.type;
    answer->transaction = wire_get32(bytes + AT_TRANSACTION);
    answer->address = wire_get32(bytes + AT_YOUR_ADDRESS);
    return NULL;
}

/* Appends an option of four bytes, unless it is 0. Returns the end. */
static uint8_t *number_put(uint8_t *at, uint8_t option, uint32_t number)
{
    if (number == 0) {
        return at;
    }
    at[0] = option;
    at[1] = 4;
    wire_put32(at + 2, number);
    return at + 6;
}

void dhcp_question_write(uint8_t *bytes, const struct dhcp_question *question,
                         const uint8_t mac[DHCP_MAC_BYTES])
{
    static const uint8_t parameters[] = {OPTION_PARAMETERS, 3, OPTION_MASK, OPTION_ROUTER,
                                         OPTION_LEASE};
    uint8_t *at = bytes + AT_OPTIONS;

    memset(bytes, 0, DHCP_QUESTION_BYTES);
    bytes[AT_OPERATION] = OPERATION_REQUEST;
    bytes[AT_HARDWARE_TYPE] = HARDWARE_ETHERNET;
    bytes[AT_MAC_LENGTH] = DHCP_MAC_BYTES;
    wire_put32(bytes + AT_TRANSACTION, question->transaction);
    wire_put16(bytes + AT_SECONDS, question->seconds);
    wire_put16(bytes + AT_FLAGS, question->own_address == 0 ? FLAG_BROADCAST : 0);
    wire_put32(bytes + AT_OWN_ADDRESS, question->own_address);
    memcpy(bytes + AT_MAC, mac, DHCP_MAC_BYTES);
    wire_put32(bytes + AT_COOKIE, COOKIE);
    *at++ = OPTION_TYPE;
    *at++ = 1;
    *at++ = (uint8_t)question->type;
    at = number_put(at, OPTION_WANTED, question->wanted_address);
    at = number_put(at, OPTION_SERVER, question->server);
    memcpy(at, parameters, sizeof(parameters));
    at[sizeof(parameters)] = OPTION_END;
}
