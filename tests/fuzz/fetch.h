// SPDX-License-Identifier: MIT
/* What a CPU may fetch at the sites of the batch in flight. A CPU that has not serialised may fetch
 * each byte as it was at any time since it last did, in any mixture; of an aligned quadword written
 * by one store it gets all or nothing. Invariant checked: whatever it may fetch is the whole old
 * instruction, the whole new one, or begins with int3, and an int3 is resolved by the handler as
 * the new instruction (read by Zydis; at a last site the old one; a call of the stand-in where
 * there is one) demands. Once it may execute the new instruction of a last site, it may not execute
 * the old one of another. Called by: machine.c, fuzz_batch.c. */
#pragma once

#include "tests/fuzz/model.h"

#include <stdbool.h>

/* Forgets all sites. */
void fetch_reset(bool is_naive);

/* From now on @site, in the arena, is in flight. */
void fetch_watch(const struct model_site *site);

/* Writes one byte, and checks; @is_parked: no CPU fetches meanwhile. */
void fetch_note_byte(uint64_t address, uint8_t value, bool is_parked);

/* Writes an aligned quadword by one store, and checks. */
void fetch_note_quadword(uint64_t address, uint64_t value);

/* Every CPU has serialised. */
void fetch_note_sync(void);

/* A CPU runs into each site that may be fetched as int3, and one into machine.stranger. */
void fetch_run_into_all(void);

/* A CPU traps at an address that is no site in flight: only a vanished int3 may be resolved. */
void fetch_run_into_stranger(uint64_t address);

/* Traps emulated since fetch_reset(). */
unsigned fetch_emulated(void);
