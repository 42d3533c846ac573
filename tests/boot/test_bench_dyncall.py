# SPDX-License-Identifier: MIT
"""`bench dyncall`: what a dynamic call costs, and what it takes to learn, exactly.

In QEMU's deterministic mode a nanosecond is an instruction, so the clock and the kernel's count by
single steps are two witnesses of one number. What pays is another question there: a retpoline
takes 6 instructions, and no branch is ever mispredicted. In multi-threaded mode only counts are
asserted.
"""

import pytest

from machine import ALL_OK, Machine, icount

FIELDS = {"kind", "sequence", "way", "form", "slots", "chosen", "mitigation", "instructions", "ns",
          "thunk_ns", "n", "min_ns", "p50_ns", "p99_ns", "max_ns"}
LEARNING = {"kind", "sequence", "slots", "phase", "state", "reason", "epochs", "updates", "batches",
            "rounds", "grace_periods", "ipis", "updates_per_s", "ipis_per_s", "time_ns"}
SEQUENCES = ["constant", "burst-8", "round-robin-2", "round-robin-4", "round-robin-8", "zipf-8",
             "zipf-64", "random-4", "random-8", "random-64", "phase-256", "phase-4096"]
SLOTS, FORMS = [1, 2, 4], ["imm", "mem"]
EVERY = "--slots 1,2,4 --form imm,mem --way pinned,off,auto,learning,watched"
USUAL = [("pinned", "imm"), ("off", None), ("auto", "imm")]  # of 2 slots, unless others are named
BLOCK = 1024
LOOP_ENTRY = 24  # instructions, at most: entering and leaving the loop; a block shares them
DIRECT, RETPOLINE = 3, 6  # call, mov, ret; and the thunk's call, mov, ret
HIT = 4  # more than a direct call: the gate's nop; mov to rax, cmp, jne
PAIR = 2  # for each slot that is not it: cmp, jne
ALIGNED = 1  # at most: a nop in front of where the ways meet, or a mov more
OFF = 5  # more than the retpoline: the gate's jmp, the watch's nop, test, je, a jmp back
EPOCHS_MOST, BATCHES_MOST = 3, 2  # the bar of a phase change
CPUS = 2


@pytest.fixture(scope="module")
def exact_rows():
    with Machine("bench-dyncall-icount", **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json("bench dyncall --sequence constant,round-robin-4,random-8 "
                            f"--calls 4096 {EVERY} -j", 120)
        assert machine.exit() == ALL_OK
    return rows


@pytest.fixture(scope="module")
def exact(exact_rows):
    """Instructions by (sequence, way, form, slots)."""
    return {(row["sequence"], row["way"], row["form"], row["slots"]): row["instructions"]
            for row in exact_rows}


def test_the_ways_it_is_compared_with(exact):
    for sequence in ("constant", "round-robin-4", "random-8"):
        assert exact[sequence, "indirect", None, None] == DIRECT
        assert exact[sequence, "retpoline", None, None] == RETPOLINE
    assert exact["constant", "direct", None, None] == DIRECT


@pytest.mark.parametrize("slots", SLOTS)
def test_a_constant_target_costs_four_instructions_more_than_a_direct_call(exact, slots):
    """In both forms the same, and no more while misses are watched: there are none."""
    cost = exact["constant", "pinned", "imm", slots]
    assert HIT <= cost - DIRECT <= HIT + ALIGNED
    assert exact["constant", "pinned", "mem", slots] == cost
    assert exact["constant", "watched", "imm", slots] == cost
    assert exact["constant", "watched", "mem", slots] == cost
    assert exact["constant", "auto", "imm", slots] == cost


@pytest.mark.parametrize("slots", SLOTS)
def test_switched_off_it_is_the_retpoline_and_two_jumps(exact, slots):
    for sequence in ("constant", "round-robin-4", "random-8"):
        assert exact[sequence, "off", None, slots] - RETPOLINE in (OFF, OFF + ALIGNED)


def test_each_slot_in_front_is_a_comparison_more(exact):
    """Four targets in turn: 0, 1, 2 or 3 slots stand in front; all but the first jump back."""
    mean = DIRECT + HIT + PAIR * (0 + 1 + 2 + 3) / 4 + 3 / 4
    for form in FORMS:
        assert 0 <= exact["round-robin-4", "pinned", form, 4] - mean <= ALIGNED
    for slots in SLOTS:
        assert (exact["random-8", "pinned", "imm", slots] ==
                exact["random-8", "pinned", "mem", slots] >
                exact["random-8", "retpoline", None, None])


def test_clock_and_single_steps_agree_on_a_constant_target(exact_rows):
    for row in exact_rows:
        if row["sequence"] == "constant" and row["way"] != "learning":
            assert row["ns"] == pytest.approx(row["instructions"], abs=LOOP_ENTRY / BLOCK), row


def test_counting_every_call_costs_more_than_the_call(exact_rows):
    for row in exact_rows:
        if row["way"] == "learning":
            assert row["ns"] > 5 * RETPOLINE


@pytest.fixture(scope="module")
def learning_rows():
    """Rows by (sequence, phase)."""
    with Machine("bench-dyncall-learning", cpus=CPUS, **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json("bench dyncall --learning --slots 4 -j", 240)
        assert machine.exit() == ALL_OK
    assert all(row.keys() == LEARNING for row in rows)
    assert {row["kind"] for row in rows} == {"bench.dyncall.learning"}
    return {(row["sequence"], row["phase"]): row for row in rows}


def test_a_constant_target_is_learnt_once_and_for_all(learning_rows):
    learn, steady = (learning_rows["constant", phase] for phase in ("learn", "steady"))
    assert (learn["state"], learn["reason"], learn["updates"]) == ("stable", "hot", 1)
    assert learn["epochs"] == 2 and learn["batches"] <= BATCHES_MOST
    assert steady["state"] == "stable" and steady["epochs"] >= 20
    assert [steady[name] for name in ("updates", "batches", "rounds", "grace_periods", "ipis",
                                      "updates_per_s", "ipis_per_s")] == [0] * 7


def test_another_target_is_learnt_within_three_epochs_and_two_batches(learning_rows):
    change = learning_rows["constant", "change"]
    assert (change["state"], change["updates"]) == ("stable", 1)
    assert 0 < change["epochs"] <= EPOCHS_MOST and change["batches"] == BATCHES_MOST
    assert change["grace_periods"] == 1 and change["ipis"] > 0


def test_what_is_learnt_stays_as_it_is(learning_rows):
    """While it is stable nothing changes, and nobody is interrupted. Left out: sequences whose
    target changes all the time, of which an epoch may see one phase or another; and what rests,
    which looks again, ever more seldom."""
    stable = {sequence: row for (sequence, phase), row in learning_rows.items()
              if phase == "steady" and row["state"] == "stable" and "phase" not in sequence}
    assert {"constant", "round-robin-2"} <= stable.keys()
    for row in stable.values():
        assert row["updates"] == row["batches"] == row["ipis"] == 0, row


def test_every_sequence_settles(learning_rows):
    """What is tried may change once while it is being tried."""
    for sequence in SEQUENCES:
        learn = learning_rows[sequence, "learn"]
        assert learn["state"] in ("stable", "off")
        assert learn["updates"] <= 2 and learn["batches"] <= BATCHES_MOST + 2, learn


def state(machine):
    """What a bench must leave as it found it, but for counts of what happened."""
    return machine.run("calls dynamic_bench_1_0"), machine.run("key dynamic_gate_bench_1"), [
        (row["name"], row["form"], row["targets"], row["state"])
        for row in machine.json("dyncall -j") if row["name"].startswith("bench_")]


def expect_rows(rows, sequences, sizes, ways):
    """Whom it is compared with comes first, once a sequence."""
    wanted = []
    for sequence in sequences:
        plain = (["direct"] if sequence == "constant" else []) + ["indirect", "retpoline"]
        wanted += [(sequence, way, None, None) for way in plain]
        wanted += [(sequence, way, form, slots) for slots in sizes for way, form in ways]
    assert [(row["sequence"], row["way"], row["form"], row["slots"]) for row in rows] == wanted


def test_what_is_not_named_is_what_a_newcomer_asks(shell):
    expect_rows(shell.json("bench dyncall --calls 1 -j", 120), SEQUENCES, [2], USUAL)


def test_rows_and_fields(shell):
    before = state(shell)
    rows = shell.json(f"bench dyncall --sequence constant,zipf-8 --calls 2000 {EVERY} -j", 120)
    expect_rows(rows, ["constant", "zipf-8"], SLOTS, (
        ("pinned", "imm"), ("pinned", "mem"), ("off", None), ("auto", "imm"), ("learning", None),
        ("watched", "imm"), ("watched", "mem")))
    for row in rows:
        assert row.keys() == FIELDS and row["kind"] == "bench.dyncall"
        assert row["mitigation"] == "retpoline" and row["n"] == 2 * BLOCK
        assert row["min_ns"] <= row["p50_ns"] == row["ns"] <= row["p99_ns"] <= row["max_ns"]
        assert (row["chosen"] is not None) == (row["way"] == "auto")
    assert state(shell) == before


def test_ctrl_c_stops_it_and_everything_is_as_before(shell):
    before = state(shell)
    shell.send("bench dyncall --calls 100000 -j\r")
    shell.wait('"way":"pinned"')
    shell.send("\x03")
    shell.wait("bench dyncall: stopped by Ctrl-C")
    shell.wait_prompt()
    assert state(shell) == before


def test_a_call_that_somebody_uses_is_left_alone(shell):
    shell.run("dyncall bench_2 on")
    assert "bench dyncall: the dynamic call bench_2 is learning; first: dyncall bench_2 off" in (
        shell.run("bench dyncall --sequence constant --calls 1"))
    shell.run("dyncall bench_2 off")


@pytest.mark.parametrize("line, culprit", [
    ("bench dyncall --sequence random-9", "'random-9'"),
    ("bench dyncall --way pined", "'pined'"),
    ("bench dyncall --form text", "'text'"),
    ("bench dyncall --slots 3", "'3'"),
    ("bench dyncall --calls 0", "'0' is out of range"),
    ("bench dyncall extra", "extra"),
    ("bench dyncall --learning --way off", "--way does not go with --learning"),
    ("bench dyncall --learning --form imm", "--form does not go with --learning"),
    ("bench dyncall --learning --calls 9", "--calls does not go with --learning"),
])
def test_bad_input_is_named(shell, line, culprit):
    assert culprit in shell.run(line)
