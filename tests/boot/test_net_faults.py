# SPDX-License-Identifier: MIT
"""What a hostile or broken neighbour sends, and what the wire and the user do to a card at work:
each bad frame is counted by its reason, exactly; links, resets and full rings lose frames, never a
packet of the pool and never the machine.

The counters before and after are compared as a whole: a frame that is counted twice, nowhere or
under another reason fails. The host's own stack is quiet here: the neighbour has an address that
the host has not.
"""

import collections
import json
import os
import signal
import socket
import time

import pytest

from frames import (ARP, BROADCAST_MAC, GUEST, GUEST_MAC, ICMP, PEER, PEER_MAC, UDP, arp, ethernet,
                    icmp, ipv4, mac_bytes, udp)
from machine import SOME_FAILED
from netpeer import (MODELS, STATIC, MonitoredMachine, Namespace, build_pktgen,
                     check_no_packet_is_lost, counters, device_counters, nic_options, pktgen_end,
                     queues, shared_machine, wait_for_echo, wait_for_link, wait_until)

GROUP_MAC, NOBODY_MAC = "01:00:5e:00:00:01", "00:00:00:00:00:00"
# Reason, frame. Frames are padded to 60 bytes, as a sender does.
BAD = [
    ("drop.ethertype_unknown", ethernet(b"", kind=0x86DD)),
    ("drop.ethertype_unknown", ethernet(b"", kind=46)),
    ("drop.ethernet_source", ethernet(ipv4(udp(b"x")), source=GROUP_MAC)),
    ("drop.ethernet_source", ethernet(arp(), ARP, source=BROADCAST_MAC)),
    ("drop.ethernet_source", ethernet(ipv4(icmp(), protocol=ICMP), source=NOBODY_MAC)),
    ("drop.ethernet_source", ethernet(ipv4(icmp(), protocol=ICMP), source=GUEST_MAC)),
    ("drop.ethernet_source", ethernet(arp(), ARP, to=BROADCAST_MAC, source=GUEST_MAC)),
    ("drop.arp_malformed", ethernet(arp(hardware=6), ARP)),
    ("drop.arp_malformed", ethernet(arp(kind=0x0801), ARP)),
    ("drop.arp_malformed", ethernet(arp(sizes=(6, 16)), ARP)),
    ("drop.arp_malformed", ethernet(arp(sizes=(255, 4)), ARP)),
    ("drop.arp_malformed", ethernet(arp(operation=0), ARP)),
    ("drop.arp_malformed", ethernet(arp(operation=3), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender_mac=GROUP_MAC), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender_mac=NOBODY_MAC), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender_mac=GUEST_MAC), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender="224.0.0.1"), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender="127.0.0.1"), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender="10.0.2.255"), ARP)),
    ("drop.arp_malformed", ethernet(arp(sender="10.0.2.0"), ARP)),
    ("drop.arp_not_for_us", ethernet(arp(target="10.0.2.99"), ARP, to=BROADCAST_MAC)),
    ("drop.arp_not_for_us", ethernet(arp(operation=2), ARP)),
    ("drop.arp_conflict", ethernet(arp(sender=GUEST), ARP)),
    ("drop.ipv4_version", ethernet(ipv4(udp(b"x"), version=6))),
    ("drop.ipv4_version", ethernet(b"\0" * 46)),
    ("drop.ipv4_header_length", ethernet(ipv4(udp(b"x"), words=4))),
    ("drop.ipv4_header_length", ethernet(ipv4(udp(b"x"), words=0))),
    ("drop.ipv4_header_length", ethernet(ipv4(udp(b"x"), words=15))),
    ("drop.ipv4_checksum", ethernet(ipv4(udp(b"x"), total=0x1234))),
    ("drop.ipv4_checksum", ethernet(ipv4(udp(b"x"), total=0))),
    ("drop.ipv4_total_length", ethernet(ipv4(udp(b"x"), length=19))),
    ("drop.ipv4_total_length", ethernet(ipv4(udp(b"x"), length=0))),
    ("drop.ipv4_total_length", ethernet(ipv4(udp(b"x"), length=47))),
    ("drop.ipv4_total_length", ethernet(ipv4(udp(b"x"), length=65535))),
    ("drop.ipv4_options", ethernet(ipv4(udp(b"x"), options=b"\x07\x01\x04\0"))),
    ("drop.ipv4_options", ethernet(ipv4(udp(b"x"), options=b"\x07\x05\x04\0"))),
    ("drop.ipv4_options", ethernet(ipv4(udp(b"x"), options=b"\x01\x01\x01\x44"))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source="127.0.0.1"), source="127.0.0.1"))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source="224.0.0.9"), source="224.0.0.9"))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source=GUEST), source=GUEST))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source="10.0.2.255"), source="10.0.2.255"))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source="10.0.2.0"), source="10.0.2.0"))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source="0.0.0.0"), source="0.0.0.0"))),
    ("drop.ipv4_source", ethernet(ipv4(udp(b"x", source="0.0.0.0"), source="0.0.0.0"),
                                  to=BROADCAST_MAC)),
    ("drop.ipv4_not_for_us", ethernet(ipv4(udp(b"x", to="10.0.2.99"), to="10.0.2.99"))),
    ("drop.ipv4_fragment", ethernet(ipv4(udp(b"x" * 8), fragment=0x2000))),
    ("drop.ipv4_fragment", ethernet(ipv4(b"x" * 24, fragment=0x0001))),
    ("drop.ipv4_fragment", ethernet(ipv4(b"x" * 24, fragment=0x1FFF))),
    ("drop.ipv4_fragment", ethernet(ipv4(udp(b"x"), fragment=0x8000))),
    ("drop.ipv4_protocol_unknown", ethernet(ipv4(b"x" * 20, protocol=6))),
    ("drop.ipv4_protocol_unknown", ethernet(ipv4(b"", protocol=255))),
    ("drop.icmp_short", ethernet(ipv4(b"\x08\0\xf7\xff", protocol=ICMP))),
    ("drop.icmp_checksum", ethernet(ipv4(icmp(total=0x1234), protocol=ICMP))),
    ("drop.icmp_type", ethernet(ipv4(icmp(kind=13), protocol=ICMP))),
    ("drop.icmp_type", ethernet(ipv4(icmp(code=1), protocol=ICMP))),
    ("drop.icmp_type", ethernet(ipv4(icmp(kind=0), protocol=ICMP))),
    ("drop.icmp_type", ethernet(ipv4(icmp(kind=3, payload=b""), protocol=ICMP))),
    ("drop.udp_short", ethernet(ipv4(b"1234567"))),
    ("drop.udp_length", ethernet(ipv4(udp(b"x", length=7)))),
    ("drop.udp_length", ethernet(ipv4(udp(b"x", length=0)))),
    ("drop.udp_length", ethernet(ipv4(udp(b"x", length=10)))),
    ("drop.udp_length", ethernet(ipv4(udp(b"x", length=65535)))),
    ("drop.udp_checksum", ethernet(ipv4(udp(b"x", total=0x1234)))),
    ("drop.udp_port_closed", ethernet(ipv4(udp(b"x", port=5555)))),
    ("drop.udp_port_closed", ethernet(ipv4(udp(b"x", port=0)))),
    ("drop.answer_refused", ethernet(ipv4(udp(b"x", port=7, source_port=7)))),
    ("drop.answer_refused", ethernet(ipv4(udp(b"x", port=7, source_port=37)))),
    ("drop.answer_refused", ethernet(ipv4(udp(b"x", port=37, source_port=0)))),
    ("drop.answer_refused", ethernet(ipv4(udp(b"x", port=7, to="10.0.2.255"), to="10.0.2.255"),
                                     to=BROADCAST_MAC)),
    ("drop.answer_refused", ethernet(ipv4(udp(b"x", port=7)), to=BROADCAST_MAC)),
    ("drop.answer_refused", ethernet(ipv4(icmp(), protocol=ICMP), to=BROADCAST_MAC)),
    ("drop.udp_discarded", ethernet(ipv4(udp(b"x")))),
    ("drop.udp_discarded", ethernet(ipv4(udp(b"x", total=0)))),
    ("drop.udp_discarded", ethernet(ipv4(udp(b"x"), options=b"\x01\x01\x01\0"))),
]


@pytest.fixture(scope="module", autouse=True)
def generator():
    build_pktgen()


@pytest.fixture(scope="module")
def net():
    with Namespace() as namespace:
        namespace.add_tap("tap0", "10.0.2.2/24")
        namespace.run("ip", "link", "set", "tap0", "mtu", "4000")
        yield namespace


@pytest.fixture(scope="module", params=MODELS)
def nic(request):
    return request.param


@pytest.fixture(scope="module")
def running(net, nic):
    """Returns a function that gives the machine of this card, booted again after one that died."""
    with shared_machine(net, "faults", nic) as machine:
        yield machine


@pytest.fixture
def guest(running):
    return running()


@pytest.fixture
def wire(net, guest):
    with net.wire() as end:
        yield end


def send_paced(wire, frames):
    """Not much faster than the slowest machine reads."""
    for number, frame in enumerate(frames):
        if number % 64 == 63:
            time.sleep(0.005)
        wire.send(frame)


def send_all(guest, wire, frames):
    """Sends without loss: never more than a tap device queues. Returns when all have arrived."""
    for start in range(0, len(frames), 800):
        part, before = frames[start:start + 800], received(guest)
        send_paced(wire, part)
        wait_until(lambda: received(guest) - before >= len(part), f"{len(part)} frames")


def drops(guest):
    return collections.Counter({name: value for name, value in counters(guest).items()
                                if name.startswith("drop.")})


def received(guest):
    return sum(row["received"] for row in queues(guest))


def check_drops(guest, wire, frames, expected):
    """Sends the frames; exactly the expected reasons are counted."""
    before, seen = drops(guest), received(guest)
    send_all(guest, wire, frames)
    wait_until(lambda: (drops(guest) - before).total() >= sum(expected.values()), "the last drop")
    assert drops(guest) - before == collections.Counter(expected)
    assert received(guest) - seen == len(frames)


def is_alive(net):
    """The machine answers, and every byte comes back."""
    wait_for_echo(net)
    report = net.pktgen("echo", "--count=500", "--size=60-1514", "--window=32")
    assert (report["echoed"], report["wrong"]) == (500, 0)


def test_each_bad_frame_is_counted_by_its_reason(net, guest, wire):
    expected, frames = collections.Counter(), []
    for times, (reason, frame) in enumerate(BAD, 1):
        expected[reason] += times
        frames += times * [frame]
    check_drops(guest, wire, frames, expected)
    is_alive(net)
    check_no_packet_is_lost(guest)


def test_frames_cut_anywhere_are_dropped(net, guest, wire):
    """A good datagram of 200 bytes in a frame that ends too early: its lengths lie."""
    whole = ethernet(ipv4(udp(b"x" * 200)))
    cut = [whole[:length] for length in range(60, len(whole))]
    check_drops(guest, wire, cut, {"drop.ipv4_total_length": len(cut)})
    assert len(cut) == 182
    is_alive(net)


def test_frames_below_60_bytes(net, guest, wire, nic):
    """QEMU fills them up for the e1000s, as a wire would; virtio hands on what came."""
    whole = ipv4(udp(b"x" * 40))
    short = [ethernet(b"", pad=14), ethernet(whole[:19], pad=0), ethernet(whole[:20], pad=0)]
    expected = {"drop.ipv4_version": 1, "drop.ipv4_total_length": 1, "drop.ipv4_checksum": 1}
    if nic == "virtio":
        expected = {"drop.ipv4_short": 2, "drop.ipv4_total_length": 1}
    check_drops(guest, wire, short, expected)
    is_alive(net)


def test_frames_beyond_1514_bytes(net, guest, wire, nic):
    for length in 1515, 1518:
        frame = ethernet(ipv4(udp(b"x" * (length - 42))))
        check_drops(guest, wire, 5 * [frame], {"drop.frame_long": 5})
    before, spanning = drops(guest), device_counters(guest).get("drop.frame_spanning", 0)
    for length in 1523, 2000, 2048, 2100, 4014:
        send_paced(wire, 5 * [ethernet(ipv4(udp(b"x" * (length - 42))))])
    is_alive(net)
    more = drops(guest) - before
    assert set(more) <= {"drop.frame_long"}
    if nic == "virtio":
        spanning = device_counters(guest)["drop.frame_spanning"] - spanning
        assert more["drop.frame_long"] + spanning == 25
    check_no_packet_is_lost(guest)


def test_frames_for_others_are_not_ours(net, guest, wire, nic):
    others = [ethernet(ipv4(udp(b"x")), to="52:54:00:99:99:99"),
              ethernet(ipv4(udp(b"x")), to="33:33:00:00:00:01")]
    before = drops(guest)
    send_paced(wire, 10 * others)
    is_alive(net)
    more = drops(guest) - before
    assert set(more) <= {"drop.not_for_us"}
    assert nic != "virtio" or more["drop.not_for_us"] == 20


def neighbours(guest):
    return [row["address"] for row in guest.json("net arp -j")]


def test_a_flood_of_arp_teaches_nothing_and_is_answered(net, guest, wire):
    known = neighbours(guest)
    before = counters(guest)
    senders = [f"10.0.2.{16 + number % 200}" for number in range(4000)]
    send_all(guest, wire,
             [ethernet(arp(sender=sender), ARP, to=BROADCAST_MAC) for sender in senders])
    send_all(guest, wire, [ethernet(arp(2, sender=sender), ARP) for sender in senders])
    after = counters(guest)
    assert after["received.arp"] - before["received.arp"] == 8000
    assert after["sent.arp"] - before["sent.arp"] == 4000
    assert after["drop.arp_not_for_us"] - before["drop.arp_not_for_us"] == 4000
    assert neighbours(guest) == known
    is_alive(net)
    check_no_packet_is_lost(guest)


def test_random_bytes_do_no_harm(net, guest, wire):
    """Frames with a right header in front of noise, from os.urandom: each ends in some counter."""
    before = drops(guest)
    heads = [ethernet(b"", pad=0), ethernet(b"", ARP, pad=0), ethernet(ipv4(b"")[:12], pad=0),
             ethernet(ipv4(b"", length=120, protocol=ICMP), pad=0), ethernet(ipv4(b"", length=120),
                                                                             pad=0)]
    frames = [(head + os.urandom(134))[:134] for head in heads for _ in range(400)]
    send_all(guest, wire, frames)
    assert (drops(guest) - before).total() == 2000
    is_alive(net)
    check_no_packet_is_lost(guest)


def test_the_link_goes_down_and_comes_back(net, guest):
    changes = device_counters(guest)["link_changes"]
    guest.qmp("set_link", name="net0", up=False)
    wait_for_link(guest, "down")
    assert guest.json("ping 10.0.2.2 -c 1 -w 50 -j")[-1]["answered"] == 0
    output = net.run("ping", "-c1", "-W0.2", "-q", GUEST, check=False).stdout
    assert " 0 received" in output
    guest.qmp("set_link", name="net0", up=True)
    wait_for_link(guest)
    assert device_counters(guest)["link_changes"] == changes + 2
    is_alive(net)
    check_no_packet_is_lost(guest)


def test_the_link_flaps_under_traffic(net, guest):
    flood = net.pktgen_start("echo", "--rate=20000", "--seconds=1", "--size=60-1514", "--wait=0.2")
    while flood.poll() is None:
        for up in False, True:
            guest.qmp("set_link", name="net0", up=up)
            time.sleep(0.02)
    assert pktgen_end(flood)["wrong"] == 0
    wait_for_link(guest)
    is_alive(net)
    check_no_packet_is_lost(guest)


def test_a_reset_in_the_middle_of_traffic(net, guest):
    """Two far enough from each other for frames to come between them, others not. QEMU's e1000
    hands over nothing for a second."""
    answers = counters(guest)["sent.udp"]
    flood = net.pktgen_start("echo", "--rate=20000", "--seconds=60", "--size=60-1514",
                             "--wait=0.3")
    resets = device_counters(guest)["resets"]
    for pause in 0.3, 0.01, 0.01, 0.01, 0.05, 0.05, 0.05:
        row, = guest.json("nic nic0 reset -j")
        assert row["is_back"]
        wait_until(lambda: counters(guest)["sent.udp"] > answers, "an answer behind a reset")
        time.sleep(pause)
    flood.send_signal(signal.SIGINT)
    report = pktgen_end(flood)
    assert report["wrong"] == 0 and report["echoed"] > 0
    assert device_counters(guest)["resets"] == resets + 7
    wait_for_link(guest)
    is_alive(net)
    check_no_packet_is_lost(guest)


def test_after_all_this_the_machine_ends_as_told(guest):
    assert "nosuch" in guest.run("nic nosuch reset")  # it remembers that a command failed
    assert guest.exit() == SOME_FAILED
    guest.lost = True


def answer_arp(end, own):
    """Reads until the machine asks who the neighbour is; tells it."""
    while (frame := end.recv(2000))[12:22] != ethernet(arp(), ARP)[12:22] \
            or frame[38:42] != socket.inet_aton(PEER):
        pass
    end.sendto(ethernet(arp(2), ARP), str(own))


def is_datagram(frame):
    return frame[12:14] == b"\x08\0" and frame[23] == UDP


def read_datagrams(end, count):
    """Reads until as many have come, and whatever comes in half a second after them."""
    frames = []
    try:
        while True:
            end.settimeout(10 if len(frames) < count else 0.5)
            frame = end.recv(2000)
            frames += [frame] if is_datagram(frame) else []
    except TimeoutError:
        return frames


def test_a_full_transmit_ring_is_counted_and_drains(tmp_path):
    """A neighbour that reads nothing, behind a unix datagram socket: QEMU's back end stops, the
    ring fills up. Then it reads, and all that went into the ring comes out, each frame once. QEMU's
    e1000s take whatever they are given: virtio alone can be full."""
    path, own = tmp_path / "neighbour", tmp_path / "machine"
    netdev = f"dgram,local.type=unix,local.path={own},remote.type=unix,remote.path={path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end, \
            MonitoredMachine("ring-full", nic=nic_options("virtio", netdev),
                             command_line=STATIC) as guest:
        end.bind(str(path))
        end.settimeout(10)
        guest.wait_prompt()
        guest.send(f"pkt flood {PEER} --count 5000 --seconds 60 -j\r")
        answer_arp(end, own)
        row = json.loads(next(line for line in guest.wait_prompt().splitlines()
                              if line.startswith("{")))
        assert row["ring_full"] > 0 and 0 < row["sent"] < 5000, row
        assert row["ended_by"] == "the card sends nothing for seconds"
        assert queues(guest)[0]["transmit_full"] > 0
        frames = read_datagrams(end, row["sent"])
        assert len(frames) == len(set(frames)) == row["sent"]
        check_no_packet_is_lost(guest)
        assert guest.exit() == SOME_FAILED  # a flood that cannot go on fails


def test_bad_frames_are_what_they_say():
    """The table itself: every frame is a whole one, and the last is good."""
    assert all(60 <= len(frame) <= 1514 for _, frame in BAD)
    assert BAD[-1][1][:12] == mac_bytes("52:54:00:12:34:56") + mac_bytes(PEER_MAC)
    assert PEER != GUEST
