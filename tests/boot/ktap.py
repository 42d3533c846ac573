# SPDX-License-Identifier: MIT
"""A strict reader of the kernel's KTAP: whatever does not agree raises.

Plans, counts, numbering, the totals line and the end line must all tell the same story, so that a
run which was cut short, or a result printed twice, is never taken for success. Reports that the
host took a CPU away for seconds may stand anywhere and say nothing about the tests.
"""

import re
from collections import namedtuple

from machine import CPU_WAS_AWAY

Result = namedtuple("Result", "passed failed skipped")
PLAN = re.compile(r"^1\.\.(\d+)$")
RESULT = re.compile(r"^(ok|not ok) (\d+) (\S+)(?: # SKIP( .*)?)?$")
TOTALS = re.compile(r"^# Totals: pass:(\d+) fail:(\d+) skip:(\d+)$")


def _block(lines, indent, what):
    """Reads the header, plan and results at this depth; returns [(ok, skipped, name, cases)]."""
    def own(line):
        return line.startswith(indent) and not line[len(indent):].startswith((" ", "#"))

    if next(lines) != f"{indent}KTAP version 1":
        raise ValueError(f"{what}: no KTAP version line")
    line = next(lines)
    while line.startswith(f"{indent}# "):
        line = next(lines)
    plan = PLAN.match(line[len(indent):])
    if not plan:
        raise ValueError(f"{what}: plan expected, got {line!r}")
    results = []
    for number in range(1, int(plan.group(1)) + 1):
        cases = []
        for line in lines:
            if line.startswith(f"{indent}    KTAP version"):
                lines.push(line)
                cases = _block(lines, indent + "    ", f"{what} {number}")
            elif own(line):
                break
            elif RESULT.match(line.strip()):
                raise ValueError(f"{what}: a result beyond the plan: {line!r}")
        else:
            raise ValueError(f"{what}: ends after {number - 1} of {plan.group(1)} results")
        match = RESULT.match(line[len(indent):])
        if not match or int(match.group(2)) != number:
            raise ValueError(f"{what}: result {number} expected, got {line!r}")
        if " # SKIP" in line and not (match.group(4) or "").strip():
            raise ValueError(f"{what}: SKIP without a reason: {line!r}")
        passed, name = match.group(1) == "ok", match.group(3)
        if passed and any(not case[0] for case in cases):
            raise ValueError(f"{what}: {name} is ok with a case that is not")
        results.append((passed, " # SKIP" in line, name, cases))
    return results


class _Lines:
    """An iterator over lines into which one can be put back."""

    def __init__(self, text):
        self.rest = [line.rstrip() for line in text.splitlines()
                     if not CPU_WAS_AWAY.match(line)][::-1]

    def __iter__(self):
        return self

    def __next__(self):
        if not self.rest:
            raise StopIteration
        return self.rest.pop()

    def push(self, line):
        self.rest.append(line)


def parse(text):
    """Returns ({suite: {case: "ok"|"not ok"|"skip"}}, Result) of a whole `test` run."""
    start = text.find("KTAP version 1")
    if start < 0:
        raise ValueError("no KTAP in the output")
    lines = _Lines(text[start:])
    try:
        suites = _block(lines, "", "run")
    except StopIteration:
        raise ValueError("the output ends inside a block") from None
    tree = {name: {case: "skip" if skipped else "ok" if ok else "not ok"
                   for ok, skipped, case, _ in cases} for _, _, name, cases in suites}
    states = [state for cases in tree.values() for state in cases.values()]
    counted = Result(*(states.count(state) for state in ("ok", "not ok", "skip")))
    totals = next((TOTALS.match(line) for line in lines if not line.startswith(" ")), None)
    if not totals or Result(*map(int, totals.groups())) != counted:
        raise ValueError(f"the totals line disagrees with the {counted} results read")
    if next(lines, "") != "# tests ended":
        raise ValueError("no end line")
    if len(states) != sum(len(cases) for _, _, _, cases in suites):
        raise ValueError("a case appears twice")
    return tree, counted
