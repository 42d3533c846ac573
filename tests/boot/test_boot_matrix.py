# SPDX-License-Identifier: MIT
"""livetext boots by every loader, on every number of CPUs and kind of machine, and says what it
found.

Each boot must reach the prompt, count its CPUs, flip a key under all of them and end with status
33. Would miss: what only real firmware does.
"""

import os
import re
import struct

import pytest

from machine import ALL_OK, LOGS, Machine, icount


def check_machine(machine, cpus, timeout=60):
    """Takes a machine from power-on to its end; returns what it printed before the prompt."""
    boot_text = machine.wait_prompt(timeout)
    assert machine.json("ver -j")[0]["cpus"] == cpus
    rows = machine.json("cpus -j")
    assert [row["id"] for row in rows] == list(range(cpus))
    assert all(row["online"] for row in rows)
    assert len({row["apic_id"] for row in rows}) == cpus
    poke = machine.json("key bench_4 on -j", timeout)[0]
    assert (poke["rounds"], poke["ipis"]) == (3, 3 * (cpus - 1))
    assert machine.exit(timeout=timeout) == ALL_OK
    return boot_text


@pytest.mark.parametrize("cpus", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("loader, machine", [
    ("kernel", "pc"), ("kernel", "q35"), ("iso-bios", "pc"), ("iso-uefi", "q35")])
def test_boots(loader, machine, cpus):
    with Machine(f"{loader}-{machine}-{cpus}", loader, machine, cpus) as guest:
        text = check_machine(guest, cpus)
        assert f"{cpus} of {cpus} CPUs online" in text
        assert ("UEFI" if loader == "iso-uefi" else "BIOS") in text


@pytest.mark.parametrize("loader, machine, cpus", [
    ("iso-bios", "q35", 4), ("iso-uefi", "pc", 4), ("iso-usb", "pc", 2), ("iso-usb", "q35", 4)])
def test_boots_from_other_combinations(loader, machine, cpus):
    with Machine(f"{loader}-{machine}-{cpus}", loader, machine, cpus) as guest:
        check_machine(guest, cpus)


def test_boots_from_usb_stick_by_uefi():
    with Machine("iso-usb-uefi", "iso-usb", "q35", 2,
                 extra=["-bios", "/usr/share/ovmf/OVMF.fd"]) as guest:
        assert "UEFI" in check_machine(guest, 2)


@pytest.mark.parametrize("memory, bytes_at_least", [
    ("64M", 56 << 20), ("4G", 4 << 30), ("16G", 16 << 30)])
def test_finds_all_memory(memory, bytes_at_least):
    spare = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if memory == "16G" and spare < 18 << 30:
        pytest.skip("less than 18 GiB of memory are free here")
    with Machine(f"memory-{memory}", memory=memory) as guest:
        guest.wait_prompt()
        total = guest.json("mem -j")[0]["total_bytes"]
        assert bytes_at_least * 0.98 <= total <= max(bytes_at_least, 64 << 20)
        assert guest.exit() == ALL_OK


@pytest.mark.parametrize("cpu", ["qemu64", "max", "Nehalem", "EPYC"])
def test_boots_on_cpu_model(cpu):
    with Machine(f"cpu-{cpu}", cpu=cpu) as guest:
        check_machine(guest, 4)


def test_boots_without_hpet():
    with Machine("no-hpet", extra=["-no-hpet"]) as guest:
        assert "hpet" not in check_machine(guest, 4).lower().split("livetext", 1)[0]


def test_boots_without_acpi_on_one_cpu_and_says_so():
    with Machine("no-acpi", machine="pc,acpi=off", cpus=4) as guest:
        guest.wait_prompt()
        assert re.search("acpi", guest.run("log"), re.IGNORECASE)
        assert guest.json("ver -j")[0]["cpus"] == 1
        assert guest.exit() == ALL_OK


def test_too_little_memory_leaves_cpus_out_by_number():
    """Stacks of 255 CPUs do not fit into 16 MB: those that run are whole, the rest are named."""
    with Machine("starved", machine="q35", cpus=255, memory="16M", timeout=240) as guest:
        text = guest.wait_prompt(240)
        first = int(re.search(r"cpus (\d+) to 254: not enough memory", text).group(1))
        assert 0 < first < 255 and f"{first} of 255 CPUs online" in text
        assert guest.json("mem -j")[0]["free_bytes"] > 500000
        rows = guest.json("threads -j")
        assert sum(row["state"] == "offline" for row in rows) == 255 - first
        assert guest.exit() == ALL_OK


def test_cpu_that_does_not_come_up_is_named_and_left_out():
    """A second MADT lists a CPU that is not there (APIC id 77): INIT and SIPI go nowhere."""
    table = LOGS / "ghost-cpu.bin"
    LOGS.mkdir(parents=True, exist_ok=True)
    table.write_bytes(struct.pack("<II", 0xfee00000, 1) + struct.pack("<BBBBI", 0, 8, 77, 77, 1))
    with Machine("ghost-cpu", cpus=3, timeout=60,
                 extra=["-acpitable", f"sig=APIC,data={table}"]) as guest:
        text = guest.wait_prompt()
        assert "cpu 3 (APIC id 77) did not start" in text and "3 of 4 CPUs online" in text
        assert [row["online"] for row in guest.json("cpus -j")] == [True, True, True, False]
        poke = guest.json("key bench_4 on -j")[0]
        assert (poke["rounds"], poke["ipis"]) == (3, 6)
        guest.run("key bench_4 off")
        guest.run("test machine", 60)
        assert guest.exit() == ALL_OK


def test_says_so_without_nx_and_skips_what_needs_it():
    with Machine("no-nx", cpu="qemu64,-nx", command_line='run="test memory; exit"') as guest:
        assert guest.exit_status(60) == ALL_OK
        assert "this CPU has no NX" in guest.text and "# SKIP this CPU has no NX" in guest.text


def test_cpus_option_limits_the_cpus():
    with Machine("cpus-option", cpus=4, command_line="cpus=2") as guest:
        guest.wait_prompt()
        assert guest.json("ver -j")[0]["cpus"] == 2
        assert guest.exit() == ALL_OK


@pytest.mark.parametrize("cpus, seconds", [(4, 0.08), (64, 2.0)])
def test_brings_up_its_cpus_in_few_instructions(cpus, seconds):
    """From the first C line until all CPUs run, 10 ms of INIT and 10 ms of calibration included;
    QEMU counts instructions as nanoseconds, so this is no figure of the host."""
    with Machine(f"speed-{cpus}", cpus=cpus, timeout=120, **icount()) as guest:
        guest.wait("livetext> ")
        stamp = re.search(r"\[ *([0-9.]+)\] \d+ of \d+ CPUs online", guest.text)
        guest.send("\r")
        check_machine(guest, cpus)
    assert float(stamp.group(1)) < seconds


def test_boots_64_cpus():
    with Machine("cpus-64", machine="q35", cpus=64, timeout=120) as guest:
        assert "64 of 64 CPUs online" in check_machine(guest, 64)


def test_boots_255_cpus():
    with Machine("cpus-255", machine="q35", cpus=255, memory="1G", timeout=240) as guest:
        assert "255 of 255 CPUs online" in check_machine(guest, 255, timeout=240)


def kvm_opens():
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
        return True
    except OSError:
        return False


@pytest.mark.skipif(not kvm_opens(), reason="/dev/kvm does not open")
@pytest.mark.parametrize("cpus", [1, 2])
def test_boots_under_kvm_with_x2apic(cpus):
    """Patient: this KVM may itself be emulated. One that is may stop at an int3 (test_kvm.py): so
    calls that learn by themselves are off, and nobody executes the key's sites."""
    with Machine(f"kvm-{cpus}", machine="q35", cpus=cpus, accel="kvm", timeout=240,
                 cpu="host,-arch-capabilities,+x2apic",
                 command_line="protocol=int3-batch dyncall=off") as guest:
        guest.wait_prompt()
        version = guest.json("ver -j")[0]
        assert (version["cpus"], version["apic"]) == (cpus, "x2apic")
        poke = guest.json("key bench_4 on -j")[0]
        assert (poke["rounds"], poke["ipis"]) == (3, 3 * (cpus - 1))
        assert guest.exit() == ALL_OK
