# SPDX-License-Identifier: MIT
"""`bench pv`: what paravirt ops cost in each form, and what it costs to change them.

The bars of the project, exactly: an inlined op costs the instructions of the native copy; a direct
one a call and a return more. In QEMU's deterministic mode a nanosecond is an instruction, so the
clock and the kernel's count by single steps are two witnesses of one number.
"""

import json

import pytest

from machine import ALL_OK, Machine, icount

FORMS = ["native copy", "indirect", "direct", "inline"]
# Sites a pass executes; of those, the ones of irq_save, whose function moves its return address.
OPS = {"lock-pair": (1, 0), "lock-save-restore": (4, 1), "irq-save": (1, 1),
       "irq-disable": (1, 0), "irq-enable-disable": (2, 0), "irq-save-restore": (3, 1),
       "lock-kick": (1, 0), "tlb-flush-page": (1, 0), "eoi": (1, 0), "clock-read": (1, 0)}
FUNCTIONS = {"clock-read"}  # by nature: a call even inline
NATIVE_BYTES = {"lock-pair": 3, "lock-save-restore": 1 + 1 + 3 + 1, "irq-save": 1, "irq-disable": 1,
                "irq-enable-disable": 2, "irq-save-restore": 3, "lock-kick": 1,
                "tlb-flush-page": 3, "eoi": 6, "clock-read": 5}
SITE = 6       # bytes
LOOP_ENTRY = 20 / 1000  # instructions: entering and leaving the loop; a block shares them
FIELDS = {"kind", "op", "form", "way", "sites", "code_bytes", "instructions", "bytes",
          "over_native", "ns", "n", "min_ns", "p50_ns", "p99_ns", "max_ns"}
SWITCH_FIELDS = {"kind", "change", "load", "cpus", "ops", "sites", "rounds", "ipis", "traps", "n",
                 "min_ns", "p50_ns", "p99_ns", "max_ns"}
CHANGES = ["inline to indirect", "indirect to direct", "direct to inline", "backend to counted",
           "counted to backend"]


def by_op(rows):
    assert [(row["op"], row["form"]) for row in rows] == [(op, form) for op in OPS
                                                          for form in FORMS]
    return {op: {row["form"]: row for row in rows if row["op"] == op} for op in OPS}


@pytest.fixture(scope="module")
def exact():
    """The rows in deterministic mode, by op and form."""
    with Machine("bench-pv-icount", **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json("bench pv --calls 5000 -j", 120)
        switches = machine.json("bench pv --switch -n 5 -j", 120)
        assert machine.exit() == ALL_OK
    return {"switches": switches, **by_op(rows)}


@pytest.mark.parametrize("op", OPS)
def test_an_inlined_op_is_the_native_copy(exact, op):
    """The bar: difference 0."""
    inline, native = exact[op]["inline"], exact[op]["native copy"]
    assert inline["instructions"] == native["instructions"] > 0
    assert inline["over_native"] == native["over_native"] == 0
    assert inline["ns"] == pytest.approx(native["ns"], abs=LOOP_ENTRY)


@pytest.mark.parametrize("op", OPS)
def test_a_direct_op_is_a_call_and_a_return_more(exact, op):
    """Twice a site; what leaves its result on the stack also moves its return address: push, pop.
    The native copy of a function is a call as well."""
    sites, stacked = OPS[op]
    more = 0 if op in FUNCTIONS else 2 * sites + 2 * stacked
    for form in "direct", "indirect":
        assert exact[op][form]["over_native"] == more
        assert exact[op][form]["ns"] == pytest.approx(exact[op]["native copy"]["ns"] + more,
                                                      abs=LOOP_ENTRY)


@pytest.mark.parametrize("op", OPS)
def test_clock_and_single_steps_agree(exact, op):
    for row in exact[op].values():
        assert row["ns"] == pytest.approx(row["instructions"], abs=LOOP_ENTRY), row
        assert row["min_ns"] == row["p50_ns"] == row["ns"] <= row["p99_ns"] <= row["max_ns"]


@pytest.mark.parametrize("op", OPS)
def test_code_bytes_are_those_of_the_text(exact, op):
    """Inlined or built in, what stands there is all that is executed."""
    inline, native = exact[op]["inline"], exact[op]["native copy"]
    assert native["code_bytes"] == NATIVE_BYTES[op] and native["sites"] == 0
    assert inline["code_bytes"] == SITE * inline["sites"] == SITE * OPS[op][0]
    assert inline["bytes"] - native["bytes"] == inline["code_bytes"] - native["code_bytes"]


def test_a_switch_takes_less_than_10_ms(exact):
    """The bar, where a nanosecond is an instruction of any CPU; all of them lock and unlock."""
    for row in exact["switches"]:
        assert row["cpus"] == 4 and row["max_ns"] < 10_000_000, row


def test_rows_and_fields(shell):
    rows = shell.json("bench pv --calls 1500 -j", 120)
    for row in rows:
        assert row.keys() == FIELDS and row["kind"] == "bench.pv" and row["way"] == "native"
        assert row["n"] == 2000  # whole blocks
        assert row["min_ns"] <= row["p50_ns"] == row["ns"] <= row["p99_ns"] <= row["max_ns"]
    for forms in by_op(rows).values():
        assert forms["inline"]["over_native"] == 0


def test_only_what_was_named(shell):
    rows = shell.json("bench pv --op eoi,irq-save --calls 1000 -j", 60)
    assert [row["op"] for row in rows] == ["irq-save"] * 4 + ["eoi"] * 4
    assert "'nosuch'" in shell.run("bench pv --op nosuch")


def test_a_switch_of_all_ops_is_three_rounds(shell):
    """The bar: 3 rounds, hundreds of sites, also while all CPUs lock and unlock."""
    text = shell.run("bench pv --switch -n 3 -j", 120)  # and what is logged, on a crowded host
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [(row["load"], row["change"]) for row in rows] == [(load, change)
                                                              for load in ("idle", "busy")
                                                              for change in CHANGES]
    for row in rows:
        assert row.keys() == SWITCH_FIELDS and row["kind"] == "bench.pv.switch"
        assert row["rounds"] == 3 and row["n"] == 3 and row["ops"] == 15
        assert row["ipis"] == 3 * (row["cpus"] - 1)
        assert 200 < row["sites"] < 1000, row
        assert row["min_ns"] <= row["p50_ns"] <= row["p99_ns"] <= row["max_ns"]
    # What is a function stays a call.
    assert rows[2]["sites"] < rows[0]["sites"] == rows[1]["sites"] == rows[3]["sites"]


@pytest.mark.parametrize("prepare, undo", [
    ("pv form direct", "pv form inline"),
    ("pv form indirect", "pv form inline"),
    ("pv op eoi counted; pv op lock counted; pv form direct", "pv backend native; pv form inline"),
])
def test_forms_and_backends_are_put_back(shell, prepare, undo):
    shell.run(prepare)
    before = shell.run("pv -j")
    for command in ("bench pv --op eoi --calls 1000", "bench pv --switch --load idle -n 1"):
        shell.run(command, 60)
        assert shell.run("pv -j") == before
    shell.run(undo)
    assert shell.run("pv -j") != before


def test_a_backend_is_measured_as_it_is(shell):
    """Not native: no copy to be compared with, so it costs more."""
    shell.run("pv op eoi counted")
    rows = shell.json("bench pv --op eoi,irq-save --calls 1000 -j", 60)
    shell.run("pv backend native")
    native, *_, inline = (row for row in rows if row["op"] == "eoi")
    assert native["way"] == "native" != inline["way"] and inline["over_native"] > 10
    assert all(row["way"] == "native" for row in rows if row["op"] == "irq-save")


def test_ctrl_c_stops_it(shell):
    shell.send("bench pv --switch -n 100000\r")
    shell.wait("--switch")
    shell.send("\x03")
    shell.wait("bench pv: stopped by Ctrl-C", 60)
    shell.wait_prompt()


def listed(rows, form):
    return {row["symbol"]: row for row in rows if row["form"] == form}


def test_seed_4_from_this_kernels_own_text():
    """Published: a call becomes a direct call and a nop. Here each form is one instruction, so the
    instructions around a site stand where they stood, in all three."""
    with Machine("bench-seed-4", cpus=1, **icount()) as machine:
        machine.wait_prompt()
        before = machine.run("pv -j")
        text = machine.run("bench seeds --listing -j", 120)
        assert machine.run("pv -j") == before
        assert machine.exit() == ALL_OK
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    figures = [(row["published_before"], row["published_after"], row["measured_before"],
                row["measured_after"]) for row in rows
               if row["kind"] == "bench.seed" and row["seed"] == 4 and row["unit"] != "ps"]
    assert figures == [(7, 7, 6, 6), (1, 2, 1, 1), (None, None, 2, 0), (None, None, 10, 0)]
    lines = [row for row in rows if row["kind"] == "bench.seed.paravirt"]
    built, direct, inline = (listed(lines, form) for form in ("as built", "direct", "inline"))
    assert list(built) == list(direct) == list(inline)
    sites = [symbol for symbol, row in built.items() if row["bytes"].startswith("ff15")]
    assert [symbol.split("+")[0] for symbol in sites] == ["thread_count"] * 5
    insns = [inline[symbol]["insn"].split()[0] for symbol in sites]
    assert insns[:2] == ["pushfq", "cli"] and sorted(insns[2:]) == ["call", "incl", "sti"]
    for symbol, row in built.items():
        if symbol not in sites:
            assert row["bytes"] == direct[symbol]["bytes"] == inline[symbol]["bytes"]
            continue
        assert direct[symbol]["bytes"].startswith("2ee8")
        assert direct[symbol]["target"] == row["target"] != "-"
        assert len(row["bytes"]) == len(inline[symbol]["bytes"]) == 2 * SITE


def test_seed_4_shows_its_sites(shell):
    text = shell.run("bench seeds", 120)
    assert text.count("thread_count+") == 15
    assert "__ticket_spin_lock" in text
