# SPDX-License-Identifier: MIT
"""The mutants of dynamic calls (patching/): each breaks one thing that the test named beside it
claims to detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

CALL, COMPARE = "dynamic_call.c", "dynamic_compare.c"
TABLE, WATCH, ENTRY = "dynamic_call_table.c", "dynamic_watch.c", "dynamic_watch_entry.asm"

TEXT_RACE = ("test_dynamic_call_steps", "calls_arrive_while_values_in_the_text_change")
MEMORY_RACE = ("test_dynamic_call_steps", "calls_arrive_while_values_in_memory_change")
TRIAL_RACE = ("test_dynamic_call_steps", "calls_of_a_trial_arrive_while_slots_change")
FORGET_RACE = ("test_dynamic_call_steps", "forgotten_target_is_left_and_counted_no_more")
IN_A_ROW = ("test_dynamic_call_changes", "random_changes_in_a_row_are_exact")
EXACT = ("test_dynamic_call_changes", "every_change_of_two_slots_is_exact")
UNCOUNTED = ("test_dynamic_call_changes", "nothing_is_counted_during_a_change")
IMPOSSIBLE = ("test_dynamic_call_faults", "targets_that_cannot_be_are_refused")
SETTLED = ("test_dynamic_call_faults",
           "nobody_passes_a_gate_that_opens_behind_a_failure_unserialised")
TABLES, FORGETS, CALLS = "test_dynamic_call_table", "test_dynamic_call_forget", "test_dynamic_call"

STORE = "values_store(call, &form->targets);"
RUN = "status = list_run(call, &list, error);"
CHAIN = "enum patch_status status = chain_empty(call, error);"
WAIT = """    if (!platform_synchronize()) {
        status = patch_error_set(error, PATCH_ERR_STILL_INSIDE, NULL, target);
    }
"""
LOSE = """    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        counts_forget(call, target);
        dynamic_choice_forget(&call->choice, target, 0);
    }
"""

MUTANTS = [
    # The order of a change.
    Mutant("gate stays open", CALL, "    if (call->form.is_open) {", "    if (false) {",
           *TEXT_RACE),
    Mutant("no grace period", CALL, "if (status != PATCH_OK || !call->needs_grace) {",
           "if (true) {", *TEXT_RACE),
    Mutant("gate not last", CALL, "gate.is_last = form->is_open;", "gate.is_last = false;",
           "test_dynamic_call_steps", "calls_arrive_by_every_protocol"),
    Mutant("gate not last for whoever fetches late", CALL, "gate.is_last = form->is_open;", "",
           "test_dynamic_call_changes", "nothing_old_is_behind_a_gate_that_opens"),
    Mutant("value stored before the grace period", CALL, CHAIN, f"{STORE}\n{CHAIN}", *MEMORY_RACE),
    Mutant("value stored behind the gate", CALL, f"{STORE}\n    {RUN}", f"{RUN}\n    {STORE}",
           *MEMORY_RACE),
    Mutant("trial not waited for", CALL, "call->needs_grace |= goes_through;", "", *TRIAL_RACE),
    Mutant("trial goes on during a change", CALL,
           "dynamic_watch_set_through(call, false);", "", *TRIAL_RACE),
    Mutant("gate that was open not waited for", CALL, "call->needs_grace |= form->is_open;", "",
           *IN_A_ROW),
    Mutant("waits although nobody can be inside", CALL, "call->needs_grace = form->is_open;",
           "call->needs_grace = true;", *IN_A_ROW),
    Mutant("same set patched again", CALL, "if (slots_differ(call, form)) {", "if (true) {",
           *EXACT),
    Mutant("same kind of comparison alone looked at", CALL,
           "return form->compare != call->form.compare ||", "return", *EXACT),
    # Failures.
    Mutant("values of a change that failed stay", CALL,
           "values_store(call, &call->form.targets);", "",
           "test_dynamic_call_faults", "a_write_that_fails_leaves_values_in_memory"),
    Mutant("gate opens behind a failure without a sync", CALL,
           "return !call->is_unsettled || grace_wait(call);", "return true;", *SETTLED),
    Mutant("failure not remembered", CALL, "call->is_unsettled = true;", "", *SETTLED),
    Mutant("failure remembered for ever", CALL, "    call->is_unsettled = false; /* the",
           "    /* the", "test_dynamic_call_faults",
           "a_change_of_slots_behind_a_failure_does_not_wait"),
    Mutant("target twice accepted", CALL, "if (targets->slot[before] == target) {", "if (false) {",
           *IMPOSSIBLE),
    Mutant("target behind the last slot accepted", CALL, "if (i >= call->slot_count) {",
           "if (false) {", *IMPOSSIBLE),
    Mutant("empty slot's value accepted as a target", CALL, "target == DYNAMIC_CALL_NEVER ||", "",
           *IMPOSSIBLE),
    Mutant("target of 32 bits without sign accepted", CALL, "(uint64_t)(int64_t)(int32_t)target",
           "(uint64_t)(uint32_t)target", *IMPOSSIBLE),
    Mutant("who passed a gate that opened in vain is not waited for", CALL,
           "    call->needs_grace |= form->is_open;\n", "",
           "test_dynamic_call_faults", "a_gate_that_opened_in_vain_is_waited_for"),
    # Counting.
    Mutant("counts during a change", CALL, "    counting_pause(call);\n", "", *UNCOUNTED),
    Mutant("counts of before a change stay", CALL,
           "        dynamic_count_clear(counts, call->count_cpus);\n", "", *UNCOUNTED),
    Mutant("counted although nobody counts", WATCH,
           "__atomic_load_n(&call->is_counting, __ATOMIC_RELAXED)", "true",
           CALLS, "watched_calls_are_counted_by_target_and_others_are_not"),
    Mutant("CPU without a table counts", WATCH, "cpu < call->count_cpus", "cpu != UINT32_MAX",
           CALLS, "watched_calls_are_counted_by_target_and_others_are_not"),
    Mutant("closed call takes the chain unasked", WATCH,
           "return __atomic_load_n(&call->goes_through, __ATOMIC_RELAXED);", "return true;",
           CALLS, "closed_calls_take_the_chain_when_told_to"),
    Mutant("timed call that misses counted", WATCH,
           "        dynamic_watch_set_counting(call, false);\n", "",
           CALLS, "timed_calls_are_stamped_and_not_counted"),
    Mutant("caller of another call breaks the trial", WATCH,
           "    if (__atomic_load_n(&call->is_timed, __ATOMIC_RELAXED)) {\n        trial_break",
           "    if (true) {\n        trial_break",
           CALLS, "waiting_callers_break_the_trial_of_their_call_alone"),
    Mutant("instance taken twice", WATCH, "bits | 1u << free", "bits",
           CALLS, "instances_are_taken_once_and_come_back"),
    Mutant("watched call loses an argument", ENTRY, "    pop r8\n    pop rcx\n",
           "    pop rcx\n    pop r8\n", CALLS, "every_call_arrives_whatever_a_slot_names"),
    Mutant("watched call exchanges two registers", ENTRY, "    pop rsi\n    pop rdi\n",
           "    pop rdi\n    pop rsi\n",
           "test_dynamic_call_entry", "missed_call_keeps_all_registers"),
    Mutant("watched call leaves the call on the stack", ENTRY, "    ret 8\n", "    ret\n",
           "test_dynamic_call_entry", "closed_call_keeps_all_registers_and_is_answered"),
    # Forgetting.
    Mutant("forgets without a grace period", CALL,
           "    if (!platform_synchronize()) {\n        status", "    if (false) {\n        status",
           *FORGET_RACE),
    Mutant("counts forgotten before the grace period", CALL, WAIT + LOSE, LOSE + WAIT,
           *FORGET_RACE),
    Mutant("counts not forgotten", CALL, "        counts_forget(call, target);\n", "",
           FORGETS, "counts_of_the_target_alone_are_lost"),
    Mutant("gate open with nothing behind it", CALL, "form.is_open &= !is_empty;",
           "(void)is_empty;", FORGETS, "target_leaves_every_slot_and_no_other_does"),
    Mutant("slots of the first call alone forgotten", CALL,
           "status == PATCH_OK && (call = dynamic_call_at(i)) != NULL",
           "i == 0 && (call = dynamic_call_at(i)) != NULL",
           FORGETS, "target_leaves_every_slot_and_no_other_does"),
    # Comparisons and their table.
    Mutant("comparison not known to have changed", COMPARE, "slot->compared = change->wanted;", "",
           *EXACT),
    Mutant("slot stays marked", COMPARE, "    slot->is_changing = false;\n", "", *EXACT),
    Mutant("slot twice in a transaction", COMPARE, "if (slot->is_changing) {", "if (false) {",
           "test_dynamic_call_faults", "a_slot_stands_in_a_transaction_once"),
    Mutant("name of another call accepted", TABLE, "if (name_is_taken(call)) {", "if (false) {",
           TABLES, "two_calls_of_one_name_are_refused"),
    Mutant("comparison of nobody accepted", TABLE, "if (!slot_is_known(site->slot) ||", "if (",
           TABLES, "slot_behind_the_last_is_refused"),
    Mutant("bytes of a comparison not looked at", TABLE,
           "!bytes_equal(text, bytes, INSN_COMPARE_LENGTH)", "false",
           TABLES, "comparison_with_a_foreign_slot_is_refused"),
    Mutant("comparison anywhere accepted", TABLE,
           "!platform_text_is_patchable(text, INSN_COMPARE_LENGTH)", "false",
           TABLES, "comparison_outside_patchable_text_is_refused"),
    Mutant("comparisons not sorted", TABLE,
           "left->slot != right->slot ? left->slot < right->slot : left->address < right->address",
           "left->address < right->address", TABLES, "comparisons_belong_to_their_slots"),
]
