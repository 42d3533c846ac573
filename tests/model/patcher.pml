/* SPDX-License-Identifier: MIT */
/* The patcher: batches in a row by one protocol, all in one descriptor. Invariant: named and
 * ordered as the C code: poke.c, three_steps.c, protocol_stop.c, protocol_naive.c, breakpoint.c.
 * Included by: model.pml. */

#define GOAL_NEW 0
#define GOAL_OLD 1

#define goal_version(site) (goal == GOAL_NEW -> batch_new : batch_old[site])
#define cell_is_left(site, cell) (text_at(site, cell) != byte_of(cell, goal_version(site)))
#define first_is_left(site) cell_is_left(site, 0)
#define tail_is_left(site) \
    (cells(site) > 1 && (cell_is_left(site, 1) || (cells(site) > 2 && cell_is_left(site, 2))))

/* ---- syncs and stops: arch/ipi.c, arch/stop_cpus.c ---- */

#define LAST (CPUS - 1)
#define has_acknowledged(cpu) (acknowledged[cpu] >= sync_round)
#define all_have_acknowledged (has_acknowledged(0) && has_acknowledged(LAST))
#define all_are_parked \
    (stop_acknowledged[0] >= stop_round && stop_acknowledged[LAST] >= stop_round)

/* sync_send_locked() */
inline send_to(cpu)
{
    no_ipi_merges = !sync_pending[cpu];
    assert(no_ipi_merges);
    sync_pending[cpu] = true
}

/* round_send_locked(): to all but those that still have one pending. */
inline round_send()
{
    d_step {
        for (i : 0 .. CPUS - 1) {
            if
            :: owed_round[i] == 0 || SEND_TO_OWING -> send_to(i)
            :: else -> printf("@P CPU %d gets no IPI: it owes round %d\n", i, owed_round[i])
            fi
        }
        i = 0
    }
}

/* round_begin_locked(), up to the new number: debt_is_paid_locked() of all. */
inline debts_settle()
{
    d_step {
        for (i : 0 .. CPUS - 1) {
            if
            :: acknowledged[i] >= owed_round[i] -> owed_round[i] = 0
            :: else
            fi
        }
        i = 0
    }
}

/* debts_note_locked() */
inline debts_note()
{
    d_step {
        for (i : 0 .. CPUS - 1) {
            if
            :: owed_round[i] == 0 && !has_acknowledged(i) -> owed_round[i] = sync_round
            :: NEW_AFTER_ERROR == THE_SILENT && !all_have_acknowledged && has_acknowledged(i) ->
                answered_in_vain = answered_in_vain | BIT(i)
            :: else
            fi
        }
        i = 0
    }
}

/* round_is_acknowledged() of a CPU that has answered the round it owes, but not this one: it gets
 * the IPI that was left out. */
#define has_just_paid(cpu) \
    (SILENCE && owed_round[cpu] != 0 && acknowledged[cpu] >= owed_round[cpu] && \
     !has_acknowledged(cpu) && !LEFT_OUT_FOR_EVER)
inline send_left_out(cpu)
{
    owed_round[cpu] = 0;
    printf("@P CPU %d has answered the round before: IPI\n", cpu); /* reach: left-out */
    send_to(cpu)
}

#define may_give_up \
    (SILENCE == ANY_SYNC || (SILENCE == IN_FIRST_BATCH && batch == 0) || \
     (SILENCE == AT_LAST_SITE && step == STEP_INT3 && group_first == SITES - 1) || \
     (SILENCE == AFTER_FAILED_WRITE && goal == GOAL_OLD))

/* sync_others(). The wait may be given up at any moment, even after the last answer: C looks again
 * only before it reports. */
inline sync_cores()
{
    if
    :: SILENCE -> debts_settle()
    :: else
    fi;
    if
    :: ROUND_AFTER_IPI -> round_send(); sync_round++
    :: else ->
        sync_round++; /* a locked instruction: everything stored before is visible */
        printf("@P sync %d begins\n", sync_round);
        round_send()
    fi;
    do
    :: all_have_acknowledged || SYNC_WITHOUT_WAIT ->
        printf("@P sync %d has ended\n", sync_round);
        break
    :: atomic { has_just_paid(0) -> send_left_out(0) }
    :: atomic { CPUS > 1 && has_just_paid(LAST) -> send_left_out(LAST) }
    :: may_give_up ->
        answered = false;
        debts_note();
        printf("@P sync %d is given up\n", sync_round); /* reach: given-up */
        break
    od
}

/* stop_cpus(); giving up lets those go that came, and those that come late pass. */
inline stop_cpus()
{
    stop_round++;
    d_step {
        printf("@P stop %d begins\n", stop_round);
        for (i : 0 .. CPUS - 1) {
            stop_pending[i] = true
        }
        i = 0
    }
    if
    :: all_are_parked || STOP_WITHOUT_WAIT -> printf("@P all are parked\n")
    :: SILENCE ->
        answered = false;
        stop_released = stop_round;
        printf("@P stop %d is given up\n", stop_round) /* reach: given-up */
    fi
}

/* ---- breakpoint.c ---- */

inline breakpoint_count()
{
    batches_armed++;
    printf("@P batches armed: %d\n", batches_armed)
}

/* patch_breakpoint_arm(): counted behind the references, before the first int3. */
inline breakpoint_arm()
{
    if
    :: COUNTED_FIRST -> breakpoint_count()
    :: else
    fi;
    references[0] = 1;
    if
    :: CPUS > 1 -> references[LAST] = 1
    :: else
    fi;
    printf("@P armed: references = 1\n");
    if
    :: !COUNTED_FIRST && !COUNTED_AFTER_INT3 -> breakpoint_count()
    :: else
    fi;
    is_armed = true
}

inline breakpoint_disarm()
{
    references[0]--;
    if
    :: CPUS > 1 -> references[LAST]--
    :: else
    fi;
    printf("@P disarmed: references %d, %d\n", references[0], references[LAST]);
    if
    :: NO_WAIT_FOR_REFERENCES
    :: else ->
        references[0] == 0;
        references[LAST] == 0
    fi;
    is_armed = false
}

/* ---- writing ---- */

/* A write, or with BAD_WRITES one that fails: done not at all (0), by half (1) or whole (2), and
 * noticed in each case. */
inline write_cells(site, from, end, as_int3)
{
    has_written = true;
    cell = from;
    do
    :: cell < end ->
        if
        :: BAD_WRITES && goal == GOAL_NEW && !has_failed ->
            has_failed = true;
            is_done = false;
            printf("@P a write fails\n"); /* reach: write-failed */
            break
        :: as_int3 -> store(site, cell, INT3); cell++
        :: !as_int3 ->
            to_write = byte_of(cell, goal_version(site));
            store(site, cell, to_write);
            cell++
        fi
    :: else -> break
    od;
    if
    :: BAD_WRITES && goal == GOAL_NEW && !has_failed -> has_failed = true; is_done = false
    :: true
    fi;
    cell = 0;
    to_write = 0
}

/* three_steps.c: site_run(). Sites that are last have the highest numbers: they are written behind
 * the others in each step, and by protocol `int3` altogether. */
inline site_run(site, step)
{
#if LAST_SITES
    promise_is_given = promise_is_given ||
        (step == STEP_FIRST && is_last(site) && goal == GOAL_NEW);
#endif
    if
    :: !first_is_left(site) && !tail_is_left(site)
    :: else ->
        if
        :: is_qword(site) && step == STEP_FIRST -> write_cells(site, 0, cells(site), false)
        :: !is_qword(site) && step == STEP_INT3 && text_at(site, 0) != INT3 ->
            write_cells(site, 0, 1, true)
        :: !is_qword(site) && step == STEP_TAIL && tail_is_left(site) ->
            tail_is_written = true;
            write_cells(site, 1, SITE_BYTES, false)
        :: !is_qword(site) && step == STEP_FIRST && first_is_left(site) ->
            write_cells(site, 0, 1, false)
        :: else
        fi
    fi
}

/* Once every CPU has serialised after int3 was written, nobody stands behind the old first byte:
 * from here on whoever runs through the site executes the new instruction. */
inline allow_new_alone(from, end)
{
    d_step {
        for (i : from .. end - 1) {
            if
            :: batch_lists[i] && !is_qword(i) && !is_last(i) ->
                allowed[i] = BIT(batch_new) | BIT(INT3)
            :: else
            fi
        }
        i = 0
    }
}

inline allow_both()
{
    d_step {
        for (i : 0 .. SITES - 1) {
            if
            :: batch_lists[i] -> allowed[i] = allowed[i] | BIT(batch_old[i]) | BIT(batch_new) |
                (PROTOCOL == INT3_ONE_BY_ONE || PROTOCOL == INT3_BATCH -> BIT(INT3) : 0)
            :: else
            fi
        }
        i = 0
    }
}

/* three_steps.c: sync_run(). Silent before a tail was written: the batch is put back without asking
 * again. After that neither the old nor the new first byte is right for the silent CPU:
 * platform_fatal_silent_cpu(), and the machine stops while int3 stands. So it does if somebody may
 * have executed a last site's new instruction. */
#define must_not_put_back \
    ((tail_is_written && !GIVE_UP_AFTER_TAIL) || (promise_is_given && !LAST_PUT_BACK))
inline sync_run()
{
    answered = true;
    sync_cores();
    if
    :: answered && is_done && step == STEP_INT3 && goal == GOAL_NEW && !SYNC_WITHOUT_WAIT ->
        allow_new_alone(group_first, group_end)
    :: !answered && must_not_put_back ->
        printf("@P stops the machine\n"); /* reach: stopped */
        goto end_stopped
    :: !answered && !must_not_put_back -> cpu_is_silent = true
    :: else
    fi;
    answered = true
}

/* three_steps.c: step_run() over sites [group_first, group_end). */
inline step_run()
{
    site = group_first;
    has_written = false;
    do
    :: site < group_end && is_done ->
        if
        :: batch_lists[site] && step != LEAVE_OUT -> site_run(site, step)
        :: else
        fi;
        site++
    :: else -> break
    od;
    site = 0;
    if
    :: has_written && !cpu_is_silent && step != DROP_SYNC_AFTER &&
       !(UNDO_WITHOUT_SYNC && goal == GOAL_OLD) -> sync_run()
    :: else
    fi;
    has_written = false
}

/* The steps in their order, or in the order of a mutant. */
#define step_at(position) \
    (TAIL_BEFORE_INT3 && (position) < 2 -> 1 - (position) : \
     (FIRST_BEFORE_TAIL && (position) > 0 -> 3 - (position) : (position)))

/* three_steps.c: pass_run(). Done unless a write failed or a CPU has gone silent in this pass. */
inline pass_run()
{
    is_done = true;
    was_silent = cpu_is_silent;
    group_first = 0;
    do
    :: group_first < SITES && is_done ->
        group_end = (PROTOCOL == INT3_ONE_BY_ONE -> group_first + 1 : SITES);
        position = 0;
        do
        :: position <= STEP_FIRST && is_done ->
            step = step_at(position);
#if DISARM_BEFORE != STEP_NONE
            if
            :: step == DISARM_BEFORE && is_armed -> breakpoint_disarm()
            :: else
            fi;
#endif
            step_run();
            is_done = is_done && cpu_is_silent == was_silent;
            if
            :: ARM_AFTER_INT3 && !is_armed -> breakpoint_arm()
            :: COUNTED_AFTER_INT3 && step == STEP_INT3 && goal == GOAL_NEW -> breakpoint_count()
            :: else
            fi;
            position++
        :: else -> break
        od;
        group_first = group_end
    :: else -> break
    od;
    atomic { position = 0; step = 0; group_first = 0; group_end = 0; was_silent = false }
}

#define takes_three_steps(site) (batch_lists[site] && !is_qword(site))
#define uses_int3 (takes_three_steps(0) || takes_three_steps(SITES - 1))

/* three_steps.c: three_steps_apply(), put_back() */
inline three_steps_apply()
{
    if
    :: uses_int3 && !ARM_AFTER_INT3 -> breakpoint_arm()
    :: else
    fi;
    do
    :: pass_run();
       if
       :: is_done -> break
       :: !is_done && promise_is_given && !LAST_PUT_BACK && goal == GOAL_NEW ->
           printf("@P stops the machine\n"); /* reach: stopped-behind-a-write */
           goto end_stopped
       :: else ->
           goal = GOAL_OLD;
           is_failed = true;
           allow_both();
           printf("@P puts the batch back\n") /* reach: put-back */
       fi
    od;
    if
    :: is_armed -> breakpoint_disarm()
    :: else
    fi
}

/* protocol_stop.c, protocol_naive.c: all sites, byte by byte; the old bytes if that fails. */
inline write_all()
{
    do
    :: is_done = true;
       site = 0;
       do
       :: site < SITES && is_done ->
           if
           :: batch_lists[site] -> write_cells(site, 0, cells(site), false)
           :: else
           fi;
           site++
       :: else -> break
       od;
       site = 0;
       if
       :: is_done -> break
       :: else -> goal = GOAL_OLD; is_failed = true; printf("@P puts the batch back\n")
       fi
    od;
    has_written = false
}

/* protocol_stop.c: stop_apply(), with stop_interrupt() on the other side:
 *
 *     patcher                              another CPU
 *     stop_round = r; IPI
 *                                          acknowledges r, interrupts off, spins
 *     sees r from all; writes
 *     released = r
 *                                          sees r, serialises, leaves */
inline stop_apply()
{
    answered = true;
    stop_cpus();
    if
    :: answered -> write_all(); stop_released = stop_round; printf("@P released\n")
    :: else -> is_failed = true
    fi;
    answered = true
}

/* ---- poke.c ---- */

/* Fills in the descriptor: the storage of the batch before. */
inline batch_prepare()
{
    d_step {
        batch_new = batch + 1;
        for (i : 0 .. SITES - 1) {
            batch_old[i] = current[i];
            batch_lists[i] = true
        }
        i = 0;
        batch_is_valid = true;
        goal = GOAL_NEW;
        is_failed = false;
        cpu_is_silent = false;
        tail_is_written = false;
        promise_is_given = false;
        has_failed = false;
        printf("@P batch %d\n", batch + 1)
    }
    if
    :: PARTIAL_BATCH && SITES > 1 -> batch_lists[SITES - 1] = false
    :: true
    fi;
    allow_both()
}

/* What the caller is promised. Success: every CPU executes only new bytes. Failure: text is as it
 * was and every CPU executes the old instruction, or meets an int3 that is gone. */
inline batch_return()
{
    d_step {
        goal = (is_failed -> GOAL_OLD : GOAL_NEW);
        for (i : 0 .. SITES - 1) {
            if
            :: batch_lists[i] ->
                text_is_whole = !first_is_left(i) && !tail_is_left(i);
                assert(text_is_whole);
                current[i] = goal_version(i);
                if
                :: !cpu_is_silent -> allowed[i] = BIT(current[i])
                :: cpu_is_silent && NEW_AFTER_ERROR == NOBODY ->
                    allowed[i] = BIT(current[i]) | BIT(INT3)
                :: else /* whatever it has not seen replaced yet */
                fi
            :: else
            fi
        }
        references_have_drained =
            NO_WAIT_FOR_REFERENCES || (references[0] == 0 && references[LAST] == 0);
        assert(references_have_drained);
        printf("@P batch %d returns: site 0 is <%d>\n", batch + 1, current[0]);
        batch_is_valid = false;
        batch_new = 0;
        for (i : 0 .. SITES - 1) {
            batch_old[i] = 0;
            batch_lists[i] = false
        }
        i = 0;
        is_failed = false;
        cpu_is_silent = false;
        tail_is_written = false;
        promise_is_given = false;
        has_failed = false;
        goal = GOAL_NEW;
        is_done = true
    }
}

/* Chosen before pan is compiled: that takes longer than most searches. */
#if PROTOCOL == STOP
#define protocol_apply stop_apply
#elif PROTOCOL == NAIVE
#define protocol_apply write_all
#else
#define protocol_apply three_steps_apply
#endif

active proctype patcher()
{
    byte batch, current[SITES], site, cell, to_write, step, position, group_first, group_end;
    bool goal, answered = true, is_armed, is_done, is_failed, has_written, has_failed;
    bool cpu_is_silent, was_silent, tail_is_written, promise_is_given; /* struct pass */

    do
    :: batch < BATCHES ->
        batch_prepare();
        protocol_apply();
        batch_return();
        batch++
    :: else -> break
    od;
    patcher_done = true; /* reach: done */
    goto end_done;
end_stopped: /* the machine stops; the other CPUs may run on until they notice */
    false;
end_done:
    skip
}
