// SPDX-License-Identifier: MIT
/* Outcomes of everything in patching/. Invariant: whatever is neither PATCH_OK nor
 * PATCH_ERR_STILL_INSIDE has changed no text that anybody executes, and no count; struct
 * patch_error names the culprit. Used by: every file of this room and its users. */
#pragma once

#include <stdint.h>

#define PATCH_MUST_CHECK __attribute__((warn_unused_result))

enum { PATCH_SITE_LENGTH_MAX = 7 }; /* the comparisons are the longest that may be patched */

enum patch_status {
    PATCH_OK = 0,
    PATCH_ERR_INSTRUCTION, /* not one of the instructions that may be patched */
    PATCH_ERR_LENGTH,      /* length 0, above PATCH_SITE_LENGTH_MAX, or wrong for the instruction */
    PATCH_ERR_RANGE,       /* target out of reach of the instruction */
    PATCH_ERR_EMPTY,       /* batch without a site */
    PATCH_ERR_FULL,        /* more than PATCH_BATCH_MAX sites */
    PATCH_ERR_DUPLICATE,   /* a site, a key in a transaction, or a key name stands there twice */
    PATCH_ERR_OVERLAP,     /* two sites share a byte */
    PATCH_ERR_NOT_TEXT,    /* outside patchable text */
    PATCH_ERR_UNEXPECTED,  /* the bytes that stand there are not the expected ones */
    PATCH_ERR_TARGET_IN_SITE,  /* new target lies in a site of the batch, behind its first byte */
    PATCH_ERR_PROTOCOL,        /* unknown protocol or flag */
    PATCH_ERR_CONTEXT,         /* interrupts off, a spinlock held, or inside a handler */
    PATCH_ERR_WRITE,           /* a write did not read back; the text was put back */
    PATCH_ERR_SILENT_CPU,      /* a CPU did not take part in a round; the text was put back */
    PATCH_ERR_UNSAFE,          /* protocol needs PATCH_ALLOW_UNSAFE */
    PATCH_ERR_QUADWORD,        /* PATCH_STRICT, and a site must take the three steps */
    PATCH_ERR_IN_USE,          /* disable of a key with more than one user */
    PATCH_ERR_NOT_ENABLED,     /* decrement of a key that has no user */
    PATCH_ERR_OVERFLOW,        /* increment of a key that has INT32_MAX users */
    PATCH_ERR_NO_TARGET,       /* NULL for a static call that needs a target */
    PATCH_ERR_NOT_INITIALIZED, /* its table has not been initialized successfully yet */
    PATCH_ERR_MITIGATION,      /* unknown mitigation */
    PATCH_ERR_SHAPE,           /* unknown shape, or an image that is not aligned */
    PATCH_ERR_NO_SLOT,         /* a dispatcher has as many entries as it can */
    PATCH_ERR_NO_ENTRY,        /* what is to be removed is not there */
    PATCH_ERR_NOT_LEFT,        /* a thread did not leave code that is to go away */
    PATCH_ERR_STILL_INSIDE,    /* done, but a thread may still be in what was removed */
    PATCH_ERR_OWNED,           /* the key is part of something else, which flips it */
    PATCH_ERR_TARGETS, /* a target of a dynamic call stands there twice, or is beyond its slots */
    PATCH_STATUS_COUNT
};

/* What went wrong and where. Fields that do not apply are 0. */
struct patch_error {
    enum patch_status status;
    const char *name; /* static key concerned, or NULL */
    uint64_t address; /* site concerned, or 0 */
    uint64_t other;   /* the site it collides with, or the target out of reach, or 0 */
    unsigned cpu;     /* the silent one, or 0 */
    uint8_t length;   /* valid bytes in the two arrays below */
    uint8_t expected[PATCH_SITE_LENGTH_MAX];
    uint8_t actual[PATCH_SITE_LENGTH_MAX];
};

/* Returns a short lower-case description of @status ("current bytes differ from the expected
 * ones"); never NULL. Context: any. */
const char *patch_status_text(enum patch_status status);
