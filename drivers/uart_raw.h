// SPDX-License-Identifier: MIT
/* Polled output to the 16550 on COM1. Invariant: with interrupts off it ends in bounded time,
 * whatever the hardware does; with interrupts on it waits as long as a UART answers that has sent
 * before. Takes no lock and calls nothing. Part of .text.nopatch: panic and NMI call it; so does
 * the console. */
#pragma once

#include <stdbool.h>
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
 * that they do not, except in a panic. Context: any. With interrupts off, or without a UART,
 * characters are dropped while the transmitter does not move. */
void uart_raw_write(const char *text, size_t length);

/* Waits until everything has left the UART; as long as uart_raw_write() would. Context: any. */
void uart_raw_drain(void);

/* Characters dropped since boot because the transmitter did not move. Context: any. */
uint64_t uart_raw_dropped(void);

/* Whether a character would leave without a wait. Context: any. */
bool uart_raw_is_ready(void);

/* A UART answered at boot: from now on output may wait for its reader. */
void uart_raw_set_detected(void);

/* How many characters the transmitter takes at once: 16 with a FIFO, 1 (the default) without. */
void uart_raw_set_burst(unsigned characters);
