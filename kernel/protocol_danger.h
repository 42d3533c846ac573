// SPDX-License-Identifier: MIT
/* Which patch protocols must not be used on this machine unless the user insists. Invariant: on the
 * machine at hand, a protocol without a danger keeps patching's promise: no CPU ever executes a
 * mixture. Callers: main.c, commands_protocol.c, bench_poke.c. */
#pragma once

#include <stdbool.h>

#include "patching/poke.h"

/* Why CPUs that run the sites of @id may execute what nobody wrote, as the end of a sentence; NULL
 * if they cannot. Context: any. */
const char *protocol_danger(enum patch_protocol_id id);
