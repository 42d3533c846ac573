#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs test programs and ends with one line that sums them up.

Usage: sum_tests.py [--side-by-side N] [--time-limit SECONDS] NAME[:AFTER,AFTER...]=COMMAND...
e.g. sum_tests.py --side-by-side 2 build=make 'host:build=make check' 'boot:build=pytest tests/boot'
At most N of them run at a time, one if nothing is said: the first in the list whose programs named
behind the colon have all ended. What they print is shown in the order of the list, one after the
other. A program reports by a line `N passed, N failed, N skipped`; one that prints none counts as
one test. The limit, of each program, is for those that hang: far above what a slow host takes.
Invariant: a program that ends with an error, is killed or hangs counts at least one failure, and
leaves no process behind. Callers: make test, make lint, .ci/run.
"""

import argparse
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time

SUMMARY = re.compile(r"^(?:[\w -]+: )?(\d+) passed, (\d+) failed, (\d+) skipped$")
PART = re.compile(r"([\w-]+)(?::([\w,-]+))?=(.*)", re.S)
TIME_LIMIT_SECONDS = 4200
GRACE_SECONDS = 5


class Part:
    """A program, a process group of its own. A thread reads what it prints; the main thread shows
    it when its turn comes."""

    def __init__(self, name, after, command, limit):
        self.name, self.after, self.command, self.limit = name, after, command, limit
        self.lines = queue.SimpleQueue()  # what to show; None ends it
        self.is_silent = threading.Event()  # nobody is left who could print
        self.counts = self.status = self.seconds = self.process = None

    def start(self, when_ended):
        start = time.monotonic()
        self.process = subprocess.Popen(
            self.command, shell=True, stdin=subprocess.DEVNULL, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, errors="replace", start_new_session=True)
        threading.Thread(target=self.follow, args=(start, when_ended), daemon=True).start()

    def end(self):
        """Ends whatever is left. A program that runs is asked first, so that it can end groups
        which it started itself: the shell that runs it has gone before that is done."""
        try:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGTERM)
                self.is_silent.wait(GRACE_SECONDS)
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def follow(self, start, when_ended):
        """Reads to the program's end, leaves nothing of it and counts."""
        timer = threading.Timer(self.limit, self.end)
        timer.daemon = True
        timer.start()
        for line in self.process.stdout:
            match = SUMMARY.match(line.rstrip())
            if match:
                self.counts = [int(number) for number in match.groups()]
            else:
                self.lines.put(line)
        self.is_silent.set()
        self.status = self.process.wait()
        timer.cancel()
        self.end()
        if self.counts is None:
            self.counts = [0, 1, 0] if self.status else [1, 0, 0]
        elif self.status and not self.counts[1]:
            self.counts[1] = 1
        self.seconds = time.monotonic() - start
        when_ended(self)
        self.lines.put(None)

    def show(self):
        """Passes on what the program prints, to its end."""
        print(f"== {self.name}: {self.command[:80]}", flush=True)
        while (line := self.lines.get()) is not None:
            print(line, end="", flush=True)
        passed, failed, skipped = self.counts
        note = f", status {self.status}" if self.status else ""
        print(f"== {self.name}: {passed} ok, {failed} not ok, {skipped} skipped{note}, "
              f"{self.seconds:.0f} s", flush=True)


class Runner:
    """Starts parts as others end."""

    def __init__(self, parts, limit):
        self.waiting, self.limit = list(parts), limit
        self.running, self.ended = set(), set()
        self.lock = threading.Lock()

    def start_ready(self, ended=None):
        """Called once, and by each part that has ended."""
        with self.lock:
            if ended:
                self.running.remove(ended)
                self.ended.add(ended.name)
            for part in list(self.waiting):
                if len(self.running) < self.limit and self.ended.issuperset(part.after):
                    self.waiting.remove(part)
                    self.running.add(part)
                    part.start(self.start_ready)

    def stop(self):
        """Ends those that run; no other starts."""
        with self.lock:
            self.waiting.clear()
            enders = [threading.Thread(target=part.end) for part in self.running]
        for ender in enders:  # at once: whoever ends this program waits no longer for it
            ender.start()
        for ender in enders:
            ender.join()


def read_parts(arguments, limit, complain):
    """Returns the parts, each with its @limit in seconds; @complain ends the program. One can only
    wait for parts before it: so each gets its turn."""
    parts = []
    for argument in arguments:
        match = PART.fullmatch(argument)
        if not match:
            complain(f"'{argument}' is not NAME[:AFTER,AFTER...]=COMMAND")
        after = match[2].split(",") if match[2] else []
        unknown = set(after) - {part.name for part in parts}
        if unknown:
            complain(f"{match[1]}: no part named {', '.join(sorted(unknown))} before it")
        parts.append(Part(match[1], after, match[3], limit))
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side-by-side", type=int, default=1, metavar="N")
    parser.add_argument("--time-limit", type=int, default=TIME_LIMIT_SECONDS, metavar="SECONDS",
                        help="of each program (default: %(default)s)")
    parser.add_argument("parts", nargs="*", metavar="NAME[:AFTER,AFTER...]=COMMAND")
    options = parser.parse_args()
    parts = read_parts(options.parts, options.time_limit, parser.error)
    runner = Runner(parts, max(1, options.side_by_side))
    # Ended from outside, by another of these or by a user: `finally` then ends what runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        runner.start_ready()
        for part in parts:
            part.show()
    finally:
        runner.stop()
    total = [sum(part.counts[i] for part in parts) for i in range(3)]
    failed = [part.name for part in parts if part.counts[1]]
    if failed:
        print(f"== failed: {', '.join(failed)}")
    print(f"{total[0]} passed, {total[1]} failed, {total[2]} skipped", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
