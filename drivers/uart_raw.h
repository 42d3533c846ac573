// SPDX-License-Identifier: MIT
/* Polled output to the 16550 on COM1. Invariant: ends in bounded time, whatever the hardware does,
 * takes no lock and calls nothing. Part of .text.nopatch: panic and NMI call it; so does the
 * console. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define UART_PORT 0x3f8 /* COM1 */

enum uart_register {
    UART_DATA = 0,
    UART_INTERRUPT_ENABLE = 1,
    UART_FIFO_CONTROL = 2,
    UART_INTERRUPT_IDENTITY = 2, /* the same place, when read */
    UART_LINE_CONTROL = 3,
    UART_MODEM_CONTROL = 4,
    UART_LINE_STATUS = 5,
    UART_SCRATCH = 7,
};

#define UART_STATUS_DATA_READY     0x01
#define UART_STATUS_TRANSMIT_READY 0x20 /* holding register, or the whole FIFO, is empty */
#define UART_STATUS_TRANSMIT_IDLE  0x40 /* the shift register is empty too */

/* Writes text, "\n" as "\r\n". Two CPUs that write at once mix their bytes: the console sees to it
 * that they do not, except in a panic. Context: any. Characters are dropped while the transmitter
 * does not move. */
void uart_raw_write(const char *text, size_t length);

/* Waits, for a bounded time, until everything has left the UART. Context: any. */
void uart_raw_drain(void);

/* How many characters the transmitter takes at once: 16 with a FIFO, 1 (the default) without. */
void uart_raw_set_burst(unsigned characters);
