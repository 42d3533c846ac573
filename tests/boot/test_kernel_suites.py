# SPDX-License-Identifier: MIT
"""Runs the in-kernel suites and believes them only if plan, results, totals, end and status
agree."""

import re

import pytest

import ktap
from machine import ALL_OK, SOME_FAILED, Machine
from pytest_summary import count_cases


PRINTED = re.compile(r"^    # line (\d+) of cpu (\d+): "
                     r"the quick brown fox jumps over the lazy dog$")


def check_printed_lines(text, cpus):
    """Suite console prints from all CPUs at once: every line has come, whole, in its order."""
    lines = [line.rstrip() for line in text.splitlines()]
    seen = [PRINTED.match(line) for line in lines]
    by_cpu = {cpu: [int(m.group(1)) for m in seen if m and int(m.group(2)) == cpu]
              for cpu in range(cpus)}
    assert by_cpu == {cpu: list(range(25)) for cpu in range(cpus)}
    torn = [line for line, match in zip(lines, seen) if "brown fox" in line and not match]
    assert torn == []


# Torture is as long as its suites say where four CPUs run; elsewhere it is there for what else is
# different.
SHORT_TORTURE = "torture_ms=1000 "

# A host that takes a CPU away for longer than the kernel usually waits fails no case. Those that
# want a short wait set it.
PATIENT = "sync_timeout_ms=59999 grace_timeout_ms=59999 "


@pytest.mark.parametrize("name, options", [
    ("tcg-4", {}),
    ("tcg-1", {"cpus": 1}),
    ("q35-uefi-2", {"cpus": 2, "machine": "q35", "loader": "iso-uefi"}),
    ("tiny", {"cpus": 2, "memory": "64M", "cpu": "qemu64"}),
])
def test_kernel_suites_pass(name, options):
    words = PATIENT + (SHORT_TORTURE if options else "")
    with Machine(f"ktap-{name}", timeout=400, command_line=words + 'run="test; exit"',
                 **options) as machine:
        status = machine.exit_status()
        cases, result = ktap.parse(machine.text.replace("\r", ""))
    count_cases(*result)
    check_printed_lines(machine.text, options.get("cpus", 4))
    failed = [f"{suite}/{case}" for suite in cases for case, state in cases[suite].items()
              if state == "not ok"]
    assert (failed, status) == ([], ALL_OK)
    assert result.passed > (50 if options.get("cpus") == 1 else 90)


def test_ten_thousand_switches_of_locks_and_clocks_lose_nothing():
    """Two CPUs: as many as the host has, so that they really run at the same time."""
    command = "test paravirt_torture locks_and_clocks_survive_switches_of_them"
    with Machine("ktap-switches", cpus=2, timeout=200,
                 command_line=f'{PATIENT}paravirt_switches=10000 run="{command}; exit"') as machine:
        assert machine.exit_status() == ALL_OK
    assert "# 10000 switches in " in machine.text


def test_suites_run_from_any_state_and_put_it_back():
    """Keys and protocol as the user left them neither disturb the cases nor get lost."""
    commands = ("protocol int3; key bench_56 on; key test_true off; test static_key; keys -j; "
                "protocol -j; exit")
    with Machine("ktap-state", cpus=2, command_line=f'run="{commands}"') as machine:
        assert machine.exit_status(60) == ALL_OK
        text = machine.text
    assert '"name":"bench_56","enabled":true' in text
    assert '"name":"test_true","enabled":false' in text
    assert '"name":"int3","default":true' in text


def test_suites_refuse_a_key_with_users_by_name():
    commands = "key bench_4 inc; key bench_4 inc; test static_key; exit"
    with Machine("ktap-users", cpus=2, command_line=f'run="{commands}"') as machine:
        assert machine.exit_status(60) == SOME_FAILED
        assert ("test: bench_4 cannot be changed for the tests or back: key has more than one user"
                in machine.text)


GENERATED = "gen3 is generated code, and text would not be as at boot: first `prog unload all`"
ENTERED = "dispatcher receive has 1 programs: first `prog detach NIC`"
ATTACHED = "queue 0 of nic0 has a program: first `prog detach nic0`"


def test_suites_refuse_programs_of_the_user_and_leave_them_alone():
    """Before anything runs; and once they are out, the suites run."""
    with Machine("ktap-programs", cpus=2, command_line="loglevel=warning ip=10.0.2.15/24",
                 nic=("-nic", "user,model=virtio-net-pci")) as machine:
        machine.wait_prompt()
        for change, refused, entries in (("prog enter gen3", ENTERED, ["gen3"]),
                                         ("prog leave all", GENERATED, []),
                                         ("prog attach nic0 count", ATTACHED, ["program_count"])):
            machine.run(change)
            text = machine.run("test memory")
            assert refused in text and "KTAP" not in text
            assert [row["target"] for row in machine.json("dispatch receive -j")] == entries
        machine.run("prog detach nic0; prog unload all")
        cases, _ = ktap.parse(machine.run("test memory", 60).replace("\r", ""))
        assert set(cases["memory"].values()) == {"ok"}
        assert machine.exit() == SOME_FAILED


def test_ctrl_c_stops_the_torture():
    with Machine("ktap-stop", cpus=2) as machine:
        machine.wait_prompt()
        machine.send("test torture\r")
        machine.wait("Subtest: torture")
        machine.send("\x03")
        machine.wait("# SKIP stopped by Ctrl-C", 30)
        machine.wait_prompt()


GOOD = """livetext> test
KTAP version 1
1..2
    KTAP version 1
    # Subtest: a
    1..2
    ok 1 x
    # note
    ok 2 y # SKIP one CPU
ok 1 a
    KTAP version 1
    # Subtest: b
    1..1
    ok 1 z
ok 2 b
# Totals: pass:2 fail:0 skip:1
# tests ended
"""


def test_ktap_reader_reads():
    assert ktap.parse(GOOD) == ({"a": {"x": "ok", "y": "skip"}, "b": {"z": "ok"}}, (2, 0, 1))
    cases, result = ktap.parse(GOOD.replace("    ok 1 z\nok 2", "    not ok 1 z\nnot ok 2")
                               .replace("pass:2 fail:0", "pass:1 fail:1"))
    assert cases["b"]["z"] == "not ok" and result == (1, 1, 1)


AWAY = ("[   12.345678] error: cpu 1: no answer to a sync for 2000 ms\n"
        "[   12.345678] error:   at spinlock_lock+0x12\n"
        "[   12.345678] error:   from mutex_lock+0x34\n")


@pytest.mark.parametrize("place", ["    # Subtest: a", "    ok 2 y", "ok 1 a",
                                   "    1..1", "ok 2 b", "# Totals", "# tests ended"])
def test_ktap_reader_passes_over_a_cpu_that_was_away(place):
    assert ktap.parse(GOOD.replace(place, AWAY + place, 1)) == ktap.parse(GOOD)


@pytest.mark.parametrize("old, new", [
    ("1..2\n    KTAP", "1..3\n    KTAP"), ("    1..2", "    1..3"), ("    ok 1 x\n", ""),
    ("ok 2 b\n", ""), ("pass:2", "pass:3"), ("# tests ended\n", ""),
    ("    ok 1 z", "    not ok 1 z"),
    ("    ok 2 y", "    ok 1 y"), ("# SKIP one CPU", "# SKIP"), ("KTAP version 1", "KTAP 1"),
    ("    ok 1 z\n", "    ok 1 z\n    ok 2 zz\n"), ("    ok 1 x", "panic: oops"),
    ("# Totals: pass:2 fail:0 skip:1\n", ""), ("ok 2 y", "ok 2 x"),
    ("ok 2 b", "[   12.345678] error: page 7 is lost\nok 2 b"),
    ("# tests", "[   12.345678] error: page 7 is lost\n# tests"),
])
def test_ktap_reader_refuses(old, new):
    with pytest.raises(ValueError):
        ktap.parse(GOOD.replace(old, new, 1))
