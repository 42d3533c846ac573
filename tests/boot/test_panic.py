# SPDX-License-Identifier: MIT
"""A panic shows registers and the symbolised backtrace of every CPU and ends QEMU with status
35."""

import re

import pytest

from machine import SOME_FAILED, Machine


@pytest.mark.parametrize("cpus", [1, 4])
def test_panic_tells_everything(cpus):
    with Machine(f"panic-{cpus}", cpus=cpus) as machine:
        machine.wait_prompt()
        machine.send('panic "on purpose"\r')
        assert machine.exit_status() == SOME_FAILED
        text = machine.text
    assert "on purpose" in text
    for register in ("rax", "rip", "rsp", "cr3"):
        assert re.search(rf"{register}=[0-9a-f]{{16}}", text)
    for cpu in range(cpus):
        assert re.search(rf"^cpu {cpu}\b", text, re.MULTILINE)
    blocks = re.split(r"^cpu \d+", text, flags=re.MULTILINE)[1:]
    assert len(blocks) == cpus
    for block in blocks:
        assert re.search(r"0x[0-9a-f]{16} \w+\+0x[0-9a-f]+", block)
    assert "shell_execute+" in text


def test_panic_from_the_command_line_reaches_the_host():
    with Machine("panic-run", command_line="run=panic") as machine:
        assert machine.exit_status() == SOME_FAILED
