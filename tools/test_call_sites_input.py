# SPDX-License-Identifier: MIT
"""Tests of the link-time pass with wrong usage and with files that are no sound x86-64 object:
each is refused in one line, none crashes it. Run by make test."""

import pathlib
import random
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from call_sites_bench import GOOD, HEAD, Bench, gcc_bench, run, sanitized_tool, tool
from elf import SHT_SYMTAB, Elf

REFUSED_USE = """
static IN(".text.nopatch") int user(int x) { return static_call_a(x) + 1; }
"""


@pytest.mark.parametrize("arguments", [[], ["a.o"], ["a.o", "-o"], ["-o", "x", "a.o"],
                                       ["a.o", "-o", "x", "y"]])
def test_wrong_usage_is_told(tool, tmp_path, arguments):
    done = subprocess.run([tool, *arguments], cwd=tmp_path, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (2, "usage: call_sites PARTIAL.o -o OUT.asm\n")


def test_missing_input_and_unwritable_output_are_told(gcc_bench):
    done = gcc_bench.run_pass("no-such.o")
    assert done.returncode == 1 and "no-such.o: No such file" in done.stderr
    gcc_bench.link_partially(gcc_bench.compile(HEAD + GOOD))
    done = gcc_bench.run_pass(out="no-such-folder/out.asm")
    assert done.returncode == 1 and "no-such-folder/out.asm: No such file" in done.stderr
    done = gcc_bench.run_pass(out="/dev/full")
    assert done.returncode == 1 and "No space left" in done.stderr
    assert pathlib.Path("/dev/full").exists()


@pytest.mark.parametrize("make, reason", [
    (lambda bench: b"", "is not an ELF file"),
    (lambda bench: b"\x7fELF", "is not an ELF file"),
    (lambda bench: b"!<arch>\n", "is not an ELF file"),
    (lambda bench: (bench.folder / "a.c.o").read_bytes()[:64], "no sections"),
    (lambda bench: pathlib.Path("/bin/true").read_bytes(), "is not a relocatable object"),
    (lambda bench: other_processor(bench), "is not a 64-bit x86-64 ELF file"),
    (lambda bench: machine(bench, "-m32"), "is not a 64-bit x86-64 ELF file"),
    (lambda bench: machine(bench, "-mx32"), "is not a 64-bit x86-64 ELF file"),
], ids="empty magic archive headless executable aarch64 i386 x32".split())
def test_other_files_are_refused(gcc_bench, make, reason):
    gcc_bench.compile(HEAD + GOOD)
    (gcc_bench.folder / "partial.o").write_bytes(make(gcc_bench))
    complaint, = gcc_bench.refusals()
    assert complaint.startswith("partial.o: ") and reason in complaint


def other_processor(bench):
    data = bytearray((bench.folder / "a.c.o").read_bytes())
    struct.pack_into("<H", data, 18, 183)  # e_machine = EM_AARCH64
    return bytes(data)


def machine(bench, flag):
    (bench.folder / "m.c").write_text("int x;")
    run("gcc", flag, "-c", "m.c", "-o", "m.o", cwd=bench.folder)
    return (bench.folder / "m.o").read_bytes()


@pytest.mark.parametrize("place, form, value", [
    (6, "<H", 999), (6, "<H", 0xFFFF), (0, "<I", 2**31),
], ids=("no_such_section", "extended_section", "name_out_of_bounds"))
def test_symbol_out_of_bounds_is_refused(gcc_bench, place, form, value):
    gcc_bench.link_partially(gcc_bench.compile(HEAD + GOOD))
    path = gcc_bench.folder / "partial.o"
    data = bytearray(path.read_bytes())
    table, = [section for section in Elf(path).sections if section.type == SHT_SYMTAB]
    struct.pack_into(form, data, table.offset + table.size - 24 + place, value)
    path.write_bytes(data)
    complaint, = gcc_bench.refusals()
    assert complaint == (f"partial.o: symbol {table.size // 24 - 1} is corrupted; "
                         "build the object again")


def damage(data, numbers):
    """Returns data cut off or with some bits changed: half of the time in headers and tables."""
    if numbers.random() < 0.3:
        return data[:numbers.randrange(len(data))]
    changed = bytearray(data)
    tables = struct.unpack_from("<Q", data, 40)[0]
    for _ in range(numbers.choice((1, 1, 2, 5, 20))):
        first, last = numbers.choice(((0, 64), (tables, len(data)), (0, len(data))))
        changed[numbers.randrange(first, last)] ^= 1 << numbers.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("compiler", ("gcc", "clang"))
def test_damaged_object_never_crashes(tmp_path, sanitized_tool, compiler):
    """Detects what AddressSanitizer and UBSan see in the pass; libelf and libdw are as installed,
    so in them only a fault that ends the program. The object has sites and a refused use, so that
    debug information is read too."""
    bench = Bench(tmp_path, sanitized_tool, compiler)
    bench.link_partially(bench.compile(HEAD + GOOD + REFUSED_USE))
    data = (tmp_path / "partial.o").read_bytes()
    numbers = random.Random(compiler)
    cases = [damage(data, numbers) for _ in range(300)]

    def try_case(number):
        name = f"damaged{number}"
        (tmp_path / f"{name}.o").write_bytes(cases[number])
        done = subprocess.run([sanitized_tool, f"{name}.o", "-o", f"{name}.asm"], cwd=tmp_path,
                              errors="replace", capture_output=True, timeout=60)
        written = (tmp_path / f"{name}.asm").exists()
        sound = done.returncode == (0 if written else 1) and all(
            line.startswith("call_sites: ") for line in done.stderr.splitlines())
        return sound and written == (not done.stderr), done

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(try_case, range(len(cases))))
    failed = [(number, done.returncode, done.stderr[-3000:])
              for number, (sound, done) in enumerate(results) if not sound]
    assert failed == []
    assert len({done.stderr for _, done in results}) > 10
