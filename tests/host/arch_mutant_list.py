# SPDX-License-Identifier: MIT
"""The mutants of arch/patience.h. Each breaks one thing that the test named beside it claims to
detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

PATIENCE, PROGRAM = "arch/patience.h", "arch_patience"
COUNTED = "gap_ns < patience->look_max_ns ? gap_ns : patience->look_max_ns;"
GAP = (PROGRAM, "gap_counts_up_to_the_limit_of_a_look")
AGAIN = (PROGRAM, "waiter_away_again_and_again_gives_up_after_sixteen_looks")

MUTANTS = [
    Mutant("time away counts in full", PATIENCE, COUNTED, "gap_ns;", *GAP),
    Mutant("time away counts nothing", PATIENCE, COUNTED,
           "gap_ns < patience->look_max_ns ? gap_ns : 0;", *AGAIN),
    Mutant("look counts for half the patience", PATIENCE, "limit_ns / PATIENCE_LOOKS + 1",
           "limit_ns / 2 + 1", *AGAIN),
    Mutant("short patience never spent", PATIENCE, "limit_ns / PATIENCE_LOOKS + 1",
           "limit_ns / PATIENCE_LOOKS", PROGRAM, "no_limit_is_waited_for_without_end"),
    Mutant("time counted from the first look", PATIENCE,
           "    patience->last_look_ns = now_ns;\n", "",
           PROGRAM, "gap_is_counted_once_and_time_goes_on_behind_it"),
    Mutant("only the last look counts", PATIENCE, "patience->silence_ns += ",
           "patience->silence_ns = ", PROGRAM, "steady_looks_count_as_the_clock_does"),
    Mutant("time that goes back is a little silence", PATIENCE,
           "uint64_t gap_ns = now_ns - patience->last_look_ns;",
           "uint64_t gap_ns = now_ns > patience->last_look_ns ? now_ns - patience->last_look_ns\n"
           "                                                  : 0;",
           PROGRAM, "time_that_goes_back_counts_like_a_gap"),
]
