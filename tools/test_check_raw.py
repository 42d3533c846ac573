# SPDX-License-Identifier: MIT
"""Self-tests of check_raw.py: a kernel of a few lines with one instruction in the wrong place must
be named, and the same one in the right place must not. Run by make test."""

import pathlib
import subprocess

import pytest

import check_raw

# What the image has to have; {code} is beyond the text that may do anything.
KERNEL = """
bits 64
section .text
global boot_start, text_end, nopatch_end, paravirt_sites_start, paravirt_sites_end, pv_ops
boot_start: cli
    wrmsr
nopatch_end: nop
native_irq_disable: cli
    ret
paravirt_thunk_native_clock_read: call native_irq_disable
    ret
apic_raw_send: ret
apic_raw_write: ret
{code}
    ret
text_end: nop
section .data
default rel
pv_ops: dq native_irq_disable, native_irq_disable
apic_end_of_interrupt_register: dq 0
paravirt_sites_start:
{sites}
paravirt_sites_end:
"""
FORBIDDEN = [
    ("cli", "irq_disable"), ("sti", "irq_enable"), ("pushfq\npop rax", "irq_save"),
    ("popfq", "irq_restore"), ("hlt", "safe_halt"), ("invlpg [rdi]", "tlb_flush_page"),
    ("invpcid rax, [rdi]", "tlb_flush_page"), ("mov cr3, rax", "tlb_flush_local"),
    ("mov cr4, r9", "tlb_flush_all"), ("wrmsr", "eoi"), ("rdtsc", "clock_read"),
    ("rdtscp", "clock_read"), ("cs cli", "irq_disable"), ("call apic_raw_write", "eoi"),
    ("jmp apic_raw_send", "send_ipi"), ("jnz apic_raw_send", "send_ipi"),
    ("mov rax, [rel apic_end_of_interrupt_register]", "eoi"),
    ("call native_irq_disable", "pv_NAME"),
    ("jmp paravirt_thunk_native_clock_read", "pv_NAME"),
]
HARMLESS = ("mov rax, cr3", "mov rax, cr4", "rdmsr", "pushfq\nmov eax, cs", "call innocent",
            "mov dword [rdi], 0", "lfence", "nop", "mov cr0, rax")


@pytest.fixture
def build(tmp_path):
    """Returns a function that assembles and links KERNEL with that code and those sites."""
    def build_kernel(code, sites="", source="k.asm"):
        (tmp_path / source).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / source).write_text(KERNEL.format(code=code, sites=sites))
        elf = tmp_path / "k.elf"
        subprocess.run(["nasm", "-f", "elf64", "-g", "-F", "dwarf", source, "-o", "k.o"],
                       cwd=tmp_path, check=True)
        subprocess.run(["ld", "-static", "-nostdlib", "-e", "boot_start", "k.o", "-o", elf],
                       cwd=tmp_path, check=True)
        return str(elf)
    return build_kernel


def complaints(elf):
    """Returns the complaints, but for those about the list: this kernel has none of its names."""
    return [fault for fault in check_raw.check(elf) if "take it off the list" not in fault]


def test_boot_code_and_ways_may_do_anything(build):
    assert complaints(build("innocent: nop")) == []


@pytest.mark.parametrize("code, op", FORBIDDEN)
def test_an_instruction_of_an_op_is_named_with_its_function(build, code, op):
    fault, = complaints(build(f"nop\nculprit: nop\n{code}\ninnocent: nop"))
    assert fault.startswith("culprit+0x1 ") and op in fault


@pytest.mark.parametrize("code, op", FORBIDDEN)
def test_a_backends_way_may(build, code, op):
    assert complaints(build(f"kvm_{op}: {code}")) == [] or op == "clock_read"


@pytest.mark.parametrize("code", HARMLESS)
def test_a_neighbour_of_it_is_harmless(build, code):
    assert complaints(build(f"innocent: {code}")) == []


def test_a_piece_of_a_function_counts_as_the_function(build):
    assert complaints(build("halt_for_ever.part.0: cli\nhlt")) == []
    assert len(complaints(build("halt_for_everyone: cli\nhlt"))) == 2


@pytest.mark.parametrize("source, is_named", [
    ("tests/kernel/suite.asm", False), ("tests/kernels/suite.asm", True), ("kernel/idle.asm", True),
])
def test_a_test_may_read_the_counter(build, source, is_named):
    elf = build("some_loop: rdtsc", source=source)
    assert len(complaints(elf)) == is_named
    assert len(complaints(build("some_loop: cli", source=source))) == 1


def test_who_does_it_no_more_is_to_be_taken_off_the_list(build):
    faults = check_raw.check(build("bench_loop: rdtsc"))
    assert sum("take it off the list" in fault for fault in faults) == len(faults)
    assert any(fault.startswith("halt_for_ever smp_main: ") for fault in faults)
    assert not any(fault.startswith("bench_") for fault in faults)


@pytest.mark.parametrize("sites, complaint", [
    ("dq first, 0, second, 1", None),
    ("dq second, 1, first, 0", None),
    ("dq first, 0", "that the table of sites does not have"),
    ("dq first, 1, second, 1", "that the table of sites does not have"),
    ("dq first, 0, second, 1, third, 1", "third+0x0 is no call through pv_ops"),
    ("dq first, 0, second, 1, second, 1", "listed twice"),
    ("dq first, 0, second", "not a multiple of 16"),
])
def test_sites_are_what_the_table_says(build, sites, complaint):
    faults = complaints(build("first: call [pv_ops]\nsecond: call [pv_ops + 8]\nthird: nop", sites))
    assert faults == [] if complaint is None else any(complaint in fault for fault in faults)


@pytest.mark.parametrize("code", ["mov rax, [pv_ops]", "jmp [pv_ops + 8]", "lea rax, [pv_ops]"])
def test_nobody_touches_the_slots_but_a_site(build, code):
    fault, = complaints(build(f"culprit: {code}"))
    assert fault.startswith("culprit: touches pv_ops outside a site")


@pytest.mark.parametrize("path, line, is_named", [
    ("net/ring.c", "lock->serving++;", True),
    ("arch/apic.h", "if (lock.serving == 1) {", True),
    ("kernel/spinlock.h", "lock->serving++;", False),
    ("kernel/lock_halt.c", "lock->serving++;", False),
    ("net/ring.c", "ring->observing++;", False),
])
def test_only_spinlocks_know_who_is_served(tmp_path, path, line, is_named):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"/* */\n{line}\n")
    faults = check_raw.check_sources(tmp_path)
    assert faults == ([f"{path}:2: knows which ticket is served: use op lock_unlock"]
                      if is_named else [])


def test_this_tree_serves_tickets_by_the_op():
    assert check_raw.check_sources(pathlib.Path(__file__).resolve().parent.parent) == []
