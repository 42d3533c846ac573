# SPDX-License-Identifier: MIT
"""What tools rely on: the JSON of every table, exact counts, and figures that repeat.

The kernel's own IPI counters are not taken on trust: QEMU's trace of local-APIC writes is the
witness.
"""

import json
import re
import time

import pytest

from machine import ALL_OK, LOGS, Machine, icount

HISTOGRAM = "min_ns p50_ns p99_ns max_ns"
FIELDS = {
    "ver -j": ("ver", "name version cpus apic tsc_hz"),
    "cpus -j": ("cpu", "id apic_id online ipis_sent ipis_received traps"),
    "mem -j": ("mem", "total_bytes free_bytes"),
    "threads -j": ("thread", "id name cpu state"),
    "log -j": ("log", "time_ns level text"),
    "keys -j": ("key", "name enabled count sites"),
    "key bench_8 -j": ("key", "name enabled count sites"),
    "sites bench_8 -j": ("site", "key addr symbol len bytes insn"),
    "pokes -j": ("poke",
                 "seq who caller protocol sites quadwords bytes rounds ipis traps total_ns "
                 "step_ns"),
    "protocol -j": ("protocol", "name default strict unsafe allowed_unsafe rounds ipis "
                    "summary limits"),
    "mitigation -j": ("mitigation", "name current thunks sites rounds ipis summary"),
    "mitigation --thunks -j": ("mitigation.thunk", "name address bytes instruction target"),
    "pv form inline -j": ("pv.change", "what ops"),
    "dispatch -j": ("dispatch", "name entries references shape auto image_bytes sampled_hits "
                    "sampled_misses updates grace_periods refused fallback generation"),
    "dyncall -j": ("dyncall", "name slots sites form state why hits misses nulls epochs changes "
                   "batches ipis grace_periods rounds cost_ns failed refused forgotten memory "
                   "targets"),
    "trace -j": ("trace", "functions on recording records_per_cpu recorded overwritten ipi"),
    "trace list mutex_lock -j": ("trace.function", "function addr state"),
    "trace off -j": ("trace.change", "change matched functions on_now batches rounds ipis traps "
                     "total_ns"),
    "spin 1 1 -j": ("spin", "cpu left_ms interrupts"),
    "bench ipi -n 20 -j": ("bench.ipi", f"what peer n {HISTOGRAM}"),
    "bench pv --switch --load idle -n 1 -j": (
        "bench.pv.switch", f"change load cpus ops sites rounds ipis traps n {HISTOGRAM}"),
    "bench grace -n 20 -j": ("bench.grace", f"peers n {HISTOGRAM}"),
    "bench dispatch --updates 2 --entries 1 -j": (
        "bench.dispatch.update", "change entries load cpus n ipis grace_periods min_ns p50_ns "
        "p99_ns max_ns"),
    "bench dyncall --learning --sequence constant --slots 1 -j": (
        "bench.dyncall.learning", "sequence slots phase state reason epochs updates batches rounds "
        "grace_periods ipis updates_per_s ipis_per_s time_ns"),
    "bench lazy --sites 1,56 -j": ("bench.lazy", "form sites cpus batches rounds ipis slow_calls "
                                   "reported overflowed time_ns"),
    "bench net --memory --packets 1000 -j": (
        "bench.net", "nic driver mode mitigation dyncall entries traffic shape duration_ms packets "
        "rate_pps min_pps max_pps cycles_per_packet received interrupts polls "
        "interrupts_per_packet polls_per_packet doorbells"),
    "prog -j": ("prog", "name code address bytes users entered in_dispatcher runs attached "
                "summary"),
    "prog hook -j": ("prog.hook", "nic way dyncall"),
    "prog enter gen9 -j; prog leave gen9 -j; prog unload gen9 -j": (
        "prog.change", "change what programs in_dispatcher entries time_ns"),
    "bench poke --sites 1,8 --flips 2 -j": (
        "bench.poke", "protocol sites cpus load busy flips rounds_per_flip ipis_per_flip traps "
        f"handler_p50_ns stolen_ns stolen_max_ns wrong_passes placement {HISTOGRAM}"),
}
FIELDS["bench poke --hold tail --hold-ms 1 -j"] = (
    "bench.hold", "protocol step moment cpu holds rounds old emulated new mixed")
MAY_BE_UNKNOWN = {"handler_p50_ns", "stolen_ns", "stolen_max_ns"}  # null, never a made-up 0
BATCH = "int3-batch"


@pytest.mark.parametrize("command", FIELDS)
def test_json_has_its_kind_and_fields(shell, command):
    kind, fields = FIELDS[command]
    shell.run("key bench_8 on; key bench_8 off")
    rows = shell.json(command, timeout=60)
    assert rows
    for row in rows:
        if row["kind"] == "bench.poke.left_out":
            assert row["protocol"] == "qword" and "byte by byte" in row["reason"]
            continue
        assert row["kind"] == kind
        assert [field for field in fields.split() if field not in row] == []
        for field, value in row.items():
            if field.endswith("_ns") and field != "step_ns" and not (
                    value is None and field in MAY_BE_UNKNOWN):
                assert isinstance(value, int) and value >= 0


def test_the_widest_table_has_all_its_names(shell):
    header, row = shell.run("bench net --memory --mode drop --packets 10", 60).splitlines()[:2]
    assert header.split()[-1] == "doorbells" and len(header.split()) == len(row.split())


def test_json_of_plan(shell):
    *sites, total = shell.json("plan bench_8 on -j")
    assert (total["kind"], total["name"]) == ("plan", "bench_8")
    assert (total["sites"], total["rounds"], total["ipis"]) == (8, 3, 9)
    assert len(sites) == 8
    for site in sites:
        assert site["kind"] == "plan.site"
        assert len(bytes.fromhex(site["old"])) == len(bytes.fromhex(site["new"])) in (2, 5)


def test_human_tables_show_the_same_rows(shell):
    for name in ("cpus", "keys", "protocol"):
        table, rows = shell.run(name).splitlines(), shell.json(f"{name} -j")
        for row in rows:
            assert any(str(row.get("name", row.get("id"))) in line for line in table[1:])


def test_plan_tells_what_the_flip_then_does(shell):
    planned = {site["addr"]: site for site in shell.json("plan bench_16 on -j")[:-1]}
    before = {site["addr"]: site for site in shell.json("sites bench_16 -j")}
    shell.run("key bench_16 on")
    after = {site["addr"]: site for site in shell.json("sites bench_16 -j")}
    shell.run("key bench_16 off")
    assert planned.keys() == before.keys() == after.keys()
    for address, site in planned.items():
        assert (site["old"], site["new"]) == (before[address]["bytes"], after[address]["bytes"])
        assert "nop" in before[address]["insn"] and "jmp" in after[address]["insn"]
    assert shell.json("sites bench_16 -j") == list(before.values())


def test_site_bytes_are_those_of_the_image(shell):
    """The instruction in the file is the jump; a key that is off shows a nop of the same length."""
    for site in shell.json("sites bench_56 -j"):
        assert site["symbol"].startswith("bench_run_56+")
        assert len(bytes.fromhex(site["bytes"])) == site["len"]
        assert site["bytes"] in ("6690", "0f1f440000")


def test_flips_cost_exactly_what_the_protocol_says(shell):
    """A thread that is woken meanwhile costs an IPI of its own: such a flip is made once more."""
    for key in (row for row in shell.json("keys -j") if row["name"].startswith("bench_")):
        for state in ("on", "off"):
            for _ in range(5):
                shell.run(f"key {key['name']} {'off' if state == 'on' else 'on'}")
                sent = shell.json("cpus -j")[0]["ipis_sent"]
                poke = shell.json(f"key {key['name']} {state} -j")[0]
                assert poke["sites"] == key["sites"]
                assert (poke["rounds"], poke["ipis"]) == (3, 9)
                assert len(poke["step_ns"]) == 3 and sum(poke["step_ns"]) <= poke["total_ns"]
                sent = shell.json("cpus -j")[0]["ipis_sent"] - sent
                if sent == 9:
                    break
            assert sent == 9


def test_flip_to_the_present_state_costs_nothing(shell):
    """Neither a batch nor an IPI, but for threads that are woken meanwhile, as above."""
    for _ in range(5):
        newest = shell.json("pokes -n 1 -j")[-1]["seq"]
        before = [row["ipis_sent"] for row in shell.json("cpus -j")]
        shell.run("key bench_8 off; key test_true on")
        after = [row["ipis_sent"] for row in shell.json("cpus -j")]
        assert shell.pokes_after(newest) == []
        if after == before:
            break
    assert after == before


ROUNDS = {"stop": 1, "qword": 1, "int3-batch": 3, "naive": 0}  # int3: 3 a site


def test_bench_lazy_converges_and_updates_in_one_batch(shell):
    rows = shell.json("bench lazy -j", 120)
    assert [row["sites"] for row in rows] == [1, 1, 1, 56, 56, 56, 256, 256, 256]
    for row in rows:
        assert row["rounds"] == 3 * row["batches"]
        assert row["ipis"] == row["rounds"] * (row["cpus"] - 1)
        if row["form"] == "lazy converge":
            assert row["slow_calls"] >= row["reported"] + row["overflowed"] >= row["sites"]
        else:
            assert (row["batches"], row["slow_calls"]) == (1, 0)


@pytest.mark.parametrize("sites", [1, 56, 4096])
@pytest.mark.parametrize("protocol", ["int3", *ROUNDS])
def test_bench_counts_exactly_the_rounds_and_ipis_of_each_protocol(shell, protocol, sites):
    rounds = ROUNDS.get(protocol, 3 * sites)
    default = shell.json("protocol -j")
    row, = shell.json(f"bench poke --protocol {protocol} --sites {sites} --load idle --flips 2 "
                      "--unsafe -j", 120)
    assert (row["flips"], row["rounds_per_flip"], row["ipis_per_flip"]) == (2, rounds, 3 * rounds)
    assert shell.json("protocol -j") == default
    assert row["stolen_ns"] is None and row["handler_p50_ns"] is None
    for poke in shell.json("pokes -n 2 -j"):
        assert (poke["protocol"], poke["sites"], poke["status"]) == (protocol, sites, "ok")
        assert poke["quadwords"] == (sites if protocol == "qword" else 0)


def test_sites_across_quadwords_fall_back_or_are_refused(shell):
    command = "bench poke --protocol qword --sites 56 --load idle --flips 2 --placement across"
    row, = shell.json(f"{command} -j")
    assert (row["rounds_per_flip"], row["ipis_per_flip"]) == (3, 9)
    assert shell.json("pokes -n 1 -j")[0]["quadwords"] == 0
    text = shell.run(f"{command} --strict")
    assert "cannot be written whole by one aligned quadword: 0x" in text
    assert "bench_sites_across" in text
    poke, = shell.json("pokes -n 1 -j")
    assert (poke["rounds"], poke["bytes"]) == (0, 0) and "quadword" in poke["status"]


def test_every_ipi_sent_is_received(shell):
    shell.run("bench poke --sites 4 --flips 5")
    rows = shell.json("cpus -j")
    assert sum(row["ipis_sent"] for row in rows) == sum(row["ipis_received"] for row in rows) > 0


def test_busy_cpus_trap_and_survive(shell):
    """Other CPUs run through the sites meanwhile: they must take traps, and nothing else."""
    rows = shell.json(f"bench poke --protocol {BATCH} --sites 1,56 --load busy --flips 20 -j", 120)
    assert all(row["load"] == "busy" and row["rounds_per_flip"] == 3 for row in rows)
    assert all(row["traps"] == 0 or row["handler_p50_ns"] > 0 for row in rows)
    assert sum(row["traps"] for row in rows) > 0


@pytest.mark.parametrize("busy", [1, 3])
def test_what_a_flip_steals_is_measured_on_busy_cpus(shell, busy):
    """A CPU that is parked, interrupted or trapped runs its sites later: no flip costs it nothing,
    and the largest loss is no less than the median."""
    rows = shell.json(f"bench poke --protocol int3-batch,stop --sites 4,1024 --load busy "
                      f"--busy {busy} --flips 4 -j", 120)
    assert len(rows) == 4
    for row in rows:
        assert (row["busy"], row["wrong_passes"]) == (busy, 0)
        assert 0 < row["stolen_ns"] <= row["stolen_max_ns"]
        assert (row["handler_p50_ns"] is None) == (row["traps"] == 0)


def test_a_row_that_would_take_too_long_is_left_out_by_name():
    """The estimate comes from the row before. A fast host leaves none out: then this shows only
    that each row is there once, with the right counts."""
    with Machine("left-out", timeout=300) as machine:
        machine.wait_prompt()
        rows = machine.json("bench poke --protocol int3 --sites 1,16,64,1024,4096 "
                            "--load busy -j", 300)
        assert [row["sites"] for row in rows] == [1, 16, 64, 1024, 4096]
        left_out = [row["kind"] == "bench.poke.left_out" for row in rows]
        assert left_out == sorted(left_out) and not left_out[0]
        for row in rows:
            if row["kind"] == "bench.poke.left_out":
                assert int(re.search(r"take about (\d+) ms", row["reason"]).group(1)) >= 5000
            else:
                assert row["rounds_per_flip"] == 3 * row["sites"] and row["flips"] >= 2


def test_busy_rows_of_a_protocol_that_is_unsafe_here_are_left_out(shell):
    """qword on this emulator, which fetches byte by byte: nobody may run the sites meanwhile."""
    rows = shell.json("bench poke --protocol qword --sites 4,56 --flips 2 -j")
    assert [row["kind"] for row in rows] == ["bench.poke"] * 2 + ["bench.poke.left_out"]
    assert "half an old" in rows[-1]["reason"] and rows[-1]["load"] == "busy"


def test_bench_seeds_shows_published_beside_measured(shell):
    text = shell.run("bench seeds --listing -j", 120)  # and a log line: a dispatcher is full
    rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    (verdict,) = [row for row in rows if row["kind"] == "bench.seed.verdict"]
    assert (verdict["seed"], verdict["verdict"]) == (3, "equal")
    assert verdict["listed"] == verdict["as_listed"] == 78
    assert verdict["bytes"] <= verdict["published_bytes"] == 594
    listing = [row for row in rows if row["kind"] == "bench.seed.listing"]
    assert len(listing) == 78 and all(row["as_listed"] for row in listing)
    assert any((row["published_before"], row["published_after"]) == (22700, 32100) and
               row["measured_after"] > 0 for row in rows if row["kind"] == "bench.seed")
    assert any(168 in row.values() and row.get("seed") == 5 for row in rows)
    gains = [row for row in rows if row["kind"] == "bench.seed" and row["unit"] == "percent" and
             row["seed"] in (1, 3)]
    assert [row["seed"] for row in gains] == [1] * 4 + [3] * 6
    assert all(row["after_min"] <= row["measured_after"] <= row["after_max"] for row in gains)


def test_a_dispatcher_in_use_keeps_only_seed_3_from_being_measured(shell):
    shell.run("prog enter gen3")
    try:
        text = shell.run("bench seeds", 120)
        assert "bench seeds: the dispatcher receive has 1 entries already" in text
        assert "first: prog detach NIC; prog leave all" in text
        assert "IPIs a flip" in text and "packets a second, 1 entry" not in text
        assert "first: prog detach NIC" in shell.run("bench net --memory --entries 4")
    finally:
        shell.run("prog leave all")


@pytest.mark.parametrize("option", ["--shape tree", "--traffic miss", "--calls 64"])
def test_updates_refuse_what_is_about_calls(shell, option):
    text = shell.run(f"bench dispatch --updates 1 {option}")
    assert f"{option.split()[0]} does not go with --updates" in text
    assert "--updates N" in shell.run("bench dispatch --nosuch")


def test_ctrl_c_is_reported_once(shell):
    shell.send("bench net --memory --packets 100000000 --entries 64 --shape auto\r")
    time.sleep(1)
    shell.send("\x03")
    assert shell.wait_prompt().count("stopped by Ctrl-C") == 1


@pytest.mark.parametrize("protocol, flips, rounds", [
    (BATCH, 0, 3), (BATCH, 10, 3), ("qword", 10, 1), ("stop", 10, 1), ("naive", 10, 0)])
def test_qemu_counts_the_same_ipis(protocol, flips, rounds):
    """A broadcast is one write of the interrupt command register: one a round, no other between
    where no call learns."""
    trace = LOGS / f"apic-{protocol}-{flips}.trace"
    with Machine(f"trace-{protocol}-{flips}", command_line="dyncall=off",
                 extra=["-trace", "apic_mem_writel", "-D", trace]) as machine:
        machine.wait_prompt()
        start = machine.json("cpus -j")[0]["ipis_sent"]
        written = len(re.findall(r"apic_mem_writel 0x300 ", trace.read_text()))
        if flips:
            machine.run(f"bench poke --sites 4 --load idle --protocol {protocol} --flips {flips} "
                        "--unsafe")
        sent = machine.json("cpus -j")[0]["ipis_sent"] - start
        writes = len(re.findall(r"apic_mem_writel 0x300 ", trace.read_text())) - written
        assert machine.exit() == ALL_OK
    assert sent == 3 * rounds * flips
    assert writes in (rounds * flips, 3 * rounds * flips)


def test_counting_instructions_repeats_every_figure():
    """Two runs in QEMU's deterministic mode print the same, to the nanosecond."""
    outputs = []
    for run in range(2):
        with Machine(f"icount-{run}", timeout=120, **icount(), command_line=(
                'run="bench poke --sites 1,56,256 --flips 20 -j --unsafe '
                '--protocol int3,int3-batch,qword,stop; exit"')) as machine:
            assert machine.exit_status() == ALL_OK
            outputs.append([line for line in machine.text.splitlines() if "bench.poke" in line])
    assert outputs[0] == outputs[1] and len(outputs[0]) == 24
    rows = {(row["protocol"], row["load"], row["sites"]): row
            for row in map(json.loads, outputs[0])}
    check_costs(rows)


def check_costs(rows):
    """The bars of the poke engine, where times are counted instructions: 5 us a site at most, and a
    handler that does not slow down with the batch."""
    for protocol, bar_ns in (BATCH, 5000), ("qword", 5000), ("stop", 5000):
        small, large = rows[protocol, "idle", 1], rows[protocol, "idle", 256]
        assert (large["p50_ns"] - small["p50_ns"]) / 255 < bar_ns
    for row in rows.values():
        assert row["wrong_passes"] == 0
        assert (row["stolen_ns"] is None) == (row["load"] == "idle")
    small, large = rows[BATCH, "busy", 1], rows[BATCH, "busy", 256]
    assert 0 < large["handler_p50_ns"] <= 1.25 * small["handler_p50_ns"]
