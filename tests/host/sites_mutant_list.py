# SPDX-License-Identifier: MIT
"""The mutants of comparisons, of sites that are last, and of keys with an owner (patching/): each
breaks one thing that the test named beside it claims to detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

LAST = "test_last_sites"
LAST_ORDER = (LAST, "who_executes_a_last_site_anew_finds_all_others_new")
LAST_FAULTS = (LAST, "failing_write_is_put_back_until_a_last_site_is_new")
COMPARISONS = "test_comparisons"
IMMEDIATES = (COMPARISONS, "immediates_set_the_flags_of_the_cpu")
WORDS = (COMPARISONS, "words_in_memory_set_the_flags_of_the_cpu")
OWNED = ("test_static_key_changes", "key_with_an_owner_is_flipped_by_transactions_alone")
OWN_CHANGE = ("test_static_key_changes", "change_that_is_last_comes_behind_the_others")

MUTANTS = [
    # Sites that are last.
    Mutant("new instruction emulated at a last site", "breakpoint.c", "if (site->is_last) {",
           "if (false) {", *LAST_ORDER),
    Mutant("old jump of a last site not sign-extended", "breakpoint.c",
           "displacement = (int8_t)bytes[1];", "displacement = bytes[1];", *LAST_ORDER),
    Mutant("long jump of a last site taken for a nop", "breakpoint.c",
           "displacement = (int32_t)bytes_load4(bytes + 1);", "displacement = 0;", *LAST_ORDER),
    Mutant("last sites written before the others", "three_steps.c",
           "sites_run(pass, &window, part, step, false)",
           "sites_run(pass, &window, part, step, pass->last_count < pass->batch->count)",
           *LAST_FAULTS),
    Mutant("last sites one by one among the others", "three_steps.c",
           "count <= pass->group || pass->last_count == 0 ? 1 : 2;", "1;", *LAST_ORDER),
    Mutant("others written whole behind a last one", "protocol_qword.c",
           "(site->is_last || !some_are_last)", "true", *LAST_ORDER),
    Mutant("last ones written by int3 like the others", "protocol_qword.c",
           "(site->is_last || !some_are_last)", "!some_are_last",
           LAST, "sites_that_are_all_last_are_patched_as_any"),
    Mutant("others put back behind a last one", "three_steps.c",
           "if (pass->promise_is_given) {", "if (false) {", *LAST_FAULTS),
    Mutant("others put back behind a last one for a silent CPU", "three_steps.c",
           "|| pass->promise_is_given) {", "|| false) {",
           LAST, "silent_cpu_is_survived_until_a_last_site_is_new"),
    Mutant("machine stops though all are last", "three_steps.c",
           "pass->last_count < pass->batch->count;", "true;",
           LAST, "failing_write_among_last_sites_alone_is_put_back"),
    Mutant("last site may be a call", "poke.c",
           "instruction->kind != INSTRUCTION_JUMP) {",
           "instruction->kind != INSTRUCTION_JUMP && instruction->kind != INSTRUCTION_CALL) {",
           LAST, "last_site_of_any_other_kind_is_refused"),
    Mutant("old instruction of a last site not looked at", "poke.c",
           "site_decode(site, site->old_bytes,",
           "instruction_decode(site->old_bytes, site->length, site->address,",
           LAST, "last_site_of_any_other_kind_is_refused"),
    Mutant("once last, always last", "poke.c", "site->is_last = is_last;",
           "site->is_last |= is_last;", LAST, "next_batch_knows_nothing_of_the_last_sites_before"),
    Mutant("transaction forgets who is last", "transaction.c",
           "shared_batch.sites[i].is_last = change->is_last;", ";",
           *OWN_CHANGE),
    Mutant("all changes behind a last one are last", "transaction.c",
           "uint32_t before = shared_batch.count;", "uint32_t before = 0;",
           *OWN_CHANGE),
    Mutant("owned key decremented by anybody", "static_key.c",
           "return key->owner == NULL ? lock_keys() : PATCH_ERR_OWNED;", "return lock_keys();",
           *OWNED),
    Mutant("owned key incremented by anybody", "static_key.c",
           "key->owner == NULL ? count_get(key) : 0;", "count_get(key);",
           *OWNED),
    # Comparisons.
    Mutant("borrow taken for a signed comparison", "breakpoint.c",
           "left < right ? FLAG_CARRY", "(int64_t)left < (int64_t)right ? FLAG_CARRY", *IMMEDIATES),
    Mutant("overflow as of an addition", "breakpoint.c", "(left ^ right) & (left ^ result);",
           "~(left ^ right) & (left ^ result);", *IMMEDIATES),
    Mutant("borrow into bit 4 forgotten", "breakpoint.c", "borrows & FLAG_AUXILIARY;", "0;",
           *IMMEDIATES),
    Mutant("parity of the whole result", "breakpoint.c", "(unsigned)(result ^ result >> 4) & 15;",
           "(unsigned)(result ^ result >> 4 ^ result >> 8) & 15;", *IMMEDIATES),
    Mutant("parity of four bits", "breakpoint.c", "(unsigned)(result ^ result >> 4) & 15;",
           "(unsigned)result & 15;", *IMMEDIATES),
    Mutant("comparison clears the other flags", "breakpoint.c",
           "registers->flags & ~(uint64_t)FLAGS_COMPARED;", "2;", *IMMEDIATES),
    Mutant("flags added to the old ones", "breakpoint.c",
           "registers->flags & ~(uint64_t)FLAGS_COMPARED;", "registers->flags;", *IMMEDIATES),
    Mutant("immediate not sign-extended", "breakpoint.c",
           "uint64_t operand = (uint64_t)(int64_t)site->displacement;",
           "uint64_t operand = (uint32_t)site->displacement;", *IMMEDIATES),
    Mutant("word looked for at the site", "breakpoint.c", "(const void *)(next + operand)",
           "(const void *)(site->address + operand)", *WORDS),
    Mutant("four bytes of the word compared", "breakpoint.c",
           "bytes_load8((const void *)(next + operand))",
           "bytes_load4((const void *)(next + operand))", *WORDS),
    Mutant("immediate that does not fit cut off", "instruction.c", "operand > reach ||",
           "(operand > reach && form->kind != INSTRUCTION_COMPARE) ||",
           "test_instruction", "values_that_are_no_sign_extended_imm32_are_refused"),
    Mutant("operand byte of a comparison not looked at", "instruction.c",
           "!bytes_equal(bytes, form->opcode, opcode_length - 1) ||", "",
           "test_instruction", "near_misses_of_every_kind_are_refused"),
]
