#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Proves on the linked kernel that paravirt ops have no second path (arch/paravirt_table.h).

An instruction that an op stands for may be found, outside boot code and .text.nopatch (where no
site may stand), only in the functions that are named below, each with its reason. A site is an
indirect call in the linked image, so whatever is found there was written by hand. Also: each call
through pv_ops is a listed site, each listed site is one, and nothing but a spinlock's own code
writes which ticket is served. Callers: the Makefile after each link; make lint.
Would miss: data disguised as code, an interrupt command register that is written through a pointer.
"""

import pathlib
import re
import struct
import subprocess
import sys
from collections import namedtuple

from elf import Elf

# What nobody may do by himself, the ops to use instead, and who may, why. A name that ends in * is
# a prefix, one that ends in a slash the room of its source. Names of one entry: a function, and
# those it is inlined into; one must hold it.
Rule = namedtuple("Rule", "what pattern ops allowed")

# Ways themselves: what a site shows, or calls.
WAYS = {
    "native_*": "a native way",
    "kvm_*": "a way of backend kvm",
}
UNWANTED = {
    "halt_for_ever smp_main": "a CPU that nobody waits for: it has no traps yet, nor any again",
}
RULES = (
    Rule("turns interrupts on or off", r"(cli|sti)$", "irq_disable, irq_enable, irq_restore", {
        **WAYS, **UNWANTED,
        "check_flag_set": "a test of the ops that do",
    }),
    Rule("reads the flags", r"pushfq?$", "irq_save", {
        **WAYS,
        "check_flag_is_set": "a test of the op that does",
        "single_step_call": "sets the trap flag",
        "single_step_end": "clears the trap flag",
        "step_note": "a test that looks at the trap flag",
        "counted_layer_interrupts_are_on": "a test of the ops that change the flag",
        "no_handler_is_stepped_and_nothing_afterwards": "a test that looks at the trap flag",
        "patch_site_compare_address": "a test site whose flags are looked at whole",
    }),
    Rule("writes the flags", r"popfq?$", "irq_restore", {
        **WAYS,
        "single_step_call": "sets the trap flag",
        "single_step_end": "clears the trap flag",
    }),
    Rule("halts", r"(hlt|mwait)$", "safe_halt", {
        **WAYS, **UNWANTED,
        "halt_machine exit_run": "the machine is over: no interrupt may wake it",
    }),
    Rule("drops translations", r"(invlpg|invpcid)\b", "tlb_flush_page", WAYS),
    Rule("drops translations", r"mov +%r\w+,%cr3", "tlb_flush_local, tlb_flush_all", WAYS),
    Rule("drops translations", r"mov +%r\w+,%cr4", "tlb_flush_local, tlb_flush_all", {
        **WAYS,
        "features_enable_cpu": "turns protections on; nothing that was mapped changes",
    }),
    Rule("writes an MSR", r"wrmsr$", "eoi, send_ipi", {
        **WAYS,
        "apic_enable_cpu": "the APIC's base register",
        "apic_timer_arm_ns": "the TSC deadline",
        "apic_timer_stop": "the TSC deadline",
        "descriptors_load": "the base of GS",
    }),
    Rule("writes the APIC", r"(call|j\w+).*<apic_raw_write>", "eoi, send_ipi", {
        **WAYS,
        "error_interrupt": "the error status",
        "apic_enable_cpu apic_initialize": "the local vector table",
        "apic_timer_initialize": "the timer, while it is measured",
        "apic_timer_arm_ns": "the timer",
        "apic_timer_stop": "the timer",
    }),
    Rule("sends interrupts", r"(call|j\w+).*<apic_raw_send>", "send_ipi, broadcast_ipi", {
        **WAYS,
        "apic_send_init": "starts a CPU: no interrupt",
        "apic_send_startup": "starts a CPU: no interrupt",
    }),
    Rule("ends an interrupt", r".*<apic_end_of_interrupt_register>", "eoi", {
        **WAYS,
        "apic_end_of_interrupt": "the operand of the op",
        "check_eoi_here": "a test of the op",
        "patched_loop_eoi": "the same, for a bench of the op",
    }),
    Rule("goes around a site", r"(call|j\w+).*<(paravirt_thunk_)?native_", "pv_NAME()", {
        **WAYS,
        "paravirt_thunk_*": "a way in C, behind its thunk",
    }),
    Rule("reads the time stamp counter", r"rdtscp?$", "clock_read", {
        **WAYS,
        "clock_start clock_initialize clock_continue_from": "where the clock begins",
        "clock_read_lfence": "what native_clock_read() calls",
        "clock_read_rdtscp": "what native_clock_read() calls",
        "clock_compare_sample": "compares the CPUs' counters themselves",
        "measure_against sample_take": "measures the counter's frequency",
        "apic_timer_arm_ns": "a deadline is a value of this counter",
        "tests/kernel/": "a test's own measure, or bound; that of a clock, too",
        "counted_* ticks_since count_call": "times each op; the clock is one of them",
        "clock_floor_release": "how long the clock stands still, which it cannot tell",
        "ipi_trace_add": "a stamp: only differences of stamps are used",
        "bench_*": "measures: a clock's own cost would be part of the result",
        "runner_thread": "measures, for the benches",
        "poll_thread poll_until_empty": "measures what polling costs",
        "time_receive": "a service that answers with counts of cycles",
        "torture_clock_read": "a clock of a test",
        "torture_clock_enter": "where that clock begins",
        "dhcp_start": "a number that nobody can guess",
    }),
)
# Who knows which ticket of a spinlock is served, or measures that; everybody else calls op
# lock_unlock.
LOCK_FILES = re.compile(r"(kernel/(spinlock|lock_halt)|bench/bench_pv)\w*\.[ch]$|tests/")
LOCK_FIELD = re.compile(r"(->|\.)serving\b")

ROOT = pathlib.Path(__file__).resolve().parent.parent
LABEL = re.compile(r"^[0-9a-f]+ <(.+)>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(?:(?:cs|ds|data16|rep\w*|rex\S*) )*(.*?)\s*$")
SLOT = re.compile(r".*<pv_ops(?:\+0x([0-9a-f]+))?>$")


def disassemble(path, start, end):
    """Returns (function, address, instruction text) of the addresses [start, end)."""
    listing = subprocess.run(
        ["objdump", "-d", "-w", "--no-show-raw-insn", f"--start-address={start:#x}",
         f"--stop-address={end:#x}", path], check=True, capture_output=True, text=True).stdout
    function, found = "?", []
    for line in listing.splitlines():
        match = INSTRUCTION.match(line)
        if match:
            found.append((function, int(match.group(1), 16), match.group(2)))
            # PUSHFQ; MOV %cs: a frame for IRET, which serialises; no flag is read.
            if "%cs," in found[-1][2] and found[-2:][0][2].startswith("pushf"):
                del found[-2]
        elif label := LABEL.match(line):
            function = label.group(1).split(".")[0]  # .part.0, .cold, a label inside
    return found


def source_of(elf, address):
    """Returns the path of the source that the outermost function at `address` comes from."""
    return subprocess.run(["addr2line", "-i", "-e", elf.path, hex(address)], check=True,
                          capture_output=True, text=True).stdout.splitlines()[-1]


def allowing(elf, rule, function, address):
    """Returns the entries of a rule that allow it to `function`."""
    entries = [names for names in rule.allowed for name in names.split()
               if function == name or name.endswith("*") and function.startswith(name[:-1])]
    return entries or [room for room in rule.allowed if room.endswith("/") and
                       f"/{room}" in f"/{source_of(elf, address)}"]


def check_rule(elf, rule, code):
    """Returns the complaints about one rule."""
    pattern, faults, used = re.compile(rule.pattern), [], set()
    for function, address, text in code:
        if not pattern.match(text):
            continue
        entries = allowing(elf, rule, function, address)
        used.update(entries)
        if not entries:
            faults.append(f"{elf.symbol_at(address)} {rule.what} ({text}): use op {rule.ops}, or "
                          "name the function in tools/check_raw.py, with the reason")
    faults += [f"{names}: does not do it any more ({rule.what}): take it off the list"
               for names in rule.allowed if names not in used and not re.search("[*/]", names)]
    return faults


def check_sites(elf, code):
    """Returns the complaints about calls through pv_ops and the table of sites."""
    table = elf.read(*elf.range("paravirt_sites"))
    if len(table) % 16 != 0:
        return [f"paravirt_sites: {len(table)} bytes are not a multiple of 16"]
    listed, faults = dict(struct.iter_unpack("<QQ", table)), []
    if len(listed) != len(table) // 16:
        faults.append("paravirt_sites: a site is listed twice")
    for function, address, text in code:
        match = SLOT.match(text)
        if match and not text.startswith("call   *"):
            faults.append(f"{function}: touches pv_ops outside a site: {text}")
        elif match and listed.pop(address, None) != int(match.group(1) or "0", 16) // 8:
            faults.append(f"{function}: a call that the table of sites does not have: {text}")
    return faults + [f"paravirt_sites: {elf.symbol_at(address)} is no call through pv_ops"
                     for address in listed]


def check_sources(root):
    """Returns the complaints about who serves tickets, from the sources below `root`."""
    return [f"{path.relative_to(root)}:{number}: knows which ticket is served: use op lock_unlock"
            for room in ("arch", "kernel", "patching", "drivers", "net", "bench")
            for path in sorted((root / room).glob("*.[ch]"))
            if not LOCK_FILES.match(str(path.relative_to(root)))
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if LOCK_FIELD.search(line)]


def check(path, rules=RULES):
    """Returns all complaints about the kernel image at path."""
    elf = Elf(path)
    wanted = re.compile("|".join([rule.pattern for rule in rules] + [SLOT.pattern]))
    code = [entry for entry in disassemble(path, elf.symbols["nopatch_end"],
                                           elf.symbols["text_end"]) if wanted.match(entry[2])]
    return sum((check_rule(elf, rule, code) for rule in rules), check_sites(elf, code))


def main():
    faults = check(sys.argv[1]) + check_sources(ROOT)
    for fault in faults:
        print(f"check_raw: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
