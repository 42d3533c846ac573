// SPDX-License-Identifier: MIT
/* For every byte of a site the values it had since the last sync: any CPU may still fetch any of
 * them. Invariant: see recorder.h. Called by: recorder.c. */
#include "tests/host/watcher.h"

#include "patching/instruction.h"
#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

enum {
    WATCH_MAX = PATCH_BATCH_MAX + 1,
    VALUES_MAX = 8,
    FLAG_BITS_ALL = 0x8d5, /* carry, parity, auxiliary, zero, sign, overflow */
};

struct watched_byte {
    uint8_t count;
    uint8_t values[VALUES_MAX];
};

/* A CPU that has not serialised fetches one of @wholes, or any mixture of @bytes. */
struct watched_site {
    uint64_t address;
    size_t length;
    bool is_last;      /* see patch_batch_add_last() */
    uint64_t stand_in; /* see patch_batch_add_stand_in(); 0: none */
    bool is_written;   /* since the batch began */
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    struct watched_byte bytes[PATCH_SITE_LENGTH_MAX];
    size_t whole_count;
    uint8_t wholes[VALUES_MAX][PATCH_SITE_LENGTH_MAX]; /* written by one store, since the sync */
};

static struct watched_site sites[WATCH_MAX];
static size_t site_count;
static uint16_t site_of_arena_byte[RECORDER_ARENA_SIZE]; /* index + 1 */
static size_t last_count;                                /* of them */
static bool promise_is_given; /* some CPU may have executed a new instruction of a last site */
static bool cpus_are_stopped;
static unsigned turn; /* varies CPU and flags from trap to trap */

void watcher_reset(void)
{
    site_count = 0;
    last_count = 0;
    promise_is_given = false;
    turn = 0;
    cpus_are_stopped = false;
    memset(site_of_arena_byte, 0, sizeof(site_of_arena_byte));
}

static void forget_stale_values(struct watched_site *site)
{
    site->whole_count = 0;
    for (size_t i = 0; i < site->length; i++) {
        site->bytes[i].count = 1;
        site->bytes[i].values[0] = ((const uint8_t *)site->address)[i];
    }
}

void recorder_watch(uint64_t address, const uint8_t *old_bytes, const uint8_t *new_bytes,
                    size_t length)
{
    struct watched_site *site = &sites[site_count++];
    uint64_t offset = address - (uint64_t)recorder_arena;

    assert_true(site_count <= WATCH_MAX && length <= PATCH_SITE_LENGTH_MAX);
    site->address = address;
    site->length = length;
    site->is_last = false;
    site->stand_in = 0;
    site->is_written = false;
    memcpy(site->old_bytes, old_bytes, length);
    memcpy(site->new_bytes, new_bytes, length);
    forget_stale_values(site);
    for (size_t i = 0; i < length && offset < RECORDER_ARENA_SIZE; i++) {
        site_of_arena_byte[offset + i] = (uint16_t)site_count;
    }
}

static struct watched_site *find_site(uint64_t address)
{
    uint64_t offset = address - (uint64_t)recorder_arena;

    if (offset < RECORDER_ARENA_SIZE) {
        return site_of_arena_byte[offset] != 0 ? &sites[site_of_arena_byte[offset] - 1] : NULL;
    }
    for (size_t i = 0; i < site_count; i++) {
        if (address - sites[i].address < sites[i].length) {
            return &sites[i];
        }
    }
    return NULL;
}

void recorder_watch_as_last(uint64_t address)
{
    struct watched_site *site = find_site(address);

    assert_non_null(site);
    site->is_last = true;
    last_count++;
}

void recorder_watch_stand_in(uint64_t address, uint64_t stand_in)
{
    struct watched_site *site = find_site(address);

    assert_non_null(site);
    site->stand_in = stand_in;
}

static bool may_fetch(const struct watched_byte *byte, uint8_t value)
{
    return memchr(byte->values, value, byte->count) != NULL;
}

static bool may_fetch_int3(const struct watched_site *site)
{
    bool may = may_fetch(&site->bytes[0], INSN_INT3);

    for (size_t i = 0; i < site->whole_count; i++) {
        may |= site->wholes[i][0] == INSN_INT3;
    }
    return may;
}

static void add_value(struct watched_byte *byte, uint8_t value)
{
    if (!may_fetch(byte, value)) {
        assert_true(byte->count < VALUES_MAX);
        byte->values[byte->count++] = value;
    }
}

/* Checks every mixture that begins with the @chosen bytes in @mixture. */
static void check_mixtures(const struct watched_site *site, uint8_t *mixture, size_t chosen)
{
    if (chosen == site->length) {
        if (memcmp(mixture, site->old_bytes, chosen) != 0 &&
            memcmp(mixture, site->new_bytes, chosen) != 0) {
            recorder.mixtures++;
            if (recorder.tolerates_mixtures) {
                return;
            }
            fail_msg("mixed bytes at %#lx: %02x %02x ... (log %s)", (unsigned long)site->address,
                     mixture[0], mixture[1], recorder_log());
        }
        return;
    }
    for (size_t i = 0; i < site->bytes[chosen].count; i++) {
        mixture[chosen] = site->bytes[chosen].values[i];
        if (chosen == 0 && mixture[0] == INSN_INT3) {
            continue; /* the rest is not fetched */
        }
        check_mixtures(site, mixture, chosen + 1);
    }
}

bool recorder_condition_holds(unsigned condition, uint64_t flags)
{
    bool holds[16];

#define SET(index, suffix)                                                                         \
    __asm__("push %1\n\tpopf\n\tset" suffix " %0"                                                  \
            : "=r"(holds[index])                                                                   \
            : "r"((flags & FLAG_BITS_ALL) | 2)                                                     \
            : "cc")
    SET(0, "o");
    SET(1, "no");
    SET(2, "b");
    SET(3, "ae");
    SET(4, "e");
    SET(5, "ne");
    SET(6, "be");
    SET(7, "a");
    SET(8, "s");
    SET(9, "ns");
    SET(10, "p");
    SET(11, "np");
    SET(12, "l");
    SET(13, "ge");
    SET(14, "le");
    SET(15, "g");
#undef SET
    return holds[condition];
}

static int64_t displacement(const uint8_t *bytes, size_t length)
{
    int32_t wide = 0;

    if (length == 1) {
        return (int8_t)bytes[0];
    }
    memcpy(&wide, bytes, sizeof(wide));
    return wide;
}

uint64_t recorder_compare(uint64_t left, uint64_t right, uint64_t flags)
{
    uint64_t result;

    __asm__("push %[flags]\n\tpopf\n\tcmp %[right], %[left]\n\tpushf\n\tpop %[result]"
            : [result] "=r"(result)
            : [flags] "r"((flags & FLAG_BITS_ALL) | 2), [left] "r"(left), [right] "r"(right)
            : "cc");
    return (flags & ~(uint64_t)FLAG_BITS_ALL) | (result & FLAG_BITS_ALL);
}

/* The same of a comparison of rax, which is a prefix, two bytes and four of operand. */
static void execute_comparison(const uint8_t *bytes, uint64_t next,
                               struct patch_registers *registers)
{
    uint64_t right = (uint64_t)displacement(bytes + 3, 4);

    if (bytes[1] == INSN_CMP_MEMORY) {
        memcpy(&right, (const void *)(next + right), sizeof(right));
    }
    registers->flags = recorder_compare(registers->ax, right, registers->flags);
}

/* call, from both forms of its operand, padded or not. */
static bool is_call(const uint8_t *bytes, size_t length)
{
    return bytes[0] == INSN_CALL32 || bytes[0] == INSN_GROUP5 ||
           (bytes[0] == INSN_PREFIX_CS && length == INSN_CALL32_PADDED_LENGTH);
}

/* What the registers must be behind a call at the end of whose site the operand stands. */
static void execute_call(const uint8_t *bytes, size_t length, uint64_t next,
                         struct patch_registers *registers, const uint64_t *stack)
{
    registers->ip = next + (uint64_t)displacement(bytes + length - 4, 4);
    if (bytes[0] == INSN_GROUP5) {
        memcpy(&registers->ip, (const void *)registers->ip, sizeof(registers->ip));
    }
    registers->sp -= 8;
    assert_int_equal(stack[-1], next);
}

/* What the registers must be behind the instruction, worked out from its bytes alone; behind the
 * int3 of a site with a stand-in, which says nothing about them. */
static void execute(const struct watched_site *site, struct patch_registers *registers,
                    uint64_t *stack)
{
    const uint8_t *bytes = site->is_last ? site->old_bytes : site->new_bytes;
    uint64_t next = site->address + site->length;

    registers->ip = next;
    if (site->stand_in != 0) {
        registers->ip = site->stand_in;
        registers->sp -= 8;
        assert_int_equal(stack[-1], next);
        return;
    }
    if (bytes[0] == INSN_JMP8 || bytes[0] == INSN_JMP32) {
        registers->ip = next + (uint64_t)displacement(bytes + 1, site->length - 1);
    }
    if (is_call(bytes, site->length)) {
        execute_call(bytes, site->length, next, registers, stack);
    }
    if ((bytes[0] & 0xf0) == INSN_JCC8 &&
        recorder_condition_holds(bytes[0] & 15, registers->flags)) {
        registers->ip = next + (uint64_t)displacement(bytes + 1, 1);
    }
    if (bytes[0] == INSN_TWO_BYTE && (bytes[1] & 0xf0) == INSN_JCC32 &&
        recorder_condition_holds(bytes[1] & 15, registers->flags)) {
        registers->ip = next + (uint64_t)displacement(bytes + 2, 4);
    }
    if (bytes[0] == INSN_RET) {
        registers->ip = stack[0];
        registers->sp += 8;
    }
    if (bytes[0] == INSN_PREFIX_CS && site->length == INSN_RETURN_ZERO_LENGTH) {
        registers->ax = 0;
    }
    if (bytes[0] == INSN_REX_W) {
        execute_comparison(bytes, next, registers);
    }
}

/* A CPU that may fetch int3 here does so, and must come out of the handler as the new instruction
 * would leave it, or the old one where the site is last; or go back to the site if the int3 is gone
 * by then, and the batch with it. */
static void run_into(const struct watched_site *site)
{
    static const uint64_t accumulators[] = {0xfeedface, 0xf4f4f4f4f4f4f4f4, 0x44332211, 0,
                                            1ull << 63};
    uint64_t stack[4] = {1, 2, 0x1122334455667788, 3};
    struct patch_registers registers = {
        .sp = (uint64_t)&stack[2],
        .flags = (turn * 0x10dull * 0x95u) & FLAG_BITS_ALL,
        .ax = accumulators[turn % ARRAY_COUNT(accumulators)],
    };
    struct patch_registers expected = registers;
    bool int3_stands = *(const uint8_t *)site->address == INSN_INT3;
    unsigned cpu = ++turn % recorder.cpus;
    uint64_t retried = patch_traps_retried(cpu);

    if (!may_fetch_int3(site)) {
        return;
    }
    if (!recorder_trap(cpu, site->address, &registers)) {
        fail_msg("int3 at %#lx not resolved (log %s)", (unsigned long)site->address,
                 recorder_log());
    }
    if (int3_stands || patch_traps_retried(cpu) == retried) {
        recorder.traps++;
        execute(site, &expected, &stack[2]);
    } else {
        expected.ip = site->address;
    }
    assert_int_equal(registers.ip, expected.ip);
    assert_int_equal(registers.sp, expected.sp);
    assert_int_equal(registers.flags, expected.flags);
    assert_int_equal(registers.ax, expected.ax);
}

/* Whether a CPU may fetch exactly @bytes at @site. */
static bool may_execute(const struct watched_site *site, const uint8_t *bytes)
{
    bool may = true;

    for (size_t i = 0; i < site->length; i++) {
        may &= may_fetch(&site->bytes[i], bytes[i]);
    }
    for (size_t i = 0; i < site->whole_count; i++) {
        may |= memcmp(site->wholes[i], bytes, site->length) == 0;
    }
    return may;
}

/* Once a new instruction of a last site may have been executed, nobody may execute an old one at
 * another site of the batch, that is one that has been written or is later: until the next batch
 * begins. Not by way of an int3 either: see run_into(). */
static void check_promise(void)
{
    if (last_count == 0 || recorder.early_boot || cpus_are_stopped || recorder.tolerates_mixtures) {
        return;
    }
    for (size_t i = 0; i < site_count; i++) {
        promise_is_given |= sites[i].is_last && may_execute(&sites[i], sites[i].new_bytes);
    }
    for (size_t i = 0; i < site_count && promise_is_given; i++) {
        if (sites[i].is_written && !sites[i].is_last &&
            may_execute(&sites[i], sites[i].old_bytes)) {
            fail_msg("old instruction at %#lx behind the new one of a last site (log %s)",
                     (unsigned long)sites[i].address, recorder_log());
        }
    }
}

void watcher_note_lock(void)
{
    promise_is_given = false;
    for (size_t i = 0; i < site_count; i++) {
        struct watched_site *site = &sites[i];
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        site->is_written = false;
        if (memcmp((const void *)site->address, site->new_bytes, site->length) == 0) {
            memcpy(bytes, site->old_bytes, sizeof(bytes));
            memcpy(site->old_bytes, site->new_bytes, sizeof(bytes));
            memcpy(site->new_bytes, bytes, sizeof(bytes));
        }
    }
}

void watcher_note_byte(uint64_t address)
{
    struct watched_site *site = find_site(address);
    uint8_t value = *(const uint8_t *)address;
    uint8_t mixture[PATCH_SITE_LENGTH_MAX] = {0};

    if (site == NULL && recorder.ignores_unwatched) {
        return;
    }
    if (site == NULL) {
        fail_msg("write outside all sites: %#lx", (unsigned long)address);
        return;
    }

    /* Bytes of stores that were whole until now may mix with this one. */
    for (size_t whole = 0; whole < site->whole_count; whole++) {
        for (size_t i = 0; i < site->length; i++) {
            add_value(&site->bytes[i], site->wholes[whole][i]);
        }
    }
    site->whole_count = 0;
    site->is_written = true;
    add_value(&site->bytes[address - site->address], value);
    if (!recorder.early_boot && !cpus_are_stopped) {
        check_mixtures(site, mixture, 0);
        run_into(site);
        check_promise();
    }
}

static bool is_settled(const struct watched_site *site)
{
    for (size_t i = 0; i < site->length; i++) {
        if (site->bytes[i].count != 1) {
            return false;
        }
    }
    return true;
}

static void note_whole(struct watched_site *site)
{
    const uint8_t *text = (const uint8_t *)site->address;

    assert_true(site->whole_count < VALUES_MAX);
    site->is_written = true;
    memcpy(site->wholes[site->whole_count++], text, site->length);
    if (memcmp(text, site->old_bytes, site->length) != 0 &&
        memcmp(text, site->new_bytes, site->length) != 0) {
        fail_msg("neither old nor new stored at %#lx (log %s)", (unsigned long)site->address,
                 recorder_log());
    }
}

void watcher_note_quadword(uint64_t address, uint64_t old_value)
{
    const uint8_t *old_bytes = (const uint8_t *)&old_value;
    const uint8_t *bytes = (const uint8_t *)address;
    const struct watched_site *noted = NULL;

    for (size_t i = 0; i < sizeof(old_value); i++) {
        if (bytes[i] == old_bytes[i]) {
            continue;
        }

        struct watched_site *site = find_site(address + i);
        bool inside = site != NULL && site->address >= address &&
                      site->address + site->length <= address + sizeof(old_value);

        if (!inside || !is_settled(site)) {
            watcher_note_byte(address + i);
        } else if (site != noted) {
            note_whole(site);
            noted = site;
        }
    }
    check_promise();
}

void watcher_note_stop(bool stopped)
{
    cpus_are_stopped = stopped;
}

void watcher_note_sync(void)
{
    for (size_t i = 0; i < site_count; i++) {
        run_into(&sites[i]);
        forget_stale_values(&sites[i]);
        run_into(&sites[i]);
    }
    check_promise();
}

void watcher_expect_synced(void)
{
    for (size_t i = 0; i < site_count; i++) {
        if (!is_settled(&sites[i]) || sites[i].whole_count != 0) {
            fail_msg("stale bytes may be fetched at %#lx (log %s)", (unsigned long)sites[i].address,
                     recorder_log());
        }
    }
}
