# SPDX-License-Identifier: MIT
"""Mutants of the layer that counts paravirt ops; see mutant.py."""

from mutant import Mutant

LAYER, MEMORY = "kernel/paravirt_counted.c", "kernel/paravirt_counted_memory.c"
COUNTED, FORWARDED = "paravirt_counted", "paravirt_forwarded"

COUNTED_MUTANTS = [
    Mutant("count-in-three-instructions", LAYER,
           "    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);",
           "    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + amount,\n"
           "                     __ATOMIC_RELAXED);",
           COUNTED, "count_is_exact_wherever_an_interrupt_comes"),
    Mutant("counted-for-the-boot-cpu", LAYER,
           "&counted_places[cpu_index()]", "&counted_places[0]",
           COUNTED, "calls_are_counted_where_they_were_made"),
    Mutant("counted-as-its-neighbour", LAYER,
           "&block->ops[op]", "&block->ops[op == PARAVIRT_irq_enable ? op - 1 : op]",
           COUNTED, "each_op_is_counted_and_timed_as_itself"),
    Mutant("time-of-the-neighbour", LAYER,
           "add(&times->ticks, ticks);", "add(&times[-(int)(ticks != 0)].ticks, ticks);",
           COUNTED, "each_op_is_counted_and_timed_as_itself", may_die=True),
    Mutant("freed-under-the-counters-hands", MEMORY,
           "__atomic_load_n(&place->inside, __ATOMIC_ACQUIRE) != 0",
           "__atomic_load_n(&place->inside, __ATOMIC_ACQUIRE) > CPU_MAX",
           COUNTED, "memory_is_kept_while_somebody_counts_in_it"),
    Mutant("forwards-to-another-op", LAYER,
           "        below_##name();",
           "        if (PARAVIRT_##name == PARAVIRT_irq_disable) { below_irq_enable(); } "
           "else { below_##name(); }",
           FORWARDED, "interrupt_flag_follows_the_ops", may_die=True),
    Mutant("thunk-forgets-a-register", "patching/paravirt_thunk.h",
           r"pop %rdi\n\tpop %rsi\n\tpop %rdx\n\tpop %rcx\n\t",
           r"pop %rdi\n\tpop %rsi\n\tpop %rcx\n\tpop %rcx\n\t",
           FORWARDED, "registers_are_kept", may_die=True),
    Mutant("thunk-loses-the-flags", "patching/paravirt_thunk.h",
           "mov %rax, 16(%rbp)", "mov %rcx, 16(%rbp)",
           FORWARDED, "interrupt_flag_follows_the_ops", may_die=True),
    Mutant("wait-counted-as-taken", LAYER,
           "add(&lock->contended, 1);", "add(&lock->taken, 1);",
           FORWARDED, "wait_for_a_lock_is_counted_under_its_name"),
    Mutant("full-table-hits-the-first", LAYER,
           "return COUNTED_OTHERS;", "return 0;",
           FORWARDED, "names_beyond_the_table_are_counted_together"),
    Mutant("names-told-apart-by-address", MEMORY,
           "strcmp(rows[i].name, sum->name) == 0", "rows[i].name == sum->name",
           FORWARDED, "locks_of_one_name_are_one_row"),
]
