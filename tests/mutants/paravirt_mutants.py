# SPDX-License-Identifier: MIT
"""The kernel's mutants of paravirt ops, their sites and what a switch does around them; see
mutant.py. Others: switch_mutants.py, counted_mutants.py, lock_halt_mutants.py."""

from mutant import HANGS, Mutant

PATCHING, THUNKS = "patching/paravirt.c", "patching/paravirt_thunk.h"
HAZARDS, FLOOR = "kernel/paravirt_hazards.c", "arch/clock_floor"
EFFECTS = ("paravirt", "native_ops_do_what_they_are_for_in_every_form")
DOUBLES = ("paravirt", "second_ways_do_it_too_and_are_gone_through")
HELD = ("paravirt_hold", "ops_work_at_every_step_of_int3_batch")
FLOORED = ("paravirt_torture", "floor_stands_until_the_source_has_caught_up")
HALT = "paravirt_halt", "nobody_halts_while_locks_are_switched"
STAND_IN = "PARAVIRT_SITE_LENGTH, function_address(way));"

PARAVIRT_MUTANTS = [
    Mutant("thunk-keeps-no-r8", THUNKS,
           r'"pop %r11\n\tpop %r10\n\tpop %r9\n\tpop %r8\n\t"',
           r'"pop %r11\n\tpop %r10\n\tpop %r9\n\tadd $8, %rsp\n\t"',
           *DOUBLES, may_die=True),
    Mutant("stacked-thunk-leaves-another-word", THUNKS,
           "mov %rax, 16(%rbp)", "mov %rbx, 16(%rbp)",
           *DOUBLES, may_die=True),
    Mutant("fill-behind-the-instruction", PATCHING,
           "        bytes[i] = INSN_PREFIX_CS;\n    }\n"
           "    bytes_copy(bytes + PARAVIRT_SITE_LENGTH - length, way->instruction, length);",
           "        bytes[length + i] = INSN_PREFIX_CS;\n    }\n"
           "    bytes_copy(bytes, way->instruction, length);",
           "paravirt", "site_bytes_are_what_the_manual_says"),
    Mutant("five-of-six-bytes", PATCHING,
           STAND_IN, "PARAVIRT_SITE_LENGTH - 1, function_address(way));",
           "paravirt", "sites_show_the_form_that_was_set", **HANGS),
    Mutant("stand-in-of-the-wrong-op", PATCHING,
           STAND_IN, "PARAVIRT_SITE_LENGTH, function_address(table[2].way));",
           *HELD, **HANGS),
    Mutant("eoi-stands-for-a-nop", PATCHING,
           STAND_IN, "PARAVIRT_SITE_LENGTH,\n"
           "                                              "
           "function_address(site->op == 11 ? table[7].way : way));",
           *HELD, **HANGS),
    Mutant("slot-not-written", PATCHING,
           "        __atomic_store_n(op->slot, way->function, __ATOMIC_RELEASE);\n", "",
           "paravirt_batch", "all_ops_change_way_in_one_batch_of_three_rounds"),
    Mutant("form-of-a-failed-batch-kept", PATCHING,
           "    if (is_done) {\n        __atomic_store_n(&op->form,",
           "    if (is_done || change != NULL) {\n        __atomic_store_n(&op->form,",
           "paravirt_batch", "cpu_that_does_not_answer_leaves_all_ops_as_they_were"),
    Mutant("global-translations-stay", "arch/paging.c",
           "write_cr4(cr4 & ~CR4_PAGE_GLOBAL);", "write_cr4(cr4);",
           *EFFECTS),
    Mutant("all-tlbs-are-this-one", "kernel/cross_call.c",
           "    on_each_cpu(flush_here, NULL);", "    flush_here(NULL);",
           *EFFECTS),
    Mutant("halting-allowed-before-the-batch", HAZARDS,
           "    return backends_enter(wanted, refusal) && locks_begin(now, wanted, refusal) &&",
           "    if (wanted->ops[PARAVIRT_lock_unlock].base->kicks) {\n        lock_halt_allow();\n"
           "    }\n"
           "    return backends_enter(wanted, refusal) && locks_begin(now, wanted, refusal) &&",
           *HALT, may_die=True),
    Mutant("halting-not-forbidden-before-leaving", HAZARDS,
           "halting_is_allowed = !lock_halt_forbid();", "halting_is_allowed = false;",
           *HALT, may_die=True),
    Mutant("halting-allowed-without-a-grace-period", HAZARDS,
           "may_allow_halting(now) || clock_is_changing;", "clock_is_changing;",
           "paravirt_halt", "nobody_halts_before_old_unlocks_are_over", may_die=True),
    Mutant("clock-without-floor", FLOOR + ".h",
           "? clock_floor_raise(ns)", "? (clock_floor_raise(ns), ns)",
           *FLOORED),
    Mutant("floor-let-go-too-early", FLOOR + ".c",
           "if (clock_now_ns() > floor) {", "if (clock_now_ns() + limit_ns > floor) {",
           *FLOORED),
]
