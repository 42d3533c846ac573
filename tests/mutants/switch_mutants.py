# SPDX-License-Identifier: MIT
"""Mutants of switches between backends of paravirt ops; see mutant.py."""

from mutant import Mutant

SWITCH, HAZARDS = "kernel/paravirt_switch.c", "kernel/paravirt_hazards.c"
WANTED, BACKENDS = "kernel/paravirt_wanted.c", "kernel/paravirt_backends.c"
SUITE = "paravirt_switch"

SWITCH_MUTANTS = [
    Mutant("left-while-somebody-is-inside", HAZARDS,
           "entry->backend->leave != NULL && ops_unused(entry, now) != 0);",
           "entry->backend->leave == NULL && ops_unused(entry, now) != 0);",
           SUITE, "backend_is_left_when_nobody_is_inside"),
    Mutant("entered-again-and-again", HAZARDS,
           "is_in_use(entry->backend, op, wanted) && (entry->entered & 1u << op) == 0",
           "is_in_use(entry->backend, op, wanted)",
           SUITE, "backend_is_entered_before_the_batch_and_left_behind_it"),
    Mutant("failed-batch-stays-entered", SWITCH,
           "    paravirt_hazards_end(&states);\n    return is_done;",
           "    if (is_done) {\n        paravirt_hazards_end(&states);\n    }\n    return is_done;",
           SUITE, "batch_that_fails_leaves_what_was_entered"),
    Mutant("half-switched-lock-pair", WANTED,
           "if (missing == PARAVIRT_OP_COUNT) {",
           "if (missing == PARAVIRT_OP_COUNT || missing == PARAVIRT_lock_slow) {",
           SUITE, "backends_that_do_not_fit_are_refused_by_name", may_die=True),
    Mutant("layer-over-a-layer", WANTED,
           "if (state->layer != NULL && state->layer != backend) {",
           "if (state->layer == backend) {",
           SUITE, "layer_stands_over_a_base_and_over_no_other_layer", may_die=True),
    Mutant("layer-forwards-to-native", SWITCH,
           "paravirt_backend_way(wanted->ops[op].base, op)->function",
           "paravirt_native_ways[op]->function",
           SUITE, "layer_stands_over_a_base_and_over_no_other_layer"),
    Mutant("refusal-of-enter-forgotten", HAZARDS,
           "for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT && is_done; op++) {",
           "for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {",
           SUITE, "backend_that_cannot_be_entered_is_left_where_it_was"),
    Mutant("removed-while-in-use", BACKENDS,
           "!is_used(&registry[at]);",
           "(is_used(&registry[at]) || registry[at].who == NULL);",
           SUITE, "backend_is_entered_before_the_batch_and_left_behind_it", may_die=True),
]
