// SPDX-License-Identifier: MIT
/* Tables for people and for programs from one code path: aligned columns under a header line, or one JSON object
 * a line. Invariant: a row is one console_write(), and a JSON row is always a valid object. Called by commands:
 *
 *     struct table table;
 *     table_begin(&table, "key", json);
 *     for (...) {
 *         table_row(&table);
 *         table_text(&table, "name", 24, key->name);
 *         table_number(&table, "count", 6, key->count);
 *         table_end_row(&table);
 *     }
 *     table_end(&table);
 *
 * A field's width is the least width of its column; the name of the field widens it. Width 0 hides nothing: the
 * column is as wide as its name. All rows must have the same fields in the same order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_ROW_MAX 1536
#define TABLE_HEADER_MAX 256

struct table_line {
    size_t length;
    size_t column_end; /* width owed to the last column, paid when another one follows */
};

struct table {
    const char *kind;
    bool json;
    bool truncated; /* a field of this row did not fit */
    uint64_t rows;
    struct table_line row_state, header_state;
    char row[TABLE_ROW_MAX];
    char header[TABLE_HEADER_MAX];
};

/* @kind: the JSON objects' "kind". Context of all functions: thread. */
void table_begin(struct table *table, const char *kind, bool json);
void table_row(struct table *table);

/* JSON string / left-aligned text. Bytes outside printable ASCII are shown as \u00xx. */
void table_text(struct table *table, const char *name, unsigned width, const char *text);

/* true, false / yes, no. */
void table_bool(struct table *table, const char *name, unsigned width, bool value);

void table_number(struct table *table, const char *name, unsigned width, uint64_t value);
void table_signed(struct table *table, const char *name, unsigned width, int64_t value);

/* "0x..." as a string in both forms: JSON readers lose 64-bit numbers. */
void table_hex(struct table *table, const char *name, unsigned width, uint64_t value);

/* [1,2,3] / 1,2,3. */
void table_numbers(struct table *table, const char *name, unsigned width, const uint64_t *values,
                   size_t count);

/* A time: @name ends in "_ns". JSON: integer nanoseconds; people see microseconds under "_us": 12.345. */
void table_time(struct table *table, const char *name, unsigned width, uint64_t nanoseconds);

/* Prints the row, the header before the first one. A field that did not fit is missing, and the row says so. */
void table_end_row(struct table *table);

/* Prints "(none)" for people if there was no row. */
void table_end(struct table *table);
