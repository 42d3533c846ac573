# SPDX-License-Identifier: MIT
"""Static calls as a user meets them: `calls`, `call`, `sites`, `plan`, idle=, and bad input."""

import os
import shutil
import subprocess

import pytest

from machine import ALL_OK, BUILD, ROOT, SOME_FAILED, Machine, loader_options

USERS = ("clock_read", "console_output", "cpu_idle")


def calls(shell):
    return {row["name"]: row for row in shell.json("calls -j") if row["kind"] == "call"}


def test_calls_lists_the_kernels_own(shell):
    rows = calls(shell)
    for name in USERS:
        row = rows[name]
        assert row["form"] == "inline"
        assert row["sites"] == row["calls"] + row["jumps"] + row["jccs"] == row["patched"] > 0


def test_sites_of_a_call_go_to_its_target(shell):
    """The first row is the trampoline; every other is the call that the pass found."""
    row = calls(shell)["console_output"]
    trampoline, *sites = shell.json("sites console_output -j")
    assert trampoline["symbol"] == "static_call_console_output+0x0"
    assert len(sites) == row["sites"]
    target = trampoline["insn"].split()[1]
    assert {site["insn"].split()[1] for site in sites} == {target}
    assert {site["insn"].split()[0] for site in sites} <= {"call", "jmp"}


def other_target(row):
    return "clock_read_lfence" if row["target"] == "clock_read_rdtscp" else "clock_read_rdtscp"


def test_call_costs_what_plan_says_and_moves_every_site(shell):
    before = calls(shell)["clock_read"]
    other = other_target(before)
    planned = shell.json(f"plan clock_read {other} -j")
    sites = [row for row in planned if row["kind"] == "plan.site"]
    total = planned[-1]
    assert (total["kind"], total["sites"], len(sites)) == ("plan", before["sites"] + 1,
                                                           before["sites"] + 1)
    poke, after = shell.json(f"call clock_read {other} -j")
    try:
        assert (poke["kind"], poke["who"], poke["sites"], poke["rounds"], poke["ipis"]) == (
            "poke", "clock_read", total["sites"], total["rounds"], total["ipis"])
        assert after["target"] == other
        for row, site in zip(sorted(sites, key=lambda row: row["addr"]),
                             sorted(shell.json("sites clock_read -j"), key=lambda r: r["addr"])):
            assert (row["addr"], row["new"]) == (site["addr"], site["bytes"])
    finally:
        shell.json(f"call clock_read {before['target']} -j")


def test_a_target_that_this_cpu_cannot_run_is_refused():
    with Machine("no-rdtscp", cpus=2, cpu="max,-rdtscp") as machine:
        machine.wait_prompt()
        assert calls(machine)["clock_read"]["target"] == "clock_read_lfence"
        for command in "call", "plan":
            assert ("clock_read cannot go to clock_read_rdtscp: this CPU has no RDTSCP"
                    in machine.run(f"{command} clock_read clock_read_rdtscp"))
        assert "rdtscp" not in machine.run("call clock_read nosuch")
        assert calls(machine)["clock_read"]["target"] == "clock_read_lfence"
        assert machine.exit() == SOME_FAILED


def test_a_call_that_is_there_already_costs_nothing(shell):
    row = calls(shell)["cpu_idle"]
    assert [r["kind"] for r in shell.json(f"call cpu_idle {row['target']} -j")] == ["call"]
    assert "0 rounds, 0 IPIs" in shell.run(f"call cpu_idle {row['target']}")


def test_form_changes_the_sites_alone(shell):
    row = calls(shell)["clock_read"]
    poke, out = shell.json("call clock_read out-of-line -j")
    try:
        assert (poke["sites"], out["form"], out["patched"]) == (row["sites"], "out-of-line", 0)
        trampoline, *sites = shell.json("sites clock_read -j")
        assert {site["insn"].split()[1] for site in sites} == {trampoline["addr"]}
    finally:
        poke, inline = shell.json("call clock_read inline -j")
    assert (poke["sites"], inline["patched"]) == (row["sites"], row["sites"])


def test_output_can_be_sent_nowhere_and_back(shell):
    """console_output is the call that every line goes through: NULL is a nop or a ret there."""
    for line in "call console_output null", "keys", "call console_output uart_raw_write":
        shell.send(line + "\r")
    silence = shell.wait("status")  # the record of the way back: the first thing to be seen
    assert "sched_stats" not in silence
    shell.wait_prompt()
    assert calls(shell)["console_output"]["target"] == "uart_raw_write"


@pytest.mark.parametrize("line, words", [
    ("call nosuch", ["nosuch", "`calls`"]),
    ("call clock_rea", ["did you mean 'clock_read'"]),
    ("call clock_read null", ["clock_read", "cannot be null"]),
    ("call clock_read zero", ["clock_read", "cannot be zero"]),
    ("call console_output zero", ["'zero'", "uart_raw_write, null"]),
    ("call cpu_idle clock_read_lfence", ["clock_read_lfence", "idle_halt", "idle_poll"]),
    ("call cpu_idle panic", ["'panic' is not a target of cpu_idle"]),
    ("call", ["usage: call"]),
    ("call cpu_idle idle_halt x", ["usage: call"]),
    ("call bench_lazy_1 null", ["bench_lazy_1", "cannot be null"]),
    ("call bench_lazy_1 inline", ["'inline' is not a target of bench_lazy_1", "bench_lazy_new"]),
    ("call cpu_idle forget", ["'forget' is not a target"]),
    ("calls nosuch", ["nosuch"]),
    ("calls a b", ["usage: calls"]),
    ("sites nosuch", ["there is no key, call or op 'nosuch'"]),
    ("plan cpu_idle on", ["'on' is not a target of cpu_idle"]),
    ("plan cpu_idle", ["usage: plan"]),
])
def test_bad_input_is_named_and_changes_nothing(shell, line, words):
    before = calls(shell)
    text = shell.run(line)
    assert [word for word in words if word not in text] == []
    assert calls(shell) == before


def test_lazy_calls_are_listed_and_go_where_they_are_sent(shell):
    """Nothing has executed its sites yet: there is nothing to patch, and the stub alone changes."""
    row = calls(shell)["bench_lazy_56"]
    assert (row["form"], row["sites"], row["patched"], row["pending"]) == ("lazy", 0, 0, 0)
    call, lazy = shell.json("call bench_lazy_56 bench_lazy_new -j")
    assert (call["target"], lazy["kind"], lazy["converged_ns"]) == ("bench_lazy_new", "call.lazy",
                                                                   None)
    assert shell.json("plan bench_lazy_56 bench_lazy_old -j")[-1]["rounds"] == 0
    assert "0 rounds" in shell.run("call bench_lazy_56 forget")
    assert shell.json("call bench_lazy_56 bench_lazy_old -j")[0]["target"] == "bench_lazy_old"


def test_sites_that_were_found_are_shown_and_forgotten(shell):
    shell.json("bench lazy --sites 56 --keep -j")
    row, found = shell.json("calls bench_lazy_56 -j")
    assert (row["sites"], row["patched"], row["pending"]) == (56, 56, 0)
    assert row["slow_calls"] >= 56 and found["converged_ns"] > 0
    sites = shell.json("sites bench_lazy_56 -j")
    assert [site["state"] for site in sites] == ["patched"] * 56
    assert {site["insn"] for site in sites} == {sites[0]["insn"]}
    poke = shell.json("call bench_lazy_56 forget -j")[0]
    assert (poke["kind"], poke["sites"], poke["rounds"]) == ("poke", 56, 3)
    assert calls(shell)["bench_lazy_56"]["sites"] == 0
    shell.json("call bench_lazy_56 bench_lazy_old -j")


@pytest.mark.parametrize("option, target", [("idle=poll", "idle_poll"), ("idle=halt", "idle_halt")])
def test_idle_is_chosen_at_boot(option, target):
    with Machine("idle", cpus=2, command_line=option) as machine:
        assert "warning" not in machine.wait_prompt()
        assert calls(machine)["cpu_idle"]["target"] == target
        assert machine.exit() == ALL_OK


def test_a_wrong_idle_is_named():
    with Machine("idle-wrong", cpus=1, command_line="idle=sleep") as machine:
        assert "idle='sleep' is unknown (allowed: halt poll)" in machine.wait_prompt()
        assert calls(machine)["cpu_idle"]["target"] == "idle_halt"
        machine.run("call cpu_idle nosuch")
        assert machine.exit() == SOME_FAILED


def test_without_a_uart_output_is_skipped():
    """Nobody can read what it prints; QEMU's status says that the commands ran."""
    command = ["qemu-system-x86_64", "-cpu", "max", "-smp", "2", "-m", "64M", "-display", "none",
               "-nic", "none", "-serial", "none", "-monitor", "none", "-no-reboot",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
               *loader_options("kernel", 'run="call console_output null; calls; exit"')]
    assert subprocess.run(command, timeout=30, stdin=subprocess.DEVNULL,
                          check=False).returncode == ALL_OK


def make(*arguments, target="kernel"):
    """Builds the kernel once more, as a user would: without what this run of make passes on."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")}
    return subprocess.run(["make", "-s", "-j2", target, *arguments], cwd=ROOT, env=environment,
                          capture_output=True, text=True, timeout=300, check=False)


def share_objects(build, form):
    """Takes over what does not see the form of static calls, most of the kernel; nothing where the
    stamps of the builds, which list flags and objects, differ in more than the form."""
    theirs = (build / "flags.stamp").read_text()
    if (BUILD / "flags.stamp").read_text().replace("STATIC_CALL_INLINE", form) != theirs:
        return
    for name in {word for word in theirs.split() if word.endswith(".o")}:
        notes = (BUILD / name).with_suffix(".d")
        if not notes.exists() or "patching/static_call.h" not in notes.read_text():
            (build / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(BUILD / name, build / name)


def test_a_build_can_leave_calls_out_of_line():
    build = BUILD / "out-of-line"
    arguments = "STATIC_CALLS=out-of-line", f"BUILD={build}"
    assert make(*arguments, target=f"{build}/flags.stamp").returncode == 0
    share_objects(build, "STATIC_CALL_OUT_OF_LINE")
    built = make(*arguments)
    assert built.returncode == 0, built.stderr
    with Machine("out-of-line", image=build / "livetext.elf") as machine:
        machine.wait_prompt()
        assert {row["form"] for name, row in calls(machine).items() if name in USERS} == {
            "out-of-line"}
        machine.run("call cpu_idle idle_poll")
        assert "ok 1 static_key" in machine.run("test static_key")
        assert machine.exit() == ALL_OK


def test_a_build_refuses_a_form_that_is_none():
    built = make("STATIC_CALLS=outline", f"BUILD={BUILD}/outline")
    assert built.returncode != 0
    assert "STATIC_CALLS=outline is neither inline nor out-of-line" in built.stderr
