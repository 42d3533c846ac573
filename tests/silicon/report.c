// SPDX-License-Identifier: MIT
/* See report.h. A row is kept until it is whole, because the first one prints the head as well. */
#include "tests/silicon/report.h"

#include "tests/silicon/options.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    CELLS_MAX = 20,
    CELL_SIZE = 96,
    TEXT_WIDTH = 22, /* at least; what the first row holds may be wider */
    NUMBER_WIDTH = 9,
    FRACTION_BELOW = 1000, /* hundredths of more say nothing */
};

#define HUNDREDTH 0.01

static struct cell {
    const char *name;
    bool is_text;
    char value[CELL_SIZE];
} cells[CELLS_MAX];
static int widths[CELLS_MAX];
static unsigned cell_count;
static const char *kind;
static bool head_is_due;
static bool progress_is_shown;

static void progress_clear(void)
{
    if (progress_is_shown) {
        fprintf(stderr, "\r\033[K");
        progress_is_shown = false;
    }
}

void report_begin(const char *new_kind, const char *title)
{
    progress_clear();
    kind = new_kind;
    head_is_due = true;
    if (!options.json) {
        printf("\n%s\n", title);
    }
}

__attribute__((format(printf, 3, 4))) static void cell_add(const char *name, bool is_text,
                                                           const char *format, ...)
{
    struct cell *cell = &cells[cell_count++];
    va_list arguments;

    cell->name = name;
    cell->is_text = is_text;
    va_start(arguments, format);
    vsnprintf(cell->value, CELL_SIZE, format, arguments);
    va_end(arguments);
}

void report_text(const char *name, const char *value)
{
    cell_add(name, true, "%s", value);
}

void report_count(const char *name, uint64_t value)
{
    cell_add(name, false, "%lu", (unsigned long)value);
}

void report_real(const char *name, double value)
{
    if (fabs(value) < HUNDREDTH / 2) {
        value = 0; /* no "-0.00" */
    }
    cell_add(name, false, fabs(value) < FRACTION_BELOW ? "%.2f" : "%.0f", value);
}

void report_truth(const char *name, bool value)
{
    if (options.json) {
        cell_add(name, false, value ? "true" : "false");
    } else {
        cell_add(name, true, value ? "yes" : "NO");
    }
}

void report_none(const char *name)
{
    cell_add(name, false, options.json ? "null" : "-");
}

void report_no_truth(const char *name)
{
    cell_add(name, !options.json, options.json ? "null" : "-");
}

/* No text of ours holds anything else that JSON wants escaped. */
static void print_json_text(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            putchar('\\');
        }
        putchar(*text);
    }
    putchar('"');
}

static void print_json_row(void)
{
    printf("{\"kind\":\"%s\"", kind);
    for (unsigned i = 0; i < cell_count; i++) {
        printf(",\"%s\":", cells[i].name);
        if (cells[i].is_text) {
            print_json_text(cells[i].value);
        } else {
            printf("%s", cells[i].value);
        }
    }
    printf("}\n");
}

/* As wide as its kind asks for, its name, and its value in the first row. */
static int cell_width(const struct cell *cell)
{
    size_t width = cell->is_text ? TEXT_WIDTH : NUMBER_WIDTH;

    width = strlen(cell->name) > width ? strlen(cell->name) : width;
    return (int)(strlen(cell->value) > width ? strlen(cell->value) : width);
}

static void print_cell(unsigned i, const char *text)
{
    printf(cells[i].is_text ? "%-*s  " : "%*s  ", widths[i], text);
}

static void print_head(void)
{
    for (unsigned i = 0; i < cell_count; i++) {
        widths[i] = cell_width(&cells[i]);
        print_cell(i, cells[i].name);
    }
    printf("\n");
}

static void print_table_row(void)
{
    if (head_is_due) {
        print_head();
    }
    for (unsigned i = 0; i < cell_count; i++) {
        print_cell(i, cells[i].value);
    }
    printf("\n");
    head_is_due = false;
}

void report_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "silicon: cannot write to stdout: %s\n", strerror(errno));
        _exit(1); /* not exit(): stdout would be flushed again */
    }
}

void report_figure(const char *name, double value)
{
    if (value < 0) {
        report_none(name);
    } else {
        report_real(name, value);
    }
}

void report_row(void)
{
    progress_clear();
    if (options.json) {
        print_json_row();
    } else {
        print_table_row();
    }
    report_flush();
    cell_count = 0;
}

void report_note(const char *format, ...)
{
    char text[256];
    va_list arguments;

    progress_clear();
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (options.json) {
        printf("{\"kind\":\"silicon.note\",\"text\":");
        print_json_text(text);
        printf("}\n");
    } else {
        printf("%s\n", text);
    }
    report_flush();
}

void report_progress(const char *format, ...)
{
    va_list arguments;

    if (!isatty(STDERR_FILENO)) {
        return;
    }
    fprintf(stderr, "\r\033[K... ");
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fflush(stderr);
    progress_is_shown = true;
}
