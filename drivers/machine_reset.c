// SPDX-License-Identifier: MIT
/* Resetting the whole machine. Invariant: each way is given time to work before the next one; the
 * last one, a fault without a descriptor table, cannot fail. Called by the `reboot` command. */
#include "drivers/machine_reset.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"

#define KEYBOARD_PORT        0x64
#define KEYBOARD_INPUT_FULL  0x02
#define KEYBOARD_PULSE_RESET 0xfe

#define RESET_CONTROL_PORT 0xcf9 /* PCI chipsets since the PIIX3 */
#define RESET_CONTROL_HARD 0x02
#define RESET_CONTROL_NOW  0x06

#define PATIENCE_NS 50000000ull

static void reset_by_keyboard_controller(void)
{
    uint64_t deadline = clock_now_ns() + PATIENCE_NS;

    while ((in8(KEYBOARD_PORT) & KEYBOARD_INPUT_FULL) != 0 && clock_now_ns() < deadline) {
        cpu_relax();
    }
    out8(KEYBOARD_PORT, KEYBOARD_PULSE_RESET);
    clock_delay_ns(PATIENCE_NS);
}

static void reset_by_chipset(void)
{
    out8(RESET_CONTROL_PORT, RESET_CONTROL_HARD);
    out8(RESET_CONTROL_PORT, RESET_CONTROL_NOW);
    clock_delay_ns(PATIENCE_NS);
}

static _Noreturn void reset_by_triple_fault(void)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) no_table = {0, 0};

    __asm__ volatile("lidt %0\n\t"
                     "ud2"
                     :
                     : "m"(no_table));
    __builtin_unreachable();
}

void machine_reset(void)
{
    interrupts_disable();
    reset_by_keyboard_controller();
    reset_by_chipset();
    reset_by_triple_fault();
}
