#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Breaks the kernel on purpose, one mutant after the other: the case named for it must fail.

Usage: run.py [NAME...]. Invariant: the tree itself is never changed; each mutant is built in
build/mutants/NAME from a copy that starts with the objects already built; only the case named for
it runs, and only until it has failed. The copy of a mutant that was noticed is taken away. A run of
all mutants that notices each leaves build/mutants/kernel.tsv for tools/mutant_table.py. Callers:
make mutants.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

ALONE_TRIES = 6
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/boot"), str(ROOT / "tools"), str(pathlib.Path(__file__).parent)]

import mutant_table  # noqa: E402
from machine import BUILD, Machine  # noqa: E402
from table import MUTANTS  # noqa: E402

COPIED = ("Makefile", "linker.ld", "partial.ld", "boot", "arch", "kernel", "patching", "drivers",
          "net", "bench", "tests/kernel", "tools")


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
        if source.is_dir() and (BUILD / name).is_dir():
            shutil.copytree(BUILD / name, tree / "build" / name)
    shutil.copy2(BUILD / "flags.stamp", tree / "build/flags.stamp")
    (tree / mutant.file).write_text(mutated)
    done = subprocess.run(["make", "-s", "kernel", "BUILD=build", "IMAGE_CHECKS="], cwd=tree,
                          text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise ValueError(f"does not build:\n{done.stdout}")
    return tree / "build/livetext.elf"


def signs(mutant):
    """Returns a pattern of what decides: a failed expectation of the case, which the kernel cannot
    take back, its result, or a panic. What may die may do so behind its case, so there the end of
    the tests decides."""
    case = re.escape(mutant.case)
    good = "(?P<good># tests ended)" if mutant.may_die else rf"    (?P<good>ok) \d+ {case}\s"
    return rf"^    (?:# {case}: expected |not ok \d+ {case}\s)|^{good}|^(?P<dies>panic: )"


def plain(output):
    """Returns what a terminal got with newlines alone, even where it was cut between the two."""
    return output.replace("\r\n", "\n").replace("\r", "\n")


def judge(mutant, output):
    """Returns why the mutant was not noticed as declared, or None. @output: what the machine said
    until a sign, its end or the end of its time."""
    sign = re.search(signs(mutant), output, re.M)
    if sign and sign["good"]:
        return f"survived: {mutant.suite}/{mutant.case} is ok"
    if sign and not sign["dies"]:
        return None
    if not sign and f"    # Subtest: {mutant.suite}\n" not in output:
        return f"suite {mutant.suite} did not begin"
    return None if mutant.may_die else "died instead of failing its case"


def boot(mutant, image):
    """Runs the mutant's case; returns the output until it is decided."""
    command = f"test {mutant.suite} {mutant.case}"
    with Machine(f"mutant-{mutant.name}", command_line=f'run="{command}; exit"',
                 image=image) as machine:
        return plain(machine.output_until(signs(mutant), mutant.seconds))


def run(mutant):
    """Builds and boots the mutant; returns why it was not noticed, or None."""
    try:
        fault = judge(mutant, boot(mutant, build(mutant)))
    except ValueError as error:
        return str(error)
    if not fault:
        shutil.rmtree(BUILD / "mutants" / mutant.name)
    return fault


def run_alone(mutant):
    """The same for one that was not noticed beside another. A race needs CPUs that run at the same
    time, and luck: it is given a few tries."""
    for _ in range(ALONE_TRIES):
        fault = run(mutant)
        if not fault:
            return None
    return fault


def result_rows(mutants):
    """Returns what the table in patching/README.md shows of each: name, file, what notices it."""
    return [(mutant.name, mutant.file, f"{mutant.suite}: {mutant.case}") for mutant in mutants]


def main():
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.name in sys.argv[1:]]
    failed, again = 0, []
    if len(wanted) == len(MUTANTS):
        mutant_table.forget(BUILD / "mutants", "kernel")
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for mutant, fault in zip(wanted, pool.map(run, wanted)):
            again += [mutant] if fault else []
            print(f"  MUTANT {mutant.name}: {fault or 'noticed'}", flush=True)
    for mutant in again:
        fault = run_alone(mutant)
        failed += fault is not None
        print(f"  MUTANT {mutant.name}, once more, alone: {fault or 'noticed'}", flush=True)
    if len(wanted) == len(MUTANTS) and not failed:
        mutant_table.save(BUILD / "mutants", "kernel", result_rows(MUTANTS))
    print(f"kernel mutants: {len(wanted) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
