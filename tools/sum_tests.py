#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs test programs one after the other and ends with one line that sums them up.

Usage: sum_tests.py NAME=COMMAND...     e.g. sum_tests.py host='make check' boot='pytest tests/boot'
A program reports by a line `N passed, N failed, N skipped`; one that prints none counts as one
test. Invariant: a program that ends with an error, is killed or hangs counts at least one failure,
and leaves no process behind. Callers: make test, make lint, .ci/run.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time

SUMMARY = re.compile(r"^(?:[\w -]+: )?(\d+) passed, (\d+) failed, (\d+) skipped$")
TIME_LIMIT_SECONDS = 3000
GRACE_SECONDS = 5


def end_group(process):
    """Ends whatever is left of a program; it runs as a process group of its own. It is asked first,
    so that it can end groups which it started itself."""
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(GRACE_SECONDS)
        os.killpg(process.pid, signal.SIGKILL)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(name, command):
    """Runs one program, passing its output on; returns its (passed, failed, skipped)."""
    print(f"== {name}: {command[:80]}", flush=True)
    start = time.monotonic()
    process = subprocess.Popen(command, shell=True, stdin=subprocess.DEVNULL, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                               start_new_session=True)
    timer = threading.Timer(TIME_LIMIT_SECONDS, end_group, [process])
    timer.start()
    counts = None
    try:
        for line in process.stdout:
            match = SUMMARY.match(line.rstrip())
            if match:
                counts = [int(number) for number in match.groups()]
            else:
                print(line, end="", flush=True)
        status = process.wait()
    finally:
        timer.cancel()
        end_group(process)
    if counts is None:
        counts = [0, 1, 0] if status else [1, 0, 0]
    elif status and not counts[1]:
        counts[1] = 1
    note = f", status {status}" if status else ""
    print(f"== {name}: {counts[0]} ok, {counts[1]} not ok, {counts[2]} skipped{note}, "
          f"{time.monotonic() - start:.0f} s", flush=True)
    return counts


def main():
    # Ended from outside, by another of these or by a user: run()'s `finally` then ends its program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    total, failed = [0, 0, 0], []
    for argument in sys.argv[1:]:
        name, _, command = argument.partition("=")
        counts = run(name, command)
        total = [sum(pair) for pair in zip(total, counts)]
        if counts[1]:
            failed.append(name)
    if failed:
        print(f"== failed: {', '.join(failed)}")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
