// SPDX-License-Identifier: MIT
/* One patch record as a table row (kind "poke"). */
#include "kernel/poke_table.h"

#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/symbols.h"

#define NS_PER_SECOND   1000000000ull
#define SECONDS_PER_DAY 86400ull

/* Time of day as hh:mm:ss.mmm UTC. */
static const char *time_text(uint64_t wall_ns, char text[16])
{
    uint64_t second = wall_ns / NS_PER_SECOND % SECONDS_PER_DAY;
    format_text(text, 16, "%02u:%02u:%02u.%03u", (unsigned)(second / 3600),
                (unsigned)(second / 60 % 60), (unsigned)(second % 60),
                (unsigned)(wall_ns % NS_PER_SECOND / 1000000));
    return text;
}

void poke_table_begin(struct table *table, bool json)
{
    table_begin(table, "poke", json);
}

void poke_table_row(struct table *table, const struct patch_record *record)
{
    char caller[SYMBOL_TEXT_MAX];
    char time[16];
    table_row(table);
    table_number(table, "seq", 5, record->seq);
    table_text(table, "time", 12, time_text(record->wall_ns, time));
    table_text(table, "who", 12, record->who);
    table_text(table, "caller", 20, symbol_describe(record->caller, caller, sizeof(caller)));
    table_text(table, "protocol", 10, record->protocol);
    table_number(table, "sites", 5, record->sites);
    table_number(table, "quadwords", 5, record->quadwords);
    table_number(table, "bytes", 5, record->bytes);
    table_number(table, "rounds", 6, record->rounds);
    table_number(table, "ipis", 5, record->ipis);
    table_number(table, "traps", 5, record->traps);
    table_time(table, "total_ns", 9, record->total_ns);
    table_numbers(table, "step_ns", 0, record->step_ns, PATCH_STEPS);
    table_text(table, "status", 0, patch_status_text(record->status));
    table_end_row(table);
}

void poke_table_print_cost(const char *who, uint64_t newest_before, bool json)
{
    struct patch_record record;
    for (uint64_t seq = patch_record_newest(); seq > newest_before; seq--) {
        if (patch_record_get(seq, &record) && record.who == who) {
            struct table table;
            poke_table_begin(&table, json);
            poke_table_row(&table, &record);
            table_end(&table);
            return;
        }
    }
    if (!json) {
        console_print("%s: text unchanged: 0 rounds, 0 IPIs\n", who);
    }
}
