// SPDX-License-Identifier: MIT
/* Tests of the e1000 and e1000e drivers, whole and unchanged, on a card whose registers react and
 * lie: when it is found, when it is reset.
 *
 * Would detect: a wait for the card without an end; an address that cannot be one; memory, packets,
 * interrupts or the bus left behind by a card that is not taken; memory freed that the card may
 * still write to; a failed reset that loses packets or that no later one mends. */
#include "tests/host/fake_nic_kernel.h"
#include "tests/host/fake_pci.h"
#include "tests/host/fake_registers.h"
#include "tests/host/host_test.h"

#include <string.h>

#include "drivers/e1000_card.h"
#include "drivers/nics.h"
#include "drivers/pci_registers.h"

#define CARD_ADDRESS 0xfeb80000u
#define STUCK        E1000_STATUS_MASTER_ENABLE

/* The card, by "Software Reset", "EEPROM Read Register", "Receive Address Low/High". */
static struct {
    struct fake_function *function;
    uint16_t eeprom[3];
    bool has_loaded; /* its address from its EEPROM */
    bool reset_hangs, is_gone, is_busy, eeprom_hangs, link_is_down;
    unsigned resets, eeprom_reads, cause_reads;
} card;
static uint8_t *registers;
static const struct pci_driver *const drivers[] = {&e1000_driver, &e1000e_driver, NULL};

static uint32_t *at(uint32_t offset)
{
    return (uint32_t *)(registers + offset);
}

static bool is_82574(void)
{
    return card.function->config.words[PCI_ID / 2] == 0x10d3;
}

static void say(uint32_t offset)
{
    if (card.is_gone) {
        *at(offset) = UINT32_MAX;
    }
    if (offset == E1000_STATUS && !card.is_gone) {
        *at(offset) = (card.link_is_down ? 0 : E1000_STATUS_LINK_UP) | (card.is_busy ? STUCK : 0);
    }
    if (offset == E1000_ICR) {
        card.cause_reads++;
        *at(offset) = E1000_CAUSE_LINK;
    }
}

static void come_out_of_reset(void)
{
    card.resets++;
    *at(E1000_CTRL) &= ~E1000_CTRL_RESET;
    *at(E1000_RCTL) = *at(E1000_TCTL) = 0;
    *at(E1000_RAL) = *at(E1000_RAH) = 0x0202; /* not valid */
    if (card.has_loaded) {
        *at(E1000_RAL) = card.eeprom[0] | (uint32_t)card.eeprom[1] << 16;
        *at(E1000_RAH) = card.eeprom[2] | E1000_RAH_VALID;
    }
}

static void read_eeprom(uint32_t asked)
{
    unsigned word = asked >> (is_82574() ? 2 : 8) & 3;

    card.eeprom_reads++;
    *at(E1000_EERD) = (uint32_t)card.eeprom[word % 3] << 16 | (is_82574() ? 1u << 1 : 1u << 4);
}

static void hear(uint32_t offset)
{
    if (offset == E1000_CTRL && (*at(offset) & E1000_CTRL_RESET) != 0 && !card.reset_hangs) {
        come_out_of_reset();
    }
    if (offset == E1000_EERD && (*at(offset) & E1000_EERD_START) != 0 && !card.eeprom_hangs) {
        read_eeprom(*at(offset));
    }
}

static bool is_bus_master(void)
{
    return (card.function->config.words[PCI_COMMAND / 2] & PCI_COMMAND_MASTER) != 0;
}

static bool transfers(void)
{
    return is_bus_master() && (*at(E1000_RCTL) & E1000_RCTL_ENABLE) != 0;
}

static bool uses(uint64_t physical, uint64_t bytes)
{
    uint64_t ring = *at(E1000_RDBAL(0)) | (uint64_t)*at(E1000_RDBAH(0)) << 32;

    return transfers() && ring >= physical && ring < physical + bytes;
}

static int start(void **state)
{
    (void)state;
    fake_pci_reset();
    fake_nic_kernel_start();
    fake_nic_is_used_by_device = uses;
    memset(&card, 0, sizeof(card));
    card.has_loaded = true;
    card.eeprom[0] = 0x5452;
    card.eeprom[1] = 0x3412;
    card.eeprom[2] = 0x7856;
    card.function = fake_pci_add(0, 4, 0, PCI_HEADER_DEVICE);
    card.function->config.words[PCI_VENDOR / 2] = 0x8086;
    card.function->config.words[PCI_ID / 2] = 0x100e;
    card.function->config.longs[PCI_BAR0 / 4] = CARD_ADDRESS;
    card.function->bar_writable[0] = ~(E1000_REGISTER_BYTES - 1u);
    fake_memory = fake_registers_make(E1000_REGISTER_BYTES, say, hear, &registers);
    fake_memory_address = CARD_ADDRESS;
    return 0;
}

static int start_82574(void **state)
{
    start(state);
    card.function->config.words[PCI_ID / 2] = 0x10d3;
    return 0;
}

static int end(void **state)
{
    (void)state;
    fake_nic_kernel_end();
    fake_registers_end();
    return 0;
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

static void assert_nothing_is_left(void)
{
    uint16_t command = card.function->config.words[PCI_COMMAND / 2];

    assert_null(fake_nic_device);
    assert_int_equal(fake_nic_memory, 0);
    assert_false(fake_nic_freed_under_device);
    assert_false(fake_nic_freed_under_handlers);
    assert_false(fake_nic_interrupts_chosen);
    assert_int_equal(command & (PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY), 0);
}

struct lie {
    void (*tell)(void);
    const char *log;
};

static void refused(void **state)
{
    const struct lie *lie = *state;

    lie->tell();
    assert_int_equal(attach(), 0);
    assert_log(lie->log);
    assert_log("00:04.0");
    assert_nothing_is_left();
}

#define LIE(name, code, text)                                                                      \
    static void tell_##name(void)                                                                  \
    {                                                                                              \
        code;                                                                                      \
    }                                                                                              \
    static struct lie name = {tell_##name, text};

static void set_address(uint16_t word)
{
    card.eeprom[0] = card.eeprom[1] = card.eeprom[2] = word;
}

LIE(no_bar, card.function->bar_writable[0] = 0, "BAR 0")
LIE(small_bar, card.function->bar_writable[0] = ~0xffffu, "BAR 0 is too small")
LIE(reset_without_end, card.reset_hangs = true, "after 100 ms, bits 4000000 were to be 0")
LIE(card_gone, card.is_gone = true, "is ffffffff after 100 ms")
LIE(transfers_without_end, card.is_busy = true, "register 8 is 80002 after 100 ms")
LIE(address_of_zeros, set_address(0), "neither the registers nor the EEPROM hold")
LIE(address_of_ones, set_address(0xffff), "neither the registers nor the EEPROM hold")
LIE(address_of_a_group, card.eeprom[0] |= 1, "neither the registers nor the EEPROM hold")
LIE(eeprom_without_end, card.has_loaded = false;
    card.eeprom_hangs = true, "register 14 is 1 after 10 ms")

static void assert_alive(void)
{
    assert_true(transfers());
    assert_int_equal(*at(E1000_IMC), E1000_CAUSES_ALL);
    assert_int_equal(fake_nic_packets_lost(), 0);
    for (unsigned i = 0; i < fake_nic_device->queue_count; i++) {
        assert_true(fake_nic_device->operations->receive_ring_count(fake_nic_device, i) >=
                    E1000_RECEIVE_SLOTS - 1);
    }
}

static void honest_card_attaches(void **state)
{
    static const uint8_t mac[] = {0x52, 0x54, 0x12, 0x34, 0x56, 0x78};

    (void)state;
    assert_int_equal(attach(), 1);
    assert_alive();
    assert_memory_equal(fake_nic_device->mac, mac, sizeof(mac));
    assert_int_equal(card.eeprom_reads, 0);
    assert_int_equal(card.resets, 1);
    assert_int_equal(fake_nic_device->queue_count, is_82574() ? 2 : 1);
}

static void address_not_loaded_is_read_from_the_eeprom(void **state)
{
    static const uint8_t mac[] = {0x52, 0x54, 0x12, 0x34, 0x56, 0x78};

    (void)state;
    card.has_loaded = false;
    assert_int_equal(attach(), 1);
    assert_memory_equal(fake_nic_device->mac, mac, sizeof(mac));
    assert_int_equal(card.eeprom_reads, 3);
    assert_int_equal(*at(E1000_RAL), 0x34125452); /* the card is told */
    assert_int_equal(*at(E1000_RAH), 0x7856u | E1000_RAH_VALID);
}

static void short_of_memory_nothing_is_kept(void **state)
{
    unsigned refused_at = 1;

    fake_nic_memory_refused = refused_at;
    while (attach() == 0) {
        assert_log("no memory");
        assert_nothing_is_left();
        end(state);
        start(state);
        fake_nic_memory_refused = ++refused_at;
        assert_true(refused_at < 100);
    }
    assert_true(refused_at > 3); /* card, pool, rings */
}

/* Queues and link want three vectors; two are enough for a single queue, one for none. */
static void few_vectors_cost_queues_and_not_the_card(void **state)
{
    static const struct {
        unsigned vectors, queues;
        bool is_polled_by_clock;
    } rows[] = {{3, 2, false}, {2, 1, false}, {1, 1, true}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fake_nic_vectors = rows[i].vectors;
        fake_nic_interrupt_kind = PCI_INTERRUPT_MSIX;
        assert_int_equal(attach(), 1);
        assert_int_equal(fake_nic_device->queue_count, rows[i].queues);
        assert_int_equal(fake_nic_device->is_polled_by_clock, rows[i].is_polled_by_clock);
        assert_int_equal(fake_nic_interrupts_chosen, !rows[i].is_polled_by_clock);
        end(state);
        start_82574(state);
    }
}

static void not_registered_is_undone(void **state)
{
    (void)state;
    fake_nic_register_fails = true;
    assert_int_equal(attach(), 0);
    assert_nothing_is_left();
    assert_int_equal(*at(E1000_RCTL) & E1000_RCTL_ENABLE, 0);
}

static bool reset(void)
{
    return fake_nic_device->operations->reset(fake_nic_device);
}

/* An interrupt by each vector; whether one was the card's, which says that its link has changed. */
static bool interrupt_all(void)
{
    bool was_its = false;

    for (unsigned i = 0; i < (is_82574() ? 3 : 1); i++) {
        was_its |= fake_nic_interrupt(i);
    }
    return was_its;
}

static void handlers_keep_off_a_card_in_its_reset(void **state)
{
    (void)state;
    assert_int_equal(attach(), 1);
    card.link_is_down = true;
    assert_true(interrupt_all());
    assert_false(fake_nic_device->link_is_up);
    card.cause_reads = 0;
    assert_true(reset());
    assert_int_equal(fake_nic_handler_waits, 1); /* in which an interrupt came */
    assert_int_equal(card.cause_reads, 1);       /* not by a handler */
    card.link_is_down = false;
    assert_true(interrupt_all());
    assert_true(fake_nic_device->link_is_up);
}

/* What may still write to memory keeps its packets; no handler touches it. */
static void assert_dead(void)
{
    unsigned cause_reads = card.cause_reads;

    interrupt_all();
    assert_int_equal(card.cause_reads, cause_reads);
    assert_int_equal(fake_nic_packets_lost(), 0);
    if (transfers()) {
        assert_true(fake_nic_device->operations->receive_ring_count(fake_nic_device, 0) > 0);
    }
}

static void reset_fails_then_works(void **state)
{
    const struct lie *lie = *state;

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
    card.reset_hangs = card.is_busy = card.is_gone = false;
    *at(E1000_CTRL) = 0;
    assert_true(reset());
    assert_alive();
}

static void reset_while_packets_are_held_keeps_count(void **state)
{
    static struct packet *held[16384];
    unsigned count;

    (void)state;
    assert_int_equal(attach(), 1);
    count = packet_allocate_many(fake_nic_device->pool, held, ARRAY_COUNT(held));
    assert_true(reset());
    assert_int_equal(fake_nic_packets_lost(), (int)count);
    packet_free_many(held, count);
    assert_true(reset());
    assert_alive();
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
#define CASE_82574(name)                                                                           \
    {                                                                                              \
#name "_82574", name, start_82574, end, NULL                                               \
    }
#define LIE_82574(name)                                                                            \
    {                                                                                              \
        "refused_" #name "_82574", refused, start_82574, end, &name                                \
    }
#define RESET_82574(name)                                                                          \
    {                                                                                              \
        "reset_fails_" #name "_82574", reset_fails_then_works, start_82574, end, &name             \
    }

static const struct CMUnitTest tests[] = {
    CASE(honest_card_attaches),
    CASE(address_not_loaded_is_read_from_the_eeprom),
    CASE(short_of_memory_nothing_is_kept),
    CASE(not_registered_is_undone),
    CASE(handlers_keep_off_a_card_in_its_reset),
    CASE(reset_while_packets_are_held_keeps_count),
    LIE_CASE(no_bar),
    LIE_CASE(small_bar),
    LIE_CASE(reset_without_end),
    LIE_CASE(card_gone),
    LIE_CASE(address_of_zeros),
    LIE_CASE(address_of_ones),
    LIE_CASE(address_of_a_group),
    LIE_CASE(eeprom_without_end),
    RESET_CASE(reset_without_end),
    RESET_CASE(card_gone),
    CASE_82574(honest_card_attaches),
    CASE_82574(address_not_loaded_is_read_from_the_eeprom),
    CASE_82574(handlers_keep_off_a_card_in_its_reset),
    CASE_82574(not_registered_is_undone),
    CASE_82574(few_vectors_cost_queues_and_not_the_card),
    LIE_82574(reset_without_end),
    LIE_82574(card_gone),
    LIE_82574(transfers_without_end),
    LIE_82574(address_of_zeros),
    LIE_82574(eeprom_without_end),
    RESET_82574(reset_without_end),
    RESET_82574(card_gone),
    RESET_82574(transfers_without_end),
};

HOST_TEST_MAIN(tests, NULL)
