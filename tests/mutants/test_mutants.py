# SPDX-License-Identifier: MIT
"""Self-test of the mutant machinery: it must not take a mutant for noticed that was not."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import run  # noqa: E402
from table import MUTANTS, Mutant  # noqa: E402

MUTANT = Mutant("m", "a.c", "sync();", "", "suite", "case")
OUTPUT = """KTAP version 1
1..1
    KTAP version 1
    # Subtest: suite
    1..1
    {0} 1 case
{0} 1 suite
# Totals: pass:{1} fail:{2} skip:0
# tests ended
"""
FAILS, PASSES = OUTPUT.format("not ok", 0, 1), OUTPUT.format("ok", 1, 0)
DIES = "KTAP version 1\n1..1\n\npanic: oops\n"


def test_mutation_needs_exactly_one_place():
    assert run.mutate("a(); sync(); b();", MUTANT) == "a();  b();"
    for text in ("a(); b();", "sync(); sync();"):
        with pytest.raises(ValueError):
            run.mutate(text, MUTANT)
    with pytest.raises(ValueError):
        run.mutate("sync();", MUTANT._replace(replacement="sync();"))


@pytest.mark.parametrize("output, status, may_die, noticed", [
    (FAILS, 35, False, True), (FAILS, 35, True, True), (PASSES, 33, False, False),
    (PASSES, 33, True, False), (DIES, 35, False, False), (DIES, 35, True, True),
    (PASSES, None, True, True), (PASSES, None, False, False), (FAILS[:60], 35, True, False),
    (FAILS.replace("case", "other"), 35, False, False), ("", 1, True, False),
])
def test_only_the_declared_failure_counts(output, status, may_die, noticed):
    fault = run.judge(MUTANT._replace(may_die=may_die), output, status)
    assert (fault is None) == noticed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_table_fits_the_tree(mutant):
    run.mutate((run.ROOT / mutant.file).read_text(), mutant)
    assert mutant.case in "".join(file.read_text()
                                  for file in (run.ROOT / "tests/kernel").glob("suite_*.c"))


def test_result_names_suite_and_case():
    assert run.result_rows([MUTANT]) == [("m", "a.c", "suite: case")]
