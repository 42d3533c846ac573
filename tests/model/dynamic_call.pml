/* SPDX-License-Identifier: MIT */
/* A dynamic call (patching/dynamic_call.c) that changes while two callers go through it: gate,
 * grace period, last sites, trials, targets that are freed, batches that fail. Invariant: a call
 * reaches the function that the caller was given, and nobody runs a function whose memory is gone.
 * A model of its own: what it takes for granted of a batch, last sites included, is what model.pml
 * shows. One slot: each has a comparison and a call of its own, and shares the gate alone. Called
 * by: run.py. */

#ifndef UPDATES
#define UPDATES 3
#endif
/* Batches and grace periods that may be given up. */
#ifndef FAILURES
#define FAILURES 0
#endif
#define IMMEDIATE 0
#define MEMORY 1
#define BOTH 2 /* a change may change the kind of comparison too */
#ifndef FORM
#define FORM IMMEDIATE
#endif
#ifndef TRIALS
#define TRIALS 0  /* 1: calls behind the closed gate may be sent through the chain */
#endif
/* 0: functions return at once, and the second caller is an interrupt handler. n: both are threads,
 * and n times a function waits for a grace period, or changes the call that it was called by. */
#ifndef CALLEE_ACTS
#define CALLEE_ACTS 0
#endif
#ifndef ARGUMENT_BLOCKS
#define ARGUMENT_BLOCKS 0 /* 1: what is evaluated between comparison and call. Forbidden */
#endif

/* ---- mutants ---- */
#ifndef NO_GATE
#define NO_GATE 0
#endif
#ifndef NO_GRACE
#define NO_GRACE 0
#endif
#ifndef GATE_NOT_LAST
#define GATE_NOT_LAST 0
#endif
#ifndef GATE_PUT_BACK
#define GATE_PUT_BACK 0
#endif
#ifndef VALUES_BEFORE_GRACE
#define VALUES_BEFORE_GRACE 0
#endif
#ifndef VALUES_AFTER_OPENING
#define VALUES_AFTER_OPENING 0
#endif
#ifndef VALUES_NOT_PUT_BACK
#define VALUES_NOT_PUT_BACK 0
#endif
#ifndef OPENING_IN_VAIN_FORGOTTEN
#define OPENING_IN_VAIN_FORGOTTEN 0
#endif
#ifndef CLOSED_NEEDS_NO_GRACE
#define CLOSED_NEEDS_NO_GRACE 0
#endif
#ifndef THROUGH_NOT_CLEARED
#define THROUGH_NOT_CLEARED 0
#endif
#ifndef THROUGH_NEEDS_NO_GRACE
#define THROUGH_NEEDS_NO_GRACE 0
#endif
#ifndef GATE_NOT_SETTLED
#define GATE_NOT_SETTLED 0
#endif
#ifndef TRIAL_NOT_SETTLED
#define TRIAL_NOT_SETTLED 0
#endif
#ifndef FORGET_WITHOUT_GRACE
#define FORGET_WITHOUT_GRACE 0
#endif
#ifndef PREEMPTED_IS_OUTSIDE
#define PREEMPTED_IS_OUTSIDE 0
#endif
#ifndef GRACE_WITHOUT_SYNC
#define GRACE_WITHOUT_SYNC 0
#endif
#ifndef CALLEE_IS_INSIDE
#define CALLEE_IS_INSIDE 0 /* until it returns, as with a lock of the reader's */
#endif
#ifndef LOCK_SPINS
#define LOCK_SPINS 0
#endif
#ifndef WAITER_SPINS
#define WAITER_SPINS 0
#endif

#define BIT(value) (1 << (value))

#define CLOSED 0
#define OPEN 1
/* Functions, and where a call goes. */
#define NOTHING 0   /* NULL, dynamic_call->nothing */
#define A 1
#define B 2
/* What a comparison compares with, if not with A or B. */
#define NEVER 3
#define IN_MEMORY 4 /* slot_value */

#define UPDATER 2   /* as a thread; 0 and 1 are callers, each on the CPU of that number */

/* What is checked: true, or the run ends. */
bool no_wrong_function = true;
bool no_freed_function = true;

/* ---- text: what stands there, and the set of what each CPU may execute ---- */

byte gate = OPEN, comparison = (FORM == MEMORY -> IN_MEMORY : A), call = A;
byte gates[2] = BIT(OPEN);
byte comparisons[2] = (FORM == MEMORY -> BIT(IN_MEMORY) : BIT(A));
byte calls[2] = BIT(A);

byte slot_value = A;               /* memory */
bool goes_through;
byte passed = BIT(A) | BIT(B);     /* functions that callers may be given */
byte freed;                        /* functions whose memory is another's */

bool handler_runs;                 /* on CPU 1, interrupts off */
byte awaited[3];                   /* of a thread: who waits for it to be outside; a bit each */
bool away[3];                      /* off its CPU of its own will */
bool change_lock;
byte acts_left = CALLEE_ACTS;
bool updater_done;

inline gate_store(value)
{
    d_step {
        gate = value;
        gates[0] = gates[0] | BIT(value);
        gates[1] = gates[1] | BIT(value);
        printf("@P gate: open is %d\n", value)
    }
}

inline slots_store(compared, called)
{
    d_step {
        comparison = compared;
        comparisons[0] = comparisons[0] | BIT(compared);
        comparisons[1] = comparisons[1] | BIT(compared);
        call = called;
        calls[0] = calls[0] | BIT(called);
        calls[1] = calls[1] | BIT(called);
        printf("@P slot: cmp %d, call %d\n", compared, called)
    }
}

/* Every CPU serialises; one in a handler does so behind it. Or the wait is given up: then no CPU
 * has to. That all do so in one step loses nothing: who serialises later may only execute more. */
inline sync_cores(can_fail)
{
    if
    :: atomic {
        !handler_runs ->
        gates[0] = BIT(gate);
        gates[1] = BIT(gate);
        comparisons[0] = BIT(comparison);
        comparisons[1] = BIT(comparison);
        calls[0] = BIT(call);
        calls[1] = BIT(call);
        printf("@P sync\n")
       }
    :: atomic {
        can_fail && failures > 0 ->
        failures--;
        answered = false;
        printf("@P a sync is given up\n") /* reach: given-up */
       }
    fi
}

/* ---- grace periods: kernel/grace_period.c ---- */

/* A thread that leaves its CPU of its own will is outside, and once more when it comes back. */
inline leave(self)
{
    d_step { away[self] = true; awaited[self] = 0 }
}

inline come_back(self)
{
    d_step {
        awaited[self] = (away[self] -> 0 : awaited[self]);
        away[self] = false
    }
}

#define is_outside(thread, waiter) \
    (away[thread] || (awaited[thread] & BIT(waiter)) == 0 || PREEMPTED_IS_OUTSIDE)

/* platform_synchronize(): the sync, then the number, then looks at all threads, asleep in between.
 * Who is found outside stays so for this waiter, so that it looks at all at once. @answered: done.
 */
inline synchronize(self, can_fail)
{
#if !GRACE_WITHOUT_SYNC
    sync_cores(can_fail);
#endif
    if
    :: answered ->
#if !CALLEE_ACTS
        d_step {
            awaited[0] = awaited[0] | BIT(self);
            printf("@P waits for a grace period\n")
        }
        is_outside(0, self) /* reach: waited */
#else
        d_step {
            awaited[0] = awaited[0] | BIT(self);
            awaited[1] = awaited[1] | BIT(self);
            awaited[UPDATER] = awaited[UPDATER] | BIT(self);
            awaited[self] = awaited[self] & ~BIT(self);
            printf("@P thread %d waits for a grace period\n", self);
            if
            :: WAITER_SPINS || (CALLEE_IS_INSIDE && self != UPDATER)
            :: else -> leave(self)
            fi
        }
        atomic {
            is_outside(0, self) && is_outside(1, self) && is_outside(UPDATER, self);
            skip; /* reach: waited */
            come_back(self)
        }
#endif
    :: else
    fi
}

/* ---- changes: dynamic_call.c, all under the change lock ---- */

byte form_target = A;
bool form_memory = (FORM == MEMORY), form_open = true;
bool needs_grace = true, is_unsettled;
byte want_target;
bool want_memory, want_open;
byte failures = FAILURES;

#define value_of(target) (target == NOTHING -> NEVER : target)
#define comparison_of(target, memory) (memory -> IN_MEMORY : value_of(target))

/* Before anybody may enter the chain who did not pass the last sites of a batch that changed it: a
 * CPU may have kept what a batch that was put back had written. */
inline chain_settle(self, for_trial)
{
    if
    :: is_unsettled && !(for_trial -> TRIAL_NOT_SETTLED : GATE_NOT_SETTLED) ->
        synchronize(self, true);
        is_unsettled = !answered
    :: else
    fi
}

inline gate_close()
{
    gate_store(CLOSED);
    sync_cores(true);
    if
    :: answered -> form_open = false
    :: else -> gate_store(OPEN) /* put back */
    fi
}

/* The step of a batch that lets callers in. Whoever is in cannot be put back: where slots change in
 * the same batch, the machine stops if the sync behind it is given up. */
inline gate_open(can_fail)
{
    gate_store(OPEN);
    sync_cores(can_fail)
}

inline keys_change(self)
{
    if
    :: form_open ->
        gate_close();
        needs_grace = needs_grace && !CLOSED_NEEDS_NO_GRACE
    :: else ->
        chain_settle(self, false);
        if
        :: answered ->
            needs_grace = needs_grace || !OPENING_IN_VAIN_FORGOTTEN;
            gate_open(true);
            if
            :: answered -> d_step { form_open = true; needs_grace = true }
            :: else -> gate_store(CLOSED) /* put back */
            fi
        :: else
        fi
    fi
}

/* chain_empty() */
inline chain_empty(self)
{
    goes_through = goes_through && THROUGH_NOT_CLEARED;
    if
    :: form_open && !NO_GATE -> gate_close()
    :: else
    fi;
    if
    :: answered && needs_grace && !NO_GRACE ->
        synchronize(self, true);
        d_step { needs_grace = !answered; is_unsettled = is_unsettled && !answered }
    :: else
    fi
}

/* The batch: gate last. */
inline slots_batch()
{
    slots_store(comparison_of(want_target, want_memory), want_target);
#if GATE_NOT_LAST
    gate_store(want_open);
#endif
    sync_cores(!GATE_NOT_LAST);
    if
    :: answered && want_open && !GATE_NOT_LAST -> gate_open(GATE_PUT_BACK)
    :: else
    fi;
    if
    :: !answered ->
        atomic {
            slots_store(comparison_of(form_target, form_memory), form_target);
#if GATE_PUT_BACK
            gate_store(CLOSED);
#endif
            printf("@P the batch is put back\n") /* reach: put-back */
        }
    :: else
    fi
}

inline slots_change(self)
{
#if VALUES_BEFORE_GRACE
    slot_value = value_of(want_target);
#endif
    chain_empty(self);
    if
    :: answered ->
#if !VALUES_AFTER_OPENING
        slot_value = value_of(want_target);
#endif
        slots_batch();
        if
        :: answered ->
#if VALUES_AFTER_OPENING
            slot_value = value_of(want_target);
#endif
            d_step {
                form_target = want_target;
                form_memory = want_memory;
                form_open = want_open;
                needs_grace = want_open;
                is_unsettled = false;
                printf("@P the slot is %d (memory: %d), open: %d\n", form_target, form_memory,
                       form_open)
            }
        :: else ->
            atomic {
                is_unsettled = true;
                slot_value = (VALUES_NOT_PUT_BACK -> slot_value : value_of(form_target))
            }
        fi
    :: else
    fi
}

/* dynamic_call_set_form_locked() */
#define slots_differ (want_target != form_target || want_memory != form_memory)
inline set_form_locked(self)
{
    if
    :: slots_differ -> slots_change(self)
    :: !slots_differ && want_open != form_open -> keys_change(self)
    :: else
    fi
}

/* A mutex: who does not get it at once sleeps. */
inline change_lock_take(self)
{
#if CALLEE_ACTS
    if
    :: atomic { !change_lock -> change_lock = true }
    :: atomic {
        change_lock ->
        if
        :: LOCK_SPINS || (CALLEE_IS_INSIDE && self != UPDATER)
        :: else -> leave(self)
        fi;
        printf("@P thread %d waits for the change lock\n", self)
       }
       atomic { !change_lock -> change_lock = true; come_back(self) } /* reach: blocked */
    fi
#else
    skip
#endif
}

inline change_lock_give()
{
    d_step {
        want_target = NOTHING;
        want_memory = false;
        want_open = false;
        change_lock = false
    }
}

inline wish()
{
    if
    :: want_target = NOTHING
    :: (freed & BIT(A)) == 0 -> want_target = A
    :: (freed & BIT(B)) == 0 -> want_target = B
    fi;
    if
    :: FORM != IMMEDIATE -> want_memory = true
    :: FORM != MEMORY
    fi;
    if
    :: want_open = true
    :: true
    fi
}

/* ---- callers ---- */

inline check_memory()
{
    no_freed_function = (freed & BIT(reached)) == 0;
    assert(no_freed_function)
}

inline take_pointer()
{
    if
    :: passed & BIT(A) -> function = A
    :: passed & BIT(B) -> function = B
    :: else
    fi
}

/* A call of @function; enters @reached. Each instruction is one step, when it executes: what may be
 * fetched can only have grown since it was. So is the closed side, watch and all: who finds the
 * gate closed and is sent through comes where he comes who finds it open. */
inline call_function()
{
    atomic {
        if
        :: gates[cpu] & BIT(OPEN)
        :: gates[cpu] & BIT(CLOSED) ->
            if
            :: goes_through /* reach: sent-through */
            :: else -> goto slow
            fi
        fi
    }
    atomic {
        if
        :: comparisons[cpu] & BIT(NEVER) -> compared = NEVER
        :: comparisons[cpu] & BIT(A) -> compared = A
        :: comparisons[cpu] & BIT(B) -> compared = B
        :: comparisons[cpu] & BIT(IN_MEMORY) -> compared = slot_value
        fi;
        printf("@%d given %d, compares with %d\n", cpu, function, compared);
        if
        :: compared != function -> compared = 0; goto slow
        :: else -> compared = 0
        fi
    }
#if ARGUMENT_BLOCKS
    awaited[cpu] = 0;
#endif
    atomic {
        if
        :: calls[cpu] & BIT(NOTHING) -> reached = NOTHING
        :: calls[cpu] & BIT(A) -> reached = A
        :: calls[cpu] & BIT(B) -> reached = B
        fi;
        printf("@%d given %d, calls %d by the slot\n", cpu, function, reached);
        no_wrong_function = (reached == function);
        assert(no_wrong_function); /* reach: by-slot */
        check_memory();
        goto inside
    }
slow:
    atomic {
        reached = function;
        printf("@%d calls %d the slow way\n", cpu, reached);
        check_memory()
    }
inside:
    skip
}

/* Wherever it stands, it may be preempted for as long as it likes. */
proctype thread(byte cpu)
{
    byte function, compared, reached;
#if CALLEE_ACTS
    bool answered;
#endif

    do
    :: updater_done || CALLEE_ACTS > 0 -> break
    :: atomic { !updater_done || CALLEE_ACTS > 0 -> take_pointer() }
        call_function();
#if CALLEE_ACTS
        if
        :: atomic {
            acts_left > 0 && reached == A ->
            acts_left--; /* reach: callee-waits */
            answered = true
           }
           synchronize(cpu, false)
        :: atomic { acts_left > 0 && reached == B -> acts_left-- }
           change_lock_take(cpu);
           atomic {
               answered = true; /* reach: callee-changes */
               wish()
           }
           set_form_locked(cpu);
           change_lock_give()
        :: check_memory()
        fi;
        atomic { awaited[cpu] = 0; function = 0; reached = 0; answered = false }
#else
        atomic { check_memory(); awaited[cpu] = 0; function = 0; reached = 0 }
#endif
    od;
    away[cpu] = true
}

proctype handler(byte cpu)
{
    byte function, compared, reached;

    do
    :: updater_done -> break
    :: atomic { !updater_done -> handler_runs = true; take_pointer() }
        call_function();
        atomic { check_memory(); handler_runs = false; function = 0; reached = 0 }
    od
}

/* dynamic_call_set_form(), dynamic_call_set_through(), dynamic_calls_forget() by whoever frees. */
proctype updater()
{
    byte update, target;
    bool answered, changes;

    do
    :: update == UPDATES -> break
    :: atomic {
        freed != 0 -> /* loaded again */
        freed = 0; /* reach: freed */
        passed = BIT(A) | BIT(B)
       }
    :: update < UPDATES ->
        atomic {
            update++;
            answered = true;
            if
            :: changes = true
            :: (freed & BIT(A)) == 0 -> target = A
            :: (freed & BIT(B)) == 0 -> target = B
            :: TRIALS
            fi;
            passed = (target != NOTHING -> passed & ~BIT(target) : passed)
        }
        change_lock_take(UPDATER);
        if
        :: changes -> atomic { wish() }
        :: target != NOTHING && form_target == target ->
            changes = true;
            want_memory = form_memory /* NOTHING; an empty chain is closed */
        :: target != NOTHING && form_target != target -> skip
        :: else ->
            chain_settle(UPDATER, true);
            atomic {
                if
                :: answered -> /* a trial begins, or ends */
                    goes_through = !goes_through;
                    printf("@P trial: goes through is %d\n", goes_through);
                    needs_grace = needs_grace || goes_through && !THROUGH_NEEDS_NO_GRACE
                :: else
                fi
            }
        fi;
        if
        :: changes -> set_form_locked(UPDATER)
        :: else
        fi;
        if
        :: target != NOTHING && answered && !FORGET_WITHOUT_GRACE -> synchronize(UPDATER, true)
        :: else
        fi;
        change_lock_give();
        d_step {
            if
            :: target != NOTHING ->
                if
                :: answered ->
                    freed = freed | BIT(target);
                    printf("@P function %d goes\n", target)
                :: else
                fi;
                passed = (BIT(A) | BIT(B)) & ~freed
            :: else
            fi;
            target = NOTHING;
            changes = false
        }
    od;
    atomic { away[UPDATER] = true; updater_done = true } /* reach: done */
}

init
{
    atomic {
        run updater();
        run thread(0);
        if
        :: CALLEE_ACTS == 0 -> run handler(1)
        :: else -> run thread(1)
        fi
    }
}
