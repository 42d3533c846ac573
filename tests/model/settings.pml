/* SPDX-License-Identifier: MIT */
/* What one configuration of the model is: each name below is a constant that run.py may set with
 * -DNAME=VALUE. Invariant: the defaults are the code as it stands, with nothing broken. Included
 * by: model.pml. The table of configurations is table.py. */

/* ---- the machine ---- */

#define SITE_BYTES 3   /* first byte, and a tail that is written with two stores */
#ifndef CPUS
#define CPUS 2         /* 1 or 2 executors; the patcher is a CPU of its own that runs no site */
#endif

#ifndef SITES
#define SITES 1        /* 2: needed where a batch and a site differ; README.md */
#endif
#ifndef BATCHES
#define BATCHES 2      /* in a row, in the same storage: version 0 -> 1 -> 2; at most 3 */
#endif
#ifndef NMIS
#define NMIS 1         /* 0: no NMI; for the large ones, README.md says what that loses */
#endif

/* ---- the protocol ---- */

#define INT3_ONE_BY_ONE 0 /* protocol `int3`: all steps for one site, then the next site */
#define INT3_BATCH 1      /* protocol `int3-batch`, and `qword`, which shares its steps */
#define STOP 2
#define NAIVE 3

#ifndef PROTOCOL
#define PROTOCOL INT3_ONE_BY_ONE
#endif
#ifndef QWORD_SITES
#define QWORD_SITES 0  /* bit i: site i lies inside an aligned quadword, and is written as one */
#endif
#ifndef LAST_SITES
#define LAST_SITES 0   /* bit i: site i is last (patch_batch_add_last()), so has a high number */
#endif

/* ---- what old and new instruction share ---- */

#ifndef SAME_FIRST
#define SAME_FIRST 0   /* 1: same first byte (call x -> call y) */
#endif
#ifndef SAME_TAIL
#define SAME_TAIL 0    /* 1: same tail (test eax, imm32 -> jmp rel32) */
#endif

/* ---- what may go wrong around the patcher ---- */

/* Which syncs may be given up, at any moment of the wait. */
#define NO_SYNC 0
#define ANY_SYNC 1
#define IN_FIRST_BATCH 2       /* later ones must end: only so can "waits for ever" show */
#define AT_LAST_SITE 3         /* the first sync of the last site */
#define AFTER_FAILED_WRITE 4
#ifndef SILENCE
#define SILENCE NO_SYNC
#endif
#ifndef BAD_WRITES
#define BAD_WRITES 0   /* 1: any write may fail, written or not or by half; one a batch */
#endif
#ifndef PARTIAL_BATCH
#define PARTIAL_BATCH 0 /* 1: a batch may leave out site 1 (drop_unchanged_sites()) */
#endif
#ifndef NMI_SITES
#define NMI_SITES 0    /* 1: NMI code runs through sites. It does not: arch/entry.asm is nopatch */
#endif
#ifndef SERIALISE_FIRST
#define SERIALISE_FIRST 0 /* 1: a sync serialises before it acknowledges, not by its IRET alone */
#endif

/* Who may run the new instruction, whole, when a batch that was put back for a silent CPU has
 * returned: README.md, "Limits". */
#define NOBODY 0
#define THE_SILENT 1 /* who has not acknowledged the sync that was given up */
#define ANYBODY 2
#ifndef NEW_AFTER_ERROR
#define NEW_AFTER_ERROR NOBODY
#endif

/* ---- mutants: 1 breaks the code in one place ---- */

#define STEP_INT3 0
#define STEP_TAIL 1
#define STEP_FIRST 2
#define STEP_NONE 3

#ifndef DROP_SYNC_AFTER
#define DROP_SYNC_AFTER STEP_NONE
#endif
#ifndef LEAVE_OUT
#define LEAVE_OUT STEP_NONE
#endif
#ifndef TAIL_BEFORE_INT3
#define TAIL_BEFORE_INT3 0
#endif
#ifndef FIRST_BEFORE_TAIL
#define FIRST_BEFORE_TAIL 0
#endif
#ifndef DISARM_BEFORE
#define DISARM_BEFORE STEP_NONE
#endif
#ifndef ARM_AFTER_INT3
#define ARM_AFTER_INT3 0
#endif
#ifndef LOOKS
#define LOOKS 0        /* n: the handler looks n times at most, whatever was armed meanwhile */
#endif
#ifndef BYTE_READ_FIRST
#define BYTE_READ_FIRST 0 /* before the reference is taken */
#endif
#ifndef COUNT_READ_LATE
#define COUNT_READ_LATE 0 /* behind the reference */
#endif
#ifndef COUNTED_FIRST
#define COUNTED_FIRST 0   /* before the references */
#endif
#ifndef COUNTED_AFTER_INT3
#define COUNTED_AFTER_INT3 0
#endif
#ifndef NO_WAIT_FOR_REFERENCES
#define NO_WAIT_FOR_REFERENCES 0
#endif
#ifndef LEAK_REFERENCE
#define LEAK_REFERENCE 0
#endif
#ifndef NO_RETRY
#define NO_RETRY 0
#endif
#ifndef RETRY_WITHOUT_SERIALISE
#define RETRY_WITHOUT_SERIALISE 0
#endif
#ifndef EMULATE_OLD
#define EMULATE_OLD 0
#endif
#ifndef LAST_STANDS_FOR_NEW
#define LAST_STANDS_FOR_NEW 0
#endif
#ifndef LAST_PUT_BACK
#define LAST_PUT_BACK 0
#endif
#ifndef QWORD_OVER_BOUNDARY
#define QWORD_OVER_BOUNDARY 0
#endif
#ifndef STOP_WITHOUT_WAIT
#define STOP_WITHOUT_WAIT 0
#endif
#ifndef RELEASE_WITHOUT_SERIALISE
#define RELEASE_WITHOUT_SERIALISE 0
#endif
#ifndef SYNC_WITHOUT_WAIT
#define SYNC_WITHOUT_WAIT 0
#endif
#ifndef SYNC_WITHOUT_SERIALISE
#define SYNC_WITHOUT_SERIALISE 0
#endif
#ifndef SEND_TO_OWING
#define SEND_TO_OWING 0
#endif
#ifndef LEFT_OUT_FOR_EVER
#define LEFT_OUT_FOR_EVER 0
#endif
#ifndef ROUND_AFTER_IPI
#define ROUND_AFTER_IPI 0
#endif
#ifndef SITE_AFTER_ACKNOWLEDGE
#define SITE_AFTER_ACKNOWLEDGE 0
#endif
#ifndef WAIT_WITH_INTERRUPTS_OFF
#define WAIT_WITH_INTERRUPTS_OFF 0
#endif
#ifndef GIVE_UP_AFTER_TAIL
#define GIVE_UP_AFTER_TAIL 0
#endif
#ifndef UNDO_WITHOUT_SYNC
#define UNDO_WITHOUT_SYNC 0
#endif
