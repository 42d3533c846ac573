// SPDX-License-Identifier: MIT
/* From the #BP entry to the patching library. Invariant: .text.nopatch; the frame lies at least 16
 * bytes below the interrupted stack pointer, so that an emulated CALL may push there. Called by
 * entry.asm. */
#pragma once

#include "arch/trap_frame.h"

void breakpoint_handle(struct trap_frame *frame);
