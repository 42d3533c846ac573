# SPDX-License-Identifier: MIT
"""`bench net --memory`: what a frame costs on its way, exactly.

In QEMU's deterministic mode a cycle is an instruction, so these figures repeat but for an interrupt
of the timer that comes in a poll, and a path that has become longer is noticed. Frames from a host
are in test_net_traffic.py.
"""

import pytest

from machine import ALL_OK, SOME_FAILED, Machine, icount

COMMAND = "bench net --memory --packets 20000 --mitigation retpoline,none --dyncall off,pin -j"
MODES = ["drop", "sink", "echo"]
MOST = {"drop": 270, "sink": 780, "echo": 1000}  # instructions, the device's copy included
BUDGET = 64  # frames in one poll
NEAR = 0.05  # instructions a packet: a run of 20,000 may have one timer interrupt more in its polls


@pytest.fixture(scope="module")
def exact():
    """The rows by (mode, mitigation), in deterministic mode; dynamic calls off, or by mode
    "pin-MODE" with the slots naming whom the packets go to."""
    with Machine("bench-net-icount", cpus=2, **icount()) as machine:
        machine.wait_prompt()
        rows = machine.json(COMMAND)
        again = machine.json(COMMAND)
        for name in "packets", "polls", "doorbells":
            assert [row[name] for row in again] == [row[name] for row in rows]
        assert [row["cycles_per_packet"] for row in again] \
            == pytest.approx([row["cycles_per_packet"] for row in rows], abs=NEAR)
        assert machine.exit() == ALL_OK
    assert [(row["mode"], row["mitigation"], row["dyncall"]) for row in rows] == [
        (mode, mitigation, dyncall) for mitigation in ("retpoline", "none")
        for dyncall in ("off", "pin") for mode in MODES]
    return {(f"pin-{row['mode']}" if row["dyncall"] == "pin" else row["mode"],
             row["mitigation"]): row for row in rows}


def test_every_frame_is_done_with_once(exact):
    for row in exact.values():
        assert row["packets"] == row["received"] == 20000
        assert row["interrupts"] == 0


def test_a_poll_takes_its_whole_budget(exact):
    for mode in "drop", "echo":
        assert exact[mode, "retpoline"]["polls"] == -(-20000 // BUDGET)


def test_a_poll_rings_the_doorbell_once(exact):
    for (mode, _), row in exact.items():
        assert row["doorbells"] == (row["polls"] if mode.endswith("echo") else 0)


@pytest.mark.parametrize("mode", MODES)
def test_the_path_has_not_grown(exact, mode):
    assert 0 < exact[mode, "retpoline"]["cycles_per_packet"] <= MOST[mode]


def test_a_retpoline_is_dearer_at_each_indirect_call(exact):
    """One each for the protocols of frame and packet, the port's handler and the card's transmit;
    none for a program: the dispatcher jumps to it directly. Slots that name the first three leave
    the transmit."""
    more = {mode: exact[mode, "retpoline"]["cycles_per_packet"] -
            exact[mode, "none"]["cycles_per_packet"]
            for mode in ("drop", "echo", "pin-drop", "pin-echo")}
    assert more == pytest.approx({"drop": 0, "echo": 4, "pin-drop": 0, "pin-echo": 1}, abs=NEAR)


@pytest.mark.parametrize("mode", ["sink", "echo"])
@pytest.mark.parametrize("mitigation", ["retpoline", "none"])
def test_slots_that_name_the_right_function_cost_no_more(exact, mode, mitigation):
    """Three calls a packet; off, each is an indirect call behind a closed gate."""
    off, pinned = (exact[name, mitigation]["cycles_per_packet"] for name in (mode, f"pin-{mode}"))
    assert pinned < off


def test_calls_learn_while_it_runs():
    """A second of packets: each call decides once, for whom the packets go to; behind the bench it
    begins anew, and soon switches off for want of calls: the time of an idle machine leaps.
    Learning counts the calls of a sixteenth of the time."""
    decided = {"deliver": "ipv4_receive", "ipv4_deliver": "udp_receive"}
    with Machine("bench-net-auto", cpus=2, **icount()) as machine:
        machine.wait_prompt()
        off, auto = machine.json("bench net --memory --packets 1000000 --mode sink "
                                 "--dyncall off,auto -j", 120)
        for name, target in decided.items():
            (row,) = machine.json(f"dyncall {name} -j")
            assert (row["refused"], row["failed"]) == (0, 0)
            assert [(decision["reason"], decision["new_targets"])
                    for decision in machine.json(f"dyncall {name} log -j")
                    if decision["after"] != "off"] == [("hot", [target])]
        assert machine.exit() == ALL_OK
    assert (off["dyncall"], auto["dyncall"]) == ("off", "auto")
    assert auto["received"] == auto["packets"] == 1000000
    assert auto["cycles_per_packet"] <= off["cycles_per_packet"] * 1.1


def test_without_a_card_it_says_so():
    with Machine("bench-net-none") as machine:
        machine.wait_prompt()
        assert "no network card" in machine.run("bench net --seconds 1")
        assert machine.exit() == SOME_FAILED


def test_without_frames_it_says_that_alone():
    with Machine("bench-net-silent", nic=("-nic", "user,model=e1000"),
                 command_line="ip=10.0.2.15/24 loglevel=error") as machine:
        machine.wait_prompt()
        line, = machine.run("bench net --mode echo --seconds 1 --wait 1").splitlines()
        assert "echo: no frame for it within 1 s" in line
        assert machine.exit() == SOME_FAILED
