# SPDX-License-Identifier: MIT
"""The mutants of patching/: each breaks one thing that the test named beside it claims to detect.

Invariant: the search text stands exactly once in the file. Read by: mutants.py.
"""

from collections import namedtuple

Mutant = namedtuple("Mutant", "name file search replacement program test")

PAIRS = ("test_batch", "every_instruction_pair_at_every_alignment_never_shows_mixed_bytes")
ORDER = ("test_batch", "writes_and_syncs_come_in_the_order_of_the_protocol")
FAULTS = ("test_batch_faults", "one_failing_write_leaves_text_as_it_was")
RACES = ("test_static_key_races", "increment_returns_only_when_the_text_is_enabled")
LAST_USER = ("test_static_key",
             "last_decrement_that_meets_an_increment_leaves_the_key_enabled")

SILENT = ("test_silent_cpus", "cpu_silent_from_any_round_on_never_sees_a_mixture")
SILENT_AT_FIRST = ("test_silent_cpus", "cpu_silent_in_the_first_round_is_an_error_not_a_panic")

STEP = "step_run(pass, first, end, step)"
SYNC = "if (!pass->cpu_is_silent && sync_run(pass)) {"


def sync_unless(condition):
    """The replacement of SYNC that drops the sync where @condition holds."""
    return SYNC.replace("&& sync_run", f"&& !({condition}) && sync_run")


MUTANTS = [
    # The order of the protocol.
    Mutant("sync after int3 dropped", "three_steps.c", SYNC,
           sync_unless("step == PATCH_STEP_INT3"), *PAIRS),
    Mutant("sync after tail dropped", "three_steps.c", SYNC,
           sync_unless("step == PATCH_STEP_TAIL"), *PAIRS),
    Mutant("sync after first byte dropped", "three_steps.c", SYNC,
           sync_unless("step == PATCH_STEP_FIRST"), *PAIRS),
    Mutant("tail before int3", "three_steps.c", STEP,
           "step_run(pass, first, end, step == PATCH_STEP_FIRST ? step : PATCH_STEP_TAIL - step)",
           *PAIRS),
    Mutant("first byte before tail", "three_steps.c", STEP,
           "step_run(pass, first, end, step == PATCH_STEP_INT3 ? step : 3 - step)", *PAIRS),
    Mutant("int3 step left out", "three_steps.c",
           "enum patch_step step = PATCH_STEP_INT3;", "enum patch_step step = PATCH_STEP_TAIL;",
           *PAIRS),
    Mutant("sync although nothing was written", "three_steps.c",
           "if (batch->record.bytes > bytes_before) {", "if (true) {",
           "test_batch", "steps_with_nothing_to_write_cost_no_round"),
    Mutant("batch one site at a time", "protocol_int3.c",
           "three_steps_apply(batch, PATCH_BATCH_MAX)", "three_steps_apply(batch, 1)", *ORDER),
    Mutant("text open for a whole step", "write_window.c",
           "    write_window_close(window);\n    platform_text_open();",
           "    if (window->writes == 0) {\n        platform_text_open();\n    }",
           "test_batch", "text_stays_open_for_256_writes_at_most"),
    # Putting a failed batch back.
    Mutant("no rollback", "three_steps.c", "        put_back(&pass);", "        ;", *FAULTS),
    Mutant("rollback to the new bytes", "three_steps.c", "pass->goal = SITE_GOAL_OLD;", "",
           *FAULTS),
    Mutant("no rollback by stop", "protocol_stop.c", "sites_write_or_put_back(batch, write_all)",
           "write_all(batch, SITE_GOAL_NEW) ? PATCH_OK : batch->error.status", *FAULTS),
    Mutant("failed write taken for a good one", "site_write.c",
           "    batch->error.status = PATCH_ERR_WRITE;", "    return true;", *FAULTS),
    # A CPU that does not answer.
    Mutant("goes on without the silent CPU", "three_steps.c",
           "if (round_run(batch, &silent)) {", "if (round_run(batch, &silent) || true) {",
           *SILENT_AT_FIRST),
    Mutant("others not synced when a batch is put back", "three_steps.c",
           "round_run(batch, &ignored);", "ignored = 0;\n        (void)ignored;",
           *SILENT_AT_FIRST),
    Mutant("put back behind a tail without the silent CPU", "three_steps.c",
           "if (pass->tail_is_written) {", "if (false) {", *SILENT),
    Mutant("machine stops for a CPU that may be silent", "three_steps.c",
           "if (pass->tail_is_written) {", "if (true) {", *SILENT_AT_FIRST),
    Mutant("silent CPU asked again and again", "three_steps.c",
           "if (!pass->cpu_is_silent && sync_run(pass)) {", "if (sync_run(pass)) {",
           *SILENT_AT_FIRST),
    Mutant("stop does not wait for every CPU", "protocol_stop.c", "if (!all_parked) {",
           "if (false) {", "test_silent_cpus",
           "cpu_that_does_not_come_to_a_stop_leaves_text_untouched"),
    # The protocols qword, stop, naive.
    Mutant("qword over a boundary", "protocol_qword.c", "fetched_whole && fits_quadword(site);",
           "true;", *PAIRS),
    Mutant("qword where bytes are fetched one by one", "protocol_qword.c",
           "fetched_whole && fits_quadword(site);", "fits_quadword(site);",
           "test_protocols", "qword_falls_back_where_bytes_are_fetched_one_by_one"),
    Mutant("qword without its sync", "three_steps.c", SYNC,
           sync_unless("batch->sites[first].is_quadword"), *PAIRS),
    Mutant("quadword written in the first step", "three_steps.c",
           "return step != PATCH_STEP_FIRST ||", "return step != PATCH_STEP_INT3 ||",
           "test_protocols", "qword_writes_the_others_by_int3_in_the_same_rounds"),
    Mutant("quadword spoils its neighbours", "site_write.c",
           "bytes_pack((const void *)start, sizeof(around)) & ~mask;", "0;",
           "test_protocols", "qword_keeps_what_stands_around_the_site"),
    Mutant("strict not strict", "protocol_qword.c", "batch->flags & PATCH_STRICT", "false",
           "test_protocols", "strict_qword_refuses_a_site_that_does_not_fit"),
    Mutant("mark of an earlier plan kept", "poke.c", "site->is_quadword = false;", "",
           "test_protocols", "plan_by_one_protocol_leaves_nothing_to_the_next"),
    Mutant("stop writes behind the release", "protocol_stop.c",
           "enum patch_status status = sites_write_or_put_back(batch, write_all);",
           "platform_release_cpus();\n"
           "    enum patch_status status = sites_write_or_put_back(batch, write_all);",
           "test_protocols", "stop_writes_whole_instructions_in_one_rendezvous"),
    Mutant("naive let through", "poke.c", "!(flags & PATCH_ALLOW_UNSAFE)", "false",
           "test_protocols", "naive_is_refused_without_the_flag"),
    # The handler and its references.
    Mutant("references dropped early", "three_steps.c",
           "if (!pass_run(&pass)) {", "patch_breakpoint_disarm();\n    if (!pass_run(&pass)) {",
           *PAIRS),
    Mutant("descriptor reused while a handler reads it", "breakpoint.c",
           "while (__atomic_load_n(&patch_trap_cpus[i].references, __ATOMIC_ACQUIRE) != 0) {",
           "while (false) {",
           "test_breakpoint", "batch_returns_only_after_every_cpu_left_the_handler"),
    Mutant("references of CPUs online only", "breakpoint.c",
           "unsigned possible = platform_cpu_possible();\n\n    in_flight",
           "unsigned possible = platform_cpu_count();\n\n    in_flight",
           "test_breakpoint", "cpu_that_comes_up_during_a_batch_is_served"),
    Mutant("reference set instead of counted", "breakpoint.c", "&count, count + 1, false",
           "&count, 2, false", "test_breakpoint", "handler_nests"),
    Mutant("handler without retry", "breakpoint.c", "stands ? LOOK_STRANGE : LOOK_VANISHED;",
           "LOOK_STRANGE;", "test_breakpoint", "trap_whose_int3_vanished_is_retried"),
    Mutant("handler looks twice at most", "breakpoint.c",
           "    enum look look;\n\n    do {",
           "    enum look look;\n    unsigned looks = 0;\n\n    do {\n"
           "        if (looks++ == 2) {\n            return false;\n        }",
           "test_breakpoint", "late_trap_is_resolved_however_many_batches_pass"),
    Mutant("handler looks once", "breakpoint.c", "while (look == LOOK_STRANGE &&",
           "while (false && look == LOOK_STRANGE &&",
           "test_breakpoint", "late_trap_is_resolved_whenever_the_next_batch_arms"),
    Mutant("any int3 taken for ours", "breakpoint.c",
           "return look != LOOK_STRANGE;", "return true;",
           "test_breakpoint", "int3_of_nobody_is_not_resolved"),
    Mutant("old instruction emulated", "poke.c", "instruction_decode(site->new_bytes,",
           "instruction_decode(site->old_bytes,", *PAIRS),
    Mutant("condition never negated", "breakpoint.c", "return holds != ((condition & 1) != 0);",
           "return holds;", "test_batch", "every_condition_is_emulated"),
    Mutant("call returns to itself", "breakpoint.c", "*(uint64_t *)registers->sp = next;",
           "*(uint64_t *)registers->sp = site->address;", *PAIRS),
    Mutant("last site of a bucket not found", "breakpoint.c", "index.bucket_start[bucket + 1];",
           "index.bucket_start[bucket + 1] - 1u;",
           "test_batch", "handler_finds_every_site_of_4096_and_no_other"),
    # The checks.
    Mutant("array not sorted", "poke.c", "heap_sort(batch->sites,", "(void)(batch->sites,",
           "test_batch", "random_batches_in_any_order_never_show_mixed_bytes"),
    Mutant("heap keeps the smaller child", "heap_sort.c", "is_before(array, child, child + 1)",
           "is_before(array, child + 1, child)",
           "test_record", "heap_sort_orders_every_length_and_keeps_every_element"),
    Mutant("current bytes not checked", "poke.c",
           "if (!bytes_equal(text, site->old_bytes, site->length)) {", "if (false) {",
           "test_batch_refused", "unexpected_current_bytes_are_refused_and_shown"),
    Mutant("duplicate accepted", "poke.c", "before->address == site->address", "false",
           "test_batch_refused", "site_listed_twice_is_refused"),
    Mutant("overlap accepted", "poke.c", "before->address + before->length > site->address",
           "false", "test_batch_refused", "overlapping_sites_are_refused"),
    Mutant("jump into a tail accepted", "poke.c", "site->target > hit->address", "false",
           "test_batch_refused", "jump_into_the_tail_of_a_site_is_refused"),
    Mutant("context checked behind the lock only", "poke.c",
           "if (!platform_may_patch()) {\n        return batch_refuse",
           "if (false) {\n        return batch_refuse",
           "test_batch_refused", "context_that_may_not_patch_is_refused_before_the_lock"),
    Mutant("equal bytes not dropped", "poke.c",
           "if (!bytes_equal(site->old_bytes, site->new_bytes, site->length)) {", "if (true) {",
           "test_batch", "equal_bytes_cost_nothing"),
    # Static keys.
    Mutant("first enable counts before the text", "static_key.c", "count_set(key, COUNT_ENABLING);",
           "count_set(key, COUNT_FIRST);", *RACES),
    Mutant("increment joins a first enable", "static_key.c",
           "while (count > 0) {\n        if (count == INT32_MAX)",
           "while (count != 0) {\n        if (count == INT32_MAX)", *RACES),
    Mutant("disable takes the count for granted", "static_key.c",
           "} else if (count_exchange(key, &first, COUNT_DISABLED)) {",
           "} else if (count_set(key, COUNT_DISABLED), true) {", *LAST_USER),
    Mutant("last decrement without a second look", "static_key.c",
           "if (drop_user(key)) {\n            status", "if (false) {\n            status",
           *LAST_USER),
    Mutant("failed disable loses its user", "static_key.c",
           "if (key->transition == STATIC_KEY_DISABLING && !is_done) {", "if (false) {",
           "test_static_key_changes", "failed_flip_leaves_text_and_count"),
    Mutant("key listed twice", "static_key.c", "key->transition != STATIC_KEY_SETTLED", "false",
           "test_static_key_changes", "transaction_refuses_a_key_twice_and_no_key"),
    Mutant("likely taken for unlikely", "static_key_table.c", "return enabled != likely;",
           "return enabled;", "test_static_key_table", "initialize_writes_the_nops_and_syncs_once"),
    Mutant("no sync after the early writes", "static_key_table.c",
           "if (!platform_sync_cores(&round)) {",
           "if (false) {",
           "test_static_key_table", "initialize_writes_the_nops_and_syncs_once"),
    # Records.
    Mutant("record not taken back before it is overwritten", "record.c",
           "__atomic_store_n(&slot[0], 0, __ATOMIC_RELAXED);", "",
           "test_record", "record_is_read_whole_or_not_at_all_while_it_is_overwritten"),
    Mutant("record not checked again after the copy", "record.c",
           "return __atomic_load_n(&slot[0], __ATOMIC_RELAXED) == seq;", "return true;",
           "test_record", "record_overwritten_while_it_is_read_is_not_returned"),
    Mutant("tail behind the last bucket not looked at", "poke.c",
           "bucket = PATCH_INDEX_BUCKETS - 1;", "return NULL;",
           "test_jump_targets", "tail_behind_the_last_bucket_is_found"),
    Mutant("site in a bucket before not looked at", "poke.c",
           "return &batch->sites[low - 1];",
           "return low > index->bucket_start[bucket] ? &batch->sites[low - 1] : NULL;",
           "test_jump_targets", "jump_into_any_tail_is_refused_and_no_other"),
    Mutant("jump to address 0 taken for none", "poke.c",
           "instruction_has_target(instruction.kind) ?", "instruction.target != 0 ?",
           "test_jump_targets", "jump_to_address_zero_is_emulated"),
]
