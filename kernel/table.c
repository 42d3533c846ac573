// SPDX-License-Identifier: MIT
/* Tables and JSON lines. Invariant: a field is in the row whole or not at all, and TAIL_MAX bytes
 * are always left to close the row; so every JSON row is a valid object. Called by shell commands
 * and tests. */
#include "kernel/table.h"

#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/string.h"

#define TAIL_MAX 32 /* ,"truncated":true}\n and a NUL */
#define NAME_MAX 32 /* of a field, for people */

/* Appends; a text that does not fit sets the length to the size: full for good until restored. */
static void line_put(struct table_line *line, const char *text, size_t length)
{
    if (line->length + length > line->size - TAIL_MAX) {
        line->length = line->size;
        return;
    }
    memcpy(line->text + line->length, text, length);
    line->length += length;
}

static void line_put_text(struct table_line *line, const char *text)
{
    line_put(line, text, strlen(text));
}

static void line_put_spaces(struct table_line *line, size_t count)
{
    while (count-- > 0) {
        line_put(line, " ", 1);
    }
}

static void line_put_json_string(struct table_line *line, const char *text)
{
    line_put(line, "\"", 1);
    for (; *text != '\0'; text++) {
        unsigned char character = (unsigned char)*text;
        char escaped[8];

        if (character < 0x20 || character > 0x7e) {
            format_text(escaped, sizeof(escaped), "\\u%04x", character);
        } else if (character == '"' || character == '\\') {
            format_text(escaped, sizeof(escaped), "\\%c", character);
        } else {
            format_text(escaped, sizeof(escaped), "%c", character);
        }
        line_put_text(line, escaped);
    }
    line_put(line, "\"", 1);
}

/* Puts one column for people. Spaces behind it are owed until another column comes: no line ends in
 * spaces. */
static void line_put_column(struct table_line *line, const char *text, size_t width, bool left)
{
    size_t length = strlen(text);
    size_t padding = width > length ? width - length : 0;

    line_put_spaces(line, line->owed);
    line_put_spaces(line, left ? 0 : padding);
    line_put_text(line, text);
    line->owed = 2 + (left ? padding : 0);
}

/* Makes sure that no byte of a text for people moves the terminal's cursor. */
static void line_put_text_column(struct table_line *line, const char *text, size_t width)
{
    char plain[TABLE_ROW_MAX];
    size_t length = 0;

    for (; *text != '\0' && length + 7 < sizeof(plain); text++) {
        unsigned char character = (unsigned char)*text;
        bool printable = character >= 0x20 && character <= 0x7e;

        length += format_text(plain + length, sizeof(plain) - length, printable ? "%c" : "\\u%04x",
                              character);
    }
    plain[length] = '\0';
    line_put_column(line, plain, width, true);
}

/* One field: how it looks in JSON and for people. */
struct field {
    const char *name;       /* in JSON */
    const char *human_name; /* NULL: the same */
    unsigned width;
    const char *json;  /* JSON text of the value; NULL: @string, quoted */
    const char *human; /* NULL: @string, left-aligned */
    const char *string;
};

static void put_json_field(struct table *table, const struct field *field)
{
    line_put(&table->row, ",", 1);
    line_put_json_string(&table->row, field->name);
    line_put(&table->row, ":", 1);
    if (field->json != NULL) {
        line_put_text(&table->row, field->json);
    } else {
        line_put_json_string(&table->row, field->string);
    }
}

static void put_human_field(struct table *table, const struct field *field)
{
    const char *name = field->human_name != NULL ? field->human_name : field->name;
    size_t width = strlen(name) > field->width ? strlen(name) : field->width;

    struct table_line header = table->header;

    if (table->rows == 0) {
        line_put_column(&header, name, width, field->human == NULL);
    }
    if (header.length < header.size) {
        table->header = header;
    }
    if (field->human != NULL) {
        line_put_column(&table->row, field->human, width, false);
    } else {
        line_put_text_column(&table->row, field->string, width);
    }
}

static void put_field(struct table *table, const struct field *field)
{
    struct table_line before = table->row;

    if (table->json) {
        put_json_field(table, field);
    } else {
        put_human_field(table, field);
    }
    if (table->row.length == table->row.size) {
        table->row = before;
        table->truncated = true;
    }
}

void table_begin(struct table *table, const char *kind, bool json)
{
    table->kind = kind;
    table->json = json;
    table->rows = 0;
    table->header = (struct table_line){.text = table->header_text, .size = TABLE_HEADER_MAX};
}

void table_row(struct table *table)
{
    table->truncated = false;
    table->row = (struct table_line){.text = table->row_text, .size = TABLE_ROW_MAX};
    if (table->json) {
        line_put_text(&table->row, "{\"kind\":");
        line_put_json_string(&table->row, table->kind);
    }
}

void table_text(struct table *table, const char *name, unsigned width, const char *text)
{
    put_field(table, &(struct field){.name = name, .width = width, .string = text});
}

void table_bool(struct table *table, const char *name, unsigned width, bool value)
{
    put_field(table, &(struct field){.name = name,
                                     .width = width,
                                     .json = value ? "true" : "false",
                                     .human = value ? "yes" : "no"});
}

static void put_number_field(struct table *table, const char *name, unsigned width,
                             const char *text)
{
    put_field(table, &(struct field){.name = name, .width = width, .json = text, .human = text});
}

void table_number(struct table *table, const char *name, unsigned width, uint64_t value)
{
    char text[24];

    format_text(text, sizeof(text), "%llu", (unsigned long long)value);
    put_number_field(table, name, width, text);
}

void table_signed(struct table *table, const char *name, unsigned width, int64_t value)
{
    char text[24];

    format_text(text, sizeof(text), "%lld", (long long)value);
    put_number_field(table, name, width, text);
}

void table_thousandths(struct table *table, const char *name, unsigned width, int64_t thousandths)
{
    char text[32];
    uint64_t size = thousandths < 0 ? -(uint64_t)thousandths : (uint64_t)thousandths;

    format_text(text, sizeof(text), "%s%llu.%03llu", thousandths < 0 ? "-" : "",
                (unsigned long long)(size / 1000), (unsigned long long)(size % 1000));
    put_number_field(table, name, width, text);
}

void table_none(struct table *table, const char *name, unsigned width)
{
    put_field(table, &(struct field){.name = name, .width = width, .json = "null", .human = "-"});
}

void table_hex(struct table *table, const char *name, unsigned width, uint64_t value)
{
    char text[24];

    format_text(text, sizeof(text), "0x%llx", (unsigned long long)value);
    put_field(table, &(struct field){.name = name, .width = width, .human = text, .string = text});
}

void table_numbers(struct table *table, const char *name, unsigned width, const uint64_t *values,
                   size_t count)
{
    char text[TABLE_ROW_MAX] = "[";
    size_t length = 1;

    for (size_t i = 0; i < count && length < sizeof(text); i++) {
        length += format_text(text + length, sizeof(text) - length, i == 0 ? "%llu" : ",%llu",
                              (unsigned long long)values[i]);
    }
    if (length + 1 >= sizeof(text)) {
        table->truncated = true;
        return;
    }
    text[length] = table->json ? ']' : '\0';
    text[length + 1] = '\0';
    put_field(table,
              &(struct field){.name = name, .width = width, .json = text, .human = text + 1});
}

void table_texts(struct table *table, const char *name, unsigned width, const char *const *texts,
                 size_t count)
{
    char text[TABLE_ROW_MAX];
    struct table_line list = {.text = text, .size = sizeof(text)};

    if (table->json) {
        line_put(&list, "[", 1);
    }
    for (size_t i = 0; i < count; i++) {
        if (table->json) {
            line_put_text(&list, i == 0 ? "" : ",");
            line_put_json_string(&list, texts[i]);
        } else {
            line_put_text(&list, i == 0 ? "" : " < ");
            line_put_text(&list, texts[i]);
        }
    }
    line_put_text(&list, table->json ? "]" : "");
    if (list.length == list.size) {
        table->truncated = true;
        return;
    }
    text[list.length] = '\0';
    put_field(table,
              &(struct field){
                  .name = name, .width = width, .json = table->json ? text : NULL, .string = text});
}

void table_time(struct table *table, const char *name, unsigned width, uint64_t nanoseconds)
{
    table_time_or_none(table, name, width, true, nanoseconds);
}

void table_time_or_none(struct table *table, const char *name, unsigned width, bool is_one,
                        uint64_t nanoseconds)
{
    char json[24];
    char human[24];
    char human_name[NAME_MAX];

    format_text(json, sizeof(json), "%llu", (unsigned long long)nanoseconds);
    format_text(human, sizeof(human), "%llu.%03llu", (unsigned long long)(nanoseconds / 1000),
                (unsigned long long)(nanoseconds % 1000));
    format_text(human_name, sizeof(human_name), "%.*s_us", (int)strlen(name) - 3, name);
    put_field(table, &(struct field){.name = name,
                                     .human_name = human_name,
                                     .width = width,
                                     .json = is_one ? json : "null",
                                     .human = is_one ? human : "-"});
}

/* Writes the end of a line into the room that is always left for it, and prints the line. */
static void line_print(struct table_line *line, const char *tail)
{
    line->length += format_text(line->text + line->length, line->size - line->length, "%s\n", tail);
    console_write(line->text, line->length);
}

void table_end_row(struct table *table)
{
    if (table->json) {
        line_print(&table->row, table->truncated ? ",\"truncated\":true}" : "}");
    } else {
        if (table->rows == 0) {
            line_print(&table->header, "");
        }
        line_print(&table->row, table->truncated ? " ..." : "");
    }
    table->rows++;
}

void table_end(struct table *table)
{
    if (!table->json && table->rows == 0) {
        console_print("(none)\n");
    }
}
