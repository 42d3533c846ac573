# SPDX-License-Identifier: MIT
"""Self-tests of check_nopatch.py and check_image.py: each is given a kernel with one fault and must
name it, and the same without the fault and must be silent. Run by make test."""

import pathlib
import subprocess
import sys

import pytest

import check_image
import check_nopatch

# A kernel of 20 lines: both multiboot headers, the handlers, a patchable function, one site.
KERNEL = """
global patch_breakpoint_handle, breakpoint_handle, nmi_handle, panic
global breakpoint_entry, nmi_entry, sync_entry_xapic, sync_entry_x2apic
section .text.boot
header: dd 0x1badb002, {flags}, -(0x1badb002 + {flags})
        dd header - BASE, 0x100000, {load_end}, bss_end - BASE, entry - BASE
align 8
dd 0xe85250d6, 0, 24, -(0xe85250d6 + 24), 0, 8
entry: jmp patchable
extern bss_end, data_end
BASE equ 0xffffffff80000000
section .text
patchable: {instruction}
    ret
{outside}
section .text.nopatch
patch_breakpoint_handle: call panic
    {extra}
    ret
breakpoint_handle: jz patch_breakpoint_handle
    jmp patch_breakpoint_handle
{inside}
panic: hlt
    jmp panic
section static_key_sites
    dq {site}, patchable, 0, 5
section .text
caller: call strict near trampoline
first_jump: jmp strict near trampoline
first_jcc: jz strict near trampoline
other_call: call strict near other
align 8
trampoline: jmp strict near patchable
align 8
other: jmp strict near patchable
section call_sites
{calls}
section static_calls
{patchable_functions}
section .text
first_function: times 5 nop
second_function: db 0x0f, 0x1f, 0x44, 0, {displacement}
section function_entries
{functions}
section .text
saves: call [rel pv_ops]
restores: call [rel pv_ops + 8]
saves_too: call [rel pv_ops]
section paravirt_sites
{paravirt_sites}
global pv_ops:data (pv_ops.end - pv_ops)
section paravirt_slots
pv_ops: dq {slots}
.end:
"""
PARAVIRT_SITES = ("dq saves, 0", "dq restores, 1", "dq saves_too, 0")
CALLS = ("dq caller, trampoline\ndd 0, 5", "dq first_jump, trampoline\ndd 1, 5",
         "dq first_jcc, trampoline\ndd 2, 6", "dq other_call, other\ndd 0, 5")
ENTRIES = ("breakpoint_entry", "nmi_entry", "sync_entry_xapic", "sync_entry_x2apic", "nmi_handle")
SCRIPT = """
PHDRS { text PT_LOAD FLAGS(%s); data PT_LOAD FLAGS(6); }
SECTIONS {
    . = 0xffffffff80100000;
    text_start = .;
    .text : AT(ADDR(.text) - 0xffffffff80000000) {
        *(.text.boot) *(.text) nopatch_start = .; *(.text.nopatch) nopatch_end = .; } :text
    text_end = .;
    . = ALIGN(4096);
    .data : AT(ADDR(.data) - 0xffffffff80000000) {
        static_key_sites_start = .; *(static_key_sites) static_key_sites_end = .;
        static_calls_start = .; *(static_calls) static_calls_end = .;
        call_sites_start = .; *(call_sites) call_sites_end = .;
        paravirt_sites_start = .; *(paravirt_sites) paravirt_sites_end = .;
        *(paravirt_slots)
        function_entries_start = .; *(function_entries) function_entries_end = .; } :data
    data_end = .;
    bss_end = .;
}
"""


def entries(but=None):
    """Returns the lines of the handlers' entries, all but one."""
    return "\n".join(f"{name}: jmp breakpoint_handle" for name in ENTRIES if name != but)


@pytest.fixture
def build(tmp_path):
    """Returns a function that assembles and links KERNEL with some of its parts replaced."""
    def build_kernel(segment_flags="5", **parts):
        defaults = {"flags": "0x10003", "load_end": "data_end - BASE", "extra": "nop",
                    "site": "patchable", "instruction": "jmp strict near $ + 5", "outside": "",
                    "inside": entries(), "calls": "\n".join(CALLS), "displacement": 8,
                    "patchable_functions": "",
                    "functions": "dq first_function, second_function",
                    "paravirt_sites": "\n".join(PARAVIRT_SITES), "slots": "caller, other_call"}
        (tmp_path / "k.asm").write_text("bits 64\n" + KERNEL.format(**{**defaults, **parts}))
        (tmp_path / "k.ld").write_text(SCRIPT % segment_flags)
        elf = tmp_path / "k.elf"
        subprocess.run(["nasm", "-f", "elf64", "k.asm", "-o", "k.o"], cwd=tmp_path, check=True)
        subprocess.run(["ld", "-static", "-nostdlib", "-z", "max-page-size=0x1000", "-T", "k.ld",
                        "-e", "patchable", "--no-warn-rwx-segments", "k.o", "-o", elf],
                       cwd=tmp_path, check=True)
        return str(elf)
    return build_kernel


def test_good_image_passes_both_checks(build):
    elf = build()
    assert check_nopatch.check(elf) == []
    assert check_image.check(elf) == []


@pytest.mark.parametrize("extra, complaint", [
    ("call patchable", "leaves nopatch text"),
    ("jz near patchable", "leaves nopatch text"),
    ("jmp near patchable", "leaves nopatch text"),
    ("db 0xe2, -128", "leaves nopatch text"),
    ("call rax", "indirect"),
    ("call [rax + 8]", "indirect"),
    ("jmp [rax*8 + 8]", "indirect"),
    ("jmp far [rax]", "indirect"),
    ("db 0x06", "not an instruction"),
])
def test_nopatch_refuses_code_that_leaves(build, extra, complaint):
    assert any(complaint in fault for fault in check_nopatch.check(build(extra=extra)))


def test_nopatch_refuses_a_site_inside(build):
    faults = check_nopatch.check(build(site="breakpoint_handle"))
    assert any("breakpoint_handle" in fault for fault in faults)


def test_nopatch_refuses_an_entry_outside(build):
    faults = check_nopatch.check(build(extra="section .text\nnop\nsection .text.nopatch"))
    assert faults == []
    faults = check_nopatch.check(build(extra="ret\nsection .text"))
    assert any("panic is not in nopatch text" in fault for fault in faults)


@pytest.mark.parametrize("name", ENTRIES)
def test_nopatch_refuses_a_handler_entry_outside(build, name):
    faults = check_nopatch.check(build(outside=f"{name}: iretq", inside=entries(but=name)))
    assert faults == [f"{name} is not in nopatch text"]


@pytest.mark.parametrize("parts, complaint", [
    ({"flags": "3"}, "without load addresses"),
    ({"load_end": "0x100010"}, "cuts off data"),
    ({"segment_flags": "7"}, "writable and executable"),
    ({"site": "patchable, 0"}, "not a multiple of 32"),
    ({"site": "0"}, "not in text"),
    ({"instruction": "nop dword [rax + rax]"}, "0x0f is not a jump"),
    ({"instruction": "times 4 nop\njmp strict near $ + 5", "site": "patchable + 4"}, "its 5 bytes"),
    ({"instruction": "times 7 nop\njmp short $ + 2", "site": "patchable + 7"}, "its 2 bytes"),
])
def test_image_refuses(build, parts, complaint):
    assert any(complaint in fault for fault in check_image.check(build(**parts)))


def changed(old, new):
    """Returns the call sites with one text replaced; it must be there."""
    calls = "\n".join(CALLS)
    assert old in calls
    return calls.replace(old, new, 1)


@pytest.mark.parametrize("calls, complaint", ids=lambda _: "", argvalues=[
    ("", None),
    ("\n".join(CALLS[3:] + CALLS[:3]), None),
    ("\n".join(CALLS) + "\ndq 0", "104 bytes are not a multiple of 24"),
    (changed("dd 0", "dd 3"), "kind 3 is unknown"),
    (changed("dd 0", "dd 1"), "is not a jmp"),
    (changed("dd 1", "dd 0"), "is not a call"),
    (changed("dd 1, 5", "dd 2, 6"), "is not a jcc"),
    (changed("dd 0, 5", "dd 0, 6"), "length 6 is not that of a call"),
    (changed("dd 2, 6", "dd 2, 5"), "length 5 is not that of a jcc"),
    (changed("dq caller,", "dq caller + 1,"), "is not a call"),
    (changed("other_call, other", "other_call, trampoline"), "to other+0x0, not to trampoline+0x0"),
    (changed("dq caller, trampoline", "dq caller, trampoline + 1"), "not to trampoline+0x1"),
    (changed("dq caller,", "dq 0,"), "0x0: it is not in text text"),
    (changed("dq first_jcc,", "dq BASE + 0x200000,"), "it is not in text text"),
    (changed("dq first_jcc,", "dq breakpoint_handle,"), "it is in nopatch text"),
    ("\n".join(CALLS[1::-1]), "not in ascending order"),
    ("\n".join(CALLS[:1] * 2), "not in ascending order"),
    ("\n".join((CALLS[0], CALLS[3], CALLS[1])), "trampoline+0x0 do not stand together"),
])
def test_image_checks_call_sites(build, calls, complaint):
    faults = check_image.check(build(calls=calls))
    assert faults == [] if complaint is None else len(faults) == 1 and complaint in faults[0]


@pytest.mark.parametrize("missing, site", enumerate(
    ("caller", "first_jump", "first_jcc", "other_call")))
def test_image_misses_a_call_site(build, missing, site):
    both = "dq 0, trampoline, 0, other"
    assert check_image.check(build(patchable_functions=both)) == []
    calls = "\n".join(CALLS[:missing] + CALLS[missing + 1:])
    fault, = check_image.check(build(patchable_functions=both, calls=calls))
    assert fault.startswith(f"call_sites: {site}+0x0 is not listed: ")


def test_image_misses_a_call_site_that_an_assembler_resolved(build):
    elf = build(patchable_functions="dq 0, trampoline", extra="section .text\nshort_jump: "
                "jmp short trampoline\nsection .text.nopatch")
    assert "short_jump+0x0 is not listed: jmp" in check_image.check(elf)[0]


def test_image_wants_the_bounds_of_call_sites(build, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SCRIPT", SCRIPT.replace("call_sites_end", "other"))
    with pytest.raises(ValueError, match="call_sites_end is missing"):
        check_image.check(build())


def test_nopatch_refuses_a_call_site_inside(build):
    faults = check_nopatch.check(build(calls="dq panic, trampoline\ndd 0, 5"))
    assert faults == ["call_sites: a site or its target is in nopatch text: panic+0x0"]


def site_list(old="", new=""):
    """Returns the paravirt sites with one text replaced; it must be there."""
    sites = "\n".join(PARAVIRT_SITES)
    assert old in sites
    return sites.replace(old, new, 1)


@pytest.mark.parametrize("sites, complaint", ids=lambda _: "", argvalues=[
    ("\n".join(PARAVIRT_SITES[::-1]), None),
    (site_list() + "\ndq 0", "56 bytes are not a multiple of 16"),
    (site_list("dq saves, 0", "dq saves, 1"), "goes through pv_ops+0x0, not through slot 1"),
    (site_list("dq restores, 1", "dq restores, 0"), "through pv_ops+0x8, not through slot 0"),
    (site_list("dq saves, 0", "dq saves, 2"), "there is no op 2"),
    (site_list("dq saves, 0", "dq saves, -1"), "there is no op 18446744073709551615"),
    (site_list("dq saves,", "dq other_call,"), "is not a call through memory"),
    (site_list("dq restores,", "dq 0,"), "0x0: it is not in text text"),
    (site_list("dq restores,", "dq BASE + 0x200000,"), "it is not in text text"),
    (site_list("dq restores,", "dq breakpoint_handle,"), "it is in nopatch text"),
    (site_list("dq saves_too,", "dq saves,"), "it shares bytes with 0x"),
])
def test_image_checks_paravirt_sites(build, sites, complaint):
    faults = check_image.check(build(paravirt_sites=sites))
    assert faults == [] if complaint is None else any(complaint in fault for fault in faults)
    assert all(fault.startswith("paravirt_sites: ") for fault in faults)


@pytest.mark.parametrize("slots, complaint", [
    ("caller, 0", "pv_ops: slot 1 holds 0x0, which is not in text"),
    ("pv_ops, caller", "pv_ops: slot 0 holds "),
])
def test_image_refuses_a_slot_without_a_function(build, slots, complaint):
    fault, = check_image.check(build(slots=slots))
    assert complaint in fault


@pytest.mark.parametrize("missing, site", enumerate(("saves", "restores", "saves_too")))
def test_image_misses_a_paravirt_site(build, missing, site):
    sites = "\n".join(PARAVIRT_SITES[:missing] + PARAVIRT_SITES[missing + 1:])
    fault, = check_image.check(build(paravirt_sites=sites))
    assert fault.startswith(f"paravirt_sites: {site}+0x0 is not listed: call")


def test_image_misses_a_jump_through_a_slot(build):
    fault, = check_image.check(build(extra="section .text\nleaves: jmp [rel pv_ops + 8]\n"
                                     "section .text.nopatch"))
    assert fault.startswith("paravirt_sites: leaves+0x0 is not listed: jmp")


@pytest.mark.parametrize("slots", ["caller, other_call\ndb 0", ""])
def test_image_wants_an_array_of_slots(build, slots):
    with pytest.raises(ValueError, match="pv_ops is missing, or no array of words"):
        check_image.check(build(slots=slots))


@pytest.mark.parametrize("functions, complaint", ids=lambda _: "", argvalues=[
    ("", None),
    ("dq second_function", None),
    ("dd 0", "4 bytes are not a multiple of 8"),
    ("dq 8", "0x8 is not in text"),
    ("dq first_function + 1", "first_function+0x1 does not begin with a nop"),
    ("dq caller", "caller+0x0 does not begin with a nop"),
    ("dq second_function, first_function", "comes after"),
    ("dq first_function, first_function", "comes after"),
])
def test_image_checks_the_entries_of_functions(build, functions, complaint):
    faults = check_image.check(build(functions=functions))
    assert faults == [] if complaint is None else len(faults) == 1 and complaint in faults[0]


def test_nopatch_refuses_a_traceable_function_inside(build):
    faults = check_nopatch.check(build(functions="dq panic"))
    assert faults == ["function_entries: a site or its target is in nopatch text: panic+0x0"]


def test_image_refuses_moved_file_offsets(build):
    elf = pathlib.Path(build())
    data = bytearray(elf.read_bytes())
    start = data.index((0x1BADB002).to_bytes(4, "little"))
    data[start + 12:start + 16] = (0x100010).to_bytes(4, "little")
    elf.write_bytes(data)
    assert any("file offset" in fault for fault in check_image.check(str(elf)))
