# SPDX-License-Identifier: MIT
"""The configurations of the model. Invariant: each sets constants of settings.pml and says what
must come out of it; a mutant also says which file of the kernel holds what it breaks. Called by:
run.py."""

import collections

HOLDS, MUTANT, LIMIT = "holds", "mutant", "limit"

# name: what it claims or breaks. settings: constants. expected: for HOLDS the marks ("reach:" in
# the model) that must be reached; for the others the property that must be violated.
# cycles: search for cycles, not for bad states. large: millions of states, worth an optimised pan.
Configuration = collections.namedtuple(
    "Configuration", "name kind settings expected file cycles large", defaults=("", False, False))

MIXED = "no_mixed_execution"
FORBIDDEN = "no_forbidden_version"
INT3_LATER = "no_int3_after_success"
UNRESOLVED = "every_trap_is_resolved"
REUSED = "no_reader_of_a_reused_batch"
NEVER_ENDS = "invalid end state"
TRAPS_FOR_EVER = "non-progress cycle"

THREE_STEPS = "patching/three_steps.c"
BREAKPOINT = "patching/breakpoint.c"
ENTRY = "arch/entry.asm"
IPI = "arch/ipi.c"

BATCH = "PROTOCOL=INT3_BATCH"
QWORD = "PROTOCOL=INT3_BATCH QWORD_SITES=1"
TRAPS = "executed trapped emulated retried nmi done"


def holds(name, settings, reach, cycles=False, large=False):
    return Configuration(name, HOLDS, settings, reach, "", cycles, large)


def mutant(name, settings, violated, file, cycles=False):
    return Configuration(name, MUTANT, settings, violated, file, cycles)


def limit(name, settings, violated):
    return Configuration(name, LIMIT, settings, violated)


CONFIGURATIONS = [
    # What takes longest comes first: the run ends sooner.
    holds("int3-silent-cpu", "SILENCE=1", f"{TRAPS} given-up put-back stopped second-look",
          large=True),
    holds("int3-failing-write", "BAD_WRITES=1", f"{TRAPS} write-failed put-back", large=True),
    holds("int3-batch", f"{BATCH} SITES=2 PARTIAL_BATCH=1", f"{TRAPS} not-ours", large=True),
    holds("int3", "SITES=2", TRAPS, large=True),
    holds("qword-and-int3", f"{QWORD} SITES=2", TRAPS, large=True),
    holds("int3-one-site", "", TRAPS),
    holds("int3-no-trap-for-ever", "", TRAPS, cycles=True),
    holds("int3-same-first-byte", "SAME_FIRST=1", TRAPS),
    holds("int3-same-tail", "SAME_TAIL=1", TRAPS),
    holds("int3-batch-silent-cpu", f"{BATCH} SITES=2 BATCHES=1 SILENCE=1",
          "trapped emulated given-up put-back stopped", large=True),
    holds("qword-and-int3-silent-cpu", f"{QWORD} SITES=2 BATCHES=1 SILENCE=1",
          "trapped emulated given-up put-back stopped", large=True),
    holds("qword", f"{BATCH} SITES=2 QWORD_SITES=3", "executed nmi done"),
    holds("qword-silent-cpu", f"{QWORD} SILENCE=1 ERROR_MEANS_OLD=0",
          "executed given-up put-back done", large=True),
    holds("stop", "PROTOCOL=STOP SITES=2", "executed parked nmi done"),
    holds("stop-failing-write", "PROTOCOL=STOP BAD_WRITES=1", "parked write-failed done"),
    holds("stop-silent-cpu", "PROTOCOL=STOP SILENCE=1", "parked given-up done"),
    # What the code has and, as long as every sync is answered, does not need.
    holds("int3-one-look", "LOOKS=1", TRAPS),
    holds("int3-no-wait-for-references", "NO_WAIT_FOR_REFERENCES=1", TRAPS),
    # What the code does not have: README.md, "Limits".
    holds("nmi-with-site-serialise-first", "CPUS=1 NMI_SITES=1 SERIALISE_FIRST=1", TRAPS),
    holds("look-per-batch", "LOOK_PER_BATCH=1", TRAPS),
    holds("look-per-batch-two-silences", "CPUS=1 SILENCE=1 BATCHES=3 LOOK_PER_BATCH=1",
          f"{TRAPS} second-look given-up"),
    holds("look-per-batch-same-tail", "CPUS=1 SILENCE=1 SAME_TAIL=1 ERROR_MEANS_OLD=0 "
          "LOOK_PER_BATCH=1", f"{TRAPS} second-look given-up"),

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
    mutant("put-back-without-sync-after-tail", "BATCHES=1 SILENCE=1 GIVE_UP_AFTER_TAIL=1",
           MIXED, THREE_STEPS),
    mutant("put-back-without-any-sync", "BAD_WRITES=1 UNDO_WITHOUT_SYNC=1", INT3_LATER,
           THREE_STEPS),
    # The handler and its references.
    mutant("references-dropped-early", "DISARM_BEFORE=STEP_INT3", UNRESOLVED, THREE_STEPS),
    mutant("references-dropped-before-the-last-step", "DISARM_BEFORE=STEP_FIRST", UNRESOLVED,
           THREE_STEPS),
    mutant("armed-after-int3", "ARM_AFTER_INT3=1", UNRESOLVED, THREE_STEPS),
    mutant("no-wait-for-references", "SILENCE=1 NO_WAIT_FOR_REFERENCES=1", REUSED, BREAKPOINT),
    mutant("reference-not-dropped", "LEAK_REFERENCE=1", NEVER_ENDS, BREAKPOINT),
    mutant("handler-without-retry", "NO_RETRY=1", UNRESOLVED, BREAKPOINT),
    mutant("handler-emulates-the-old-instruction", "EMULATE_OLD=1", FORBIDDEN, BREAKPOINT),
    mutant("handler-looks-once", "SILENCE=1 LOOKS=1", UNRESOLVED, BREAKPOINT),
    mutant("retry-without-serialising", "RETRY_WITHOUT_SERIALISE=1", TRAPS_FOR_EVER, ENTRY,
           cycles=True),
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
    mutant("cpu-waits-for-the-patcher-interrupts-off", "WAIT_WITH_INTERRUPTS_OFF=1", NEVER_ENDS,
           "kernel/patch_platform.c"),

    # What the code does not promise, and what would go wrong: README.md, "Limits".
    limit("nmi-with-site", "NMI_SITES=1", FORBIDDEN),
    limit("qword-silent-cpu-runs-new", f"{QWORD} SILENCE=1", FORBIDDEN),
    limit("same-tail-silent-cpu-runs-new", "CPUS=1 SILENCE=1 SAME_TAIL=1", FORBIDDEN),
    limit("same-tail-silent-cpu-two-looks", "CPUS=1 SILENCE=1 SAME_TAIL=1 ERROR_MEANS_OLD=0",
          UNRESOLVED),
    limit("two-silences-two-looks", "CPUS=1 SILENCE=1 BATCHES=3", UNRESOLVED),
]
