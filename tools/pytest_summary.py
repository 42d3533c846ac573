# SPDX-License-Identifier: MIT
"""pytest plugin: ends the run with the line `N passed, N failed, N skipped` that sum_tests.py
reads.

Cases that a test found inside the kernel (KTAP) count too: see `count_cases`. Loaded by -p.
"""

import sys

_inner_cases = [0, 0, 0]


def count_cases(passed, failed, skipped):
    """Adds cases that ran inside one test, beyond that test itself."""
    for index, number in enumerate((passed, failed, skipped)):
        _inner_cases[index] += number


def pytest_unconfigure(config):
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if not reporter:
        return
    stats = reporter.stats
    passed = len(stats.get("passed", [])) + _inner_cases[0]
    failed = len(stats.get("failed", [])) + len(stats.get("error", [])) + _inner_cases[1]
    skipped = len(stats.get("skipped", [])) + _inner_cases[2]
    print(f"{passed} passed, {failed} failed, {skipped} skipped", file=sys.__stdout__, flush=True)
