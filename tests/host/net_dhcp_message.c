// SPDX-License-Identifier: MIT
/* Tests of net/dhcp_message.c: messages are made here byte by byte, from the RFC's tables and not
 * with the code under test; each stands at the end of its own block of memory, so that the address
 * sanitizer sees a byte read too far. */
#include "tests/host/host_test.h"

#include <stdlib.h>
#include <string.h>

#include "net/dhcp_message.h"

static const uint8_t mac[DHCP_MAC_BYTES] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

struct message {
    uint8_t bytes[600];
    size_t length;
};

static void put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static void add(struct message *message, const void *bytes, size_t length)
{
    memcpy(message->bytes + message->length, bytes, length);
    message->length += length;
}

/* The fixed part and the type; options are added behind. */
static struct message answer_begin(uint8_t type)
{
    struct message message = {.length = 240};
    uint8_t option[] = {53, 1, type};

    message.bytes[0] = 2;
    message.bytes[1] = 1;
    message.bytes[2] = 6;
    put32(message.bytes + 4, 0x12345678);
    put32(message.bytes + 16, 0x0a00020f);
    memcpy(message.bytes + 28, mac, sizeof(mac));
    put32(message.bytes + 236, 0x63825363);
    add(&message, option, sizeof(option));
    return message;
}

static const char *read_at_the_end_of_a_block(const uint8_t *bytes, size_t length,
                                              struct dhcp_answer *answer)
{
    uint8_t *block = malloc(length > 0 ? length : 1);
    const char *fault;

    memcpy(block, bytes, length);
    fault = dhcp_answer_read(block, length, mac, answer);
    free(block);
    return fault;
}

static const char *fault_of(const struct message *message)
{
    struct dhcp_answer answer;

    return read_at_the_end_of_a_block(message->bytes, message->length, &answer);
}

static struct message whole_offer(void)
{
    static const uint8_t options[] = {
        0,  0,                                    /* pads */
        1,  4, 255, 255, 255,  0,                 /* mask */
        3,  8, 10,  0,   2,    2,    10, 0, 2, 3, /* routers */
        12, 3, 'a', 'b', 'c',                     /* host name: not for us */
        51, 4, 0,   1,   0x51, 0x80,              /* lease: 86400 */
        54, 4, 10,  0,   2,    1,                 /* server */
        58, 4, 0,   0,   0,    100,  59, 4, 0, 0, 0, 200, 255, 1, 4,
    };
    struct message message = answer_begin(DHCP_OFFER);

    add(&message, options, sizeof(options));
    return message;
}

static void an_offer_is_read_whole(void **state)
{
    struct message message = whole_offer();
    struct dhcp_answer answer;

    (void)state;
    assert_null(read_at_the_end_of_a_block(message.bytes, message.length, &answer));
    assert_int_equal(answer.type, DHCP_OFFER);
    assert_int_equal(answer.transaction, 0x12345678);
    assert_int_equal(answer.address, 0x0a00020f);
    assert_int_equal(answer.mask, 0xffffff00);
    assert_int_equal(answer.router, 0x0a000202);
    assert_int_equal(answer.server, 0x0a000201);
    assert_int_equal(answer.lease_s, 86400);
    assert_int_equal(answer.renew_s, 100);
    assert_int_equal(answer.rebind_s, 200);
}

/* Every length up to the whole: refused, or as if the options behind were not there. */
static void a_message_cut_anywhere_is_never_read_beyond(void **state)
{
    struct message message = whole_offer();
    unsigned refused = 0;

    (void)state;
    for (size_t length = 0; length <= message.length; length++) {
        struct dhcp_answer answer;
        const char *fault = read_at_the_end_of_a_block(message.bytes, length, &answer);

        refused += fault != NULL;
        assert_true(length >= 243 || fault != NULL);
        assert_true(fault == NULL || answer.type == 0);
    }
    assert_true(refused > 243 + 20);
}

static void options_of_a_wrong_length_are_refused(void **state)
{
    static const uint8_t wrong[][12] = {
        /* length, then the option */
        {5, 1, 3, 255, 255, 255},
        {7, 1, 5, 255, 255, 255, 0, 0},
        {2, 3, 0},
        {5, 3, 3, 10, 0, 2},
        {8, 3, 6, 10, 0, 2, 2, 10, 0},
        {3, 51, 1, 9},
        {2, 54, 0},
        {4, 58, 2, 0, 1},
        {4, 59, 2, 0, 1},
        {4, 53, 2, 2, 2},
        {2, 52, 0},
        {3, 12, 200, 1},
        {1, 12},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct message message = answer_begin(DHCP_ACK);

        add(&message, wrong[i] + 1, wrong[i][0]);
        assert_string_equal(fault_of(&message), "an option of an impossible length");
    }
}

static void the_fixed_part_is_checked(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        const char *fault;
    } rows[] = {
        {0, 1, "not an answer"},
        {1, 6, "for another station"},
        {2, 16, "for another station"},
        {33, 0x57, "for another station"},
        {236, 0, "BOOTP, not DHCP"},
        {242, 1, "neither offer, acknowledgement nor refusal"},
        {242, 8, "neither offer, acknowledgement nor refusal"},
        {240, 12, "neither offer, acknowledgement nor refusal"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct message message = answer_begin(DHCP_ACK);

        assert_null(fault_of(&message));
        message.bytes[rows[i].at] = rows[i].value;
        assert_string_equal(fault_of(&message), rows[i].fault);
    }
}

/* RFC 2131, section 4.1: the fields `file` and `sname` may hold options. */
static void overloaded_fields_are_read_when_they_are_said_to_be(void **state)
{
    static const uint8_t mask[] = {1, 4, 255, 255, 0, 0, 255}, lease[] = {51, 4, 0, 0, 0, 7, 255};

    (void)state;
    for (uint8_t overload = 0; overload <= 3; overload++) {
        struct message message = answer_begin(DHCP_ACK);
        const uint8_t option[] = {52, 1, overload};
        struct dhcp_answer answer;

        memcpy(message.bytes + 108, mask, sizeof(mask));
        memcpy(message.bytes + 44, lease, sizeof(lease));
        add(&message, option, sizeof(option));
        assert_null(read_at_the_end_of_a_block(message.bytes, message.length, &answer));
        assert_int_equal(answer.mask, (overload & 1) != 0 ? 0xffff0000 : 0);
        assert_int_equal(answer.lease_s, (overload & 2) != 0 ? 7 : 0);
    }
}

/* An option that runs over the end of `sname` into `file` is refused, not read on. */
static void an_overloaded_option_ends_in_its_field(void **state)
{
    struct message message = answer_begin(DHCP_ACK);
    const uint8_t option[] = {52, 1, 2};

    (void)state;
    message.bytes[44 + 60] = 51;
    message.bytes[44 + 61] = 4;
    add(&message, option, sizeof(option));
    assert_string_equal(fault_of(&message), "an option of an impossible length");
}

/* Random bytes behind a right fixed part; what the sanitizers make of it is the test. */
static void random_options_are_read_safely(void **state)
{
    unsigned good = 0;

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 100000; round++) {
        struct message message = answer_begin(DHCP_ACK);
        unsigned count = (unsigned)rand() % 40;

        for (unsigned i = 0; i < count; i++) {
            message.bytes[message.length++] = (uint8_t)(rand() % 2 != 0   ? rand() % 8
                                                        : rand() % 2 != 0 ? 50 + rand() % 10
                                                                          : rand());
        }
        for (unsigned i = 44; i < 236; i++) {
            message.bytes[i] = (uint8_t)(rand() % 64);
        }
        good += fault_of(&message) == NULL;
    }
    assert_true(good > 1000 && good < 99000);
}

static void questions_are_as_the_rfc_says(void **state)
{
    static const uint8_t discover_options[] = {53, 1, 1, 55, 3, 1, 3, 51, 255};
    static const uint8_t request_options[] = {53, 1, 3, 50, 4,  10, 0, 2, 15, 54, 4,
                                              10, 0, 2, 1,  55, 3,  1, 3, 51, 255};
    struct dhcp_question question = {
        .type = DHCP_DISCOVER, .transaction = 0xa1b2c3d4, .seconds = 0x0102};
    uint8_t bytes[DHCP_QUESTION_BYTES + 1], expected[DHCP_QUESTION_BYTES] = {1, 1, 6};

    (void)state;
    memset(bytes, 0xee, sizeof(bytes));
    put32(expected + 4, 0xa1b2c3d4);
    put32(expected + 8, 0x01028000); /* seconds; answer by broadcast */
    memcpy(expected + 28, mac, sizeof(mac));
    put32(expected + 236, 0x63825363);
    memcpy(expected + 240, discover_options, sizeof(discover_options));
    dhcp_question_write(bytes, &question, mac);
    assert_memory_equal(bytes, expected, sizeof(expected));
    assert_int_equal(bytes[DHCP_QUESTION_BYTES], 0xee);

    question = (struct dhcp_question){.type = DHCP_REQUEST,
                                      .transaction = 0xa1b2c3d4,
                                      .seconds = 0x0102,
                                      .wanted_address = 0x0a00020f,
                                      .server = 0x0a000201};
    memcpy(expected + 240, request_options, sizeof(request_options));
    dhcp_question_write(bytes, &question, mac);
    assert_memory_equal(bytes, expected, sizeof(expected));

    question = (struct dhcp_question){.type = DHCP_REQUEST,
                                      .transaction = 0xa1b2c3d4,
                                      .seconds = 0x0102,
                                      .own_address = 0x0a00020f};
    memset(expected + 240, 0, sizeof(expected) - 240);
    put32(expected + 8, 0x01020000);
    put32(expected + 12, 0x0a00020f);
    memcpy(expected + 240, discover_options, sizeof(discover_options));
    expected[242] = 3;
    dhcp_question_write(bytes, &question, mac);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(an_offer_is_read_whole),
    cmocka_unit_test(a_message_cut_anywhere_is_never_read_beyond),
    cmocka_unit_test(options_of_a_wrong_length_are_refused),
    cmocka_unit_test(the_fixed_part_is_checked),
    cmocka_unit_test(overloaded_fields_are_read_when_they_are_said_to_be),
    cmocka_unit_test(an_overloaded_option_ends_in_its_field),
    cmocka_unit_test(random_options_are_read_safely),
    cmocka_unit_test(questions_are_as_the_rfc_says),
};

HOST_TEST_MAIN(tests, NULL)
