# SPDX-License-Identifier: MIT
"""Fixtures of the boot tests. `shell` is one machine that the tests of a file share."""

import pytest

from machine import Machine, revived


@pytest.fixture(scope="module")
def shared_machine(request):
    """Returns a function that gives the shared machine, booted again after one that died."""
    name = request.module.__name__.removeprefix("test_")
    with revived(lambda number: Machine(f"shared-{name}-{number}", command_line="dyncall=off"),
                 Machine.wait_prompt) as running:
        yield running


@pytest.fixture
def shell(shared_machine):
    """A machine of 4 CPUs at its prompt; what a test changes, it puts back. No call learns by
    itself: what a test compares before and after, nothing else patches."""
    return shared_machine()
