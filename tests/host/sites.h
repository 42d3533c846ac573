// SPDX-License-Identifier: MIT
/* Sites in the recorder's arena, for the tests of batches. Invariant: a site made here shows its
 * old bytes and is watched. Called by: test_batch.c, test_batch_refused.c, test_batch_faults.c,
 * test_breakpoint.c, test_silent_cpus.c, test_last_sites.c, test_stand_in.c. */
#pragma once

#include "patching/platform.h"
#include "tests/host/recorder.h"

/* Protocols 0 to this keep their promises; see poke.h. */
#define SAFE_PROTOCOL_COUNT PATCH_PROTOCOL_NAIVE

/* An instruction before it has a place. */
struct site_form {
    uint8_t kind; /* enum instruction_kind */
    uint8_t length;
    uint8_t condition;
    int32_t distance; /* target - end of the instruction; of a COMPARE the value */
};

/* Every kind in every length it has; jumps, calls and comparisons twice, with different targets. */
extern const struct site_form site_forms[];
size_t site_form_count(void);

struct test_site {
    uint64_t address;
    uint8_t length;
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
};

/* Puts @from into the arena at @offset, to become @to, and watches it. */
struct test_site site_make(size_t offset, const struct site_form *from, const struct site_form *to);

/* Adds @site to @batch, which must accept it. */
void site_add(struct patch_batch *batch, const struct test_site *site);

/* Fails unless @bytes stand at @site. */
void site_expect(const struct test_site *site, const uint8_t *bytes);

/* Adds @count sites, @stride bytes apart, from last to first, that turn nop5 into jmp. */
void sites_add_nop_to_jump(struct patch_batch *batch, unsigned count, unsigned stride);

/* Initializes @batch and adds @count sites of random kinds at random places, in random order. */
void sites_add_random(struct patch_batch *batch, unsigned count, uint64_t seed);

/* Adds all sites made by the two functions above since recorder_reset() once more. */
void sites_add_again(struct patch_batch *batch);

/* All sites made by the two functions above since recorder_reset() show old / new bytes. */
void sites_expect_old(void);
void sites_expect_new(void);

/* Each of them shows its old bytes, its new ones, or int3. */
void sites_expect_whole_or_int3(void);

/* Returns the status of @batch, or SITES_STOPPED: it has stopped the machine. */
enum { SITES_STOPPED = PATCH_STATUS_COUNT };
unsigned sites_apply(struct patch_batch *batch);
