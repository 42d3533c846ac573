# SPDX-License-Identifier: MIT
"""The shell as a user meets it: help, bad input, line editing, history, completion, Ctrl-C,
`run=`."""

import re
import subprocess
import time

import pytest

from machine import ALL_OK, ROOT, SOME_FAILED, Machine, loader_options

COMMANDS = ("help ver cpus mem threads log cmdline ipi keys key sites plan pokes protocol calls"
            " call mitigation pv dispatch dyncall trace net nic ping pkt prog test bench spin exit"
            " panic reboot").split()
UP, DOWN, LEFT, HOME, END = "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[H", "\x1b[F"
CTRL_C, BACKSPACE, TAB = "\x03", "\x7f", "\t"
BENCHES = set("calls dispatch dyncall ipi poke lazy grace net pv seeds".split())


def test_help_lists_every_command(shell):
    listed = [line.split()[0] for line in shell.run("help").splitlines() if line.strip()]
    assert [name for name in COMMANDS if name not in listed] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_help_explains_with_an_example(shell, command):
    text = shell.run(f"help {command}")
    assert "usage:" in text
    example = next(line for line in text.splitlines() if line.startswith("example:"))
    assert command in example


def details_in_source(command, paths):
    """Returns the lines of the command's .details, as the C file that has it says."""
    for path in paths:
        for struct in path.read_text(encoding="utf-8").split("const struct shell_command ")[1:]:
            if f'.name = "{command}"' in struct:
                details = re.search(r'\.details =\s*((?:"(?:\\.|[^"\\])*"\s*)+),', struct)
                pieces = re.findall(r'"((?:\\.|[^"\\])*)"', details[1]) if details else []
                return [line.replace('\\"', '"') for line in "".join(pieces).split(r"\n") if line]
    raise AssertionError(f"no source of {command}")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_prints_every_detail(shell, command):
    """One call to the console and one row of JSON both have a limit, and `help trace` is longer
    than either. The source is the witness."""
    wanted = details_in_source(command, [ROOT / "bench/bench.c",
                                         *sorted((ROOT / "kernel").glob("commands_*.c"))])
    lines = shell.run(f"help {command}").splitlines()[3:]
    assert lines[:len(wanted)] == wanted and (command == "bench") == (lines != wanted)
    first, *rows = shell.json(f"help {command} -j")
    assert (first["kind"], first["name"]) == ("command", command) and "truncated" not in first
    details = [row["text"] for row in rows if row["kind"] == "command.detail"]
    assert details == wanted and (command == "bench") == (len(rows) > len(details))


def test_help_explains_each_bench(shell):
    """`help bench` lists them; each says how it is called and what its columns mean."""
    rows = [row for row in shell.json("help bench -j") if row["kind"] == "command.part"]
    assert {row["name"] for row in rows} == BENCHES
    for row in rows:
        name = f"bench {row['name']}"
        wanted = details_in_source(row["name"], sorted((ROOT / "bench").glob("bench_*.c")))
        first, *details = shell.json(f"help {name} -j")
        assert (first["name"], first["summary"]) == (name, row["summary"])
        assert all(usage.strip().startswith(name) for usage in first["usage"].split("\n"))
        assert first["example"].startswith(name)
        assert [detail["text"] for detail in details] == wanted != []
        lines = shell.run(f"help {name}").splitlines()
        assert lines[0] == f"{name}: {row['summary']}" and lines[-len(wanted):] == wanted
        assert f"usage: {first['usage'].splitlines()[0]}" in shell.run(f"{name} --nosuch")


@pytest.mark.parametrize("line, culprit", [
    ("foo", "foo"),
    ("foo bar -j", "foo"),
    ("help nosuch", "nosuch"),
    ("help bench pok", "did you mean 'poke'?"),
    ("help bench nosuch", "'bench nosuch': 'help bench' lists them"),
    ("help keys bench_1", "'keys' has no parts"),
    ("help bench poke now", "now"),
    ("ver -x", "-x"),
    ("cpus extra", "extra"),
    ("key", "argument missing"),
    ("key nosuch on", "nosuch"),
    ("key bench_1 maybe", "maybe"),
    ("key bench_1 on on", "on"),
    ("key bench_1 dec", "bench_1"),
    ("sites", "argument missing"),
    ("sites nosuch", "nosuch"),
    ("plan bench_1", "argument missing"),
    ("plan bench_1 sideways", "sideways"),
    ("plan nosuch on", "nosuch"),
    ("pokes -n x", "'x'"),
    ("pokes -n", "-n"),
    ("pokes -n -1", "-1"),
    ("pokes -n 0", "'0'"),
    ("log -n 99999999999999999999", "99999999999999999999"),
    ("log -l loud", "loud"),
    ("protocol magic", "magic"),
    ("protocol naive", "half-written instructions"),
    ("protocol naive --strict", "--unsafe"),
    ("protocol --unsafe", "--unsafe: name the protocol"),
    ("protocol --strict", "--strict: name the protocol"),
    ("protocol int3 stop", "stop"),
    ("mitigation lfenc", "'lfenc' is not one of retpoline lfence none; did you mean 'lfence'?"),
    ("mitigation none lfence", "lfence"),
    ("mitigation --thunk", "--thunk"),
    ("pv fork", "did you mean 'form'?"),
    ("pv more less", "'more' is not one of"),
    ("pv -x", "-x"),
    ("pv backends native", "native"),
    ("pv backend", "pv backend: argument missing"),
    ("pv backend nativ", "did you mean 'native'?"),
    ("pv backend native kvm", "kvm"),
    ("pv op", "pv op: argument missing"),
    ("pv op eoi", "pv op: argument missing"),
    ("pv op eio native", "unknown op 'eio': did you mean 'eoi'?"),
    ("pv op eoi magic", "'magic' is not one of native"),
    ("pv op lock_slow native", "changes only together with its group: pv op lock native"),
    ("pv form", "pv form: argument missing"),
    ("pv form inlined", "did you mean 'inline'?"),
    ("dispatch nosuch", "'nosuch'; `dispatch` lists them"),
    ("dispatch bnch", "did you mean 'bench'?"),
    ("dispatch bench shape", "needs the name of one"),
    ("dispatch bench shape liner", "did you mean 'linear'?"),
    ("dispatch bench shape tree tree", "tree"),
    ("dispatch --code", "dispatch NAME --code"),
    ("bench dispatch --entries 65", "'65' is out of range"),
    ("bench dispatch --shape bush", "'bush'"),
    ("spin", "(none)"),
    ("spin 1", "argument missing"),
    ("spin 4 100", "'4'"),
    ("spin x 100", "'x'"),
    ("spin 1 0", "'0'"),
    ("spin 1 50001", "'50001'"),
    ("spin --no-interrupts", "argument missing"),
    ("test nosuch", "nosuch"),
    ("test poke nosuch", "nosuch"),
    ("test poke rounds_are_exact more", "more"),
    ("bench", "bench"),
    ("bench nosuch", "nosuch"),
    ("bench pok", "did you mean 'poke'?"),
    ("bench calls --calls 0", "'0' is out of range"),
    ("bench calls --calls 1000001", "'1000001' is out of range"),
    ("bench calls --calls many", "many"),
    ("bench calls direct", "direct"),
    ("bench pv --op nosuch", "'nosuch'"),
    ("bench pv --calls 0", "'0' is out of range"),
    ("bench pv --switch -n 0", "'0' is out of range"),
    ("bench net", "no network card"),
    ("bench net --mode sing", "sing"),
    ("bench net --dyncall on", "'on'"),
    ("bench net --memory --packets 0", "'0' is out of range"),
    ("bench net --port 65536", "'65536' is out of range"),
    ("bench poke --sites 12x", "12x"),
    ("bench poke --sites 0", "'0' is out of range"),
    ("bench poke --sites 4097", "'4097' is out of range"),
    ("bench poke --sites 1,4097", "'4097' is out of range"),
    ("bench poke --protocol naive", "half-written instructions"),
    ("bench poke --protocol int3,naive", "naive is refused without --unsafe"),
    ("bench poke --busy 4", "'4' is out of range"),
    ("bench poke --busy 0", "'0' is out of range"),
    ("bench poke --placement askew", "askew"),
    ("bench poke --hold later", "later"),
    ("bench poke --hold", "value missing"),
    ("bench poke --hold tail --protocol stop", "no such step"),
    ("bench poke --hold first --protocol naive", "half-written instructions"),
    ("bench poke --hold-ms 10", "--hold-ms: goes only with --hold"),
    ("bench poke --sites -1", "'-1' is not a number"),
    ("bench poke --flips 12345678901234567890123", "12345678901234567890123' is out of range"),
    ("bench poke --sites", "--sites"),
    ("bench poke --sites 1,,4", "--sites"),
    ("bench poke --protocol magic", "magic"),
    ("bench poke --load heavy", "heavy"),
    ("bench poke --flips 0", "0"),
    ("bench ipi -n many", "many"),
    ("bench grace -n 0", "'0'"),
    ("bench lazy --sites 2", "2 is not among"),
    ("bench lazy --sites 257", "'257' is out of range"),
    ("exit now", "now"),
    ('key "bench_1', "quote"),
    ("x" * 2000, "xxx"),
], ids=lambda text: text[:40])
def test_bad_input_names_the_culprit_and_changes_nothing(shell, line, culprit):
    before = shell.run("keys -j"), shell.run("protocol -j")
    newest = shell.json("pokes -n 1 -j")[-1]["seq"]
    text = shell.run(line)
    assert culprit in text and len(text) < 1500
    assert (shell.run("keys -j"), shell.run("protocol -j")) == before
    assert shell.pokes_after(newest) == []


@pytest.mark.parametrize("wrong, right", [("kyes", "keys"), ("benhc", "bench"), ("hlep", "help")])
def test_unknown_command_gets_the_nearest(shell, wrong, right):
    assert right in shell.run(wrong)


def test_empty_line_and_blanks_are_silent(shell):
    assert shell.run("") == "" and shell.run("   ") == "" and shell.run(" ; ; ") == ""


def test_semicolon_separates_commands_and_errors_do_not_stop(shell):
    text = shell.run("ver -j; nosuch; ver -j")
    assert text.count('"kind":"ver"') == 2 and "nosuch" in text


def test_line_editing(shell):
    shell.send("vxx" + BACKSPACE * 2 + "r" + LEFT + "e" + HOME + END + " -j")
    assert '"kind":"ver"' in shell.run("")


def test_history_brings_lines_back(shell):
    shell.run("ver -j")
    shell.run("protocol -j")
    shell.send(UP + UP)
    assert '"kind":"ver"' in shell.run("")
    shell.send(UP + UP + UP + DOWN)
    assert '"kind":"protocol"' in shell.run("")


@pytest.mark.parametrize("typed, kind", [
    ("proto" + TAB + "-j", "protocol"),
    ("key ipi_" + TAB + "-j", "key"),
    ("sites sched" + TAB + "-j", "site"),
])
def test_completion_of_commands_and_keys(shell, typed, kind):
    assert f'"kind":"{kind}"' in shell.run(typed)


def test_completion_lists_what_fits(shell):
    shell.send("sites bench_" + TAB + TAB)
    shell.wait("bench_256")
    shell.resynchronise()


def test_ctrl_c_drops_the_line(shell):
    shell.send("nonsense" + CTRL_C)
    shell.wait_prompt()
    assert '"kind":"ver"' in shell.run("ver -j")


def test_ctrl_c_stops_a_long_command(shell):
    shell.send("bench poke --sites 256 --protocol int3 --flips 100000\r")
    time.sleep(1)
    started = time.monotonic()
    shell.send(CTRL_C)
    shell.wait_prompt(20)
    assert time.monotonic() - started < 10
    assert not any(row["enabled"] for row in shell.json("keys -j")
                   if row["name"].startswith("bench_"))


def test_every_byte_is_survived(shell):
    shell.send("".join(chr(code) for code in range(1, 256) if chr(code) not in "\r\n"))
    shell.resynchronise()
    shell.send("\x1b[999;999~\x1b[\x1bO\x1b")
    shell.resynchronise()
    assert '"kind":"ver"' in shell.run("ver -j")


def test_fast_typing_loses_nothing(shell):
    """More bytes at once than the UART's FIFO holds."""
    shell.send("ver -j\r" * 40)
    for _ in range(40):
        assert '"kind":"ver"' in shell.wait_prompt()


def test_a_reader_that_pauses_misses_nothing():
    """15 s are longer than output with interrupts off would wait; a pty holds 4 KiB."""
    with Machine("pause", command_line=f"run='{'keys -j; ' * 60}exit'") as machine:
        time.sleep(15)
        assert machine.exit_status() == ALL_OK
        assert machine.text.count('"name":"bench_4"') == 60 and " lost" not in machine.text


def test_output_lost_while_interrupts_are_off_is_counted():
    """At boot nothing may wait for ever: a warning for each of 1500 words overfills a pty. Output
    is waited for by counting time stamps, 10 s of them here: on another host they may be more."""
    for pause in 15, 60:
        with Machine("lost", command_line="run=exit " + "a " * 1500) as machine:
            time.sleep(pause)
            assert machine.exit_status(60) == ALL_OK
        if "characters of output lost" in machine.text:
            break
    assert re.search(r"\([1-9][0-9]* characters of output lost", machine.text)


@pytest.mark.parametrize("port", ["none", "null"])
def test_no_reader_at_all_stops_nothing(port):
    arguments = ["-display", "none", "-nic", "none", "-serial", port, "-monitor", "none",
                 "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                 *loader_options("kernel", f"run='{'keys; ' * 60}exit'")]
    done = subprocess.run(["qemu-system-x86_64", *arguments], timeout=60)
    assert done.returncode == ALL_OK


def test_exit_says_whether_a_command_failed():
    for command, status in (("ver", ALL_OK), ("nosuch", SOME_FAILED), ("ver; key", SOME_FAILED)):
        with Machine(f"exit-{status}") as machine:
            machine.wait_prompt()
            machine.run(command)
            assert machine.exit() == status


@pytest.mark.parametrize("name, command_line, status", [
    ("good", 'run="ver -j; exit"', ALL_OK),
    ("quoted", '"run=ver -j; exit"', ALL_OK),
    ("failed", 'run="nosuch; ver -j; exit"', SOME_FAILED),
])
def test_run_option_executes_commands(name, command_line, status):
    with Machine(f"run-{name}", command_line=command_line) as machine:
        assert machine.exit_status() == status
        assert '"kind":"ver"' in machine.text


def test_run_option_passes_through_grub():
    command_line = "run='ver -j; key nosuch; exit' loglevel=debug"
    with Machine("run-grub", loader="iso-bios", command_line=command_line) as machine:
        assert machine.exit_status() == SOME_FAILED
        assert '"kind":"ver"' in machine.text and "nosuch" in machine.text


@pytest.mark.parametrize("loader", ["iso-bios", "iso-uefi"])
def test_grub_shows_no_error(loader):
    """Its remark that UEFI has no text screen is cleared away once the kernel is loaded."""
    with Machine(f"grub-quiet-{loader}", loader, command_line="run=exit") as machine:
        assert machine.exit_status() == ALL_OK
        before = machine.text.partition("] livetext ")[0]
        assert "error:" not in before
        assert before.rfind("\x1b[H\x1b[J") > before.rfind("WARNING")


@pytest.mark.parametrize("command_line, culprit", [
    ("fliptable=on", "fliptable"), ("loglevel=shout", "shout"), ("cpus=many", "many"),
    ("protocol=magic", "magic"), ("sync_timeout_ms=0", "sync_timeout_ms"),
    ("grace_timeout_ms=0", "grace_timeout_ms"), ("cpus=0", "cpus"), ('loglevel="info', "quote"),
    ("=5 ,;| \x01 run", "=5"), ("a" * 3000, "aaa"), ("dispatch=bush", "bush"), ("dyncall=of", "of"),
], ids=lambda text: text[:12])
def test_nonsense_on_the_kernel_command_line_is_named(command_line, culprit):
    """A warning names it, and the machine boots as if it were not there."""
    with Machine("nonsense", command_line=command_line) as machine:
        machine.wait_prompt()
        assert culprit in machine.text
        assert machine.json("ver -j")[0]["cpus"] == 4
        assert machine.exit() == ALL_OK


@pytest.mark.parametrize("loader", ["kernel", "iso-bios"])
def test_kernel_command_line_too_long_is_cut_aloud(loader):
    """The words before the cut count; what lies behind it is dropped by name."""
    words = "cpus=2 filler=" + "x" * 4200 + " run=exit"
    with Machine(f"too-long-{loader}", loader, command_line=words) as machine:
        machine.wait_prompt()
        assert "longer than 4095 characters: what lies behind 'xxxx" in machine.text
        assert machine.json("ver -j")[0]["cpus"] == 2
        assert machine.exit() == ALL_OK


def test_kernel_command_line_up_to_the_limit_counts():
    with Machine("long", command_line="filler=" + "x" * 3500 + " cpus=2 run=exit") as machine:
        assert machine.exit_status() == ALL_OK
        assert "2 of 4 CPUs online" in machine.text and "longer than" not in machine.text


def test_spin_keeps_a_cpu_for_as_long_as_asked(shell):
    started = time.monotonic()
    assert shell.json("spin 3 1500 -j")[0]["cpu"] == 3
    assert "spins already" in shell.run("spin 3 1500")
    assert shell.json("key bench_4 on -j")[0]["rounds"] == 3  # it takes interrupts
    shell.run("key bench_4 off")
    while shell.json("spin -j"):
        time.sleep(0.1)
    assert 1.0 < time.monotonic() - started < 10


def test_reboot_resets_the_machine():
    """With -no-reboot QEMU ends with 0 when the guest resets."""
    with Machine("reboot") as machine:
        machine.wait_prompt()
        assert machine.exit("reboot") == 0
