# SPDX-License-Identifier: MIT
"""`trace`: functions on and off by pattern, what was recorded, IPIs with stacks, and refusals.

Order and completeness of what is recorded is the suite trace's; here it is what a user sees. The
machine is shared: every test turns off what it turned on. Callers: make test.
"""

import re

import pytest

from machine import ALL_OK, SOME_FAILED, Machine, icount

CPUS = 4


@pytest.fixture
def traced(shell):
    """The shell of the shared machine; nothing is traced before and behind."""
    yield shell
    shell.run("trace off; trace ipi off")
    status, = shell.json("trace -j")
    assert (status["on"], status["recording"], status["ipi"]) == (0, False, False)


def change(shell, command, timeout=None):
    """Runs a trace on or off; returns what it changed, which must be consistent."""
    row, = shell.json(f"{command} -j", timeout)
    assert row["kind"] == "trace.change" and row["functions"] <= row["matched"]
    assert row["ipis"] == row["rounds"] * (CPUS - 1)
    return row


def states(shell, pattern):
    """Returns {function: state} of what matches."""
    rows = shell.json(f"trace list {pattern} -j")
    assert {row["kind"] for row in rows} == {"trace.function"}
    return {row["function"]: row["state"] for row in rows}


def events(shell, count):
    """Returns the newest events, sorted by time as they must be, and what each CPU lost."""
    rows = shell.json(f"trace dump -n {count} -j", 60)
    calls = [row for row in rows if row["kind"] == "trace.event"]
    assert [row["time_ns"] for row in calls] == sorted(row["time_ns"] for row in calls)
    assert len(calls) <= count
    return calls, [row for row in rows if row["kind"] == "trace.cpu"]


def test_all_functions_take_three_rounds_and_come_off_again(traced):
    total, = traced.json("trace -j")
    on = change(traced, "trace on", 60)
    assert on["functions"] == on["matched"] == on["on_now"] == total["functions"] >= 1000
    assert (on["batches"], on["rounds"]) == (1, 3)
    calls, losses = events(traced, 200)
    assert len(calls) == 200
    assert [row["cpu"] for row in losses] == list(range(CPUS))
    for row in losses:
        assert row["recorded"] == row["kept"] + row["overwritten"]
    again = change(traced, "trace on", 60)
    assert (again["functions"], again["batches"], again["rounds"]) == (0, 0, 0)
    off = change(traced, "trace off", 60)
    assert (off["functions"], off["on_now"], off["rounds"]) == (total["functions"], 0, 3)
    # The suites begin with: text is as it was at boot.
    assert "fail:0" in traced.run("test memory", 60)


def test_a_chunk_is_a_batch(traced):
    on = change(traced, "trace on trace_field_[1-4]* --chunk 150")
    assert (on["functions"], on["batches"], on["rounds"]) == (400, 3, 9)
    off = change(traced, "trace off trace_field_[12]* --chunk=200")
    assert (off["functions"], off["batches"], off["on_now"]) == (200, 1, 200)


def test_patterns_choose_and_add(traced):
    change(traced, "trace on thread_for_* thread_copy_row")
    change(traced, "trace on mutex_lock")
    assert states(traced, "mutex_*lock") == {"mutex_lock": "on", "mutex_unlock": "off"}
    assert states(traced, "*panic_from_trap") == {"panic_from_trap": "nopatch"}
    assert states(traced, "context_switch") == {"context_switch": "none"}
    assert set(states(traced, "thread_?o[!a-oq-z]y_row").values()) == {"on"}
    change(traced, "trace off thread_*")
    assert states(traced, "thread_for_each")["thread_for_each"] == "off"
    assert states(traced, "mutex_lock") == {"mutex_lock": "on"}


def test_dump_shows_the_calls_of_a_command_in_order(traced):
    change(traced, "trace on thread_for_each thread_copy_row")
    threads = len(traced.json("threads -j"))
    calls, losses = events(traced, 1000)
    assert [row["function"] for row in calls] == ["thread_for_each"] + threads * ["thread_copy_row"]
    assert calls[0]["caller"].startswith("threads_run+0x")
    assert {row["caller"].split("+")[0] for row in calls[1:]} == {"thread_for_each"}
    assert len({row["cpu"] for row in calls}) == 1
    assert sum(row["overwritten"] for row in losses) == 0
    again, _ = events(traced, 1000)
    assert again == calls  # a dump records nothing
    newest, _ = events(traced, 2)
    assert newest == calls[-2:]
    text = traced.run("trace dump -n 1")
    assert re.search(r"time_us +cpu +function +caller\s+\d+\.\d{3} +\d +thread_copy_row", text)
    assert re.search(r"cpu +recorded +kept +overwritten", text)


def test_a_full_ring_counts_what_it_lost(traced):
    change(traced, "trace on thread_copy_row --records 128")
    status, = traced.json("trace -j")
    assert status["records_per_cpu"] == 128
    for _ in range(30):
        traced.run("threads")
    calls, losses = events(traced, 1000)
    assert sum(row["overwritten"] for row in losses) > 0
    assert len(calls) == sum(row["kept"] for row in losses)
    assert {row["function"] for row in calls} == {"thread_copy_row"}
    assert "rings hold 128" in traced.run("trace on mutex_lock --records 4096")
    traced.run("trace off")
    change(traced, "trace on mutex_lock --records 3000")
    assert traced.json("trace -j")[0]["records_per_cpu"] == 4096


@pytest.mark.parametrize("protocol, rounds", [("stop", 1), ("int3", 3 * 4)])
def test_other_protocols_trace(traced, protocol, rounds):
    traced.run(f"protocol {protocol}")
    try:
        assert change(traced, "trace on trace_field_10[0-3]")["rounds"] == rounds
        assert change(traced, "trace off")["rounds"] == rounds
    finally:
        traced.run("protocol int3-batch")


def test_naive_is_refused(traced):
    traced.run("protocol naive --unsafe")
    try:
        assert "trace on: protocol is unsafe" in traced.run("trace on trace_field_100")
    finally:
        traced.run("protocol int3-batch")


def test_ipis_carry_the_stack_of_their_sender(traced):
    traced.run("trace ipi on; key bench_4 on; trace ipi off; key bench_4 off")
    rows = [row for row in traced.json("trace dump ipi -j") if row["what"] == "sync"]
    times = [row["time_ns"] for row in rows]
    assert times == sorted(times)
    flip = [row for row in rows if any(frame.startswith("key_run+") for frame in row["stack"])]
    assert len(flip) == 3
    for row in flip:
        assert (row["kind"], row["to"], row["targets"]) == ("trace.ipi", "all", CPUS - 1)
        names = [frame.split("+")[0] for frame in row["stack"]]
        positions = [names.index(name) for name in (
            "three_steps_apply", "patch_batch_apply_locked", "key_run", "shell_execute")]
        assert positions == sorted(positions)
    text = traced.run("trace dump ipi -n 1")
    assert len(re.findall(r"^    => \w[\w.]*\+0x[0-9a-f]+\r?$", text, re.MULTILINE)) > 5
    assert "trace.ipi" in traced.run("trace dump -j")


@pytest.mark.parametrize("command, complaint", [
    ("trace on mutex_lokc", "no function matches 'mutex_lokc'; did you mean 'mutex_lock'?"),
    ("trace on mutex_lock zzzzzz", "no function matches 'zzzzzz'"),
    ("trace on panic", "'panic' is in .text.nopatch"),
    ("trace on nmi_handl?", "'nmi_handl?' is in .text.nopatch"),
    ("trace off trace_ring_add", "'trace_ring_add' is in .text.nopatch"),
    ("trace on context_switch", "'context_switch' has no entry"),
    ("trace on [a", "'[a': a '[' lacks its ']'"),
    ("trace list [a", "'[a': a '[' lacks its ']'"),
    ("trace list zzzzzz", "no function matches 'zzzzzz'"),
    ("trace on --chunk 0", "--chunk"),
    ("trace on --chunk 4097", "--chunk"),
    ("trace on --records 3", "--records"),
    ("trace off --records 4096", "--records"),
    ("trace dump -n 0", "-n"),
    ("trace dump nonsense", "'nonsense'"),
    ("trace ipi", "argument missing"),
    ("trace ipi maybe", "'maybe'"),
    ("trace nonsense", "'nonsense'"),
    ("trace -x", "-x"),
])
def test_bad_input_is_named_and_changes_nothing(traced, command, complaint):
    newest = traced.json("pokes -n 1 -j")
    text = traced.run(command)
    assert complaint in text and text.startswith("trace")
    assert traced.json("pokes -n 1 -j") == newest


def test_suites_refuse_to_run_while_functions_are_traced(traced):
    traced.run("trace on mutex_lock")
    assert "functions are traced" in traced.run("test memory")


def test_a_small_machine_traces_too():
    with Machine("trace-small", cpus=2, memory="16M") as machine:
        machine.wait_prompt()
        assert "trace.change" in machine.run("trace on -j")
        machine.run("threads; trace off")
        assert len(machine.json("trace dump -n 5 -j")) == 5 + 2
        free = machine.json("mem -j")[0]["free_bytes"]
        text = machine.run("trace on --records 1048576")
        assert "trace on: out of memory for 1048576 records on each of 2 CPUs" in text
        status, = machine.json("trace -j")
        assert (status["on"], status["records_per_cpu"]) == (0, 0)
        assert machine.json("mem -j")[0]["free_bytes"] > free  # the rings that there were are gone
        assert "trace.change" in machine.run("trace on mutex_lock -j")
        assert machine.exit() == SOME_FAILED


def test_figures_of_a_change_repeat():
    """In instructions; a bar far above what it takes, far below a walk that is quadratic."""
    texts = []
    for run in range(2):
        with Machine(f"trace-icount-{run}", timeout=120, **icount(),
                     command_line='run="trace on -j; trace off -j; exit"') as machine:
            assert machine.exit_status(120) == ALL_OK
            texts.append(re.findall(r'"total_ns":(\d+)', machine.text))
    assert texts[0] == texts[1] and len(texts[0]) == 2
    assert all(int(ns) < 2000000 for ns in texts[0])
