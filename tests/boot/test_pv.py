# SPDX-License-Identifier: MIT
"""`pv`: paravirt ops listed, switched and refused, and chosen at boot.

Whether ops work meanwhile is shown by tests/kernel/suite_paravirt*.c; here: what a user sees. That
what is listed stands in the text is shown by the bytes themselves, read through QEMU's monitor.
Callers: make test.
"""

import struct
import subprocess

import pytest

from machine import ALL_OK, BUILD, SOME_FAILED, Machine
from netpeer import MonitoredMachine

OPS = ("irq_save irq_restore irq_disable irq_enable safe_halt lock_slow lock_unlock lock_kick "
       "tlb_flush_page tlb_flush_local tlb_flush_all eoi send_ipi broadcast_ipi clock_read").split()
LOCK = ["lock_slow", "lock_unlock", "lock_kick"]
INSTRUCTIONS = {"irq_save": "pushfq", "irq_restore": "sti", "irq_disable": "cli",
                "irq_enable": "sti", "lock_unlock": "incl 12(%rdi)", "lock_kick": "nop",
                "tlb_flush_page": "invlpg (%rdi)", "eoi": "movl $0, (%rdi)"}
FORMS = ["indirect", "direct", "inline"]
SITE_LENGTH = 6


def listing(machine):
    """The rows of `pv -j` by op, and the total, which must be their sum."""
    *rows, total = machine.json("pv -j")
    assert [row["op"] for row in rows] == OPS and total["kind"] == "pv.total"
    assert total["ops"] == len(OPS) and total["other"] == 0
    left = [total[field] for field in ("halting_forbidden", "clock_floor", "ways_left")]
    assert left == [False, False, 0]
    for field in ["sites", *FORMS]:
        assert total[field] == sum(row[field] for row in rows)
    assert all(row["sites"] == sum(row[form] for form in FORMS) for row in rows)
    return {row["op"]: row for row in rows}, total


def state(machine):
    """All that a refused switch must leave alone; no round without a record. Calls that learn may
    be patched meanwhile, and their records take the place of the oldest."""
    pokes = [poke["seq"] for poke in machine.json("pokes -j") if poke["who"].startswith("pv ")]
    return machine.run("pv -j"), machine.run("pv backends -j"), pokes[-1:]


def backends(machine):
    return {op: row["backend"] for op, row in listing(machine)[0].items()}


def check_forms(machine, form):
    """Every op is in the form that was asked for; what is no instruction, called directly."""
    rows, total = listing(machine)
    assert total["form"] == form
    for row in rows.values():
        shown = "direct" if form == "inline" and row["instruction"] is None else form
        assert row[shown] == row["sites"], row


def check_native(machine):
    rows, _ = listing(machine)
    for op, row in rows.items():
        assert (row["backend"], row["counted"]) == ("native", False)
        assert row["way"] == f"native_{op}" and row["instruction"] == INSTRUCTIONS.get(op)
        assert row["group"] == ("lock" if op in LOCK else None)
    check_forms(machine, "inline")


def test_boot_default_is_native_and_inline(shell):
    check_native(shell)
    rows, total = listing(shell)
    assert total["sites"] > 300 and rows["lock_unlock"]["sites"] > 100
    assert rows["irq_save"]["signature"] == "uint64_t (void), on the stack"
    assert (rows["eoi"]["clobbers"], rows["send_ipi"]["clobbers"]) == ("flags", "as a call")


def test_people_see_the_same(shell):
    rows, total = listing(shell)
    header, *lines, last = shell.run("pv").splitlines()
    assert header.split()[:5] == ["op", "sites", *FORMS]
    for op, line in zip(OPS, lines, strict=True):
        assert line.split()[:6] == [op, *(str(rows[op][field]) for field in ["sites", *FORMS]),
                                    "native"]
    assert last.startswith(f"{len(OPS)} ops, {total['sites']} sites: 0 indirect, ")
    assert last.endswith("0 other; form inline")


def switch(machine, command, who, rounds=3, cpus=4):
    """Runs a switch; returns the record of its one batch, and how many ops it changed."""
    _, _, before = state(machine)
    poke, change = machine.json(f"{command} -j")
    assert (poke["kind"], poke["who"], poke["status"]) == ("poke", who, "ok")
    assert (poke["rounds"], poke["ipis"]) == (rounds, rounds * (cpus - 1))
    _, _, after = state(machine)
    assert set(after) - set(before) == {poke["seq"]}
    assert (change["kind"], change["what"]) == ("pv.change", who)
    return poke, change["ops"]


def changed_sites(before, after):
    """Of all ops that go another way, or look different: how many sites have other bytes."""
    return sum(row["sites"] for op, row in before.items()
               if row["form_now"] != after[op]["form_now"] or
               (row["way"] != after[op]["way"] and row["form_now"] != "indirect"))


def rows_with_form(machine):
    rows, _ = listing(machine)
    for row in rows.values():
        row["form_now"] = next((form for form in FORMS if row[form]), None)
    return rows


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_one_batch_from_every_other(shell, form):
    for other in FORMS:
        shell.run(f"pv form {other}")
        before = rows_with_form(shell)
        if other == form:
            continue
        poke, ops = switch(shell, f"pv form {form}", f"pv form {form}")
        check_forms(shell, form)
        assert (poke["sites"], ops) == (changed_sites(before, rows_with_form(shell)), len(OPS))
    shell.run("pv form inline")
    check_native(shell)


@pytest.mark.parametrize("cpus", [1, 4])
def test_all_ops_change_backend_in_one_batch(cpus):
    with Machine(f"pv-batch-{cpus}", cpus=cpus) as machine:
        machine.wait_prompt()
        _, total = listing(machine)
        for backend, counted in [("counted", True), ("native", False)]:
            poke, ops = switch(machine, f"pv backend {backend}", f"pv backend {backend}", cpus=cpus)
            assert (poke["sites"], ops) == (total["sites"], len(OPS))
            rows, _ = listing(machine)
            assert {row["counted"] for row in rows.values()} == {counted}
            if counted:
                assert {row["backend"] for row in rows.values()} == {"counted over native"}
                assert all(row["way"] == f"counted_{op}" for op, row in rows.items())
        check_native(machine)
        assert machine.exit() == ALL_OK


def test_in_the_indirect_form_a_switch_writes_no_text(shell):
    shell.run("pv form indirect")
    *pokes, change = shell.json("pv backend counted -j")
    assert change["ops"] == len(OPS)
    assert all((poke["sites"], poke["rounds"], poke["ipis"]) == (0, 0, 0) for poke in pokes)
    check_forms(shell, "indirect")
    assert set(backends(shell).values()) == {"counted over native"}
    shell.run("pv form direct; pv backend native; pv form inline")
    check_native(shell)


def test_one_op_and_one_group(shell):
    before = rows_with_form(shell)
    poke, ops = switch(shell, "pv op eoi counted", "pv op eoi")
    assert (poke["sites"], ops) == (before["eoi"]["sites"], 1)
    poke, ops = switch(shell, "pv op lock counted", "pv op lock")
    assert (poke["sites"], ops) == (sum(before[op]["sites"] for op in LOCK), 3)
    has = backends(shell)
    assert [op for op in OPS if has[op] != "native"] == [*LOCK, "eoi"]
    poke, ops = switch(shell, "pv op lock native", "pv op lock")
    assert ops == 3 and [op for op in OPS if backends(shell)[op] != "native"] == ["eoi"]
    # A layer is put over what each op has: the one that has it keeps it, at no cost.
    poke, ops = switch(shell, "pv backend counted", "pv backend counted")
    assert ops == len(OPS) - 1
    assert poke["sites"] == sum(row["sites"] for op, row in before.items() if op != "eoi")
    shell.run("pv backend native")
    check_native(shell)


@pytest.mark.parametrize("before, command", [
    ("pv backend native", "pv backend native"), ("pv form inline", "pv form inline"),
    ("pv op eoi native", "pv op eoi native"), ("pv backend counted", "pv backend counted"),
    ("pv op lock counted", "pv op lock counted")])
def test_nothing_to_change_costs_nothing(shell, before, command):
    shell.run(before)
    unchanged = state(shell)
    assert ": text unchanged: 0 rounds, 0 IPIs" in shell.run(command)
    change, = shell.json(f"{command} -j")
    assert (change["kind"], change["ops"]) == ("pv.change", 0)
    assert state(shell) == unchanged
    shell.run("pv backend native")
    check_native(shell)


def test_a_group_is_planned_op_by_op(shell):
    for command in ("plan lock counted", "sites lock"):
        name = command.split()[0]
        assert shell.run(command).strip() == (f"{name}: 'lock' is a group; one op at a time: "
                                              f"{' '.join(LOCK)}")


@pytest.mark.parametrize("mitigation", ["retpoline", "lfence", "none"])
def test_bare_calls_are_said(shell, mitigation):
    note = f"note: these calls are bare: mitigation {mitigation} does not guard them"
    before = next(row["name"] for row in shell.json("mitigation -j") if row["current"])
    shell.run(f"mitigation {mitigation}")
    assert (note in shell.run("pv form indirect")) == (mitigation != "none")
    assert "note" not in shell.run("pv form inline")
    shell.run(f"mitigation {before}")


@pytest.mark.parametrize("counted", [False, True], ids=["native", "counted"])
@pytest.mark.parametrize("command, why", [
    ("pv backend kvm", "pv: backend kvm: this machine is no KVM guest"),
    ("pv op eoi kvm", "pv: backend kvm: op eoi: this machine is no KVM guest"),
    ("pv op lock kvm", "pv: backend kvm: op lock_slow: this machine is no KVM guest"),
    ("pv op irq_save kvm", "pv: backend kvm: op irq_save: it has no way of its own"),
    ("pv backend kvn", "pv: 'kvn' is not one of native kvm counted; did you mean 'kvm'?"),
    ("pv op eoi xen", "pv: 'xen' is not one of native kvm counted"),
    ("pv op clock native", "pv: unknown op 'clock'"),
    ("pv op sned_ipi native", "pv: unknown op 'sned_ipi': did you mean 'send_ipi'?"),
    ("pv op lok counted", "pv: unknown op 'lok': did you mean 'lock'?"),
    ("pv form outline", "pv: 'outline' is not one of indirect direct inline"),
    ("pv off", "pv: 'off' is not one of backends backend op form"),
    ("pv backend native native", "pv backend: "),
    *[(f"pv op {op} {backend}", f"pv: op {op} changes only together with its group: "
       f"pv op lock {backend}") for op in LOCK for backend in ("native", "kvm", "counted")],
], ids=lambda text: text[:24] if isinstance(text, str) else None)
def test_refused_by_name_and_nothing_switched(shell, command, why, counted):
    shell.run("pv backend counted" if counted else "pv backend native")
    unchanged = state(shell)
    assert shell.run(command).startswith(why)
    assert state(shell) == unchanged
    shell.run("pv backend native")


def test_backends_say_what_they_offer_or_why_not(shell):
    rows = shell.json("pv backends -j")
    names = [row["name"] for row in rows if row["kind"] == "pv.backend"]
    assert names == ["native", "kvm", "counted"]
    by_name = {row["name"]: row for row in rows if row["kind"] == "pv.backend"}
    assert {name: by_name[name]["ops"] for name in names} == {
        "native": len(OPS), "kvm": 0, "counted": len(OPS)}
    assert [by_name[name]["layer"] for name in names] == [False, False, True]
    assert [by_name[name]["kicks"] for name in names] == [False, True, False]
    ops = [row for row in rows if row["kind"] == "pv.backend.op"]
    assert [(row["backend"], row["op"]) for row in ops] == [(name, op) for name in names
                                                            for op in OPS]
    for row in ops:
        usable = row["why_not"] is None
        assert usable == (row["backend"] != "kvm")
        if row["backend"] != "kvm":
            assert row["way"] == f"{row['backend']}_{row['op']}"
        elif row["way"] is None:
            assert row["why_not"] == "it has no way of its own"
        else:
            assert row["why_not"].startswith("this machine is no KVM guest")


def test_words_are_completed(shell):
    shell.send("pv op lo\tcou\t-j\r")
    shell.wait_prompt()
    assert [op for op, name in backends(shell).items() if name != "native"] == LOCK
    shell.send("pv ba\t\t")
    shell.wait("backends")
    shell.resynchronise()
    shell.send("pv form ind\t\r")
    shell.wait_prompt()
    check_forms(shell, "indirect")
    shell.run("pv form inline; pv backend native")
    check_native(shell)


# ---- the text is the witness ----

def symbols(*names):
    lines = subprocess.run(["nm", BUILD / "livetext.elf"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    found = {line.split()[2]: int(line.split()[0], 16) for line in lines if len(line.split()) == 3}
    return [found[name] for name in names]


def memory(machine, address, length):
    path = BUILD / "boot-logs" / "pv-memory"
    machine.qmp("human-monitor-command",
                **{"command-line": f'memsave {address:#x} {length} "{path}"'})
    data = path.read_bytes()
    path.unlink()
    assert len(data) == length
    return data


def forms_in_memory(machine):
    """How many sites of each op look like what: told by their first bytes alone."""
    start, end, text, text_end = symbols("paravirt_sites_start", "paravirt_sites_end",
                                         "text_start", "text_end")
    sites = struct.iter_unpack("<QQ", memory(machine, start, end - start))
    code = memory(machine, text, text_end - text)
    found = {op: dict.fromkeys(FORMS, 0) for op in OPS}
    for address, op in sites:
        site = code[address - text:address - text + SITE_LENGTH]
        if site.startswith(b"\xff\x15"):
            form = "indirect"
        elif site.startswith(b"\x2e\xe8"):
            form = "direct"
        else:
            assert site.lstrip(b"\x2e")[0] in b"\xfa\xfb\x9c\xff\x90\x0f\xc7", site.hex()
            form = "inline"
        found[OPS[op]][form] += 1
    return found


def test_what_is_listed_is_what_stands_in_memory():
    with MonitoredMachine("pv-memory") as machine:
        machine.wait_prompt()
        for command in ("pv", "pv form direct", "pv backend counted", "pv form indirect",
                        "pv op lock native", "pv form inline", "pv op eoi native",
                        "pv backend native"):
            machine.run(command)
            rows, _ = listing(machine)
            assert forms_in_memory(machine) == {
                op: {form: row[form] for form in FORMS} for op, row in rows.items()}, command
        check_native(machine)
        assert machine.exit() == ALL_OK


# ---- the kernel command line ----

def boot(name, command_line, cpus=2):
    """Boots, lists the ops, ends; returns what came, and the listing."""
    with Machine(f"pv-{name}", cpus=cpus, command_line=command_line) as machine:
        banner = machine.wait_prompt()
        rows, total = listing(machine)
        assert machine.exit() == ALL_OK
    return banner, rows, total


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend, text", [("native", "native"),
                                           ("counted", "counted over native")])
def test_command_line_chooses(backend, text, form, cpus):
    banner, rows, total = boot(f"{backend}-{form}-{cpus}", f"pv={backend} pv_form={form}", cpus)
    assert "warning" not in banner
    assert {row["backend"] for row in rows.values()} == {text}
    assert total["form"] == form
    for row in rows.values():
        shown = "direct" if form == "inline" and row["instruction"] is None else form
        assert row[shown] == row["sites"]


@pytest.mark.parametrize("command_line, warning", [
    ("pv=kvm", "paravirt ops: backend kvm: this machine is no KVM guest"),
    ("pv=kvn", "command line: pv='kvn' is unknown (allowed: native kvm counted): ignored"),
    ("pv=", "command line: pv='' is unknown (allowed: native kvm counted): ignored"),
    ("pv_form=out", "command line: pv_form='out' is unknown (allowed: indirect direct inline): "
     "ignored"),
    ("pv_from=inline", "did you mean 'pv_form='?"),
    ("pv", "command line: 'pv' has no value: ignored")])
def test_command_line_is_refused_by_name(command_line, warning):
    banner, rows, total = boot("refused", command_line)
    assert warning in banner
    assert {row["backend"] for row in rows.values()} == {"native"} and total["form"] == "inline"


def test_a_refused_switch_is_a_failed_command():
    with Machine("pv-status", cpus=1, command_line='run="pv op lock_kick native; exit"') as machine:
        assert machine.exit_status(60) == SOME_FAILED
