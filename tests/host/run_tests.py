#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs host test programs and shows what failed; the last line is the summary. A program that
crashes, hangs, or reports fewer tests than it announced counts as a failure. Called by: host.mk."""

import os
import re
import subprocess
import sys

TIMEOUT_S = 400  # of two cores that others use, too, TSan wants minutes


def run(program):
    """Returns (passed, failed, skipped, text to show)."""
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP")
    try:
        done = subprocess.run([program], env=environment, timeout=TIMEOUT_S, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        output, status = done.stdout, done.returncode
    except subprocess.TimeoutExpired as expired:
        output, status = (expired.stdout or b"").decode(), "time-out"
    plan = re.search(r"^1\.\.(\d+)", output, re.M)
    skipped = len(re.findall(r"^ok .*# SKIP", output, re.M))
    passed = len(re.findall(r"^ok ", output, re.M)) - skipped
    failed = len(re.findall(r"^not ok ", output, re.M))
    if failed == 0 and (status != 0 or not plan or int(plan.group(1)) != passed + skipped):
        failed, output = 1, f"{output}{program}: ended with {status} before all tests were done\n"
    noise = re.compile(r"ok (?!.*# SKIP)|1\.\.|# (not )?ok - ")
    kept = [line for line in output.splitlines() if not noise.match(line)]
    return passed, failed, skipped, "\n".join(kept)


def main():
    totals = [0, 0, 0]
    for program in sys.argv[1:]:
        *counts, text = run(program)
        totals = [total + count for total, count in zip(totals, counts)]
        print(f"  HOST  {os.path.basename(program)}: {counts[0]} passed"
              + (f", {counts[1]} FAILED" if counts[1] else "")
              + (f", {counts[2]} skipped" if counts[2] else ""))
        if text:
            print(text)
    print(f"host tests: {totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    sys.exit(1 if totals[1] else 0)


if __name__ == "__main__":
    main()
