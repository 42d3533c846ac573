// SPDX-License-Identifier: MIT
/* The engine of `bench pv`. Invariant: all rows and forms are timed in turn, block by block, the
 * loop alone among them; whatever happens meanwhile, every op gets back the form it had. Called by:
 * bench_pv.c. */
#include "arch/paravirt.h"
#include "bench/bench_pv.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "kernel/thread.h"

/* Ticks of the blocks, by the shell's thread: one bench at a time. */
static uint64_t ticks[PV_LOOP_COUNT][PV_COLUMN_COUNT][PV_BLOCKS_MAX];
static uint64_t empty_ticks[PV_BLOCKS_MAX];

const char *pv_column_name(enum pv_column column)
{
    static const char *const names[PV_COLUMN_COUNT] = {
        [PV_INDIRECT] = "indirect",
        [PV_DIRECT] = "direct",
        [PV_INLINE] = "inline",
        [PV_NATIVE] = "native copy",
    };

    return names[column];
}

/* ---- forms ---- */

struct pv_forms pv_forms_now(void)
{
    struct pv_forms forms;

    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
        forms.form[op] = __atomic_load_n(&paravirt_ops[op].form, __ATOMIC_RELAXED);
    }
    return forms;
}

struct pv_forms pv_forms_all(enum paravirt_form form)
{
    struct pv_forms forms;

    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
        forms.form[op] = form;
    }
    return forms;
}

bool pv_forms_set(const struct pv_forms *forms, const char *command)
{
    struct patch_change changes[PARAVIRT_OP_COUNT];
    struct patch_error error = {0};
    char text[PATCH_ERROR_TEXT_MAX];

    for (unsigned op = 0; op < PARAVIRT_OP_COUNT; op++) {
        changes[op] = paravirt_form_change_to(&paravirt_ops[op], forms->form[op]);
    }
    if (patch_transaction("bench pv", changes, PARAVIRT_OP_COUNT, &error) != PATCH_OK) {
        console_print("%s: forms of paravirt ops: %s\n", command, patch_error_text(&error, text));
        return false;
    }
    return true;
}

static bool form_enter(enum pv_column column, const struct pv_request *request)
{
    const struct pv_forms forms = pv_forms_all((enum paravirt_form)column);

    return column == PV_NATIVE || pv_forms_set(&forms, request->command);
}

/* ---- times ---- */

static pv_loop *loop_of(unsigned row, enum pv_column column)
{
    return column == PV_NATIVE ? pv_loop_native(&pv_loops[row]) : pv_loops[row].patched;
}

static bool is_in(const struct pv_request *request, unsigned row)
{
    return (request->rows & 1u << row) != 0;
}

/* Text that was patched is translated again, or fetched again: not in the block that is timed. */
static uint64_t block_time(pv_loop *loop)
{
    uint64_t taken;

    preempt_disable(); /* some loops turn interrupts on */
    (void)bench_block_run(loop, 2);
    taken = bench_block_run(loop, PV_BLOCK);
    preempt_enable();
    return taken;
}

static bool round_time(const struct pv_request *request, uint32_t block)
{
    empty_ticks[block] = block_time(pv_loop_nothing);
    for (enum pv_column column = 0; column < PV_COLUMN_COUNT; column++) {
        if (!form_enter(column, request)) {
            return false;
        }
        for (unsigned row = 0; row < PV_LOOP_COUNT; row++) {
            if (is_in(request, row)) {
                ticks[row][column][block] = block_time(loop_of(row, column));
            }
        }
    }
    return true;
}

/* Returns the number of samples; 0: it could not be done. */
static uint32_t rounds_time(struct shell_session *session, const struct pv_request *request)
{
    struct bench_rounds rounds =
        bench_rounds_begin(session, request->command, request->blocks, request->budget_ns);

    while (bench_rounds_next(&rounds)) {
        if (!round_time(request, rounds.block)) {
            return 0;
        }
    }
    return rounds.blocks;
}

/* ---- counts ---- */

/* What a function holds of the ops of @row. */
static uint32_t code_bytes(const struct pv_loop_row *row, enum pv_column column)
{
    enum { CALL_LENGTH = 5 }; /* of a function, by who knows its name */
    uint32_t bytes = 0;

    for (unsigned i = 0; i < row->op_count; i++) {
        const struct paravirt_way *way = paravirt_native_ways[row->ops[i]];

        if (column != PV_NATIVE) {
            bytes += PARAVIRT_SITE_LENGTH;
        } else if (way->instruction != NULL) {
            bytes += (uint32_t)(way->instruction_end - way->instruction);
        } else {
            bytes += CALL_LENGTH;
        }
    }
    return bytes;
}

static bool column_count(const struct pv_request *request, enum pv_column column,
                         struct pv_result results[PV_LOOP_COUNT][PV_COLUMN_COUNT])
{
    if (!form_enter(column, request)) {
        return false;
    }
    for (unsigned row = 0; row < PV_LOOP_COUNT; row++) {
        if (is_in(request, row)) {
            results[row][column].counts =
                call_steps_count_less(loop_of(row, column), pv_loop_nothing);
            results[row][column].code_bytes = code_bytes(&pv_loops[row], column);
        }
    }
    return true;
}

static bool rows_measure(struct shell_session *session, const struct pv_request *request,
                         struct pv_result results[PV_LOOP_COUNT][PV_COLUMN_COUNT])
{
    uint32_t blocks = rounds_time(session, request);

    if (blocks == 0) {
        return false;
    }
    bench_blocks_sort(empty_ticks, blocks);
    for (enum pv_column column = 0; column < PV_COLUMN_COUNT; column++) {
        for (unsigned row = 0; row < PV_LOOP_COUNT; row++) {
            if (is_in(request, row)) {
                bench_blocks_sort(ticks[row][column], blocks);
                results[row][column].times =
                    bench_blocks_sum_up(ticks[row][column], empty_ticks, blocks, PV_BLOCK);
            }
        }
        if (!column_count(request, column, results)) {
            return false;
        }
    }
    return true;
}

bool pv_measure(struct shell_session *session, const struct pv_request *request,
                struct pv_result results[PV_LOOP_COUNT][PV_COLUMN_COUNT])
{
    const struct pv_forms before = pv_forms_now();
    bool is_measured = rows_measure(session, request, results);

    return pv_forms_set(&before, request->command) && is_measured;
}
