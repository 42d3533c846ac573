# SPDX-License-Identifier: MIT
"""The kernel's mutants: each breaks one thing that a named case of a named suite claims to detect.

`search` must occur exactly once in `file`. With `may_die` the mutant also counts as noticed when
the machine panics or does not end in time, because what it breaks may stop the case from reporting.
"""

from collections import namedtuple

Mutant = namedtuple("Mutant", "name file search replacement suite case may_die", defaults=(False,))

MUTANTS = [
    Mutant("handler-loses-the-call", "patching/breakpoint.c",
           "*(uint64_t *)registers->sp = next;", "*(uint64_t *)registers->sp = site->address;",
           "breakpoint", "call_is_emulated_and_returns_behind_the_site", may_die=True),
    Mutant("condition-ignored", "patching/breakpoint.c",
           "return holds != ((condition & 1) != 0);", "return holds || true;",
           "breakpoint", "conditional_jump_follows_the_flags"),
    Mutant("vanished-int3-not-refetched", "patching/breakpoint.c",
           "            registers->ip = address;\n", "",
           "breakpoint", "vanished_int3_is_retried", may_die=True),
    Mutant("sync-round-not-counted", "patching/protocol_int3.c",
           "batch->record.rounds++;", "batch->record.rounds += 0;",
           "poke", "rounds_are_exact"),
    Mutant("tail-without-int3", "patching/protocol_int3.c",
           "if (step == STEP_INT3 &&", "if (false && step == STEP_INT3 &&",
           "torture", "call_sites_survive_ten_seconds_under_fire", may_die=True),
    Mutant("enabled-before-the-text", "patching/static_key.c",
           "    int32_t count = count_get(key);\n\n    while (count > 0) {",
           "    int32_t count = count_get(key);\n\n    count = count < 0 ? -count : count;\n"
           "    if (count_get(key) < 0) {\n        return PATCH_OK;\n    }\n"
           "    while (count > 0) {",
           "static_key", "racing_users_always_find_it_enabled", may_die=True),
    Mutant("mutex-without-owner-check", "kernel/mutex.c",
           "if (mutex->owner != NULL) {", "if (mutex->owner == BOOT_OWNER) {",
           "threads", "mutex_lets_one_thread_in", may_die=True),
    Mutant("condition-read-before-the-lock", "kernel/wait_queue.c",
           "        uint64_t flags = spinlock_lock_save(&queue->lock);\n"
           "        if (condition(argument)) {",
           "        bool met = condition(argument);\n"
           "        uint64_t flags = spinlock_lock_save(&queue->lock);\n        if (met) {",
           "threads", "wake_up_between_check_and_sleep_is_not_lost", may_die=True),
    Mutant("no-preemption-at-slice-end", "kernel/scheduler.c",
           "if (queue->first != NULL && slice_over) {",
           "if (queue->first != NULL && !slice_over) {",
           "threads", "spinning_threads_share_a_cpu", may_die=True),
    Mutant("tick-never-stops", "kernel/scheduler.c",
           "if (queue->first != NULL && queue->current != queue->idle && "
           "queue->slice_end_ns < deadline) {",
           "if (queue->slice_end_ns < deadline) {",
           "machine", "idle_cpus_take_no_ticks"),
    Mutant("cross-call-not-awaited", "kernel/cross_call.c",
           "    ipi_wait_acknowledged(\"a cross call\", call_is_done, NULL);\n"
           "    mutex_unlock(&call_mutex);\n}\n\nbool on_cpu",
           "    mutex_unlock(&call_mutex);\n}\n\nbool on_cpu",
           "machine", "racing_cross_calls_lose_none", may_die=True),
    Mutant("broadcast-counted-short", "arch/ipi.c",
           "count_sent(IPI_SYNC, others);", "count_sent(IPI_SYNC, others - 1);",
           "machine", "every_ipi_sent_is_received"),
    Mutant("frame-handed-out-twice", "kernel/page_allocator.c",
           "frames_set_used(frame, pages, true);", "frames_set_used(frame, pages, pages != 1);",
           "memory", "pages_are_distinct_and_zeroed", may_die=True),
    Mutant("window-stays-open", "arch/text_window.c",
           "slots[word * 64 + (unsigned)__builtin_ctzll(touched[word])] = 0;", "",
           "poke", "text_is_not_writable_after_a_batch"),
    Mutant("sync-not-sent", "patching/protocol_int3.c",
           "batch->record.ipis += platform_sync_cores();", "batch->record.ipis += 0;",
           "poke", "rounds_are_exact"),
]
