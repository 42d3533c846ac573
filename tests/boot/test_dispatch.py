# SPDX-License-Identifier: MIT
"""`dispatch` and `bench dispatch`: what a call of one of many programs costs, exactly.

In QEMU's deterministic mode a nanosecond is an instruction, so the clock and the kernel's count by
single steps are two witnesses of one number, and two boots give the same table. In multi-threaded
mode only the counts are asserted.
"""

import json

import pytest

from machine import ALL_OK, Machine, icount

FIELDS = {"kind", "entries", "shape", "traffic", "mitigation", "chosen", "instructions", "ns",
          "thunk_ns", "n", "min_ns", "p50_ns", "p99_ns", "max_ns"}
SHAPES = ["tree", "tree4", "linear", "linear-cold", "hot1", "hot2", "none"]
ALL = SHAPES + ["auto"]
TRAFFICS = ["first", "last", "round-robin", "burst", "zipf", "random", "miss"]
CONSTANT = {"first", "last", "miss"}
ENTRIES = [0, 1, 2, 16, 64]
EXACT = ("bench dispatch --entries 0,1,2,16,64 --traffic first,last,round-robin,zipf,miss "
         f"--shape {','.join(ALL)} --calls 5000 -j")
BLOCK = 1024
LOOP_ENTRY = 24  # instructions, at most: entering and leaving the loop; a block shares them
DIRECT, RETPOLINE = 3, 6  # call, mov, ret; and the thunk's call, mov, ret
PAIR, JUMP = 2, 1  # cmp and a conditional jump; jmp
NEAR = 0.05  # instructions a packet: a run may have one timer interrupt more in its polls


def boot_exact(name):
    with Machine(name, **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json(EXACT, 120)
        assert machine.exit() == ALL_OK
    return rows


@pytest.fixture(scope="module")
def exact_rows():
    return boot_exact("bench-dispatch-icount")


@pytest.fixture(scope="module")
def exact(exact_rows):
    """Instructions by (entries, shape, traffic)."""
    return {(row["entries"], row["shape"], row["traffic"]): row["instructions"]
            for row in exact_rows}


def but_for_the_slowest(rows):
    return [{name: row[name] for name in row.keys() - {"p99_ns", "max_ns"}} for row in rows]


def test_two_boots_measure_the_same(exact_rows):
    """To the digit. A worker of another CPU may wake up during one block of a row, when the host
    typed at that moment: then a third boot has the same slowest blocks as one of the others."""
    again = boot_exact("bench-dispatch-icount-again")
    assert but_for_the_slowest(again) == but_for_the_slowest(exact_rows)
    if again != exact_rows:
        assert boot_exact("bench-dispatch-icount-third") in (again, exact_rows)


def test_clock_and_single_steps_agree_on_constant_traffic(exact_rows):
    for row in exact_rows:
        if row["traffic"] in CONSTANT or row["entries"] == 1:
            assert row["ns"] == pytest.approx(row["instructions"], abs=LOOP_ENTRY / BLOCK), row


def test_without_a_dispatcher_all_that_is_left_is_the_thunk(exact):
    assert exact[0, "none", "miss"] == exact[0, "retpoline", "miss"] == RETPOLINE
    assert exact[0, "direct", "miss"] == exact[0, "indirect", "miss"] == DIRECT
    for entries in ENTRIES[1:]:
        for traffic in ("first", "round-robin", "miss"):
            assert exact[entries, "none", traffic] == RETPOLINE


@pytest.mark.parametrize("entries", ENTRIES[1:])
def test_a_tree_compares_once_a_level(exact, entries):
    levels = entries.bit_length() - 1
    hit, miss = DIRECT + PAIR * (levels + 1), RETPOLINE + PAIR * (levels + 1) + JUMP
    for traffic in ("first", "last", "round-robin", "zipf"):
        assert exact[entries, "tree", traffic] == hit
    assert exact[entries, "tree", "miss"] == miss


@pytest.mark.parametrize("entries", ENTRIES[1:])
def test_a_chain_compares_until_it_finds(exact, entries):
    """The hottest target comes first, whichever it is; a miss has seen them all."""
    for traffic in ("first", "last"):
        assert exact[entries, "linear", traffic] == DIRECT + PAIR
        assert exact[entries, "linear-cold", traffic] == DIRECT + PAIR * entries
    mean = DIRECT + PAIR * (entries + 1) / 2
    assert exact[entries, "linear", "round-robin"] == mean
    assert exact[entries, "linear-cold", "round-robin"] == mean
    for shape in ("linear", "linear-cold"):
        assert exact[entries, shape, "miss"] == RETPOLINE + PAIR * entries + JUMP


@pytest.mark.parametrize("shape, compares", [("hot1", 1), ("hot2", 2)])
def test_a_short_chain_gives_up_early(exact, shape, compares):
    for entries in ENTRIES[1:]:
        assert exact[entries, shape, "first"] == DIRECT + PAIR
        assert exact[entries, shape, "miss"] == RETPOLINE + PAIR * min(compares, entries) + JUMP


def test_zipf_likes_the_hottest_first(exact):
    for entries in ENTRIES[3:]:
        assert (exact[entries, "linear", "zipf"] < exact[entries, "linear", "round-robin"] <
                exact[entries, "linear-cold", "zipf"])


def test_auto_is_within_three_instructions_of_the_best_shape(exact_rows, exact):
    """Instructions are time here, and of programs that do nothing: the thunk, 6 of them, is never
    far from the best. Which shape must win by far is asked by the kernel's suite dispatcher_auto.
    """
    for row in exact_rows:
        if row["shape"] == "auto":
            entries, traffic = row["entries"], row["traffic"]
            best = min(exact[entries, shape, traffic] for shape in SHAPES)
            assert row["chosen"] in SHAPES
            assert row["instructions"] == exact[entries, row["chosen"], traffic]
            assert row["instructions"] <= best + 3, row
        else:
            assert row["chosen"] is None


def state(machine):
    """What a bench must leave as it found it, but for counts of what happened."""
    rows = machine.json("dispatch -j")
    for row in rows:
        for count in ("updates", "grace_periods", "generation", "sampled_hits", "sampled_misses"):
            del row[count]
    return rows, machine.run("calls bench"), machine.run("calls bench_sampled")


def test_rows_and_fields(shell):
    before = state(shell)
    rows = shell.json("bench dispatch --entries 0,1,4 --calls 2000 -j", 60)
    wanted = [(0, shape, "miss") for shape in ("direct", "indirect", "retpoline", "none")]
    for entries in 1, 4:
        for traffic in TRAFFICS:
            direct = ["direct"] if traffic in CONSTANT or entries == 1 else []
            for shape in direct + ["indirect", "retpoline"] + ALL:
                wanted.append((entries, shape, traffic))
    assert [(row["entries"], row["shape"], row["traffic"]) for row in rows] == wanted
    for row in rows:
        assert row.keys() == FIELDS and row["kind"] == "bench.dispatch"
        assert row["mitigation"] == "retpoline" and row["n"] == 2 * BLOCK
        assert row["min_ns"] <= row["p50_ns"] == row["ns"] <= row["p99_ns"] <= row["max_ns"]
    assert state(shell) == before


def test_the_thunk_is_named_by_its_mitigation(shell):
    shell.run("mitigation lfence")
    rows = shell.json("bench dispatch --entries 1 --shape tree --traffic miss --calls 1 -j")
    shell.run("mitigation retpoline")
    assert [row["shape"] for row in rows] == ["direct", "indirect", "thunk", "tree"]
    assert {row["mitigation"] for row in rows} == {"lfence"}


def test_ctrl_c_stops_it_and_everything_is_as_before(shell):
    before = state(shell)
    shell.send("bench dispatch --calls 100000 -j\r")
    shell.wait('"entries":1,"shape":"tree"')
    shell.send("\x03")
    shell.wait("bench dispatch: stopped by Ctrl-C")
    shell.wait_prompt()
    assert state(shell) == before


def test_an_empty_dispatcher_has_no_code(shell):
    assert "calls go to __x86_indirect_thunk_rdx" in shell.run("dispatch bench --code")
    assert shell.json("dispatch bench --code -j") == []
    assert shell.json("dispatch bench -j") == []


@pytest.mark.parametrize("shape", SHAPES)
def test_the_shape_is_kept(shell, shape):
    (row,) = shell.json(f"dispatch bench shape {shape} -j")
    assert (row["kind"], row["name"], row["shape"]) == ("dispatch", "bench", shape)
    shell.run("dispatch bench shape tree")
    (row,) = [row for row in shell.json("dispatch -j") if row["name"] == "bench"]
    assert row["shape"] == "tree"


def test_auto_is_switched_on_and_off(shell):
    (row,) = shell.json("dispatch bench shape auto -j")
    assert row["auto"] == "watching"
    (row,) = shell.json("dispatch bench shape tree -j")
    assert (row["auto"], row["shape"]) == ("off", "tree")


def test_a_decision_is_logged(shell):
    shell.run("bench dispatch --entries 8 --shape auto --traffic miss --calls 1", 60)
    *_, row = shell.json("dispatch bench log -j")
    assert (row["kind"], row["name"], row["entries"]) == ("dispatch.decision", "bench", 8)
    assert row["reason"] == "first" and row["samples"] > 0 and row["patches"] > 0
    assert row["before"] in SHAPES and row["after"] in SHAPES
    assert {f"{shape}_ns" for shape in SHAPES} < row.keys()


@pytest.mark.parametrize("line, culprit", [
    ("dispatch bench shape liner", "'liner' is not one of tree"),
    ("dispatch bench shape tree --code", "dispatch NAME --code"),
    ("dispatch bench shap", "'shap'"),
    ("dispatch bench log all", "takes nothing behind it, not 'all'"),
    ("bench dispatch --traffic rush", "'rush'"),
    ("bench dispatch extra", "extra"),
])
def test_bad_input_is_named(shell, line, culprit):
    assert culprit in shell.run(line)


def test_names_and_shapes_are_completed(shell):
    shell.send("dispatch ben\tsha\tlinear-\t\r")
    shell.wait("dispatch bench shape linear-cold")
    shell.wait_prompt()
    (row,) = shell.json("dispatch bench shape tree -j")
    assert row["shape"] == "tree"


UPDATES, UPDATE_CPUS, UPDATE_LIMIT_NS = 20, 4, 5_000_000
STEPS = 3  # of a batch: int3, tail, first byte
WRITE, ERASE, GRACE = 1, 1, 1  # rounds: behind an image, behind int3s, of a grace period


@pytest.fixture(scope="module")
def update_rows():
    """Rows by (entries, load, change)."""
    with Machine("bench-dispatch-updates", cpus=UPDATE_CPUS, **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json(f"bench dispatch --updates {UPDATES} --entries 0,1,16,63 -j", 120)
        assert machine.exit() == ALL_OK
    return {(row["entries"], row["load"], row["change"]): row for row in rows}


@pytest.mark.parametrize("load", ["idle", "busy"])
@pytest.mark.parametrize("entries", [1, 16, 63])
def test_an_update_costs_its_rounds(update_rows, entries, load):
    """To each of the other CPUs an IPI a round. To add: the image and the batch; the half that it
    writes is nobody's, for the removal before has waited; what there was before the rows has not,
    and the first addition waits for it. To remove: wait for who is in the half to be written; the
    image, the batch; wait for who may be in the program; erase the other half."""
    add, remove = (update_rows[entries, load, change] for change in ("add", "remove"))
    first = 1 / UPDATES if load == "idle" else 0
    assert add["grace_periods"] == pytest.approx(first, abs=0.001)
    assert add["ipis"] == pytest.approx((UPDATE_CPUS - 1) * (WRITE + STEPS + GRACE * first),
                                        abs=0.001)
    assert remove["grace_periods"] == 2
    assert remove["ipis"] == (UPDATE_CPUS - 1) * (GRACE + WRITE + STEPS + GRACE + ERASE)


@pytest.mark.parametrize("load", ["idle", "busy"])
def test_the_first_and_the_last_program_cost_less(update_rows, load):
    """An empty dispatcher has no image: to remove the last program writes none."""
    add, remove = (update_rows[0, load, change] for change in ("add", "remove"))
    assert (add["grace_periods"], remove["grace_periods"]) == (0, 1)
    assert add["ipis"] == (UPDATE_CPUS - 1) * (WRITE + STEPS)
    assert remove["ipis"] == (UPDATE_CPUS - 1) * (STEPS + GRACE + ERASE)


def test_an_update_takes_less_than_five_milliseconds(update_rows):
    """The bar; an instruction is a nanosecond here, so IPIs and waits are what is measured."""
    assert len(update_rows) == 4 * 2 * 2
    for row in update_rows.values():
        assert row["n"] == UPDATES and row["cpus"] == UPDATE_CPUS
        assert row["p50_ns"] < UPDATE_LIMIT_NS, row


NET_WORDS = ["0", "1", "2", "4", "8", "16", "32", "64", "full"]
NET = f"bench net --memory --packets 20000 --entries {','.join(NET_WORDS)} -j"


def json_rows(text):
    """A full dispatcher is logged as well."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def net_rows():
    """Seed 3's table, exactly: rows by the word of --entries, for both ways to choose a shape."""
    with Machine("bench-net-entries-icount", cpus=2, **icount()) as machine:
        machine.wait_prompt()
        tables = {shape: json_rows(machine.run(f"{NET} --shape {shape}", 120))
                  for shape in ("tree", "auto")}
        before = state(machine)
        assert {row["entries"] for row in before[0]} == {0}
        assert machine.exit() == ALL_OK
    for rows in tables.values():
        assert [row["entries"] for row in rows] == [0, 1, 2, 4, 8, 16, 32, 64, 64]
        assert [row["traffic"] for row in rows] == ["miss"] + ["hit"] * 7 + ["miss"]
    return {shape: dict(zip(NET_WORDS, rows)) for shape, rows in tables.items()}


def test_a_packet_pays_for_each_level_of_the_tree(net_rows):
    """Against the fallback alone: the thunk saved, a level more for each doubling."""
    rows = net_rows["tree"]
    for level, word in enumerate(NET_WORDS[1:-1]):
        more = rows[word]["cycles_per_packet"] - rows["0"]["cycles_per_packet"]
        assert more == pytest.approx(DIRECT - RETPOLINE + PAIR * (level + 1), abs=NEAR)
    assert rows["full"]["cycles_per_packet"] > rows["64"]["cycles_per_packet"]


def test_a_full_dispatcher_that_chose_by_itself_costs_at_most_two_percent(net_rows):
    """The bar is 2 %; the seed's is 1 %."""
    rows = net_rows["auto"]
    assert rows["full"]["rate_pps"] >= 0.98 * rows["0"]["rate_pps"]


@pytest.mark.parametrize("line, culprit", [
    ("bench net --memory --mode sink --entries 1", "--entries goes with --mode drop alone"),
    ("bench net --memory --shape tree", "of a dispatcher with which --entries?"),
    ("bench net --memory --entries 3", "'3'"),
])
def test_bad_words_of_bench_net_are_named(shell, line, culprit):
    assert culprit in shell.run(line)


def test_the_code_in_use_is_shown_with_names(shell):
    """A tree of four: three inner nodes, four leaves; every target an entry, every way out the
    fallback."""
    shell.run("prog enter gen0-gen3; dispatch receive shape tree")
    entries = shell.json("dispatch receive -j")
    code = shell.json("dispatch receive --code -j")
    shell.run("prog leave all; dispatch receive shape auto")
    assert [row["kind"] for row in entries] == ["dispatch.entry"] * 4
    assert sorted(row["rank"] for row in entries) == [1, 2, 3, 4]
    names = [row["insn"].split()[0] for row in code]
    assert [names.count(name) for name in ("cmp", "jg", "je", "jmp")] == [7, 3, 4, 4]
    assert [row["target"] for row in code if row["insn"].startswith("je")] == [
        row["target"] for row in entries]
    assert {row["target"] for row in code if row["insn"].startswith("jmp")} == {
        "__x86_indirect_thunk_rdx"}
    address = int(code[0]["address"], 16)
    for row in code:
        assert (row["kind"], int(row["address"], 16)) == ("dispatch.code", address)
        address += len(bytes.fromhex(row["bytes"]))
