# SPDX-License-Identifier: MIT
"""The command `prog`, and packet programs on real cards: what each built-in one does with frames
from a host, programs that come and go under a flood, a dispatcher that is full.

A frame that meets no program, two, or the one that was replaced, shows in the counters by verdict,
which have to add up to the frames that came. Would miss: a race that needs more than seconds of
traffic (suite program of the kernel has more of them).
"""

import pytest

from machine import ALL_OK, SOME_FAILED, Machine
from netpeer import (Namespace, build_pktgen, check_no_packet_is_lost, counters, pktgen_end, queues,
                     wait_for_echo, wait_until)

VERDICTS = ("drop", "pass", "tx", "abort")


@pytest.mark.parametrize("line, culprit", [
    ("prog nosuch", "'nosuch' is not one of"),
    ("prog -x", "-x"),
    ("prog list nosuch", "nosuch"),
    ("prog attach", "argument missing"),
    ("prog attach nic9 drop", "nic9"),
    ("prog attach nic9:0 drop", "nic9"),
    ("prog detach nic9", "nic9"),
    ("prog detach", "argument missing"),
    ("prog enter nosuch", "nosuch"),
    ("prog enter gen64", "gen64"),
    ("prog enter gen0-gen64", "gen0-gen64"),
    ("prog enter gen5-gen3", "gen5-gen3"),
    ("prog enter gen60-gen99", "'gen99' is none of the generated programs"),
    ("prog enter gen64-gen1", "'gen64' is none of"),
    ("prog enter x-", "'x' is none of"),
    ("prog enter gen7-" + "gen" * 20, "gengen"),
    ("prog counts nosuch", "nosuch"),
    ("prog counts -x", "-x"),
    ("prog enter gen07", "gen07"),
    ("prog leave drop", "drop: there is none"),
    ("prog leave all", "all: there is none"),
    ("prog leave gen8", "gen8"),
    ("prog unload pass", "pass: it is built in"),
    ("prog unload gen8", "gen8"),
    ("prog unload all", "all: there is none"),
    ("prog unload drop drop", "drop"),
    ("prog hook fast", "'fast' is not one of dispatcher dynamic"),
    ("prog hook dynamic more", "more"),
])
def test_bad_input_names_the_culprit(shell, line, culprit):
    before = shell.json("prog -j"), shell.json("dispatch -j")
    assert culprit in shell.run(line)
    assert (shell.json("prog -j"), shell.json("dispatch -j")) == before


@pytest.fixture(scope="module", autouse=True)
def generator():
    build_pktgen()


@pytest.fixture(scope="module", params=["virtio", "e1000"])
def pair(request):
    """A namespace and a machine in it, with one card."""
    with Namespace() as net:
        net.add_tap("tap0", "10.0.2.2/24")
        with net.machine(f"programs-{request.param}", request.param) as guest:
            guest.wait_prompt()
            wait_for_echo(net)
            yield net, guest
            if not guest.lost:
                # Bad input is among what was typed.
                assert guest.exit() in (ALL_OK, SOME_FAILED)


def verdicts(guest):
    """Frames of nic0 by verdict, over its queues."""
    rows = guest.json("prog list nic0 -j")
    return {name: sum(row[name] for row in rows) for name in VERDICTS}


def more(before, after):
    return {name: after[name] - before[name] for name in before}


def entries(guest):
    return guest.json("dispatch -j")[[row["name"] for row in guest.json("dispatch -j")]
                                     .index("receive")]["entries"]


@pytest.mark.parametrize("program, verdict", [("drop", "drop"), ("abort", "abort"),
                                              ("count", "pass"), ("pass", "pass"),
                                              ("gen7", "drop")])
def test_a_program_decides_over_each_frame(pair, program, verdict):
    net, guest = pair
    row, = guest.json(f"prog attach nic0 {program} -j")
    assert row["in_dispatcher"] and row["entries"] == 1
    before = verdicts(guest)
    net.pktgen("send", "--port=9007", "--count=2000", "--rate=5000")
    wait_until(lambda: more(before, verdicts(guest))[verdict] >= 2000, "the last frame")
    seen = more(before, verdicts(guest))
    # ARP may come as well; gen7 lets it pass.
    assert sum(seen.values()) - seen[verdict] <= (20 if program == "gen7" else 0), seen
    guest.run("prog detach nic0")
    wait_for_echo(net)
    check_no_packet_is_lost(guest)


def test_the_hook_runs_the_same_program_both_ways(pair):
    """And says by which dynamic call; the way back leaves the text as it was."""
    net, guest = pair
    guest.run("prog attach nic0 gen7")
    for way in "dynamic", "dispatcher":
        row, = guest.json(f"prog hook {way} -j")
        assert (row["nic"], row["way"], row["dyncall"]) == ("nic0", way, "hook_0")
        before = verdicts(guest)
        net.pktgen("send", "--port=9007", "--count=500", "--rate=5000")
        wait_until(lambda: more(before, verdicts(guest))["drop"] >= 500, "the last frame")
        assert more(before, verdicts(guest))["drop"] == 500
    guest.run("prog detach nic0")
    guest.run("prog unload gen7")
    wait_for_echo(net)


def test_count_counts_by_port(pair):
    net, guest = pair

    def frames():
        return {row["port"]: row["frames"] for row in guest.json("prog counts nic0 -j")
                if row["protocol"] == "udp"}
    guest.run("prog attach nic0 count")
    before = frames()
    net.pktgen("send", "--port=4007", "--count=300", "--rate=5000")
    net.pktgen("send", "--port=4008", "--count=200", "--rate=5000")
    wait_until(lambda: frames().get(4008, 0) >= 200, "the last frame")
    assert (frames()[4007], frames()[4008]) == (300, 200)
    assert 4007 not in before and 4008 not in before
    assert [row["port"] for row in guest.json("prog counts -j")].count(4007) == 1
    guest.run("prog detach nic0")


def test_echo_sends_every_frame_back(pair):
    net, guest = pair
    guest.run("prog attach nic0:0 echo")
    before = verdicts(guest), counters(guest)
    report = net.pktgen("echo", "--count=3000", "--size=60-1514", "--window=64")
    assert (report["lost"], report["wrong"], report["repeated"]) == (0, 0, 0), report
    after = verdicts(guest), counters(guest)
    assert more(before[0], after[0])["tx"] == 3000
    assert after[1]["sent.udp"] == before[1]["sent.udp"]  # no protocol saw one
    guest.run("prog detach nic0:0")
    check_no_packet_is_lost(guest)


def test_programs_come_and_go_under_a_flood(pair):
    """Each received frame has one verdict or came while there was no program; those are counted by
    protocol."""
    net, guest = pair
    flood = net.pktgen_start("send", "--port=9", "--seconds=3")
    changes = 0
    while flood.poll() is None:
        for program in "drop", "gen1", "count", "abort", "gen2":
            row, = guest.json(f"prog attach nic0 {program} -j", 60)
            assert row["in_dispatcher"] and row["entries"] == 1
            changes += 1
        assert "nic0: there is none" not in guest.run("prog detach nic0")
        assert "gen1: " not in guest.run("prog unload gen1")
    assert pktgen_end(flood)["offered"] > 1000 and changes >= 5
    guest.run("prog attach nic0 count")
    before = verdicts(guest), queues(guest)[0]["received"]
    net.pktgen("send", "--port=9", "--count=2000", "--rate=5000")
    wait_until(lambda: more(before[0], verdicts(guest))["pass"] >= 2000, "the last frame")
    seen = more(before[0], verdicts(guest))
    assert sum(seen.values()) == seen["pass"]
    guest.run("prog detach nic0")
    assert entries(guest) == 0
    check_no_packet_is_lost(guest)


def test_the_65th_program_runs_through_the_fallback(pair):
    net, guest = pair
    guest.run("prog enter gen0-gen63", 60)
    row, = guest.json("prog attach nic0 drop -j")
    assert row["in_dispatcher"] is False and row["entries"] == 64
    assert "the dispatcher is full" in guest.run("log")
    before = verdicts(guest)
    net.pktgen("send", "--port=9", "--count=1000", "--rate=5000")
    wait_until(lambda: more(before, verdicts(guest))["drop"] >= 1000, "the last frame")
    for line, culprit in (("prog attach nic0 drop", "drop on nic0: it is there already"),
                          ("prog enter gen3", "gen3: it is there already"),
                          ("prog unload gen3", "gen3: it is attached or entered still"),
                          ("prog attach nic0:7 drop", "no queue '7'"),
                          ("prog attach nic0:x drop", "no queue 'x'"),
                          ("prog attach nic0 nosuch", "nosuch"),
                          ("pkt count nic0", "nic0 has program drop"),
                          ("bench net --seconds 1 --nic nic0", "nic0 has program drop")):
        assert culprit in guest.run(line), line
    guest.run("prog leave gen5")
    row, = guest.json("prog list nic0 -j")[:1]
    assert row["in_dispatcher"] is True
    guest.run("prog leave all", 60)
    assert entries(guest) == 1
    guest.run("prog detach nic0")
    assert "nic0: there is none" in guest.run("prog detach nic0")
    wait_for_echo(net)
    check_no_packet_is_lost(guest)


def test_without_a_card_there_is_nothing_to_attach_to():
    with Machine("programs-none") as machine:
        machine.wait_prompt()
        assert "no driver has found any" in machine.run("prog attach nic0 drop")
        assert [row["name"] for row in machine.json("prog -j")] == ["drop", "pass", "count", "echo",
                                                                    "abort"]
        assert machine.exit() == SOME_FAILED
