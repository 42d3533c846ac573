// SPDX-License-Identifier: MIT
/* Where a site stands. Invariant: a site of at most 5 bytes placed so lies inside one aligned
 * quadword, and the protocol `qword` takes it. Used by: the macros that emit sites. */
#pragma once

/* For the assembler, right before the site: pads with nops (0 to 4 bytes) when the site would begin
 * in the upper half of a quadword, where five bytes do not fit. */
#define PATCH_SITE_PLACE ".balign 8, , 4\n\t"
