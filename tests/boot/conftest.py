# SPDX-License-Identifier: MIT
"""Fixtures of the boot tests. `shell` is one machine that the tests of a file share."""

import itertools

import pytest

from machine import Machine


@pytest.fixture(scope="module")
def shared_machine(request):
    """Returns a function that gives the shared machine, booted again after one that died."""
    numbers, machines = itertools.count(1), []

    def running():
        if not machines or machines[-1].lost:
            name = request.module.__name__.removeprefix("test_")
            machines.append(Machine(f"shared-{name}-{next(numbers)}"))
            machines[-1].__enter__()
            machines[-1].wait_prompt()
        return machines[-1]

    yield running
    for machine in machines:
        machine.__exit__()


@pytest.fixture
def shell(shared_machine):
    """A machine of 4 CPUs at its prompt; what a test changes, it puts back."""
    return shared_machine()
