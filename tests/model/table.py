# SPDX-License-Identifier: MIT
"""The configurations of the model. Invariant: each sets constants of settings.pml and says what
must come out of it; a mutant also says which file of the kernel holds what it breaks. Called by:
run.py."""

import collections

HOLDS, MUTANT, LIMIT = "holds", "mutant", "limit"

# name: what it claims or breaks. settings: constants. expected: for HOLDS the marks ("reach:" in
# the model) that must be reached; for the others the property that must be violated.
# cycles: search for cycles, not for bad states. large: millions of states, worth an optimised pan.
# root: the file that the model begins with.
Configuration = collections.namedtuple(
    "Configuration", "name kind settings expected file cycles large root",
    defaults=("", False, False, "model.pml"))

MIXED = "no_mixed_execution"
FORBIDDEN = "no_forbidden_version"
INT3_LATER = "no_int3_after_success"
UNRESOLVED = "every_trap_is_resolved"
REWRITTEN = "no_rewritten_image"
REMOVED = "no_removed_program"
WRONG = "no_wrong_function"
FREED = "no_freed_function"
REUSED = "no_reader_of_a_reused_batch"
MERGES = "no_ipi_merges"
PROMISE = "no_old_behind_a_last_site"
NEVER_ENDS = "invalid end state"
TRAPS_FOR_EVER = "non-progress cycle"

THREE_STEPS = "patching/three_steps.c"
BREAKPOINT = "patching/breakpoint.c"
ENTRY = "arch/entry.asm"
IPI = "arch/ipi.c"
DISPATCHER = "patching/dispatcher.c"
DYNAMIC = "patching/dynamic_call.c"
GRACE = "kernel/grace_period.c"
PLATFORM = "kernel/patch_platform.c"

BATCH = "PROTOCOL=INT3_BATCH"
QWORD = "PROTOCOL=INT3_BATCH QWORD_SITES=1"
LAST = "SITES=2 LAST_SITES=2"
TRAPS = "executed trapped emulated done"
LATE_TRAPS = f"{TRAPS} retried"  # an int3 that no batch in flight has: of one that was given up
GIVEN_UP = "given-up put-back left-out done"
# Late int3s: of a batch that was given up. One executor: each has its own handler and references.
LATE = "CPUS=1 SILENCE=ANY_SYNC"


def holds(name, settings, reach, cycles=False, large=False):
    return Configuration(name, HOLDS, settings, reach, "", cycles, large)


def mutant(name, settings, violated, file, cycles=False):
    """An NMI can only hide what is wrong (README.md): without it the search is shorter."""
    return Configuration(name, MUTANT, f"{settings} NMIS=0", violated, file, cycles)


def limit(name, settings, violated):
    return Configuration(name, LIMIT, settings, violated)


def dispatcher_holds(name, settings, reach, large=False):
    return holds(name, settings, reach, large=large)._replace(root="dispatcher.pml")


def dispatcher_mutant(name, setting, violated, file=DISPATCHER):
    return Configuration(name, MUTANT, f"{setting}=1", violated, file,
                         root="dispatcher.pml")


def dynamic_holds(name, settings, reach):
    return holds(name, settings, reach)._replace(root="dynamic_call.pml")


def dynamic_mutant(name, settings, violated, file=DYNAMIC):
    return Configuration(name, MUTANT, settings, violated, file, root="dynamic_call.pml")


CONFIGURATIONS = [
    # What takes longest comes first: the run ends sooner.
    dispatcher_holds("dispatcher", "", "waited failed fallback removed kept-entry done",
                     large=True),
    dispatcher_holds("dispatcher-two-failures", "FAILURES=2 UPDATES=2",
                     "waited failed fallback removed kept-entry done", large=True),
    dynamic_holds("dynamic-call-callee-waits", "CALLEE_ACTS=2 UPDATES=1",
                  "by-slot waited blocked callee-waits callee-changes freed done"),
    holds("int3-two-silences", "SILENCE=ANY_SYNC BATCHES=3 NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} stopped second-look", large=True),
    holds("int3-silent-cpu-same-tail",
          "SILENCE=ANY_SYNC SAME_TAIL=1 NEW_AFTER_ERROR=ANYBODY NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} second-look", large=True),
    holds("int3-ends-after-a-silence", "SILENCE=IN_FIRST_BATCH NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} stopped second-look", large=True),
    holds("int3-batch-silent-cpu", f"{BATCH} SITES=2 BATCHES=1 SILENCE=ANY_SYNC NMIS=0",
          "trapped emulated given-up put-back stopped", large=True),
    holds("int3-failing-write", "BAD_WRITES=1 NMIS=0", f"{TRAPS} write-failed put-back",
          large=True),
    holds("int3-batch", f"{BATCH} SITES=2 PARTIAL_BATCH=1 NMIS=0", f"{TRAPS} not-ours",
          large=True),
    holds("qword-silent-cpu", f"{QWORD} SILENCE=ANY_SYNC NEW_AFTER_ERROR=ANYBODY NMIS=0",
          f"executed {GIVEN_UP}"),
    holds("qword-and-int3-silent-cpu", f"{QWORD} SITES=2 BATCHES=1 SILENCE=ANY_SYNC NMIS=0",
          "trapped emulated given-up put-back stopped"),
    holds("int3-no-trap-for-ever", "NMIS=0", TRAPS, cycles=True),
    holds("int3", "SITES=2 NMIS=0", TRAPS),
    holds("qword-and-int3", f"{QWORD} SITES=2 NMIS=0", TRAPS),
    holds("int3-one-site", "", f"{TRAPS} nmi"),
    holds("int3-silent-cpu", LATE, f"{LATE_TRAPS} nmi {GIVEN_UP} stopped second-look"),
    holds("int3-silent-cpu-two-sites", "CPUS=1 SITES=2 SILENCE=ANY_SYNC NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} stopped second-look"),
    holds("int3-batch-silent-cpu-two-batches",
          f"{BATCH} CPUS=1 SITES=2 SILENCE=ANY_SYNC NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} stopped second-look"),
    holds("qword-and-int3-silent-cpu-two-batches",
          f"{QWORD} CPUS=1 SITES=2 SILENCE=ANY_SYNC NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} stopped second-look"),
    dynamic_holds("dynamic-call", "", "by-slot waited freed done"),
    dynamic_holds("dynamic-call-memory", "FORM=MEMORY", "by-slot waited freed done"),
    dynamic_holds("dynamic-call-trial", "FORM=BOTH TRIALS=1",
                  "by-slot sent-through waited freed done"),
    dynamic_holds("dynamic-call-failing-batch", "FORM=BOTH TRIALS=1 FAILURES=2 UPDATES=2",
                  "by-slot sent-through waited given-up put-back freed done"),
    holds("last-sites-int3-batch", f"{BATCH} {LAST} BATCHES=1 NMIS=0", TRAPS),
    holds("last-sites-int3", f"{LAST} BATCHES=1 NMIS=0", TRAPS),
    holds("last-sites-qword", f"{BATCH} {LAST} QWORD_SITES=2 NMIS=0", TRAPS),
    holds("last-sites-put-back", f"{BATCH} {LAST} QWORD_SITES=2 {LATE} BAD_WRITES=1 NMIS=0",
          f"{LATE_TRAPS} {GIVEN_UP} write-failed stopped stopped-behind-a-write"),
    holds("int3-failing-write-silent-cpu", f"{LATE} BAD_WRITES=1",
          f"{LATE_TRAPS} {GIVEN_UP} nmi write-failed stopped second-look"),
    holds("int3-same-first-byte", "SAME_FIRST=1 NMIS=0", TRAPS),
    holds("int3-same-tail", "SAME_TAIL=1", f"{TRAPS} nmi"),
    holds("qword", f"{BATCH} SITES=2 QWORD_SITES=3", "executed nmi done"),
    holds("stop", "PROTOCOL=STOP SITES=2", "executed parked nmi done"),
    holds("stop-failing-write", "PROTOCOL=STOP BAD_WRITES=1", "parked write-failed done"),
    holds("stop-silent-cpu", "PROTOCOL=STOP SILENCE=ANY_SYNC", "parked given-up done"),
    # What the code has and, as long as every sync is answered, does not need.
    holds("int3-no-wait-for-references", "NO_WAIT_FOR_REFERENCES=1 NMIS=0", TRAPS),
    # What the code does not have: README.md, "Limits".
    holds("nmi-with-site-serialise-first", "CPUS=1 NMI_SITES=1 SERIALISE_FIRST=1",
          f"{TRAPS} nmi"),

    # The steps.
    mutant("sync-after-int3-dropped", "DROP_SYNC_AFTER=STEP_INT3", MIXED, THREE_STEPS),
    mutant("sync-after-tail-dropped", "DROP_SYNC_AFTER=STEP_TAIL", MIXED, THREE_STEPS),
    mutant("sync-after-first-byte-dropped", "DROP_SYNC_AFTER=STEP_FIRST", INT3_LATER, THREE_STEPS),
    mutant("tail-before-int3", "TAIL_BEFORE_INT3=1", MIXED, THREE_STEPS),
    mutant("first-byte-before-tail", "FIRST_BEFORE_TAIL=1", MIXED, THREE_STEPS),
    mutant("int3-step-left-out", "LEAVE_OUT=STEP_INT3", MIXED, THREE_STEPS),
    mutant("batch-sync-after-int3-dropped",
           f"{BATCH} SITES=2 BATCHES=1 DROP_SYNC_AFTER=STEP_INT3", MIXED, THREE_STEPS),
    mutant("batch-sync-after-tail-dropped",
           f"{BATCH} SITES=2 BATCHES=1 DROP_SYNC_AFTER=STEP_TAIL", MIXED, THREE_STEPS),
    # Putting back.
    mutant("put-back-without-sync-after-tail", "BATCHES=1 SILENCE=ANY_SYNC GIVE_UP_AFTER_TAIL=1",
           MIXED, THREE_STEPS),
    mutant("put-back-without-any-sync", "BAD_WRITES=1 UNDO_WITHOUT_SYNC=1", INT3_LATER,
           THREE_STEPS),
    # Sites that are last.
    mutant("last-site-int3-stands-for-new", f"{BATCH} {LAST} BATCHES=1 LAST_STANDS_FOR_NEW=1",
           PROMISE, BREAKPOINT),
    mutant("last-site-in-the-order-of-addresses", "SITES=2 LAST_SITES=1 BATCHES=1", PROMISE,
           THREE_STEPS),
    mutant("last-site-behind-a-quadword", f"{BATCH} {LAST} QWORD_SITES=3 BATCHES=1", PROMISE,
           "patching/protocol_qword.c"),
    mutant("last-site-put-back", f"{BATCH} {LAST} {LATE} SAME_TAIL=1 BATCHES=1 LAST_PUT_BACK=1 "
           "NEW_AFTER_ERROR=ANYBODY", PROMISE, THREE_STEPS),
    # References.
    mutant("references-dropped-early", "DISARM_BEFORE=STEP_INT3", UNRESOLVED, THREE_STEPS),
    mutant("references-dropped-before-the-last-step", "DISARM_BEFORE=STEP_FIRST", UNRESOLVED,
           THREE_STEPS),
    mutant("armed-after-int3", "ARM_AFTER_INT3=1", UNRESOLVED, THREE_STEPS),
    mutant("no-wait-for-references", f"{LATE} NO_WAIT_FOR_REFERENCES=1", REUSED, BREAKPOINT),
    mutant("reference-not-dropped", "LEAK_REFERENCE=1", NEVER_ENDS, BREAKPOINT),
    # The handler, and the count of batches.
    mutant("handler-without-retry", f"{LATE} NO_RETRY=1", UNRESOLVED, BREAKPOINT),
    mutant("handler-emulates-the-old-instruction", "EMULATE_OLD=1", FORBIDDEN, BREAKPOINT),
    mutant("handler-looks-once", f"{LATE} LOOKS=1", UNRESOLVED, BREAKPOINT),
    mutant("handler-looks-twice-at-most", f"{LATE} BATCHES=3 LOOKS=2", UNRESOLVED, BREAKPOINT),
    mutant("handler-reads-the-byte-before-the-reference", f"{LATE} BYTE_READ_FIRST=1",
           UNRESOLVED, BREAKPOINT),
    mutant("handler-reads-the-count-behind-the-reference", f"{LATE} COUNT_READ_LATE=1",
           UNRESOLVED, BREAKPOINT),
    mutant("batch-counted-before-the-references", f"{LATE} COUNTED_FIRST=1", UNRESOLVED,
           BREAKPOINT),
    mutant("batch-counted-after-int3", f"{LATE} COUNTED_AFTER_INT3=1", UNRESOLVED, BREAKPOINT),
    mutant("retry-without-serialising", f"{LATE} RETRY_WITHOUT_SERIALISE=1", TRAPS_FOR_EVER,
           ENTRY, cycles=True),
    # qword, stop, naive.
    mutant("qword-over-a-boundary", f"{QWORD} QWORD_OVER_BOUNDARY=1", MIXED,
           "patching/protocol_qword.c"),
    mutant("qword-without-sync", f"{QWORD} DROP_SYNC_AFTER=STEP_FIRST", FORBIDDEN, THREE_STEPS),
    mutant("stop-without-waiting", "PROTOCOL=STOP STOP_WITHOUT_WAIT=1", MIXED, "arch/stop_cpus.c"),
    mutant("stop-released-without-serialising", "PROTOCOL=STOP RELEASE_WITHOUT_SERIALISE=1", MIXED,
           "arch/stop_cpus.c"),
    mutant("naive", "PROTOCOL=NAIVE", MIXED, "patching/protocol_naive.c"),
    # The sync itself.
    mutant("sync-without-waiting", "SYNC_WITHOUT_WAIT=1", MIXED, IPI),
    mutant("sync-without-serialising", "SYNC_WITHOUT_SERIALISE=1", FORBIDDEN, ENTRY),
    mutant("site-between-acknowledge-and-iret", "SITE_AFTER_ACKNOWLEDGE=1", FORBIDDEN, ENTRY),
    mutant("round-counted-after-the-ipi", "ROUND_AFTER_IPI=1", NEVER_ENDS, IPI),
    mutant("ipi-to-a-cpu-that-owes-an-answer", f"{LATE} SEND_TO_OWING=1", MERGES, IPI),
    mutant("left-out-ipi-never-sent", "CPUS=1 SILENCE=IN_FIRST_BATCH LEFT_OUT_FOR_EVER=1",
           NEVER_ENDS, IPI),
    mutant("cpu-waits-for-the-patcher-interrupts-off", "WAIT_WITH_INTERRUPTS_OFF=1", NEVER_ENDS,
           PLATFORM),

    # Dispatchers and grace periods.
    dispatcher_mutant("dispatcher-writes-without-grace", "NO_GRACE_BEFORE_WRITE", REWRITTEN),
    dispatcher_mutant("dispatcher-of-one-half", "ONE_HALF", REWRITTEN),
    dispatcher_mutant("dispatcher-removal-without-grace", "NO_GRACE_AFTER_REMOVAL", REMOVED),
    dispatcher_mutant("dispatcher-fallback-ends-grace", "FALLBACK_ENDS_GRACE", REWRITTEN),
    dispatcher_mutant("dispatcher-failed-batch-forgotten", "FAILURE_NOT_COUNTED", REWRITTEN),
    dispatcher_mutant("program-gone-before-unpublished", "REMOVED_BEFORE_UNPUBLISHED", REMOVED,
                      "net/program.c"),
    dispatcher_mutant("grace-period-before-the-sync", "PERIOD_BEFORE_SYNC", REWRITTEN, GRACE),
    dispatcher_mutant("grace-preempted-is-outside", "PREEMPTED_IS_OUTSIDE", REMOVED, GRACE),

    # Dynamic calls.
    dynamic_mutant("dynamic-without-gate", "NO_GATE=1", WRONG),
    dynamic_mutant("dynamic-without-grace", "NO_GRACE=1", WRONG),
    dynamic_mutant("dynamic-gate-not-last", "GATE_NOT_LAST=1", WRONG),
    dynamic_mutant("dynamic-open-gate-put-back", "GATE_PUT_BACK=1 FAILURES=1 UPDATES=1", WRONG,
                   THREE_STEPS),
    dynamic_mutant("dynamic-values-before-grace", "FORM=MEMORY VALUES_BEFORE_GRACE=1", WRONG),
    dynamic_mutant("dynamic-values-behind-the-open-gate", "FORM=MEMORY VALUES_AFTER_OPENING=1",
                   WRONG),
    dynamic_mutant("dynamic-values-not-put-back",
                   "FORM=MEMORY VALUES_NOT_PUT_BACK=1 FAILURES=1 UPDATES=2", WRONG),
    dynamic_mutant("dynamic-closed-gate-needs-no-grace", "CLOSED_NEEDS_NO_GRACE=1 UPDATES=2",
                   WRONG),
    dynamic_mutant("dynamic-opening-in-vain-forgotten",
                   "OPENING_IN_VAIN_FORGOTTEN=1 FAILURES=1 UPDATES=3", WRONG),
    dynamic_mutant("dynamic-trial-not-ended", "TRIALS=1 THROUGH_NOT_CLEARED=1 UPDATES=2", WRONG),
    dynamic_mutant("dynamic-trial-needs-no-grace", "TRIALS=1 THROUGH_NEEDS_NO_GRACE=1", WRONG),
    dynamic_mutant("dynamic-not-settled", "GATE_NOT_SETTLED=1 FAILURES=1 UPDATES=2", WRONG),
    dynamic_mutant("dynamic-trial-not-settled", "TRIALS=1 TRIAL_NOT_SETTLED=1 FAILURES=1 UPDATES=2",
                   WRONG),
    dynamic_mutant("dynamic-forget-without-grace", "FORGET_WITHOUT_GRACE=1", FREED),
    dynamic_mutant("dynamic-preempted-is-outside", "PREEMPTED_IS_OUTSIDE=1", FREED, GRACE),
    dynamic_mutant("dynamic-grace-without-sync", "GRACE_WITHOUT_SYNC=1", FREED, GRACE),
    dynamic_mutant("dynamic-callee-is-inside", "CALLEE_ACTS=1 UPDATES=1 CALLEE_IS_INSIDE=1",
                   NEVER_ENDS, GRACE),
    dynamic_mutant("dynamic-change-lock-spins", "CALLEE_ACTS=1 UPDATES=1 LOCK_SPINS=1",
                   NEVER_ENDS, PLATFORM),
    dynamic_mutant("dynamic-waiter-spins", "CALLEE_ACTS=1 UPDATES=1 WAITER_SPINS=1", NEVER_ENDS,
                   GRACE),

    # What the code does not promise, and what would go wrong: README.md, "Limits".
    limit("dynamic-argument-blocks", "ARGUMENT_BLOCKS=1", WRONG)._replace(root="dynamic_call.pml"),
    limit("nmi-with-site", "NMI_SITES=1", FORBIDDEN),
    limit("qword-silent-cpu-runs-new", f"{QWORD} SILENCE=ANY_SYNC NMIS=0", FORBIDDEN),
    limit("qword-other-cpu-runs-new", f"{QWORD} SILENCE=ANY_SYNC NEW_AFTER_ERROR=THE_SILENT NMIS=0",
          FORBIDDEN),
    limit("same-tail-silent-cpu-runs-new", f"{LATE} SAME_TAIL=1 NMIS=0", FORBIDDEN),
    limit("earlier-site-runs-new", "CPUS=1 SITES=2 SAME_TAIL=1 SILENCE=AT_LAST_SITE NMIS=0",
          FORBIDDEN),
    limit("qword-failed-write-runs-new",
          f"{QWORD} SILENCE=AFTER_FAILED_WRITE BAD_WRITES=1 NMIS=0", FORBIDDEN),
]
