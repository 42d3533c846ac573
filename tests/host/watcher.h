// SPDX-License-Identifier: MIT
/* What CPUs may fetch at the sites watched; see recorder.h for the invariant. Called by:
 * recorder.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Forgets all sites. */
void watcher_reset(void);

/* A batch begins: a site that shows its new bytes by now is about to go back to the old ones. */
void watcher_note_lock(void);

/* The byte at @address has changed: checks all mixtures of its site, and lets CPUs run into it. */
void watcher_note_byte(uint64_t address);

/* The aligned quadword at @address, once @old_value, has changed in one store: a site inside it is
 * fetched whole, as before or as after; bytes of others change one by one. Checks as above. */
void watcher_note_quadword(uint64_t address, uint64_t old_value);

/* While @stopped no CPU but the writer executes anything: mixtures are nobody's business. */
void watcher_note_stop(bool stopped);

/* Every CPU serialises: lets CPUs run into the sites first; from here on only current
 * bytes count. */
void watcher_note_sync(void);

/* Fails if a site may still be fetched in two ways. */
void watcher_expect_synced(void);
