#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the kernel on purpose, one mutant after the other: the case named for it must fail.

Usage: run.py [NAME...]. Invariant: the tree itself is never changed; each mutant is built in
build/mutants/NAME from a copy that starts with the objects already built, while the one before it
runs; only the case named for it runs. A run of all mutants that notices each leaves
build/mutants/kernel.tsv for tools/mutant_table.py. Callers: make mutants.
"""

import pathlib
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/boot"), str(ROOT / "tools"), str(pathlib.Path(__file__).parent)]

import ktap  # noqa: E402
import mutant_table  # noqa: E402
from machine import BUILD, Machine  # noqa: E402
from table import MUTANTS  # noqa: E402

COPIED = ("Makefile", "linker.ld", "partial.ld", "boot", "arch", "kernel", "patching", "drivers",
          "net", "tests/kernel", "tools")
TIME_LIMIT_SECONDS = 45  # one case; the longest takes 10 s


def mutate(text, mutant):
    """Returns the text with the mutation in it; raises unless its place is found exactly once."""
    found = text.count(mutant.search)
    if found != 1:
        raise ValueError(f"search text occurs {found} times in {mutant.file}")
    if mutant.search == mutant.replacement:
        raise ValueError("the replacement changes nothing")
    return text.replace(mutant.search, mutant.replacement)


def build(mutant):
    """Builds the mutant; returns the path of its image."""
    mutated = mutate((ROOT / mutant.file).read_text(), mutant)
    tree = BUILD / "mutants" / mutant.name
    shutil.rmtree(tree, ignore_errors=True)
    for name in COPIED:
        source = ROOT / name
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, tree / name)
        if source.is_dir() and name != "tools" and (BUILD / name).is_dir():
            shutil.copytree(BUILD / name, tree / "build" / name)
    shutil.copy2(BUILD / "flags.stamp", tree / "build/flags.stamp")
    (tree / mutant.file).write_text(mutated)
    done = subprocess.run(["make", "-s", "kernel", "BUILD=build"], cwd=tree, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise ValueError(f"does not build:\n{done.stdout}")
    return tree / "build/livetext.elf"


def judge(mutant, output, status):
    """Returns why the mutant was not noticed as declared, or None. Status None: out of time."""
    if status is None or "\npanic: " in output:
        return None if mutant.may_die else f"died (status {status}) instead of failing its case"
    try:
        cases, _ = ktap.parse(output)
    except ValueError as error:
        return f"the output is not KTAP: {error}"
    state = cases.get(mutant.suite, {}).get(mutant.case)
    return None if state == "not ok" else f"survived: {mutant.suite}/{mutant.case} is {state}"


def boot(mutant, image):
    """Runs the mutant's case; returns (output, QEMU's status or None when out of time)."""
    command = f"test {mutant.suite} {mutant.case}"
    with Machine(f"mutant-{mutant.name}", command_line=f'run="{command}; exit"',
                 image=image) as machine:
        try:
            status = machine.exit_status(TIME_LIMIT_SECONDS)
        except AssertionError:
            status = None
        return machine.text.replace("\r", ""), status


def result_rows(mutants):
    """Returns what the table in patching/README.md shows of each: name, file, what notices it."""
    return [(mutant.name, mutant.file, f"{mutant.suite}: {mutant.case}") for mutant in mutants]


def main():
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    failed = 0
    if len(wanted) == len(MUTANTS):
        mutant_table.forget(BUILD / "mutants", "kernel")
    with ThreadPoolExecutor(max_workers=1) as builder:
        images = [builder.submit(build, mutant) for mutant in wanted]
        for mutant, image in zip(wanted, images):
            try:
                fault = judge(mutant, *boot(mutant, image.result()))
            except ValueError as error:
                fault = str(error)
            failed += fault is not None
            print(f"  MUTANT {mutant.name}: {fault or 'noticed'}", flush=True)
    if len(wanted) == len(MUTANTS) and not failed:
        mutant_table.save(BUILD / "mutants", "kernel", result_rows(MUTANTS))
    print(f"kernel mutants: {len(wanted) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
