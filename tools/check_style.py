#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the form that clang-format does not: licence line, lengths, README a room, few #if.

Callers: make lint. Usage: check_style.py [--root DIR]
"""

import argparse
import pathlib
import re
import sys

ROOMS = ("boot", "arch", "kernel", "patching", "drivers", "net", "bench", "tests", "tests/kernel",
         "tests/host", "tests/boot", "tests/fuzz", "tests/model", "tests/mutants", "tests/silicon",
         "tools")
FILE_LINES, FUNCTION_LINES, LINE_COLUMNS = 500, 60, 100
IFS_PER_LINES = 1000
LICENCE = "SPDX-License-Identifier: MIT"
SUFFIXES = {".c", ".h", ".asm", ".inc", ".ld", ".py", ".sh", ".mk"}
PREPROCESSOR_IF = re.compile(r"^\s*#\s*(if|ifdef|ifndef)\b")
HEAD_ENDS = re.compile(r"^$|^//|^#|^}|;$|\*/$")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX)\b")


def sources(root):
    """Yields the source files of the rooms and of the root itself."""
    for folder in [root] + [root / room for room in ROOMS]:
        for file in sorted(folder.glob("*")):
            if file.is_file() and (file.suffix in SUFFIXES or file.name == "Makefile"):
                yield file


def check_functions(name, lines):
    """A function's braces stand alone in column 0; its head is what stands above without a gap."""
    faults, opened = [], None
    for number, line in enumerate(lines, 1):
        if line == "{":
            opened = number
            while opened > 1 and not HEAD_ENDS.search(lines[opened - 2]):
                opened -= 1
        elif line == "}" and opened is not None:
            if number - opened + 1 > FUNCTION_LINES:
                faults.append(f"{name}:{opened}: function of {number - opened + 1} lines "
                              f"(at most {FUNCTION_LINES})")
            opened = None
    return faults


def check_file(name, text):
    """Returns the complaints about one source file."""
    lines = text.splitlines()
    faults = []
    if not any(LICENCE in line for line in lines[:2]):
        faults.append(f"{name}:1: no '{LICENCE}' at the top")
    if len(lines) > FILE_LINES:
        faults.append(f"{name}: {len(lines)} lines (at most {FILE_LINES})")
    if not text.endswith("\n") or text.endswith("\n\n"):
        faults.append(f"{name}: must end with exactly one newline")
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS:
            faults.append(f"{name}:{number}: {len(line)} columns (at most {LINE_COLUMNS})")
        if line != line.rstrip():
            faults.append(f"{name}:{number}: blanks at the end of the line")
        if "\t" in line and not name.endswith((".mk", "Makefile")):
            faults.append(f"{name}:{number}: tab")
        if UNFINISHED.search(line) and not name.endswith("check_style.py"):
            faults.append(f"{name}:{number}: unfinished work")
    if name.endswith(".h") and "#pragma once" not in lines:
        faults.append(f"{name}: no #pragma once")
    if name.endswith((".c", ".h")):
        faults += check_functions(name, lines)
    return faults


def check_if_budget(texts):
    """At most one #if per 1000 lines of all .c files together."""
    lines = [line for name, text in texts if name.endswith(".c") for line in text.splitlines()]
    used = sum(1 for line in lines if PREPROCESSOR_IF.match(line))
    budget = -(-len(lines) // IFS_PER_LINES)
    return [f"{used} #if in {len(lines)} lines of .c (at most {budget})"] if used > budget else []


def check(root):
    """Returns all complaints about the tree at root."""
    texts = [(file.relative_to(root).as_posix(), file.read_text()) for file in sources(root)]
    faults = [fault for name, text in texts for fault in check_file(name, text)]
    faults += [f"{room}/README.md is missing" for room in ROOMS
               if (root / room).is_dir() and not (root / room / "README.md").is_file()]
    return faults + check_if_budget(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=".", type=pathlib.Path)
    faults = check(parser.parse_args().root)
    for fault in faults:
        print(f"check_style: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
