# SPDX-License-Identifier: MIT
"""`bench calls`: what a call costs in each form, exactly.

In QEMU's deterministic mode a nanosecond is an instruction, so the clock and the kernel's count by
single steps are two witnesses of one number. In multi-threaded mode only the counts are asserted.
"""

import json
import re
import subprocess

import pytest

from machine import ALL_OK, BUILD, SOME_FAILED, Machine, icount

FIELDS = {"kind", "form", "mitigation", "instructions", "bytes", "branches", "ns", "n", "min_ns",
          "p50_ns", "p99_ns", "max_ns"}
COUNTS = "instructions", "bytes", "branches"
FORMS = [("nothing", None), ("direct", None), ("inline", None), ("out-of-line", None),
         ("wrapper", None), ("indirect", None), ("untraced", None), ("thunk", "retpoline"),
         ("thunk", "lfence"), ("thunk", "none"), ("lazy", None), ("lazy-first", "retpoline"),
         ("traced", None)]
LOOP_ENTRY = 20  # instructions, at most: entering and leaving the loop; a block shares them
JUMP32, NOP5 = 5, 5  # bytes


@pytest.fixture(scope="module")
def exact():
    """The rows in deterministic mode by form, or by mitigation for the thunk."""
    with Machine("bench-calls-icount", **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json("bench calls --calls 20000 -j")
        assert machine.exit() == ALL_OK
    assert [(row["form"], row["mitigation"]) for row in rows] == FORMS
    return {row["mitigation"] if row["form"] == "thunk" else row["form"]: row for row in rows}


def counts(row):
    return tuple(row[name] for name in COUNTS)


def more(row, than):
    return tuple(a - b for a, b in zip(counts(row), counts(than)))


def state(machine):
    """What a bench must leave as it found it."""
    return [machine.run(command) for command in (
        "mitigation", "mitigation --thunks", "calls", "sites bench_call_lazy", "trace")]


def test_an_inline_call_is_a_direct_call(exact):
    """The bar is 5 %; there is no difference."""
    assert counts(exact["inline"]) == counts(exact["direct"])
    assert exact["inline"]["ns"] == exact["direct"]["ns"] > 0


def test_an_out_of_line_call_is_one_jump_more(exact):
    assert more(exact["out-of-line"], exact["direct"]) == (1, JUMP32, 1)
    assert exact["out-of-line"]["ns"] == pytest.approx(exact["direct"]["ns"] + 1, abs=0.0015)


def test_a_wrapper_is_a_call_and_a_return_more(exact):
    assert more(exact["wrapper"], exact["direct"]) == (2, 5 + 1, 2)


def test_thunks_cost_what_their_bodies_say(exact):
    """indirect_thunk.asm: call, mov, ret; jmp, lfence, jmp; jmp, jmp. A call, too, that jumps."""
    bare, none = exact["indirect"], exact["none"]
    assert more(bare, exact["direct"])[0::2] == (0, 0)
    assert more(none, bare)[0] in (2, 3)  # clang moves the target into r11 first
    for guarded in exact["retpoline"], exact["lfence"]:
        assert more(guarded, none)[0::2] == (1, 0) and more(guarded, bare)[2] == 2


def test_a_lazy_call_is_a_direct_call_once_its_site_is_found(exact):
    assert counts(exact["lazy"]) == counts(exact["direct"])
    assert exact["lazy"]["ns"] == exact["direct"]["ns"]
    assert exact["lazy-first"]["instructions"] > exact["retpoline"]["instructions"] + 20
    assert exact["lazy-first"]["n"] == 20  # one a block


def test_the_tracer_costs_a_nop_when_off(exact):
    assert more(exact["untraced"], exact["direct"]) == (1, NOP5, 0)
    assert more(exact["traced"], exact["untraced"])[0] > 20


def test_clock_and_single_steps_agree(exact):
    for row in exact.values():
        block = 1 if row["form"] == "lazy-first" else 1000
        assert row["ns"] == pytest.approx(row["instructions"], abs=LOOP_ENTRY / block), row
        assert row["min_ns"] == row["p50_ns"] == row["ns"] <= row["p99_ns"] <= row["max_ns"]


def loop_instructions(name):
    """Returns the instructions of a function of the image, the target of its call left out."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--disassemble={name}",
                           BUILD / "livetext.elf"], check=True, capture_output=True,
                          text=True).stdout
    lines = re.findall(r"^ffffffff\w+:\t(.+?)\s*$", text, re.M)
    assert sum(line.startswith("call") for line in lines) == 1, text
    return [re.sub(r"(?<=^call).*| \w+ <.*", "", line) for line in lines]


@pytest.mark.parametrize("form", ["inline", "out_of_line", "wrapper", "lazy", "entry"])
def test_the_loops_differ_in_the_target_alone(form):
    """As compiled, where a static call is still a call of its trampoline."""
    assert loop_instructions(f"call_loop_{form}") == loop_instructions("call_loop_direct")


def test_rows_and_fields(shell):
    before = state(shell)
    rows = shell.json("bench calls --calls 2500 -j", 60)
    assert [(row["form"], row["mitigation"]) for row in rows] == FORMS
    for row in rows:
        assert row.keys() == FIELDS and row["kind"] == "bench.call"
        assert row["n"] == (3 if row["form"] == "lazy-first" else 3000)  # whole blocks
        assert row["min_ns"] <= row["p50_ns"] == row["ns"] <= row["p99_ns"] <= row["max_ns"]
        assert all(isinstance(row[name], int) for name in COUNTS)
    assert counts(rows[1]) == counts(rows[2]) and more(rows[3], rows[1]) == (1, JUMP32, 1)
    assert state(shell) == before


def test_people_see_the_same_rows(shell):
    header, *lines = shell.run("bench calls --calls 1000", 60).splitlines()
    assert header.split() == ["form", "mitigation", *COUNTS, "ns", "n", "min_ns", "p50_ns",
                              "p99_ns", "max_ns"]
    assert [tuple(line.split()[:2]) for line in lines] == [(form, name or "-")
                                                           for form, name in FORMS]


@pytest.mark.parametrize("mitigation", ["lfence", "none", "retpoline"])
def test_the_mitigation_is_put_back(shell, mitigation):
    shell.run(f"mitigation {mitigation}")
    before = state(shell)
    shell.json("bench calls --calls 1000 -j", 60)
    assert state(shell) == before


def test_ctrl_c_stops_it_and_everything_is_as_before(shell):
    before = state(shell)
    stop(shell, "bench calls --calls 1000000")
    assert state(shell) == before


def stop(shell, command):
    """Starts a bench and stops it; it says so by the name that was typed."""
    shell.send(f"{command}\r")
    shell.wait(command)
    shell.send("\x03")
    name = " ".join(command.split()[:2])
    shell.wait(f"{name}: stopped by Ctrl-C", 30)
    shell.wait_prompt()


@pytest.mark.parametrize("command", ["bench seeds", "bench lazy", "bench poke", "bench ipi"])
def test_every_bench_says_that_it_was_stopped(shell, command):
    stop(shell, command)


def test_a_bench_that_was_stopped_failed():
    """Behind the first command the machine's verdict is good; the bench alone can spoil it."""
    with Machine("bench-stopped") as machine:
        machine.wait_prompt()
        stop(machine, "bench lazy")
        assert machine.exit() == SOME_FAILED


def test_the_trace_of_the_user_is_kept(shell):
    shell.run("trace on thread_copy_row mutex_lock; threads; trace off")
    before = shell.run("trace"), shell.run("trace dump -n 1000 -j", 60)
    assert "thread_copy_row" in before[1]
    shell.json("bench calls --calls 1000 -j", 60)
    assert (shell.run("trace"), shell.run("trace dump -n 1000 -j", 60)) == before


@pytest.mark.parametrize("command", [
    "bench calls --calls 1000", "bench seeds", "bench lazy --sites 1", "bench ipi -n 1",
    "bench poke --sites 1 --load idle --flips 2 --protocol int3"])
def test_no_bench_times_traced_functions(shell, command):
    """A figure of theirs would be one of the recorder."""
    shell.run("trace on mutex_lock")
    text = shell.run(command)
    counted = shell.json("bench poke --hold first --hold-ms 1 -j")
    shell.run("trace off")
    name = " ".join(command.split()[:2])
    assert text.strip() == (f"{name}: functions are traced, which would be measured, too; first: "
                            "trace off")
    assert counted[0]["kind"] == "bench.hold"  # counts are what they are


def test_seeds_complain_in_their_own_name(shell):
    shell.run("call bench_call_inline out-of-line")
    text = shell.run("bench seeds")
    shell.run("call bench_call_inline inline")
    assert text.startswith("bench seeds: bench_call_inline is not as it was at boot")


@pytest.mark.parametrize("change, undo, culprit", [
    ("call bench_call_inline out-of-line", "call bench_call_inline inline", "bench_call_inline"),
    ("call bench_call_out_of_line inline", "call bench_call_out_of_line out-of-line",
     "bench_call_out_of_line"),
])
def test_what_would_make_the_table_wrong_is_refused(shell, change, undo, culprit):
    shell.run(change)
    text = shell.run("bench calls --calls 1000")
    shell.run(undo)
    assert culprit in text and "nothing" not in text
    assert len(shell.json("bench calls --calls 1000 -j", 60)) == len(FORMS)


def json_rows(text):
    """Without what is logged: that a dispatcher is full."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_seed_2_on_one_cpu():
    """Claimed: a tail jump, not another call and return; both measured, and shown in bytes."""
    with Machine("bench-seeds-1", cpus=1, **icount()) as machine:
        machine.wait_prompt()
        rows = json_rows(machine.run("bench seeds -j"))
        text = machine.run("bench seeds")
        assert machine.exit() == ALL_OK
    figures = {row["unit"]: row for row in rows
               if row["kind"] == "bench.seed" and row["seed"] == 2}
    assert {row["seed"] for row in rows} == {1, 2, 3, 4} and "Seed 5 left out" in text
    branches, instructions, time = (figures[unit] for unit in ("branches", "insns", "ps"))
    assert (branches["published_before"], branches["published_after"]) == (2, 1)
    for row in branches, instructions:
        assert (row["measured_before"], row["measured_after"]) == (2, 1)
    assert (time["measured_before"], time["measured_after"]) == (2000, 1000)
    shown = {row["what"]: row for row in rows if row["kind"] == "bench.seed.text"}
    assert shown["out of line: trampoline"]["bytes"].startswith("e9")
    assert shown["out of line: trampoline"]["target"].startswith("call_target")
    assert shown["out of line: call"]["target"].startswith("static_call_")
    assert shown["inline: call"]["bytes"].startswith("e8")
    assert shown["inline: call"]["target"].startswith("call_target")
