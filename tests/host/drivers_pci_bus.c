// SPDX-License-Identifier: MIT
/* Tests of drivers/pci_bus.c and pci_capability.c: bridges and lists that lead in circles, machines
 * larger than the list. A search that does not end shows as a program that does not. */
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

#include "drivers/pci_registers.h"
#include "tests/host/fake_pci.h"

static int reset(void **state)
{
    (void)state;
    fake_pci_reset();
    return 0;
}

static void devices_are_found_behind_bridges_behind_bridges(void **state)
{
    struct fake_function *card;

    (void)state;
    fake_pci_add(0, 0, 0, PCI_HEADER_DEVICE);
    fake_pci_add_bridge(0, 1, 5);
    fake_pci_add_bridge(5, 31, 200);
    card = fake_pci_add(200, 3, 0, PCI_HEADER_DEVICE);
    card->config.longs[PCI_REVISION / 4] = 0x02000307;
    card->config.words[PCI_SUBSYSTEM_VENDOR / 2] = 0x1af4;
    card->config.words[PCI_SUBSYSTEM / 2] = 0x1100;
    card->config.bytes[PCI_INTERRUPT_LINE] = 11;
    card->config.bytes[PCI_INTERRUPT_PIN] = 2;
    pci_initialize();
    assert_int_equal(pci_device_count(), 4);
    assert_string_equal(pci_device_at(3)->location, "c8:03.0");
    assert_int_equal(pci_device_at(3)->vendor, 0x1234);
    assert_int_equal(pci_device_at(3)->id, 0x5678);
    assert_int_equal(pci_device_at(3)->class_code, 0x020003);
    assert_int_equal(pci_device_at(3)->revision, 7);
    assert_int_equal(pci_device_at(3)->subsystem_vendor, 0x1af4);
    assert_int_equal(pci_device_at(3)->subsystem, 0x1100);
    assert_int_equal(pci_device_at(3)->interrupt_line, 11);
    assert_int_equal(pci_device_at(3)->interrupt_pin, 2);
    assert_null(pci_device_at(4));
    assert_string_equal(fake_log, "pci: 4 devices on 3 buses, configuration space by fake\n");
}

/* Each is a bridge that a search without memory would follow for ever, or twice. */
static void each_bus_is_searched_once(void **state)
{
    (void)state;
    fake_pci_add_bridge(0, 1, 1);
    fake_pci_add_bridge(1, 0, 1); /* to itself */
    fake_pci_add_bridge(1, 1, 2);
    fake_pci_add_bridge(2, 0, 1); /* back */
    fake_pci_add_bridge(0, 2, 2); /* a second way */
    fake_pci_add(2, 5, 0, PCI_HEADER_DEVICE);
    pci_initialize();
    assert_int_equal(pci_device_count(), 6);
    assert_int_equal(fake_buses, 3);
    assert_non_null(strstr(fake_log, "bridge 01:00.0 leads to bus 1, as another does"));
    assert_non_null(strstr(fake_log, "bridge 02:00.0 leads to bus 1, as another does"));
    assert_non_null(strstr(fake_log, "bridge 01:01.0 leads to bus 2, as another does"));
}

static void all_256_buses_are_the_end(void **state)
{
    (void)state;
    for (unsigned bus = 0; bus < 256; bus++) {
        fake_pci_add_bridge((uint8_t)bus, 0, (uint8_t)(bus + 1));
    }
    pci_initialize();
    assert_int_equal(fake_buses, 256);
    assert_int_equal(pci_device_count(), PCI_DEVICE_MAX);
    assert_non_null(strstr(fake_log, "bridge ff:00.0 has got no bus"));
    assert_non_null(strstr(fake_log, "192 devices are left out: the list has room for 64"));
}

static void a_bus_that_cannot_be_reached_is_passed_over(void **state)
{
    (void)state;
    fake_pci_add_bridge(0, 1, 7);
    fake_pci_add_bridge(0, 2, 8);
    fake_pci_add(7, 0, 0, PCI_HEADER_DEVICE);
    fake_pci_add(8, 0, 0, PCI_HEADER_DEVICE);
    fake_bus_refused = 7;
    pci_initialize();
    assert_int_equal(pci_device_count(), 3);
    assert_int_equal(pci_device_at(2)->bus, 8);
}

/* A device of one function may show the same one eight times. */
static void functions_count_if_the_first_says_so(void **state)
{
    (void)state;
    fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE);
    fake_pci_add(0, 1, 3, PCI_HEADER_DEVICE);
    fake_pci_add(0, 2, 0, PCI_HEADER_DEVICE | PCI_HEADER_FUNCTIONS);
    fake_pci_add(0, 2, 7, PCI_HEADER_DEVICE);
    fake_pci_add(0, 3, 1, PCI_HEADER_DEVICE); /* without a function 0: not there */
    pci_initialize();
    assert_int_equal(pci_device_count(), 3);
    assert_string_equal(pci_device_at(2)->location, "00:02.7");
}

static void a_function_of_vendor_zero_is_none(void **state)
{
    (void)state;
    fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE)->config.words[PCI_VENDOR / 2] = 0;
    pci_initialize();
    assert_int_equal(pci_device_count(), 0);
}

static void a_header_of_unknown_kind_has_no_registers(void **state)
{
    (void)state;
    fake_pci_add(0, 1, 0, 0x55)->config.bytes[PCI_SECONDARY_BUS] = 9;
    pci_initialize();
    assert_int_equal(pci_device_count(), 1);
    assert_int_equal(fake_buses, 1);
    assert_int_equal(pci_device_at(0)->bars[0].size, 0);
}

static const struct pci_device at_00_01 = {.device = 1};

static void capabilities_of_one_id_are_found_in_turn(void **state)
{
    struct fake_function *function = fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE);

    (void)state;
    fake_pci_add_capability(function, 0x98, 9, 0x43, true); /* the two lowest bits do not count */
    fake_pci_add_capability(function, 0x40, 0x11, 0xfc, false);
    fake_pci_add_capability(function, 0xfc, 9, 0, false);
    assert_int_equal(pci_find_capability(&at_00_01, 9, 0), 0x98);
    assert_int_equal(pci_find_capability(&at_00_01, 9, 0x98), 0xfc);
    assert_int_equal(pci_find_capability(&at_00_01, 9, 0xfc), 0);
    assert_int_equal(pci_find_capability(&at_00_01, 0x11, 0), 0x40);
    assert_int_equal(pci_find_capability(&at_00_01, 5, 0), 0);
    assert_int_equal(pci_find_capability(&at_00_01, 9, 0x60), 0); /* behind none of the list */
}

/* The caller's loop must end as well, though every capability has a next one. */
static void a_list_in_a_circle_ends(void **state)
{
    struct fake_function *function = fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE);
    unsigned found = 0;

    (void)state;
    fake_pci_add_capability(function, 0x40, 9, 0x50, true);
    fake_pci_add_capability(function, 0x50, 9, 0x60, false);
    fake_pci_add_capability(function, 0x60, 9, 0x50, false);
    assert_int_equal(pci_find_capability(&at_00_01, 5, 0), 0);
    for (unsigned at = 0; (at = pci_find_capability(&at_00_01, 9, at)) != 0;) {
        assert_true(++found <= 3);
    }
    assert_int_equal(found, 3);
}

static void a_list_that_leads_into_the_header_ends(void **state)
{
    struct fake_function *function = fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE);

    (void)state;
    fake_pci_add_capability(function, 0x40, 5, 0x10, true);
    function->config.bytes[0x10] = 9;
    assert_int_equal(pci_find_capability(&at_00_01, 9, 0), 0);
    function->config.bytes[PCI_CAPABILITIES] = 0x3c;
    assert_int_equal(pci_find_capability(&at_00_01, 5, 0), 0);
}

static void without_the_status_bit_there_is_no_list(void **state)
{
    struct fake_function *function = fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE);

    (void)state;
    fake_pci_add_capability(function, 0x40, 5, 0, true);
    function->config.words[PCI_STATUS / 2] = 0;
    assert_int_equal(pci_find_capability(&at_00_01, 5, 0), 0);
}

/* All ones are what a device leaves behind that is gone. */
static void a_device_that_is_gone_has_no_capability(void **state)
{
    static const struct pci_device gone = {.device = 30};

    (void)state;
    assert_int_equal(pci_find_capability(&gone, 0x11, 0), 0);
    assert_int_equal(pci_find_capability(&gone, 0xff, 0xfc), 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(devices_are_found_behind_bridges_behind_bridges, reset),
    cmocka_unit_test_setup(each_bus_is_searched_once, reset),
    cmocka_unit_test_setup(all_256_buses_are_the_end, reset),
    cmocka_unit_test_setup(a_bus_that_cannot_be_reached_is_passed_over, reset),
    cmocka_unit_test_setup(functions_count_if_the_first_says_so, reset),
    cmocka_unit_test_setup(a_function_of_vendor_zero_is_none, reset),
    cmocka_unit_test_setup(a_header_of_unknown_kind_has_no_registers, reset),
    cmocka_unit_test_setup(capabilities_of_one_id_are_found_in_turn, reset),
    cmocka_unit_test_setup(a_list_in_a_circle_ends, reset),
    cmocka_unit_test_setup(a_list_that_leads_into_the_header_ends, reset),
    cmocka_unit_test_setup(without_the_status_bit_there_is_no_list, reset),
    cmocka_unit_test_setup(a_device_that_is_gone_has_no_capability, reset),
};

HOST_TEST_MAIN(tests, NULL)
