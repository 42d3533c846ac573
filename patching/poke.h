// SPDX-License-Identifier: MIT
/* A batch: sites that change from old to new bytes together.
 *
 * Rules for batches:
 * - Static storage, never a stack: a breakpoint handler on another CPU reads it (facts: bug 1).
 * - One owner: nobody else touches a batch between initialize and the return of apply (bug 3).
 * - All or nothing: everything is checked before the first byte is written; if a write fails midway
 *   the text is put back, and if even that fails the machine stops.
 *
 *     static struct patch_batch batch;
 *     patch_batch_initialize(&batch, "example");
 *     status = patch_batch_add(&batch, address, old_bytes, new_bytes, length);   (any order)
 *     status = patch_batch_apply(&batch);
 *     on error: batch.error names the culprit; always: batch.record tells the cost
 *
 * Not promised: while a batch is in flight some CPUs run old and some new instructions; a CPU that
 * traps runs the new one, even if the batch then fails and is put back. Sites that are last
 * (patch_batch_add_last()) say more. */
#pragma once

#include "patching/record.h"
#include "patching/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PATCH_BATCH_MAX = 4096,
    PATCH_INDEX_BUCKETS = 256,
};

/* Those that need PATCH_ALLOW_UNSAFE stand last. */
enum patch_protocol_id {
    PATCH_PROTOCOL_INT3,       /* the three steps, one site after the other */
    PATCH_PROTOCOL_INT3_BATCH, /* each step over all sites, then one sync */
    PATCH_PROTOCOL_QWORD,      /* one aligned 8-byte store a site, else int3-batch */
    PATCH_PROTOCOL_STOP,       /* all other CPUs parked meanwhile */
    PATCH_PROTOCOL_NAIVE,      /* byte by byte, no sync: wrong, to be seen failing */
    PATCH_PROTOCOL_COUNT
};

enum patch_flag {
    PATCH_ALLOW_UNSAFE = 1, /* naive is refused without it; qword uses quadwords even where CPUs do
                             * not fetch them whole */
    PATCH_STRICT = 2,       /* no falling back: qword refuses a site that cannot be written whole */
    PATCH_FLAGS_ALL = PATCH_ALLOW_UNSAFE | PATCH_STRICT,
};

/* 32 bytes: two share a cache line, none straddles one. */
struct patch_site {
    uint64_t address;
    /* From the next instruction to where the new one goes when it jumps, to the word that it reads,
     * or to the stand-in; of an INSTRUCTION_COMPARE the value itself; else 0. */
    int32_t displacement;
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t length;
    uint8_t kind; /* enum instruction_kind of the new instruction; CALL where there is a stand-in */
    uint8_t condition;
    /* Set by a protocol that will write it whole, in its aligned quadword: */
    uint8_t is_quadword : 1;
    uint8_t is_last : 1;      /* see patch_batch_add_last() */
    uint8_t has_stand_in : 1; /* see patch_batch_add_stand_in() */
};
_Static_assert(sizeof(struct patch_site) == 32, "two sites share a cache line");

/* Where the handler finds a site in constant time: sites of bucket b stand at
 * [bucket_start[b], bucket_start[b + 1]); bucket of an address = (address - base) >> shift. */
struct patch_index {
    uint64_t base;
    uint32_t shift;
    uint16_t bucket_start[PATCH_INDEX_BUCKETS + 1];
};

struct patch_batch {
    const char *who;
    uint64_t caller;
    enum patch_protocol_id protocol; /* initialize: the default; may be set before apply */
    unsigned flags;                  /* enum patch_flag; likewise */
    bool needs_refresh;              /* set by apply: platform_text_needs_refresh() */
    uint32_t count;             /* sites below; those without a change are dropped by the checks */
    uint32_t added;             /* sites ever added */
    struct patch_error error;   /* status PATCH_OK as long as nothing went wrong */
    struct patch_record record; /* valid after apply */
    struct patch_index index;
    /* sorted by address from the checks on: */
    _Alignas(64) struct patch_site sites[PATCH_BATCH_MAX];
};

/* Empties @batch. @who (static string) and the caller's address go into the record.
 * Context: any. */
void patch_batch_initialize(struct patch_batch *batch, const char *who);

/* Adds one site of @length bytes. Sites whose old and new bytes are equal cost nothing.
 * Context: any, the batch's owner.
 * Returns PATCH_ERR_FULL or PATCH_ERR_LENGTH; an error sticks: apply will then refuse the batch. */
PATCH_MUST_CHECK enum patch_status patch_batch_add(struct patch_batch *batch, uint64_t address,
                                                   const uint8_t *old_bytes,
                                                   const uint8_t *new_bytes, size_t length);

/* The same for a site that is to be the last: once anybody has executed its new instruction, every
 * CPU executes only new ones at all sites of the batch that are not last. (At those, and at the
 * last ones among themselves, each CPU runs old and new ones in any mixture until then.) How: its
 * int3 stands for the OLD instruction, and its first byte changes behind those of the others, which
 * a sync has taken out of reach by then. Both instructions are nops or jumps, else apply returns
 * PATCH_ERR_INSTRUCTION. All sites of a batch may be last: then nothing is promised.
 *
 *     patcher                                   a CPU
 *     int3 everywhere; sync                     last site: old. Others: old, or int3 = new
 *     tails; sync                               last site: old. Others: int3 = new
 *     first bytes of the others                 last site: old. Others: int3 = new, or new
 *     first bytes of the last sites             last site: old, or new. Others: as above
 *     sync                                      new everywhere
 *
 * Where others are there, a failure behind the first of the last sites stops the machine: to put
 * the others back would break the promise to whoever ran it. */
PATCH_MUST_CHECK enum patch_status patch_batch_add_last(struct patch_batch *batch, uint64_t address,
                                                        const uint8_t *old_bytes,
                                                        const uint8_t *new_bytes, size_t length);

/* The same for a site whose old and new bytes may be any ONE instruction of @length bytes each. The
 * caller vouches for that; neither is decoded. As long as the new one cannot be fetched, the int3
 * stands for a call of @stand_in: a function (text, within 2 GiB) that does what the new
 * instruction does, keeps every register and flag that it keeps, and returns behind the site. For
 * operations that are one instruction when inlined (`cli`, `invlpg [rdi]`): their out-of-line copy
 * is the stand-in, and this room need not know how to emulate them.
 *
 *     patcher: call -> cli, padded              a CPU
 *     int3 over the first byte                  the call, or int3: pushes the address behind the
 *     sync                                        site, goes to @stand_in: cli; ret
 *     tail; sync                                int3
 *     first byte of the padded cli              int3, or cli
 *     sync                                      cli
 *
 * The stand-in finds one word more on the stack than the instruction would, below the sp of the
 * site: so no red zone. One that needs the stack as it was (`pushfq`) must be arranged for by the
 * stand-in, which moves its return address. One whose effect lasts until the next instruction
 * (`sti`) has had it with the stand-in's ret.
 * As with every site: the stand-in may run although the batch then fails, and while others still
 * run the old instruction; so it must stay where it is for as long as the site does.
 * Returns as patch_batch_add(), and PATCH_ERR_RANGE for a stand-in out of reach; that sticks, too.
 * Apply returns PATCH_ERR_INSTRUCTION for bytes that begin with int3, and PATCH_ERR_TARGET_IN_SITE
 * as for a call. */
PATCH_MUST_CHECK enum patch_status patch_batch_add_stand_in(struct patch_batch *batch,
                                                            uint64_t address,
                                                            const uint8_t *old_bytes,
                                                            const uint8_t *new_bytes, size_t length,
                                                            uint64_t stand_in);

/* Changes the text. Takes the patch lock.
 * Context: platform_may_patch(); patch lock not held.
 * Ordering: on PATCH_OK every CPU executes only new bytes, and no CPU is in the handler for an old
 * trap. Returns any status but those of static keys; other than PATCH_OK: text as before. */
PATCH_MUST_CHECK enum patch_status patch_batch_apply(struct patch_batch *batch);

/* As patch_batch_apply(), patch lock held by the caller (asserted). */
PATCH_MUST_CHECK enum patch_status patch_batch_apply_locked(struct patch_batch *batch);

/* What patch_batch_apply_locked() would do: all of its checks, sites sorted, those without change
 * dropped, index built, nothing written, no record. @rounds: sync rounds that applying would take.
 * Context: as patch_batch_apply_locked(). */
PATCH_MUST_CHECK enum patch_status patch_batch_plan_locked(struct patch_batch *batch,
                                                           unsigned *rounds);

/* The protocol and flags of batches that name none. Set: no effect on batches already initialized;
 * returns PATCH_ERR_PROTOCOL for an unknown one or an unknown flag, PATCH_ERR_UNSAFE for an unsafe
 * one without PATCH_ALLOW_UNSAFE in @flags. Context: any. */
enum patch_protocol_id patch_protocol_default(void);
unsigned patch_protocol_default_flags(void);
PATCH_MUST_CHECK enum patch_status patch_protocol_set_default(enum patch_protocol_id id,
                                                              unsigned flags);

/* What a protocol tells about itself. */
struct patch_protocol_facts {
    const char *name;
    const char *rounds;  /* sync rounds of a batch of n sites, as a formula */
    const char *ipis;    /* the same for IPIs, c: CPUs other than the patcher's */
    const char *limits;  /* which sites, and what is not promised */
    const char *summary; /* its steps, one line */
    bool is_unsafe;
};

/* Facts about a protocol; NULL if there is none of that id. Its name ("?" if unknown), and the way
 * back: find returns PATCH_PROTOCOL_COUNT if there is none of that name. Context: any. */
const struct patch_protocol_facts *patch_protocol_facts(enum patch_protocol_id id);
const char *patch_protocol_name(enum patch_protocol_id id);
enum patch_protocol_id patch_protocol_find(const char *name);
