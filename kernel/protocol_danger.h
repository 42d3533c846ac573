// SPDX-License-Identifier: MIT
/* What patch protocols do to CPUs that run the sites, when PATCH_ALLOW_UNSAFE lets them. Invariant:
 * on the machine at hand, a protocol without a danger keeps patching's promise whatever the flags:
 * no CPU ever executes a mixture. Callers: main.c, commands_protocol.c, bench_poke.c, suites. */
#pragma once

#include <stdbool.h>

#include "patching/poke.h"

/* Why CPUs that run the sites of @id may execute what nobody wrote, as the end of a sentence; NULL
 * if they cannot. Context: any. */
const char *protocol_danger(enum patch_protocol_id id);
