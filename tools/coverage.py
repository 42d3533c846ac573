#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs programs built with --coverage and says which lines and branches of patching/ they reach.

Usage: coverage.py --counts DIR [--bar PERCENT] [--lines] [--tap] PROGRAM...
DIR holds the .gcno files. Invariant: counts of earlier runs do not leak into this one; a file none
of the programs is linked with counts as never reached, not as absent; branches of an inline
function count once, taken if any object took them. Fails below the bar, and if a program fails.
Called by: tests/host/coverage.mk.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
from collections import defaultdict

ROOM = "patching"
TIMEOUT_S = 100


class CoverageError(Exception):
    """What makes the figures worthless; the message names it."""


def run_programs(programs):
    """Runs all of them; raises unless each succeeds."""
    def run(program):
        try:
            done = subprocess.run([program], timeout=TIMEOUT_S, text=True, errors="replace",
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False)
        except subprocess.TimeoutExpired:
            return f"{program}: not done after {TIMEOUT_S} s"
        return f"{program}: status {done.returncode}\n{done.stdout}" if done.returncode else None

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for failure in pool.map(run, programs) if failure]
    if failures:
        raise CoverageError("\n".join(failures))


def read_gcov(counts):
    """Returns gcov's documents, parsed, for all objects in the directory."""
    notes = sorted(file.name for file in counts.glob("*.gcno"))
    if not notes:
        raise CoverageError(f"no .gcno file in {counts}")
    done = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", *notes],
                          cwd=counts, text=True, capture_output=True, check=False)
    if done.returncode:
        raise CoverageError(f"gcov: status {done.returncode}\n{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.strip()]


def merge(documents, root):
    """Returns {file: (lines, branches)} for the files of the room. lines: {number: count};
    branches: {(line, function, index): count}. A branch that gcov calls `throw` is left out: C has
    no exceptions."""
    files = defaultdict(lambda: (defaultdict(int), defaultdict(int)))
    for document in documents:
        for file in document["files"]:
            path = os.path.relpath(os.path.join(document["current_working_directory"],
                                                file["file"]), root)
            if not path.startswith(ROOM + "/"):
                continue
            lines, branches = files[path]
            for line in file["lines"]:
                number, function = line["line_number"], line.get("function_name", "")
                lines[number] += line["count"]
                for index, branch in enumerate(line["branches"]):
                    if not branch["throw"]:
                        branches[number, function, index] += branch["count"]
    return dict(files)


def covered(counts):
    """Returns (how many were reached, how many there are)."""
    return sum(1 for count in counts.values() if count), len(counts)


def percent(reached, total):
    return 100.0 * reached / total if total else 100.0


def table(files):
    """Returns the table, sums at its foot, as lines of text."""
    rows, sums = [], [0, 0, 0, 0]
    for path, (lines, branches) in sorted(files.items()):
        row = [*covered(lines), *covered(branches)]
        sums = [sum(pair) for pair in zip(sums, row)]
        rows.append((path, row))
    rows.append(("total", sums))
    text = [f"{'file':<32} {'lines':>11} {'%':>7} {'branches':>11} {'%':>7}"]
    for path, (lines, all_lines, branches, all_branches) in rows:
        text.append(f"{path:<32} {f'{lines}/{all_lines}':>11} {percent(lines, all_lines):7.1f} "
                    f"{f'{branches}/{all_branches}':>11} {percent(branches, all_branches):7.1f}")
    return text


def branch_percent(files):
    """Returns the percentage of all branches that were taken."""
    counts = [covered(branches) for _, branches in files.values()]
    return percent(sum(reached for reached, _ in counts), sum(total for _, total in counts))


def missing(files):
    """Returns a line of text for every line and branch that was not reached, as file:line."""
    text = []
    for path, (lines, branches) in sorted(files.items()):
        total = defaultdict(int)
        taken = defaultdict(int)
        for (number, _, _), count in branches.items():
            total[number] += 1
            taken[number] += count > 0
        for number in sorted(lines):
            if not lines[number]:
                text.append(f"{path}:{number}: line not reached")
            elif taken[number] < total[number]:
                text.append(f"{path}:{number}: {total[number] - taken[number]} of "
                            f"{total[number]} branches not taken")
    return text


def measure(counts, programs):
    """Runs the programs and returns what merge() returns."""
    for file in counts.glob("*.gcda"):
        file.unlink()
    run_programs(programs)
    files = merge(read_gcov(counts), pathlib.Path.cwd())
    if not any(branches for _, branches in files.values()):
        raise CoverageError(f"{counts} knows of no branch in {ROOM}/")
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--counts", required=True, type=pathlib.Path, help="where .gcno files are")
    parser.add_argument("--bar", type=float, default=0, help="least percentage of branches")
    parser.add_argument("--lines", action="store_true", help="list what was not reached")
    parser.add_argument("--tap", action="store_true", help="report as one test")
    parser.add_argument("programs", nargs="+", metavar="PROGRAM")
    options = parser.parse_args()
    try:
        files = measure(options.counts, options.programs)
        reached = branch_percent(files)
        text = table(files) + (missing(files) if options.lines else [])
    except CoverageError as error:
        reached, text = -1.0, [str(error)]
    print("\n".join(text))
    good = reached >= options.bar
    if not good and reached >= 0:
        print(f"coverage: {reached:.2f} % of the branches of {ROOM}/, at least {options.bar:g} % "
              f"wanted; `make coverage-lines` lists what is missing")
    if options.tap:
        print(f"1..1\n{'ok' if good else 'not ok'} 1 - branches_of_patching_are_covered")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
