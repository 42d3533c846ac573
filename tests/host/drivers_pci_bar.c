// SPDX-License-Identifier: MIT
/* Tests of drivers/pci_bar.c: what registers say once all ones were written to them, registers that
 * contradict themselves, and which part of a BAR may be mapped. */
#include "tests/host/host_test.h"

#include <string.h>

#include "drivers/pci_bar.h"
#include "drivers/pci_registers.h"
#include "tests/host/fake_pci.h"

static int reset(void **state)
{
    (void)state;
    fake_pci_reset();
    return 0;
}

struct decoding {
    const char *name;
    uint32_t low, high, low_sized, high_sized;
    struct pci_bar expected; /* size 0: refused, or none */
    bool is_sane;
};

static const struct decoding decodings[] = {
    {"nothing", 0, 0, 0, 0, {0}, true},
    {"32 bits", 0xfebc0000, 0, 0xfffe0000, 0, {0xfebc0000, 0x20000, false, false}, true},
    {"prefetchable", 0xfd000008, 0, 0xff000008, 0, {0xfd000000, 0x1000000, false, false}, true},
    {"below 1 MiB", 0x000c0002, 0, 0xfffff002, 0, {0xc0000, 0x1000, false, false}, true},
    {"the smallest", 0xfebc0010, 0, 0xfffffff0, 0, {0xfebc0010, 0x10, false, false}, true},
    {"2 GiB", 0x80000000, 0, 0x80000000, 0, {0x80000000, 0x80000000, false, false}, true},
    {"no address", 0, 0, 0xfffff000, 0, {0, 0x1000, false, false}, true},
    {"64 bits", 0x0c, 0xe0, 0xffffc00c, ~0u, {0xe000000000, 0x4000, false, true}, true},
    {"64 bits, 8 GiB", 0x0c, 0xe2, 0x0c, 0xfffffffe, {0xe200000000, 1ull << 33, false, true}, true},
    {"64 bits, half wired", 0x8000000c, 0, 0xff00000c, 0, {0x80000000, 1 << 24, false, true}, true},
    {"ports", 0xc041, 0, 0xffffffc1, 0, {0xc040, 0x40, true, false}, true},
    {"16 bits of ports", 0xc041, 0, 0x0000ffc1, 0, {0xc040, 0x40, true, false}, true},
    {"a gap", 0xfeb00000, 0, 0xff0ff000, 0, {0}, false},
    {"a gap at the top", 0x70000000, 0, 0x7ffff000, 0, {0}, false},
    {"64 bits, a gap", 0x0c, 0xe0, 0xffffc00c, 0xffff, {0}, false},
    {"flags alone", 0x08, 0, 0x08, 0, {0}, false},
    {"reserved type", 0xfebc0006, 0, 0xfffff006, 0, {0}, false},
    {"address inside its size", 0xfebc0000, 0, 0xf0000000, 0, {0}, false},
    {"ports inside their size", 0xc041, 0, 0xffffff01, 0, {0}, false},
    {"ports, flags alone", 1, 0, 1, 0, {0}, false},
    {"ports beyond 64 Ki", 0x1c001, 0, 0xffffffc1, 0, {0}, false},
    {"ports, all bits fixed", 0xffffffff, 0, 0xffffffff, 0, {0}, false},
};

static void registers_are_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(decodings); i++) {
        const struct decoding *row = &decodings[i];
        struct pci_bar bar = {1, 1, true, true};
        bool is_sane = pci_bar_decode(row->low, row->high, row->low_sized, row->high_sized, &bar);

        if (is_sane != row->is_sane || bar.address != row->expected.address ||
            bar.size != row->expected.size || bar.is_port != row->expected.is_port ||
            bar.is_64bit != row->expected.is_64bit) {
            fail_msg("%s: sane %d, 0x%llx + 0x%llx, port %d, 64-bit %d", row->name, is_sane,
                     (unsigned long long)bar.address, (unsigned long long)bar.size, bar.is_port,
                     bar.is_64bit);
        }
    }
}

/* Whatever two registers say, a BAR is none, or a power of two that does not wrap. */
static void nonsense_is_refused_or_makes_sense(void **state)
{
    uint64_t random = 1;
    unsigned sane = 0;

    (void)state;
    for (unsigned round = 0; round < 1000000; round++) {
        uint32_t sized = ~0u << next_random(&random) % 32;
        uint32_t low = (uint32_t)next_random(&random);
        struct pci_bar bar;

        if (round % 2 != 0) {
            sized = (uint32_t)next_random(&random);
        }
        if (!pci_bar_decode(low, (uint32_t)next_random(&random), sized, ~0u, &bar)) {
            assert_int_equal(bar.size, 0);
            continue;
        }
        sane += bar.size != 0 ? 1 : 0;
        assert_int_equal(bar.size & (bar.size - 1), 0);
        assert_true(bar.size == 0 || bar.address % bar.size == 0);
        assert_true(bar.size == 0 || bar.address + (bar.size - 1) >= bar.address);
    }
    assert_true(sane > 1000);
}

static struct pci_device device = {.device = 1, .location = "00:01.0"};

static struct fake_function *add_device(void)
{
    struct fake_function *function = fake_pci_add(0, 1, 0, PCI_HEADER_DEVICE);

    memset(device.bars, 0, sizeof(device.bars));
    function->config.words[PCI_COMMAND / 2] = 0x0507;
    return function;
}

static void set_bar(struct fake_function *function, unsigned bar, uint32_t value, uint32_t writable)
{
    function->config.longs[PCI_BAR0 / 4 + bar] = value;
    function->bar_writable[bar] = writable;
}

static void sizing_leaves_the_device_as_it_was(void **state)
{
    struct fake_function *function = add_device();
    struct fake_function before;

    (void)state;
    set_bar(function, 0, 0xfebc0000, 0xfffe0000);
    set_bar(function, 1, 0x0000c041, 0xffffffc0);
    set_bar(function, 3, 0x0000000c, 0xffffc000); /* upper half: 4 */
    set_bar(function, 4, 0x000000e0, 0xffffffff);
    before = *function;
    pci_bars_read(&device, PCI_BAR_MAX);
    assert_memory_equal(&before, function, sizeof(before));
    assert_int_equal(fake_faults, 0);
    assert_string_equal(fake_log, "");
    assert_int_equal(device.bars[0].size, 0x20000);
    assert_true(device.bars[1].is_port);
    assert_int_equal(device.bars[2].size, 0);
    assert_int_equal(device.bars[3].address, 0xe000000000);
    assert_int_equal(device.bars[3].size, 0x4000);
    assert_int_equal(device.bars[4].size, 0);
}

/* Reading its upper half would read what is no BAR. */
static void a_64_bit_register_at_the_end_is_refused(void **state)
{
    struct fake_function *function = add_device();

    (void)state;
    set_bar(function, 5, 0xc000000c, 0xffffc000);
    pci_bars_read(&device, PCI_BAR_MAX);
    assert_int_equal(device.bars[5].size, 0);
    assert_non_null(strstr(fake_log, "00:01.0: BAR 5 makes no sense"));
    set_bar(function, 1, 0xc000000c, 0xffffc000);
    pci_bars_read(&device, 2);
    assert_int_equal(device.bars[1].size, 0);
}

static void nothing_is_written_if_there_are_no_registers(void **state)
{
    struct fake_function *function = add_device();

    (void)state;
    set_bar(function, 0, 0xfebc0000, 0xfffe0000);
    pci_bars_read(&device, 0);
    assert_int_equal(device.bars[0].size, 0);
    assert_int_equal(function->config.longs[PCI_BAR0 / 4], 0xfebc0000);
}

static void a_bar_is_mapped_where_it_lies(void **state)
{
    uint8_t memory;

    (void)state;
    fake_memory = &memory;
    device.bars[4] = (struct pci_bar){.address = 0xe000000000, .size = 0x4000, .is_64bit = true};
    assert_ptr_equal(pci_map_bar(&device, 4, 0x3000, 0x1000), &memory);
    assert_int_equal(fake_mapped_address, 0xe000003000);
    assert_int_equal(fake_mapped_size, 0x1000);
    assert_string_equal(fake_log, "");
}

struct refusal {
    unsigned bar;
    uint64_t offset, length;
    const char *why;
};

static void what_is_not_in_a_bar_is_not_mapped(void **state)
{
    static const struct refusal refusals[] = {
        {0, 0, 1, "BAR 0 is ports"},
        {1, 0, 1, "BAR 1 is not there"},
        {2, 0, 1, "BAR 2 has no address"},
        {4, 0, 0x4001, "BAR 4 is too small"},
        {4, 0x4000, 1, "BAR 4 is too small"},
        {4, 0x3fff, 2, "BAR 4 is too small"},
        {4, 0, 0, "BAR 4 is too small"},
        {4, UINT64_MAX, 2, "BAR 4 is too small"},
        {4, 2, UINT64_MAX, "BAR 4 is too small"},
        {6, 0, 1, "BAR 6 does not exist"},
        {UINT32_MAX, 0, 1, "does not exist"},
    };
    uint8_t memory;

    (void)state;
    fake_memory = &memory;
    memset(device.bars, 0, sizeof(device.bars));
    device.bars[0] = (struct pci_bar){.address = 0xc000, .size = 0x40, .is_port = true};
    device.bars[2] = (struct pci_bar){.size = 0x1000};
    device.bars[4] = (struct pci_bar){.address = 0xfe000000, .size = 0x4000};
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++) {
        const struct refusal *row = &refusals[i];

        fake_log[0] = '\0';
        assert_null(pci_map_bar(&device, row->bar, row->offset, row->length));
        assert_int_equal(fake_mapped_size, 0);
        assert_non_null(strstr(fake_log, row->why));
    }
    fake_memory = NULL;
    assert_null(pci_map_bar(&device, 4, 0, 0x4000));
    assert_non_null(strstr(fake_log, "BAR 4 cannot be mapped"));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(registers_are_decoded, reset),
    cmocka_unit_test_setup(nonsense_is_refused_or_makes_sense, reset),
    cmocka_unit_test_setup(sizing_leaves_the_device_as_it_was, reset),
    cmocka_unit_test_setup(a_64_bit_register_at_the_end_is_refused, reset),
    cmocka_unit_test_setup(nothing_is_written_if_there_are_no_registers, reset),
    cmocka_unit_test_setup(a_bar_is_mapped_where_it_lies, reset),
    cmocka_unit_test_setup(what_is_not_in_a_bar_is_not_mapped, reset),
};

HOST_TEST_MAIN(tests, NULL)
