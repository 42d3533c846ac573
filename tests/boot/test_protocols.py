# SPDX-License-Identifier: MIT
"""Protocols as a user chooses them, and CPUs that answer late or never."""

import json
import os
import signal
import threading
import time

import pytest

from machine import ALL_OK, SOME_FAILED, Machine

CTRL_C = "\x03"


def test_protocol_option_sets_the_default():
    with Machine("protocol", command_line="protocol=int3") as machine:
        machine.wait_prompt()
        assert [row["name"] for row in machine.json("protocol -j") if row["default"]] == ["int3"]
        assert machine.json("key bench_4 on -j")[0]["rounds"] == 12
        assert machine.exit() == ALL_OK


def test_protocol_option_refuses_what_is_unsafe_and_says_why():
    with Machine("protocol-naive", command_line="protocol=naive") as machine:
        machine.wait_prompt()
        text = machine.text
        assert "protocol=naive is refused" in text and "half-written instructions" in text
        assert "--unsafe" in text
        rows = machine.json("protocol -j")
        assert [row["name"] for row in rows if row["default"]] == ["int3-batch"]
        assert machine.exit() == ALL_OK


def test_qword_falls_back_on_an_emulator_that_fetches_byte_by_byte(shell):
    """Without --unsafe nobody may be shown half an instruction: three rounds, no quadword."""
    assert "takes the steps of int3-batch here" in shell.run("protocol qword")
    for state in ("on", "off"):
        poke = shell.json(f"key bench_8 {state} -j")[0]
        assert (poke["protocol"], poke["rounds"], poke["quadwords"]) == ("qword", 3, 0)
    text = shell.run("protocol qword --strict")
    assert "every flip is refused here" in text and "takes the steps" not in text
    text = shell.run("key bench_8 on")
    assert "half-written instructions" in text
    shell.run("protocol int3-batch")


def test_protocol_tells_which_flags_are_in_force(shell):
    for flags, strict, unsafe in [("", False, False), ("--strict", True, False),
                                  ("--unsafe", False, True), ("--strict --unsafe", True, True)]:
        text = shell.run(f"protocol qword {flags}")
        assert ("--unsafe is in force" in text) == unsafe
        rows = {row["name"]: row for row in shell.json("protocol -j")}
        assert (rows["qword"]["strict"], rows["qword"]["allowed_unsafe"]) == (strict, unsafe)
        assert not any(row["strict"] or row["allowed_unsafe"]
                       for name, row in rows.items() if name != "qword")
    shell.run("protocol int3-batch")


def test_protocol_option_says_that_qword_falls_back():
    with Machine("protocol-qword", command_line="protocol=qword") as machine:
        machine.wait_prompt()
        assert "warning: command line: protocol=qword: QEMU's TCG fetches byte" in machine.text
        assert "qword takes the steps of int3-batch here" in machine.text
        assert [row["name"] for row in machine.json("protocol -j") if row["default"]] == ["qword"]
        assert machine.json("key bench_8 on -j")[0]["rounds"] == 3
        assert machine.exit() == ALL_OK


def test_protocols_are_listed_set_and_planned(shell):
    """plan tells the rounds of the default protocol, the flip then takes them."""
    expected = {"int3": 24, "int3-batch": 3, "qword": 1, "stop": 1, "naive": 0}
    assert sorted(row["name"] for row in shell.json("protocol -j")) == sorted(expected)
    for name, rounds in expected.items():
        rows = shell.json(f"protocol {name} --unsafe -j")
        assert [row["name"] for row in rows if row["default"]] == [name]
        for state in ("on", "off"):
            plan = shell.json(f"plan bench_8 {state} -j")[-1]
            poke = shell.json(f"key bench_8 {state} -j")[0]
            assert (plan["rounds"], plan["ipis"]) == (poke["rounds"], poke["ipis"])
            assert (poke["protocol"], poke["rounds"], poke["ipis"]) == (name, rounds, 3 * rounds)
            assert poke["quadwords"] == (8 if name == "qword" else 0)
    shell.run("protocol int3-batch")


def flips_beside_a_deaf_cpu(machine):
    """Returns what two flips say while CPU 2 has its interrupts off; begins anew if a slow host let
    it listen again before the second had been given up."""
    for _ in range(5):
        machine.run("spin 2 5000 --no-interrupts")
        texts = [machine.run("key bench_8 on") for _ in range(2)]
        if machine.json("spin -j"):
            return texts
        machine.run("key bench_8 off")
    raise AssertionError(f"the spin of 5 s was over each time; the last flips said: {texts}")


@pytest.mark.parametrize("protocol, what", [
    ("int3", "a sync"), ("int3-batch", "a sync"), ("qword", "a sync"), ("stop", "a stop")])
def test_cpu_that_does_not_answer_fails_the_flip_by_name(protocol, what):
    """Its interrupts are off for longer than the limit: the text is put back, the kernel lives on,
    and once the CPU answers, the same command succeeds; no IPI is lost or counted twice. Would
    miss what a CPU with a stale pipeline fetches: an emulator has none."""
    with Machine(f"silent-{protocol}", command_line="sync_timeout_ms=1000 dyncall=off") as machine:
        machine.wait_prompt()
        machine.run(f"protocol {protocol} --unsafe")
        before = machine.json("sites bench_8 -j")
        for text in flips_beside_a_deaf_cpu(machine):
            assert "cpu 2 does not answer; text was put back" in text
            assert f"cpu 2: no answer to {what}" in text and "given up" in text
            assert "spin_thread" in text or "no answer to an NMI" in text  # a loaded host
        assert machine.json("sites bench_8 -j") == before
        assert not machine.json("key bench_8 -j")[0]["enabled"]
        while machine.json("spin -j"):
            time.sleep(0.2)
        for state in ("on", "off"):
            deadline = time.monotonic() + 60
            while "does not answer" in machine.run(f"key bench_8 {state}"):  # a loaded host
                assert time.monotonic() < deadline
            assert machine.json("key bench_8 -j")[0]["enabled"] == (state == "on")
        rows = machine.json("ipi -j")
        for kind in ("sync", "stop"):
            assert (sum(row[f"{kind}_sent"] for row in rows)
                    == sum(row[f"{kind}_received"] for row in rows))
        assert rows[2][f"{what.split()[1]}_received"] > 0
        assert machine.exit() == SOME_FAILED


def stop_and_go_on(pid, seconds):
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("protocol", ["int3-batch", "stop"])
def test_answer_is_waited_for_by_a_machine_that_its_host_stops(protocol):
    """CPU 2 answers in 600 ms, the limit is 3 s, and the whole machine stands for 5 s in
    between: nobody is silent. Would miss it if a slow host begins to stop it behind the answer."""
    with Machine(f"away-{protocol}", command_line="sync_timeout_ms=3000 dyncall=off") as machine:
        machine.wait_prompt()
        machine.run(f"protocol {protocol}")
        timer = threading.Timer(0.3, stop_and_go_on, (machine.child.pid, 5))
        timer.start()
        text = machine.run("spin 2 600 --no-interrupts; key bench_8 on")
        timer.join()
        assert "no answer" not in text
        machine.resynchronise()
        assert machine.json("key bench_8 -j")[0]["enabled"]


def spinning(machine):
    """What `spin` says, whatever reports have redrawn the prompt meanwhile."""
    machine.resynchronise()
    return machine.json("spin -j")


@pytest.mark.parametrize("protocol", ["stop", "qword"])
def test_answers_that_are_always_late_do_no_harm(protocol):
    """A limit of 3 ms, and CPUs that are deaf for longer or shorter: rounds are given up while
    answers are on their way, in every order. Each IPI must arrive once, and text be whole. int3 is
    left out: a CPU that goes silent behind a written tail rightly stops the machine."""
    with Machine(f"late-{protocol}",
                 command_line="sync_timeout_ms=3 dyncall=off loglevel=error") as machine:
        machine.wait_prompt()
        machine.run(f"protocol {protocol} --unsafe")
        before, failures, turn = machine.json("sites bench_16 -j"), 0, 0
        while turn < 12 or (failures == 0 and turn < 60):  # a slow host may miss all of the first
            turn += 1
            machine.run("; ".join(f"spin {cpu} {20 * cpu + 7 * turn} --no-interrupts"
                                  for cpu in (1, 2, 3) if (cpu + turn) % 3))
            text = machine.run("; ".join(["key bench_16 on; key bench_16 off"] * 4), 60)
            failures += text.count("does not answer")
        assert failures > 0
        while spinning(machine):
            time.sleep(0.2)
        deadline = time.monotonic() + 100
        while machine.json("key bench_16 -j")[0]["enabled"]:
            machine.run("key bench_16 off")
            assert time.monotonic() < deadline
        assert machine.json("sites bench_16 -j") == before
        rows = machine.json("ipi -j")
        for kind in ("sync", "stop"):
            assert (sum(row[f"{kind}_sent"] for row in rows)
                    == sum(row[f"{kind}_received"] for row in rows))


def test_bench_poke_beside_a_cpu_that_owes_an_answer():
    """The first flip finds an IPI pending from the round given up before and sends one less: that
    is no fault, and the sites end as nops, or the second bench would be refused. Misses nothing by
    chance: the spin ends 150 ms behind the limit, and if a slow host lets it end before the bench
    begins, the flips merely agree."""
    bench = "bench poke --sites 4 --flips 3 --load idle --protocol int3-batch -j"
    with Machine("owed", cpus=2,
                 command_line="sync_timeout_ms=450 dyncall=off loglevel=error") as machine:
        machine.wait_prompt()
        for _ in range(5):  # on a slow host the spin may be over before the key is refused
            text = machine.run(f"spin 1 600 --no-interrupts; key bench_4 on; {bench}; {bench}")
            if "does not answer" in text:
                break
            machine.run("key bench_4 off")
        assert "does not answer" in text
        rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        assert [(row["flips"], row["rounds_per_flip"], row["ipis_per_flip"])
                for row in rows if row["kind"] == "bench.poke"] == [(3, 3, 3)] * 2
        assert "differ" not in text and "stay flipped" not in text


def test_ctrl_c_ends_a_bench_that_waits_for_a_deaf_cpu(shell):
    """The thread of the bench on CPU 1 does not even start before the spin ends; Ctrl-C must not
    wait for that, and the next bench finds everything in order."""
    shell.run("spin 1 8000 --no-interrupts")
    for _ in range(2):  # the second one waits for the thread that the first one left
        shell.send("bench poke --sites 4 --flips 2 --load busy\r")
        time.sleep(0.5)
        shell.send(CTRL_C)
        shell.wait("bench poke: stopped by Ctrl-C", 10)
        shell.wait_prompt()
    assert shell.json("spin -j")  # it still spins: the bench did not outwait it
    while shell.json("spin -j"):
        time.sleep(0.2)
    row = shell.json("bench poke --sites 4 --flips 2 --load busy --protocol int3-batch -j")[0]
    assert (row["flips"], row["busy"], row["wrong_passes"]) == (2, 3, 0)
