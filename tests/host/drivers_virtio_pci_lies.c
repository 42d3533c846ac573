// SPDX-License-Identifier: MIT
/* Tests of drivers/virtio_pci.c and virtio_net.c, whole and unchanged, on a card that lies: in its
 * capabilities, in its registers, when it is reset.
 *
 * Would detect: a lie that is believed, is refused without its name, or leaves memory, packets,
 * interrupts or the bus behind; a register touched outside of its structure; a wait without an end;
 * a failed reset that loses packets or that no later one mends. */
#include "tests/host/fake_nic_kernel.h"
#include "tests/host/fake_registers.h"
#include "tests/host/fake_virtio_card.h"
#include "tests/host/host_test.h"

#include <string.h>

#include "drivers/nics.h"
#include "drivers/pci_registers.h"
#include "drivers/virtio_net.h"

#define MEMORY_REQUESTS                                                                            \
    12 /* the card, two for each of 4 x 2 + 1 queues, the pool: more than these */
#define RUNNING 0x0fu

static const struct pci_driver *const drivers[] = {&virtio_net_driver, NULL};

static int start(void **state)
{
    (void)state;
    fake_virtio_card_start();
    fake_nic_kernel_start();
    fake_nic_is_used_by_device = fake_virtio_card_uses;
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_nic_kernel_end();
    fake_virtio_card_end();
    return card.strays == 0 ? 0 : -1;
}

static unsigned attach(void)
{
    fake_registers_listen();
    pci_initialize();
    return pci_attach_drivers(drivers);
}

static void assert_log(const char *text)
{
    if (strstr(fake_log, text) == NULL) {
        fail_msg("\"%s\" is not in the log:\n%s", text, fake_log);
    }
}

static void set_capability(unsigned at, unsigned field, uint32_t value)
{
    card.function->config.longs[(at + field) / 4] = value;
}

static void set_bar(unsigned at, uint8_t bar)
{
    card.function->config.bytes[at + CAP_BAR] = bar;
}

/* The lies, each told to a driver that attaches; what the log must say of it. */
struct lie {
    void (*tell)(void);
    const char *log;
};

static void assert_nothing_is_left(void)
{
    uint16_t command = card.function->config.words[PCI_COMMAND / 2];

    assert_null(fake_nic_device);
    assert_int_equal(fake_nic_memory, 0);
    assert_false(fake_nic_freed_under_device);
    assert_false(fake_nic_freed_under_handlers);
    assert_false(fake_nic_interrupts_chosen);
    assert_int_equal(command & (PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY), 0);
    assert_int_equal(command & PCI_COMMAND_NO_INTX, PCI_COMMAND_NO_INTX);
}

static void refused(void **state)
{
    const struct lie *lie = *state;

    lie->tell();
    assert_int_equal(attach(), 0);
    assert_log(lie->log);
    assert_log("00:03.0");
    assert_nothing_is_left();
}

#define LIE(name, code, text)                                                                      \
    static void tell_##name(void)                                                                  \
    {                                                                                              \
        code;                                                                                      \
    }                                                                                              \
    static struct lie name = {tell_##name, text};

LIE(no_capabilities, card.function->config.words[PCI_STATUS / 2] = 0, "has no modern registers")
LIE(registers_behind_the_bar, set_capability(CAP_COMMON, CAP_OFFSET, CARD_BYTES - 52),
    "BAR 4 is too small: 0x38 bytes at 0x3fcc")
LIE(registers_that_wrap, set_capability(CAP_COMMON, CAP_LENGTH, 0xffffffff), "BAR 4 is too small")
LIE(registers_too_short, set_capability(CAP_COMMON, CAP_LENGTH, 55),
    "capability 0x40 makes no sense")
LIE(registers_off_a_boundary, set_capability(CAP_COMMON, CAP_OFFSET, 2),
    "capability 0x40 makes no sense")
LIE(registers_in_no_bar, set_bar(CAP_COMMON, 6), "has no modern registers")
LIE(registers_in_an_absent_bar, set_bar(CAP_ISR, 2), "BAR 2 is not there")
LIE(causes_too_short, set_capability(CAP_ISR, CAP_LENGTH, 0), "capability 0x64 makes no sense")
LIE(doorbells_too_short, set_capability(CAP_NOTIFY, CAP_LENGTH, 1),
    "capability 0x50 makes no sense")
LIE(config_behind_the_bar, set_capability(CAP_CONFIG, CAP_OFFSET, CARD_BYTES), "BAR 4 is too small")
LIE(config_too_short, set_capability(CAP_CONFIG, CAP_LENGTH, 9),
    "its own registers end at byte 9, before byte 10")
LIE(no_config, card.function->config.bytes[CAP_CONFIG + CAP_TYPE] = 99,
    "its own registers end at byte 0, before byte 10")
LIE(doorbell_out_of_range, card.queues[1].doorbell = CARD_QUEUES,
    "the doorbell of queue 1 lies at 0x24 of 0x24 bytes")
LIE(doorbell_half_out_of_range, set_capability(CAP_NOTIFY, CAP_LENGTH, 4 * 8 + 1),
    "the doorbell of queue 8 lies at 0x20 of 0x21 bytes")
LIE(multiplier_out_of_range, set_capability(CAP_NOTIFY, CAP_MULTIPLE, 0xfffffffe),
    "the doorbell of queue 1 lies at 0xfffffffe")
LIE(multiplier_that_wraps, card.queues[1].doorbell = 2;
    set_capability(CAP_NOTIFY, CAP_MULTIPLE, 0x80000000),
    "the doorbell of queue 1 lies at 0x100000000")
LIE(multiplier_odd, set_capability(CAP_NOTIFY, CAP_MULTIPLE, 3), "the doorbell of queue 1 lies at")
LIE(reset_without_end, card.status = 1; card.reset_hangs = true, "not reset after a second")
LIE(no_version_1, card.offered &= ~FEATURE_VERSION_1, "does not offer VERSION_1")
LIE(features_not_kept, card.refuses_features = true, "refuses features 0x")
LIE(config_without_rest, card.is_restless = true, "its configuration changes all the time")
LIE(no_pairs, card.max_pairs = 0, "offers 0 queue pairs")
LIE(too_many_pairs, card.max_pairs = 0xffff, "offers 65535 queue pairs")
LIE(fewer_queues_than_pairs, card.queue_count = 3, "has no queue 3, but 3 queues")
LIE(no_control_queue, card.queue_count = 8, "has no queue 8, but 8 queues")
LIE(no_queues, card.queue_count = 0, "has no queue 0")
LIE(queue_of_0, card.queues[0].offered_size = 0, "queue 0 (size 0) has no entries")
LIE(queue_of_3, card.queues[1].offered_size = 3, "queue 1 (size 3) has a number of entries that")
LIE(queue_of_65535, card.queues[8].offered_size = 0xffff,
    "queue 8 (size 65535) has more than 32768")
LIE(queue_that_stays_long, card.queues[2].offered_size = 0x8000;
    card.keeps_sizes = true, "queue 2 (size 32768) cannot be made shorter")
LIE(vectors_refused, card.refuses_vectors = true, "queue 0 refuses vector 1")
LIE(config_vector_refused, card.refuses_config_vector = true, "refuses vector 0 for its config")
LIE(control_queue_silent, card.control_is_silent = true, "the control queue does not answer")
LIE(pairs_refused, card.answer = 1, "refuses 4 queue pairs (answer 1)")

static void honest_card_attaches(void **state)
{
    (void)state;
    card.resets_slowly = true; /* which it may */
    card.status = STATUS_FAILED;
    assert_int_equal(attach(), 1);
    assert_non_null(fake_nic_device);
    assert_int_equal(card.status, RUNNING);
    assert_int_equal(fake_nic_device->queue_count, 4);
    assert_int_equal(fake_nic_device->mac[0], 0x52);
    assert_true(fake_nic_device->link_is_up);
    assert_int_equal(card.requests, 1);
    for (unsigned i = 0; i < CARD_QUEUES; i++) {
        assert_int_equal(card.queues[i].enabled, 1);
        assert_int_equal(card.queues[i].vector, i % 2 == 0 && i < 8 ? 1 + i / 2 : 0xffff);
    }
    assert_int_equal(fake_nic_packets_lost(), 0);
    assert_string_equal(strstr(fake_log, "virtio") == NULL ? "" : fake_log, "");
}

static void short_of_memory_nothing_is_kept(void **state)
{
    unsigned refused_at = 1;

    for (; refused_at < 100; refused_at++) {
        start(state);
        fake_nic_memory_refused = refused_at;
        if (attach() != 0) {
            break;
        }
        assert_log("no memory");
        assert_nothing_is_left();
        assert_int_equal(end(state), 0);
    }
    assert_true(refused_at > MEMORY_REQUESTS && refused_at < 100);
    end(state);
    start(state);
}

static void not_registered_is_undone(void **state)
{
    (void)state;
    fake_nic_register_fails = true;
    assert_int_equal(attach(), 0);
    assert_nothing_is_left();
}

static bool reset(void)
{
    return fake_nic_device->operations->reset(fake_nic_device);
}

static void assert_dead(void)
{
    assert_int_equal(fake_nic_packets_lost(), 0);
    assert_false(fake_virtio_card_is_bus_master() && (card.status & STATUS_DRIVER_OK) != 0);
    card.status |= STATUS_NEEDS_RESET;
    fake_nic_interrupt(0); /* is not passed on */
    assert_null(fake_nic_failure);
}

static void assert_alive(void)
{
    assert_int_equal(card.status, RUNNING);
    assert_true(fake_virtio_card_is_bus_master());
    assert_int_equal(fake_nic_packets_lost(), 0);
    for (unsigned i = 0; i < CARD_QUEUES; i++) {
        assert_int_equal(card.queues[i].enabled, 1);
    }
    for (unsigned i = 0; i < fake_nic_device->queue_count; i++) {
        assert_int_equal(fake_nic_device->operations->receive_ring_count(fake_nic_device, i), 64);
    }
}

/* Attaches honestly, lies in a reset, is honest again in the next. */
static void reset_fails_then_works(void **state)
{
    const struct lie *lie = *state;
    struct fake_virtio_card honest = card;

    assert_int_equal(attach(), 1);
    assert_true(reset());
    assert_alive();
    fake_log[0] = '\0';
    lie->tell();
    assert_false(reset());
    assert_log(lie->log);
    assert_dead();
    assert_false(reset()); /* and once more */
    assert_dead();
    card.reset_hangs = honest.reset_hangs;
    card.refuses_features = honest.refuses_features;
    card.refuses_vectors = honest.refuses_vectors;
    card.control_is_silent = honest.control_is_silent;
    card.queue_count = honest.queue_count;
    card.offered = honest.offered;
    for (unsigned i = 0; i < CARD_QUEUES; i++) {
        card.queues[i].offered_size = honest.queues[i].offered_size;
    }
    assert_true(reset());
    assert_alive();
    assert_null(fake_nic_failure);
}

LIE(reset_hangs, card.reset_hangs = true, "not reset after a second, status 0xf")
LIE(reset_offers_less, card.offered &= ~FEATURE_MAC, "after its reset offers 0x")
LIE(reset_has_fewer_queues, card.queue_count = 8, "has no queue 8, but 8 queues")

static void needs_reset_is_a_failure_by_name(void **state)
{
    (void)state;
    assert_int_equal(attach(), 1);
    assert_true(fake_nic_interrupt(0));
    assert_null(fake_nic_failure);
    card.link = 0;
    assert_true(fake_nic_interrupt(0));
    assert_false(fake_nic_device->link_is_up);
    card.status |= STATUS_NEEDS_RESET;
    assert_true(fake_nic_interrupt(0));
    assert_non_null(fake_nic_failure);
    assert_non_null(strstr(fake_nic_failure, "DEVICE_NEEDS_RESET"));
    fake_nic_failure = NULL;
    assert_true(reset());
    assert_int_equal(fake_nic_handler_waits, 1); /* in which an interrupt came */
    assert_null(fake_nic_failure);
    assert_alive();
}

static void shared_line_of_a_dead_card_is_not_its_own(void **state)
{
    (void)state;
    fake_nic_interrupt_kind = PCI_INTERRUPT_INTX;
    fake_nic_vectors = 1;
    assert_int_equal(attach(), 1);
    card.interrupts = VIRTIO_INTERRUPT_CONFIG;
    card.link = 0;
    assert_true(fake_nic_interrupt(0));
    assert_false(fake_nic_device->link_is_up);
    card.interrupts = 0;
    assert_false(fake_nic_interrupt(0));
    card.reset_hangs = true;
    assert_false(reset());
    assert_int_equal(card.strays, 0);
    card.interrupts = 0xff; /* what is read of nobody */
    assert_false(fake_nic_interrupt(0));
    assert_int_equal(card.strays, 0);
    card.reset_hangs = false;
    assert_true(reset());
    card.interrupts = VIRTIO_INTERRUPT_CONFIG;
    card.link = 1;
    assert_true(fake_nic_interrupt(0));
    assert_true(fake_nic_device->link_is_up);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)
#define LIE_CASE(name)                                                                             \
    {                                                                                              \
        "refused_" #name, refused, start, end, &name                                               \
    }
#define RESET_CASE(name)                                                                           \
    {                                                                                              \
        "reset_fails_" #name, reset_fails_then_works, start, end, &name                            \
    }

static const struct CMUnitTest tests[] = {
    CASE(honest_card_attaches),
    CASE(short_of_memory_nothing_is_kept),
    CASE(not_registered_is_undone),
    CASE(shared_line_of_a_dead_card_is_not_its_own),
    CASE(needs_reset_is_a_failure_by_name),
    LIE_CASE(no_capabilities),
    LIE_CASE(registers_behind_the_bar),
    LIE_CASE(registers_that_wrap),
    LIE_CASE(registers_too_short),
    LIE_CASE(registers_off_a_boundary),
    LIE_CASE(registers_in_no_bar),
    LIE_CASE(registers_in_an_absent_bar),
    LIE_CASE(causes_too_short),
    LIE_CASE(doorbells_too_short),
    LIE_CASE(config_behind_the_bar),
    LIE_CASE(config_too_short),
    LIE_CASE(no_config),
    LIE_CASE(doorbell_out_of_range),
    LIE_CASE(doorbell_half_out_of_range),
    LIE_CASE(multiplier_out_of_range),
    LIE_CASE(multiplier_that_wraps),
    LIE_CASE(multiplier_odd),
    LIE_CASE(reset_without_end),
    LIE_CASE(no_version_1),
    LIE_CASE(features_not_kept),
    LIE_CASE(config_without_rest),
    LIE_CASE(no_pairs),
    LIE_CASE(too_many_pairs),
    LIE_CASE(fewer_queues_than_pairs),
    LIE_CASE(no_control_queue),
    LIE_CASE(no_queues),
    LIE_CASE(queue_of_0),
    LIE_CASE(queue_of_3),
    LIE_CASE(queue_of_65535),
    LIE_CASE(queue_that_stays_long),
    LIE_CASE(vectors_refused),
    LIE_CASE(config_vector_refused),
    LIE_CASE(control_queue_silent),
    LIE_CASE(pairs_refused),
    RESET_CASE(reset_hangs),
    RESET_CASE(reset_offers_less),
    RESET_CASE(reset_has_fewer_queues),
    RESET_CASE(features_not_kept),
    RESET_CASE(queue_of_3),
    RESET_CASE(vectors_refused),
    RESET_CASE(control_queue_silent),
};

HOST_TEST_MAIN(tests, NULL)
