# SPDX-License-Identifier: MIT
"""What the tests of the link-time pass share: sources with trampolines, a folder in which objects
from gcc, clang, gas and NASM are made, linked by partial.ld and passed, and the oracle for the
table: objdump's disassembly of the linked result, which knows nothing of relocations.

Callers: test_call_sites.py, test_call_sites_input.py.
"""

import bisect
import pathlib
import re
import struct
import subprocess

import pytest

from elf import Elf

TOOLS = pathlib.Path(__file__).parent
ROOT = TOOLS.parent
KINDS = {0: ("call", 5), 1: ("jmp", 5), 2: ("jcc", 6)}
ENTRY = struct.Struct("<QQII")
BRANCH = re.compile(r"^\s*([0-9a-f]+):\s+(call|jmp|j[a-z]+)\s+[0-9a-f]+ <(static_call_\w+)>$")
LINK = """
SECTIONS {
    . = 0x100000;
    .text : { *(.text.nopatch) *(.text.static_call) *(.text.lazy_call) *(.boot.text) *(.text) }
    .data : { call_sites_start = .; *(call_sites) call_sites_end = .; *(.data* static_calls) }
}
"""
HEAD = r"""
#define STUB(name, section) \
    __asm__(".pushsection " section ", \"ax\", @progbits\n.balign 8, 0xcc\n.globl " #name "\n" \
            ".type " #name ", @function\n" #name ": jmp target\n.size " #name ", . - " #name "\n" \
            ".popsection")
#define PATCHABLE(name) int static_call_##name(int); STUB(static_call_##name, ".text.static_call")
#define LAZY(name) int lazy_call_##name(int); STUB(lazy_call_##name, ".text.lazy_call")
#define IN(section_name) __attribute__((section(section_name), used, noinline))
int target(int x);
int target(int x) { return x; }
PATCHABLE(b);
PATCHABLE(a);
LAZY(l);
"""
GOOD = r"""
int plain(int x);
int plain(int x) { return static_call_a(x) + 1; }
int tail(int x);
int tail(int x) { return static_call_b(x + 1); }
int conditional(int x);
int conditional(int x) { if (x) { return static_call_a(x); } return 7; }
void twice(int x);
void twice(int x) { static_call_b(static_call_a(x)); static_call_a(3); }
static IN(".text.other") int in_other_section(int x) { return static_call_a(x) + 2; }
static IN(".text.unlikely") int in_cold_section(int x) { return static_call_b(x) + 3; }
__attribute__((cold)) int cold(int x);
int cold(int x) { return static_call_a(x) + 4; }
int jump_if_by_hand(int x);
__asm__(".text\n.globl jump_if_by_hand\n.type jump_if_by_hand, @function\n"
        "jump_if_by_hand: test %edi, %edi\njz static_call_a\njns static_call_b\n"
        "jmp static_call_a\n");
static int calls_lazy(int x) { return lazy_call_l(x) + lazy_call_l(x + 1); }
int uses_lazy(int x);
int uses_lazy(int x) { return calls_lazy(x) + in_other_section(x) + in_cold_section(x); }
static int (*const descriptor)(int) __attribute__((section("static_calls"), used)) = static_call_a;
static int (*const lazy_descriptor)(int)
    __attribute__((section("lazy_calls"), used)) = lazy_call_l;
"""


def run(*command, cwd):
    subprocess.run([str(word) for word in command], cwd=cwd, check=True)


def build_tool(folder, *flags):
    """Builds the pass as the Makefile does, with further flags. Returns its path."""
    path = folder / "call_sites"
    run("gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", *flags,
        *sorted(TOOLS.glob("call_sites*.c")), "-o", path, "-lelf", "-ldw", cwd=folder)
    return path


@pytest.fixture(scope="session")
def tool(tmp_path_factory):
    return build_tool(tmp_path_factory.mktemp("tool"))


@pytest.fixture(scope="session")
def sanitized_tool(tmp_path_factory):
    return build_tool(tmp_path_factory.mktemp("sanitized"), "-g", "-fsanitize=address,undefined",
                      "-fno-sanitize-recover=all")


def kernel_flags(compiler):
    show = "show_flags: ; @echo '$(CFLAGS)'"
    return subprocess.run(["make", "-s", "--eval", show, "show_flags", f"CC={compiler}"], cwd=ROOT,
                          check=True, text=True, capture_output=True).stdout.split()


class Bench:
    """A folder in which objects are made, linked partially, passed and linked."""

    def __init__(self, folder, tool, compiler="gcc", debug=True):
        self.folder, self.tool, self.compiler = folder, tool, compiler
        self.flags = kernel_flags(compiler)
        if not debug:
            self.flags.remove("-g")

    def compile(self, source, name="a.c", *flags):
        (self.folder / name).write_text(source)
        run(self.compiler, *self.flags, *flags, "-c", name, "-o", f"{name}.o", cwd=self.folder)
        return f"{name}.o"

    def assemble(self, source, name="n.asm", debug=True):
        (self.folder / name).write_text(source)
        run("nasm", "-f", "elf64", *(["-g", "-F", "dwarf"] if debug else []), name, "-o",
            f"{name}.o", cwd=self.folder)
        return f"{name}.o"

    def link_partially(self, *objects, script=ROOT / "partial.ld"):
        run("ld", "-r", "-z", "noexecstack", "--fatal-warnings", "-T", script, *objects, "-o",
            "partial.o", cwd=self.folder)

    def run_pass(self, partial="partial.o", out="out.asm"):
        return subprocess.run([self.tool, partial, "-o", out], cwd=self.folder, text=True,
                              capture_output=True)

    def refusals(self):
        """Returns the complaints; the table must not exist."""
        (self.folder / "out.asm").write_text("from an earlier run")
        done = self.run_pass()
        assert done.returncode == 1 and done.stdout == ""
        assert not (self.folder / "out.asm").exists()
        lines = done.stderr.splitlines()
        assert all(line.startswith("call_sites: ") for line in lines)
        return [line[len("call_sites: "):] for line in lines]

    def table(self):
        """Runs the pass and the final link. Returns the linked file and its table's entries."""
        done = self.run_pass()
        assert (done.returncode, done.stderr) == (0, "")
        run("nasm", "-f", "elf64", "-Werror", "out.asm", "-o", "out.o", cwd=self.folder)
        (self.folder / "link.ld").write_text(LINK)
        run("ld", "-nostdlib", "-static", "-e", "0x100000", "-z", "noexecstack",
            "--no-warn-rwx-segments", "-T", "link.ld", "partial.o", "out.o", "-o", "linked.elf",
            cwd=self.folder)
        elf = Elf(self.folder / "linked.elf")
        return elf, list(ENTRY.iter_unpack(elf.read(*elf.range("call_sites"))))

    def checked_table(self):
        """As table(), compared with the disassembly and checked for order. Returns the set of
        (function around, called function, kind)."""
        elf, entries = self.table()
        names = {value: name for name, value in elf.symbols.items()
                 if name.startswith("static_call_")}
        found = {(address, names[function], kind) for address, function, kind, _ in entries}
        assert found == disassembled_branches(self.folder / "linked.elf")
        assert all(length == KINDS[kind][1] for _, _, kind, length in entries)
        order = [(names[function], address) for address, function, _, _ in entries]
        assert order == sorted(order) and len(found) == len(entries)
        del elf.symbols["partial_text"]  # stands beside the first function
        starts = sorted((value, name) for name, value in elf.symbols.items())
        around = [starts[bisect.bisect(starts, (address, "~")) - 1][1] for address, _, _ in found]
        return {(caller, name, kind) for caller, (_, name, kind) in zip(around, found)}


def disassembled_branches(path):
    """Returns {(address, function, kind)} of all branches to a static_call_NAME at its start."""
    listing = subprocess.run(["objdump", "-d", "-w", "--no-show-raw-insn", path], check=True,
                             text=True, capture_output=True).stdout
    kinds = {"call": 0, "jmp": 1}
    matches = filter(None, map(BRANCH.match, listing.splitlines()))
    return {(int(address, 16), name, kinds.get(mnemonic, 2))
            for address, mnemonic, name in (match.groups() for match in matches)}


@pytest.fixture(params=[(compiler, debug) for compiler in ("gcc", "clang")
                        for debug in (True, False)],
                ids=lambda param: f"{param[0]}{'-g' if param[1] else ''}")
def bench(request, tmp_path, tool):
    return Bench(tmp_path, tool, *request.param)


@pytest.fixture
def gcc_bench(tmp_path, tool):
    return Bench(tmp_path, tool)
