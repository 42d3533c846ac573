# SPDX-License-Identifier: MIT
"""`bench poke --hold`: what CPUs execute while a batch is held at a step, and what is refused.

The rows are exact about what may not happen (bench/hold_flip.h), so nothing here depends on luck
or time. Callers: make test.
"""

import re
import time

import pytest

from machine import ALL_OK, SOME_FAILED, Machine

STEPS = ("int3", "tail", "first")
SITES = 7  # bench/hold_sites.h


def check_rows(rows, protocol, step, cpus):
    """One row per moment and other CPU; nobody has executed a mixture."""
    assert rows and {row["kind"] for row in rows} == {"bench.hold"}
    assert {(row["protocol"], row["step"]) for row in rows} == {(protocol, step)}
    moments = sorted({row["moment"] for row in rows})
    assert sorted((row["moment"], row["cpu"]) for row in rows) == [
        (moment, cpu) for moment in moments for cpu in range(1, cpus)]
    for row in rows:
        assert row["mixed"] == 0
        executions = row["old"] + row["emulated"] + row["new"]
        # int3 is held at one site after the other: one execution a round; else all sites.
        assert executions == row["rounds"] * (1 if protocol == "int3" else SITES)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("protocol", ["int3", "int3-batch"])
def test_each_step_of_int3_executes_what_it_should(shell, protocol, step):
    rows = shell.json(f"bench poke --hold {step} --protocol {protocol} --hold-ms 2 -j", 120)
    check_rows(rows, protocol, step, 4)
    assert {row["moment"] for row in rows} == {"written", "synced"}
    for row in rows:
        assert row["rounds"] > 0 and row["holds"] == (SITES if protocol == "int3" else 1)
        if step == "first" and row["moment"] == "synced":
            assert row["old"] == row["emulated"] == 0 < row["new"]
        elif step == "first":
            assert row["old"] == 0
        elif (step, row["moment"]) == ("int3", "written"):
            assert row["new"] == 0
        else:
            assert row["old"] == row["new"] == 0 < row["emulated"]


def test_nobody_moves_while_all_are_parked(shell):
    rows = shell.json("bench poke --hold first --protocol stop --hold-ms 20 -j")
    check_rows(rows, "stop", "first", 4)
    assert [row["rounds"] for row in rows] == [0, 0, 0]


def test_sites_outside_a_quadword_are_old_until_qword_is_through(shell):
    """Four of the seven fit, the other three take int3: held behind the first sync."""
    rows = shell.json("bench poke --hold int3 --protocol qword --hold-ms 2 -j")
    check_rows(rows, "qword", "int3", 4)
    for row in rows:
        if row["moment"] == "synced":
            assert row["old"] == 4 * row["rounds"] and row["emulated"] == 3 * row["rounds"]


def test_where_fetches_are_bytewise_hold_says_what_it_tolerates(shell):
    """An emulated CPU may see half a quadword, about once in hundreds of runs: only the note can be
    relied upon. That the command then succeeds is left to chance, as is the mixture."""
    text = shell.run("bench poke --hold first --protocol qword --hold-ms 1")
    assert re.search(r"fetches byte by byte.* no failure at sites inside a quadword: \d+ mixtures",
                     text)
    assert "bench poke: --hold" not in text
    assert "no failure" not in shell.run("bench poke --hold first --hold-ms 1")
    rows = shell.json("bench poke --hold first --protocol qword --hold-ms 1 -j")
    assert {row["mixed"] for row in rows if row["moment"] == "synced"} == {0}


def test_naive_is_seen_to_mix_and_nothing_crashes():
    """Proof that the check can fail: every mixture lands in a pad that counts it."""
    commands = ("bench poke --hold first --protocol naive --unsafe --hold-ms 1; "
                "bench poke --hold first --protocol naive --unsafe --hold-ms 1 -j; "
                "bench poke --hold first --protocol int3-batch; test poke; exit")
    with Machine("hold-naive", command_line=f'run="{commands}"') as machine:
        assert machine.exit_status(120) == SOME_FAILED
        text = machine.text
    assert "bench poke: --hold: naive, goal 1, step first within: cpu 1, jmp to jmp in" in text
    assert '"protocol":"naive","step":"first","moment":"within","cpu":3' in text
    assert "# Totals: pass:" in text and "fail:0" in text


@pytest.mark.parametrize("options, reason", [
    ("--hold int3 --protocol stop", "--hold int3: protocol stop has no such step"),
    ("--hold tail --protocol naive --unsafe", "--hold tail: protocol naive has no such step"),
    ("--hold first --protocol naive", "--protocol naive"),
    ("--hold middle", "'middle'"),
    ("--hold", "--hold"),
    ("--hold first --hold-ms 0", "--hold-ms"),
    ("--hold first --hold-ms 1001", "--hold-ms"),
    ("--hold first --protocol int4", "'int4'"),
    ("--hold first --sites 4", "--sites: does not go with --hold"),
    ("--strict --hold=int3", "--strict: does not go with --hold"),
])
def test_bad_input_is_refused_by_name(shell, options, reason):
    text = shell.run(f"bench poke {options}")
    assert "bench poke" in text and reason in text
    assert "protocol    step" not in text


def test_a_default_protocol_that_is_unsafe_is_not_called_an_option(shell):
    shell.run("protocol naive --unsafe")
    text = shell.run("bench poke --hold first")
    shell.run("protocol int3-batch")
    assert "bench poke: the default protocol, naive: CPUs may execute" in text


def test_one_cpu_cannot_watch_another():
    with Machine("hold-1", cpus=1) as machine:
        machine.wait_prompt()
        assert "there is only one CPU" in machine.run("bench poke --hold int3")
        assert machine.exit() == SOME_FAILED


def test_ctrl_c_ends_a_hold(shell):
    shell.send("bench poke --hold tail --protocol int3 --hold-ms 1000\r")
    time.sleep(1)  # of 14 that it would take
    shell.send("\x03")
    shell.wait("bench poke: stopped by Ctrl-C", 10)
    shell.wait_prompt()
    rows = shell.json("bench poke --hold first --hold-ms 1 -j")
    check_rows(rows, "int3-batch", "first", 4)


@pytest.mark.parametrize("name, options", [
    ("tcg-8", {"cpus": 8}),
    ("single-4", {"accel": "tcg,thread=single"}),
])
def test_hold_suites_pass(name, options):
    """The other shapes of machine run it with all suites: test_kernel_suites.py."""
    commands = "test hold; test hold_company; exit"
    with Machine(f"hold-{name}", timeout=400, command_line=f'run="{commands}"',
                 **options) as machine:
        assert machine.exit_status() == ALL_OK
        assert machine.text.count("fail:0 ") == 2
