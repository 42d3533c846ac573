// SPDX-License-Identifier: MIT
/* Tables of who is called; see dynamic_count.h. Invariant: each word of a table is loaded and
 * stored whole, and stands for itself, so no order between them is needed: all is relaxed. Called
 * by: dynamic_watch.c, dynamic_call.c, dynamic_auto.c, tests. */
#include "patching/dynamic_count.h"

#include "patching/bytes.h"

static uint64_t load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELAXED);
}

/* Where calls of @target are counted; a free row is taken for it. By compare-and-swap: else an
 * interrupt between load and store would take the same row for another target, whose calls would
 * be counted as those of @target. A row that is taken begins with 0, whatever somebody who was on
 * the way while the table was cleared has stored there. */
static uint64_t *counter_find(struct dynamic_count *count, uint64_t target)
{
    for (unsigned i = 0; i < DYNAMIC_ROWS; i++) {
        struct dynamic_row *row = &count->rows[i];
        uint64_t there = load(&row->target);

        if (there == 0 && __atomic_compare_exchange_n(&row->target, &there, target, false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            store(&row->calls, 0);
            return &row->calls;
        }
        if (there == target) {
            return &row->calls;
        }
    }
    return &count->others;
}

/* No locked instruction once the target has a row: that would cost as much as what is counted. */
void dynamic_count_call(struct dynamic_count *count, uint64_t target)
{
    uint64_t *counter = counter_find(count, target);

    store(counter, load(counter) + 1);
}

/* The lowest target above @last in any table, with its calls; its target is 0 if there is none. */
static struct dynamic_row row_above(uint64_t last, const struct dynamic_count *counts,
                                    uint32_t cpus)
{
    struct dynamic_row lowest = {0, 0};

    for (uint32_t i = 0; i < cpus * DYNAMIC_ROWS; i++) {
        const struct dynamic_row *row = &counts[i / DYNAMIC_ROWS].rows[i % DYNAMIC_ROWS];
        uint64_t target = load(&row->target);

        if (target <= last) {
            continue;
        }
        if (lowest.target == 0 || target < lowest.target) {
            lowest = (struct dynamic_row){target, 0};
        }
        if (target == lowest.target) {
            lowest.calls += load(&row->calls);
        }
    }
    return lowest;
}

/* Behind rows with as many calls: they have lower targets. */
static void census_insert(struct dynamic_census *census, struct dynamic_row row)
{
    uint32_t at = census->row_count;

    if (at == DYNAMIC_CENSUS_ROWS) {
        struct dynamic_row *least = &census->rows[--at];

        if (row.calls <= least->calls) {
            census->others += row.calls;
            return;
        }
        census->others += least->calls;
    } else {
        census->row_count++;
    }
    for (; at > 0 && census->rows[at - 1].calls < row.calls; at--) {
        census->rows[at] = census->rows[at - 1];
    }
    census->rows[at] = row;
}

/* One pass over the tables for each target, from the lowest on: that needs no memory to sort rows
 * in, and there are few targets where learning is worth anything. */
void dynamic_count_merge(struct dynamic_census *census, const struct dynamic_count *counts,
                         uint32_t cpus)
{
    struct dynamic_row row = {0, 0};

    bytes_clear(census, sizeof(*census));
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        census->others += load(&counts[cpu].others);
    }
    census->total = census->others;
    while ((row = row_above(row.target, counts, cpus)).target != 0) {
        census->total += row.calls;
        if (row.calls != 0) {
            census_insert(census, row);
        }
    }
}

void dynamic_count_clear(struct dynamic_count *counts, uint32_t cpus)
{
    for (uint32_t cpu = 0; cpu < cpus; cpu++) {
        for (unsigned i = 0; i < DYNAMIC_ROWS; i++) {
            store(&counts[cpu].rows[i].target, 0);
            store(&counts[cpu].rows[i].calls, 0);
        }
        store(&counts[cpu].others, 0);
    }
}

/* In each row that has it: with rows free in front of it, it may have been given another. */
void dynamic_count_forget(struct dynamic_count *counts, uint32_t cpus, uint64_t target)
{
    for (uint32_t i = 0; i < cpus * DYNAMIC_ROWS; i++) {
        struct dynamic_row *row = &counts[i / DYNAMIC_ROWS].rows[i % DYNAMIC_ROWS];

        if (load(&row->target) == target) {
            store(&row->target, 0);
            store(&row->calls, 0);
        }
    }
}
