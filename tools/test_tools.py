# SPDX-License-Identifier: MIT
"""Self-tests of the checks in this room: each is given a tree or an image with one fault and must
name it, and the same without the fault and must be silent. Run by make test."""

import pathlib
import subprocess
import sys
import time

import pytest

import check_rooms
import check_style
import coverage
import mutant_table
import symbol_table

TOOLS = pathlib.Path(__file__).parent


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


def test_check_rooms_takes_the_objects_of_sources_that_are_there(tmp_path):
    for name in ("a.c", "b.asm", "old.o"):
        (tmp_path / name).touch()
    assert check_rooms.objects_of(tmp_path, tmp_path) == [tmp_path / "a.o", tmp_path / "b.asm.o"]


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
    (["--side-by-side", "3", "a=true", "b:a=echo '2 passed, 1 failed, 0 skipped'", "c:a,b=true"],
     "4 passed, 1 failed, 0 skipped", 1),
])
def test_sum_counts_every_program(commands, last_line, status):
    done = subprocess.run([sys.executable, TOOLS / "sum_tests.py", *commands], text=True,
                          capture_output=True)
    lines = done.stdout.splitlines()
    assert (lines[-1], done.returncode) == (last_line, status)
    assert sum(1 for line in lines if line.endswith("skipped") and " passed" in line) == 1


@pytest.mark.parametrize("limit, order", [(1, "abcd"), (2, "bacd")])
def test_sum_runs_side_by_side_and_shows_in_order(tmp_path, limit, order):
    """The parts tell when they end: b waits for nobody, c for b and for a free place. What they
    print comes as they stand in the list."""
    log = tmp_path / "log"
    waits = f"until grep -qs b {log} || [ {limit} = 1 ]; do sleep 0.01; done"
    parts = [f"a={waits}; echo a | tee -a {log}",
             f"b=echo b | tee -a {log}",
             f"c:b=until grep -q a {log}; do sleep 0.01; done; echo c | tee -a {log}",
             f"d:a,c=echo d | tee -a {log}"]
    done = subprocess.run([sys.executable, TOOLS / "sum_tests.py", f"--side-by-side={limit}",
                           *parts], text=True, capture_output=True, timeout=30)
    assert log.read_text().split() == list(order)
    assert [line for line in done.stdout.splitlines() if len(line) == 1] == list("abcd")


@pytest.mark.parametrize("words, culprit", [
    (["make check"], "'make check'"), (["a:b=true", "b=true"], "b before it"),
    (["a:a=true"], "a before it"), (["--side-by-side", "x"], "'x'"),
])
def test_sum_names_what_it_cannot_run(words, culprit):
    done = subprocess.run([sys.executable, TOOLS / "sum_tests.py", *words], text=True,
                          capture_output=True)
    assert done.returncode == 2 and culprit in done.stderr


def test_sum_ends_a_program_that_hangs():
    done = subprocess.run([sys.executable, TOOLS / "sum_tests.py", "--time-limit", "1",
                           "a=echo up; sleep 600", "b=true"], text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == 1
    assert "== failed: a" in done.stdout and done.stdout.endswith("1 passed, 1 failed, 0 skipped\n")


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("limit", (1, 2))
def test_sum_ended_from_outside_leaves_nothing_behind(tmp_path, limit):
    inner = (f"{sys.executable} {TOOLS}/sum_tests.py --side-by-side={limit} "
             f"'a=echo $$ >{tmp_path}/a; echo up; exec sleep 60' "
             f"'b=echo $$ >{tmp_path}/b; exec sleep 60'")
    with subprocess.Popen([sys.executable, TOOLS / "sum_tests.py", f"outer={inner}"], text=True,
                          stdout=subprocess.PIPE) as outer:
        while "up" != outer.stdout.readline().strip():
            pass
        outer.terminate()
        assert outer.wait() == 1
    for pid in (path.read_text().strip() for path in tmp_path.iterdir()):
        end = time.monotonic() + 30
        while is_running(pid):
            assert time.monotonic() < end, f"process {pid} is left behind"
            time.sleep(0.01)


@pytest.mark.parametrize("options, culprit", [
    ({"SMP": "x"}, "SMP='x'"), ({"SMP": "0"}, "SMP=0"), ({"SMP": "256"}, "SMP=256"),
    ({"SMP": "99999999999999999999"}, "SMP=99999999999999999999"), ({"SMP": "004"}, "SMP=004"),
    ({"MEM": "lots"}, "MEM='lots'"), ({"MEM": "64m"}, "MEM='64m'"), ({"MEM": "0"}, "MEM='0'"),
    ({"MEM": "64M\n4G"}, "MEM='64M"), ({"MEM": "99999999999999999999G"}, "MEM=99999"),
    ({"MEM": "9999G"}, "MEM=9999G"), ({"MEM": "G"}, "MEM='G'"),
    ({"NIC": "rtl8139"}, "NIC='rtl8139'"),
    ({"NETDEV": "tap"}, "NETDEV='tap'"),
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


@pytest.mark.parametrize("name, binding, kind, is_listed", [
    ("mutex_lock", "T", "FUNC", True),
    ("transaction.part.0", "t", "FUNC", True),      # a clone of the compiler's
    ("context_switch", "T", "NOTYPE", True),        # NASM says no more of code
    ("boot_start", "T", "FUNC", True),              # unless told
    ("boot_start.halt", "t", "NOTYPE", True),       # a local label
    ("boot_gdt", "T", "OBJECT", False),             # data between code
    ("message_loader", "t", "OBJECT", False),
    ("nopatch_start", "T", "NOTYPE", False),        # a boundary of the linker script
    ("stepped_end", "t", "NOTYPE", False),
    ("counter", "D", "OBJECT", False),
    ("counter", "D", "NOTYPE", False),
])
def test_the_symbol_table_lists_code_alone(name, binding, kind, is_listed):
    listing = ("\n\nSymbols from a.elf:\n\nName    Value   Class   Type   Size   Line  Section\n\n"
               f"{name:20}|ffffffff80100060|   {binding}  |{kind:>18}|    |     |.text\n")
    assert symbol_table.code_of(listing) == ([(0xffffffff80100060, name)] if is_listed else [])


def test_the_symbol_table_has_one_name_an_address_and_the_global_one_wins():
    row = "{:10}|ffffffff8010006{}|   {}  |              FUNC|    |     |.text".format
    listing = "\n".join((row("local", 8, "t"), row("longer", 0, "T"), row("name", 0, "T"),
                         row("a", 0, "t"), "low|0000000000100000|   T  |  FUNC|    |     |.text"))
    assert symbol_table.code_of(listing) == [
        (0xffffffff80100060, "name"), (0xffffffff80100068, "local")]
