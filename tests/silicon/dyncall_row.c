// SPDX-License-Identifier: MIT
/* See dyncall_row.h. The loops are the kernel's (`bench dyncall`). */
#include "tests/silicon/dyncall_row.h"

#include "patching/platform.h"
#include "tests/silicon/dyncall_auto.h"

#include <string.h>

static uint8_t numbers[DISPATCH_SEQUENCE];

static const char *const names[DYNCALL_WAYS] = {
    [DYNCALL_CYCLES] = "cycles",       [DYNCALL_NOTHING] = "nothing",
    [DYNCALL_DIRECT] = "direct",       [DYNCALL_INDIRECT] = "indirect",
    [DYNCALL_RETPOLINE] = "retpoline", [DYNCALL_IMMEDIATE] = "imm-1",
    [DYNCALL_IMMEDIATE + 1] = "imm-2", [DYNCALL_IMMEDIATE + 2] = "imm-4",
    [DYNCALL_MEMORY] = "mem-1",        [DYNCALL_MEMORY + 1] = "mem-2",
    [DYNCALL_MEMORY + 2] = "mem-4",    [DYNCALL_OFF] = "off",
    [DYNCALL_LEARNING] = "learning",   [DYNCALL_WATCHED] = "watched",
    [DYNCALL_AUTO] = "auto",
};

const char *dyncall_way_name(enum dyncall_way way)
{
    return names[way];
}

void dyncall_row_prepare(struct dyncall_row *row)
{
    uint8_t hottest[DYNCALL_TARGETS_MAX];
    uint32_t targets = dyncall_sequence_targets(row->sequence);

    dyncall_sequence_generate(row->sequence, numbers);
    dispatch_loops_set(numbers);
    dispatch_traffic_hottest(numbers, targets, hottest);
    for (uint32_t i = 0; i < targets && i < DYNAMIC_SLOTS_MAX; i++) {
        row->hottest.slot[i] = (uint64_t)dispatch_program(hottest[i])->function;
    }
}

bool dyncall_row_has(const struct dyncall_row *row, enum dyncall_way way)
{
    if (way == DYNCALL_DIRECT) {
        return row->sequence == DYNCALL_CONSTANT;
    }
    return way != DYNCALL_AUTO || row->is_chosen;
}

static struct dynamic_targets targets_first(const struct dynamic_targets *hottest, uint32_t slots)
{
    struct dynamic_targets targets = {0};

    memcpy(targets.slot, hottest->slot, slots * sizeof(targets.slot[0]));
    return targets;
}

static const struct dyncall_size *const largest = &dyncall_sizes[DYNCALL_SIZES - 1];

static dispatch_loop *form_make(const struct dyncall_size *size,
                                const struct dynamic_call_form *form)
{
    enum patch_status status = dynamic_call_set_form(size->call, form, NULL);

    if (status != PATCH_OK) {
        platform_fatal(patch_status_text(status), size->call->name, PATCH_OK, status);
    }
    return size->loop;
}

static dispatch_loop *pinned_make(const struct dyncall_row *row, const struct dyncall_size *size,
                                  enum dynamic_compare compare, bool is_watched)
{
    const struct dynamic_call_form form = {
        .targets = targets_first(&row->hottest, size->call->slot_count),
        .compare = compare,
        .is_open = true,
        .is_watched = is_watched,
    };

    return form_make(size, &form);
}

static dispatch_loop *closed_make(bool is_watched)
{
    return form_make(largest, &(struct dynamic_call_form){.is_watched = is_watched});
}

/* As in those 15 of 16 parts of an epoch in which nobody counts. */
static dispatch_loop *chosen_make(const struct dyncall_row *row)
{
    dispatch_loop *loop = form_make(largest, &row->chosen);

    dynamic_watch_set_counting(largest->call, false);
    return loop;
}

static dispatch_loop *dynamic_make(const struct dyncall_row *row, enum dyncall_way way)
{
    switch (way) {
    case DYNCALL_OFF:
    case DYNCALL_LEARNING:
        return closed_make(way == DYNCALL_LEARNING);
    case DYNCALL_WATCHED:
        return pinned_make(row, largest, DYNAMIC_COMPARE_IMMEDIATE, true);
    case DYNCALL_AUTO:
        return chosen_make(row);
    default:
        return way < DYNCALL_MEMORY ? pinned_make(row, &dyncall_sizes[way - DYNCALL_IMMEDIATE],
                                                  DYNAMIC_COMPARE_IMMEDIATE, false)
                                    : pinned_make(row, &dyncall_sizes[way - DYNCALL_MEMORY],
                                                  DYNAMIC_COMPARE_MEMORY, false);
    }
}

static dispatch_loop *way_prepare(const struct dyncall_row *row, enum dyncall_way way)
{
    static dispatch_loop *const loops[DYNCALL_IMMEDIATE] = {
        [DYNCALL_NOTHING] = dispatch_loop_nothing,
        [DYNCALL_DIRECT] = dispatch_loop_direct,
        [DYNCALL_INDIRECT] = dispatch_loop_indirect,
        [DYNCALL_RETPOLINE] = dispatch_loop_retpoline,
    };

    return way < DYNCALL_IMMEDIATE ? loops[way] : dynamic_make(row, way);
}

void dyncall_row_choose(struct dyncall_row *row)
{
    row->is_chosen = dyncall_auto_choose(largest, &row->chosen);
}

void dyncall_row_end(void)
{
    for (unsigned i = 0; i < DYNCALL_SIZES; i++) {
        (void)form_make(&dyncall_sizes[i], &(struct dynamic_call_form){0});
    }
}

void dyncall_row_time(struct dyncall_row *row)
{
    call_cell_time_chain(&row->cells[DYNCALL_CYCLES]);
    for (enum dyncall_way way = DYNCALL_NOTHING; way < DYNCALL_WAYS; way++) {
        if (dyncall_row_has(row, way)) {
            call_cell_time(&row->cells[way], way_prepare(row, way));
        }
    }
}

double dyncall_row_ns(const struct dyncall_row *row, enum dyncall_way way)
{
    return call_cell_ns(&row->cells[way], &row->cells[DYNCALL_NOTHING]);
}

double dyncall_row_cycles(const struct dyncall_row *row, enum dyncall_way way)
{
    return call_cell_cycles(&row->cells[way], &row->cells[DYNCALL_NOTHING],
                            &row->cells[DYNCALL_CYCLES]);
}
