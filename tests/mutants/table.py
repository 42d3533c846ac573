# SPDX-License-Identifier: MIT
"""The kernel's mutants, but for those of dynamic calls; see mutant.py."""

from counted_mutants import COUNTED_MUTANTS
from dynamic_mutants import DYNAMIC_MUTANTS
from lock_halt_mutants import LOCK_HALT_MUTANTS
from mutant import HANGS, Mutant
from paravirt_mutants import PARAVIRT_MUTANTS
from switch_mutants import SWITCH_MUTANTS

INT3_WRITTEN = "return from[0] == INSN_INT3 || site_write_int3(window, pass->batch, site);"

MUTANTS = [
    Mutant("handler-loses-the-call", "patching/breakpoint.c",
           "*(uint64_t *)registers->sp = next;", "*(uint64_t *)registers->sp = site->address;",
           "breakpoint", "call_is_emulated_and_returns_behind_the_site", **HANGS),
    Mutant("condition-ignored", "patching/breakpoint.c",
           "return holds != ((condition & 1) != 0);", "return holds || true;",
           "breakpoint", "conditional_jump_follows_the_flags"),
    Mutant("emulated-flags-lost-in-the-trap", "arch/breakpoint.c",
           "    frame->rflags = registers.flags;\n", "",
           "breakpoint", "comparison_leaves_its_flags_behind_the_trap"),
    Mutant("last-site-emulated-anew", "patching/breakpoint.c",
           "if (site->is_last) {", "if (site == NULL) {",
           "breakpoint", "last_site_goes_on_as_before"),
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
           "    int32_t count = key->owner == NULL ? count_get(key) : 0;\n\n"
           "    while (count > 0) {",
           "    int32_t count = count_get(key);\n\n    count = count < 0 ? -count : count;\n"
           "    if (count_get(key) < 0) {\n        return PATCH_OK;\n    }\n"
           "    while (count > 0) {",
           "static_key", "user_waits_until_the_text_is_enabled"),
    Mutant("mutex-without-owner-check", "kernel/mutex.c",
           "if (mutex->owner != NULL) {", "if (mutex->owner == BOOT_OWNER) {",
           "threads", "mutex_lets_one_thread_in", may_die=True),
    Mutant("condition-read-before-the-lock", "kernel/wait_queue.c",
           "        uint64_t flags = spinlock_lock_save(&queue->lock);\n"
           "        bool is_met = condition(argument);",
           "        bool is_met = condition(argument);\n"
           "        uint64_t flags = spinlock_lock_save(&queue->lock);",
           "threads", "wake_up_between_check_and_sleep_is_not_lost", may_die=True),
    Mutant("timed-out-waiter-stays-queued", "kernel/wait_queue.c",
           "        if (has_deadline) {", "        if (has_deadline && is_met) {",
           "threads", "wake_ups_race_with_deadlines", **HANGS),
    Mutant("woken-waiter-stays-among-sleepers", "kernel/scheduler.c",
           "        if (thread->is_in_sleepers) {", "        if (false) {",
           "threads", "wake_up_ends_a_deadline", may_die=True),
    Mutant("deadline-forgets-a-wake-up", "kernel/wait_queue.c",
           "            return is_met;",
           "            return is_met && clock_now_ns() < deadline_ns;",
           "threads", "deadline_ends_a_wait"),
    Mutant("no-preemption-at-slice-end", "kernel/scheduler.c",
           "if (queue->first != NULL && slice_over) {",
           "if (queue->first != NULL && !slice_over) {",
           "threads", "spinning_threads_share_a_cpu", may_die=True),
    # Grace periods. Without the run-queue lock the look at a thread is a race of two loads with a
    # switch: it shows too rarely for a row here; the file's head draws it.
    Mutant("preempted-counts-as-outside", "kernel/scheduler.c",
           "previous->is_preempted = reason == SWITCH_PREEMPTION;",
           "previous->is_preempted = reason == SWITCH_PREEMPTION && previous == NULL;",
           "grace_period", "preempted_thread_inside_is_waited_for"),
    Mutant("resumed-counts-as-outside", "kernel/scheduler.c",
           "if (!next->is_preempted) {", "if (next != NULL) {",
           "grace_period", "preempted_thread_inside_is_waited_for"),
    Mutant("yield-alone-not-outside", "kernel/scheduler.c",
           "if (!next->is_preempted) {", "if (!next->is_preempted && next != previous) {",
           "grace_period", "yields_let_busy_threads_through"),
    Mutant("running-taken-for-away", "kernel/grace_period.c",
           "is_still_there && !*is_running && !thread->is_preempted;",
           "is_still_there && !thread->is_preempted;",
           "grace_period", "running_thread_inside_is_waited_for"),
    Mutant("handlers-not-waited-for", "kernel/grace_period.c",
           "return sync_cores_try(&sent, &silent);",
           "sent = silent = 0;\n    return sent == silent;",
           "grace_period", "handler_in_progress_is_waited_for"),
    Mutant("old-checkpoint-counts", "kernel/grace_period.c",
           "__atomic_add_fetch(&grace_newest_period, 1,",
           "__atomic_add_fetch(&grace_newest_period, 0,",
           "grace_period", "checkpoint_before_the_call_does_not_count"),
    Mutant("holdouts-not-waited-for", "kernel/grace_period.c",
           "return look->holdouts == 0;", "return look->holdouts == 0 || look->period != 0;",
           "grace_period", "running_thread_inside_is_waited_for"),
    Mutant("poll-thread-without-checkpoint", "net/net_poll.c",
           "        thread_checkpoint();", "        (void)thread_checkpoint;",
           "grace_period", "poll_thread_that_never_rests_passes_checkpoints"),
    Mutant("given-up-called-over", "kernel/grace_period.c",
           "            report(look, waited_ns, true);\n            return false;",
           "            report(look, waited_ns, true);\n            return true;",
           "grace_period", "thread_that_never_comes_out_is_named_and_given_up"),
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
           "text_window_slots[word * 64 + (unsigned)__builtin_ctzll(touched[word])] = 0;", "",
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
    Mutant("mixture-not-counted", "bench/hold_sites.asm",
           "mov eax, MIXED + 1", "mov eax, SECOND + 1",
           "hold", "every_mixture_is_counted_as_mixed"),
    Mutant("mixture-passes-the-check", "bench/hold_flip.c",
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
           "mitigation", "calls_arrive_at_every_step_of_a_switch", **HANGS),
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
    Mutant("traced-entry-loses-an-argument", "patching/function_trace_entry.asm",
           "    pop rdi\n", "    add rsp, 8\n",
           "trace", "traced_function_gets_its_arguments", may_die=True),
    Mutant("overwritten-calls-not-counted", "patching/trace_ring.c",
           "return newest > rings[cpu].count ? newest - rings[cpu].count : 0;",
           "return newest == 0 ? newest : 0;",
           "trace", "full_ring_keeps_the_newest_and_counts_the_others"),
    Mutant("recording-goes-on", "kernel/trace_rings.c",
           "    trace_recording_set(false);\n    /* A full barrier",
           "    /* A full barrier",
           "trace", "stopped_rings_stay_as_they_are", may_die=True),
    Mutant("ipi-record-copied-in-one-look", "arch/ipi_trace.c",
           "    return __atomic_load_n(slot_sequence, __ATOMIC_RELAXED) == sequence;",
           "    return true;",
           "trace", "ipi_records_are_seen_whole"),
    Mutant("record-dropped-before-the-next-one-begins", "kernel/trace_rings.c",
           "    reserved.records = count;\n",
           "    trace_rings_begin();\n    reserved.records = count;\n",
           "trace", "record_stays_until_the_next_one_begins"),
    Mutant("caller-of-the-recorder-recorded", "patching/function_trace_entry.asm",
           "mov rsi, [rsp + (ENTRY_SAVED + 1) * 8]", "mov rsi, [rsp + ENTRY_SAVED * 8]",
           "trace", "calls_are_recorded_in_order_with_their_callers"),
    Mutant("lazy-worker-never-woken", "kernel/patch_worker.c",
           "    apic_interrupt_self(VECTOR_PATCH_WORK);\n", "",
           "lazy_call", "racing_first_calls_find_every_site"),
    Mutant("lazy-report-lost-in-full-slots", "patching/lazy_report.c",
           "    return LAZY_REPORT_FULL;",
           "    __atomic_store_n(&slots[0], site, __ATOMIC_SEQ_CST);\n"
           "    return LAZY_REPORT_ADDED;",
           "lazy_call", "full_slots_are_counted_and_lose_nothing"),
    Mutant("lazy-update-misses-the-stub", "patching/lazy_change.c",
           "        __atomic_store_n(&call->target, (lazy_call_function *)change->wanted, "
           "__ATOMIC_SEQ_CST);\n", "",
           "lazy_call", "update_of_an_unknown_call_costs_no_round"),
    Mutant("lazy-update-misses-sites", "patching/lazy_change.c",
           "for (unsigned i = 0; i < LAZY_SITE_SLOTS && status == PATCH_OK; i++) {",
           "for (unsigned i = 0; i < LAZY_SITE_SLOTS && status == PATCH_OK; i += 2) {",
           "lazy_call", "call_that_begins_behind_an_update_goes_to_the_new_target"),

    # Static calls: what an update must reach, what a call without a target does, and what a CPU
    # does that runs into an int3 of it.
    Mutant("last-call-site-left-behind", "patching/static_call.c",
           "i < call->site_count && status == PATCH_OK", "i + 1 < call->site_count && status == 0",
           "static_call", "inline_call_reaches_old_or_new_and_then_only_new", may_die=True),
    Mutant("trampoline-left-behind", "patching/static_call.c",
           "    if (status == PATCH_OK) {\n"
           "        status = patch_batch_add(batch, call->trampoline,",
           "    if (status == PATCH_OK && call->form != STATIC_CALL_INLINE) {\n"
           "        status = patch_batch_add(batch, call->trampoline,",
           "static_call", "every_kind_of_site_follows_every_update", may_die=True),
    Mutant("null-tail-call-falls-through", "patching/static_call_table.c",
           "is_nothing(call, target) ? INSTRUCTION_RETURN : INSTRUCTION_JUMP",
           "is_nothing(call, target) ? INSTRUCTION_NOP : INSTRUCTION_JUMP",
           "static_call", "every_kind_of_site_follows_every_update", may_die=True),
    Mutant("emulated-zero-keeps-rax", "patching/breakpoint.c", "registers->ax = 0;", ";",
           "static_call", "inline_call_reaches_old_or_new_and_then_only_new"),
    Mutant("two-updaters-at-once", "kernel/mutex.c",
           "if (mutex->owner != NULL) {", "if (mutex->owner == BOOT_OWNER) {",
           "static_call", "racing_updaters_leave_text_and_target_in_step", may_die=True),

    # All kinds of patches at once: a batch that leaves something behind, and patchers that meet.
    Mutant("inline-calls-left-behind-without-target", "patching/static_call.c",
           "if (status == PATCH_OK && call->form == STATIC_CALL_INLINE) {",
           "if (status == PATCH_OK && call->form == STATIC_CALL_INLINE && target != NULL) {",
           "torture", "everything_that_is_patched_changes_at_once", may_die=True),
    Mutant("all-patchers-at-once", "kernel/mutex.c",
           "if (mutex->owner != NULL) {", "if (mutex->owner == BOOT_OWNER) {",
           "torture", "everything_that_is_patched_changes_at_once", may_die=True),
    Mutant("third-change-left-out", "patching/transaction.c",
           "for (*failed = 0; *failed < count; (*failed)++) {",
           "for (*failed = 0; *failed < count && *failed < 2; (*failed)++) {",
           "torture", "everything_that_is_patched_changes_at_once", may_die=True),

    # Network: packets with one owner, queues with one poller, senders that take turns.
    Mutant("pool-hands-out-without-its-lock", "net/packet_pool.c",
           """    uint64_t flags = spinlock_lock_save(&pool->lock);
    unsigned got = count < pool->free_count ? count : pool->free_count;

    for (unsigned i = 0; i < got; i++) {
        packets[i] = take_locked(pool);
    }
    pool->exhausted += got < count ? 1 : 0;
    if (pool->free_count < pool->least_free) {
        pool->least_free = pool->free_count;
    }
    spinlock_unlock_restore(&pool->lock, flags);
""", """    unsigned got = count < pool->free_count ? count : pool->free_count;

    for (unsigned i = 0; i < got; i++) {
        packets[i] = take_locked(pool);
    }
    pool->exhausted += got < count ? 1 : 0;
    if (pool->free_count < pool->least_free) {
        pool->least_free = pool->free_count;
    }
""", "net_pool", "pool_is_whole_wherever_another_takes", may_die=True),
    Mutant("dropped-frame-keeps-its-packet", "net/counters.c",
           "    net_count(reason);\n    packet_free(packet);\n",
           "    net_count(reason);\n    (void)packet;\n",
           "net_device", "program_actions_are_obeyed", **HANGS),
    Mutant("dropped-frame-freed-twice", "net/counters.c",
           "    net_count(reason);\n    packet_free(packet);\n",
           "    net_count(reason);\n    packet_free(packet);\n    packet_free(packet);\n",
           "net_device", "program_actions_are_obeyed", may_die=True),
    Mutant("program-not-waited-for", "net/program.c", "needs_grace = !has_left;",
           "needs_grace = false;",
           "program", "detach_waits_for_the_frame_inside"),
    Mutant("program-of-all-queues", "net/program.c", "        change->first = queue;\n", "",
           "program", "each_queue_runs_its_own_program"),
    Mutant("full-dispatcher-refuses", "net/program.c",
           "    if (status != PATCH_OK && status != PATCH_ERR_NO_SLOT) {\n"
           "        program->users -= more;",
           "    if (status != PATCH_OK) {\n        program->users -= more;",
           "program", "program_without_an_entry_runs_all_the_same"),
    Mutant("refused-program-attached-all-the-same", "net/program.c",
           "        program->users -= more;\n        program_settle_all();\n"
           "        return NET_PROGRAM_PATCH;\n", "",
           "program", "program_out_of_reach_is_refused_whole", may_die=True),
    Mutant("unloaded-program-stays-in-its-slot", "net/program_generate.c",
           "dynamic_calls_forget(address, error)", "program_wait_outside(error)",
           "dynamic_users", "unloaded_program_is_in_no_slot_under_fire", may_die=True),
    Mutant("poll-with-interrupts-on", "net/net_poll.c",
           "        queue->device->operations->interrupt_off(queue->device, queue->index);\n"
           "        net_queue_kick(queue);", "        net_queue_kick(queue);",
           "net_device", "polling_masks_interrupts"),
    Mutant("ring-not-looked-at-again", "net/net_poll.c",
           "if (!device->operations->interrupt_on(device, queue->index)) {",
           "if (!device->operations->interrupt_on(device, queue->index) || true) {",
           "net_device", "frame_before_interrupts_are_on_is_not_stuck", **HANGS),
    Mutant("senders-without-the-lock", "net/net_transmit.c",
           """    flags = spinlock_lock_save(&queue->transmit_lock);
    reason = obstacle_to_sending(device);
    if (reason == NET_COUNTER_COUNT) {
        if (transmit_locked(queue, packet)) {
            start_locked(queue);
        } else {
            reason = NET_DROP_TRANSMIT_FULL;
        }
    }
    spinlock_unlock_restore(&queue->transmit_lock, flags);
""", """    flags = interrupts_save();
    reason = obstacle_to_sending(device);
    if (reason == NET_COUNTER_COUNT) {
        if (transmit_locked(queue, packet)) {
            start_locked(queue);
        } else {
            reason = NET_DROP_TRANSMIT_FULL;
        }
    }
    interrupts_restore(flags);
""", "net_transmit", "senders_take_turns", may_die=True),
    Mutant("socket-reader-not-announced", "net/udp_socket.c",
           "    socket->is_waiting = !ready;",
           "    socket->is_waiting = socket->is_waiting && !ready;",
           "net_socket", "every_datagram_wakes_its_reader", seconds=60),
    Mutant("socket-reader-announced-late", "net/udp_socket.c",
           "    ready = socket->length != 0;\n    socket->is_waiting = !ready;\n"
           "    spinlock_unlock(&socket->lock);",
           "    ready = socket->length != 0;\n    spinlock_unlock(&socket->lock);\n"
           "    for (unsigned i = 0; i < 1000000 && "
           "__atomic_load_n(&socket->length, __ATOMIC_RELAXED) == 0; i++) {\n"
           "        cpu_relax();\n    }\n"
           "    socket->is_waiting = !ready;",
           "net_socket", "every_datagram_wakes_its_reader", seconds=60),
    Mutant("wake-up-cleared-behind-the-poll", "net/net_poll.c",
           "        queue->is_polling = false;\n        spinlock_unlock_restore",
           "        queue->is_polling = false;\n        queue->is_scheduled = false;\n"
           "        spinlock_unlock_restore",
           "net_device", "interrupt_before_sleep_is_not_lost", **HANGS),
    Mutant("reset-while-polled", "net/net_poll.c",
           "while (is_polling(queue)) {", "while (is_polling(queue) && patience_ns == 0) {",
           "net_traffic", "resets_lose_frames_but_no_packet", may_die=True),
    Mutant("reset-while-interrupted", "net/net_device.c",
           "    interrupt_handlers_wait();\n", "",
           "net_device", "reset_waits_for_interrupt_handlers"),
    Mutant("interrupt-handled-in-a-reset", "net/net_poll.c",
           "if (!flag_read(&queue->device->is_stopped)) {",
           "if (!flag_read(&queue->device->is_stopped) || true) {",
           "net_device", "interrupt_in_a_reset_leaves_the_device_alone"),
    Mutant("packets-reclaimed-in-a-reset", "net/net_transmit.c",
           "        if (is_usable_locked(device)) {\n            held",
           "        if (true) {\n            held",
           "net_transmit", "packets_are_counted_without_touching_a_stopped_device"),
    Mutant("answers-on-the-queue-of-another", "net/net_transmit.c",
           "queue_of_cpu[cpu_index()]", "queue_of_cpu[(cpu_index() + 1) % cpu_count()]",
           "net_transmit", "poll_threads_answer_on_their_own_queue"),
    # Stays for a while between its last look and its store: the race alone shows in few runs.
    Mutant("socket-read-without-its-lock", "net/udp_socket.c",
           """    uint64_t flags = spinlock_lock_save(&socket->lock);
    unsigned taken = 0;

    while (taken < count && socket->first != NULL) {
        packets[taken++] = socket->first;
        socket->first = socket->first->next;
    }
    if (socket->first == NULL) {
        socket->last = NULL;
    }
    socket->length -= taken;
    spinlock_unlock_restore(&socket->lock, flags);
""", """    unsigned taken = 0;

    while (taken < count && socket->first != NULL) {
        struct packet *next = socket->first->next;
        for (int i = 0; i < 1000000 && next == NULL &&
             __atomic_load_n(&socket->last, __ATOMIC_RELAXED) == socket->first; i++) {
            __asm__ volatile("pause");
        }
        packets[taken++] = socket->first;
        socket->first = next;
    }
    if (socket->first == NULL) {
        socket->last = NULL;
    }
    socket->length -= taken;
""", "net_traffic", "socket_reads_or_counts_every_datagram", may_die=True),
    Mutant("unbind-while-handled", "net/udp.c",
           "while (has_users(slot)) {", "while (has_users(slot) && report_ns == 0) {",
           "net_path", "unbind_returns_behind_the_handler", may_die=True),
    Mutant("socket-one-beyond-its-depth", "net/udp_socket.c",
           "if (socket->length == socket->depth) {", "if (socket->length > socket->depth) {",
           "net_path", "socket_keeps_its_depth_and_order"),
    Mutant("stamp-that-nobody-wants", "net/receive.h",
           "if (static_branch_unlikely(&netstamp_needed)) {",
           "if (static_branch_unlikely(&netstamp_needed) || true) {",
           "net_path", "frames_are_stamped_only_while_somebody_wants_it"),
    Mutant("image-rewritten-under-a-reader", "patching/dispatcher.c",
           "if (dispatcher->needs_grace && !grace_wait(dispatcher)) {", "if (false) {",
           "dispatcher", "parked_reader_keeps_its_code", may_die=True),
    Mutant("image-of-one-half-only", "patching/dispatcher.c",
           "            half = 1 - half;\n", "",
           "dispatcher", "parked_reader_keeps_its_code", may_die=True),
    Mutant("removed-program-not-waited-for", "patching/dispatcher.c",
           "    if (!grace_wait(dispatcher)) {\n        return patch_error_set(error, "
           "PATCH_ERR_STILL_INSIDE",
           "    if (false) {\n        return patch_error_set(error, PATCH_ERR_STILL_INSIDE",
           "dispatcher", "removed_program_is_not_run_any_more"),
    Mutant("worker-steps-no-dispatcher", "kernel/choice_worker.c",
           "uint64_t due_ns = dispatcher_auto_step(dispatcher, clock_now_ns());",
           "uint64_t due_ns = next_ns;",
           "dispatcher_auto", "choice_converges_and_leaves_a_direct_call", seconds=60),
    Mutant("sampler-stays-behind-a-trial", "patching/dispatcher_choice.c",
           "    choice->wish.is_sampled = false;\n", "",
           "dispatcher_auto", "choice_converges_and_leaves_a_direct_call", seconds=60),
    Mutant("always-none", "patching/dispatcher_choice.c",
           "settle(choice, (enum dispatcher_shape)way_verdict_choose(&trial), now_ns);",
           "settle(choice, trial.candidates != 0 ? DISPATCHER_NONE\n"
           "           : (enum dispatcher_shape)way_verdict_choose(&trial), now_ns);",
           "dispatcher_auto", "fallback_is_left_where_it_is_dear"),
    Mutant("always-the-first-shape", "patching/dispatcher_choice.c",
           "settle(choice, (enum dispatcher_shape)way_verdict_choose(&trial), now_ns);",
           "settle(choice, trial.candidates != 0 ? DISPATCHER_TREE\n"
           "           : (enum dispatcher_shape)way_verdict_choose(&trial), now_ns);",
           "dispatcher_auto", "fallback_is_taken_where_jumps_are_dear"),
    Mutant("traffic-that-changed-not-seen", "patching/dispatcher_choice.c",
           "bool is_alarm = choice->is_settled && is_unusual(choice, epoch);",
           "bool is_alarm = choice->is_settled && is_unusual(choice, epoch) && false;",
           "dispatcher_auto", "other_traffic_is_learned", seconds=90),
    Mutant("off-leaves-the-sampler-on", "patching/dispatcher_auto.c",
           "form = {.shape = dispatcher->shape, .generation = UINT64_MAX};",
           "form = {\n        .shape = dispatcher->shape, .is_sampled = true, .generation = "
           "UINT64_MAX};",
           "dispatcher_auto", "off_stops_a_trial"),
] + DYNAMIC_MUTANTS + COUNTED_MUTANTS + LOCK_HALT_MUTANTS + SWITCH_MUTANTS + PARAVIRT_MUTANTS
