// SPDX-License-Identifier: MIT
/* Tables for people and for programs from one code path: aligned columns under a header line, or
 * one JSON object a line. Invariant: a row is one console_write(), and a JSON row is always a valid
 * object. Called by commands:
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
 * The width of a field is the least width of its column; a longer name of the field widens it. All
 * rows of a table have the same fields in the same order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TABLE_ROW_MAX    1536
#define TABLE_HEADER_MAX 384

struct table_line {
    char *text;
    size_t size;
    size_t length;
    size_t owed; /* spaces that a following column needs before it */
};

struct table {
    const char *kind;
    bool json;
    bool truncated; /* a field of this row did not fit */
    uint64_t rows;
    struct table_line row, header;
    char row_text[TABLE_ROW_MAX];
    char header_text[TABLE_HEADER_MAX];
};

/* @kind: the "kind" of the JSON objects. Context of all functions: thread. */
void table_begin(struct table *table, const char *kind, bool json);
void table_row(struct table *table);

/* JSON string / left-aligned text. Bytes outside printable ASCII appear as \u00xx. */
void table_text(struct table *table, const char *name, unsigned width, const char *text);

/* true, false / yes, no. */
void table_bool(struct table *table, const char *name, unsigned width, bool value);

void table_number(struct table *table, const char *name, unsigned width, uint64_t value);
void table_signed(struct table *table, const char *name, unsigned width, int64_t value);

/* @thousandths / 1000 with three decimals, in both forms: -0.250. */
void table_thousandths(struct table *table, const char *name, unsigned width, int64_t thousandths);

/* null / "-": what does not apply, or was not measured, is neither a number nor a text. */
void table_none(struct table *table, const char *name, unsigned width);

/* "0x..." as a string in both forms, because many JSON readers round 64-bit numbers. */
void table_hex(struct table *table, const char *name, unsigned width, uint64_t value);

/* [1,2,3] / 1,2,3. */
void table_numbers(struct table *table, const char *name, unsigned width, const uint64_t *values,
                   size_t count);

/* ["a","b"] / a < b. */
void table_texts(struct table *table, const char *name, unsigned width, const char *const *texts,
                 size_t count);

/* A time: @name ends in "_ns". JSON has integer nanoseconds; people see microseconds under
 * "..._us": 12.345. */
void table_time(struct table *table, const char *name, unsigned width, uint64_t nanoseconds);

/* The same; null / "-" unless there @is_one: what was not measured is not a number. */
void table_time_or_none(struct table *table, const char *name, unsigned width, bool is_one,
                        uint64_t nanoseconds);

/* Prints the row, and the header before the first one. Fields that did not fit are left out, and
 * the row says so: "truncated":true / "...". */
void table_end_row(struct table *table);

/* Prints "(none)" for people if there was no row. */
void table_end(struct table *table);
