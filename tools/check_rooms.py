#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Enforces which room may use which: by #include, and for patching/ by the linker's symbols too.

The table below is the design's. patching/ is a library: its objects, linked together, may leave
undefined only what patching/platform.h declares (and the bounds of its own sections).
Callers: make lint. Usage: check_rooms.py [--root DIR] [--objects DIR]
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

# What every room may include: headers that a freestanding compiler brings along.
COMPILER_HEADERS = {"stdint.h", "stddef.h", "stdbool.h", "stdarg.h"}
# kernel/ headers without policy, open to the mechanism below it.
KERNEL_LEAVES = {f"kernel/{name}.h" for name in (
    "console", "format", "log", "main", "page_allocator", "panic", "spinlock", "string", "symbols",
    "thread")}
SHELL_INTERNALS = {f"kernel/{name}.h" for name in (
    "command_line", "command_table", "line_editor", "options", "shell", "table")}

# room: (rooms it may include from, single headers it may include as well, headers it may not).
ROOMS = {
    "boot": ({"boot", "arch"}, KERNEL_LEAVES | {"patching/nopatch.h"}, set()),
    "arch": ({"arch"}, KERNEL_LEAVES | {"boot/boot_facts.h", "patching/breakpoint.h",
                                        "patching/dynamic_call.h", "patching/nopatch.h",
                                        "patching/paravirt.h", "patching/paravirt_thunk.h",
                                        "patching/static_call.h", "patching/static_key.h"},
             set()),
    "patching": ({"patching"}, set(), set()),
    # Drivers implement the interface that net/ defines, and use nothing else of it.
    "drivers": ({"drivers", "arch", "kernel", "patching"},
                {"net/net_device.h", "net/packet.h", "net/receive.h"}, SHELL_INTERNALS),
    "net": ({"net", "arch", "kernel", "patching"}, set(), SHELL_INTERNALS),
    "kernel": ({"kernel", "arch", "patching", "boot"}, set(), set()),
    # Benches use every room and are used by the shell's table of commands alone, by name.
    "bench": ({"bench", "kernel", "arch", "patching", "boot", "net"}, set(), set()),
    "tests/kernel": ({"tests/kernel", "kernel", "arch", "patching", "boot", "drivers", "net",
                      "bench"},
                     set(), set()),
}
# patching/ is stricter: not even <stdarg.h>.
NARROW_HEADERS = {"patching": {"stdint.h", "stddef.h", "stdbool.h"}}
# Single files that may include more: where a driver is started, called, or shown in the shell.
EXCEPTIONS = {
    "kernel/main.c": ("drivers/", "net/"),
    "kernel/console.c": ("drivers/uart",),
    "kernel/log.c": ("drivers/uart_raw.h",),
    "kernel/panic.c": ("drivers/uart_raw.h", "drivers/debug_exit.h"),
    "kernel/commands_basic.c": ("drivers/",),
    "kernel/commands_net.c": ("net/",),
    "kernel/commands_nic.c": ("drivers/pci.h", "net/"),
    "kernel/commands_pkt.c": ("net/",),
    "kernel/commands_prog.c": ("net/",),
    "kernel/program_hook.c": ("net/",),
    "kernel/program_table.c": ("net/",),
    "kernel/program_table.h": ("net/",),
    "kernel/net_command.c": ("net/",),
    "kernel/net_command.h": ("net/",),
    "kernel/pkt_count.c": ("net/",),
    "kernel/pkt_flood.c": ("net/",),
    "kernel/commands_test.c": ("tests/kernel/test.h",),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Bounds of the sections that patching/ itself fills; the linker script defines them.
SECTION_BOUNDS = re.compile(
    r"^(static_(keys|key_sites|calls|call_choices)|call_sites|lazy_calls|function_entries|"
    r"paravirt_sites|"
    r"dispatchers|dynamic_(calls|call_sites))"
    r"_(start|end)$")


def room_of(path):
    """Returns the room of a path relative to the root, or None."""
    return next((room for room in sorted(ROOMS, key=len, reverse=True)
                 if path.startswith(room + "/")), None)


def check_include(path, system, header):
    """Returns why the file at path may not include header, or None."""
    room = room_of(path)
    if system:
        allowed = NARROW_HEADERS.get(room, COMPILER_HEADERS)
        known = ", ".join(sorted(allowed))
        return None if header in allowed else f"<{header}> is not one of {known}"
    if header.startswith(EXCEPTIONS.get(path, ("//",))):
        return None
    rooms, extra, never = ROOMS[room]
    if header in never:
        return f"{room}/ may not use {header}"
    if header in extra or room_of(header) in rooms:
        return None
    return f"{room}/ may not use {header}"


def check_includes(root):
    faults = []
    for room in ROOMS:
        for file in sorted((root / room).glob("*.[ch]")):
            path = file.relative_to(root).as_posix()
            for number, line in enumerate(file.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                fault = match and check_include(path, match.group(1) == "<", match.group(2))
                if fault:
                    faults.append(f"{path}:{number}: {fault}")
    return faults


def check_symbols(platform_header, objects):
    """Links the patching objects with each other; returns what they need beyond platform.h."""
    declared = set(re.findall(r"\b(platform_\w+)\s*\(", platform_header.read_text()))
    if not objects:
        return ["no patching objects found: build first"]
    with tempfile.TemporaryDirectory() as scratch:
        linked = f"{scratch}/patching.o"
        subprocess.run(["ld", "-r", *map(str, objects), "-o", linked], check=True)
        listing = subprocess.run(["nm", "-u", linked], check=True, capture_output=True, text=True)
    undefined = {line.split()[-1] for line in listing.stdout.splitlines()}
    return [f"patching/ needs {name}, which patching/platform.h does not declare"
            for name in sorted(undefined - declared) if not SECTION_BOUNDS.match(name)]


def objects_of(room, directory):
    """The objects of the sources that are there: a renamed one leaves its object behind."""
    names = [source.name.removesuffix(".c") for source in sorted(room.glob("*.c"))]
    names += [source.name for source in sorted(room.glob("*.asm"))]
    return [directory / f"{name}.o" for name in names]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default=".", type=pathlib.Path)
    parser.add_argument("--objects", type=pathlib.Path, help="room of built patching objects")
    options = parser.parse_args()
    faults = check_includes(options.root)
    if options.objects:
        faults += check_symbols(options.root / "patching/platform.h",
                                objects_of(options.root / "patching", options.objects))
    for fault in faults:
        print(f"check_rooms: {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
