# SPDX-License-Identifier: MIT
"""The machine that tests share: one is made, it is used as long as it lives, it is ended before the
next one takes its place. And its console: what the log draws between a command's characters is no
answer. Callers: make test."""

import sys

import pytest

from machine import Machine, revived


class Fake:
    def __init__(self, number, log):
        self.number, self.log, self.lost = number, log, False

    def __enter__(self):
        self.log.append(f"start {self.number}")
        return self

    def __exit__(self, *_):
        self.log.append(f"end {self.number}")


def test_a_shared_machine_that_died_is_ended_and_made_again():
    log = []
    with revived(lambda number: Fake(number, log),
                 lambda fake: log.append(f"ready {fake.number}")) as running:
        assert log == []
        assert running() is running()
        running().lost = True
        assert running().number == 2
    assert log == ["start 1", "ready 1", "end 1", "start 2", "ready 2", "end 2"]


def test_a_shared_machine_that_does_not_come_up_fails_its_test_alone():
    log = []

    def ready(fake):
        if fake.number == 1:
            fake.lost = True
            raise AssertionError("no prompt")

    with revived(lambda number: Fake(number, log), ready) as running:
        with pytest.raises(AssertionError, match="no prompt"):
            running()
        assert running().number == 2
    assert log == ["start 1", "end 1", "start 2", "end 2"]


# Stands for QEMU: a log line comes at the prompt, one between the characters of the command, one
# between the last of them and the end of the line.
INTERRUPTING = r"""
import sys, tty
tty.setraw(0)
write = lambda text: (sys.stdout.write(text), sys.stdout.flush())
log = lambda typed: write("\r\x1b[K[ 1.0] warning: late\r\nlivetext> " + typed)
write("\r\nlivetext> ")
log("")
sys.stdin.read(2)
log("ve")
sys.stdin.read(4)
log("ver -j")
sys.stdin.read(1)
write("\r\n{\"kind\":\"ver\"}\r\nlivetext> ")
sys.stdin.read(5)
write("quit\r\nlivetext> ")
sys.stdin.read()
"""


def test_log_lines_at_the_prompt_are_no_answer(tmp_path):
    script = tmp_path / "qemu.py"
    script.write_text(INTERRUPTING)
    with Machine("interrupting", prefix=(sys.executable, str(script))) as machine:
        machine.wait_prompt()
        assert machine.json("ver -j") == [{"kind": "ver"}]
        assert machine.run("quit") == ""
