// SPDX-License-Identifier: MIT
/* See fetch.h. Called by: machine.c, fuzz_batch.c. */
#include "tests/fuzz/fetch.h"

#include "patching/trap_statistics.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/machine.h"
#include "tests/fuzz/oracle.h"

#include <string.h>

enum { INT3 = 0xcc, QUADWORD = sizeof(uint64_t) };

/* What one byte of a site may be fetched as; both bits if old and new are the same. */
enum seen { SEEN_OLD = 1, SEEN_NEW = 2, SEEN_INT3 = 4 };

struct fetched_site {
    uint64_t address;
    uint8_t length;
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t seen[PATCH_SITE_LENGTH_MAX]; /* since the last sync, byte by byte */
    bool is_touched;                     /* written since the last sync */
    bool is_replaced;                    /* as a whole, by one store */
    bool is_last;
    bool has_stand_in;
    uint64_t stand_in;
};

static struct fetched_site sites[PATCH_BATCH_MAX];
static uint32_t site_count;
static uint16_t owner[ARENA_SIZE]; /* of each byte: index + 1 */
static uint16_t touched[PATCH_BATCH_MAX];
static uint32_t touched_count;
static unsigned turn; /* varies CPU, flags and stack from trap to trap */
static unsigned emulated;
static bool any_mixture_goes;
static uint32_t last_count;
static bool promise_is_given; /* the new instruction of a last site may have been executed */

void fetch_reset(bool is_naive)
{
    site_count = touched_count = 0;
    emulated = last_count = 0;
    promise_is_given = false;
    any_mixture_goes = is_naive;
    memset(owner, 0, sizeof(owner));
}

static void see_current(struct fetched_site *site)
{
    const uint8_t *text = (const uint8_t *)site->address;

    for (size_t i = 0; i < site->length; i++) {
        bool is_int3 = i == 0 && text[i] == INT3;

        site->seen[i] =
            (uint8_t)((text[i] == site->old_bytes[i] ? SEEN_OLD : 0) |
                      (text[i] == site->new_bytes[i] ? SEEN_NEW : 0) | (is_int3 ? SEEN_INT3 : 0));
    }
    site->is_touched = site->is_replaced = false;
}

void fetch_watch(const struct model_site *watched)
{
    struct fetched_site *site = &sites[site_count++];

    site->address = watched->address;
    site->length = watched->length;
    site->is_last = watched->is_last;
    site->has_stand_in = watched->has_stand_in;
    site->stand_in = watched->stand_in;
    last_count += site->is_last;
    memcpy(site->old_bytes, watched->old_bytes, site->length);
    memcpy(site->new_bytes, watched->new_bytes, site->length);
    see_current(site);
    for (size_t i = 0; i < site->length; i++) {
        owner[site->address - ARENA_ADDRESS + i] = (uint16_t)site_count;
    }
}

unsigned fetch_emulated(void)
{
    return emulated;
}

static struct fetched_site *touch(uint64_t address)
{
    uint16_t index = owner[address - ARENA_ADDRESS];

    FUZZ_CHECK(index != 0, "write outside all sites: %#llx", (unsigned long long)address);
    if (!sites[index - 1].is_touched) {
        sites[index - 1].is_touched = true;
        touched[touched_count++] = (uint16_t)(index - 1);
    }
    return &sites[index - 1];
}

/* An old byte and a new one of the same fetch: of two places where they differ. */
static void check_mixtures(const struct fetched_site *site)
{
    bool old_before = false, new_before = false;

    if (!(site->seen[0] & (SEEN_OLD | SEEN_NEW))) {
        return; /* only int3: what stands behind it is not fetched */
    }
    for (size_t i = 0; i < site->length; i++) {
        bool differs = site->old_bytes[i] != site->new_bytes[i];
        bool may_be_old = differs && site->seen[i] & SEEN_OLD;
        bool may_be_new = differs && site->seen[i] & SEEN_NEW;

        FUZZ_CHECK(!(old_before && may_be_new) && !(new_before && may_be_old),
                   "a CPU may fetch mixed bytes at %#llx", (unsigned long long)site->address);
        old_before |= may_be_old;
        new_before |= may_be_new;
    }
}

/* Whether a CPU may fetch the whole old instruction, or the new one. */
static bool may_execute(const struct fetched_site *site, enum seen as)
{
    for (size_t i = 0; i < site->length; i++) {
        if (!(site->seen[i] & as)) {
            return false;
        }
    }
    return true;
}

/* Of a replaced site either is fetched: see fetch_note_quadword(). */
static void check_promise(void)
{
    for (uint32_t i = 0; last_count > 0 && !promise_is_given && i < site_count; i++) {
        promise_is_given =
            sites[i].is_last && (sites[i].is_replaced || may_execute(&sites[i], SEEN_NEW));
    }
    for (uint32_t i = 0; promise_is_given && i < site_count; i++) {
        FUZZ_CHECK(sites[i].is_last || (!sites[i].is_replaced && !may_execute(&sites[i], SEEN_OLD)),
                   "old instruction at %#llx behind a last one",
                   (unsigned long long)sites[i].address);
    }
}

/* Intel SDM, volume 1, appendix B, "EFLAGS Condition Codes". */
static bool condition_holds(unsigned condition, uint64_t flags)
{
    bool c = flags & 1, p = flags >> 2 & 1, z = flags >> 6 & 1, s = flags >> 7 & 1,
         o = flags >> 11 & 1;
    const bool holds[16] = {o, !o, c, !c, z,      !z,     c || z,        !c && !z,
                            s, !s, p, !p, s != o, s == o, z || (s != o), !z && s == o};

    return holds[condition];
}

/* Intel SDM, volume 1, appendix A, "EFLAGS Cross-Reference": what CMP modifies. */
static uint64_t flags_compared(uint64_t left, uint64_t right, uint64_t flags)
{
    __int128 difference = (__int128)(int64_t)left - (int64_t)right;
    uint64_t result = left - right;

    flags &= ~0x8d5ull;
    flags |= left < right;
    flags |= __builtin_popcount(result & 0xff) % 2 == 0 ? 1 << 2 : 0;
    flags |= (left & 15) < (right & 15) ? 1 << 4 : 0;
    flags |= left == right ? 1 << 6 : 0;
    flags |= (int64_t)result < 0 ? 1 << 7 : 0;
    flags |= difference != (int64_t)result ? 1 << 11 : 0;
    return flags;
}

static uint64_t word_at(uint64_t address)
{
    uint64_t word;

    memcpy(&word, (const void *)address, sizeof(word));
    return word;
}

/* The flags behind @instruction. */
static uint64_t flags_behind(const struct instruction *instruction, uint64_t ax, uint64_t flags)
{
    if (instruction->kind == INSTRUCTION_COMPARE_MEMORY) {
        return flags_compared(ax, word_at(instruction->target), flags);
    }
    return instruction->kind == INSTRUCTION_COMPARE ? flags_compared(ax, instruction->target, flags)
                                                    : flags;
}

static bool reads_word(const struct instruction *instruction)
{
    return instruction->kind == INSTRUCTION_COMPARE_MEMORY ||
           instruction->kind == INSTRUCTION_CALL_MEMORY;
}

/* A word outside the arena faults in the handler as it does anywhere. */
static bool would_fault(const struct instruction *instruction)
{
    return reads_word(instruction) &&
           instruction->target - ARENA_ADDRESS > ARENA_SIZE - sizeof(uint64_t);
}

/* What the int3 of @site stands for. */
static struct instruction meaning_of(const struct fetched_site *site)
{
    struct instruction instruction = {.kind = INSTRUCTION_CALL, .target = site->stand_in};
    const uint8_t *bytes = site->is_last ? site->old_bytes : site->new_bytes;

    FUZZ_CHECK(site->has_stand_in ||
                   oracle_decode(bytes, site->length, site->address, &instruction),
               "in flight, but no instruction");
    return instruction;
}

/* A CPU runs into the int3 of @site, or into one it fetched before that went away. */
static void run_into(const struct fetched_site *site)
{
    uint64_t stack[4] = {1, 2, 0x1122334455667788, 3};
    unsigned cpu = ++turn % machine.possible_cpus;
    uint64_t flags = (turn * 0x9e3779b9u) >> 7;
    uint64_t next = site->address + site->length;
    bool int3_stands = *(const uint8_t *)site->address == INT3;
    uint64_t retried = patch_traps_retried(cpu);

    if (any_mixture_goes || !(site->seen[0] & SEEN_INT3)) {
        return;
    }
    struct instruction instruction = meaning_of(site);

    if (would_fault(&instruction)) {
        return;
    }
    struct patch_registers registers = {
        .sp = (uint64_t)&stack[2], .flags = flags, .ax = turn % 2 ? 77 : instruction.target};
    uint64_t ax = registers.ax;

    FUZZ_CHECK(machine_trap(cpu, site->address, &registers), "int3 at %#llx is not resolved",
               (unsigned long long)site->address);
    if (!int3_stands && patch_traps_retried(cpu) != retried) { /* no batch in flight has it */
        FUZZ_CHECK(registers.ip == site->address && registers.sp == (uint64_t)&stack[2] &&
                       registers.flags == flags,
                   "retry goes astray");
        return;
    }
    enum instruction_kind kind = instruction.kind;
    uint64_t to = kind == INSTRUCTION_RETURN ? stack[2] : next;
    bool calls = kind == INSTRUCTION_CALL || kind == INSTRUCTION_CALL_MEMORY;
    uint64_t pushed = calls ? (uint64_t)&stack[1] : (uint64_t)&stack[2];

    if (oracle_has_target(kind) &&
        (kind != INSTRUCTION_JUMP_IF || condition_holds(instruction.condition, flags))) {
        to = instruction.target;
    }
    if (kind == INSTRUCTION_CALL_MEMORY) {
        to = word_at(instruction.target);
    }
    FUZZ_CHECK(registers.ip == to, "emulation goes to %#llx instead of %#llx",
               (unsigned long long)registers.ip, (unsigned long long)to);
    FUZZ_CHECK(registers.flags == flags_behind(&instruction, ax, flags), "wrong flags");
    FUZZ_CHECK(registers.sp == (kind == INSTRUCTION_RETURN ? (uint64_t)&stack[3] : pushed),
               "wrong stack");
    FUZZ_CHECK(stack[1] == (calls ? next : 2), "wrong return address");
    FUZZ_CHECK(registers.ax == (kind == INSTRUCTION_RETURN_ZERO ? 0 : ax), "wrong result");
    emulated++;
}

void fetch_note_byte(uint64_t address, uint8_t value, bool is_parked)
{
    struct fetched_site *site = touch(address);
    size_t i = address - site->address;
    uint8_t seen = (uint8_t)((value == site->old_bytes[i] ? SEEN_OLD : 0) |
                             (value == site->new_bytes[i] ? SEEN_NEW : 0) |
                             (value == INT3 && i == 0 ? SEEN_INT3 : 0));

    FUZZ_CHECK(seen != 0, "byte %#x at %#llx is neither old nor new nor int3", value,
               (unsigned long long)address);
    FUZZ_CHECK(!site->is_replaced || value == *(const uint8_t *)address,
               "single byte after a quadword, without a sync");
    *(uint8_t *)address = value;
    site->seen[i] |= seen;
    if (!is_parked && !any_mixture_goes) {
        check_mixtures(site);
        run_into(site);
        check_promise();
    }
}

void fetch_note_quadword(uint64_t address, uint64_t value)
{
    uint8_t bytes[QUADWORD];
    struct fetched_site *site = NULL;

    memcpy(bytes, &value, QUADWORD);
    for (size_t i = 0; i < QUADWORD; i++) {
        if (bytes[i] != *(uint8_t *)(address + i)) {
            struct fetched_site *changed = touch(address + i);

            FUZZ_CHECK(site == NULL || site == changed, "one store changes two sites");
            site = changed;
        }
    }
    memcpy((void *)address, bytes, QUADWORD);
    if (site == NULL) {
        return;
    }
    FUZZ_CHECK(memcmp((void *)site->address, site->old_bytes, site->length) == 0 ||
                   memcmp((void *)site->address, site->new_bytes, site->length) == 0,
               "store leaves mixed bytes at %#llx", (unsigned long long)site->address);
    FUZZ_CHECK(site->is_replaced || !(site->seen[0] & SEEN_INT3),
               "quadword over an int3, without a sync");
    site->is_replaced = true;
    check_promise();
}

void fetch_note_sync(void)
{
    fetch_run_into_all();
    for (uint32_t i = 0; i < touched_count; i++) {
        see_current(&sites[touched[i]]);
        check_mixtures(&sites[touched[i]]);
    }
    touched_count = 0;
    check_promise();
}

void fetch_run_into_all(void)
{
    for (uint32_t i = 0; i < touched_count; i++) {
        run_into(&sites[touched[i]]);
    }
    if (site_count > 0) { /* and one that was touched earlier */
        run_into(&sites[turn++ % site_count]);
    }
    fetch_run_into_stranger(ARENA_ADDRESS + machine.stranger);
}

void fetch_run_into_stranger(uint64_t address)
{
    uint16_t index = owner[address - ARENA_ADDRESS];
    uint64_t stack[2] = {0};
    struct patch_registers registers = {.sp = (uint64_t)&stack[1], .flags = turn, .ax = 1};
    bool is_int3 = *(const uint8_t *)address == INT3;

    if (index != 0 && sites[index - 1].address == address) {
        return;
    }
    turn++;
    bool resolved = machine_trap(turn % machine.possible_cpus, address, &registers);

    FUZZ_CHECK(resolved != is_int3, "int3 of nobody resolved, or a vanished one not");
    FUZZ_CHECK(registers.ip == (is_int3 ? address + 1 : address) &&
                   registers.sp == (uint64_t)&stack[1] && registers.flags == turn - 1 &&
                   registers.ax == 1,
               "registers changed for a stranger");
}
