// SPDX-License-Identifier: MIT
/* Tests of drivers/pci_interrupts.c and pci_intx.c: which kind is chosen when capabilities lie,
 * what is masked when, and lines that are shared or never silent. Vectors, IOAPIC and the other
 * CPUs are fakes that remember what they were told. */
#include "tests/host/host_test.h"

#include <string.h>

#include "arch/apic.h"
#include "arch/interrupt_vectors.h"
#include "arch/percpu.h"
#include "drivers/pci_registers.h"
#include "kernel/cross_call.h"
#include "kernel/heap.h"
#include "tests/host/fake_pci.h"

#define MSI_AT        0x50
#define MSIX_AT       0x70
#define TABLE_ENTRIES 8
#define ALL_MASKED    0xffu
#define UNCLAIMED_MAX 10000

static struct cpu cpu_near = {.apic_id = 3}, cpu_far = {.apic_id = 0xff};
struct cpu *cpus[CPU_MAX + 1] = {&cpu_near, &cpu_far};

struct msix_line {
    uint32_t address_low, address_high, data, control;
};

static struct msix_line table[TABLE_ENTRIES];
static struct {
    void (*handler)(void *argument);
    void *argument;
} vectors[256];
static unsigned next_vector, vectors_left, cross_calls;
static unsigned line_vector[16];
static uint32_t masked_lines; /* by ioapic_mask(), a bit each */
static bool line_is_refused, memory_is_short;

unsigned interrupt_vector_allocate(void (*handler)(void *argument), void *argument)
{
    if (vectors_left == 0) {
        return 0;
    }
    vectors_left--;
    vectors[next_vector].handler = handler;
    vectors[next_vector].argument = argument;
    return next_vector++;
}

uint64_t interrupt_message_address(unsigned cpu)
{
    return 0x1fee00000ull | (uint64_t)cpus[cpu]->apic_id << 12;
}

uint32_t interrupt_message_data(unsigned vector)
{
    return vector;
}

bool ioapic_route_level(unsigned line, unsigned vector, unsigned cpu)
{
    (void)cpu;
    line_vector[line] = line_is_refused ? 0 : vector;
    return !line_is_refused;
}

void ioapic_mask(unsigned line)
{
    masked_lines |= 1u << line;
}

void interrupt_handlers_wait(void)
{
    cross_calls++;
}

/* What is released is not freed, so all of it stays reachable here. */
void *heap_allocate(size_t bytes)
{
    static _Alignas(16) uint8_t arena[65536];
    static size_t used;
    void *block = arena + used;

    used += (bytes + 15) & ~(size_t)15;
    return memory_is_short || used > sizeof(arena) ? NULL : block;
}

static void raise_vector(unsigned vector)
{
    assert_non_null(vectors[vector].handler);
    vectors[vector].handler(vectors[vector].argument);
}

static struct pci_device *devices[3];
static struct fake_function *functions[3];

/* Three devices, found as in a machine, with nothing but a pin. Lines stay open from one test to
 * the next, as they do in a machine: each test of INTx has lines of its own. */
static int reset(void **state)
{
    (void)state;
    fake_pci_reset();
    for (uint8_t i = 0; i < 3; i++) {
        functions[i] = fake_pci_add(0, (uint8_t)(1 + i), 0, PCI_HEADER_DEVICE);
        functions[i]->config.bytes[PCI_INTERRUPT_PIN] = 1;
    }
    pci_initialize();
    for (unsigned i = 0; i < 3; i++) {
        devices[i] = pci_device_at(i);
    }
    memset(table, 0, sizeof(table));
    fake_log[0] = '\0';
    next_vector = 0x40;
    vectors_left = 100;
    cross_calls = 0;
    masked_lines = 0;
    line_is_refused = memory_is_short = false;
    return 0;
}

static void add_msi(uint16_t control)
{
    fake_pci_add_capability(functions[0], MSI_AT, PCI_CAPABILITY_MSI, 0, true);
    functions[0]->config.words[MSI_AT / 2 + 1] = control;
}

/* A table of 8 lines at offset 0x2000 of BAR 4, in front of MSI. */
static void add_msix(void)
{
    add_msi(0);
    fake_pci_add_capability(functions[0], MSIX_AT, PCI_CAPABILITY_MSIX, MSI_AT, true);
    functions[0]->config.words[MSIX_AT / 2 + 1] = TABLE_ENTRIES - 1;
    functions[0]->config.longs[MSIX_AT / 4 + 1] = 0x2000 | 4;
    devices[0]->bars[4] = (struct pci_bar){.address = 0xe000000000, .size = 0x4000};
    fake_memory = table;
}

static unsigned masked_entries(void)
{
    unsigned masked = 0;

    for (unsigned i = 0; i < TABLE_ENTRIES; i++) {
        masked |= (table[i].control & 1) << i;
    }
    return masked;
}

/* Counts its calls; says that the interrupt was its device's if there is something to do. */
struct listener {
    unsigned calls, work;
};

static bool listen(void *argument)
{
    struct listener *listener = argument;

    listener->calls++;
    if (listener->work == 0) {
        return false;
    }
    listener->work--;
    return true;
}

static void msix_is_masked_until_routed(void **state)
{
    struct listener listener = {0};
    unsigned count;

    (void)state;
    add_msix();
    assert_int_equal(pci_interrupts_choose(devices[0], 3, &count), PCI_INTERRUPT_MSIX);
    assert_int_equal(count, 3);
    assert_int_equal(fake_mapped_address, 0xe000002000);
    assert_int_equal(fake_mapped_size, sizeof(table));
    assert_int_equal(masked_entries(), ALL_MASKED);
    assert_int_equal(functions[0]->config.words[MSIX_AT / 2 + 1], 0x8000 | (TABLE_ENTRIES - 1));
    assert_true(pci_interrupt_route(devices[0], 1, 0, listen, &listener));
    assert_int_equal(masked_entries(), ALL_MASKED & ~2u);
    assert_int_equal(table[1].address_low, 0xfee03000);
    assert_int_equal(table[1].address_high, 1);
    assert_int_equal(table[1].data, 0x40);
    raise_vector(0x40);
    assert_int_equal(listener.calls, 1);
    assert_string_equal(fake_log, "");
}

static void no_more_vectors_than_wanted_nor_than_there_are(void **state)
{
    unsigned count;

    (void)state;
    add_msix();
    assert_int_equal(pci_interrupts_choose(devices[0], 1, &count), PCI_INTERRUPT_MSIX);
    assert_int_equal(count, 1);
    pci_interrupts_release(devices[0]);
    assert_int_equal(pci_interrupts_choose(devices[0], 1000, &count), PCI_INTERRUPT_MSIX);
    assert_int_equal(count, TABLE_ENTRIES);
}

struct lie {
    const char *name;
    uint16_t control;
    uint32_t place;
};

/* The table must not be touched, and the next best kind is used. */
static void a_table_that_is_not_where_it_should_be_is_not_used(void **state)
{
    static const struct lie lies[] = {
        {"too long for the BAR", 0x7ff, 4},        {"behind the BAR", 7, 0x4000 | 4},
        {"far behind the BAR", 7, 0xfffffff8 | 4}, {"reaches out of the BAR", 7, 0x3f88 | 4},
        {"in a BAR that is not there", 7, 1},      {"in no BAR", 7, 7},
        {"all ones", 0xffff, 0xffffffff},
    };

    for (size_t i = 0; i < ARRAY_COUNT(lies); i++) {
        unsigned count;

        reset(state);
        add_msix();
        functions[0]->config.words[MSIX_AT / 2 + 1] = lies[i].control;
        functions[0]->config.longs[MSIX_AT / 4 + 1] = lies[i].place;
        if (pci_interrupts_choose(devices[0], 3, &count) != PCI_INTERRUPT_MSI || count != 1 ||
            fake_mapped_size != 0 || strstr(fake_log, "00:01.0: its MSI-X cannot") == NULL) {
            fail_msg("%s: %u vectors, log: %s", lies[i].name, count, fake_log);
        }
    }
}

static void msi_is_enabled_when_routed(void **state)
{
    struct listener listener = {0};
    unsigned count;

    (void)state;
    add_msi(0x01f1); /* 64-bit, maskable, on, and 128 vectors, as someone has left it */
    assert_int_equal(pci_interrupts_choose(devices[0], 4, &count), PCI_INTERRUPT_MSI);
    assert_int_equal(count, 1);
    assert_int_equal(functions[0]->config.words[MSI_AT / 2 + 1], 0x0180);
    functions[0]->config.longs[MSI_AT / 4 + 4] = 1;
    assert_true(pci_interrupt_route(devices[0], 0, 0, listen, &listener));
    assert_int_equal(functions[0]->config.words[MSI_AT / 2 + 1], 0x0181);
    assert_int_equal(functions[0]->config.longs[MSI_AT / 4 + 1], 0xfee03000);
    assert_int_equal(functions[0]->config.longs[MSI_AT / 4 + 2], 1);
    assert_int_equal(functions[0]->config.words[MSI_AT / 2 + 6], 0x40);
    assert_int_equal(functions[0]->config.longs[MSI_AT / 4 + 4], 0);
    pci_interrupts_release(devices[0]);
    assert_int_equal(functions[0]->config.words[MSI_AT / 2 + 1], 0x0180);
}

static void msi_of_32_bits_has_its_data_elsewhere(void **state)
{
    struct listener listener = {0};
    unsigned count;

    (void)state;
    add_msi(0);
    assert_int_equal(pci_interrupts_choose(devices[0], 1, &count), PCI_INTERRUPT_MSI);
    assert_true(pci_interrupt_route(devices[0], 0, 0, listen, &listener));
    assert_int_equal(functions[0]->config.longs[MSI_AT / 4 + 1], 0xfee03000);
    assert_int_equal(functions[0]->config.words[MSI_AT / 2 + 4], 0x40);
    assert_int_equal(functions[0]->config.words[MSI_AT / 2 + 6], 0);
}

static void a_device_without_anything_has_none(void **state)
{
    unsigned count = 7;

    (void)state;
    devices[0]->interrupt_pin = 0;
    assert_int_equal(pci_interrupts_choose(devices[0], 1, &count), PCI_INTERRUPT_NONE);
    assert_int_equal(count, 0);
    assert_false(pci_interrupt_route(devices[0], 0, 0, listen, NULL));
}

static void what_cannot_be_routed_is_refused(void **state)
{
    unsigned count;

    (void)state;
    assert_false(pci_interrupt_route(devices[0], 0, 0, listen, NULL)); /* nothing chosen */
    add_msix();
    pci_interrupts_choose(devices[0], 3, &count);
    assert_false(pci_interrupt_route(devices[0], 3, 0, listen, NULL));
    assert_non_null(strstr(fake_log, "00:01.0: interrupt 3 is not there"));
    assert_false(pci_interrupt_route(devices[0], 0, 1, listen, NULL));
    assert_non_null(strstr(fake_log, "cannot interrupt CPU 1: its APIC id is 255"));
    assert_true(pci_interrupt_route(devices[0], 0, 0, listen, NULL));
    assert_false(pci_interrupt_route(devices[0], 0, 0, listen, NULL)); /* twice */
    vectors_left = 0;
    assert_false(pci_interrupt_route(devices[0], 1, 0, listen, NULL));
    assert_non_null(strstr(fake_log, "no vector is left for interrupt 1"));
    assert_int_equal(masked_entries(), ALL_MASKED & ~1u);
    assert_int_equal(pci_interrupts_choose(devices[0], 3, &count), PCI_INTERRUPT_NONE);
    assert_int_equal(count, 0);
    memory_is_short = true;
    assert_int_equal(pci_interrupts_choose(devices[1], 3, &count), PCI_INTERRUPT_NONE);
    assert_non_null(strstr(fake_log, "00:02.0: no memory for its interrupts"));
}

/* An interrupt may be on its way while the driver gives up. */
static void a_released_handler_is_not_called(void **state)
{
    struct listener listener = {0};
    unsigned count;

    (void)state;
    add_msix();
    pci_interrupts_choose(devices[0], 3, &count);
    pci_interrupt_route(devices[0], 2, 0, listen, &listener);
    pci_interrupts_release(devices[0]);
    assert_int_equal(cross_calls, 1);
    assert_int_equal(masked_entries(), ALL_MASKED);
    assert_int_equal(functions[0]->config.words[MSIX_AT / 2 + 1] & 0x8000, 0);
    assert_int_equal(functions[0]->config.words[PCI_COMMAND / 2] & PCI_COMMAND_NO_INTX,
                     PCI_COMMAND_NO_INTX);
    raise_vector(0x40);
    assert_int_equal(listener.calls, 0);
    pci_interrupts_release(devices[0]);
    assert_int_equal(cross_calls, 1);
}

static bool route_line(unsigned index, uint8_t line, struct listener *listener)
{
    unsigned count;

    devices[index]->interrupt_line = line;
    assert_int_equal(pci_interrupts_choose(devices[index], 4, &count), PCI_INTERRUPT_INTX);
    assert_int_equal(count, 1);
    return pci_interrupt_route(devices[index], 0, 0, listen, listener);
}

static void a_shared_line_calls_every_handler(void **state)
{
    struct listener listeners[3] = {{0, 1}, {0, 1}, {0, 1}};

    (void)state;
    assert_true(route_line(0, 5, &listeners[0]));
    assert_true(route_line(1, 5, &listeners[1]));
    assert_true(route_line(2, 6, &listeners[2]));
    assert_int_not_equal(line_vector[5], line_vector[6]);
    raise_vector(line_vector[5]);
    assert_int_equal(listeners[0].calls, 1);
    assert_int_equal(listeners[1].calls, 1);
    assert_int_equal(listeners[2].calls, 0);
    pci_interrupts_release(devices[1]);
    raise_vector(line_vector[5]);
    assert_int_equal(listeners[0].calls, 2);
    assert_int_equal(listeners[1].calls, 1);
    assert_string_equal(fake_log, "");
}

/* What release() forbids, routing allows again. */
static void a_released_line_can_be_routed_again(void **state)
{
    struct listener before = {0}, after = {0};

    (void)state;
    assert_true(route_line(0, 10, &before));
    pci_interrupts_release(devices[0]);
    assert_int_equal(functions[0]->config.words[PCI_COMMAND / 2], PCI_COMMAND_NO_INTX);
    assert_true(route_line(0, 10, &after));
    assert_int_equal(functions[0]->config.words[PCI_COMMAND / 2], 0);
    raise_vector(line_vector[10]);
    assert_int_equal(before.calls, 0);
    assert_int_equal(after.calls, 1);
}

static void a_line_that_is_not_there_is_refused(void **state)
{
    struct listener listener = {0};

    (void)state;
    assert_false(route_line(0, 0xff, &listener));
    assert_non_null(strstr(fake_log, "00:01.0: the firmware has wired INTx to no line (255)"));
    assert_false(route_line(1, 16, &listener));
    line_is_refused = true;
    assert_false(route_line(2, 4, &listener));
    line_is_refused = false;
    assert_true(pci_interrupt_route(devices[2], 0, 0, listen, &listener)); /* it may come back */
    raise_vector(line_vector[4]);
    assert_int_equal(listener.calls, 1);
}

static void raise_many(unsigned line, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        raise_vector(line_vector[line]);
    }
}

/* The one that asserts the line is silenced; the others keep it. */
static void a_line_without_an_end_silences_who_asserts_it(void **state)
{
    struct listener listeners[2] = {{0, 1}, {0, 0}};

    (void)state;
    route_line(0, 7, &listeners[0]);
    route_line(1, 7, &listeners[1]);
    devices[2]->interrupt_line = 7; /* no driver */
    functions[2]->config.words[PCI_STATUS / 2] |= PCI_STATUS_INTERRUPT;
    raise_many(7, UNCLAIMED_MAX); /* the first is claimed */
    assert_string_equal(fake_log, "");
    raise_many(7, 1);
    assert_non_null(strstr(fake_log, "00:03.0 interrupts line 7 without an end"));
    assert_int_equal(functions[2]->config.words[PCI_COMMAND / 2], PCI_COMMAND_NO_INTX);
    assert_int_equal(functions[0]->config.words[PCI_COMMAND / 2], 0);
    assert_int_equal(masked_lines, 0);
}

static void a_line_that_nobody_asserts_is_masked(void **state)
{
    struct listener listener = {0};

    (void)state;
    route_line(0, 9, &listener);
    raise_many(9, UNCLAIMED_MAX - 1);
    listener.work = 1;
    raise_many(9, 1);
    raise_many(9, UNCLAIMED_MAX - 1);
    assert_int_equal(masked_lines, 0);
    raise_many(9, 1);
    assert_int_equal(masked_lines, 1u << 9);
    assert_non_null(strstr(fake_log, "interrupt line 9: 10000 interrupts"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(msix_is_masked_until_routed, reset),
    cmocka_unit_test_setup(no_more_vectors_than_wanted_nor_than_there_are, reset),
    cmocka_unit_test_setup(a_table_that_is_not_where_it_should_be_is_not_used, reset),
    cmocka_unit_test_setup(msi_is_enabled_when_routed, reset),
    cmocka_unit_test_setup(msi_of_32_bits_has_its_data_elsewhere, reset),
    cmocka_unit_test_setup(a_device_without_anything_has_none, reset),
    cmocka_unit_test_setup(what_cannot_be_routed_is_refused, reset),
    cmocka_unit_test_setup(a_released_handler_is_not_called, reset),
    cmocka_unit_test_setup(a_shared_line_calls_every_handler, reset),
    cmocka_unit_test_setup(a_released_line_can_be_routed_again, reset),
    cmocka_unit_test_setup(a_line_that_is_not_there_is_refused, reset),
    cmocka_unit_test_setup(a_line_without_an_end_silences_who_asserts_it, reset),
    cmocka_unit_test_setup(a_line_that_nobody_asserts_is_masked, reset),
};

HOST_TEST_MAIN(tests, NULL)
