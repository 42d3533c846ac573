// SPDX-License-Identifier: MIT
/* Seed 3 in `bench seeds`: packets dropped a second by entries of the dispatcher, and the code for
 * the seed's own addresses. Published figures and listing are constants of this file; measured ones
 * are never. Called by: bench_seeds.c. */
#include "bench/bench_seed_dispatch.h"

#include "bench/bench_net_entries.h"
#include "bench/bench_net_memory.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "patching/dispatcher_image.h"
#include "patching/image_text.h"

/* Seed 3, "Introduce the BPF dispatcher" (v1, 2019), a card of 40 GbE at 3 GHz, thousands of
 * packets a second. @choice: of bench_net_entry_words[]. "Full" was 16 entries then. */
static const struct published {
    const char *what, *more;
    unsigned choice;
    uint64_t kpps;
    int64_t percent;
} published[] = {
    {"packets a second, 0 entries", NULL, BENCH_NET_NONE, 22700, 0},
    {"packets a second, 1 entry", "the same, more than without", 1, 31700, 40},
    {"packets a second, 2 entries", "the same, more than without", 2, 32200, 42},
    {"packets a second, 4 entries", "the same, more than without", 3, 32000, 41},
    {"packets a second, 8 entries", "the same, more than without", 4, 31300, 39},
    {"packets a second, 16 entries", "the same, more than without", 5, 32100, 41},
    {"packets a second, full, miss", "the same, more than without", BENCH_NET_FULL, 22400, -1},
};

static struct bench_net_rates measured[ARRAY_COUNT(published)]; /* the first one is left out */

bool bench_seed_dispatch_is_possible(void)
{
    return bench_net_entries_can_begin("bench seeds");
}

bool bench_seed_dispatch_measure(struct shell_session *session)
{
    for (size_t i = 1; i < ARRAY_COUNT(published); i++) {
        if (!bench_net_drop_rates(session, "bench seeds", published[i].choice, &measured[i])) {
            return false;
        }
    }
    return true;
}

/* Begins a row, up to its measured figures. */
static void row_begin(struct table *table, const char *what, const char *unit, uint64_t before,
                      int64_t after)
{
    table_row(table);
    table_number(table, "seed", 4, 3);
    table_text(table, "what", 44, what);
    table_text(table, "unit", 8, unit);
    table_number(table, "published_before", 0, before);
    table_signed(table, "published_after", 0, after);
}

void bench_seed_dispatch_print_rows(struct table *table)
{
    for (size_t i = 1; i < ARRAY_COUNT(published); i++) {
        const struct bench_net_rates *rates = &measured[i];

        row_begin(table, published[i].what, "kpps", published[0].kpps, (int64_t)published[i].kpps);
        table_signed(table, "measured_before", 0, rates->without / 1000);
        table_signed(table, "measured_after", 0, rates->with / 1000);
        table_none(table, "after_min", 9);
        table_none(table, "after_max", 9);
        table_end_row(table);
        row_begin(table, published[i].more, "percent", 0, published[i].percent);
        table_signed(table, "measured_before", 0, 0);
        table_signed(table, "measured_after", 0, rates->percent);
        table_signed(table, "after_min", 9, rates->percent_min);
        table_signed(table, "after_max", 9, rates->percent_max);
        table_end_row(table);
    }
}

/* The seed's listing for 16 programs at -16 to -1, nops left out: where, what, with what. */
#define LISTED_ADDRESS  0xffffffffc0020000ull
#define LISTED_FALLBACK 0xffffffff81c00f10ull
#define LISTED_COUNT    16
#define LISTED_BYTES    594

/* clang-format off */
static const struct listed {
    uint16_t offset;
    uint8_t kind;
    int16_t operand; /* compares and je: a program; jg: an offset; jmp: the fallback */
} listed[] = {
#define CMP IMAGE_COMPARE
#define JG  IMAGE_JUMP_IF_GREATER
#define JE  IMAGE_JUMP_IF_EQUAL
#define JMP IMAGE_JUMP
    {0x0, CMP, -9}, {0x7, JG, 0x130}, {0xd, CMP, -13}, {0x14, JG, 0xa0}, {0x1a, CMP, -15},
    {0x21, JG, 0x60}, {0x23, CMP, -16}, {0x2a, JG, 0x40}, {0x2c, CMP, -16}, {0x33, JE, -16},
    {0x39, JMP, 0}, {0x40, CMP, -15}, {0x47, JE, -15}, {0x4d, JMP, 0}, {0x60, CMP, -14},
    {0x67, JG, 0x80}, {0x69, CMP, -14}, {0x70, JE, -14}, {0x76, JMP, 0}, {0x80, CMP, -13},
    {0x87, JE, -13}, {0x8d, JMP, 0}, {0xa0, CMP, -11}, {0xa7, JG, 0xf0}, {0xa9, CMP, -12},
    {0xb0, JG, 0xd0}, {0xb2, CMP, -12}, {0xb9, JE, -12}, {0xbf, JMP, 0}, {0xd0, CMP, -11},
    {0xd7, JE, -11}, {0xdd, JMP, 0}, {0xf0, CMP, -10}, {0xf7, JG, 0x110}, {0xf9, CMP, -10},
    {0x100, JE, -10}, {0x106, JMP, 0}, {0x110, CMP, -9}, {0x117, JE, -9}, {0x11d, JMP, 0},
    {0x130, CMP, -5}, {0x137, JG, 0x1d0}, {0x13d, CMP, -7}, {0x144, JG, 0x190}, {0x146, CMP, -8},
    {0x14d, JG, 0x170}, {0x14f, CMP, -8}, {0x156, JE, -8}, {0x15c, JMP, 0}, {0x170, CMP, -7},
    {0x177, JE, -7}, {0x17d, JMP, 0}, {0x190, CMP, -6}, {0x197, JG, 0x1b0}, {0x199, CMP, -6},
    {0x1a0, JE, -6}, {0x1a6, JMP, 0}, {0x1b0, CMP, -5}, {0x1b7, JE, -5}, {0x1bd, JMP, 0},
    {0x1d0, CMP, -3}, {0x1d7, JG, 0x220}, {0x1d9, CMP, -4}, {0x1e0, JG, 0x200}, {0x1e2, CMP, -4},
    {0x1e9, JE, -4}, {0x1ef, JMP, 0}, {0x200, CMP, -3}, {0x207, JE, -3}, {0x20d, JMP, 0},
    {0x220, CMP, -2}, {0x227, JG, 0x240}, {0x229, CMP, -2}, {0x230, JE, -2}, {0x236, JMP, 0},
    {0x240, CMP, -1}, {0x247, JE, -1}, {0x24d, JMP, 0},
};
/* clang-format on */

static uint64_t listed_operand(const struct listed *row)
{
    if (row->kind == IMAGE_JUMP) {
        return LISTED_FALLBACK;
    }
    return (row->kind == IMAGE_JUMP_IF_GREATER ? LISTED_ADDRESS : 0) +
           (uint64_t)(int64_t)row->operand;
}

static void instruction_print(struct table *table, const struct image_instruction *instruction,
                              uint64_t address, const struct listed *row)
{
    if (table == NULL) {
        return;
    }
    bool is_equal = row != NULL && address == LISTED_ADDRESS + row->offset &&
                    instruction->kind == row->kind && instruction->operand == listed_operand(row);

    table_row(table);
    table_number(table, "seed", 4, 3);
    table_hex(table, "address", 18, address);
    table_text(table, "insn", 4, image_instruction_name(instruction->kind));
    table_hex(table, "operand", 18, instruction->operand);
    table_bool(table, "as_listed", 0, is_equal);
    table_end_row(table);
}

/* Prints them to @table, unless that is NULL. Returns how many instructions are as listed, one
 * after the other, and none more. */
static size_t listing_compare(const uint8_t *bytes, size_t length, struct table *table)
{
    struct image_instruction instruction;
    size_t next = 0, equal = 0;

    for (size_t at = 0; at < length; at += instruction.length) {
        if (!image_instruction_decode(bytes + at, length - at, LISTED_ADDRESS + at, &instruction)) {
            return 0;
        }
        if (instruction.kind == IMAGE_NOP) {
            continue;
        }
        const struct listed *row = next < ARRAY_COUNT(listed) ? &listed[next] : NULL;

        equal += row != NULL && at == row->offset && instruction.kind == row->kind &&
                 instruction.operand == listed_operand(row);
        next++;
        instruction_print(table, &instruction, LISTED_ADDRESS + at, row);
    }
    return next == ARRAY_COUNT(listed) ? equal : 0;
}

static void verdict_print(bool json, size_t equal, size_t length)
{
    struct table table;

    table_begin(&table, "bench.seed.verdict", json);
    table_row(&table);
    table_number(&table, "seed", 4, 3);
    table_number(&table, "listed", 0, ARRAY_COUNT(listed));
    table_number(&table, "as_listed", 0, equal);
    table_number(&table, "published_bytes", 0, LISTED_BYTES);
    table_number(&table, "bytes", 0, length);
    table_text(&table, "verdict", 0,
               equal == ARRAY_COUNT(listed) && length <= LISTED_BYTES ? "equal" : "different");
    table_end_row(&table);
    table_end(&table);
}

void bench_seed_dispatch_print_listing(bool json, bool with_listing)
{
    static uint8_t bytes[DISPATCHER_HALF_BYTES];
    uint64_t targets[LISTED_COUNT];
    uint8_t hottest[LISTED_COUNT];
    const struct dispatcher_image_request request = {
        .shape = DISPATCHER_TREE,
        .count = LISTED_COUNT,
        .address = LISTED_ADDRESS,
        .fallback = LISTED_FALLBACK,
        .targets = targets,
        .hottest = hottest,
    };
    struct table table;
    size_t length = 0;

    for (unsigned i = 0; i < LISTED_COUNT; i++) {
        targets[i] = (uint64_t)i - LISTED_COUNT;
        hottest[i] = (uint8_t)i;
    }
    if (dispatcher_image_generate(&request, bytes, &length, NULL) != PATCH_OK) {
        console_print("bench seeds: no image for the addresses of seed 3\n");
        return;
    }
    size_t equal;

    if (with_listing) {
        table_begin(&table, "bench.seed.listing", json);
        equal = listing_compare(bytes, length, &table);
        table_end(&table);
    } else {
        equal = listing_compare(bytes, length, NULL);
    }
    verdict_print(json, equal, length);
}
