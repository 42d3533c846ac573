// SPDX-License-Identifier: MIT
/* Rows of packet programs; see program_table.h. Invariant: changes nothing. */
#include "kernel/program_table.h"

#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/symbols.h"

#define PLACES_BYTES 256 /* "nic0:0 nic0:1 ..." */
#define NAME_BYTES   16

/* Bytes of a program's code: to the next symbol, for those that a compiler made. */
static uint64_t code_bytes(const struct net_program *program)
{
    uint64_t start = (uint64_t)program->xdp.function;
    uint64_t nearest = UINT64_MAX;
    uint64_t address;
    const char *name;

    if (program->is_generated) {
        return program->bytes;
    }
    for (uint32_t i = 0; symbol_get(i, &name, &address); i++) {
        if (address > start && address < nearest) {
            nearest = address;
        }
    }
    return nearest - start;
}

/* Where it is attached: "nic0:0 nic0:1". */
static void places_format(const struct net_program *program, char text[PLACES_BYTES])
{
    const struct net_device *device;
    size_t length = 0;

    text[0] = '\0';
    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        for (unsigned queue = 0; queue < device->queue_count; queue++) {
            if (net_program_of(device, queue) == program && length < PLACES_BYTES - NAME_BYTES) {
                format_text(text + length, PLACES_BYTES - length, "%s%s:%u", length > 0 ? " " : "",
                            device->name, queue);
                length += strlen(text + length);
            }
        }
    }
}

void program_table_dispatched(struct table *table, const struct net_program *program)
{
    if (program == NULL || program->users == 0) {
        table_none(table, "in_dispatcher", 13);
    } else {
        table_bool(table, "in_dispatcher", 13, program->dispatched != 0);
    }
}

void program_table_row(struct table *table, const struct net_program *program)
{
    char places[PLACES_BYTES];
    uint64_t runs = net_program_runs(program);

    places_format(program, places);
    table_row(table);
    table_text(table, "name", 6, program->xdp.name);
    table_text(table, "code", 9, program->is_generated ? "generated" : "built-in");
    table_hex(table, "address", 18, (uint64_t)program->xdp.function);
    table_number(table, "bytes", 5, code_bytes(program));
    table_number(table, "users", 5, program->users);
    table_bool(table, "entered", 7, program->is_entered);
    program_table_dispatched(table, program);
    if (runs == UINT64_MAX) {
        table_none(table, "runs", 10);
    } else {
        table_number(table, "runs", 10, runs);
    }
    if (places[0] == '\0') {
        table_none(table, "attached", 14);
    } else {
        table_text(table, "attached", 14, places);
    }
    table_text(table, "summary", 0, program->summary);
    table_end_row(table);
}

void program_table_queue(struct table *table, const struct net_device *device, unsigned queue)
{
    const struct net_program *program = net_program_of(device, queue);
    static const struct {
        const char *name;
        enum net_action action;
    } columns[] = {
        {"drop", NET_ACTION_DROP},
        {"pass", NET_ACTION_PASS},
        {"tx", NET_ACTION_TX},
        {"abort", NET_ACTION_ABORT},
    };

    table_row(table);
    table_text(table, "nic", 5, device->name);
    table_number(table, "queue", 5, queue);
    table_number(table, "cpu", 3, device->queues[queue].cpu);
    if (program == NULL) {
        table_none(table, "program", 10);
    } else {
        table_text(table, "program", 10, program->xdp.name);
    }
    program_table_dispatched(table, program);
    for (size_t i = 0; i < ARRAY_COUNT(columns); i++) {
        table_number(table, columns[i].name, 10,
                     net_program_count(device, queue, columns[i].action));
    }
    table_end_row(table);
}

void program_table_counts(struct table *table, const struct net_device *device, unsigned queue)
{
    static struct net_program_count_row rows[NET_PROGRAM_COUNT_ROWS]; /* the shell's */
    unsigned count = net_program_counts(device, queue, rows);

    for (unsigned i = 0; i < count; i++) {
        table_row(table);
        table_text(table, "nic", 5, device->name);
        table_number(table, "queue", 5, queue);
        table_text(table, "protocol", 8, rows[i].protocol);
        if (rows[i].port == NET_PROGRAM_NO_PORT) {
            table_none(table, "port", 5);
        } else {
            table_number(table, "port", 5, rows[i].port);
        }
        table_number(table, "frames", 10, rows[i].frames);
        table_end_row(table);
    }
}
