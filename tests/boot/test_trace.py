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


def record(shell):
    """Records some calls, and returns what `trace` and `trace dump` say of them."""
    change(shell, "trace on thread_copy_row mutex_lock")
    shell.run("threads")
    change(shell, "trace off")
    return recorded(shell)


def recorded(shell):
    status, = shell.json("trace -j")
    calls, losses = events(shell, 100)
    assert status["recorded"] == sum(row["recorded"] for row in losses)
    return status, calls, losses


def test_naive_is_refused_and_drops_nothing(traced):
    before = record(traced)
    assert before[0]["recorded"] > 0
    traced.run("protocol naive --unsafe")
    try:
        for command in "trace on trace_field_100", "trace on --records 16384":
            text = traced.run(command)
            assert "trace on: protocol is unsafe" in text and "first: protocol int3-batch" in text
    finally:
        traced.run("protocol int3-batch")
    assert recorded(traced) == before


def test_off_is_refused_under_naive_by_what_would_do(traced):
    change(traced, "trace on mutex_lock")
    traced.run("protocol naive --unsafe")
    text = traced.run("trace off")
    traced.run("protocol int3-batch")
    assert text.startswith("trace off: protocol is unsafe") and "protocol int3-batch" in text


def test_a_new_trace_begins_empty(traced):
    assert record(traced)[0]["recorded"] > 0
    change(traced, "trace on trace_field_100")
    assert recorded(traced)[0]["recorded"] == 0
    traced.run("trace off")
    assert record(traced)[0]["recorded"] > 0
    change(traced, "trace on trace_field_100 --records 8192")
    status, calls, _ = recorded(traced)
    assert (status["recorded"], status["records_per_cpu"], calls) == (0, 8192, [])
    traced.run("trace off")
    change(traced, "trace on trace_field_100")
    assert recorded(traced)[0]["records_per_cpu"] == 8192  # as the help says: as before


def test_free_gives_the_rings_back(traced):
    record(traced)
    free = traced.json("mem -j")[0]["free_bytes"]
    traced.run("trace on mutex_lock")
    assert traced.run("trace free").startswith("trace free: functions are traced")
    traced.run("trace off")
    status, = traced.json("trace free -j")
    assert (status["kind"], status["recorded"], status["records_per_cpu"]) == ("trace", 0, 0)
    assert traced.json("mem -j")[0]["free_bytes"] >= free + CPUS * 4096 * 32
    assert traced.run("trace dump").strip() == "(none)"
    assert traced.json("trace free -j") == [status]
    assert record(traced)[0]["records_per_cpu"] == 4096


def test_ipis_carry_the_stack_of_their_sender(traced):
    assert traced.json("trace ipi on -j")[0]["ipi"] is True
    traced.run("key bench_4 on")
    assert traced.json("trace ipi off -j")[0]["ipi"] is False
    traced.run("key bench_4 off")
    rows = [row for row in traced.json("trace dump ipi -n 1000 -j") if row.get("what") == "sync"]
    times = [row["time_ns"] for row in rows]
    assert times == sorted(times)
    flip = [row for row in rows if any(frame.startswith("key_run+") for frame in row["stack"])]
    assert len(flip) == 3
    # Those of the switch itself: its sends run into its own int3s, which act as the new branch.
    assert sum(any(frame.startswith("ipi_run+") for frame in row["stack"]) for row in rows) == 3
    for row in flip:
        assert (row["kind"], row["to"], row["targets"]) == ("trace.ipi", "all", CPUS - 1)
        names = [frame.split("+")[0] for frame in row["stack"]]
        positions = [names.index(name) for name in (
            "three_steps_apply", "patch_batch_apply_locked", "key_run", "shell_execute")]
        assert positions == sorted(positions)
    text = traced.run("trace dump ipi -n 1")
    assert len(re.findall(r"^    => \w[\w.]*\+0x[0-9a-f]+\r?$", text, re.MULTILINE)) > 5
    assert "trace.ipi" not in traced.run("trace dump -j")  # only when asked for


def test_overwritten_ipis_are_counted(traced):
    def losses():
        return [row for row in traced.json("trace dump ipi -n 1000 -j")
                if row["kind"] == "trace.ipi.cpu"]
    before = losses()
    traced.run("trace ipi on")
    for _ in range(8):
        traced.run("; ".join(("key bench_4 on; key bench_4 off",) * 2))
    traced.run("trace ipi off")
    after = losses()
    assert [row["cpu"] for row in after] == list(range(CPUS))
    assert sum(row["recorded"] for row in after) >= sum(row["recorded"] for row in before) + 96
    for row in after:
        assert (row["kept"], row["overwritten"]) == (min(row["recorded"], 64),
                                                     max(row["recorded"] - 64, 0))
    assert sum(row["overwritten"] for row in after) > 0
    rows = traced.json("trace dump ipi -n 1000 -j")
    assert sum(row["kind"] == "trace.ipi" for row in rows) == sum(row["kept"] for row in after)


def test_a_key_with_two_users_is_named(traced):
    traced.run("trace ipi on; key ipi_trace inc")
    text = traced.run("trace ipi off")
    traced.run("key ipi_trace dec")
    assert "key ipi_trace: key has more than one user" in text


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
    record(traced)
    newest, before = traced.json("pokes -n 1 -j"), recorded(traced)
    text = traced.run(command)
    assert complaint in text and text.startswith("trace")
    assert traced.json("pokes -n 1 -j") == newest and recorded(traced) == before


def test_list_names_functions_alone(traced):
    names = states(traced, "*")
    for name in ("boot_gdt", "message_loader", "boot_start.halt", "text_start", "nopatch_end",
                 "__x86_indirect_thunk_rax.plain"):
        assert name not in names
    assert {names[name] for name in ("boot_start", "context_switch")} == {"none"}
    addresses = [row["addr"] for row in traced.json("trace list -j")]
    assert len(set(addresses)) == len(addresses)


def test_suites_refuse_to_run_while_functions_are_traced(traced):
    traced.run("trace on mutex_lock")
    assert "functions are traced" in traced.run("test memory")


def test_suites_keep_what_was_recorded(traced):
    """And the suite trace, whose rings are its own, finds the memory as it left it."""
    before = record(traced)
    assert before[0]["recorded"] > 0
    text = traced.run("test trace", 120)
    assert "not ok" not in text and "fail:0" in text
    assert recorded(traced) == before


def test_a_cpu_that_may_be_recording_is_named():
    """Nothing is dropped meanwhile, and nobody waits for longer than they were told to."""
    with Machine("trace-silent", command_line="sync_timeout_ms=1000 dyncall=off") as machine:
        machine.wait_prompt()
        before = record(machine)
        assert before[0]["recorded"] > 0
        for command in ("trace dump", "trace on mutex_lock", "trace free", "test memory"):
            if not machine.json("spin -j"):  # the first time, and where the host is slow
                machine.run("spin 2 9000 --no-interrupts")
            text = machine.run(command)
            name = "test" if command.startswith("test") else " ".join(command.split()[:2])
            assert f"{name}: cpu 2 does not answer" in text, text
        while machine.json("spin -j"):
            machine.run("threads")
        assert recorded(machine) == before
        assert machine.exit() == SOME_FAILED


def test_a_small_machine_traces_too():
    with Machine("trace-small", cpus=2, memory="16M") as machine:
        machine.wait_prompt()
        assert "trace.change" in machine.run("trace on -j")
        machine.run("threads; trace off")
        assert len(machine.json("trace dump -n 5 -j")) == 5 + 2
        free, before = machine.json("mem -j")[0]["free_bytes"], recorded(machine)
        text = machine.run("trace on --records 1048576")
        assert "trace on: out of memory for 1048576 records on each of 2 CPUs; trace free" in text
        assert recorded(machine) == before and before[0]["recorded"] > 0
        assert machine.json("mem -j")[0]["free_bytes"] == free
        machine.run("trace free")
        text = machine.run("trace on --records 1048576")
        assert "on each of 2 CPUs" in text and "trace free" not in text
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
    assert all(int(ns) < 4000000 for ns in texts[0])
