/* SPDX-License-Identifier: MIT */
/* A dispatcher (patching/dispatcher.c) that changes while two threads go through it: two halves,
 * grace periods (kernel/grace_period.c), batches that fail. Invariant: who has entered an image
 * finds its code as it was until he leaves it, and nobody runs a program whose memory is gone. A
 * model of its own: that a batch changes the entry as promised is what model.pml shows, and what is
 * taken for granted here. Called by: run.py. */

#ifndef UPDATES
#define UPDATES 3
#endif
/* Batches that may be given up. What they wrote at the entry may be executed, by CPUs that have not
 * serialised since, although it was put back: README.md, "Limits that the model shows". */
#ifndef FAILURES
#define FAILURES 1
#endif

/* ---- mutants ---- */
#ifndef NO_GRACE_BEFORE_WRITE
#define NO_GRACE_BEFORE_WRITE 0
#endif
#ifndef ONE_HALF
#define ONE_HALF 0
#endif
#ifndef NO_GRACE_AFTER_REMOVAL
#define NO_GRACE_AFTER_REMOVAL 0
#endif
#ifndef FALLBACK_ENDS_GRACE
#define FALLBACK_ENDS_GRACE 0
#endif
#ifndef FAILURE_NOT_COUNTED
#define FAILURE_NOT_COUNTED 0
#endif
#ifndef PERIOD_BEFORE_SYNC
#define PERIOD_BEFORE_SYNC 0
#endif
#ifndef PREEMPTED_IS_OUTSIDE
#define PREEMPTED_IS_OUTSIDE 0
#endif
#ifndef REMOVED_BEFORE_UNPUBLISHED
#define REMOVED_BEFORE_UNPUBLISHED 0
#endif

#define READERS  2
#define FALLBACK 2 /* where the entry goes without an image; else the number of a half */
#define ERASED   0

/* What is checked: true, or the run ends. */
bool no_rewritten_image = true;
bool no_removed_program = true;

byte cell[4];              /* two of each half: the number of the image it belongs to */
byte entry = FALLBACK;     /* memory */
bool in_flight;            /* a batch: the old entry or the new one */
byte entry_new = FALLBACK; /* its new one */
bool kept[READERS];        /* this CPU may still execute what a batch that failed had written */
byte kept_entry = FALLBACK;
byte published;            /* program that readers run */
bool gone[2];              /* its memory is another's */

byte newest;               /* grace_newest_period */
byte outside_period[READERS];
bool away[READERS];        /* off its CPU of its own will, for ever */
bool updater_done;

/* One thread on each CPU. Wherever it stands, it may be preempted for as long as it likes. */
proctype reader(byte me)
{
    byte program, place, image;

    do
    :: updater_done -> break
    :: else ->
        program = published;
        atomic {
            if
            :: place = entry
            :: in_flight -> place = entry_new
            :: kept[me] -> place = kept_entry /* reach: kept-entry */
            fi
        }
        if
        :: place == FALLBACK -> skip
        :: else ->
            printf("@%d enters half %d\n", me, place);
            image = cell[2 * place];
            no_rewritten_image = (image != ERASED);
            assert(no_rewritten_image);
            no_rewritten_image = (cell[2 * place + 1] == image);
            assert(no_rewritten_image)
        fi;
        printf("@%d runs program %d\n", me, program);
        no_removed_program = !gone[program];
        assert(no_removed_program);
        no_removed_program = !gone[program]; /* while it runs */
        assert(no_removed_program);
        atomic { outside_period[me] = newest; program = 0; place = 0; image = 0 }
    od;
    away[me] = true
}

byte half, images, failures = FAILURES, target, other;
bool needs_grace, uses_image;

inline synchronize()
{
    printf("@P waits for a grace period\n");
    if
    :: PERIOD_BEFORE_SYNC -> newest++
    :: else -> skip
    fi;
    atomic { kept[0] = false; kept[1] = false };
    if
    :: PERIOD_BEFORE_SYNC -> skip
    :: else -> newest++
    fi;
    if
    :: PREEMPTED_IS_OUTSIDE -> skip
    :: else ->
        (outside_period[0] >= newest || away[0]);
        (outside_period[1] >= newest || away[1]) /* reach: waited */
    fi;
    needs_grace = false;
    printf("@P the grace period is over\n")
}

inline write_image()
{
    if
    :: needs_grace && !NO_GRACE_BEFORE_WRITE -> synchronize()
    :: else -> skip
    fi;
    images++;
    printf("@P writes image %d to half %d\n", images, target);
    cell[2 * target] = images;
    cell[2 * target + 1] = images
}

/* entry_switch(): to @target, or not. */
inline switch_entry()
{
    if
    :: FAILURE_NOT_COUNTED -> skip
    :: FALLBACK_ENDS_GRACE && target == FALLBACK -> needs_grace = false
    :: else -> needs_grace = true
    fi;
    atomic { entry_new = target; in_flight = true };
    if
    :: atomic {
        entry = target;
        in_flight = false;
        kept[0] = false; /* the syncs of the batch */
        kept[1] = false;
        printf("@P the entry goes to %d\n", target)
       };
       if
       :: FAILURE_NOT_COUNTED -> needs_grace = true
       :: else -> skip
       fi;
       uses_image = (target != FALLBACK);
       half = (uses_image -> target : half)
    :: failures > 0 ->
       atomic {
        failures--;
        in_flight = false;
        kept_entry = target;
        kept[0] = true;
        kept[1] = true;
        printf("@P the batch is put back\n") /* reach: failed */
       }
    fi
}

/* Another image, or none. */
inline change_shape()
{
    if
    :: target = (ONE_HALF -> half : 1 - half); write_image()
    :: target = FALLBACK;
       printf("@P leaves the image\n") /* reach: fallback */
    fi;
    switch_entry()
}

/* Readers get the other program; the one they had leaves the dispatcher, and its memory goes. */
inline replace_program()
{
    other = 1 - published;
    gone[other] = false;
    if
    :: REMOVED_BEFORE_UNPUBLISHED -> skip
    :: else -> published = other
    fi;
    change_shape();
    if
    :: entry == target && !NO_GRACE_AFTER_REMOVAL -> synchronize()
    :: else -> skip
    fi;
    published = other;
    if
    :: entry == target ->
        printf("@P program %d goes\n", 1 - other);
        gone[1 - other] = true; /* reach: removed */
        atomic {
            if /* spare_erase() */
            :: !needs_grace && !(uses_image && half == 0) -> cell[0] = ERASED; cell[1] = ERASED
            :: else -> skip
            fi;
            if
            :: !needs_grace && !(uses_image && half == 1) -> cell[2] = ERASED; cell[3] = ERASED
            :: else -> skip
            fi
        }
    :: else -> published = 1 - other; synchronize() /* all as before, once nobody runs it */
    fi
}

proctype updater()
{
    byte update;

    do
    :: update == UPDATES -> break
    :: else ->
        update++;
        if
        :: change_shape()
        :: replace_program()
        fi
    od;
    updater_done = true /* reach: done */
}

init
{
    atomic {
        gone[1] = true;
        run updater();
        run reader(0);
        run reader(1)
    }
}
