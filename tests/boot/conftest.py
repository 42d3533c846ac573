# SPDX-License-Identifier: MIT
"""Fixtures of the boot tests. `shell` is one machine that many tests of a file share."""

import pytest

from machine import Machine


@pytest.fixture(scope="module")
def shell(request):
    """A machine of 4 CPUs at its prompt; what a test changes, it puts back."""
    with Machine(f"shell-{request.module.__name__}") as machine:
        machine.wait_prompt()
        yield machine
