// SPDX-License-Identifier: MIT
/* The steps of a batch, and the moments in each where a test may stop it. Every protocol consists
 * of some of them, in this order. Used by: protocols, records, platform.h. */
#pragma once

enum patch_step {
    PATCH_STEP_INT3,  /* int3 over first bytes */
    PATCH_STEP_TAIL,  /* whatever stands behind first bytes */
    PATCH_STEP_FIRST, /* first bytes, or instructions whole where the protocol writes them whole */
    PATCH_STEPS
};

enum patch_moment {
    PATCH_MOMENT_WITHIN,  /* between two bytes of one site: protocol naive alone gets there */
    PATCH_MOMENT_WRITTEN, /* all bytes of the step are written, no CPU has serialised yet */
    PATCH_MOMENT_SYNCED,  /* every CPU has; not reached by a protocol or step without a sync */
};
