# SPDX-License-Identifier: MIT
"""`dyncall`: dynamic calls listed, pinned, switched, and what learning has decided.

Counts are exact: a batch is three rounds, a round an IPI to each other CPU. The calls of the
kernel's suites are used, which nobody else makes.
"""

import pytest

from machine import ALL_OK, Machine, revived

CALL, SLOTS = "test_dynamic_2", 2
TARGETS = "dynamic_answer_1", "dynamic_answer_2", "dynamic_answer_3"
ROUNDS = 3  # of a batch


@pytest.fixture(scope="module", params=[1, 4])
def running(request):
    """Returns a function that gives the machine, and its number of CPUs."""
    cpus = request.param
    with revived(lambda number: Machine(f"dyncall-{cpus}-{number}", cpus=cpus),
                 Machine.wait_prompt) as machine:
        yield machine, cpus


@pytest.fixture
def shell(running):
    return running[0]()


@pytest.fixture
def cpus(running):
    return running[1]


def row_of(machine, command=f"dyncall {CALL}"):
    (row,) = machine.json(f"{command} -j")
    assert row["kind"] == "dyncall" and "truncated" not in row
    return row


def empty(machine):
    """No target is named, and nobody learns: how a call is before anybody wants anything."""
    machine.run("test dynamic_call null_is_counted_and_returns_0", 60)
    machine.run(f"dyncall {CALL} off")


def test_all_are_listed_with_their_sites(shell):
    rows = {row["name"]: row for row in shell.json("dyncall -j")}
    for slots in 1, 2, 3, 4:
        row = rows[f"test_dynamic_{slots}"]
        assert (row["slots"], row["sites"], row["state"]) == (slots, 3, "off")
        assert row["form"] in ("imm", "mem") and row["memory"]
    assert rows["test_dynamic_uncalled"]["sites"] == 0
    table = shell.run("dyncall").splitlines()
    assert len(table) == len(rows) + 1
    assert all("truncated" not in row for row in rows.values())


def test_by_name_and_those_of_tests_and_benches_behind(shell):
    names = [row["name"] for row in shell.json("dyncall -j")]
    by_hand = [name for name in names if name.startswith(("bench_", "test_"))]
    users = [name for name in names if name not in by_hand]
    assert by_hand and users and names == sorted(users) + sorted(by_hand)


def test_those_of_the_network_learn_from_boot_on(shell):
    rows = {row["name"]: row for row in shell.json("dyncall -j")}
    for name in "deliver", "ipv4_deliver", "udp_deliver":
        assert rows[name]["state"] != "pinned" and rows[name]["form"] == "imm"
        assert rows[name]["batches"] <= 1 and rows[name]["targets"] == []


def test_pinned_by_name_and_by_address(shell, cpus):
    empty(shell)
    before = row_of(shell)
    row = row_of(shell, f"dyncall {CALL} pin {TARGETS[0]}")
    assert (row["state"], row["targets"]) == ("pinned", [TARGETS[0]])
    assert (row["batches"], row["changes"]) == (before["batches"] + 1, before["changes"] + 1)
    address = [site["insn"].split(", ")[1] for site in shell.json(f"sites {CALL} -j")
               if site["key"] == CALL and site["insn"].startswith("cmp")][0]
    other = row_of(shell, f"dyncall {CALL} pin {TARGETS[2]} {address}")
    assert other["targets"] == [TARGETS[2], TARGETS[0]]
    assert other["batches"] == row["batches"] + 2
    assert other["grace_periods"] == row["grace_periods"] + 1
    assert other["rounds"] == row["rounds"] + 2 * ROUNDS
    assert other["ipis"] == row["ipis"] + (cpus - 1) * 2 * ROUNDS
    again = row_of(shell, f"dyncall {CALL} pin {TARGETS[2]} {address}")
    assert again["batches"] == other["batches"]  # what is there already is free
    closing, opening = [poke for poke in shell.json("pokes -j")  # others learn meanwhile
                        if poke["who"] == f"dyncall {CALL}"][-2:]
    assert closing["rounds"] == opening["rounds"] == ROUNDS
    shell.run(f"dyncall {CALL} off")


def compares(machine):
    rows = machine.json(f"sites {CALL} -j")
    assert {row["key"] for row in rows} == {CALL, f"dynamic_gate_{CALL}", f"dynamic_watch_{CALL}",
                                            f"dynamic_{CALL}_0", f"dynamic_{CALL}_1"}
    return [row for row in rows if row["key"] == CALL]


@pytest.mark.parametrize("form", ["mem", "imm"])
def test_the_form_is_in_the_text(shell, form):
    shell.run(f"dyncall {CALL} pin {TARGETS[0]} {TARGETS[1]}")
    row = row_of(shell, f"dyncall {CALL} form {form}")
    assert (row["form"], row["state"], row["targets"]) == (form, "pinned", list(TARGETS[:2]))
    sites = compares(shell)
    assert len(sites) == 3 * SLOTS
    for site in sites:
        assert site["len"] == 7 and site["insn"].startswith("cmp rax, ")
        assert site["bytes"].startswith({"mem": "483b05", "imm": "4881f8"}[form])
    batches = row_of(shell)["batches"]
    assert row_of(shell, f"dyncall {CALL} form {form}")["batches"] == batches
    shell.run(f"dyncall {CALL} off")


def test_off_closes_the_gate_and_on_begins_anew(shell):
    empty(shell)
    shell.run(f"dyncall {CALL} pin {TARGETS[0]}")
    row = row_of(shell, f"dyncall {CALL} off")
    assert (row["state"], row["targets"]) == ("off", [TARGETS[0]])
    gates = [site for site in shell.json(f"sites {CALL} -j")
             if site["key"] == f"dynamic_gate_{CALL}"]
    assert len(gates) == 3 and all(site["insn"].startswith("jmp") for site in gates)
    row = row_of(shell, f"dyncall {CALL} on")
    assert (row["state"], row["why"]) == ("learning", "new")
    assert row_of(shell, f"dyncall {CALL} off")["state"] == "off"


def test_what_was_pinned_is_so_behind_the_suites(shell):
    shell.run(f"dyncall {CALL} form mem; dyncall {CALL} pin {TARGETS[1]}")
    assert "fail:0" in shell.run("test dynamic_callee", 60)
    row = row_of(shell)
    assert (row["form"], row["state"], row["targets"]) == ("mem", "pinned", [TARGETS[1]])
    shell.run(f"dyncall {CALL} form imm; dyncall {CALL} off")


def test_decisions_are_logged(shell, cpus):
    case = "steady_traffic_costs_no_update_and_no_ipi"
    assert "fail:0" in shell.run(f"test dynamic_learning {case}", 60)
    *_, row = shell.json(f"dyncall {CALL} log -j")
    assert (row["kind"], row["name"]) == ("dyncall.decision", CALL)
    assert (row["before"], row["after"], row["reason"]) == ("learning", "stable", "hot")
    assert row["new_targets"] == row["called"] == ["dynamic_answer_7"]
    assert row["permille"] == [1000] and row["score_total"] > 0
    assert row["batches"] == 2 and row["cost_ns"] > 0 and row["saving_ns"] > 0
    assert row["break_even_calls"] > 0
    assert row["slow_ns"] is None and row["chain_ns"] is None  # nothing had to be timed
    text = shell.run(f"dyncall {CALL} log").splitlines()
    assert text[0].split()[-1] == "called" and text[-1].endswith("dynamic_answer_7 100.0%")


@pytest.mark.parametrize("words, culprit", [
    ("nosuch", "there is no dynamic call 'nosuch'; `dyncall` lists them"),
    ("test_dynamic_22", "did you mean 'test_dynamic_2'?"),
    (f"{CALL} pni", "'pni' is not one of on off pin form log"),
    (f"{CALL} pin", "pin needs the names of functions, one at least"),
    (f"{CALL} pin dynamic_answr_1", "no function is called 'dynamic_answr_1'; did you mean"),
    (f"{CALL} pin dynamic_trial", "no function is called 'dynamic_trial'"),
    (f"{CALL} pin {TARGETS[0]} {TARGETS[0]}", f"'{TARGETS[0]}' stands there twice"),
    (f"{CALL} pin {' '.join(TARGETS)}", f"{CALL} has 2 slots: none is left for '{TARGETS[2]}'"),
    (f"{CALL} pin 0", "no function begins at 0"),
    (f"{CALL} pin 0xffffffff80100001", "no function begins at 0xffffffff80100001"),
    (f"{CALL} pin 0x1000", "no function begins at 0x1000"),
    (f"{CALL} pin boot_start.halt", "boot_start.halt"),
    (f"{CALL} form", "form needs imm or mem"),
    (f"{CALL} form immediate", "form 'immediate' is not one of imm mem"),
    (f"{CALL} form imm mem", "'mem' is a word too many behind form"),
    (f"{CALL} on now", "'now' is a word too many behind on"),
    (f"{CALL} off now", "'now' is a word too many behind off"),
    (f"{CALL} log all", "'all' is a word too many behind log"),
    (f"{CALL} --log", "--log"),
])
def test_bad_input_is_named_and_changes_nothing(shell, words, culprit):
    before = shell.json(f"dyncall {CALL} -j"), shell.json(f"sites {CALL} -j")
    assert culprit in shell.run(f"dyncall {words}")
    assert (shell.json(f"dyncall {CALL} -j"), shell.json(f"sites {CALL} -j")) == before


@pytest.mark.parametrize("key", [f"dynamic_gate_{CALL}", f"dynamic_watch_{CALL}"])
@pytest.mark.parametrize("verb", ["on", "off", "inc", "dec"])
def test_its_keys_say_whose_they_are(shell, key, verb):
    before = shell.json(f"key {key} -j")
    assert f"{key} is part of `dyncall {CALL}`, which flips it" in shell.run(f"key {key} {verb}")
    assert shell.json(f"key {key} -j") == before


def test_words_are_completed(shell):
    shell.send("dyncall test_dynamic_t\tpi\tdynamic_subject_put_b\t\r")
    shell.wait("dyncall test_dynamic_tail pin dynamic_subject_put_back")
    shell.wait_prompt()
    row = row_of(shell, "dyncall test_dynamic_tail")
    assert (row["state"], row["targets"]) == ("pinned", ["dynamic_subject_put_back"])
    shell.run("dyncall test_dynamic_tail off")


def test_off_and_the_form_can_be_said_at_boot():
    with Machine("dyncall-off", cpus=2,
                 command_line="dyncall=off dyncall_form=mem") as machine:
        machine.wait_prompt()
        rows = [row for row in machine.json("dyncall -j") if not row["name"].startswith("test_")]
        assert rows
        for row in rows:
            assert (row["state"], row["batches"]) == ("off", 0)
        assert {row["form"] for row in rows if row["name"].endswith("deliver")} == {"mem"}
        assert machine.exit() == ALL_OK
