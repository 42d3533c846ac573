// SPDX-License-Identifier: MIT
/* Sites that tell old, new and mixed apart, whatever a CPU makes of their bytes. Invariant: a run
 * through a site has exactly one outcome, and a mixture of old and new bytes never crashes; between
 * batches every site stands in its first form. How: hold_sites.asm. Used by: hold_flip.c,
 * hold_readers.c, bench_hold.c, tests/kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "patching/instruction.h"

enum hold_form { HOLD_FORM_FIRST, HOLD_FORM_SECOND, HOLD_FORMS };

/* What a run through a site came to: the code of one form, or a pad that neither leads to. */
enum hold_outcome { HOLD_FIRST, HOLD_SECOND, HOLD_MIXED, HOLD_OUTCOMES };

/* Where a run may be asked to stand still: with the site as its next instruction; in the code that
 * the site led to, in a called target with the way back on the stack. */
enum hold_stand { HOLD_STAND_BEFORE, HOLD_STAND_BEHIND, HOLD_STANDS };
typedef void hold_stand_function(void *argument, enum hold_stand stand);

struct hold_site {
    const char *name;
    const char *place;
    uint64_t address;
    struct instruction forms[HOLD_FORMS];
    enum hold_outcome (*run)(hold_stand_function *stand, void *argument); /* @stand may be NULL */
};

enum { HOLD_SITES = 7 };

/* In the order of their addresses, which is that of a sorted batch. */
extern const struct hold_site hold_sites[HOLD_SITES];

/* Encodes a form; its length is forms[form].length. Panics if the table is wrong. Context: any. */
void hold_site_bytes(const struct hold_site *site, enum hold_form form,
                     uint8_t bytes[PATCH_SITE_LENGTH_MAX]);

/* True if the whole site lies in one aligned quadword. */
bool hold_site_fits_quadword(const struct hold_site *site);
