# SPDX-License-Identifier: MIT
"""Mutants of halting for locks: what suite lock_halt must notice. See mutant.py."""

from mutant import Mutant

FILE = "kernel/lock_halt.c"
STEPPED = "release_behind_any_instruction_ends_the_wait"

LOCK_HALT_MUTANTS = [
    Mutant("halts-without-a-second-look", FILE,
           "if (__atomic_load_n(&lock->serving, __ATOMIC_SEQ_CST) != ticket &&\n"
           "        __atomic_load_n(&is_allowed, __ATOMIC_SEQ_CST)) {",
           "if (__atomic_load_n(&is_allowed, __ATOMIC_SEQ_CST)) {",
           "lock_halt", STEPPED),
    Mutant("unlock-does-not-look-for-the-halted", FILE,
           '"jne paravirt_thunk_lock_halt_kick_next\\n\\t"', '""',
           "lock_halt", STEPPED),
    Mutant("kicks-the-wrong-cpu", FILE,
           "pv_lock_kick(i);", "pv_lock_kick((i + 1) % cpu_present_count());",
           "lock_halt", STEPPED),
    Mutant("kicks-for-any-ticket", FILE,
           "__atomic_load_n(&halt_cpus[i].ticket, __ATOMIC_RELAXED) == serving) {",
           "__atomic_load_n(&halt_cpus[i].ticket, __ATOMIC_RELAXED) >= serving) {",
           "lock_halt", "contended_lock_admits_one_and_wakes_all", may_die=True),
    Mutant("forbidding-does-not-wait", FILE,
           "while (!is_woken(cpu)) {", "while (false) {",
           "lock_halt", "forbidding_leaves_nobody_halted"),
    Mutant("forbidding-forbids-nothing", FILE,
           "__atomic_exchange_n(&is_allowed, false, __ATOMIC_SEQ_CST)",
           "__atomic_load_n(&is_allowed, __ATOMIC_SEQ_CST)",
           "lock_halt", "forbidding_leaves_nobody_halted", may_die=True),
    Mutant("halts-with-interrupts-on", FILE,
           "bool may_halt = !interrupts_enabled();", "bool may_halt = true;",
           "lock_halt", "waiter_with_interrupts_on_spins", may_die=True),
]
