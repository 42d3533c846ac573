# SPDX-License-Identifier: MIT
"""The kernel's mutants of dynamic calls; see mutant.py."""

from mutant import HANGS, Mutant

CALL, WORKER = "patching/dynamic_call.c", "kernel/dynamic_pass.c"

DYNAMIC_MUTANTS = [
    Mutant("dynamic-gate-left-open", CALL,
           "    if (call->form.is_open) {\n        status = keys_change(call, &closed, error);",
           "    if (false) {\n        status = keys_change(call, &closed, error);",
           "dynamic_call", "who_comes_during_a_change_goes_the_slow_way"),
    Mutant("dynamic-no-grace-period", CALL,
           "    if (!grace_wait(call)) {\n        return patch_error_set(error, PATCH_ERR_NOT_LEFT",
           "    if (false) {\n        return patch_error_set(error, PATCH_ERR_NOT_LEFT",
           "dynamic_call", "who_is_between_comparison_and_call_is_waited_for"),
    Mutant("dynamic-gate-not-last", CALL,
           "gate.is_last = form->is_open;", "gate.is_last = false;",
           "dynamic_torture", "calls_reach_what_they_are_given_whatever_changes", may_die=True),
    Mutant("dynamic-counted-while-slots-change", CALL,
           "    dynamic_watch_set_counting(call, false);\n", "    (void)call;\n",
           "dynamic_call", "nothing_is_counted_while_slots_change"),
    Mutant("dynamic-counts-kept-over-a-change", CALL,
           "        dynamic_count_clear(counts, call->count_cpus);\n", "",
           "dynamic_call", "nothing_is_counted_while_slots_change"),
    Mutant("dynamic-same-slots-written-again", CALL,
           "    if (slots_differ(call, form)) {", "    if (slots_differ(call, form) || true) {",
           "dynamic_learning", "steady_traffic_costs_no_update_and_no_ipi"),
    Mutant("dynamic-forgotten-target-stays", CALL,
           "            form.targets.slot[i] = 0;\n            is_named = true;",
           "            is_named = true;",
           "dynamic_callee", "what_is_forgotten_is_in_no_slot"),
    Mutant("worker-steps-no-dynamic-call", WORKER,
           "uint64_t due_ns = dynamic_auto_step(call, clock_now_ns());",
           "uint64_t due_ns = next_ns;",
           "dynamic_worker", "constant_target_is_learnt_and_then_nothing_is_patched", **HANGS),
    Mutant("memory-asked-for-once", WORKER,
           "    memory_give();\n    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++)"
           " {\n        uint64_t due_ns",
           "    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {\n"
           "        uint64_t due_ns",
           "dynamic_worker", "without_memory_calls_work_and_learn_later", **HANGS),
]
