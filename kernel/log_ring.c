// SPDX-License-Identifier: MIT
/* The log's storage. Invariant: record n lies in slot n % LOG_RING_RECORDS. Called by kernel/log.c
 * under its lock, and by host tests. */
#include "kernel/log_ring.h"

#include "kernel/string.h"

const char *const log_level_names[LOG_LEVELS + 1] = {"error", "warning", "info", "debug", NULL};

void log_ring_append(struct log_ring *ring, enum log_level level, uint32_t cpu, uint64_t time_ns,
                     const char *text, size_t length)
{
    struct log_record *record = &ring->records[ring->next % LOG_RING_RECORDS];

    record->sequence = ring->next++;
    record->time_ns = time_ns;
    record->cpu = cpu;
    record->level = level;
    memcpy(record->text, text, length);
    record->text[length] = '\0';
}

bool log_ring_read(const struct log_ring *ring, uint64_t sequence, struct log_record *record)
{
    uint64_t oldest = ring->next > LOG_RING_RECORDS ? ring->next - LOG_RING_RECORDS : 0;

    if (sequence < oldest) {
        sequence = oldest;
    }
    if (sequence >= ring->next) {
        return false;
    }
    *record = ring->records[sequence % LOG_RING_RECORDS];
    return true;
}

size_t log_ring_line_length(const char *text, size_t length)
{
    size_t end = 0;

    while (end < length && end < LOG_TEXT_MAX && text[end] != '\n') {
        end++;
    }
    return end;
}

const char *log_level_name(enum log_level level)
{
    return (unsigned)level < LOG_LEVELS ? log_level_names[level] : "?";
}
