// SPDX-License-Identifier: MIT
/* The 16550 on COM1 at 115200-8N1: set-up and input; output is in drivers/uart_raw.h.
 * Invariant: characters are read in the order in which they arrived, whether interrupts or polls
 * fetched them. Called by kernel/console.c only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Sets speed, format and FIFO; input is polled. @on_input is called after each batch of input, with
 * whether Ctrl-C was in it, from the interrupt handler or from whoever polls. Context: boot CPU,
 * once, first. Returns whether a UART answers. */
bool uart_initialize(void (*on_input)(bool interrupt_character));

/* Routes IRQ 4 to the boot CPU. Context: boot CPU, once. Returns false if input stays polled. */
bool uart_start_interrupts(void);

/* Takes one character if there is one. Context: one thread at a time. */
bool uart_read_character(char *character);

/* Whether uart_read_character() would succeed. In polled mode, fetches what has arrived. Context:
 * any but NMI. */
bool uart_has_input(void);

/* Characters dropped since boot because nobody read them in time. */
uint64_t uart_lost_characters(void);
