# SPDX-License-Identifier: MIT
"""The kernel's mutants: each breaks one thing that a named case of a named suite claims to detect.

`search` must occur exactly once in `file`. With `may_die` the mutant also counts as noticed when
the machine panics or does not end in time, because what it breaks may stop the case from reporting.
"""

from collections import namedtuple

Mutant = namedtuple("Mutant", "name file search replacement suite case may_die", defaults=(False,))

MUTANTS = [
    Mutant("handler-loses-the-call", "patching/breakpoint.c",
           "*(uint64_t *)registers->sp = next;", "*(uint64_t *)registers->sp = site->address;",
           "breakpoint", "call_is_emulated_and_returns_behind_the_site", may_die=True),
    Mutant("condition-ignored", "patching/breakpoint.c",
           "return holds != ((condition & 1) != 0);", "return true;",
           "breakpoint", "conditional_jump_follows_the_flags"),
    Mutant("vanished-int3-not-refetched", "patching/breakpoint.c",
           "            registers->ip = address;\n", "",
           "breakpoint", "vanished_int3_is_retried", may_die=True),
    Mutant("sync-round-not-counted", "patching/protocol_int3.c",
           "batch->record.rounds++;", "batch->record.rounds += 0;",
           "poke", "rounds_are_exact"),
    Mutant("sync-not-sent", "patching/protocol_int3.c",
           "batch->record.ipis += platform_sync_cores();", "batch->record.ipis += 0;",
           "poke", "rounds_are_exact"),
]
