#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks every configuration of the Spin model (table.py).

Usage: run.py --build DIR [--set NAME=VALUE]... [--trail] [CONFIGURATION]...
Invariant: "holds" means that pan searched every reachable state, ran into no limit of depth, memory
or time, and reached every mark that the table names; "dead" means that the property which the table
names is violated, and that Spin, replaying the trail, agrees. Writes under DIR only. Called by:
`make model` (model.mk).
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

import table

HERE = pathlib.Path(__file__).resolve().parent
SEARCH_SECONDS = 900  # a search that takes longer fails
BUILD_SECONDS = 120
MEMORY_MB = 3500  # of one search; one runs on each CPU, at most two at a time
DEPTH = 1000000
JOBS = min(os.cpu_count() or 1, 2)
INTERRUPTED = 128 + signal.SIGINT

VIOLATION = re.compile(r"^pan:\d+: (?:assertion violated )?\(?(.+?)\)? \(at depth \d+\)", re.M)
LIMIT_HIT = re.compile(r"max search depth too small|out of memory|memory limit|exceeds", re.I)
STATES = re.compile(r"^ *([\d.e+]+) states, stored", re.M)
MARK = re.compile(r"/\* reach: ([\w-]+) \*/")
PLACE = re.compile(r"\bmodel\.pml:(\d+)")

Result = collections.namedtuple("Result", "fault verdict states seconds")


class ModelError(Exception):
    """A tool did not do what it should."""


class Tools:
    """The tools that run just now, of all threads: Ctrl-C reaches the main thread alone."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.is_over = False

    def run(self, arguments, folder, seconds):
        """Runs a tool; returns (output, status)."""
        with self.lock:  # none starts behind the back of stop()
            if self.is_over:
                raise ModelError("interrupted")
            process = subprocess.Popen(arguments, cwd=folder, text=True, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            self.running.add(process)
        with process:
            try:
                return process.communicate(timeout=seconds)[0], process.returncode
            finally:
                process.kill()  # nothing if it has ended
                with self.lock:
                    self.running.discard(process)

    def stop(self):
        """Ends all; no other will start."""
        with self.lock:
            self.is_over = True
            for process in self.running:
                process.kill()


tools = Tools()


def command(arguments, folder, seconds, statuses=(0,)):
    """Runs a tool and returns its output."""
    try:
        output, status = tools.run(arguments, folder, seconds)
    except subprocess.TimeoutExpired as expired:
        raise ModelError(f"{arguments[0]} took longer than {seconds} s") from expired
    if status not in statuses:
        raise ModelError(f"{arguments[0]} ended with {status}:\n{output}")
    return output


def defines(configuration, extra):
    return [f"-D{setting}" for setting in configuration.settings.split() + extra]


def merging(configuration):
    """Where marks are looked for, statements are not merged: some would not be listed."""
    return ["-o3"] if configuration.kind == table.HOLDS else []


def whole_model(configuration):
    """The model in one file: pan names places by line alone."""
    return re.sub(r'^#include "(.*)"$', lambda match: (HERE / match[1]).read_text(),
                  (HERE / configuration.root).read_text(), flags=re.M)


def build(configuration, folder, extra):
    """Makes folder/pan. Mutants are searched breadth first: the trail found is the shortest."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.trail"):
        old.unlink()
    names = set(re.findall(r"^#ifndef (\w+)", whole_model(configuration), re.M))
    unknown = {setting.split("=")[0] for setting in configuration.settings.split() + extra} - names
    if unknown:
        raise ModelError(f"{configuration.root} has no setting {', '.join(sorted(unknown))}")
    (folder / "model.pml").write_text(whole_model(configuration))
    command(["spin", "-a", *merging(configuration), *defines(configuration, extra), "model.pml"],
            folder, BUILD_SECONDS)
    if configuration.cycles:
        search = ["-DNP"]
    elif configuration.kind == table.HOLDS:
        search = ["-DSAFETY"]
    else:
        search = ["-DSAFETY", "-DBFS"]
    speed = "-O2" if configuration.large else "-O0"  # gcc takes longer than most searches
    command(["gcc", speed, "-w", f"-DMEMLIM={MEMORY_MB}", *search, "-o", "pan", "pan.c"], folder,
            BUILD_SECONDS)


def count_places(text):
    """How often @text names each (process type, line of the model). Every process type counts for
    itself: pan lists branches that a constant closes as unreached, but not among all there are."""
    places, process = collections.Counter(), ""
    for line in text.splitlines():
        named = re.search(r"^(?:unreached in )?proctype (\w+)", line)
        process = named[1] if named else process
        places.update((process, number) for number in PLACE.findall(line))
    return places


def marks_not_reached(configuration, folder, output):
    """The marks of the table that no process has reached. An inline is expanded at each place of
    use: a mark is reached if one of its expansions is."""
    listed = count_places(command(["./pan", "-d"], folder, BUILD_SECONDS, statuses=(0, 1)))
    unreached = count_places(output)
    lines = collections.defaultdict(list)
    for number, line in enumerate(whole_model(configuration).splitlines(), 1):
        for mark in MARK.findall(line):
            lines[mark].append(str(number))
    missing = []
    for mark in configuration.expected.split():
        if mark not in lines:
            raise ModelError(f"no such mark in the model: {mark}")
        if not any(count > unreached[place] for place, count in listed.items()
                   if place[1] in lines[mark]):
            missing.append(mark)
    return missing


def columns(configuration, folder, extra):
    """The trail, replayed by Spin: (what it says, one column for each CPU)."""
    replay = command(["spin", "-t", "-T", *merging(configuration), *defines(configuration, extra),
                      "model.pml"], folder, BUILD_SECONDS, statuses=(0, 1))
    width, rows = 42, [("patcher", "CPU 0", "CPU 1")]
    for line in replay.splitlines():
        match = re.match(r"\s*@([P01]) (.*)", line)
        if match:
            what = re.sub(r"<(\d)>", lambda v: "int3" if v[1] == "4" else f"v{v[1]}", match[2])
            row = ["", "", ""]
            row["P01".index(match[1])] = what
            rows.append(tuple(row))
        elif "START OF CYCLE" in line:
            rows.append(("-- from here on again and again --", "", ""))
    shown = [("".join(cell.ljust(width) for cell in row)).rstrip() for row in rows]
    return replay, "\n".join(shown) + "\n"


def judge_violation(configuration, folder, output, extra):
    """(what is wrong or None, verdict) of a configuration that must be violated."""
    if LIMIT_HIT.search(output):
        return "the search ran into a limit", "BAD"
    found = VIOLATION.search(output)
    if not found:
        return "SURVIVES: every reachable state is good", "BAD"
    if found[1] != configuration.expected:
        return f"violates {found[1]} instead of {configuration.expected}", "BAD"
    replay, shown = columns(configuration, folder, extra)
    (folder / "trail.txt").write_text(f"{shown}\n=> violated: {found[1]}\n")
    if found[1] in (table.NEVER_ENDS, table.TRAPS_FOR_EVER):
        agrees = "trail ends after" in replay or "START OF CYCLE" in replay
    else:
        agrees = f"assert({found[1]})" in replay
    if not agrees:
        return "Spin does not confirm the trail", "BAD"
    return None, "dead" if configuration.kind == table.MUTANT else "limit"


def judge_holds(configuration, folder, output):
    """(what is wrong or None, verdict) of a configuration that must hold."""
    found = VIOLATION.search(output)
    if found:
        return f"violates {found[1]}; see it with TRAIL=1", "BAD"
    if LIMIT_HIT.search(output) or "Search not completed" in output \
            or "errors: 0" not in output or "Full statespace search" not in output:
        return "the search did not come to its end", "BAD"
    missing = marks_not_reached(configuration, folder, output)
    if missing:
        return f"never reached: {', '.join(missing)}", "BAD"
    return None, "holds"


def check(configuration, base, extra):
    """Builds and searches one configuration."""
    folder = base / configuration.name
    start = time.monotonic()
    states = "-"
    try:
        build(configuration, folder, extra)
        cycles = ["-l"] if configuration.cycles else []
        output = command(["./pan", f"-m{DEPTH}", "-w22", *cycles], folder, SEARCH_SECONDS)
        (folder / "pan.txt").write_text(output)
        states = (STATES.search(output) or ["", "-"])[1]
        if configuration.kind == table.HOLDS:
            fault, verdict = judge_holds(configuration, folder, output)
        else:
            fault, verdict = judge_violation(configuration, folder, output, extra)
    except (ModelError, OSError) as error:
        fault, verdict = str(error), "BAD"
    return Result(fault, verdict, states, time.monotonic() - start)


def show(number, total, configuration, result):
    what = result.fault or ("" if configuration.kind == table.HOLDS
                            else f"  <- {configuration.expected}")
    print(f"  [{number:2}/{total}] {result.verdict:5} {configuration.name:42} "
          f"{result.states:>9} states {result.seconds:5.1f} s  {what}", flush=True)


def write_mutants(file, results):
    """One line for each dead mutant, for the table that is made of all of them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"model\t{configuration.name.replace('-', ' ')}\t{configuration.file}\t"
             f"{configuration.expected.replace('_', ' ')}\n"
             for configuration, result in results
             if configuration.kind == table.MUTANT and result.fault is None]
    file.write_text("".join(lines))


def run_all(configurations, base, extra):
    """Returns [(configuration, result)] in the order of the table; tells of each as it ends."""
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        futures = {pool.submit(check, configuration, base, extra): configuration
                   for configuration in configurations}
        try:
            for number, future in enumerate(concurrent.futures.as_completed(futures), 1):
                show(number, len(futures), futures[future], future.result())
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            tools.stop()
            raise
        return [(configuration, future.result()) for future, configuration in futures.items()]


def print_trail(configuration, base, extra):
    folder = base / configuration.name
    if not list(folder.glob("*.trail")):
        print(f"{configuration.name}: no trail: nothing was violated")
        return
    print(f"\n{configuration.name} ({configuration.settings or 'defaults'}): vN is a byte of "
          f"version N of the instruction\n\n{columns(configuration, folder, extra)[1]}\n"
          f"=> violated: {VIOLATION.search((folder / 'pan.txt').read_text())[1]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path, help="$(BUILD)")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE",
                        help="a constant of the model, instead of what the table sets")
    parser.add_argument("--trail", action="store_true", help="print the counter-examples")
    parser.add_argument("names", nargs="*", metavar="CONFIGURATION")
    options = parser.parse_args()
    known = {configuration.name for configuration in table.CONFIGURATIONS}
    for name in options.names:
        if name not in known:
            parser.error(f"no configuration '{name}'; there are: {' '.join(sorted(known))}")
    chosen = [configuration for configuration in table.CONFIGURATIONS
              if not options.names or configuration.name in options.names]
    base = (options.build / "model").resolve()
    result_file = options.build / "mutants" / "model.tsv"
    is_whole_run = not options.names and not options.set
    if is_whole_run:
        result_file.unlink(missing_ok=True)
    results = run_all(chosen, base, options.set)
    if options.trail:
        for configuration, _ in results:
            print_trail(configuration, base, options.set)
    failed = sum(result.fault is not None for _, result in results)
    if is_whole_run and not failed:
        write_mutants(result_file, results)
    print(f"model: {len(results) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print("\nmodel: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
