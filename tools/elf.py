# SPDX-License-Identifier: MIT
"""Reads a linked 64-bit little-endian ELF file: segments, sections, symbols, bytes by address.

Callers: the checks beside this file. What is malformed raises; nothing is guessed.
"""

import struct
from collections import namedtuple

Segment = namedtuple("Segment", "flags offset vaddr paddr filesz memsz")
Section = namedtuple("Section", "name type flags addr offset size link")

PF_X, PF_W = 1, 2
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
PT_LOAD, SHT_SYMTAB, SHT_NOBITS = 1, 2, 8


class Elf:
    """One file, read whole: `segments` (PT_LOAD only), `sections`, `symbols` (name -> address),
    `sizes` (name -> bytes)."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as file:
            self.data = file.read()
        if self.data[:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path}: not a 64-bit little-endian ELF file")
        (self.entry, segment_table, section_table, _, _, segment_size, segment_count, section_size,
         section_count, names) = struct.unpack_from("<QQQIHHHHHH", self.data, 24)
        self.segments = []
        for index in range(segment_count):
            kind, flags, offset, vaddr, paddr, filesz, memsz = struct.unpack_from(
                "<IIQQQQQ", self.data, segment_table + index * segment_size)
            if kind == PT_LOAD:
                self.segments.append(Segment(flags, offset, vaddr, paddr, filesz, memsz))
        raw = [struct.unpack_from("<IIQQQQI", self.data, section_table + index * section_size)
               for index in range(section_count)]
        self.sections = [Section(self._text(raw[names][4] + fields[0]), *fields[1:])
                         for fields in raw]
        self.symbols, self.sizes = self._read_symbols()

    def _text(self, offset):
        return self.data[offset:self.data.index(b"\0", offset)].decode()

    def _read_symbols(self):
        symbols, sizes = {}, {}
        for section in self.sections:
            if section.type != SHT_SYMTAB:
                continue
            strings = self.sections[section.link].offset
            for position in range(section.offset, section.offset + section.size, 24):
                name, _, _, index, value, size = struct.unpack_from("<IBBHQQ", self.data, position)
                if name and index:
                    symbols[self._text(strings + name)] = value
                    sizes[self._text(strings + name)] = size
        return symbols, sizes

    def range(self, name):
        """Returns the addresses (NAME_start, NAME_end) that the linker script defines."""
        bounds = []
        for symbol in (f"{name}_start", f"{name}_end"):
            if symbol not in self.symbols:
                raise ValueError(f"symbol {symbol} is missing")
            bounds.append(self.symbols[symbol])
        return tuple(bounds)

    def read(self, start, end):
        """Returns the file's bytes for the virtual addresses [start, end)."""
        if start == end:
            return b""
        for segment in self.segments:
            if segment.vaddr <= start and end <= segment.vaddr + segment.filesz:
                offset = segment.offset + start - segment.vaddr
                return self.data[offset:offset + end - start]
        raise ValueError(f"addresses {start:#x}..{end:#x} are not in the file")

    def symbol_at(self, address):
        """Returns `name+offset` of the closest symbol at or below address."""
        below = [(value, name) for name, value in self.symbols.items() if value <= address]
        if not below:
            return hex(address)
        value, name = max(below)
        return f"{name}+{address - value:#x}"
