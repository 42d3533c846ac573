// SPDX-License-Identifier: MIT
/* Generated functions with one site each, for the live platform. Invariant: the value a function
 * returns tells which instruction was executed: the old one, the new one, or a mixture of their
 * bytes. Used by: test_live.c, test_live_platform.c, tests/silicon.
 *
 *     entry:  mov eax, LIVE_ENTERED
 *             cmp eax, eax                before a conditional jump: "equal"
 *     site:   old or new instruction
 *             jmp ok                      a longer nop made of mixed bytes swallows this
 *             mov eax, LIVE_MIXED; ret
 *     ok:     add eax, LIVE_FELL; ret
 *
 * Where a comparison stands, or is to stand, the flags are the value:
 *
 *     entry:  mov eax, LIVE_ENTERED
 *             cmp eax, eax
 *     site:   old or new instruction: cmp rax, ... or a nop
 *             pushf; pop rax; and eax, ...; or eax, LIVE_COMPARED; ret
 *
 * The targets of old and new instruction are pads that add LIVE_OLD_TARGET or LIVE_NEW_TARGET. At
 * every other place to which a mixture of their bytes may jump stands a pad that returns
 * LIVE_MIXED, and at the address of each word that is compared with stands one whose flags are told
 * from those of the other, or of each that is called through, the address of such a pad. What a
 * mixture does instead is an illegal instruction, or leaves the arena: the program ends, unless it
 * handles SIGILL and SIGSEGV. A few mixtures are nops of the right length, and do no harm. */
#pragma once

#include "patching/poke.h"

#include <stddef.h>
#include <stdint.h>

enum live_result {
    LIVE_FELL = 0x1,
    LIVE_OLD_TARGET = 0x20,
    LIVE_NEW_TARGET = 0x40,
    LIVE_ENTERED = 0x100,
    LIVE_COMPARED = 0x1000, /* + flags */
    LIVE_MIXED = 0x10000,   /* this or more */
};

/* Where the bytes of a site lie. "Across": the boundary lies inside the site, and is of no larger
 * kind. */
enum live_placement {
    LIVE_IN_QUADWORD,
    LIVE_ACROSS_QUADWORD,
    LIVE_ACROSS_HALF_LINE, /* 32 bytes: what many CPUs fetch at once */
    LIVE_ACROSS_LINE,
    LIVE_ACROSS_PAGE,
    LIVE_PLACEMENTS
};

const char *live_placement_name(enum live_placement placement);

/* An instruction before it has a place. */
struct live_instruction {
    uint8_t kind; /* enum instruction_kind */
    uint8_t condition;
    int32_t distance; /* target - end of the instruction; of a COMPARE the value */
};

/* A pair of instructions of one length, each of which a site may turn into the other. */
struct live_form {
    const char *name;
    uint8_t length;
    struct live_instruction instructions[2]; /* old, new */
};

extern const struct live_form live_forms[];
extern const size_t live_form_count;

/* The one whose mixtures are all detected: nop5 and a jump that differs in each byte. */
extern const struct live_form *const live_form_detecting;

struct live_site {
    uint32_t (*run)(void);
    uint64_t address;
    uint8_t length;
    uint8_t bytes[2][PATCH_SITE_LENGTH_MAX]; /* old, new */
    uint32_t results[2];                     /* what run() returns then */
};

/* Returns NULL, or what failed. Context: once, after live_initialize(). */
const char *live_sites_initialize(void);

/* Makes a site that shows its old bytes, @split of which lie before the boundary (in a quadword: so
 * far from its start, if that fits). Returns false when the arena is full. */
bool live_site_make(struct live_site *site, const struct live_form *form,
                    enum live_placement placement, unsigned split);

/* Makes every form at every placement with every split: at most @size sites. Returns how many. */
size_t live_sites_make_all(struct live_site *sites, size_t size);

/* Adds @site to @batch: from state 1 - @state to @state (0: old, 1: new). */
enum patch_status live_site_add(struct patch_batch *batch, const struct live_site *site,
                                unsigned state);

/* True if @address lies in the memory of the sites and their pads. */
bool live_sites_contain(uint64_t address);
