// SPDX-License-Identifier: MIT
/* The serial console: output of whole calls, input, and the line being typed.
 * Invariant: the text of one call never mixes with another call's or with log lines, and nobody
 * spins with interrupts off for a CPU that is doing serial output: a context that may not wait
 * hands its text to the log ring, which the CPU that holds the console prints before it lets go.
 * Output with interrupts on waits for a reader that pauses; what is dropped otherwise is counted
 * and named when output moves again.
 * Called by shell commands (print), the log (flush), the shell (input) and panic (enter). */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define CONSOLE_PRINT_MAX 1024 /* characters in one console_print() */
#define CONSOLE_LINE_MAX  511  /* characters in the line being typed */

/* Sets up the UART for polled output. Context: boot CPU, once, before any output. */
void console_initialize(void);

/* Makes input interrupt-driven. Without an interrupt line the console goes on polling, and says so.
 * Context: boot CPU, once, after traps and IOAPIC are set up; needs no thread. */
void console_start_input(void);

/* Writes text as one unit. Context: any but NMI. With interrupts off and the console taken, the
 * text becomes log lines instead. */
void console_write(const char *text, size_t length);

/* Formats (kernel/format.h) and writes as one unit. Text beyond CONSOLE_PRINT_MAX is replaced by
 * "...". */
void console_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the log lines that the console has not shown yet, unless another context is printing: then
 * that one does it. Context: any but NMI. */
void console_flush_log(void);

/* From now on output takes no lock and is not buffered; log lines go straight to the UART.
 * Context: any, NMI included; part of .text.nopatch. */
void console_panic_enter(void);
bool console_is_panicking(void);

/* Takes one character of input if there is one. Context: one thread at a time. */
bool console_read_character(char *character);

/* Sleeps until console_read_character() has something to give. Context: thread, interrupts on. */
void console_wait_input(void);

/* Whether a Ctrl-C has been typed that is still unread. Context: any but NMI. */
bool console_interrupt_requested(void);

/* Forgets all input typed so far, and a Ctrl-C with it. Context: thread. */
void console_discard_input(void);

/* Shows the line being typed, or what changed in it since the last call. While it is shown, other
 * output appears above it. @prompt must stay valid, @length <= CONSOLE_LINE_MAX. Context: thread.
 */
void console_show_line(const char *prompt, const char *text, size_t length, size_t cursor);

/* Ends the shown line: @suffix and a newline follow it. Context: thread. */
void console_finish_line(const char *suffix);

/* Ctrl-L: clears the terminal; the line appears again at its top. Context: thread. */
void console_clear(void);

/* Rings the terminal's bell. Context: thread. */
void console_bell(void);
