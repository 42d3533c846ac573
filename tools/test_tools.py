# SPDX-License-Identifier: MIT
"""Self-tests of the checks in this room: each is given a tree or an image with one fault and must
name it, and the same without the fault and must be silent. Run by make test."""

import pathlib
import subprocess
import sys
import time

import pytest

import check_image
import check_nopatch
import check_rooms
import check_style
import coverage
import mutant_table

TOOLS = pathlib.Path(__file__).parent

# A kernel of 20 lines: both multiboot headers, the handlers, a patchable function, one site.
KERNEL = """
global patch_breakpoint_handle, breakpoint_handle, nmi_handle, panic
global breakpoint_entry, nmi_entry, sync_entry_xapic, sync_entry_x2apic
section .text.boot
header: dd 0x1badb002, {flags}, -(0x1badb002 + {flags})
        dd header - BASE, 0x100000, {load_end}, bss_end - BASE, entry - BASE
align 8
dd 0xe85250d6, 0, 24, -(0xe85250d6 + 24), 0, 8
entry: jmp patchable
extern bss_end, data_end
BASE equ 0xffffffff80000000
section .text
patchable: {instruction}
    ret
{outside}
section .text.nopatch
patch_breakpoint_handle: call panic
    {extra}
    ret
breakpoint_handle: jz patch_breakpoint_handle
    jmp patch_breakpoint_handle
{inside}
panic: hlt
    jmp panic
section static_key_sites
    dq {site}, patchable, 0, 5
section .text
caller: call strict near trampoline
first_jump: jmp strict near trampoline
first_jcc: jz strict near trampoline
other_call: call strict near other
align 8
trampoline: jmp strict near patchable
align 8
other: jmp strict near patchable
section call_sites
{calls}
"""
CALLS = ("dq caller, trampoline\ndd 0, 5", "dq first_jump, trampoline\ndd 1, 5",
         "dq first_jcc, trampoline\ndd 2, 6", "dq other_call, other\ndd 0, 5")
ENTRIES = ("breakpoint_entry", "nmi_entry", "sync_entry_xapic", "sync_entry_x2apic", "nmi_handle")
SCRIPT = """
PHDRS { text PT_LOAD FLAGS(%s); data PT_LOAD FLAGS(6); }
SECTIONS {
    . = 0xffffffff80100000;
    text_start = .;
    .text : AT(ADDR(.text) - 0xffffffff80000000) {
        *(.text.boot) *(.text) nopatch_start = .; *(.text.nopatch) nopatch_end = .; } :text
    text_end = .;
    . = ALIGN(4096);
    .data : AT(ADDR(.data) - 0xffffffff80000000) {
        static_key_sites_start = .; *(static_key_sites) static_key_sites_end = .;
        call_sites_start = .; *(call_sites) call_sites_end = .; } :data
    data_end = .;
    bss_end = .;
}
"""


def entries(but=None):
    """Returns the lines of the handlers' entries, all but one."""
    return "\n".join(f"{name}: jmp breakpoint_handle" for name in ENTRIES if name != but)


@pytest.fixture
def build(tmp_path):
    """Returns a function that assembles and links KERNEL with some of its parts replaced."""
    def build_kernel(segment_flags="5", **parts):
        defaults = {"flags": "0x10003", "load_end": "data_end - BASE", "extra": "nop",
                    "site": "patchable", "instruction": "jmp strict near $ + 5", "outside": "",
                    "inside": entries(), "calls": "\n".join(CALLS)}
        (tmp_path / "k.asm").write_text("bits 64\n" + KERNEL.format(**{**defaults, **parts}))
        (tmp_path / "k.ld").write_text(SCRIPT % segment_flags)
        elf = tmp_path / "k.elf"
        subprocess.run(["nasm", "-f", "elf64", "k.asm", "-o", "k.o"], cwd=tmp_path, check=True)
        subprocess.run(["ld", "-static", "-nostdlib", "-z", "max-page-size=0x1000", "-T", "k.ld",
                        "-e", "patchable", "--no-warn-rwx-segments", "k.o", "-o", elf],
                       cwd=tmp_path, check=True)
        return str(elf)
    return build_kernel


def test_good_image_passes_both_checks(build):
    elf = build()
    assert check_nopatch.check(elf) == []
    assert check_image.check(elf) == []


@pytest.mark.parametrize("extra, complaint", [
    ("call patchable", "leaves nopatch text"),
    ("jz near patchable", "leaves nopatch text"),
    ("jmp near patchable", "leaves nopatch text"),
    ("db 0xe2, -128", "leaves nopatch text"),
    ("call rax", "indirect"),
    ("call [rax + 8]", "indirect"),
    ("jmp [rax*8 + 8]", "indirect"),
    ("jmp far [rax]", "indirect"),
    ("db 0x06", "not an instruction"),
])
def test_nopatch_refuses_code_that_leaves(build, extra, complaint):
    assert any(complaint in fault for fault in check_nopatch.check(build(extra=extra)))


def test_nopatch_refuses_a_site_inside(build):
    faults = check_nopatch.check(build(site="breakpoint_handle"))
    assert any("breakpoint_handle" in fault for fault in faults)


def test_nopatch_refuses_an_entry_outside(build):
    faults = check_nopatch.check(build(extra="section .text\nnop\nsection .text.nopatch"))
    assert faults == []
    faults = check_nopatch.check(build(extra="ret\nsection .text"))
    assert any("panic is not in nopatch text" in fault for fault in faults)


@pytest.mark.parametrize("name", ENTRIES)
def test_nopatch_refuses_a_handler_entry_outside(build, name):
    faults = check_nopatch.check(build(outside=f"{name}: iretq", inside=entries(but=name)))
    assert faults == [f"{name} is not in nopatch text"]


@pytest.mark.parametrize("parts, complaint", [
    ({"flags": "3"}, "without load addresses"),
    ({"load_end": "0x100010"}, "cuts off data"),
    ({"segment_flags": "7"}, "writable and executable"),
    ({"site": "patchable, 0"}, "not a multiple of 32"),
    ({"site": "0"}, "not in text"),
    ({"instruction": "nop dword [rax + rax]"}, "0x0f is not a jump"),
    ({"instruction": "times 4 nop\njmp strict near $ + 5", "site": "patchable + 4"}, "its 5 bytes"),
    ({"instruction": "times 7 nop\njmp short $ + 2", "site": "patchable + 7"}, "its 2 bytes"),
])
def test_image_refuses(build, parts, complaint):
    assert any(complaint in fault for fault in check_image.check(build(**parts)))


def changed(old, new):
    """Returns the call sites with one text replaced; it must be there."""
    calls = "\n".join(CALLS)
    assert old in calls
    return calls.replace(old, new, 1)


@pytest.mark.parametrize("calls, complaint", ids=lambda _: "", argvalues=[
    ("", None),
    ("\n".join(CALLS[3:] + CALLS[:3]), None),
    ("\n".join(CALLS) + "\ndq 0", "104 bytes are not a multiple of 24"),
    (changed("dd 0", "dd 3"), "kind 3 is unknown"),
    (changed("dd 0", "dd 1"), "is not a jmp"),
    (changed("dd 1", "dd 0"), "is not a call"),
    (changed("dd 1, 5", "dd 2, 6"), "is not a jcc"),
    (changed("dd 0, 5", "dd 0, 6"), "length 6 is not that of a call"),
    (changed("dd 2, 6", "dd 2, 5"), "length 5 is not that of a jcc"),
    (changed("dq caller,", "dq caller + 1,"), "is not a call"),
    (changed("other_call, other", "other_call, trampoline"), "to other+0x0, not to trampoline+0x0"),
    (changed("dq caller, trampoline", "dq caller, trampoline + 1"), "not to trampoline+0x1"),
    (changed("dq caller,", "dq 0,"), "0x0: it is not in text text"),
    (changed("dq first_jcc,", "dq BASE + 0x200000,"), "it is not in text text"),
    (changed("dq first_jcc,", "dq breakpoint_handle,"), "it is in nopatch text"),
    ("\n".join(CALLS[1::-1]), "not in ascending order"),
    ("\n".join(CALLS[:1] * 2), "not in ascending order"),
    ("\n".join((CALLS[0], CALLS[3], CALLS[1])), "trampoline+0x0 do not stand together"),
])
def test_image_checks_call_sites(build, calls, complaint):
    faults = check_image.check(build(calls=calls))
    assert faults == [] if complaint is None else len(faults) == 1 and complaint in faults[0]


def test_image_wants_the_bounds_of_call_sites(build, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "SCRIPT", SCRIPT.replace("call_sites_end", "other"))
    with pytest.raises(ValueError, match="call_sites_end is missing"):
        check_image.check(build())


def test_nopatch_refuses_a_call_site_inside(build):
    faults = check_nopatch.check(build(calls="dq panic, trampoline\ndd 0, 5"))
    assert faults == ["call_sites: a site or its target is in nopatch text: panic+0x0"]


def test_image_refuses_moved_file_offsets(build):
    elf = pathlib.Path(build())
    data = bytearray(elf.read_bytes())
    start = data.index((0x1BADB002).to_bytes(4, "little"))
    data[start + 12:start + 16] = (0x100010).to_bytes(4, "little")
    elf.write_bytes(data)
    assert any("file offset" in fault for fault in check_image.check(str(elf)))


@pytest.mark.parametrize("path, line, allowed", [
    ("patching/a.c", '#include "patching/poke.h"', True),
    ("patching/a.c", "#include <stdint.h>", True),
    ("patching/a.c", "#include <stdarg.h>", False),
    ("patching/a.c", '#include "kernel/log.h"', False),
    ("patching/a.h", '  #  include "arch/apic.h"', False),
    ("arch/a.c", '#include "kernel/spinlock.h"', True),
    ("arch/a.c", '#include "kernel/shell.h"', False),
    ("arch/a.c", '#include "drivers/uart.h"', False),
    ("kernel/a.c", '#include "arch/ipi.h"', True),
    ("kernel/a.c", '#include "drivers/uart.h"', False),
    ("kernel/main.c", '#include "drivers/uart.h"', True),
    ("kernel/a.c", '#include "tests/kernel/test.h"', False),
    ("kernel/a.c", "#include <stdio.h>", False),
    ("kernel/a.c", '#include "a.h"', False),
    ("drivers/a.c", '#include "kernel/log.h"', True),
    ("drivers/a.c", '#include "kernel/shell.h"', False),
    ("drivers/a.c", '#include "tests/kernel/test.h"', False),
    ("tests/kernel/a.c", '#include "drivers/uart.h"', True),
])
def test_rooms_know_who_may_include_what(tmp_path, path, line, allowed):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(line + "\n")
    assert (check_rooms.check_includes(tmp_path) == []) == allowed


def test_rooms_refuse_a_symbol_beyond_the_platform(tmp_path):
    header = tmp_path / "platform.h"
    header.write_text("void platform_lock(void);\n")
    source = tmp_path / "a.c"
    source.write_text("void platform_lock(void); void b(void);"
                      "extern char static_key_sites_start[];"
                      "char *a(void) { platform_lock(); b(); return static_key_sites_start; }")
    other = tmp_path / "b.c"
    other.write_text("void log_info(const char *); void b(void) { log_info(0); }")
    for file in source, other:
        subprocess.run(["gcc", "-c", file, "-o", file.with_suffix(".o")], check=True)
    assert check_rooms.check_symbols(header, [tmp_path / "a.o"]) == [
        "patching/ needs b, which patching/platform.h does not declare"]
    assert check_rooms.check_symbols(header, [tmp_path / "a.o", tmp_path / "b.o"]) == [
        "patching/ needs log_info, which patching/platform.h does not declare"]
    assert check_rooms.check_symbols(header, []) != []


HEAD = "// SPDX-License-Identifier: MIT\n"


@pytest.mark.parametrize("name, text, complaint", ids=lambda _: "", argvalues=[
    ("a.c", HEAD + "int a;\n", None),
    ("a.c", "int a;\n", "no 'SPDX"),
    ("a.h", HEAD + "int a;\n", "#pragma once"),
    ("a.c", HEAD + "int a;\n" * 500, "501 lines"),
    ("a.c", HEAD + "/* " + "x" * 98 + "\n", "101 columns"),
    ("a.c", HEAD + "int a; \n", "blanks"),
    ("a.c", HEAD + "\tint a;\n", "tab"),
    ("a.c", HEAD + "int a;", "newline"),
    ("a.c", HEAD + "// TO" + "DO\n", "unfinished"),
    ("a.c", HEAD + "int f(void)\n{\n" + "    g();\n" * 57 + "}\n", None),
    ("a.c", HEAD + "int f(void)\n{\n" + "    g();\n" * 58 + "}\n", "function of 61 lines"),
])
def test_style_names_the_fault(name, text, complaint):
    faults = check_style.check_file(name, text)
    assert faults == [] if complaint is None else complaint in faults[0]


def test_style_budgets_ifs_and_wants_a_readme(tmp_path):
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/a.c").write_text(HEAD + "#if 1\n#endif\n")
    assert check_style.check(tmp_path) == ["kernel/README.md is missing"]
    (tmp_path / "kernel/b.c").write_text(HEAD + "#ifdef A\n#endif\n")
    (tmp_path / "kernel/README.md").write_text("x\n")
    assert check_style.check(tmp_path) == ["2 #if in 6 lines of .c (at most 1)"]


@pytest.mark.parametrize("commands, last_line, status", [
    (["a=echo '3 passed, 0 failed, 1 skipped'", "b=true"], "4 passed, 0 failed, 1 skipped", 0),
    (["a=echo '3 passed, 2 failed, 0 skipped'; false"], "3 passed, 2 failed, 0 skipped", 1),
    (["a=echo '3 passed, 0 failed, 0 skipped'; kill -9 $$"], "3 passed, 1 failed, 0 skipped", 1),
    (["a=kill -SEGV $$", "b=true"], "1 passed, 1 failed, 0 skipped", 1),
    (["a=no-such-program"], "0 passed, 1 failed, 0 skipped", 1),
    ([], "0 passed, 0 failed, 0 skipped", 0),
])
def test_sum_counts_every_program(commands, last_line, status):
    done = subprocess.run([sys.executable, TOOLS / "sum_tests.py", *commands], text=True,
                          capture_output=True)
    lines = done.stdout.splitlines()
    assert (lines[-1], done.returncode) == (last_line, status)
    assert sum(1 for line in lines if line.endswith("skipped") and " passed" in line) == 1


def test_sum_ended_from_outside_leaves_nothing_behind(tmp_path):
    mark = tmp_path / "mark"
    inner = f"{sys.executable} {TOOLS}/sum_tests.py 'a=echo up; sleep 2; touch {mark}'"
    with subprocess.Popen([sys.executable, TOOLS / "sum_tests.py", f"outer={inner}"], text=True,
                          stdout=subprocess.PIPE) as outer:
        while "up" != outer.stdout.readline().strip():
            pass
        outer.terminate()
        assert outer.wait() == 1
    time.sleep(2.2)
    assert not mark.exists()


@pytest.mark.parametrize("options, culprit", [
    ({"SMP": "x"}, "SMP='x'"), ({"SMP": "0"}, "SMP=0"), ({"SMP": "256"}, "SMP=256"),
    ({"SMP": "99999999999999999999"}, "SMP=99999999999999999999"), ({"SMP": "004"}, "SMP=004"),
    ({"MEM": "lots"}, "MEM='lots'"), ({"MEM": "64m"}, "MEM='64m'"), ({"MEM": "0"}, "MEM='0'"),
    ({"MEM": "64M\n4G"}, "MEM='64M"), ({"MEM": "99999999999999999999G"}, "MEM=99999"),
    ({"MEM": "9999G"}, "MEM=9999G"), ({"MEM": "G"}, "MEM='G'"),
    ({"NIC": "rtl8139"}, "NIC='rtl8139'"),
    ({"ACCEL": "hvf"}, "ACCEL='hvf'"), ({"UEFI": "yes"}, "UEFI='yes'"),
    ({"MACHINE": "isapc"}, "MACHINE='isapc'"),
])
def test_run_names_a_wrong_option(options, culprit):
    done = subprocess.run([TOOLS / "run.sh"], env={"PATH": "/usr/bin:/bin", **options}, text=True,
                          capture_output=True, timeout=10)
    assert done.returncode == 2 and culprit in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("run: ")]) == 1
    assert "run.sh:" not in done.stderr


@pytest.mark.parametrize("command", ["", "run='ver; exit'", "a'b \"c\" $d `e` \\ '' *", "a=$$b"])
def test_debug_hands_the_command_line_on_unchanged(tmp_path, command):
    """What gdb would start is run here with programs that only tell their arguments."""
    (tmp_path / "gdb").write_text("#!/bin/sh\n")
    (tmp_path / "qemu-system-x86_64").write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    for program in "gdb", "qemu-system-x86_64":
        (tmp_path / program).chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "BUILD": str(tmp_path), "GDB": "1",
           "ACCEL": "tcg", "CMD": command}
    subprocess.run([TOOLS / "run.sh"], env=env, check=True, capture_output=True, timeout=10)
    words = subprocess.run(["sh", tmp_path / "debug.sh"], env=env, check=True, text=True,
                           capture_output=True).stdout.split("\0")
    assert words[words.index("-append") + 1] == command


@pytest.mark.parametrize("command", [
    "", "foo=a$b", "foo=a$$b $(CC) ${x", "run=\"ver; exit\" # 'it' \\ = :="])
@pytest.mark.parametrize("origin", ["command line", "environment"])
def test_make_hands_the_command_line_on_unchanged(command, origin):
    show = "show_command: ; @printf '%s' \"$$CMD\""
    words = [f"CMD={command}"] if origin == "command line" else []
    env = {"PATH": "/usr/bin:/bin", "CMD": "" if words else command}
    done = subprocess.run(["make", "-s", "--eval", show, "show_command", *words], env=env,
                          cwd=TOOLS.parent, text=True, capture_output=True)
    assert (done.stdout, done.stderr) == (command, "")


def test_setup_names_what_is_missing(tmp_path):
    (tmp_path / "setup.sh").write_bytes((TOOLS / "setup.sh").read_bytes())
    (tmp_path / "packages.txt").write_text(
        "# list\nthere  true\nnot-there  false\nbroken  exit 7\n")
    done = subprocess.run(["sh", tmp_path / "setup.sh", "--check"], text=True, capture_output=True)
    assert done.returncode == 1 and "broken not-there" in done.stderr
    (tmp_path / "packages.txt").write_text("there  true\n")
    assert subprocess.run(["sh", tmp_path / "setup.sh", "--check"]).returncode == 0


COUNTED = """
#include <stdlib.h>
static inline int sign(int a) { return a < 0 ? -1 : 1; }
int never(int a);
int counted(int a)
{
    if (a > 3) {
        abort();
    }
    return sign(a);
}
"""


@pytest.fixture
def counts(tmp_path, monkeypatch):
    """Returns a function that builds COUNTED, a file nobody runs, and a program that calls
    counted() with the arguments given; measures; and returns what coverage.measure() does."""
    def measure_program(*arguments):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "patching").mkdir(exist_ok=True)
        (tmp_path / "patching/a.c").write_text(COUNTED)
        (tmp_path / "patching/b.c").write_text("int never(int a)\n{\n    return a ? 5 : 6;\n}\n")
        calls = "".join(f"counted({argument});" for argument in arguments)
        (tmp_path / "main.c").write_text(f"int counted(int); int main(void) {{ {calls} }}\n")
        for name in "a", "b":
            subprocess.run(["gcc", "--coverage", "-c", f"patching/{name}.c", "-o", f"{name}.o"],
                           check=True)
        subprocess.run(["gcc", "--coverage", "-c", "main.c", "-o", "main.o"], check=True)
        subprocess.run(["gcc", "--coverage", "main.o", "a.o", "-o", "program"], check=True)
        return coverage.measure(tmp_path, [tmp_path / "program"])
    return measure_program


def test_coverage_counts_what_was_reached_and_names_what_was_not(counts):
    files = counts(1)
    assert sorted(files) == ["patching/a.c", "patching/b.c"]
    assert coverage.covered(files["patching/a.c"][1]) == (2, 4)
    assert coverage.covered(files["patching/b.c"][1]) == (0, 2)
    assert round(coverage.branch_percent(files), 1) == 33.3
    assert coverage.table(files)[-1].split() == ["total", "4/7", "57.1", "2/6", "33.3"]
    assert coverage.missing(files) == [
        "patching/a.c:3: 1 of 2 branches not taken", "patching/a.c:7: 1 of 2 branches not taken",
        "patching/a.c:8: line not reached", "patching/b.c:1: line not reached",
        "patching/b.c:3: line not reached"]


def test_coverage_adds_nothing_from_an_earlier_run(counts):
    assert coverage.covered(counts(1, -1)["patching/a.c"][1]) == (3, 4)
    assert coverage.covered(counts()["patching/a.c"][1]) == (0, 4)


def test_coverage_of_a_program_that_fails_is_no_coverage(counts):
    with pytest.raises(coverage.CoverageError, match="program: status -6"):
        counts(4)


@pytest.mark.parametrize("bar, status, last_line", [
    ("33.3", 0, "ok 1 - branches_of_patching_are_covered"),
    ("33.4", 1, "not ok 1 - branches_of_patching_are_covered")])
def test_coverage_below_the_bar_fails(counts, tmp_path, bar, status, last_line):
    counts(1)
    done = subprocess.run([TOOLS / "coverage.py", "--counts", tmp_path, "--bar", bar, "--tap",
                           tmp_path / "program"], cwd=tmp_path, text=True, capture_output=True)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, last_line)


def test_coverage_of_nothing_fails(tmp_path):
    done = subprocess.run([TOOLS / "coverage.py", "--counts", tmp_path, "/bin/true"], text=True,
                          capture_output=True)
    assert done.returncode == 1 and "no .gcno file" in done.stdout


@pytest.fixture
def mutants(tmp_path):
    """Returns a function that runs mutant_table.py on four result files and a README."""
    for where in mutant_table.RUNNERS:
        mutant_table.save(tmp_path, where, [("b|c", "f.c", "t_b"), ("a", "f.c", f"t_{where}")])
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{mutant_table.BEGIN}\n{mutant_table.END}\nbehind\n")

    def run(*options):
        return subprocess.run([TOOLS / "mutant_table.py", *options, "--results", tmp_path, readme],
                              text=True, capture_output=True)
    return run


def test_mutant_table_is_what_the_runs_produced(mutants, tmp_path):
    readme = tmp_path / "README.md"
    assert mutants("--check").returncode == 1
    assert mutants().returncode == 0
    lines = [line for line in readme.read_text().splitlines() if line]
    assert (lines[0], lines[-1], len(lines)) == ("before", "behind", 2 + 2 + 2 + 8)
    assert lines[4:6] == ["| fuzz | `f.c` | a | `t_fuzz` |", "| fuzz | `f.c` | b\\|c | `t_b` |"]
    assert mutants("--check").returncode == 0
    once = readme.read_text()
    assert mutants().returncode == 0 and readme.read_text() == once


@pytest.mark.parametrize("change, complaint", [
    (lambda text: text.replace("t_host", "t_kernel"), "not in the table: | host | `f.c` | a |"),
    (lambda text: text.replace("| model | `f.c` | a | `t_model` |\n", ""), "not in the table: | m"),
    (lambda text: text.replace("| where", "| x\n| where"), "only in the table: | x"),
    (lambda text: text.replace(mutant_table.END, ""), "needs one line"),
    (lambda text: text.replace("|---|---|---|---|\n", "").replace(
        "| where", "|---|---|---|---|\n| where"), "another order"),
])
def test_mutant_table_names_what_is_wrong_in_the_readme(mutants, tmp_path, change, complaint):
    mutants()
    readme = tmp_path / "README.md"
    readme.write_text(change(readme.read_text()))
    done = mutants("--check")
    assert done.returncode == 1 and complaint in done.stderr


@pytest.mark.parametrize("where, text, complaint", [
    ("fuzz", None, "fuzz.tsv is missing: `make fuzz-mutants`"),
    ("host", "", "host.tsv names no mutant"),
    ("model", "model\ta\tb\n", "model.tsv:1: not 4 fields"),
    ("model", "model\ta\tb\t \n", "model.tsv:1: not 4 fields"),
    ("kernel", "kernel\ta\tb\tc\n" * 2, "listed twice: kernel: b: a"),
])
@pytest.mark.parametrize("options", [(), ("--check",)])
def test_mutant_table_refuses_bad_results(mutants, tmp_path, options, where, text, complaint):
    mutants()
    before = (tmp_path / "README.md").read_text()
    mutant_table.forget(tmp_path, where)
    if text is not None:
        (tmp_path / f"{where}.tsv").write_text(text)
    done = mutants(*options)
    assert done.returncode == 1 and complaint in done.stderr
    assert (tmp_path / "README.md").read_text() == before
