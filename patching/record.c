// SPDX-License-Identifier: MIT
/* The ring of records. Invariant: a reader sees a record whole or not at all. Called by: poke.c
 * (add), shell and benches (get).
 *
 *     writer, under the patch lock              reader
 *     slot.seq = 0                              slot.seq == n, or none   (acquire)
 *     each word                (release)        each word                (acquire)
 *     slot.seq = n             (release)        slot.seq == n, or drop the copy
 *
 * A reader that copied one word of a newer record has acquired the "seq = 0" before it. */
#include "patching/record.h"

#include "patching/platform.h"

#include <stddef.h>

/* Words, so that a reader that races with the writer copies without a data race. */
typedef uint64_t record_word __attribute__((may_alias));

enum { RECORD_WORDS = sizeof(struct patch_record) / sizeof(record_word) };
_Static_assert(sizeof(struct patch_record) % sizeof(record_word) == 0, "copied in whole words");
_Static_assert(offsetof(struct patch_record, seq) == 0, "the number lies in word 0");

static record_word ring[PATCH_RECORD_RING][RECORD_WORDS];
static uint64_t newest; /* written under the patch lock */

void patch_record_add(struct patch_record *record)
{
    if (!platform_lock_is_held()) {
        platform_fatal("record added without the patch lock", record, 1, 0);
    }
    record->seq = newest + 1;

    record_word *slot = ring[record->seq % PATCH_RECORD_RING];
    const record_word *words = (const record_word *)record;

    __atomic_store_n(&slot[0], 0, __ATOMIC_RELAXED); /* ordered by the releases below */
    for (size_t i = 1; i < RECORD_WORDS; i++) {
        __atomic_store_n(&slot[i], words[i], __ATOMIC_RELEASE);
    }
    __atomic_store_n(&slot[0], record->seq, __ATOMIC_RELEASE);
    /* Pairs with patch_record_newest(): who learns the number finds the record. */
    __atomic_store_n(&newest, record->seq, __ATOMIC_RELEASE);
}

uint64_t patch_record_newest(void)
{
    return __atomic_load_n(&newest, __ATOMIC_ACQUIRE);
}

bool patch_record_get(uint64_t seq, struct patch_record *record)
{
    const record_word *slot = ring[seq % PATCH_RECORD_RING];
    record_word *words = (record_word *)record;

    if (seq == 0 || __atomic_load_n(&slot[0], __ATOMIC_ACQUIRE) != seq) {
        return false;
    }
    words[0] = seq;
    for (size_t i = 1; i < RECORD_WORDS; i++) {
        words[i] = __atomic_load_n(&slot[i], __ATOMIC_ACQUIRE);
    }
    return __atomic_load_n(&slot[0], __ATOMIC_RELAXED) == seq;
}
