// SPDX-License-Identifier: MIT
/* The kernel log. Invariant: the lock covers copying one record, never formatting and never output;
 * so it may be taken with interrupts off from anywhere but NMI. Called through log_error() ...
 * log_debug(). */
#include "kernel/log.h"

#include <stdarg.h>

#include "arch/clock.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"

#define LOG_FORMAT_MAX 512

static struct spinlock log_lock = SPINLOCK("log");
/* under log_lock: */
static struct log_ring ring;
static uint64_t
    console_next; /* sequence number of the first record that the console has not looked at */

static enum log_level console_level = LOG_INFO; /* one word, atomic by itself */

static void append_line(enum log_level level, const char *text, size_t length)
{
    uint32_t cpu = cpu_index();
    uint64_t flags = spinlock_lock_save(&log_lock);

    log_ring_append(&ring, level, cpu, clock_now_ns(), text, length);
    spinlock_unlock_restore(&log_lock, flags);
}

void log_write_text(enum log_level level, const char *text, size_t length)
{
    if (console_is_panicking()) {
        console_write(text, length);
        console_write("\n", 1);
        return;
    }
    do {
        size_t line = log_ring_line_length(text, length);

        append_line(level, text, line);
        if (line < length && text[line] == '\n') {
            line++;
        }
        text += line;
        length -= line;
    } while (length > 0);
    console_flush_log();
}

void log_write(enum log_level level, const char *format, ...)
{
    char text[LOG_FORMAT_MAX];
    va_list arguments;

    va_start(arguments, format);
    size_t length = format_text_va(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length >= sizeof(text)) {
        length = sizeof(text) - 1;
        memcpy(text + length - 3, "...", 3);
    }
    log_write_text(level, text, length);
}

void log_set_console_level(enum log_level level)
{
    __atomic_store_n(&console_level, level, __ATOMIC_RELAXED);
}

enum log_level log_console_level(void)
{
    return __atomic_load_n(&console_level, __ATOMIC_RELAXED);
}

bool log_read(uint64_t *sequence, struct log_record *record)
{
    uint64_t flags = spinlock_lock_save(&log_lock);
    bool found = log_ring_read(&ring, *sequence, record);

    spinlock_unlock_restore(&log_lock, flags);
    if (found) {
        *sequence = record->sequence + 1;
    }
    return found;
}

uint64_t log_next_sequence(void)
{
    uint64_t flags = spinlock_lock_save(&log_lock);
    uint64_t next = ring.next;

    spinlock_unlock_restore(&log_lock, flags);
    return next;
}

bool log_take_for_console(struct log_record *record, uint64_t *lost)
{
    uint64_t flags = spinlock_lock_save(&log_lock);
    bool found;

    *lost = 0;
    do {
        found = log_ring_read(&ring, console_next, record);
        if (found) {
            *lost += record->sequence - console_next;
            console_next = record->sequence + 1;
        }
    } while (found && record->level > (uint32_t)log_console_level());
    spinlock_unlock_restore(&log_lock, flags);
    return found;
}

bool log_console_is_behind(void)
{
    uint64_t flags = spinlock_lock_save(&log_lock);
    bool behind = console_next < ring.next;

    spinlock_unlock_restore(&log_lock, flags);
    return behind;
}
