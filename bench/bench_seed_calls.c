// SPDX-License-Identifier: MIT
/* Seed 2 in `bench seeds`: whether an out-of-line static call costs an additional call and return,
 * or a tail jump. Published: what the seed's two sides say in words, as counts; measured: by `bench
 * calls`, and the bytes as they stand in the text. Called by: bench_seeds.c. */
#include "bench/bench_calls.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/instruction.h"
#include "patching/static_call.h"

#define SEED_BLOCKS    100
#define SEED_BUDGET_NS 2000000000ull

/* Seed 2, "Re: [PATCH v2 0/4] Static calls", 2018-12-12. Before: "the additional call, ret, and so
 * on"; after: "the outline version uses a tail-call (i.e. jmpq *target)". */
#define SEED2_BRANCHES_BEFORE 2
#define SEED2_BRANCHES_AFTER  1

static struct call_result results[CALL_FORM_COUNT];

bool bench_seed_calls_measure(struct shell_session *session)
{
    const struct call_request request = {
        .command = "bench seeds",
        .end = CALL_FORM_PLAIN_END,
        .blocks = SEED_BLOCKS,
        .budget_ns = SEED_BUDGET_NS,
    };

    return call_forms_measure(session, &request, results) == COMMAND_OK;
}

/* A figure that may be unknown. */
struct figure {
    bool is_known;
    int64_t value;
};

static void figure_print(struct table *table, const char *name, struct figure figure)
{
    if (figure.is_known) {
        table_signed(table, name, 0, figure.value);
    } else {
        table_none(table, name, 0);
    }
}

static void row_print(struct table *table, const char *what, const char *unit,
                      const struct figure published[2], const struct figure measured[2])
{
    table_row(table);
    table_number(table, "seed", 4, 2);
    table_text(table, "what", 44, what);
    table_text(table, "unit", 8, unit);
    figure_print(table, "published_before", published[0]);
    figure_print(table, "published_after", published[1]);
    figure_print(table, "measured_before", measured[0]);
    figure_print(table, "measured_after", measured[1]);
    table_none(table, "after_min", 9);
    table_none(table, "after_max", 9);
    table_end_row(table);
}

/* What form @id executes more than a direct call. */
static struct figure branches_more(enum call_form_id id)
{
    const struct call_counts *counts = &results[id].counts;
    const struct call_counts *direct = &results[CALL_FORM_DIRECT].counts;

    return (struct figure){counts->is_known && direct->is_known,
                           (int64_t)(counts->branches - direct->branches)};
}

static struct figure instructions_more(enum call_form_id id)
{
    const struct call_counts *counts = &results[id].counts;
    const struct call_counts *direct = &results[CALL_FORM_DIRECT].counts;

    return (struct figure){counts->is_known && direct->is_known,
                           (int64_t)(counts->instructions - direct->instructions)};
}

static struct figure ps_more(enum call_form_id id)
{
    return (struct figure){true, results[id].times.p50_ps - results[CALL_FORM_DIRECT].times.p50_ps};
}

void bench_seed_calls_print_rows(struct table *table)
{
    static const struct figure branches[2] = {{true, SEED2_BRANCHES_BEFORE},
                                              {true, SEED2_BRANCHES_AFTER}};
    static const struct figure unpublished[2];

    row_print(
        table, "branches, more than a direct call", "branches", branches,
        (struct figure[]){branches_more(CALL_FORM_WRAPPER), branches_more(CALL_FORM_OUT_OF_LINE)});
    row_print(table, "instructions, more than a direct call", "insns", unpublished,
              (struct figure[]){instructions_more(CALL_FORM_WRAPPER),
                                instructions_more(CALL_FORM_OUT_OF_LINE)});
    row_print(table, "time, more than a direct call", "ps", unpublished,
              (struct figure[]){ps_more(CALL_FORM_WRAPPER), ps_more(CALL_FORM_OUT_OF_LINE)});
}

/* The instruction of @length bytes at @address, from the text. */
static void text_row(struct table *table, const char *what, uint64_t address, size_t length)
{
    const uint8_t *bytes = (const uint8_t *)address;
    struct instruction instruction;
    char insn[INSTRUCTION_TEXT_SIZE] = "?";
    char target[SYMBOL_TEXT_MAX] = "?";
    char hex[PATCH_BYTES_TEXT_MAX];

    if (instruction_decode(bytes, length, address, &instruction) == PATCH_OK) {
        instruction_text(&instruction, insn, sizeof(insn));
        symbol_describe(instruction.target, target, sizeof(target));
    }
    table_row(table);
    table_number(table, "seed", 4, 2);
    table_text(table, "what", 26, what);
    table_hex(table, "address", 18, address);
    table_text(table, "bytes", 10, patch_bytes_text(bytes, length, hex));
    table_text(table, "insn", 24, insn);
    table_text(table, "target", 0, target);
    table_end_row(table);
}

static void call_rows(struct table *table, const char *name, const char *site,
                      const char *trampoline)
{
    const struct static_call *call = static_call_find(name);

    if (call != NULL && call->site_count > 0) {
        text_row(table, site, call->sites[0].address, INSN_CALL32_LENGTH);
        text_row(table, trampoline, call->trampoline, INSN_JMP32_LENGTH);
    }
}

void bench_seed_calls_print_text(bool json)
{
    struct table table;

    table_begin(&table, "bench.seed.text", json);
    call_rows(&table, "bench_call_out_of_line", "out of line: call", "out of line: trampoline");
    call_rows(&table, "bench_call_inline", "inline: call", "inline: trampoline, unused");
    table_end(&table);
}
