# SPDX-License-Identifier: MIT
"""One livetext machine under QEMU, driven over its serial console.

    with Machine("matrix-pc-4", loader="kernel", cpus=4) as machine:
        machine.wait_prompt()
        assert machine.json("ver -j")[0]["cpus"] == 4
        assert machine.exit() == 33

Invariant: leaving the block ends QEMU, whatever happened; the whole dialogue stays in
build/boot-logs/NAME.log. Every wait has a limit.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
import zlib

import pexpect

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
LOGS = BUILD / "boot-logs"
FIRMWARE = "/usr/share/ovmf/OVMF.fd"
PROMPT = "\r\nlivetext> "
CPU_WAS_AWAY = re.compile(r"\[ *[\d.]+\] (error: (cpu \d+: no answer to|  at |  from )|warning: "
                          r"grace period: (thread .* was not outside for|and \d+ threads))")
TYPED_MAX = 511  # characters; the line editor takes no more
ALL_OK, SOME_FAILED = 33, 35  # QEMU's exit status for debug-exit values 16 and 17


def iso(command_line=""):
    """Returns the path of an ISO image with this kernel command line, built if need be."""
    elf = BUILD / "livetext.elf"
    image = LOGS / f"livetext-{zlib.crc32(command_line.encode()):08x}.iso"
    if not image.exists() or image.stat().st_mtime < elf.stat().st_mtime:
        LOGS.mkdir(parents=True, exist_ok=True)
        subprocess.run([ROOT / "tools/make_iso.sh", elf, image, command_line], check=True)
    return image


def icount():
    """Returns Machine's options for QEMU's deterministic mode: time counts instructions."""
    return {"accel": "tcg,thread=single",
            "extra": ["-icount", "shift=0,sleep=off", "-seed", "1",
                      "-rtc", "base=2026-01-01T00:00:00,clock=vm"]}


def loader_options(loader, command_line, image=BUILD / "livetext.elf"):
    """Returns QEMU's options for one of the ways to load the kernel."""
    if loader == "kernel":
        return ["-kernel", str(image), "-append", command_line]
    image = iso(command_line)
    if loader == "iso-usb":
        return ["-device", "qemu-xhci", "-drive", f"if=none,id=stick,format=raw,file={image}",
                "-device", "usb-storage,drive=stick,bootindex=0"]
    firmware = {"iso-bios": [], "iso-uefi": ["-bios", FIRMWARE]}[loader]
    return [*firmware, "-cdrom", str(image)]


class Machine:
    def __init__(self, name, loader="kernel", machine="pc", cpus=4, memory="256M", cpu="max",
                 accel="tcg,thread=multi", command_line="", extra=(), timeout=90,
                 image=BUILD / "livetext.elf", nic=("-nic", "none"), prefix=()):
        """@nic: QEMU's options for network cards; @prefix: a command that starts QEMU."""
        self.name, self.timeout = name, timeout
        self.command = [*prefix, "qemu-system-x86_64"]
        self.arguments = [
            "-machine", machine, "-accel", accel, "-cpu", cpu, "-smp", str(cpus), "-m", memory,
            "-display", "none", *nic, "-no-reboot",
            "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            *loader_options(loader, command_line, image), *map(str, extra)]
        self.child = self.log = self.started = None
        self.lost = False  # a wait ran out of time, or QEMU ended: nothing more comes
        self.text = ""  # everything that the last wait consumed

    def __enter__(self):
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = open(LOGS / f"{self.name}.log", "w", encoding="utf-8")
        self.log.write(f"{' '.join(self.command + self.arguments)}\n")
        self.started = time.monotonic()
        self.child = pexpect.spawn(shutil.which(self.command[0]),
                                   [*self.command[1:], *self.arguments],
                                   encoding="utf-8", codec_errors="replace", timeout=self.timeout,
                                   dimensions=(24, 200), echo=False)
        self.child.logfile_read = self.log
        self.child.delaybeforesend = None
        return self

    def __exit__(self, *_):
        self.kill()
        self.log.close()

    def kill(self):
        """Ends QEMU, however long the host takes for that."""
        if self.child.isalive():
            self.child.kill(signal.SIGKILL)
            self.child.wait()
        self.child.close()

    def wait(self, pattern, timeout=None):
        """Waits for a literal text or a compiled pattern; returns what came before it."""
        expect = self.child.expect_exact if isinstance(pattern, str) else self.child.expect
        try:
            expect(pattern, timeout=timeout or self.timeout)
        except (pexpect.TIMEOUT, pexpect.EOF) as error:
            self.lost = True
            self.kill()
            tail = "\n".join(str(self.child.before).splitlines()[-25:])
            raise AssertionError(f"{self.name}: {type(error).__name__} before {pattern!r} came; "
                                 f"the last lines:\n{tail}") from None
        self.text = self.child.before
        return self.text

    def wait_prompt(self, timeout=None):
        """Waits for the prompt; returns what was printed since the last one."""
        return self.wait(PROMPT, timeout)

    def send(self, text):
        self.child.send(text)

    def run(self, command, timeout=None):
        """Runs one command line; returns its output without the echo, lines ended by newline. The
        log draws the prompt again, with what has been typed so far, behind lines that come while
        nothing runs: what counts is the prompt behind the whole command, if that is shown as it is
        typed."""
        self.send(command + "\r")
        if command and command.isprintable() and len(command) <= TYPED_MAX:
            self.wait(re.compile(re.escape(command) + r"(?=\r+\n)"), timeout)
        _, _, output = self.wait_prompt(timeout).partition("\r\n")
        return output.replace("\r\n", "\n")

    def resynchronise(self):
        """Drops what is being typed and whatever prompts were redrawn; ends at a fresh prompt."""
        self.send("\x03marker\r")
        self.wait("'marker'")
        self.wait_prompt()

    def json(self, command, timeout=None):
        """Runs a command with -j; returns its objects. Every line must be one with a kind, or a
        report that the host took a CPU away for seconds."""
        rows = [json.loads(line) for line in self.run(command, timeout).splitlines()
                if not CPU_WAS_AWAY.match(line)]
        assert all(isinstance(row.get("kind"), str) for row in rows), rows
        return rows

    def pokes_after(self, seq):
        """Returns the records of batches that are newer."""
        return [row for row in self.json("pokes -j") if row["seq"] > seq]

    def output_until(self, pattern, timeout):
        """Returns all that comes up to the pattern, or, failing that, until QEMU or the time ends;
        ^ in the pattern is the beginning of a line."""
        self.child.expect([re.compile(pattern, re.M), pexpect.EOF, pexpect.TIMEOUT], timeout)
        found = isinstance(self.child.after, str)
        self.lost = not found
        return self.child.before + (self.child.after if found else "")

    def exit(self, command="exit", timeout=None):
        """Leaves through `exit`; returns QEMU's exit status."""
        self.send(command + "\r")
        return self.exit_status(timeout)

    def exit_status(self, timeout=None):
        """Waits for QEMU's end; returns its exit status. What came until then is in self.text."""
        try:
            self.child.expect(pexpect.EOF, timeout=timeout or self.timeout)
        except pexpect.TIMEOUT:
            self.text, self.lost = self.child.before, True
            raise AssertionError(f"{self.name}: QEMU does not end: {self.child.before[-500:]}") \
                from None
        self.text = self.child.before
        if self.child.isalive():  # its end is near: all it had open is closed
            self.child.wait()
        self.child.close()
        return self.child.exitstatus


@contextlib.contextmanager
def revived(make, ready):
    """For tests that share a machine: gives a function that returns it, booted again after one that
    died. @make: returns the machine of this number, counted from 1; @ready: takes one that has been
    started to where a test may begin."""
    numbers, current = itertools.count(1), None
    with contextlib.ExitStack() as stack:
        def running():
            nonlocal current
            if current is None or current.lost:
                stack.close()
                current = stack.enter_context(make(next(numbers)))
                ready(current)
            return current

        yield running
