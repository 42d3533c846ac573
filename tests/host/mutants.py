#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Breaks patching/, or a pure file of another room, in one place at a time and shows that the test
named beside it fails.

Invariant: the production source is never touched; a mutant is a copy of one file, under
$(BUILD)/host. Fails if a mutant survives, if its search text does not stand in the file exactly
once, or if its test does not pass on the original. Leaves $(BUILD)/mutants/host.tsv (where, name,
file, killer) for tools/mutant_table.py. Called by: `make mutants` (host.mk).
"""

import argparse
import concurrent.futures
import functools
import math
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import threading

from arch_mutant_list import MUTANTS as ARCH_MUTANTS
from choice_mutant_list import MUTANTS as CHOICE_MUTANTS
from dispatcher_mutant_list import MUTANTS as DISPATCHER_MUTANTS
from drivers_mutant_list import MUTANTS as DRIVERS_MUTANTS
from dynamic_call_mutant_list import MUTANTS as DYNAMIC_CALL_MUTANTS
from learning_mutant_list import MUTANTS as LEARNING_MUTANTS
from mutant_list import MUTANTS as PATCHING_MUTANTS
from net_mutant_list import MUTANTS as NET_MUTANTS
from paravirt_mutant_list import MUTANTS as PARAVIRT_MUTANTS
from policy_mutant_list import MUTANTS as POLICY_MUTANTS
from sites_mutant_list import MUTANTS as SITES_MUTANTS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import mutant_table  # noqa: E402

# A mutant that goes round and round is stopped by the CPU time it takes, whatever else the machine
# does: at least so much, and so many times what the original takes. One that waits for ever is
# stopped by the clock. The original has to end: threads that spin for one another on a busy machine
# take their time.
CPU_LIMIT_S, CPU_TIMES, TIMEOUT_S, ORIGINAL_TIMEOUT_S = 3, 10, 40, 200
MUTANTS = (PATCHING_MUTANTS + DISPATCHER_MUTANTS + CHOICE_MUTANTS + LEARNING_MUTANTS +
           POLICY_MUTANTS + DYNAMIC_CALL_MUTANTS + DRIVERS_MUTANTS + NET_MUTANTS + SITES_MUTANTS +
           PARAVIRT_MUTANTS + ARCH_MUTANTS)


def run_test(program, test, cpu_limit_s, timeout_s=TIMEOUT_S):
    """Returns (status, output, CPU seconds) of one test; a hang counts as a failure."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [program], env=dict(os.environ, TEST_FILTER=test), stdout=output, stderr=output,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, 2 * (cpu_limit_s,)))
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        _, status, used = os.wait4(process.pid, 0)
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return process.returncode, output.read(), used.ru_utime + used.ru_stime


@functools.cache
def run_original(program, test):
    """The same of the original. Two threads that come at the same time both run it."""
    return run_test(program, test, ORIGINAL_TIMEOUT_S, ORIGINAL_TIMEOUT_S)


def original(mutant):
    """The file that is broken: of patching/ unless it names its room."""
    return pathlib.Path(mutant.file if "/" in mutant.file else f"patching/{mutant.file}")


def build(make, host, number, mutant):
    """Writes and builds the mutant. Returns (program, None) or (None, what is wrong)."""
    text = original(mutant).read_text(encoding="utf-8")
    if text.count(mutant.search) != 1:
        return None, f"search text stands {text.count(mutant.search)} times in {mutant.file}"
    source = host / "mutants" / f"{number:02}_{original(mutant).name}"
    base = source.with_suffix("")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(text.replace(mutant.search, mutant.replacement), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    done = subprocess.run([*make.split(), "mutant", f"TEST={mutant.program}", f"MUTANT={source}",
                           f"ORIGINAL={original(mutant)}"],
                          env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return (base, None) if done.returncode == 0 else (None, f"does not build:\n{done.stdout}")


def judge(make, host, number, mutant):
    """Returns None if the mutant dies as it should, else what is wrong."""
    status, output, seconds = run_original(host / mutant.program, mutant.test)
    if status != 0 or "1 test(s) run" not in output:
        return f"{mutant.test} does not pass on the original"
    program, wrong = build(make, host, number, mutant)
    if wrong:
        return wrong
    status, _, _ = run_test(program, mutant.test, max(CPU_LIMIT_S, math.ceil(CPU_TIMES * seconds)))
    return "SURVIVES" if status == 0 else None


def judge_alone(make, host, number, mutant):
    """The same once more, for one that was found wanting beside others: a race needs CPUs."""
    run_original.cache_clear()
    return judge(make, host, number, mutant)


def report(mutant, wrong, how=""):
    print(f"  {'BAD ' if wrong else 'dead'}  {mutant.file}: {mutant.name}{how}"
          f"  <- {wrong or mutant.test}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", required=True, type=pathlib.Path, help="$(BUILD)/host")
    parser.add_argument("--make", required=True, help="command that builds the target `mutant`")
    options = parser.parse_args()
    results = options.host.parent / "mutants"
    mutant_table.forget(results, "host")
    again, survivors = [], []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = pool.map(lambda item: judge(options.make, options.host, *item),
                            enumerate(MUTANTS))
        for number, (mutant, wrong) in enumerate(zip(MUTANTS, verdicts)):
            again += [(number, mutant)] if wrong else []
            report(mutant, wrong)
    for number, mutant in again:
        wrong = judge_alone(options.make, options.host, number, mutant)
        survivors += [mutant] if wrong else []
        report(mutant, wrong, ", once more, alone")
    if not survivors:
        mutant_table.save(results, "host", [(mutant.name, str(original(mutant)),
                                             f"{mutant.program}: {mutant.test}")
                                            for mutant in MUTANTS])
    dead = len(MUTANTS) - len(survivors)
    print(f"host mutants: {dead} passed, {len(survivors)} failed, 0 skipped")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
