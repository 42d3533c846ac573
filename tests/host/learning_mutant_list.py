# SPDX-License-Identifier: MIT
"""The mutants of what counts, decides and carries out for dynamic calls; see mutant_list.py.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from mutant_list import Mutant

COUNT = "test_dynamic_count"

MUTANTS = [
    Mutant("targets without a row not counted", "dynamic_count.c",
           "    store(counter, load(counter) + 1);",
           "    store(counter, load(counter) + (counter != &count->others));",
           COUNT, "targets_without_a_row_are_counted_all_the_same"),
    Mutant("last row of a count shared", "dynamic_count.c", "        if (there == target) {",
           "        if (there == target || i == DYNAMIC_ROWS - 1) {",
           COUNT, "targets_without_a_row_are_counted_all_the_same"),
    Mutant("row taken with the calls of another", "dynamic_count.c",
           "            store(&row->calls, 0);\n            return &row->calls;",
           "            return &row->calls;",
           COUNT, "row_of_another_target_begins_at_nothing"),
    Mutant("one CPU counts for all", "dynamic_count.c",
           "            lowest.calls += load(&row->calls);",
           "            lowest.calls = load(&row->calls);",
           COUNT, "all_cpus_are_added_up_and_no_other"),
    Mutant("last CPU left out of a census", "dynamic_count.c",
           "    for (uint32_t i = 0; i < cpus * DYNAMIC_ROWS; i++) {\n        const",
           "    for (uint32_t i = 0; i + DYNAMIC_ROWS < cpus * DYNAMIC_ROWS; i++) {\n        const",
           COUNT, "all_cpus_are_added_up_and_no_other"),
    Mutant("calls without a row left out of the census", "dynamic_count.c",
           "    census->total = census->others;\n", "",
           COUNT, "targets_without_a_row_are_counted_all_the_same"),
    Mutant("least called target kept in a full census", "dynamic_count.c",
           "        if (row.calls <= least->calls) {", "        if (row.calls >= least->calls) {",
           COUNT, "least_called_of_many_targets_go_to_others"),
    Mutant("what a full census drops is lost", "dynamic_count.c",
           "        census->others += least->calls;\n", "",
           COUNT, "least_called_of_many_targets_go_to_others"),
    Mutant("ties in the order of the highest address", "dynamic_count.c",
           "census->rows[at - 1].calls < row.calls", "census->rows[at - 1].calls <= row.calls",
           COUNT, "calls_are_ranked_by_number_and_ties_by_address"),
    Mutant("others not cleared", "dynamic_count.c",
           "        store(&counts[cpu].others, 0);\n", "",
           COUNT, "cleared_tables_count_anew"),
    Mutant("target forgotten in its first row alone", "dynamic_count.c",
           "            store(&row->target, 0);\n            store(&row->calls, 0);\n        }\n",
           "            store(&row->target, 0);\n            store(&row->calls, 0);\n"
           "            return;\n        }\n",
           COUNT, "forgotten_target_is_nowhere_and_the_others_stay"),
]
