# SPDX-License-Identifier: MIT
"""Inputs for the fuzzers to start from: every instruction form, every protocol, every kind of
fault, every field of a packet, every shape of a dispatcher, changes of dynamic calls. Invariant:
written in the formats that the fuzzers' .c files read; a fuzzer given none of them finds the same
in more time. Called by: run_fuzzers.py, fuzz_mutants.py.
"""

import struct

# One documented encoding a form.
FORMS = ["90", "6690", "0f1f00", "0f1f4000", "0f1f440000", "660f1f440000", "eb10", "e900010000",
         "7480", "0f8500000080", "e8ffffff7f", "c3", "c3cc", "c3cccccc", "c3cccccccccc",
         "2e2e2e31c0", "0f1f8000000000", "4881f8efbeadde", "483b0500000080",
         "2ee800000080", "ff15ffffff7f"]
ALL_KINDS = 9  # of instructions
KINDS = range(-1, ALL_KINDS + 1)
PLACES = 25  # sites in a block of the arena (fuzz_batch.c)
SITE_BYTES = 7  # of the longest

# The numbers of the steps in fuzz_batch.c.
(PLACE, LAST_PLACE, UNCHANGED, RAW, MANY, PROTOCOL, FLAGS, DEFAULT, MACHINE, PATCHABLE, PLANT, TRAP,
 FAIL_WRITE, SILENT, INITIALIZE, PLAN, APPLY, APPLY_LOCKED, STAND_IN) = range(19)
QWORD, NAIVE, PROTOCOLS = 2, 4, 5
UNSAFE, STRICT = 1, 2
TORN = 4  # of MACHINE: quadwords are not fetched whole
CLOSE, IN_ARENA, ANYWHERE, TO_ZERO = range(4)
NOP, JUMP, JUMP_IF, CALL, COMPARE, COMPARE_MEMORY, CALL_MEMORY = 0, 1, 2, 3, 6, 7, 8
WITH_OPERAND = (JUMP, JUMP_IF, CALL, COMPARE, COMPARE_MEMORY, CALL_MEMORY)


def instruction_seeds():
    """Yields inputs of fuzz_instruction: what stands there, and what is to be encoded."""
    for address in (0, 0x400000, 0xFFFFFFFF80100000, 2 ** 64 - 3):
        for number, form in enumerate(FORMS):
            site = bytes.fromhex(form)
            abstract = struct.pack("<bBB", KINDS[number % len(KINDS)], len(site), number % 17)
            yield (struct.pack("<BQB", 0, address, len(site))
                   + site.ljust(SITE_BYTES, b"\0") + abstract
                   + struct.pack("<BQB", 128 + number % 6, number % 3, number * 4))


def place(number, kind, way=CLOSE, target=0, condition=0, step=PLACE):
    """A site of machine_fill() that is to become an instruction of that kind."""
    tail = b""
    if kind in WITH_OPERAND:
        tail = {CLOSE: "<B", IN_ARENA: "<H", ANYWHERE: "<I", TO_ZERO: ""}[way]
        tail = struct.pack(tail, target) if tail else b""
    return struct.pack("<BHBB", step, number, kind + ALL_KINDS * condition, way) + tail


def sites():
    """Sites of all forms, unsorted: nearly all of them change, and no jump leads into another."""
    text = b""
    for number in reversed(range(2 * PLACES)):
        way = (number // ALL_KINDS) % 4
        target = 0x1000000 if way == ANYWHERE else 0
        text += place(number, number % ALL_KINDS, way, target, number % 16)
    return text


def last_sites():
    """Last sites before and behind others: nop5 and jmp, and sites of a whole block between."""
    def last(number, kind):
        return place(number, kind, IN_ARENA, 0, 0, LAST_PLACE)
    block = b"".join(place(number, COMPARE if 17 < number < 23 else CALL)
                     for number in range(3, PLACES))
    return last(0, JUMP) + block + last(1, NOP) + last(PLACES, JUMP) + last(PLACES + 2, NOP)


# The lengths of the sites of a block, and some instructions that the engine does not know.
LENGTHS = (5, 2, 5, 2, 2, 6, 5, 3, 6, 1, 5, 3, 1, 4, 6, 5, 1, 2, 7, 7, 7, 7, 7, 6, 6)
OPAQUE = ("fa", "9c", "0f013f", "ff470c", "c70700000000")


def stand_in(number, opaque, way=IN_ARENA, target=0x2FF0):
    """A site that is to become one of OPAQUE, padded, with a stand-in at the arena's end."""
    text = bytes.fromhex(opaque)
    text = text.rjust(LENGTHS[number % PLACES], b"\x2e")[:LENGTHS[number % PLACES]]
    tail = {CLOSE: "<b", IN_ARENA: "<H", ANYWHERE: "<i", TO_ZERO: "<Q"}[way]
    return struct.pack("<BHB", STAND_IN, number, way) + text + struct.pack(tail, target)


def stand_ins():
    """Sites of all lengths with a stand-in, between others."""
    return b"".join(stand_in(number, OPAQUE[number % len(OPAQUE)], IN_ARENA, 0x2000 + number)
                    if number % 3 else place(number, CALL, IN_ARENA, 0x2800)
                    for number in reversed(range(2 * PLACES)))


def batch_seeds():
    """Yields programs of fuzz_batch."""
    for protocol in range(PROTOCOLS):
        start = bytes([PROTOCOL, protocol, FLAGS, UNSAFE])
        yield start + sites() + bytes([PLAN, APPLY])
        yield start + last_sites() + bytes([PLAN, APPLY])
        for number in range(1, 70, 3):
            yield start + last_sites() + bytes([FAIL_WRITE, number, 0, 1, APPLY])
        yield start + stand_ins() + bytes([PLAN, APPLY])
        for number in range(1, 150, 7):
            yield start + stand_ins() + bytes([FAIL_WRITE, number, number % 3, 1, APPLY])
        for number in (1, 2, 3):
            yield start + stand_ins() + bytes([SILENT, number, 1, 2, APPLY, TRAP, 0, 0])
        for number in (1, 2, 3):
            yield start + last_sites() + bytes([SILENT, number, 255, 2, APPLY])
        yield start + place(3, CALL) + place(0, CALL) + bytes([UNCHANGED, 4, APPLY_LOCKED])
        for number in (1, 2, 4, 40):
            for fault in range(3):
                yield start + sites() + bytes([FAIL_WRITE, number, fault, 1, APPLY])
        yield start + sites() + bytes([FAIL_WRITE, 3, 0, 255, MACHINE, 2, 3, 0, APPLY])
        for number in (1, 2, 3):
            yield start + sites() + bytes([SILENT, number, 1, 2, APPLY, TRAP, 0, 0])
        yield start + bytes([MANY, 255, 4, PLAN, APPLY])
        yield start + bytes([MACHINE, 2, 3, 0]) + sites() + bytes([APPLY])
        for kind in range(ALL_KINDS):  # one after the other, each over the one before
            start += place(0, kind) + place(2, kind) + bytes([APPLY_LOCKED])
        yield start
    for distance in (-7, -6, -5, -1, 0, 1, 6, 127, -128):  # itself, and its neighbours
        yield stand_in(5, "fa", CLOSE, distance) + stand_in(6, "fa") + bytes([APPLY])
    for distance in (2 ** 31 - 1, -2 ** 31):
        yield stand_in(5, "fa", ANYWHERE, distance) + bytes([APPLY])
    for address in (0, 0x70000010 + 2 ** 31 + 6 + 16, 2 ** 63, 2 ** 64 - 1):
        yield stand_in(5, "fa", TO_ZERO, address) + place(0, CALL) + bytes([APPLY])
    yield stand_in(5, "cc0000000000") + bytes([APPLY])
    yield stand_in(5, "fa") + bytes([APPLY]) + place(5, NOP) + bytes([APPLY])
    yield (stand_in(5, "fa") + bytes([APPLY]) + stand_in(5, "9c") + bytes([PLAN, APPLY_LOCKED])
           + bytes([PLANT, 16, 0, 1, 0xCC]) + stand_in(5, "fa") + bytes([APPLY]))
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
    yield place(4, JUMP) + bytes([RAW, 0, 15, 0, 1, 0xC3, 0, 0, 0, 0, 0, 0, APPLY])  # tail of nop2
    for length in (0, 1, 5, 8, 255):
        yield bytes([RAW, 0, 2, 0, length]) + bytes.fromhex("c3cccccccccccc") + place(0, CALL)
    yield bytes([RAW, 1]) + struct.pack("<Q", 2 ** 64 - 2) + bytes([5]) + bytes.fromhex(
        "2e2e2e31c00000") + bytes([APPLY])


# The numbers of the steps in fuzz_packet.c, and of what they choose from.
(FRAME, BYTES, TURN_AROUND, HOOK, TIME, TROUBLE, SEND, PING, DHCP) = range(9)
UDP, ICMP, OTHER, ARP = range(4)
PEER, OWN, GATE, NET_BROADCAST, BROADCAST, FAR, ZERO, LOOPBACK, MULTICAST, STRANGER = range(10)
ECHO_PORT, DISCARD_PORT, TIME_PORT, SOCKET_PORT, CLOSED_PORT, SERVER_PORT = range(6)
BREAKS_HEADER, BREAKS_PAYLOAD, TO_ALL, HAS_OPTIONS, CUT = 1, 2, 4, 8, 0x80
NO_PATCH = b"\0"


def patch(*changes):
    """Bytes of a frame that become others: (offset, value) each."""
    return bytes([len(changes)]) + b"".join(struct.pack("<HB", *change) for change in changes)


def frame(kind, tail, payload=40, flags=0, source=PEER, destination=OWN, patches=NO_PATCH):
    """A frame to us. tail: ports of UDP, type and code of ICMP, operation of ARP, a protocol."""
    return (struct.pack("<BBBHBB", FRAME, kind, flags, payload, source, destination)
            + bytes(tail) + patches)


def datagram(port, **more):
    return frame(UDP, [CLOSED_PORT, port], **more)


def dhcp_seed(kind, *options, cut=0):
    """A message of a server, as RFC 2131 has it, its last bytes cut off; options: (number, bytes)
    each."""
    text = struct.pack(">BBBBIHH4I", 2, 1, 6, 0, 1, 0, 0x8000, 0, 0x0A000020, 0x0A0000FE, 0)
    text += bytes([2, 0, 0, 0, 0, 1]).ljust(16 + 64 + 128, b"\0") + bytes.fromhex("63825363")
    for number, value in ((53, bytes([kind])), *options):
        text += bytes([number, len(value)]) + value
    text = (text + b"\xff")[:-cut or None]
    return struct.pack("<BHH", DHCP, len(text), len(text)) + text


def packet_seeds():
    """Yields programs of fuzz_packet."""
    address = bytes([10, 0, 0, 254])
    for port in range(8):
        for payload in (0, 1, 7, 24, 40, 1400):
            yield datagram(port, payload=payload) * 2
    for kind in range(13):
        yield frame(ICMP, [kind, 0]) + frame(ICMP, [kind, 1], payload=0)
    for kind, tail in ((UDP, [CLOSED_PORT, ECHO_PORT]), (ICMP, [8, 0]), (OTHER, [47]), (ARP, [0])):
        yield frame(kind, tail, flags=HAS_OPTIONS)
        for destination in range(10):
            yield frame(kind, tail, destination=destination, flags=TO_ALL)
            yield frame(kind, tail, source=destination)
        for length in (0, 13, 14, 33, 41, 42, 60, 1513, 1514, 1515):
            yield frame(kind, tail, flags=CUT, payload=1400) + struct.pack("<H", length)
        for at in (0, 6, 12, 14, 15, 16, 17, 20, 23, 24, 34, 38, 39, 40):
            yield frame(kind, tail, patches=patch((at, 0xFF)))
            yield frame(kind, tail, patches=patch((at, 1)), flags=BREAKS_HEADER | BREAKS_PAYLOAD)
    for length in (0, 1, 2, 5, 39, 255):  # options in the place of the first data
        yield frame(ICMP, [8, 0], flags=HAS_OPTIONS, patches=patch((35, 7), (36, length)))
    for action in range(8):
        yield bytes([HOOK, action]) + datagram(ECHO_PORT) + frame(ARP, [0]) + frame(ICMP, [8, 0])
    send = bytes([SEND, 100, 0, 0, PEER, ECHO_PORT])
    for tail in (send * 6, send + bytes([TURN_AROUND, 0]), bytes([TROUBLE, 1]) + send,
                 send * 4 + frame(ARP, [1]), send * 4 + bytes([TROUBLE, 1]) + frame(ARP, [1])):
        yield tail + bytes([TIME, 20]) * 5
    for destination in range(10):
        yield bytes([SEND, 16, 0, destination % 2, destination, DISCARD_PORT])
        yield bytes([PING, destination, 56, 0]) + bytes([TURN_AROUND, 0]) * 2
    for known in (b"", bytes([PING, PEER, 8, 0, TURN_AROUND, 0, TURN_AROUND, 0])):
        yield known + bytes([PING, PEER, 0, 1, TURN_AROUND]) + patch((60, 9)) + bytes(
            [TURN_AROUND]) + patch((60, 9))
    for bits in range(8):
        yield bytes([TROUBLE, bits]) + datagram(ECHO_PORT) + send + frame(ICMP, [8, 0])
        yield bytes([TROUBLE, bits]) + frame(UDP, [SERVER_PORT, 6], source=GATE)
    yield b"".join(bytes([SEND, 16, 0, 0, 16 + host, ECHO_PORT]) for host in range(60))
    lease = ((51, struct.pack(">I", 3600)), (1, bytes([255, 255, 255, 0])), (54, address),
             (3, address + address))
    for kind in range(8):
        yield dhcp_seed(kind, *lease)
        for number in (1, 3, 51, 54):
            yield dhcp_seed(kind, *lease, (number, bytes(kind)))
    yield dhcp_seed(2, *lease, (52, b"\3"))
    for cut in range(1, 30):
        yield dhcp_seed(2, *lease, cut=cut)


# The form of a request in fuzz_dispatcher.c, and its shapes.
FAR_ADDRESS, ODD_ADDRESS, FAR_FALLBACK, SPOILED_RANKING = 1, 2, 4, 8
SHAPES = 8  # the last one is unknown
ENTRIES = 64


def dispatcher_request(shape, count, form=0, address=-0x7FF00000, fallback=-0x100000,
                       first=-0x7F000000, step=bytes([1, 0xFF, 0]), tail=b""):
    """A request of fuzz_dispatcher, the last target hottest; step: form and bytes, of each step."""
    near = struct.pack("<q" if form & FAR_ADDRESS else "<i", address)
    near += struct.pack("<q" if form & FAR_FALLBACK else "<i", fallback)
    return (bytes([form, shape, count]) + near + struct.pack("<i", first)
            + step * min(count, ENTRIES + 1) + bytes(min(count, ENTRIES + 1)) + tail)


def dispatcher_seeds():
    """Yields requests of fuzz_dispatcher."""
    values = struct.pack("<4Q", 0, 2 ** 64 - 1, 2 ** 63, 2 ** 32 - 1)
    for shape in range(SHAPES):
        for count in (0, 1, 2, 3, 5, 8, 16, 33, ENTRIES, ENTRIES + 1):
            yield dispatcher_request(shape, count, tail=values)
        for address, first, step in ((0x10000, 0, b"\2\0\0\1"), (0, -0x7F000000, b"\3\0\0\0\3"),
                                     (0x4000, -32, b"\0\0")):
            yield dispatcher_request(shape, 63, address=address, fallback=4096, first=first,
                                     step=step, tail=values)
        yield dispatcher_request(shape, 4, step=b"\xf0\0")  # the same again and again
        yield dispatcher_request(shape, 4, step=b"\xf0\xff")  # downwards
        yield dispatcher_request(shape, 4, step=b"\xf8\1")  # wider than 32 bits
        yield dispatcher_request(shape, 3, SPOILED_RANKING, tail=b"\1\0")
        yield dispatcher_request(shape, 3, SPOILED_RANKING, tail=b"\1\3")
    for off in range(-1, 2):  # about where a jump's reach ends
        yield dispatcher_request(6, 0, fallback=0x7FFFFFFF + min(off, 0))
        yield dispatcher_request(6, 0, fallback=-0x80000000 + 4096 + off)
        yield dispatcher_request(6, 0, FAR_FALLBACK, address=0, fallback=0x80000000 + off)
        yield dispatcher_request(2, 1, address=0x1000, fallback=0, first=-0x80000000 + 0x2000 + off)
    yield dispatcher_request(0, 1, ODD_ADDRESS, address=8)
    yield dispatcher_request(0, 1, FAR_ADDRESS, address=2 ** 62)


# The numbers of the steps in fuzz_dynamic_call.c, bits of a form, and slots that name no target.
FORM, FORGET, THROUGH, WITH_PROTOCOL, FAULT, CALLER = range(6)
MEMORY, OPEN, WATCHED, CLIPPED = 1, 2, 4, 0x80
EMPTY, NEVER = 6, 9
SUBJECTS, CALLERS = 5, 3
CPU_SILENT, THREAD_STAYS, WRITE_FAILS = 0, 1, 2


def form(subject, slots, bits):
    """A change of one call to four slots, of which it takes as many as it has."""
    return bytes([FORM, subject, bits | CLIPPED, *slots])


def dynamic_call_seeds():
    """Yields programs of fuzz_dynamic_call."""
    first, second = (0, 1, 2, 3), (1, 2, 3, 4)
    for kind in (0, MEMORY):
        for protocol in range(NAIVE):
            for subject in range(SUBJECTS):
                start = bytes([WITH_PROTOCOL, protocol, CALLER, subject, subject % CALLERS, 1])
                yield (start + form(subject, first, kind | OPEN)
                       + form(subject, second, kind | OPEN | WATCHED)
                       + form(subject, first, kind ^ MEMORY)
                       + bytes([THROUGH, subject, 1]) + form(subject, second, kind | WATCHED))
        for number in range(1, 40):
            for fault in (CPU_SILENT, THREAD_STAYS, WRITE_FAILS + 4 * (number % 3)):
                yield (form(1, first, kind | OPEN) + bytes([FAULT, fault, number])
                       + form(1, second, kind | OPEN) + form(1, first, kind | OPEN)
                       + bytes([THROUGH, 1, 1, FORGET, 1, 1]))
        yield form(3, (0, 0, 1, 2), kind) + form(3, (NEVER, 0, EMPTY, 2), kind)
        yield form(3, (EMPTY, 0, EMPTY, 2), kind | OPEN) + bytes([FORGET, 3, 0, FORGET, 3, 2])


def write(folder):
    """Writes the seeds of all targets; returns {target: folder}."""
    folders = {}
    for target, seeds in (("fuzz_instruction", instruction_seeds), ("fuzz_batch", batch_seeds),
                          ("fuzz_packet", packet_seeds),
                          ("fuzz_dispatcher", dispatcher_seeds),
                          ("fuzz_dynamic_call", dynamic_call_seeds)):
        folders[target] = folder / target
        folders[target].mkdir(parents=True, exist_ok=True)
        for old in folders[target].iterdir():
            old.unlink()
        for number, seed in enumerate(seeds()):
            (folders[target] / f"{number:03}").write_bytes(seed)
    return folders
