# SPDX-License-Identifier: MIT
"""The kernel's mutants: each breaks one thing that a named case of a named suite claims to detect.

`search` must occur exactly once in `file`. With `may_die` the mutant also counts as noticed when
the machine panics or does not end in time, because what it breaks may stop the case from reporting.
"""

from collections import namedtuple

Mutant = namedtuple("Mutant", "name file search replacement suite case may_die", defaults=(False,))

INT3_WRITTEN = "return from[0] == INSN_INT3 || site_write_int3(window, pass->batch, site);"

MUTANTS = [
    Mutant("handler-loses-the-call", "patching/breakpoint.c",
           "*(uint64_t *)registers->sp = next;", "*(uint64_t *)registers->sp = site->address;",
           "breakpoint", "call_is_emulated_and_returns_behind_the_site", may_die=True),
    Mutant("condition-ignored", "patching/breakpoint.c",
           "return holds != ((condition & 1) != 0);", "return holds || true;",
           "breakpoint", "conditional_jump_follows_the_flags"),
    Mutant("vanished-int3-not-refetched", "patching/breakpoint.c",
           "        registers->ip -= INT3_LENGTH;\n", "",
           "breakpoint", "vanished_int3_is_retried", may_die=True),
    Mutant("sync-round-not-counted", "patching/three_steps.c",
           "batch->record.rounds++;", "batch->record.rounds += 0;",
           "poke", "rounds_are_exact"),
    Mutant("tail-without-int3", "patching/three_steps.c", INT3_WRITTEN,
           "return from[0] == INSN_INT3 || true;",
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
    Mutant("sync-not-sent", "patching/three_steps.c",
           "bool all_answered = platform_sync_cores(&round);", "bool all_answered = true;",
           "poke", "rounds_are_exact"),
    Mutant("naive-needs-no-consent", "patching/poke.c",
           "facts.is_unsafe && !(flags & PATCH_ALLOW_UNSAFE)", "facts.is_unsafe && flags > 3",
           "poke", "naive_without_consent_is_refused"),
    Mutant("strict-falls-back", "patching/protocol_qword.c",
           "!site->is_quadword && batch->flags & PATCH_STRICT",
           "!site->is_quadword && batch->flags > 3",
           "poke", "strict_qword_refuses_a_site_across_a_quadword"),
    Mutant("stop-counts-no-ipis", "arch/stop_cpus.c",
           "*sent = ipi_broadcast(VECTOR_STOP);", "ipi_broadcast(VECTOR_STOP);",
           "poke", "rounds_are_exact"),

    # Held batches: the check itself first, then each way to break a step. A CPU that is released
    # from `stop` without serialising cannot be told from one that serialises under an emulator:
    # that mutant is the model's (tests/model).
    Mutant("mixture-not-counted", "kernel/hold_sites.asm",
           "mov eax, MIXED + 1", "mov eax, SECOND + 1",
           "hold", "every_mixture_is_counted_as_mixed"),
    Mutant("mixture-passes-the-check", "kernel/hold_flip.c",
           "return (!mixed || may & ALLOW_MIXED) &&", "return (!mixed || may <= 15) &&",
           "hold", "naive_is_seen_to_mix"),
    Mutant("int3-not-written", "patching/three_steps.c", INT3_WRITTEN,
           "return from[0] == INSN_INT3 || true;",
           "hold", "int3_batch_never_mixes"),
    *(Mutant(f"no-sync-after-{step.lower()}", "patching/three_steps.c",
             "if (!pass->cpu_is_silent && sync_run(pass)) {",
             f"if (!pass->cpu_is_silent && (step == PATCH_STEP_{step} || sync_run(pass))) {{",
             "hold", "int3_never_mixes") for step in ("INT3", "TAIL", "FIRST")),
    Mutant("quadword-through-int3", "patching/three_steps.c",
           "if (site->is_quadword) {", "if (site->is_quadword && pass == NULL) {",
           "hold", "qword_alone_takes_no_trap", may_die=True),
    Mutant("sync-not-awaited", "arch/ipi.c",
           "return acknowledged >= sync->round;",
           "return acknowledged >= sync->round || sync->round != 0;",
           "hold", "int3_batch_waits_for_a_cpu_with_interrupts_off", may_die=True),
    Mutant("stop-not-awaited", "arch/stop_cpus.c",
           ">= (uint64_t)round;", ">= (uint64_t)round || round != NULL;",
           "hold", "stop_waits_for_a_cpu_with_interrupts_off"),
    Mutant("stop-does-not-park", "arch/stop_cpus.c",
           "while (__atomic_load_n(&stop_released, __ATOMIC_ACQUIRE) < round) {",
           "while (round == 0) {",
           "hold", "stop_never_mixes"),
    Mutant("nmi-loses-a-register", "arch/entry.asm",
           "    dec dword [gs:CPU_NMI_DEPTH]\n",
           "    dec dword [gs:CPU_NMI_DEPTH]\n    mov qword [rsp + 14 * 8], 0\n",
           "hold_company", "int3_batch_stands_an_nmi_storm", may_die=True),
    Mutant("two-patchers-at-once", "kernel/mutex.c",
           "if (mutex->owner != NULL) {", "if (mutex->owner == BOOT_OWNER) {",
           "hold_company", "int3_batch_keeps_a_second_patcher_waiting", may_die=True),
    Mutant("emulated-call-returns-to-itself", "patching/breakpoint.c",
           "*(uint64_t *)registers->sp = next;", "*(uint64_t *)registers->sp = site->address;",
           "hold_company", "int3_lets_preempted_threads_go_on", may_die=True),

    # Thunks of indirect branches, switched while all CPUs call through them.
    Mutant("thunk-without-int3", "patching/three_steps.c", INT3_WRITTEN,
           "return from[0] == INSN_INT3 || true;",
           "mitigation", "calls_arrive_at_every_step_of_a_switch", may_die=True),
    Mutant("thunk-call-emulated-without-push", "patching/breakpoint.c",
           "registers->sp -= sizeof(uint64_t);", "",
           "mitigation", "calls_arrive_at_every_step_of_a_switch", may_die=True),
    Mutant("last-thunk-left-out", "patching/indirect_thunk.c",
           "i < indirect_thunk_count && status == PATCH_OK",
           "i + 1 < indirect_thunk_count && status == PATCH_OK",
           "mitigation", "switch_takes_three_rounds_in_all_directions"),
    Mutant("thunks-switched-without-sync", "patching/three_steps.c",
           "bool all_answered = platform_sync_cores(&round);", "bool all_answered = true;",
           "mitigation", "switch_takes_three_rounds_in_all_directions", may_die=True),
]
