// SPDX-License-Identifier: MIT
/* The log's storage: a ring of fixed-size records, the oldest overwritten first. Invariant: record
 * n lies in slot n % LOG_RING_RECORDS and the ring holds the records [next - min(next,
 * LOG_RING_RECORDS), next). No lock of its own: kernel/log.c holds one around every call. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

#define LOG_TEXT_MAX     167 /* characters; a longer line goes on in the next record */
#define LOG_RING_RECORDS 512

struct log_record {
    uint64_t sequence; /* 0, 1, 2, ... since boot */
    uint64_t time_ns;
    uint32_t cpu;
    uint32_t level; /* enum log_level */
    char text[LOG_TEXT_MAX + 1];
};
_Static_assert(sizeof(struct log_record) == 192, "a log record is three cache lines");

struct log_ring {
    uint64_t next; /* sequence number of the next record */
    struct log_record records[LOG_RING_RECORDS];
};

/* Appends @length <= LOG_TEXT_MAX characters as one record. */
void log_ring_append(struct log_ring *ring, enum log_level level, uint32_t cpu, uint64_t time_ns,
                     const char *text, size_t length);

/* Copies the oldest record whose sequence number is at least @sequence. Returns false if there is
 * none. */
bool log_ring_read(const struct log_ring *ring, uint64_t sequence, struct log_record *record);

/* How many characters of @text go into the next record: up to the first newline or LOG_TEXT_MAX. */
size_t log_ring_line_length(const char *text, size_t length);

/* "error", "warning", "info", "debug". */
const char *log_level_name(enum log_level level);

/* Names of all levels in order, ended by NULL: for options and completion. */
extern const char *const log_level_names[LOG_LEVELS + 1];
