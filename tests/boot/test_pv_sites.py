# SPDX-License-Identifier: MIT
"""Paravirt ops in the commands for everything that is patched: `sites`, `plan`, their completion
and bad input."""

import pytest

# As booted: native, inline. The fill stands in front of the instruction.
INLINED = {"irq_save": ("pushfq", "9c"), "irq_restore": ("sti", "fb"),
           "irq_disable": ("cli", "fa"), "irq_enable": ("sti", "fb"),
           "lock_unlock": ("incl 12(%rdi)", "ff470c"), "eoi": ("movl $0, (%rdi)", "c70700000000"),
           "tlb_flush_page": ("invlpg (%rdi)", "0f013f"), "lock_kick": ("nop", "90")}


@pytest.mark.parametrize("op", INLINED)
def test_an_inlined_op_is_its_instruction_behind_a_fill(shell, op):
    text, code = INLINED[op]
    rows = shell.json(f"sites {op} -j")
    for row in rows:
        assert (row["kind"], row["key"], row["len"]) == ("site", op, 6)
        assert (row["form"], row["insn"]) == ("inline", text)
        assert row["bytes"] == "2e" * (6 - len(code) // 2) + code
    assert len({row["addr"] for row in rows}) == len(rows)


def test_an_op_that_is_a_function_is_called_directly(shell):
    rows = shell.json("sites safe_halt -j")
    assert rows
    for row in rows:
        assert row["form"] == "direct"
        assert row["bytes"].startswith("2ee8")
        assert row["insn"].startswith("call 0x")


def test_plan_of_an_op_shows_the_call_of_the_way(shell):
    """`counted` has a way for every op, and it is no instruction: a direct call."""
    *sites, total = shell.json("plan irq_disable counted -j")
    before = {row["addr"]: row["bytes"] for row in shell.json("sites irq_disable -j")}
    assert {row["addr"]: row["old"] for row in sites} == before
    assert all(row["new"].startswith("2ee8") for row in sites)
    assert (total["kind"], total["name"], total["sites"], total["rounds"]) == (
        "plan", "irq_disable", len(sites), 3)
    assert {row["addr"]: row["bytes"] for row in shell.json("sites irq_disable -j")} == before


def test_plan_to_the_way_it_goes_is_nothing(shell):
    total, = shell.json("plan irq_disable native -j")
    assert (total["sites"], total["rounds"], total["ipis"]) == (0, 0, 0)


def test_pv_name_is_the_op_where_a_call_has_its_name(shell):
    call, op = shell.json("sites clock_read -j"), shell.json("sites pv_clock_read -j")
    assert call[0]["symbol"] == "static_call_clock_read+0x0" and "form" not in call[0]
    assert {row["form"] for row in op} == {"direct"}
    assert shell.json("sites pv_eoi -j") == shell.json("sites eoi -j")


@pytest.mark.parametrize("line, words", [
    ("sites irq_sav", "did you mean 'irq_save'?"),
    ("sites pv_clock_rea", "did you mean 'pv_clock_read'?"),
    ("plan eoi", "argument missing"),
    ("plan eoi on", "no backend is called 'on'"),
    ("plan eoi nativ", "no backend is called 'nativ'"),
    ("call eoi counted", "there is no call 'eoi'"),
    ("call pv_clock_read counted", "there is no call 'pv_clock_read'"),
])
def test_bad_input_is_named(shell, line, words):
    assert words in shell.run(line)


def test_a_backend_that_has_no_such_way_is_named(shell):
    """KVM leaves the interrupt flag to the processor."""
    assert "op irq_disable cannot go to kvm: it has no way" in shell.run("plan irq_disable kvm")


@pytest.mark.parametrize("typed, words", [
    ("sites eo", "sites eoi"), ("sites lock_unl", "sites lock_unlock"),
    ("plan eoi coun", "plan eoi counted"), ("plan pv_clo", "plan pv_clock_read"),
])
def test_completion_knows_ops_and_backends(shell, typed, words):
    shell.send(typed + "\t")
    shell.wait(words)
    shell.send("\x03")
    shell.wait_prompt()
