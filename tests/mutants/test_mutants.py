# SPDX-License-Identifier: MIT
"""Self-test of the mutant machinery: it must not take a mutant for noticed that was not."""

import pathlib
import re
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import run  # noqa: E402
from table import MUTANTS, Mutant  # noqa: E402

MUTANT = Mutant("m", "a.c", "sync();", "", "suite", "case")
BEGUN = "livetext> test suite case\nKTAP version 1\n1..1\n    # Subtest: suite\n    1..2\n"
FAILED = BEGUN + "    # case: expected 1 == 2 (a.c:1)\n"
PASSES = BEGUN + "    ok 1 case\n"
ENDS = PASSES + "    ok 2 suite_leaves_machine_as_found\nok 1 suite\n# tests ended\n"


def test_mutation_needs_exactly_one_place():
    assert run.mutate("a(); sync(); b();", MUTANT) == "a();  b();"
    for text in ("a(); b();", "sync(); sync();"):
        with pytest.raises(ValueError):
            run.mutate(text, MUTANT)
    with pytest.raises(ValueError):
        run.mutate("sync();", MUTANT._replace(replacement="sync();"))


@pytest.mark.parametrize("output, may_die, noticed", [
    (FAILED, False, True), (FAILED, True, True), (FAILED + "\npanic: oops\n", False, True),
    (BEGUN + "    not ok 1 case\n", False, True), (PASSES, False, False), (ENDS, True, False),
    (PASSES + "panic: behind it\n", True, True), (PASSES + "panic: behind it\n", False, False),
    (PASSES + "    # case: expected too late\n", False, False),
    (BEGUN + "panic: oops\n", False, False), (BEGUN + "panic: oops\n", True, True),
    (BEGUN, True, True), (BEGUN, False, False), ("panic: at boot\n", True, True),
    ("panic: at boot\n", False, False), ("", True, False), ("livetext> \n", True, False),
    (FAILED.replace("case:", "other:"), False, False),
    (FAILED.replace("case:", "cases:"), False, False),
    (ENDS.replace("ok 1 case", "ok 1 case # SKIP one CPU"), True, False),
    (BEGUN + "    ok 1 case # SKIP one CPU\n", False, False),
])
def test_only_the_declared_failure_counts(output, may_die, noticed):
    fault = run.judge(MUTANT._replace(may_die=may_die), output)
    assert (fault is None) == noticed


@pytest.mark.parametrize("output, noticed", [(FAILED, True), (ENDS, False)])
def test_output_cut_at_its_sign_says_the_same(output, noticed):
    sent = output.replace("\n", "\r\n") + "more\r\n"
    mutant = MUTANT._replace(may_die=True)
    cut = sent[:re.search(run.signs(mutant), sent, re.M).end()]
    assert (run.judge(mutant, run.plain(cut)) is None) == noticed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_table_fits_the_tree(mutant):
    run.mutate((run.ROOT / mutant.file).read_text(), mutant)
    assert mutant.case in "".join(file.read_text()
                                  for file in (run.ROOT / "tests/kernel").glob("suite_*.c"))


def test_result_names_suite_and_case():
    assert run.result_rows([MUTANT]) == [("m", "a.c", "suite: case")]
