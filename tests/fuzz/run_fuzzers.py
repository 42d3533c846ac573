#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Builds the fuzzers and runs all of them side by side for some seconds.

Usage: run_fuzzers.py --make COMMAND --build DIR --clang COMPILER --seconds N. Invariant: ends no
later than a minute behind that time, with all fuzzers ended; a fuzzer that found a bug, could not
be built, or hardly ran counts as failed. The last line is the summary that tools/sum_tests.py
reads. What was learnt stays in DIR/fuzz/corpus, so the next run starts from there. Called by:
fuzz.mk; fuzz_mutants.py uses its parts.
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import seeds  # noqa: E402

# Target: longest input, and the least that it must reach to count as having run: executions a
# second on a machine that is busy with other things, and edges of the code under test.
TARGETS = {"fuzz_instruction": (48, 1000, 110), "fuzz_batch": (480, 20, 400),
           "fuzz_packet": (700, 50, 700), "fuzz_dispatcher": (500, 50, 120),
           "fuzz_dynamic_call": (300, 20, 500)}
GRACE_SECONDS = 60
REPORT_SECONDS = 60
INPUT_TIMEOUT_S = 20
INTERRUPTED = 128 + signal.SIGINT
PULSE = re.compile(r"^#\d+\s.*\bcov: (\d+)", re.M)
EXECUTED = re.compile(r"^stat::number_of_executed_units: (\d+)", re.M)
CULPRIT = re.compile(r"^(?:tests/fuzz/\S+:\d+: .*|==\d+==\s?ERROR: .*|.*: runtime error: .*)", re.M)
REPRODUCER = re.compile(r"Test unit written to (\S+)")


def why_skip(build, clang):
    """Returns why this compiler can link no fuzzer, or None."""
    folder = build / "fuzz"
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / "probe.c"
    probe.write_text("int LLVMFuzzerTestOneInput(const unsigned char *bytes, unsigned long size);\n"
                     "int LLVMFuzzerTestOneInput(const unsigned char *bytes, unsigned long size)\n"
                     "{\n    return bytes && size > 99;\n}\n")
    try:
        done = subprocess.run([clang, "-fsanitize=fuzzer,address", probe, "-o", folder / "probe"],
                              text=True, capture_output=True, check=False)
    except OSError as error:
        return f"no {clang}: {error.strerror}"
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"it ends with status {done.returncode} and says nothing"


def make(command, *words):
    """Runs make; returns None or what it said when it failed."""
    environment = {key: value for key, value in os.environ.items() if key != "MAKEFLAGS"}
    done = subprocess.run([*command.split(), *words], env=environment, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout if done.returncode else None


def start(program, target, log, folders, options):
    """Starts a fuzzer; its words go to the file log."""
    longest = TARGETS[target][0]
    command = [program, f"-max_len={longest}", f"-timeout={INPUT_TIMEOUT_S}", "-rss_limit_mb=1500",
               "-print_final_stats=1", f"-artifact_prefix={log.parent}/{log.stem}-", *options,
               *folders]
    environment = dict(os.environ, ASAN_OPTIONS="quarantine_size_mb=16")
    with log.open("w") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                env=environment)


@contextlib.contextmanager
def interrupts_held():
    """Holds Ctrl-C back: between the start of a process and its entry into a list it would leave
    one behind that nobody ends."""
    came = []
    usual = signal.signal(signal.SIGINT, lambda *_: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


def wait(processes, seconds):
    """Waits until all have ended or the time is over."""
    end = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass


def stop(processes):
    """Ends those that still run."""
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def figures(text):
    """Returns (executions, edges) as libFuzzer tells them, 0 where it tells nothing."""
    executed, edges = EXECUTED.findall(text), PULSE.findall(text)
    return int(executed[-1]) if executed else 0, int(edges[-1]) if edges else 0


def judge(target, program, status, text, seconds):
    """Returns (line to show, None or what is wrong) for a fuzzer that has ended."""
    executed, edges = figures(text)
    _, least_rate, least_edges = TARGETS[target]
    line = f"{target}: {executed} executions, {executed / seconds:.0f} a second, {edges} edges"
    reproducer = REPRODUCER.search(text)
    if status or reproducer:
        culprit = CULPRIT.search(text)
        wrong = culprit.group(0) if culprit else f"ended with status {status}:\n{text[-2000:]}"
        if reproducer:
            wrong += f"\n    input: {reproducer.group(1)}\n    replay: {program} " \
                     f"{reproducer.group(1)}"
        return line, wrong
    if executed < least_rate * seconds:
        return line, f"suspiciously few executions: less than {least_rate} a second"
    if edges < least_edges:
        return line, f"suspiciously few edges: less than {least_edges}"
    return line, None


def report_progress(processes, logs, seconds):
    """Says once a minute how far the fuzzers are, until they are done or their time is over."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds and any(p.poll() is None for p in processes):
        try:
            wait_for = min(REPORT_SECONDS, seconds - (time.monotonic() - begin))
            next(p for p in processes if p.poll() is None).wait(max(0.1, wait_for))
        except (subprocess.TimeoutExpired, StopIteration):
            pass
        for target, log in logs.items():
            lines = re.findall(r"^#.*", log.read_text(errors="replace"), re.M)
            if seconds > REPORT_SECONDS and lines:
                print(f"  FUZZ  {target}: {time.monotonic() - begin:.0f} s: {lines[-1][:70]}",
                      flush=True)


def fuzz(build, seconds, seed=0):
    """Runs all targets; returns how many failed. seed: of their random numbers, 0: another each
    time."""
    folder = build / "fuzz"
    folders = seeds.write(folder / "seeds")
    logs = {target: folder / f"{target}.log" for target in TARGETS}
    processes = []
    try:
        for target, log in logs.items():
            corpus = folder / "corpus" / target
            corpus.mkdir(parents=True, exist_ok=True)
            with interrupts_held():
                processes.append(start(folder / target, target, log, [corpus, folders[target]],
                                       [f"-max_total_time={seconds}", f"-seed={seed}"]))
        report_progress(processes, logs, seconds)
        wait(processes, GRACE_SECONDS)
    finally:
        stop(processes)
    failed = 0
    for (target, log), process in zip(logs.items(), processes):
        line, wrong = judge(target, folder / target, process.returncode,
                            log.read_text(errors="replace"), seconds)
        failed += wrong is not None
        print(f"  FUZZ  {line}" + (f"\n  BAD   {wrong}" if wrong else ""), flush=True)
    return failed


def whole_seconds(text):
    """Returns the number of seconds that text names; ends the program if it is none."""
    if not re.fullmatch(r"0*[1-9][0-9]{0,6}", text):
        print(f"fuzz: '{text}' is no whole number of seconds from 1 on", file=sys.stderr)
        sys.exit(2)
    return int(text)


def end_clearly(run, what):
    """Calls run(); Ctrl-C is one line and the status a shell gives it, not a traceback."""
    try:
        run()
    except KeyboardInterrupt:
        print(f"\n{what}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def arguments(description):
    """Returns a parser of what both scripts take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--make", required=True, help="command that makes the targets of fuzz.mk")
    parser.add_argument("--build", required=True, type=pathlib.Path, help="$(BUILD)")
    parser.add_argument("--clang", required=True)
    return parser


def main():
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seconds", required=True)
    parser.add_argument("--seed", type=int, default=0, help="of random numbers, 0: any")
    options = parser.parse_args()
    seconds = whole_seconds(options.seconds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # `finally` then ends the fuzzers
    reason = why_skip(options.build, options.clang)
    if reason:
        print(f"  SKIP  {options.clang} can link no fuzzer: {reason}")
        print(f"fuzz: 0 passed, 0 failed, {len(TARGETS)} skipped")
        return
    failure = make(options.make, "fuzz-programs")
    if failure:
        print(failure)
    failed = len(TARGETS) if failure else fuzz(options.build, seconds, options.seed)
    print(f"fuzz: {len(TARGETS) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    end_clearly(main, "fuzz")
