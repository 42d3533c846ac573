// SPDX-License-Identifier: MIT
/* Polled output to the 16550. Invariant: a transmitter that does not move costs one long wait, then
 * one look a character until it moves again; so a missing or stuck UART never hangs its callers
 * (console, panic, NMI). */
#include "drivers/uart_raw.h"

#include <stdbool.h>

#include "arch/instructions.h"

/* Five to ten seconds of TSC: the reader of an emulated UART may pause. */
#define WAIT_TICKS 20000000000ull

static unsigned burst = 1; /* written once at boot */
static bool stalled;       /* races between CPUs only cost or save a wait */

static bool wait_for(uint8_t status)
{
    uint64_t start = read_tsc();

    do {
        if ((in8(UART_PORT + UART_LINE_STATUS) & status) != 0) {
            stalled = false;
            return true;
        }
        cpu_relax();
    } while (!stalled && read_tsc() - start < WAIT_TICKS);
    stalled = true;
    return false;
}

/* @room: how many characters the transmitter still takes without being asked. */
static void put_byte(char byte, unsigned *room)
{
    if (*room == 0 && wait_for(UART_STATUS_TRANSMIT_READY)) {
        *room = burst;
    }
    if (*room > 0) {
        out8(UART_PORT + UART_DATA, (uint8_t)byte);
        (*room)--;
    }
}

void uart_raw_write(const char *text, size_t length)
{
    unsigned room = 0;

    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n') {
            put_byte('\r', &room);
        }
        put_byte(text[i], &room);
    }
}

void uart_raw_drain(void)
{
    wait_for(UART_STATUS_TRANSMIT_IDLE);
}

void uart_raw_set_burst(unsigned characters)
{
    burst = characters;
}
