# SPDX-License-Identifier: MIT
"""Dynamic calls on the way of real frames: learnt from a flood, silent while it lasts, and of a
program that is unloaded under it.

Counts are exact: a batch that steady traffic costs shows in the statistics of its call. A host so
slow that a change would not pay may leave a call resting; it is pinned then, with a warning, and
what is left is tested. `interrupt` is not looked at: which interrupts there are is the host's
affair. Would miss: an alarm that needs minutes of traffic.
"""

import contextlib
import time
import warnings

import pytest

from machine import ALL_OK
from netpeer import (Namespace, build_pktgen, check_no_packet_is_lost, counters, wait_for_echo,
                     wait_until)

PROGRAM = "gen7"  # passes what goes to another port than its own
TARGETS = {"deliver": "ipv4_receive", "ipv4_deliver": "udp_receive",
           "udp_deliver": "discard_receive", "hook_0": PROGRAM}
PATIENCE = 15  # seconds, for all to be learnt; an idle host takes one
STEADY = 4
CPUS = 2


@pytest.fixture(scope="module", autouse=True)
def generator():
    build_pktgen()


@contextlib.contextmanager
def flooded(net):
    """1-byte datagrams for the port that discards them, until the block is left."""
    flood = net.pktgen_start("send", "--port=9", "--size=60", "--rate=20000", "--seconds=600")
    try:
        yield
        assert flood.poll() is None
    finally:
        flood.terminate()
        flood.communicate(timeout=30)


def calls(guest):
    return {row["name"]: row for row in guest.json("dyncall -j", 60)
            if row["name"] in TARGETS}


def discarded(guest):
    return counters(guest)["drop.udp_discarded"]


def hook_text(guest):
    return [site["insn"] for site in guest.json("sites hook_0 -j", 60)]


def learn(guest):
    """Waits until all gates are open; pins what does not learn here."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if all(row["state"] == "stable" for row in calls(guest).values()):
            break
        time.sleep(0.2)
    for name, row in calls(guest).items():
        if row["state"] != "stable":
            warnings.warn(f"{name} is {row['state']} ({row['why']}) after {PATIENCE} s: pinned")
            guest.run(f"dyncall {name} pin {TARGETS[name]}", 60)
    for name, row in calls(guest).items():
        assert row["state"] in ("stable", "pinned")
        assert TARGETS[name] in row["targets"]
        assert row["failed"] == row["refused"] == row["nulls"] == 0


def check_steady(guest):
    before, frames = calls(guest), discarded(guest)
    time.sleep(STEADY)
    after = calls(guest)
    assert discarded(guest) - frames > 1000
    for name, row in after.items():
        assert (row["state"], row["targets"]) == (before[name]["state"], before[name]["targets"])
        for what in "batches", "rounds", "ipis", "changes", "grace_periods":
            assert row[what] == before[name][what], (name, what)


def check_every_frame_arrives(net, guest):
    wait_for_echo(net)  # behind whatever a flood has left in queues
    before = discarded(guest)
    net.pktgen("send", "--port=9", "--count=2000", "--rate=20000")
    wait_until(lambda: discarded(guest) - before == 2000, "the last frame")
    check_no_packet_is_lost(guest)


def unload(guest):
    """Under traffic; behind it nothing names the program any more."""
    address, = (row["address"] for row in guest.json("prog -j") if row["name"] == PROGRAM)
    assert any(address in instruction for instruction in hook_text(guest))
    guest.run("prog detach nic0", 60)
    assert guest.json(f"prog unload {PROGRAM} -j", 60)
    assert PROGRAM not in [row["name"] for row in guest.json("prog -j")]
    row = calls(guest)["hook_0"]
    assert (row["targets"], row["forgotten"], row["failed"]) == ([], 1, 0)
    assert not any(address in instruction for instruction in hook_text(guest))


@pytest.mark.parametrize("nic", ["virtio", "e1000"])
def test_a_flood_is_learnt_once_and_programs_leave_under_it(nic):
    with Namespace() as net:
        net.add_tap("tap0", "10.0.2.2/24")
        with net.machine(f"dyncall-traffic-{nic}", nic, cpus=CPUS) as guest:
            guest.wait_prompt()
            wait_for_echo(net)
            guest.run(f"prog hook dynamic; prog attach nic0 {PROGRAM}", 60)
            with flooded(net):
                learn(guest)
                check_steady(guest)
            check_every_frame_arrives(net, guest)
            with flooded(net):
                frames = discarded(guest)
                wait_until(lambda: discarded(guest) - frames > 1000, "the flood")
                unload(guest)
                guest.run("prog attach nic0 count", 60)  # where the other was, perhaps
                frames = discarded(guest)
                wait_until(lambda: discarded(guest) - frames > 1000, "the flood behind it")
            check_every_frame_arrives(net, guest)
            guest.run("prog detach nic0", 60)
            assert guest.exit() == ALL_OK
