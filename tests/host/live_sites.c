// SPDX-License-Identifier: MIT
/* See live_sites.h. Invariant: nothing generated overlaps anything else that was. */
#include "tests/host/live_sites.h"

#include "patching/instruction.h"
#include "tests/host/live_text.h"

#include <string.h>
#include <sys/mman.h>

enum {
    QUADWORD = 8,
    HALF_LINE = 32,
    LINE = 64,
    PAGE = 4096,
    EQUAL = 4, /* true where a site is executed */
    NOT_EQUAL = 5,
    FLAGS = 0x8d5, /* those that a comparison sets */
    OLD_WORD = LIVE_ENTERED - 1,
    NEW_WORD = LIVE_ENTERED + 1,
    PLACES_MAX = 1 << PATCH_SITE_LENGTH_MAX,
    ILLEGAL = 0x06, /* push es: no instruction in 64-bit mode */
};

/* Sites stand in the middle; a mixture of a small positive and a small negative distance is one of
 * up to 16 MiB in either direction. */
#define REACH_BYTES  ((16ull << 20) + (128 << 10))
#define MIDDLE_BYTES (4ull << 20)
#define ARENA_BYTES  (MIDDLE_BYTES + 2 * REACH_BYTES)

/* Distances of which each pair differs in all four bytes, and whose mixtures are at least one pad
 * apart. BEHIND also turns nop5 into an illegal instruction (0f 0b) or a longer nop (0f 1f 80). */
#define AHEAD  0x00004450
#define BEHIND (-0x7ff5)
#define SHORT  0x3d /* makes of nop2 an instruction that swallows the next two bytes (66 3d) */

const struct live_form live_forms[] = {
    {"nop5 - jmp", 5, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_JUMP, 0, BEHIND}}},
    {"jmp - jmp", 5, {{INSTRUCTION_JUMP, 0, AHEAD}, {INSTRUCTION_JUMP, 0, BEHIND}}},
    {"nop5 - call", 5, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_CALL, 0, BEHIND}}},
    {"call - call", 5, {{INSTRUCTION_CALL, 0, AHEAD}, {INSTRUCTION_CALL, 0, BEHIND}}},
    {"call - jmp", 5, {{INSTRUCTION_CALL, 0, AHEAD}, {INSTRUCTION_JUMP, 0, BEHIND}}},
    {"nop5 - ret", 5, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_RETURN, 0, 0}}},
    {"call - return 0", 5, {{INSTRUCTION_CALL, 0, AHEAD}, {INSTRUCTION_RETURN_ZERO, 0, 0}}},
    {"nop5 - return 0", 5, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_RETURN_ZERO, 0, 0}}},
    {"je - je", 6, {{INSTRUCTION_JUMP_IF, EQUAL, AHEAD}, {INSTRUCTION_JUMP_IF, EQUAL, BEHIND}}},
    {"je - jne",
     6,
     {{INSTRUCTION_JUMP_IF, EQUAL, AHEAD}, {INSTRUCTION_JUMP_IF, NOT_EQUAL, BEHIND}}},
    {"nop6 - je", 6, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_JUMP_IF, EQUAL, BEHIND}}},
    {"nop6 - call6", 6, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_CALL, 0, BEHIND}}},
    {"call memory - call6",
     6,
     {{INSTRUCTION_CALL_MEMORY, 0, AHEAD}, {INSTRUCTION_CALL, 0, BEHIND}}},
    {"call memory - call memory",
     6,
     {{INSTRUCTION_CALL_MEMORY, 0, AHEAD}, {INSTRUCTION_CALL_MEMORY, 0, BEHIND}}},
    {"nop6 - ret", 6, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_RETURN, 0, 0}}},
    {"nop2 - jmp", 2, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_JUMP, 0, SHORT}}},
    {"nop2 - je", 2, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_JUMP_IF, EQUAL, SHORT}}},
    {"jne - jmp", 2, {{INSTRUCTION_JUMP_IF, NOT_EQUAL, SHORT + 16}, {INSTRUCTION_JUMP, 0, SHORT}}},
    {"nop2 - ret", 2, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_RETURN, 0, 0}}},
    {"nop7 - cmp", 7, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_COMPARE, 0, BEHIND}}},
    {"cmp - cmp", 7, {{INSTRUCTION_COMPARE, 0, AHEAD}, {INSTRUCTION_COMPARE, 0, BEHIND}}},
    {"nop7 - cmp memory", 7, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_COMPARE_MEMORY, 0, BEHIND}}},
    {"cmp memory - cmp memory",
     7,
     {{INSTRUCTION_COMPARE_MEMORY, 0, AHEAD}, {INSTRUCTION_COMPARE_MEMORY, 0, BEHIND}}},
    {"cmp - cmp memory",
     7,
     {{INSTRUCTION_COMPARE, 0, AHEAD}, {INSTRUCTION_COMPARE_MEMORY, 0, BEHIND}}},
    {"nop1 - ret", 1, {{INSTRUCTION_NOP, 0, 0}, {INSTRUCTION_RETURN, 0, 0}}},
};
const size_t live_form_count = sizeof(live_forms) / sizeof(live_forms[0]);
const struct live_form *const live_form_detecting = &live_forms[0];

static uint8_t *arena;      /* executable */
static uint8_t *arena_used; /* a byte for each of its bytes */
static uint64_t cursors[LIVE_PLACEMENTS];

/* A piece of code that must stand at one place. */
struct piece {
    uint64_t address;
    uint8_t length;
    uint8_t code[32];
};

/* All the pieces of one site. */
struct plan {
    unsigned count;
    struct piece pieces[PLACES_MAX + 5]; /* function, pads, words, and pads that these lead to */
};

const char *live_placement_name(enum live_placement placement)
{
    static const char *const names[LIVE_PLACEMENTS] = {
        "in quadword", "across quadword", "across 32 bytes", "across line", "across page",
    };

    return names[placement];
}

const char *live_sites_initialize(void)
{
    arena = live_text_create(ARENA_BYTES);
    arena_used = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return arena != NULL && arena_used != MAP_FAILED ? NULL : "no memory for generated code";
}

bool live_sites_contain(uint64_t address)
{
    return address >= (uint64_t)arena && address < (uint64_t)arena + ARENA_BYTES;
}

static bool pieces_overlap(const struct piece *a, const struct piece *b)
{
    return a->address < b->address + b->length && b->address < a->address + a->length;
}

/* True if piece @i of @plan overlaps neither what was placed before nor those planned before it. */
static bool piece_fits(const struct plan *plan, unsigned i)
{
    const struct piece *piece = &plan->pieces[i];
    uint64_t offset = piece->address - (uint64_t)arena;

    for (unsigned other = 0; other < i; other++) {
        if (pieces_overlap(piece, &plan->pieces[other])) {
            return false;
        }
    }
    return offset < ARENA_BYTES - piece->length &&
           memchr(arena_used + offset, 1, piece->length) == NULL;
}

static void piece_place(const struct piece *piece)
{
    memset(arena_used + (piece->address - (uint64_t)arena), 1, piece->length);
    memcpy(live_text_writable((const void *)piece->address, piece->length), piece->code,
           piece->length);
}

/* A pad that adds @result and returns, or returns LIVE_MIXED. One that is planned already counts.
 */
static void plan_pad(struct plan *plan, uint64_t address, enum live_result result)
{
    static const uint8_t mixed[] = {0xb8, 0x00, 0x00, 0x01, 0x00, INSN_RET}; /* mov eax, .. */
    const uint8_t adding[] = {0x83, 0xc0, (uint8_t)result, INSN_RET};        /* add eax, .. */
    struct piece *piece = &plan->pieces[plan->count];

    for (unsigned i = 0; i < plan->count; i++) {
        if (plan->pieces[i].address == address) {
            return;
        }
    }
    plan->count++;
    piece->address = address;
    piece->length = result == LIVE_MIXED ? sizeof(mixed) : sizeof(adding);
    memcpy(piece->code, result == LIVE_MIXED ? mixed : adding, piece->length);
}

static bool has_target(unsigned kind)
{
    return kind == INSTRUCTION_JUMP || kind == INSTRUCTION_JUMP_IF || kind == INSTRUCTION_CALL;
}

static bool is_comparison(unsigned kind)
{
    return kind == INSTRUCTION_COMPARE || kind == INSTRUCTION_COMPARE_MEMORY;
}

static bool reads_word(unsigned kind)
{
    return kind == INSTRUCTION_COMPARE_MEMORY || kind == INSTRUCTION_CALL_MEMORY;
}

static bool has_comparison(const struct live_form *form)
{
    return is_comparison(form->instructions[0].kind) || is_comparison(form->instructions[1].kind);
}

static bool encode(const struct live_form *form, unsigned state, uint64_t address, uint8_t *bytes)
{
    const struct live_instruction *from = &form->instructions[state];
    struct instruction instruction = {
        .kind = from->kind,
        .length = form->length,
        .condition = from->condition,
        .target = (uint64_t)(int64_t)from->distance,
    };

    if (has_target(from->kind) || reads_word(from->kind)) {
        instruction.target += address + form->length;
    }

    return instruction_encode(&instruction, address, bytes) == PATCH_OK;
}

static bool is_conditional(const struct live_form *form)
{
    return form->instructions[0].kind == INSTRUCTION_JUMP_IF ||
           form->instructions[1].kind == INSTRUCTION_JUMP_IF;
}

/* The function with the site in it; @site->address is set. */
static void plan_function(struct plan *plan, struct live_site *site, const struct live_form *form)
{
    static const uint8_t head[] = {0xb8, 0x00, 0x01, 0x00, 0x00}; /* mov eax, LIVE_ENTERED */
    static const uint8_t compare[] = {0x39, 0xc0};                /* cmp eax, eax */
    static const uint8_t rest[] = {
        INSN_JMP8, 6,                                         /* jmp ok */
        0xb8,      0x00, 0x00,      0x01,     0x00, INSN_RET, /* mov eax, LIVE_MIXED; ret */
        0x83,      0xc0, LIVE_FELL, INSN_RET,                 /* ok: add eax, LIVE_FELL; ret */
    };
    static const uint8_t flags_rest[] = {
        0x9c,
        0x58, /* pushf; pop rax */
        0x25,
        FLAGS & 0xff,
        FLAGS >> 8,
        0,
        0, /* and eax, FLAGS */
        0x0d,
        0,
        LIVE_COMPARED >> 8, /* or eax, LIVE_COMPARED; ret */
        0,
        0,
        INSN_RET,
    };
    struct piece *piece = &plan->pieces[plan->count++];
    bool tells_flags = has_comparison(form);
    size_t compare_length = is_conditional(form) || tells_flags ? sizeof(compare) : 0;
    size_t rest_length = tells_flags ? sizeof(flags_rest) : sizeof(rest);
    uint8_t *code = piece->code;

    piece->address = site->address - sizeof(head) - compare_length;
    site->run = (uint32_t(*)(void))piece->address;
    memcpy(code, head, sizeof(head));
    code += sizeof(head);
    memcpy(code, compare, compare_length);
    code += compare_length;
    memcpy(code, site->bytes[0], site->length);
    code += site->length;
    memcpy(code, tells_flags ? flags_rest : rest, rest_length);
    piece->length = (uint8_t)(code + rest_length - piece->code);
}

/* A word that a comparison of @site is to find, or the address of a pad that it is to call. Whoever
 * goes to that word instead, by a mixture that is a direct call, finds an illegal instruction. */
static void plan_word(struct plan *plan, const struct live_site *site, const struct live_form *form,
                      unsigned state)
{
    struct piece *piece = &plan->pieces[plan->count];
    const struct live_instruction *instruction = &form->instructions[state];
    uint64_t word = state == 0 ? OLD_WORD : NEW_WORD;

    if (!reads_word(instruction->kind)) {
        return;
    }
    piece->address = site->address + site->length + (uint64_t)(int64_t)instruction->distance;
    piece->length = sizeof(word);
    plan->count++;
    if (instruction->kind == INSTRUCTION_CALL_MEMORY) {
        word = ((piece->address + 0x100) & ~0xffull) | ILLEGAL;
        plan_pad(plan, word, state == 0 ? LIVE_OLD_TARGET : LIVE_NEW_TARGET);
    }
    memcpy(piece->code, &word, sizeof(word));
}

/* The pads of old and new instruction, and of whatever the other mixtures of their bytes are. */
static void plan_pads(struct plan *plan, const struct live_site *site)
{
    static const enum live_result results[2] = {LIVE_OLD_TARGET, LIVE_NEW_TARGET};
    unsigned all = (1u << site->length) - 1;
    struct instruction instruction;

    for (unsigned order = 0; order <= all; order++) {
        /* The two whole ones first: their pads count. */
        unsigned mask = order == 0 ? 0 : order == 1 ? all : order - 1;
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        for (unsigned i = 0; i < site->length; i++) {
            bytes[i] = site->bytes[mask >> i & 1][i];
        }
        if (instruction_decode(bytes, site->length, site->address, &instruction) == PATCH_OK &&
            has_target(instruction.kind) && live_sites_contain(instruction.target)) {
            plan_pad(plan, instruction.target, order < 2 ? results[order] : LIVE_MIXED);
        }
    }
}

/* Flags behind cmp rax, @with, as the function enters it. */
static uint32_t compared_result(uint64_t with)
{
    uint64_t flags;

    __asm__("cmp %[with], %[entered]\n\tpushf\n\tpop %[flags]"
            : [flags] "=r"(flags)
            : [with] "r"(with), [entered] "r"((uint64_t)LIVE_ENTERED)
            : "cc");
    return LIVE_COMPARED + (uint32_t)(flags & FLAGS);
}

static uint32_t expected_result(const struct live_form *form, unsigned state)
{
    static const uint32_t targets[2] = {LIVE_OLD_TARGET, LIVE_NEW_TARGET};
    const struct live_instruction *instruction = &form->instructions[state];

    switch (instruction->kind) {
    case INSTRUCTION_COMPARE:
        return compared_result((uint64_t)(int64_t)instruction->distance);
    case INSTRUCTION_COMPARE_MEMORY:
        return compared_result(state == 0 ? OLD_WORD : NEW_WORD);
    case INSTRUCTION_JUMP:
        return LIVE_ENTERED + targets[state];
    case INSTRUCTION_JUMP_IF:
        return LIVE_ENTERED + (instruction->condition == EQUAL ? targets[state] : LIVE_FELL);
    case INSTRUCTION_CALL:
    case INSTRUCTION_CALL_MEMORY:
        return LIVE_ENTERED + targets[state] + LIVE_FELL;
    case INSTRUCTION_RETURN:
        return LIVE_ENTERED;
    case INSTRUCTION_RETURN_ZERO:
        return LIVE_FELL;
    default:
        return has_comparison(form) ? compared_result(LIVE_ENTERED) : LIVE_ENTERED + LIVE_FELL;
    }
}

/* Plans all the code of a site at @address; false if some of it does not fit. */
static bool plan_make(struct plan *plan, struct live_site *site, const struct live_form *form,
                      uint64_t address)
{
    plan->count = 0;
    site->address = address;
    site->length = form->length;
    for (unsigned state = 0; state < 2; state++) {
        if (!encode(form, state, address, site->bytes[state])) {
            return false;
        }
        site->results[state] = expected_result(form, state);
    }
    plan_function(plan, site, form);
    plan_word(plan, site, form, 0);
    plan_word(plan, site, form, 1);
    plan_pads(plan, site);
    for (unsigned i = 0; i < plan->count; i++) {
        if (!piece_fits(plan, i)) {
            return false;
        }
    }
    return true;
}

/* True if a boundary of the right kind comes @split bytes behind @address. */
static bool placement_matches(uint64_t address, unsigned length, enum live_placement placement,
                              unsigned split)
{
    static const unsigned sizes[LIVE_PLACEMENTS] = {0, QUADWORD, HALF_LINE, LINE, PAGE};

    if (placement == LIVE_IN_QUADWORD) {
        return address % QUADWORD == (split <= QUADWORD - length ? split : 0);
    }
    if ((address + split) % sizes[placement] != 0) {
        return false;
    }
    return placement == LIVE_ACROSS_PAGE || (address + split) % sizes[placement + 1] != 0;
}

bool live_site_make(struct live_site *site, const struct live_form *form,
                    enum live_placement placement, unsigned split)
{
    static struct plan plan;
    uint64_t address = (uint64_t)arena + REACH_BYTES;
    uint64_t end = address + MIDDLE_BYTES;

    if (cursors[placement] > address) {
        address = cursors[placement];
    }
    for (; address < end; address++) {
        if (placement_matches(address, form->length, placement, split) &&
            plan_make(&plan, site, form, address)) {
            for (unsigned i = 0; i < plan.count; i++) {
                piece_place(&plan.pieces[i]);
            }
            cursors[placement] = address;
            return true;
        }
    }
    return false;
}

size_t live_sites_make_all(struct live_site *sites, size_t size)
{
    size_t count = 0;

    for (size_t form = 0; form < live_form_count; form++) {
        unsigned splits = live_forms[form].length;

        for (unsigned placement = 0; placement < LIVE_PLACEMENTS; placement++) {
            for (unsigned split = 1; split < splits || split == 1; split++) {
                if (splits == 1 && placement != LIVE_IN_QUADWORD) {
                    continue; /* one byte lies across nothing */
                }
                if (count == size ||
                    !live_site_make(&sites[count], &live_forms[form], placement, split)) {
                    return 0;
                }
                count++;
            }
        }
    }
    return count;
}

enum patch_status live_site_add(struct patch_batch *batch, const struct live_site *site,
                                unsigned state)
{
    return patch_batch_add(batch, site->address, site->bytes[1 - state], site->bytes[state],
                           site->length);
}
