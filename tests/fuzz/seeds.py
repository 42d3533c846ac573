# SPDX-License-Identifier: MIT
"""Inputs for the fuzzers to start from: every instruction form, every protocol, every kind of
fault. Invariant: written in the formats that fuzz_instruction.c and fuzz_batch.c read; a fuzzer
given none of them finds the same in more time. Called by: run_fuzzers.py,
fuzz_mutants.py.
"""

import struct

# One documented encoding a form.
FORMS = ["90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "eb10", "e900010000",
         "7480", "0f8500000080", "e8ffffff7f", "c3", "c3cc", "c3cccccc", "c3cccccccccc",
         "2e2e2e31c0"]
KINDS = range(-1, 7)
PLACES = 18  # sites in 64 bytes of the arena (fuzz_batch.c)

# The numbers of the steps in fuzz_batch.c.
(PLACE, _, UNCHANGED, RAW, MANY, PROTOCOL, FLAGS, DEFAULT, MACHINE, PATCHABLE, PLANT, TRAP,
 FAIL_WRITE, SILENT, INITIALIZE, PLAN, APPLY, APPLY_LOCKED) = range(18)
QWORD, NAIVE, PROTOCOLS = 2, 4, 5
UNSAFE, STRICT = 1, 2
TORN = 4  # of MACHINE: quadwords are not fetched whole
CLOSE, IN_ARENA, ANYWHERE, TO_ZERO = range(4)
JUMP, JUMP_IF, CALL = 1, 2, 3


def instruction_seeds():
    """Yields inputs of fuzz_instruction: what stands there, and what is to be encoded."""
    for address in (0, 0x400000, 0xFFFFFFFF80100000, 2 ** 64 - 3):
        for number, form in enumerate(FORMS):
            site = bytes.fromhex(form)
            abstract = struct.pack("<bBB", KINDS[number % len(KINDS)], len(site), number % 17)
            yield (struct.pack("<BQB", 0, address, len(site)) + site.ljust(6, b"\0") + abstract
                   + struct.pack("<BQB", 128 + number % 6, number % 3, number * 4))


def place(number, kind, way=CLOSE, target=0, condition=0):
    """A site of machine_fill() that is to become an instruction of that kind."""
    tail = b""
    if kind in (JUMP, JUMP_IF, CALL):
        tail = {CLOSE: "<B", IN_ARENA: "<H", ANYWHERE: "<I", TO_ZERO: ""}[way]
        tail = struct.pack(tail, target) if tail else b""
    return struct.pack("<BHBB", PLACE, number, kind + 6 * condition, way) + tail


def sites():
    """Sites of all forms, unsorted: nearly all of them change, and no jump leads into another."""
    text = b""
    for number in reversed(range(2 * PLACES)):
        way = (number // 6) % 4
        text += place(number, number % 6, way, 0x1000000 if way == ANYWHERE else 0, number % 16)
    return text


def batch_seeds():
    """Yields programs of fuzz_batch."""
    for protocol in range(PROTOCOLS):
        start = bytes([PROTOCOL, protocol, FLAGS, UNSAFE])
        yield start + sites() + bytes([PLAN, APPLY])
        yield start + place(3, CALL) + place(0, CALL) + bytes([UNCHANGED, 4, APPLY_LOCKED])
        for number in (1, 2, 4, 40):
            for fault in range(3):
                yield start + sites() + bytes([FAIL_WRITE, number, fault, 1, APPLY])
        yield start + sites() + bytes([FAIL_WRITE, 3, 0, 255, MACHINE, 2, 3, 0, APPLY])
        for number in (1, 2, 3):
            yield start + sites() + bytes([SILENT, number, 1, 2, APPLY, TRAP, 0, 0])
        yield start + bytes([MANY, 255, 4, PLAN, APPLY])
        yield start + bytes([MACHINE, 2, 3, 0]) + sites() + bytes([APPLY])
        for kind in range(6):  # one after the other, each over the one before
            start += place(0, kind) + place(2, kind) + bytes([APPLY_LOCKED])
        yield start
    yield bytes([MANY, 255, 7, APPLY])
    yield bytes([MANY, 31, MANY, 31, APPLY])
    yield bytes([PROTOCOL, QWORD, FLAGS, STRICT]) + sites() + bytes([APPLY])
    for flags in range(4):
        for sound in (sites(), place(0, CALL) + place(6, JUMP)):
            yield bytes([MACHINE, TORN, 3, 0, PROTOCOL, QWORD, FLAGS, flags]) + sound + bytes(
                [PLAN, APPLY])
    yield bytes([PROTOCOL, NAIVE]) + sites() + bytes([APPLY])
    yield bytes([DEFAULT, 1, 0, INITIALIZE, PROTOCOL, 5, PLAN, APPLY])
    yield bytes([MACHINE, 1, 1, 1]) + sites() + bytes([APPLY, APPLY_LOCKED])
    yield bytes([PATCHABLE, 0, 0, 3, 0]) + place(0, CALL) + bytes([APPLY])
    yield place(0, CALL, IN_ARENA, 8) + place(2, CALL) + bytes([APPLY])
    yield bytes([PLANT, 1, 0, 2, 0xCC, 0xCC]) + place(0, CALL) + bytes([TRAP, 1, 0, APPLY])
    yield place(4, JUMP) + bytes([RAW, 0, 15, 0, 1, 0xC3, 0, 0, 0, 0, 0, APPLY])  # tail of nop2
    for length in (0, 1, 5, 7, 255):
        yield bytes([RAW, 0, 2, 0, length]) + bytes.fromhex("c3cccccccccc") + place(0, CALL)
    yield bytes([RAW, 1]) + struct.pack("<Q", 2 ** 64 - 2) + bytes([5]) + bytes.fromhex(
        "2e2e2e31c000") + bytes([APPLY])


def write(folder):
    """Writes the seeds of all targets; returns {target: folder}."""
    folders = {}
    for target, seeds in (("fuzz_instruction", instruction_seeds), ("fuzz_batch", batch_seeds)):
        folders[target] = folder / target
        folders[target].mkdir(parents=True, exist_ok=True)
        for old in folders[target].iterdir():
            old.unlink()
        for number, seed in enumerate(seeds()):
            (folders[target] / f"{number:03}").write_bytes(seed)
    return folders
