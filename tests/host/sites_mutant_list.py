# SPDX-License-Identifier: MIT
"""The mutants of comparisons, of calls of six bytes, of sites that are last or have a stand-in, and
of keys with an owner (patching/): each breaks one thing that the test named beside it claims to
detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

LAST = "test_last_sites"
LAST_ORDER = (LAST, "who_executes_a_last_site_anew_finds_all_others_new")
LAST_FAULTS = (LAST, "failing_write_is_put_back_until_a_last_site_is_new")
COMPARISONS = "test_comparisons"
IMMEDIATES = (COMPARISONS, "immediates_set_the_flags_of_the_cpu")
WORDS = (COMPARISONS, "words_in_memory_set_the_flags_of_the_cpu")
ENCODINGS = ("test_instruction", "every_encoding_means_the_same_to_zydis")
THROUGH_WORD = ("test_breakpoint", "call_through_memory_goes_where_the_word_says")
STAND_IN = "test_stand_in"
STAND_IN_PAIRS = (STAND_IN, "every_pair_at_every_alignment_goes_through_its_stand_in")
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
    Mutant("word looked for at the site", "breakpoint.c",
           "registers->ax, bytes_load8((const void *)(next + operand))",
           "registers->ax, bytes_load8((const void *)(site->address + operand))", *WORDS),
    Mutant("four bytes of the word compared", "breakpoint.c",
           "registers->ax, bytes_load8((const void *)(next + operand))",
           "registers->ax, bytes_load4((const void *)(next + operand))", *WORDS),
    Mutant("immediate that does not fit cut off", "instruction.c", "operand > reach ||",
           "(operand > reach && form->kind != INSTRUCTION_COMPARE) ||",
           "test_instruction", "values_that_are_no_sign_extended_imm32_are_refused"),
    Mutant("operand byte of a comparison not looked at", "instruction.c",
           "!bytes_equal(bytes, form->opcode, opcode_length - 1) ||", "",
           "test_instruction", "near_misses_of_every_kind_are_refused"),
    # Calls of six bytes.
    Mutant("padded call has five bytes", "instruction.c", "INSN_CALL32_PADDED_LENGTH,",
           "INSN_CALL32_LENGTH,", *ENCODINGS),
    Mutant("padded call counts from its end without the prefix", "instruction.c",
           "0 : address + form->length;",
           "0 : address + form->length - (form->opcode[0] == INSN_PREFIX_CS);", *ENCODINGS),
    Mutant("call through memory is a jump", "instruction.c",
           "{INSN_GROUP5, INSN_MODRM_CALL_RIP}", "{INSN_GROUP5, 0x25}", *ENCODINGS),
    Mutant("call through memory goes to the word", "breakpoint.c",
           "registers->ip = bytes_load8((const void *)(next + operand));",
           "registers->ip = next + operand;", *THROUGH_WORD),
    Mutant("word called through looked for at the site", "breakpoint.c",
           "registers->ip = bytes_load8((const void *)(next + operand));",
           "registers->ip = bytes_load8((const void *)(site->address + operand));", *THROUGH_WORD),
    Mutant("four bytes of the word called", "breakpoint.c",
           "registers->ip = bytes_load8((const void *)(next + operand));",
           "registers->ip = bytes_load4((const void *)(next + operand));", *THROUGH_WORD),
    Mutant("call through memory pushes nothing", "breakpoint.c",
           "if (kind == INSTRUCTION_CALL || kind == INSTRUCTION_CALL_MEMORY) {",
           "if (kind == INSTRUCTION_CALL) {", *THROUGH_WORD),
    Mutant("return address pushed before the word is read", "breakpoint.c",
           "registers->ip = bytes_load8((const void *)(next + operand));",
           "*((uint64_t *)registers->sp - 1) = next;\n"
           "registers->ip = bytes_load8((const void *)(next + operand));",
           "test_breakpoint", "call_through_the_word_that_it_overwrites_goes_where_that_said"),
    # Sites with a stand-in.
    Mutant("stand-in not called", "poke.c", "instruction->kind = INSTRUCTION_CALL;",
           "instruction->kind = INSTRUCTION_NOP;", *STAND_IN_PAIRS),
    Mutant("stand-in jumped to", "poke.c", "instruction->kind = INSTRUCTION_CALL;",
           "instruction->kind = INSTRUCTION_JUMP;", *STAND_IN_PAIRS),
    Mutant("stand-in returns to behind five bytes", "breakpoint.c",
           "*(uint64_t *)registers->sp = next;", "*(uint64_t *)registers->sp = site->address + 5;",
           *STAND_IN_PAIRS),
    Mutant("stand-in counted from the site", "poke.c", "(stand_in - (address + length))",
           "(stand_in - address)", *STAND_IN_PAIRS),
    Mutant("stand-in of the site before", "poke.c",
           "&batch->sites[batch->count - 1];\n\n        site->has_stand_in",
           "&batch->sites[batch->count > 1 ? batch->count - 2 : 0];\n\n        site->has_stand_in",
           STAND_IN, "sites_of_a_batch_keep_their_stand_ins_when_it_is_sorted"),
    Mutant("stand-in out of reach cut off", "poke.c", "displacement != (int32_t)displacement",
           "false", STAND_IN, "stand_in_out_of_reach_is_refused"),
    Mutant("stand-in may lie inside a site", "poke.c",
           "if (!instruction_has_target((enum instruction_kind)site->kind)) {",
           "if (site->has_stand_in || "
           "!instruction_has_target((enum instruction_kind)site->kind)) {",
           STAND_IN, "stand_in_inside_a_site_of_the_batch_is_refused"),
    Mutant("once a stand-in, always a stand-in", "poke.c", "    site->has_stand_in = false;\n", "",
           STAND_IN, "next_batch_decodes_its_sites_again"),
    Mutant("int3 taken for an instruction", "poke.c", "bytes[0] == INSN_INT3 ?", "false ?",
           STAND_IN, "int3_is_refused_as_old_and_as_new_instruction"),
    Mutant("site with a stand-in may be last", "poke.c", "status == PATCH_OK && site->is_last &&",
           "status == PATCH_OK && site->is_last && !site->has_stand_in &&",
           STAND_IN, "site_with_a_stand_in_cannot_be_last"),
]
