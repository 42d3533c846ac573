# SPDX-License-Identifier: MIT
"""`pv stats` and `pv locks`: what the layer `counted` counts, as a user meets it; and bad input."""

import time

import pytest

from machine import ALL_OK, SOME_FAILED, Machine

STATS = "kind op cpu counted n total_ns min_ns p50_ns p99_ns max_ns".split()
LOCKS = "kind name taken contended waited_ns max_wait_ns".split()
HALTS = "kind cpu halts kicks".split()
FLIPS = "key bench_8 on; key bench_8 off"


@pytest.fixture(name="counted")
def fixture_counted(shell):
    """The machine with all ops counted, from zero."""
    shell.run("pv backend counted; pv stats --clear")
    yield shell
    shell.run("pv backend native; pv stats --clear")


def stats(shell, op):
    """Returns the rows of one op by CPU, and their total."""
    rows = {row["cpu"]: row for row in shell.json(f"pv stats {op} -j")}
    return rows, rows.pop("total")


def flip(shell, read=lambda shell: None):
    """Flips a key; returns the rounds of the batches, each one broadcast under the sync lock, and
    what read(shell) finds counted. Once more if anything else, a call that learns, was patched
    meanwhile."""
    while True:
        newest = max(row["seq"] for row in shell.json("pokes -n 1 -j"))
        shell.run(f"pv stats --clear; {FLIPS}")
        found = read(shell)
        rounds = [row["rounds"] for row in shell.json("pokes -j") if row["seq"] > newest]
        assert len(rounds) >= 2 and set(rounds) == {3}
        if len(rounds) == 2:
            return sum(rounds), found


@pytest.mark.parametrize("command", ["pv stats", "pv locks", "pv stats eoi", "pv locks -n 3 -j"])
def test_without_the_layer_it_says_how_to_put_it_on(shell, command):
    verb = " ".join(command.split()[:2])
    assert f"{verb}: nothing is counted; first: pv backend counted" in shell.run(command)


def test_stats_has_a_row_for_each_op(counted):
    rows = counted.json("pv stats -j")
    assert [row["op"] for row in rows] == [row["op"] for row in counted.json("pv -j")
                                           if row["kind"] == "pv"]
    for row in rows:
        assert list(row) == STATS
        assert (row["kind"], row["cpu"], row["counted"]) == ("pv.stats", "total", True)
        times = row["min_ns"], row["p50_ns"], row["p99_ns"], row["max_ns"]
        if row["n"] == 0:
            assert (row["total_ns"], *times) == (0, None, None, None, None)
        else:
            assert sorted(times) == list(times) and row["max_ns"] <= row["total_ns"]
            assert row["total_ns"] <= row["n"] * (row["max_ns"] + 1)
    assert {row["op"] for row in rows if row["n"] > 0} >= {"irq_save", "irq_disable", "lock_unlock",
                                                           "irq_restore"}


def test_stats_of_one_op_are_exact_by_cpu(counted):
    """A batch sends one broadcast a round, from the CPU that patches; nothing else does here."""
    rounds, (cpus, total) = flip(counted, lambda shell: stats(shell, "broadcast_ipi"))
    assert sorted(cpus) == [0, 1, 2, 3]
    assert max(row["n"] for row in cpus.values()) >= 6
    assert sum(row["n"] for row in cpus.values()) == total["n"] == rounds
    assert total["total_ns"] == sum(row["total_ns"] for row in cpus.values())


@pytest.mark.parametrize("form", ["indirect", "direct", "inline"])
def test_counts_are_the_same_in_every_form(counted, form):
    counted.run(f"pv form {form}")
    rounds, (_, total) = flip(counted, lambda shell: stats(shell, "broadcast_ipi"))
    assert total["n"] == rounds
    counted.run("pv form inline")


def test_one_op_alone_is_counted(shell):
    shell.run("pv op broadcast_ipi counted")
    rounds, rows = flip(shell, lambda shell: {row["op"]: row for row in shell.json("pv stats -j")})
    shell.run("pv backend native")
    assert [op for op, row in rows.items() if row["counted"]] == ["broadcast_ipi"]
    assert [op for op, row in rows.items() if row["n"]] == ["broadcast_ipi"]
    text = shell.run("pv stats broadcast_ipi; pv stats --clear")
    assert "nothing is counted any more, this was before" in text
    assert f" {rounds} " in text


def test_locks_are_listed_by_name(counted):
    flip(counted)
    *rows, total = counted.json("pv locks -n 129 -j")
    locks = [row for row in rows if row["kind"] == "pv.locks"]
    for row in locks:
        assert list(row) == LOCKS and row["max_wait_ns"] <= row["waited_ns"]
    names = [row["name"] for row in locks]
    assert len(set(names)) == len(names) and {"sync", "patch lock"} <= set(names)
    assert [row["waited_ns"] for row in locks] == sorted((row["waited_ns"] for row in locks),
                                                         reverse=True)
    assert list(total) == HALTS and (total["kind"], total["cpu"]) == ("pv.halts", "total")


def test_locks_taken_are_locks_released(counted):
    """The sync lock is taken once a round."""
    rounds, rows = flip(counted, lambda shell: shell.json("pv locks -n 129 -j"))
    taken = {row["name"]: row["taken"] for row in rows if row["kind"] == "pv.locks"}
    assert taken["sync"] == rounds


def test_a_group_is_shown_op_by_op(counted):
    *rows, = counted.json("pv stats lock -j")
    assert [row["op"] for row in rows] == [op for op in ("lock_slow", "lock_unlock", "lock_kick")
                                           for _ in range(5)]
    assert [row["cpu"] for row in rows] == [0, 1, 2, 3, "total"] * 3


def test_locks_shows_as_many_as_it_is_told(counted):
    rows = [row for row in counted.json("pv locks -n 2 -j") if row["kind"] == "pv.locks"]
    assert len(rows) == 2
    assert "pv locks: the first 2 of " in counted.run("pv locks -n 2")


def test_memory_comes_back(shell):
    """First the heap may take pages that it keeps."""
    def free():
        return shell.json("mem -j")[0]["free_bytes"]
    shell.run("pv backend counted; pv backend native; pv stats --clear")
    before = free()
    shell.run("pv backend counted")
    assert before - free() >= 4 * 40 * 1024
    shell.run("pv backend native")
    assert before - free() >= 4 * 40 * 1024  # what was counted can still be read
    shell.run("pv stats --clear")
    assert abs(free() - before) <= 16 * 1024  # others have memory, too


@pytest.mark.parametrize("line, culprit", [
    ("pv stats nosuch", "there is no op or group 'nosuch'"),
    ("pv stats eoi eoi", "pv stats: unexpected"),
    ("pv stats -n 3", "pv stats: unknown option '-n'"),
    ("pv locks sync", "pv locks: unexpected"),
    ("pv locks -n 0", "pv locks: -n: '0'"),
    ("pv locks -n 130", "pv locks: -n: '130'"),
    ("pv locks -n", "pv locks: -n"),
])
def test_bad_input_is_named(shell, line, culprit):
    assert culprit in shell.run(line)


@pytest.mark.parametrize("cpus", [1, 4])
def test_counted_from_boot_on(cpus):
    """Everything the kernel does from then on goes through the layer."""
    with Machine(f"pv-counted-{cpus}", cpus=cpus, command_line="pv=counted") as machine:
        assert "warning" not in machine.wait_prompt()
        time.sleep(0.2)  # at the prompt all CPUs halt
        rows = {row["op"]: row for row in machine.json("pv stats -j")}
        assert all(row["counted"] for row in rows.values())
        assert rows["safe_halt"]["n"] > 0 and rows["eoi"]["n"] > 0
        assert "ok 1 static_key" in machine.run("test static_key", 60)
        assert machine.exit() == ALL_OK


def test_without_counts_it_fails():
    with Machine("pv-uncounted", cpus=1, command_line='run="pv locks; exit"') as machine:
        assert machine.exit_status(60) == SOME_FAILED
