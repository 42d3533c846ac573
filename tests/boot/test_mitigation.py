# SPDX-License-Identifier: MIT
"""`mitigation`: the thunks of indirect branches, switched by every protocol and chosen at boot.

Whether calls arrive meanwhile is shown by tests/kernel/suite_mitigation.c; here: what a user sees,
and that compiled code has no indirect branch but through the thunks. Callers: make test.
"""

import re
import subprocess

import pytest

from machine import ALL_OK, BUILD, SOME_FAILED, Machine

THUNKS = ["rax", "rcx", "rdx", "rbx", "rsi", "rdi", "rbp"] + [f"r{i}" for i in range(8, 16)]
NAMES = ["retpoline", "lfence", "none"]
BODIES = {"retpoline": ("call", "setup"), "lfence": ("jmp", "lfence"), "none": ("jmp", "plain")}
ROUNDS = {"int3": 3 * len(THUNKS), "int3-batch": 3, "qword": 3, "stop": 1}  # qword: under TCG


def current(machine):
    rows = machine.json("mitigation -j")
    assert [row["name"] for row in rows] == NAMES
    assert [row["thunks"] for row in rows] == [len(THUNKS)] * 3
    return [row["name"] for row in rows if row["current"]]


def check_thunks(machine, name):
    insn, body = BODIES[name]
    rows = machine.json("mitigation --thunks -j")
    assert [row["name"] for row in rows] == THUNKS
    for row in rows:
        assert row["instruction"].startswith(insn + " 0x")
        assert row["target"] == f"__x86_indirect_thunk_{row['name']}.{body}+0x0"
        assert int(row["address"], 16) % 32 == 0


def test_boot_default_is_retpoline(shell):
    assert current(shell) == ["retpoline"]
    check_thunks(shell, "retpoline")


@pytest.mark.parametrize("protocol", ROUNDS)
def test_every_protocol_switches_in_all_directions(shell, protocol):
    before = shell.json("mitigation --thunks -j")
    shell.run(f"protocol {protocol}")
    for name in ("lfence", "none", "retpoline", "none", "lfence", "retpoline"):
        planned = next(row for row in shell.json("mitigation -j") if row["name"] == name)
        poke = shell.json(f"mitigation {name} -j")[0]
        assert (poke["kind"], poke["who"], poke["protocol"]) == ("poke", "mitigation", protocol)
        assert (poke["sites"], poke["rounds"]) == (len(THUNKS), ROUNDS[protocol])
        assert poke["ipis"] == 3 * poke["rounds"] and poke["status"] == "ok"
        assert [planned[field] for field in ("sites", "rounds", "ipis")] == [
            poke[field] for field in ("sites", "rounds", "ipis")]
        assert current(shell) == [name]
        check_thunks(shell, name)
    shell.run("protocol int3-batch")
    assert shell.json("mitigation --thunks -j") == before


def test_switch_to_the_present_one_costs_nothing(shell):
    """Tried again if a thread was woken meanwhile, which costs an IPI."""
    for _ in range(5):
        newest = shell.run("pokes -n 1 -j")
        before = [row["ipis_sent"] for row in shell.json("cpus -j")]
        assert "mitigation: text unchanged: 0 rounds, 0 IPIs" in shell.run("mitigation retpoline")
        assert all(row["kind"] == "mitigation" for row in shell.json("mitigation retpoline -j"))
        assert shell.run("pokes -n 1 -j") == newest
        after = [row["ipis_sent"] for row in shell.json("cpus -j")]
        if after == before:
            break
    assert after == before


@pytest.mark.parametrize("word, hint", [("lfenc", "did you mean 'lfence'?"),
                                        ("retpolin", "did you mean 'retpoline'?"),
                                        ("off", "not one of retpoline lfence none")])
def test_unknown_word_is_named_and_changes_nothing(shell, word, hint):
    text = shell.run(f"mitigation {word}")
    assert f"'{word}'" in text and hint in text and "usage: mitigation" in text
    assert current(shell) == ["retpoline"]


def test_strict_qword_is_refused_by_the_thunk_concerned(shell):
    """Under TCG no site may be written as a quadword alone."""
    shell.run("protocol qword --strict")
    text = shell.run("mitigation lfence")
    shell.run("protocol int3-batch")
    assert text.startswith("mitigation: lfence: ") and "__x86_indirect_thunk_rax" in text
    assert current(shell) == ["retpoline"]


def test_names_are_completed(shell):
    shell.send("mitigation lf\t\r")
    assert "lfence" in shell.wait_prompt()
    assert current(shell) == ["lfence"]
    shell.run("mitigation retpoline")


@pytest.mark.parametrize("name", NAMES)
def test_command_line_chooses(name):
    run = "mitigation -j; test static_key; mitigation -j; exit"
    with Machine(f"mitigation-{name}", cpus=2,
                 command_line=f'mitigation={name} run="{run}"') as machine:
        assert machine.exit_status(60) == ALL_OK
        text = machine.text
    assert "warning" not in text
    # Tests run with retpolines, and put back what was chosen.
    assert text.count(f'"name":"{name}","current":true') == 2
    assert text.count('"current":true') == 2


def test_command_line_refuses_an_unknown_one():
    with Machine("mitigation-bad", cpus=1,
                 command_line='mitigation=retpolines run="mitigation -j; nosuch; exit"') as machine:
        assert machine.exit_status(60) == SOME_FAILED
        text = machine.text
    assert "mitigation='retpolines' is unknown (allowed: retpoline lfence none): ignored" in text
    assert '"name":"retpoline","current":true' in text


def test_compiled_code_has_no_indirect_branch():
    """All go through the thunks. Left out: assembler code, the benches of bare calls, and a test's
    function that watches registers; calls through words that nobody but switches of paravirt ops
    writes: their sites, which boot patches, and what a way has below it."""
    bare = {"bench_call_loops.o", "bench_dispatch_loops.o", "counted_layer.o"}
    words = r"R_X86_64_PC32\t(pv_ops|paravirt_below|kvm_eoi_native|paravirt_double_below)[-+]"
    rooms = "boot", "arch", "kernel", "patching", "drivers", "net", "bench", "tests/kernel"
    objects = [path for room in rooms for path in sorted((BUILD / room).glob("*.o"))
               if not path.match("*.asm.o") and path.name not in bare]
    listing = subprocess.run(["objdump", "-dr", "-w", "--no-show-raw-insn", *objects], check=True,
                             capture_output=True, text=True).stdout
    found = [line for line in listing.splitlines() if re.search(r"\s(call|jmp)\s+\*", line)]
    assert [line for line in found if not re.search(words, line)] == []
    assert listing.count("__x86_indirect_thunk_") > 30
