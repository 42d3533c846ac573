// SPDX-License-Identifier: MIT
/* What every batch cost, in a ring of the last 256. Invariant: a reader sees a record whole or not
 * at all. Written by: poke.c, under the patch lock. Read by: shell, benches, from any CPU without
 * it. */
#pragma once

#include "patching/status.h"
#include "patching/step.h"

#include <stdbool.h>
#include <stdint.h>

enum { PATCH_RECORD_RING = 256 };

struct patch_record {
    uint64_t seq;         /* 1, 2, 3, ... */
    const char *who;      /* key name or other static string */
    uint64_t caller;      /* return address of the public function that asked */
    const char *protocol; /* name */
    uint64_t wall_ns;     /* time of day when the batch began */
    uint64_t total_ns;    /* checks, writes and syncs; waiting for the patch lock excluded */
    uint64_t step_ns[PATCH_STEPS]; /* per step: writes and sync, summed up over its groups */
    uint64_t traps;                /* emulated by the breakpoint handler during the batch */
    uint32_t sites;                /* sites that had to change */
    uint32_t bytes;                /* bytes written, int3 included */
    uint32_t rounds;               /* times all CPUs were serialised, or parked */
    uint32_t ipis;                 /* IPIs those rounds sent */
    enum patch_status status;      /* PATCH_OK, or why nothing changed */
    uint32_t quadwords;            /* of the sites, those written whole by one aligned store */
};

/* Adds @record with the next number, which it writes into @record->seq; overwrites the oldest.
 * Context: patch lock held (asserted). */
void patch_record_add(struct patch_record *record);

/* Returns the number of the newest record, 0 if there is none. Context: any. */
uint64_t patch_record_newest(void);

/* Copies record number @seq to @record.
 * Context: any. Returns false if it was overwritten, is being written, or does not exist yet. */
PATCH_MUST_CHECK bool patch_record_get(uint64_t seq, struct patch_record *record);
