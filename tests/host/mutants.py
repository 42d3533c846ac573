#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Breaks patching/ in one place at a time and shows that the test named beside it fails.

Invariant: the production source is never touched; a mutant is a copy of one file, under
$(BUILD)/host. Fails if a mutant survives, if its search text does not stand in the file exactly
once, or if its test does not pass on the original. Called by: `make mutants` (host.mk).
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import subprocess
import sys

TIMEOUT_S = 10

Mutant = collections.namedtuple("Mutant", "name file search replacement program test")

PAIRS = ("test_batch", "every_instruction_pair_at_every_alignment_never_shows_mixed_bytes")
ORDER = ("test_batch", "writes_and_syncs_come_in_the_order_of_the_protocol")
FAULTS = ("test_batch_faults", "one_failing_write_leaves_text_as_it_was")
RACES = ("test_static_key_races", "increment_returns_only_when_the_text_is_enabled")
LAST_USER = ("test_static_key",
             "last_decrement_that_meets_an_increment_leaves_the_key_enabled")

SYNC = "if (batch->record.bytes > bytes_before) {"
STEP = "step_run(batch, first, end, step, goal)"

MUTANTS = [
    # The order of the protocol.
    Mutant("sync after int3 dropped", "protocol_int3.c", SYNC,
           "if (batch->record.bytes > bytes_before && step != STEP_INT3) {", *PAIRS),
    Mutant("sync after tail dropped", "protocol_int3.c", SYNC,
           "if (batch->record.bytes > bytes_before && step != STEP_TAIL) {", *PAIRS),
    Mutant("sync after first byte dropped", "protocol_int3.c", SYNC,
           "if (batch->record.bytes > bytes_before && step != STEP_FIRST) {", *PAIRS),
    Mutant("tail before int3", "protocol_int3.c", STEP,
           "step_run(batch, first, end, step == STEP_FIRST ? step : STEP_TAIL - step, goal)",
           *PAIRS),
    Mutant("first byte before tail", "protocol_int3.c", STEP,
           "step_run(batch, first, end, step == STEP_INT3 ? step : 3 - step, goal)", *PAIRS),
    Mutant("int3 step left out", "protocol_int3.c",
           "step = STEP_INT3; step <= STEP_FIRST", "step = STEP_TAIL; step <= STEP_FIRST", *PAIRS),
    Mutant("sync although nothing was written", "protocol_int3.c", SYNC, "if (true) {",
           "test_batch", "steps_with_nothing_to_write_cost_no_round"),
    Mutant("batch one site at a time", "protocol_int3.c", "apply(batch, PATCH_BATCH_MAX)",
           "apply(batch, 1)", *ORDER),
    Mutant("text open for a whole step", "write_window.c",
           "window->writes == PATCH_WINDOW_WRITES", "false",
           "test_batch", "text_stays_open_for_256_writes_at_most"),
    # Putting a failed batch back.
    Mutant("no rollback", "protocol_int3.c", "!pass_run(batch, group, GOAL_OLD)", "false", *FAULTS),
    Mutant("rollback to the new bytes", "protocol_int3.c",
           "goal == GOAL_NEW ? site->new_bytes : site->old_bytes", "site->new_bytes", *FAULTS),
    Mutant("failed write taken for a good one", "protocol_int3.c",
           "whole = write_window_write(", "write_window_write(", *FAULTS),
    # The handler and its references.
    Mutant("references dropped early", "protocol_int3.c",
           "bool done = pass_run(", "patch_breakpoint_disarm(); bool done = pass_run(", *PAIRS),
    Mutant("batch reused while a handler reads it", "breakpoint.c",
           "while (__atomic_load_n(&patch_trap_cpus[i].references, __ATOMIC_ACQUIRE) != 0) {",
           "while (false) {",
           "test_breakpoint", "batch_returns_only_after_every_cpu_left_the_handler"),
    Mutant("references of CPUs online only", "breakpoint.c",
           "i < PATCH_CPU_MAX; i++) {\n        __atomic_store_n",
           "i < platform_cpu_count(); i++) {\n        __atomic_store_n",
           "test_breakpoint", "cpu_that_comes_up_during_a_batch_is_served"),
    Mutant("reference set instead of counted", "breakpoint.c", "&count, count + 1, false",
           "&count, 2, false", "test_breakpoint", "handler_nests"),
    Mutant("handler without retry", "breakpoint.c", "if (!int3_stands_at(address)) {",
           "if (false) {", "test_breakpoint", "trap_whose_int3_vanished_is_retried"),
    Mutant("handler looks once", "breakpoint.c", "LOOKS = 2,", "LOOKS = 1,",
           "test_breakpoint", "late_trap_is_resolved_whenever_the_next_batch_arms"),
    Mutant("any int3 taken for ours", "breakpoint.c", "return false;\n}\n\n/* References of all",
           "return true;\n}\n\n/* References of all",
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
           "if (key->transition == STATIC_KEY_DISABLING && !changed) {", "if (false) {",
           "test_static_key_changes", "failed_flip_leaves_text_and_count"),
    Mutant("key listed twice", "static_key.c", "key->transition != STATIC_KEY_SETTLED", "false",
           "test_static_key_changes", "transaction_refuses_a_key_twice_and_no_key"),
    Mutant("likely taken for unlikely", "static_key_table.c", "return enabled != likely;",
           "return enabled;", "test_static_key_table", "initialize_writes_the_nops_and_syncs_once"),
    Mutant("no sync after the early writes", "static_key_table.c", "platform_sync_cores();", ";",
           "test_static_key_table", "initialize_writes_the_nops_and_syncs_once"),
    # Records.
    Mutant("record not taken back before it is overwritten", "record.c",
           "__atomic_store_n(&slot[0], 0, __ATOMIC_RELAXED);", "",
           "test_record", "record_is_read_whole_or_not_at_all_while_it_is_overwritten"),
    Mutant("record not checked again after the copy", "record.c",
           "return __atomic_load_n(&slot[0], __ATOMIC_RELAXED) == seq;", "return true;",
           "test_record", "record_overwritten_while_it_is_read_is_not_returned"),
]


def run_test(program, test):
    """Returns (status, output) of one test; a hang counts as a failure."""
    environment = dict(os.environ, TEST_FILTER=test)
    try:
        done = subprocess.run([program], env=environment, timeout=TIMEOUT_S, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        return "time-out", ""


def build(make, host, number, mutant):
    """Writes and builds the mutant. Returns (program, None) or (None, what is wrong)."""
    text = (pathlib.Path("patching") / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.search) != 1:
        return None, f"search text stands {text.count(mutant.search)} times in {mutant.file}"
    base = host / "mutants" / f"{number:02}_{mutant.file.removesuffix('.c')}"
    base.parent.mkdir(parents=True, exist_ok=True)
    base.with_suffix(".c").write_text(text.replace(mutant.search, mutant.replacement),
                                      encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    done = subprocess.run([*make.split(), "mutant", f"TEST={mutant.program}", f"MUTANT={base}"],
                          env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (base, None) if done.returncode == 0 else (None, f"does not build:\n{done.stdout}")


def judge(make, host, number, mutant):
    """Returns None if the mutant dies as it should, else what is wrong."""
    status, output = run_test(host / mutant.program, mutant.test)
    if status != 0 or "1 test(s) run" not in output:
        return f"{mutant.test} does not pass on the original"
    program, wrong = build(make, host, number, mutant)
    if wrong:
        return wrong
    status, _ = run_test(program, mutant.test)
    return "SURVIVES" if status == 0 else None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True, type=pathlib.Path, help="$(BUILD)/host")
    parser.add_argument("--make", required=True, help="command that builds the target `mutant`")
    options = parser.parse_args()
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda item: judge(options.make, options.host, *item),
                            enumerate(MUTANTS))
        for mutant, wrong in zip(MUTANTS, verdicts):
            bad += wrong is not None
            print(f"  {'BAD ' if wrong else 'dead'}  {mutant.file[:-2]}: {mutant.name}"
                  f"  <- {wrong or mutant.test}", flush=True)
    print(f"host mutants: {len(MUTANTS) - bad} passed, {bad} failed, 0 skipped")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
