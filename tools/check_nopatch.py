#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Proves on the linked kernel that .text.nopatch is closed.

The #BP, NMI and sync handlers run while other text is half patched. So: every jump and call in
[nopatch_start, nopatch_end) stays inside it, none is indirect, no patchable site lies in it, and
the entries of those handlers do lie in it. Callers: the Makefile after each link; make lint.
Would miss: a `ret` to a pushed foreign address, data disguised as code.
"""

import re
import struct
import subprocess
import sys

from elf import Elf

# Where the unpatched world begins; each must be inside.
ENTRIES = ("breakpoint_entry", "nmi_entry", "sync_entry_xapic", "sync_entry_x2apic",
           "patch_breakpoint_handle", "breakpoint_handle", "nmi_handle", "panic")
SITE_SECTIONS = ("static_key_sites", "call_sites", "paravirt_sites", "function_entries")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(.*?)\s*$")
BRANCH = re.compile(r"^(?:(?:bnd|notrack|rep|repz|data16|cs|ds|rex\S*)\s+)*"
                    r"(l?call\w*|l?jmp\w*|j[a-z]+|loop\w*|xbegin)(?:,p[nt])?\b\s*(\S*)")
ENDS = re.compile(r"^(?:rep\S* )?(ret|iret|jmp|ud2|hlt|call)")  # a last call does not return
PADDING = re.compile(r"^(nop|int3|xchg\s+%ax,%ax|data16|cs nop|lea\s+0x0\()")


def disassemble(path, start, end):
    """Yields (address, instruction text) of the addresses [start, end)."""
    listing = subprocess.run(
        ["objdump", "-d", "-w", "--no-show-raw-insn", f"--start-address={start:#x}",
         f"--stop-address={end:#x}", path], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        match = INSTRUCTION.match(line)
        if match:
            yield int(match.group(1), 16), match.group(2)


def check_code(elf, path, start, end):
    """Returns the complaints about the instructions of [start, end)."""
    faults, last = [], "nothing"
    for address, text in disassemble(path, start, end):
        if "(bad)" in text:
            faults.append(f"{elf.symbol_at(address)}: not an instruction")
        if not PADDING.match(text):
            last = text
        branch = BRANCH.match(text)
        if not branch:
            continue
        target = branch.group(2)
        if target.startswith("*") or branch.group(1).startswith("l") and "," in target:
            faults.append(f"{elf.symbol_at(address)}: indirect: {text}")
        elif not start <= int(target, 16) < end:
            faults.append(f"{elf.symbol_at(address)}: leaves nopatch text: {text}")
    if not ENDS.match(last):
        faults.append(f"nopatch text runs on into patchable text after: {last}")
    return faults


def check_sites(elf, start, end):
    """Returns the complaints about patchable sites that name an address in [start, end)."""
    faults = []
    for name in SITE_SECTIONS:
        table = elf.read(*elf.range(name))
        for (word,) in struct.iter_unpack("<Q", table[:len(table) // 8 * 8]):
            if start <= word < end:
                faults.append(f"{name}: a site or its target is in nopatch text: "
                              f"{elf.symbol_at(word)}")
    return faults


def check(path):
    """Returns all complaints about the kernel image at path."""
    elf = Elf(path)
    start, end = elf.range("nopatch")
    faults = [f"{name} is not in nopatch text" for name in ENTRIES
              if not start <= elf.symbols.get(name, 0) < end]
    return faults + check_code(elf, path, start, end) + check_sites(elf, start, end)


def main():
    faults = check(sys.argv[1])
    for fault in faults:
        print(f"check_nopatch: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
