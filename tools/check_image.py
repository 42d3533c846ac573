#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the linked kernel as its loaders will see it.

Multiboot 1 (QEMU -kernel) loads a 64-bit ELF by the addresses in the header, as one flat piece:
header, segments and file offsets must agree. Multiboot 2 (GRUB) needs its header in the first 32
KiB. No part of the image may be writable and executable. Every site of a static key is a jump
inside an aligned quadword, so that the protocol qword takes it with one store. Every entry of
call_sites (tools/call_sites made them before the link) is the call or jump to the function that it
names, and none is missing. Every entry of paravirt_sites is an indirect call through the slot of
its op, outside of nopatch text, once; every slot holds a function, and no other call or jump goes
through one. Every entry of function_entries is five bytes of nop; they ascend.
Callers: the Makefile after each link; make lint.
"""

import re
import struct
import sys

from check_nopatch import BRANCH, disassemble
from elf import PF_W, PF_X, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, Elf

MULTIBOOT1_MAGIC, MULTIBOOT1_RANGE, MULTIBOOT1_ADDRESSES = 0x1BADB002, 8192, 1 << 16
JUMP_LENGTHS, QUADWORD = {0xEB: 2, 0xE9: 5}, 8
CALL_ENTRY = struct.Struct("<QQII")  # struct call_site: address, function, kind, length
CALL_KINDS = {0: ("call", b"\xe8"), 1: ("jmp", b"\xe9"), 2: ("jcc", b"\x0f")}
PARAVIRT_ENTRY = struct.Struct("<QQ")  # struct paravirt_site: address, index of the op
WORD = re.compile(r"\(%rip\)\s+# ([0-9a-f]+)")  # the address of an operand, by objdump
CALL_MEMORY = b"\xff\x15"  # call [rip + disp32]
PARAVIRT_LENGTH = len(CALL_MEMORY) + 4
ENTRY_NOPS = b"\x90" * 5, b"\x0f\x1f\x44\x00"  # gcc's; clang's, whose last byte is of no account
MULTIBOOT2_MAGIC, MULTIBOOT2_RANGE = 0xE85250D6, 32768


def find_header(data, magic, limit, alignment, checksum_words):
    """Returns the offset of the header with this magic and a right checksum, or None."""
    for offset in range(0, min(limit, len(data)) - 4 * checksum_words, alignment):
        words = struct.unpack_from(f"<{checksum_words}I", data, offset)
        if words[0] == magic and sum(words) & 0xFFFFFFFF == 0:
            return offset
    return None


def check_multiboot1(elf):
    offset = find_header(elf.data, MULTIBOOT1_MAGIC, MULTIBOOT1_RANGE, 4, 3)
    if offset is None or offset + 32 > MULTIBOOT1_RANGE:
        return ["no multiboot 1 header in the first 8 KiB"]
    flags, = struct.unpack_from("<I", elf.data, offset + 4)
    if not flags & MULTIBOOT1_ADDRESSES:
        return ["multiboot 1 header without load addresses (flag 16): QEMU refuses a 64-bit ELF"]
    header, load, load_end, bss_end, entry = struct.unpack_from("<5I", elf.data, offset + 12)
    faults = []
    file_start = offset - (header - load)
    if file_start < 0:
        faults.append(f"load address {load:#x} lies before the start of the file")
    for segment in elf.segments:
        if segment.filesz and segment.paddr - load != segment.offset - file_start:
            faults.append(f"segment at {segment.paddr:#x}: file offset {segment.offset:#x} is not "
                          f"where the flat image has it ({file_start + segment.paddr - load:#x})")
    filled = max(segment.paddr + segment.filesz for segment in elf.segments if segment.filesz)
    ends = max(segment.paddr + segment.memsz for segment in elf.segments)
    if load_end < filled:
        faults.append(f"load end {load_end:#x} cuts off data up to {filled:#x}")
    if bss_end < ends:
        faults.append(f"bss end {bss_end:#x} cuts off memory up to {ends:#x}")
    if not any(segment.flags & PF_X and segment.paddr <= entry < segment.paddr + segment.filesz
               for segment in elf.segments):
        faults.append(f"entry {entry:#x} is not in an executable segment")
    return faults


def check_multiboot2(elf):
    if find_header(elf.data, MULTIBOOT2_MAGIC, MULTIBOOT2_RANGE, 8, 4) is None:
        return ["no multiboot 2 header in the first 32 KiB"]
    return []


def check_permissions(elf):
    faults = [f"segment at {segment.vaddr:#x} is writable and executable"
              for segment in elf.segments if segment.flags & PF_W and segment.flags & PF_X]
    mixed = SHF_WRITE | SHF_EXECINSTR | SHF_ALLOC
    return faults + [f"section {section.name} is writable and executable"
                     for section in elf.sections if section.flags & mixed == mixed]


def check_place(elf, address):
    """In the image a site is the jump that the compiler made: its first byte tells its length."""
    opcode = elf.read(address, address + 1)[0]
    length = JUMP_LENGTHS.get(opcode)
    if length is None:
        return f"{address:#x}: {opcode:#04x} is not a jump"
    if address // QUADWORD != (address + length - 1) // QUADWORD:
        return f"{address:#x}: its {length} bytes cross the end of an aligned quadword"
    return None


def check_sites(elf):
    """A static-key entry opens with the site's address and target; both must be kernel text."""
    start, end = elf.range("text")
    sites_start, sites_end = elf.range("static_key_sites")
    table = elf.read(sites_start, sites_end)
    entry_size = 32
    if len(table) % entry_size:
        return [f"static_key_sites: {len(table)} bytes are not a multiple of {entry_size}"]
    entries = list(struct.iter_unpack("<4Q", table))
    faults = [f"{address:#x} is not in text"
              for entry in entries for address in entry[:2] if not start <= address < end]
    faults = faults or filter(None, (check_place(elf, entry[0]) for entry in entries))
    return [f"static_key_sites: {fault}" for fault in faults]


def check_call(elf, address, function, kind, length):
    """Returns what is wrong with one entry of call_sites, or None."""
    name, opcode = CALL_KINDS.get(kind, (None, b""))
    if name is None:
        return f"kind {kind} is unknown"
    if length != len(opcode) + (kind == 2) + 4:
        return f"length {length} is not that of a {name}"
    for area, inside in ("text", True), ("nopatch", False):
        start, end = elf.range(area)
        overlaps = address < end and address + length > start
        if inside and not start <= address <= end - length or not inside and overlaps:
            return f"it is {'not ' if inside else ''}in {area} text"
    code = elf.read(address, address + length)
    if not code.startswith(opcode) or kind == 2 and code[1] & 0xF0 != 0x80:
        return f"{code.hex(' ')} is not a {name}"
    target = address + length + struct.unpack("<i", code[-4:])[0]
    if target != function:
        return f"it goes to {elf.symbol_at(target)}, not to {elf.symbol_at(function)}"
    return None


def check_calls(elf):
    """The table of call sites is grouped by function, ascending in each group, and true."""
    table = elf.read(*elf.range("call_sites"))
    if len(table) % CALL_ENTRY.size:
        return [f"call_sites: {len(table)} bytes are not a multiple of {CALL_ENTRY.size}"]
    faults, last, seen = [], (None, 0), set()
    for address, function, kind, length in CALL_ENTRY.iter_unpack(table):
        fault = check_call(elf, address, function, kind, length)
        if function == last[0] and address <= last[1]:
            fault = fault or f"it comes after {last[1]:#x}: not in ascending order"
        if function != last[0] and function in seen:
            fault = fault or f"the sites of {elf.symbol_at(function)} do not stand together"
        if fault:
            faults.append(f"call_sites: {address:#x}: {fault}")
        last = function, address
        seen.add(function)
    return faults


def check_calls_complete(elf, path):
    """A branch to a patchable function, or through a slot, that no table lists would not be
    patched: for instance one that an assembler resolved by itself, without a relocation."""
    functions = {function for _, function in
                 struct.iter_unpack("<QQ", elf.read(*elf.range("static_calls")))}
    listed = {address for address, in struct.iter_unpack(
        "<Q16x", elf.read(*elf.range("call_sites")))}
    paravirt = {address for address, in struct.iter_unpack(
        "<Q8x", elf.read(*elf.range("paravirt_sites")))}
    slots, faults = slot_addresses(elf), []
    for address, text in disassemble(path, *elf.range("text")):
        branch = BRANCH.match(text)
        word = WORD.search(text)
        if branch and not branch.group(2).startswith("*") and address not in listed:
            if int(branch.group(2).rstrip(","), 16) in functions:
                faults.append(f"call_sites: {elf.symbol_at(address)} is not listed: {text}")
        if branch and word and int(word.group(1), 16) in slots and address not in paravirt:
            faults.append(f"paravirt_sites: {elf.symbol_at(address)} is not listed: {text}")
    return faults


def slot_addresses(elf):
    """Returns where the slots stand that paravirt sites go through: pv_ops, one word an op."""
    if elf.sizes.get("pv_ops", 0) % 8 or not elf.sizes.get("pv_ops"):
        raise ValueError("symbol pv_ops is missing, or no array of words")
    return range(elf.symbols["pv_ops"], elf.symbols["pv_ops"] + elf.sizes["pv_ops"], 8)


def check_paravirt_site(elf, address, op, slots):
    """Returns what is wrong with one entry of paravirt_sites, or None. slots: where they stand."""
    for area, inside in ("text", True), ("nopatch", False):
        start, end = elf.range(area)
        overlaps = address < end and address + PARAVIRT_LENGTH > start
        if inside and not start <= address <= end - PARAVIRT_LENGTH or not inside and overlaps:
            return f"it is {'not ' if inside else ''}in {area} text"
    if op >= len(slots):
        return f"there is no op {op}"
    code = elf.read(address, address + PARAVIRT_LENGTH)
    if not code.startswith(CALL_MEMORY):
        return f"{code.hex(' ')} is not a call through memory"
    slot = address + PARAVIRT_LENGTH + struct.unpack("<i", code[-4:])[0]
    if slot != slots[op]:
        return f"it goes through {elf.symbol_at(slot)}, not through slot {op}"
    return None


def check_paravirt(elf):
    """The table of paravirt sites is true, and every slot works before it is read."""
    table = elf.read(*elf.range("paravirt_sites"))
    if len(table) % PARAVIRT_ENTRY.size:
        return [f"paravirt_sites: {len(table)} bytes are not a multiple of {PARAVIRT_ENTRY.size}"]
    start, end = elf.range("text")
    slots = slot_addresses(elf)
    functions = struct.unpack(f"<{len(slots)}Q", elf.read(slots.start, slots.stop))
    faults = [f"pv_ops: slot {number} holds {function:#x}, which is not in text"
              for number, function in enumerate(functions) if not start <= function < end]
    last = -PARAVIRT_LENGTH
    for address, op in sorted(PARAVIRT_ENTRY.iter_unpack(table)):
        fault = check_paravirt_site(elf, address, op, slots)
        if address < last + PARAVIRT_LENGTH:
            fault = fault or f"it shares bytes with {last:#x}"
        if fault:
            faults.append(f"paravirt_sites: {address:#x}: {fault}")
        last = address
    return faults


def check_entries(elf):
    """Where functions begin: in text, ascending, and what function_trace.c may write over."""
    start, end = elf.range("text")
    table = elf.read(*elf.range("function_entries"))
    if len(table) % 8:
        return [f"function_entries: {len(table)} bytes are not a multiple of 8"]
    faults, last = [], 0
    for (address,) in struct.iter_unpack("<Q", table):
        if not start <= address <= end - 5:
            faults.append(f"function_entries: {address:#x} is not in text")
        elif not elf.read(address, address + 5).startswith(ENTRY_NOPS):
            faults.append(f"function_entries: {elf.symbol_at(address)} does not begin with a nop")
        if address <= last:
            faults.append(f"function_entries: {address:#x} comes after {last:#x}")
        last = address
    return faults


def check(path):
    """Returns all complaints about the kernel image at path."""
    elf = Elf(path)
    faults = (check_multiboot1(elf) + check_multiboot2(elf) + check_permissions(elf)
              + check_sites(elf) + check_calls(elf) + check_paravirt(elf) + check_entries(elf))
    return faults or check_calls_complete(elf, path)


def main():
    faults = check(sys.argv[1])
    for fault in faults:
        print(f"check_image: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
