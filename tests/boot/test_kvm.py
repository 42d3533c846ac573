# SPDX-License-Identifier: MIT
"""Backend `kvm` under KVM: what the host offers is used, what it does not is refused by name, and
the clock goes on across switches of its source. Short boots: this KVM may itself be emulated.
Under TCG: test_pv.py; the protocol of locks that halt: suite lock_halt. Callers: make test.
"""

import datetime

import pytest

from machine import ALL_OK, SOME_FAILED, Machine
from test_boot_matrix import kvm_opens

# Way, and what is said where CPUID lacks the bit.
BITS = {"clock_read": "CPUID offers no clock (KVM bit 3)",
        "eoi": "CPUID offers no end of interrupt (KVM bit 6)",
        "lock_slow": "CPUID offers no kick (KVM bit 7)",
        "lock_unlock": "CPUID offers no kick (KVM bit 7)",
        "lock_kick": "CPUID offers no kick (KVM bit 7)",
        "send_ipi": "CPUID offers no IPIs (KVM bit 11)",
        "broadcast_ipi": "CPUID offers no IPIs (KVM bit 11)"}
NO_HYPERCALLS = "the host offers it by CPUID, but does not carry out hypercalls"
pytestmark = pytest.mark.skipif(not kvm_opens(), reason="/dev/kvm does not open")


def guest(name, cpus=2, without=()):
    flags = "".join(f",-{flag}" for flag in without)
    return Machine(f"kvm-{name}", machine="q35", cpus=cpus, accel="kvm",
                   cpu=f"host,-arch-capabilities,+x2apic{flags}", timeout=240)


def offers(machine):
    """Why an op cannot go kvm's way, by op; None: it can."""
    rows = machine.json("pv backends -j")
    return {row["op"]: row["why_not"] for row in rows
            if row["kind"] == "pv.backend.op" and row["backend"] == "kvm"}


def backends(machine):
    return {row["op"]: row["backend"] for row in machine.json("pv -j")[:-1]}


def check_offers_are_used(machine):
    """Each op that the host offers something for has it, each other one is native."""
    why_not = offers(machine)
    assert backends(machine) == {op: "native" if reason else "kvm"
                                 for op, reason in why_not.items()}
    return why_not


def check_protocol_is_safe(machine, why_not):
    """A KVM that refuses hypercalls emulates instructions and may stop at an int3."""
    safe = "stop" if NO_HYPERCALLS in why_not.values() else "int3-batch"
    assert [row["name"] for row in machine.json("protocol -j") if row["default"]] == [safe]


def wall_seconds(poke):
    """The time of day of a record, in seconds since midnight."""
    hours, minutes, seconds = poke["time"].split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def check_clock_goes_on(machine):
    """Switches are stamped: never before the one in front, and near
    the host's own time: a source that began at its own zero would be off by much more."""
    times = []
    for backend in ("native", "kvm", "native", "kvm"):
        before = datetime.datetime.now(datetime.timezone.utc)
        poke, change = machine.json(f"pv backend {backend} -j")
        assert (poke["status"], change["kind"]) == ("ok", "pv.change")
        since_midnight = before.hour * 3600 + before.minute * 60 + before.second
        off = (wall_seconds(poke) - since_midnight + 43200) % 86400 - 43200
        assert abs(off) < 300
        times.append(wall_seconds(poke))
    assert all((later - earlier) % 86400 < 43200 for earlier, later in zip(times, times[1:]))
    assert len(set(times)) == len(times)


@pytest.mark.parametrize("apic, without", [("x2apic", []), ("xapic", ["x2apic"])])
def test_what_the_host_offers_is_used_and_the_clock_goes_on(apic, without):
    with guest(f"offers-{apic}", without=without) as machine:
        machine.wait_prompt()
        assert machine.json("ver -j")[0]["apic"] == apic
        why_not = check_offers_are_used(machine)
        for op, missing in BITS.items():
            assert why_not[op] in (None, missing, NO_HYPERCALLS), op
        assert all(reason == "it has no way of its own"
                   for op, reason in why_not.items() if op not in BITS)
        check_protocol_is_safe(machine, why_not)
        check_clock_goes_on(machine)
        check_offers_are_used(machine)
        assert machine.exit() == ALL_OK


def test_what_cpuid_does_not_offer_is_native_and_refused_by_name():
    with guest("refused", without=["kvm-pv-eoi", "kvm-pv-unhalt", "kvm-pv-ipi"]) as machine:
        machine.wait_prompt()
        why_not = check_offers_are_used(machine)
        unchanged = machine.run("pv -j")
        for op in ("eoi", "send_ipi", "broadcast_ipi", "lock_slow"):
            assert why_not[op] == BITS[op]
            command = f"pv op {op.removesuffix('_slow')} kvm"
            assert machine.run(command).startswith(f"pv: backend kvm: op {op}: {BITS[op]}")
        assert machine.run("pv -j") == unchanged
        assert machine.exit() == SOME_FAILED


def test_locks_halt_and_kick_with_more_cpus_than_the_host_lends():
    """The case skips, with the reason, where the host does not carry out hypercalls."""
    with guest("locks", cpus=4) as machine:
        machine.wait_prompt()
        reason = offers(machine)["lock_kick"]
        if reason is not None:
            pytest.skip(reason)
        text = machine.run("test lock_halt contended_lock_admits_one_under_kvm", 240)
        assert "ok 1 contended_lock_admits_one_under_kvm" in text and "not ok" not in text
        total = machine.json("pv locks -j")[-1]
        assert total["halts"] > 0 and total["kicks"] > 0
        assert machine.exit() == ALL_OK
