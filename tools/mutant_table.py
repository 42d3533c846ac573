#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the table of mutants, with what noticed each, into patching/README.md from what the
mutant runs left behind.

Usage: mutant_table.py [--check] --results DIR README
DIR holds a file WHERE.tsv a runner, one line a mutant: where, mutant, file, what noticed it, with
tabs between; a runner takes its file away when it starts and leaves it when every mutant was
noticed (save() does that for those in Python). Invariant: the table is a function of these files
alone: sorted, no times, nothing of this machine. Fails if a file is missing, and with --check if
the table in README is not the one that the runs produced. Called by: make mutants, make test;
save() by tests/host/mutants.py, tests/fuzz/fuzz_mutants.py, tests/mutants/run.py.
"""

import argparse
import pathlib
import sys

RUNNERS = {"host": "make host-mutants", "kernel": "make kernel-mutants",
           "fuzz": "make fuzz-mutants", "model": "make model"}
BEGIN = "<!-- mutants: written by `make mutants`, not by hand -->"
END = "<!-- mutants: end -->"
FIELDS = 4
HEAD = ["| where | file | mutant | noticed by |", "|---|---|---|---|"]


class TableError(Exception):
    """Why there is no table; the message names the file."""


def forget(results, where):
    """Takes the result of an earlier run away."""
    (pathlib.Path(results) / f"{where}.tsv").unlink(missing_ok=True)


def save(results, where, mutants):
    """Writes the result file of a runner. mutants: (mutant, file, what noticed it) each."""
    folder = pathlib.Path(results)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{where}.tsv").write_text(
        "".join("\t".join((where, *mutant)) + "\n" for mutant in mutants), encoding="utf-8")


def load(results):
    """Returns all mutants as (where, file, mutant, what noticed it), sorted."""
    rows, missing = [], []
    for where, command in RUNNERS.items():
        file = results / f"{where}.tsv"
        if not file.is_file():
            missing.append(f"{file} is missing: `{command}` has not been run, or a mutant survived")
            continue
        lines = file.read_text(encoding="utf-8").splitlines()
        if not lines:
            missing.append(f"{file} names no mutant")
        for number, line in enumerate(lines, 1):
            fields = line.split("\t")
            if len(fields) != FIELDS or not all(field.strip() for field in fields):
                raise TableError(f"{file}:{number}: not {FIELDS} fields: {line!r}")
            rows.append((fields[0], fields[2], fields[1], fields[3]))
    if missing:
        raise TableError("\n".join(missing))
    twice = sorted({row[:3] for row in rows if [other[:3] for other in rows].count(row[:3]) > 1})
    if twice:
        raise TableError("listed twice: " + "; ".join(": ".join(row) for row in twice))
    return sorted(rows)


def lines_of(rows):
    """Returns the table as lines of markdown."""
    def row_text(row):
        where, file, mutant, test = (field.replace("|", "\\|") for field in row)
        return f"| {where} | `{file}` | {mutant} | `{test}` |"

    return [*HEAD, *map(row_text, rows)]


def split(text, name):
    """Returns (lines before the table, lines of the table, lines behind it), marks left out."""
    lines = text.splitlines()
    if lines.count(BEGIN) != 1 or lines.count(END) != 1 or lines.index(END) < lines.index(BEGIN):
        raise TableError(f"{name}: needs one line '{BEGIN}' and behind it one line '{END}'")
    begin, end = lines.index(BEGIN), lines.index(END)
    return lines[:begin], [line for line in lines[begin + 1:end] if line], lines[end + 1:]


def differences(wanted, found):
    """Returns what is wrong with the lines found, one line each."""
    faults = [f"not in the table: {line}" for line in wanted if line not in found]
    faults += [f"only in the table: {line}" for line in found if line not in wanted]
    return faults or (["the lines stand in another order"] if wanted != found else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--results", required=True, type=pathlib.Path, help="$(BUILD)/mutants")
    parser.add_argument("readme", type=pathlib.Path)
    options = parser.parse_args()
    try:
        wanted = lines_of(load(options.results))
        before, found, behind = split(options.readme.read_text(encoding="utf-8"), options.readme)
    except TableError as error:
        sys.exit("\n".join(f"mutant_table: {line}" for line in str(error).splitlines()))
    if options.check:
        faults = differences(wanted, found)
        for fault in faults:
            print(f"mutant_table: {options.readme}: {fault}", file=sys.stderr)
        sys.exit("mutant_table: `make mutants` writes the table" if faults else 0)
    options.readme.write_text("\n".join([*before, BEGIN, "", *wanted, "", END, *behind]) + "\n",
                              encoding="utf-8")
    print(f"{options.readme}: {len(wanted) - len(HEAD)} mutants")


if __name__ == "__main__":
    main()
