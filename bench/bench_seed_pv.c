// SPDX-License-Identifier: MIT
/* Seed 4 in `bench seeds`: what is left of a patched paravirt call. Published: its listing of
 * _spin_lock before and after; measured: a function of this kernel that takes and releases a lock,
 * read from the text in each form, and what a lock and unlock execute by `bench pv`. Invariant:
 * bytes are what stood in the text; what they mean is said only where it is known. Called by:
 * bench_seeds.c. */
#include "bench/bench_seed_pv.h"

#include "arch/instruction_shape.h"
#include "arch/paravirt.h"
#include "bench/bench_pv.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/thread.h"
#include "patching/instruction.h"

#define SEED_BLOCKS    20
#define SEED_BUDGET_NS 2000000000ull

/* Seed 4, "Re: Performance overhead of paravirt_ops on native identified", 2009-05-14: the site in
 * its listings of _spin_lock. */
static const struct {
    const char *form, *symbol, *insn, *target;
} published[] = {
    {"published, before", "_spin_lock+0xf", "callq *0xffffffff805a5b30", "?"},
    {"published, after", "_spin_lock+0xf", "callq", "__ticket_spin_lock"},
    {"published, after", "_spin_lock+0x14", "nop; nop", "-"},
};
#define SEED4_SITE_BYTES          7 /* 22 - 15 */
#define SEED4_INSTRUCTIONS_BEFORE 1
#define SEED4_INSTRUCTIONS_AFTER  2 /* the call and "whatever 2-byte nop" */

static struct pv_result results[PV_LOOP_COUNT][PV_COLUMN_COUNT];

/* ---- the text ---- */

enum { TEXT_MAX = 256 };

/* Functions that hold the ops of a lock: one of the shortest. */
static const struct {
    uint64_t address;
} functions[] = {
    {(uint64_t)thread_count},
};
enum { FUNCTIONS = sizeof(functions) / sizeof(functions[0]) };

/* As they stood there in each form. */
static uint8_t texts[PARAVIRT_FORM_COUNT][FUNCTIONS][TEXT_MAX];

static void texts_read(enum paravirt_form form)
{
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        memcpy(texts[form][i], (const void *)functions[i].address, TEXT_MAX);
    }
}

bool bench_seed_pv_measure(struct shell_session *session)
{
    const struct pv_request request = {
        .command = "bench seeds",
        .rows = 1u << PV_LOOP_LOCK_PAIR | 1u << PV_LOOP_LOCK_SAVE,
        .blocks = SEED_BLOCKS,
        .budget_ns = SEED_BUDGET_NS,
    };
    const struct pv_forms before = pv_forms_now();
    bool is_read = true;

    for (unsigned form = 0; is_read && form < PARAVIRT_FORM_COUNT; form++) {
        const struct pv_forms forms = pv_forms_all((enum paravirt_form)form);

        is_read = pv_forms_set(&forms, request.command);
        if (is_read) {
            texts_read((enum paravirt_form)form);
        }
    }
    return pv_forms_set(&before, request.command) && is_read &&
           pv_measure(session, &request, results);
}

/* ---- the rows ---- */

struct pv_row {
    const char *what, *unit;
    int64_t published_before, published_after; /* 0: not published */
    bool is_known;
    int64_t before, after;
};

static void row_print(struct table *table, const struct pv_row *row)
{
    static const char *const names[] = {"published_before", "published_after", "measured_before",
                                        "measured_after"};
    const int64_t values[] = {row->published_before, row->published_after, row->before, row->after};

    table_row(table);
    table_number(table, "seed", 4, 4);
    table_text(table, "what", 44, row->what);
    table_text(table, "unit", 8, row->unit);
    for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
        bool is_known = i < 2 ? values[i] != 0 : row->is_known;

        if (is_known) {
            table_signed(table, names[i], 0, values[i]);
        } else {
            table_none(table, names[i], 0);
        }
    }
    table_none(table, "after_min", 9);
    table_none(table, "after_max", 9);
    table_end_row(table);
}

/* What a pass of @loop executes in @column beyond the native copy. */
static int64_t instructions_more(unsigned loop, enum pv_column column)
{
    return (int64_t)(results[loop][column].counts.instructions -
                     results[loop][PV_NATIVE].counts.instructions);
}

static int64_t ps_more(unsigned loop, enum pv_column column)
{
    return results[loop][column].times.p50_ps - results[loop][PV_NATIVE].times.p50_ps;
}

static bool is_counted(unsigned loop)
{
    return results[loop][PV_INDIRECT].counts.is_known && results[loop][PV_INLINE].counts.is_known &&
           results[loop][PV_NATIVE].counts.is_known;
}

void bench_seed_pv_print_rows(struct table *table)
{
    static const struct pv_row site[] = {
        {"bytes of a site", "bytes", SEED4_SITE_BYTES, SEED4_SITE_BYTES, true, PARAVIRT_SITE_LENGTH,
         PARAVIRT_SITE_LENGTH},
        {"instructions of a site", "insns", SEED4_INSTRUCTIONS_BEFORE, SEED4_INSTRUCTIONS_AFTER,
         true, 1, 1},
    };
    static const struct {
        unsigned loop;
        const char *what, *time;
    } pairs[] = {
        {PV_LOOP_LOCK_PAIR, "lock and unlock, more than native", "the same, time"},
        {PV_LOOP_LOCK_SAVE, "the same, interrupts saved and restored", "that, time"},
    };

    for (unsigned i = 0; i < ARRAY_COUNT(site); i++) {
        row_print(table, &site[i]);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(pairs); i++) {
        unsigned loop = pairs[i].loop;

        row_print(table, &(struct pv_row){pairs[i].what, "insns", 0, 0, is_counted(loop),
                                          instructions_more(loop, PV_INDIRECT),
                                          instructions_more(loop, PV_INLINE)});
        row_print(table, &(struct pv_row){pairs[i].time, "ps", 0, 0, true,
                                          ps_more(loop, PV_INDIRECT), ps_more(loop, PV_INLINE)});
    }
}

/* ---- the listing ---- */

struct line {
    const char *form;
    uint64_t address;
    const uint8_t *bytes;
    size_t length;
    const char *text; /* NULL: what instruction_decode() makes of it */
};

static void line_print(struct table *table, const struct line *line)
{
    struct instruction instruction;
    char symbol[SYMBOL_TEXT_MAX], target[SYMBOL_TEXT_MAX] = "-";
    char hex[PATCH_BYTES_TEXT_MAX], insn[INSTRUCTION_TEXT_SIZE] = "-";
    bool is_known =
        line->text == NULL &&
        instruction_decode(line->bytes, line->length, line->address, &instruction) == PATCH_OK;

    if (is_known) {
        instruction_text(&instruction, insn, sizeof(insn));
    }
    if (is_known && instruction.kind == INSTRUCTION_CALL) {
        symbol_describe(instruction.target, target, sizeof(target));
    } else if (is_known && instruction.kind == INSTRUCTION_CALL_MEMORY) {
        symbol_describe(*(const uint64_t *)instruction.target, target, sizeof(target));
    }
    table_row(table);
    table_number(table, "seed", 4, 4);
    table_text(table, "form", 17, line->form);
    table_text(table, "symbol", 23, symbol_describe(line->address, symbol, sizeof(symbol)));
    table_text(table, "bytes", 14, patch_bytes_text(line->bytes, line->length, hex));
    table_text(table, "insn", 26, line->text != NULL ? line->text : insn);
    table_text(table, "target", 0, target);
    table_end_row(table);
}

static void published_print(struct table *table)
{
    for (unsigned i = 0; i < ARRAY_COUNT(published); i++) {
        table_row(table);
        table_number(table, "seed", 4, 4);
        table_text(table, "form", 17, published[i].form);
        table_text(table, "symbol", 23, published[i].symbol);
        table_none(table, "bytes", 14);
        table_text(table, "insn", 26, published[i].insn);
        table_text(table, "target", 0, published[i].target);
        table_end_row(table);
    }
}

static const struct paravirt_op *op_at(uint64_t address)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        if (site->address == address) {
            return &paravirt_ops[site->op];
        }
    }
    return NULL;
}

/* The text of the way that an inlined site of @op holds; NULL: it is a call. */
static const char *inlined_text(const struct paravirt_op *op, enum paravirt_form form)
{
    const struct paravirt_way *way = __atomic_load_n(&op->way, __ATOMIC_RELAXED);

    return form == PARAVIRT_INLINE && paravirt_way_is_instruction(way) ? way->text : NULL;
}

static void function_print(struct table *table, enum paravirt_form form, unsigned function,
                           bool with_all)
{
    static const char *const names[] = {"as built", "direct", "inline"};
    uint64_t start = functions[function].address;
    uint64_t offset = 0;
    struct instruction_shape shape;

    for (unsigned at = 0; at + INSTRUCTION_SHAPE_LONGEST <= TEXT_MAX; at += shape.length) {
        const uint8_t *bytes = &texts[form][function][at];
        const struct paravirt_op *op = op_at(start + at);

        if (symbol_find(start + at, &offset) == NULL || offset != at ||
            !instruction_shape(bytes, INSTRUCTION_SHAPE_LONGEST, &shape)) {
            return; /* the next function, or what fills the gap */
        }
        if (op != NULL || with_all) {
            line_print(table, &(struct line){
                                  .form = names[form],
                                  .address = start + at,
                                  .bytes = bytes,
                                  .length = shape.length,
                                  .text = op != NULL ? inlined_text(op, form) : NULL,
                              });
        }
    }
}

void bench_seed_pv_print_text(bool json, bool with_listing)
{
    struct table table;

    table_begin(&table, "bench.seed.paravirt", json);
    published_print(&table);
    for (unsigned function = 0; function < FUNCTIONS; function++) {
        for (unsigned form = 0; form < PARAVIRT_FORM_COUNT; form++) {
            function_print(&table, (enum paravirt_form)form, function, with_listing);
        }
    }
    table_end(&table);
}
