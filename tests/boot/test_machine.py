# SPDX-License-Identifier: MIT
"""The machine that tests share: one is made, it is used as long as it lives, it is ended before the
next one takes its place. Callers: make test."""

import pytest

from machine import revived


class Fake:
    def __init__(self, number, log):
        self.number, self.log, self.lost = number, log, False

    def __enter__(self):
        self.log.append(f"start {self.number}")
        return self

    def __exit__(self, *_):
        self.log.append(f"end {self.number}")


def test_a_shared_machine_that_died_is_ended_and_made_again():
    log = []
    with revived(lambda number: Fake(number, log),
                 lambda fake: log.append(f"ready {fake.number}")) as running:
        assert log == []
        assert running() is running()
        running().lost = True
        assert running().number == 2
    assert log == ["start 1", "ready 1", "end 1", "start 2", "ready 2", "end 2"]


def test_a_shared_machine_that_does_not_come_up_fails_its_test_alone():
    log = []

    def ready(fake):
        if fake.number == 1:
            fake.lost = True
            raise AssertionError("no prompt")

    with revived(lambda number: Fake(number, log), ready) as running:
        with pytest.raises(AssertionError, match="no prompt"):
            running()
        assert running().number == 2
    assert log == ["start 1", "end 1", "start 2", "end 2"]
