// SPDX-License-Identifier: MIT
/* The kernel log: the newest lines with level, time and CPU, kept in a ring and shown on the
 * console. Invariant: a line is in the ring before it is on the console, and the ring's lock is
 * never held during serial output. Called by everybody; read by the console and by the `log`
 * command. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/log_ring.h"

/* Adds one line; "\n" inside the text starts another, none is needed at the end. A line longer than
 * a record continues in the next. Shown on the console if its level is at most the console's.
 * Context: any but NMI; from the moment this CPU's GS base is set. Never waits for serial output
 * that another CPU is doing: that CPU then prints the line. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_write(LOG_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

/* As log_write() for finished text. */
void log_write_text(enum log_level level, const char *text, size_t length);

/* Least important level that the console shows; LOG_INFO at boot. */
void log_set_console_level(enum log_level level);
enum log_level log_console_level(void);

/* Copies the oldest record whose sequence number is at least *@sequence and sets *@sequence to the
 * one behind it. Returns false if there is none. Context: any but NMI. */
bool log_read(uint64_t *sequence, struct log_record *record);

/* The sequence number that the next record will get. */
uint64_t log_next_sequence(void);

/* For the console, under its lock: the next record that it has to show.
 * *@lost is how many records were overwritten before they could be shown. Returns false if there is
 * none. */
bool log_take_for_console(struct log_record *record, uint64_t *lost);

/* Whether log_take_for_console() has something left to look at. */
bool log_console_is_behind(void);
