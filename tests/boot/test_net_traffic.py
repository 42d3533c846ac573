# SPDX-License-Identifier: MIT
"""A real client: the host's ping, arping and packet generator talk to every card over a tap device;
captures are read by tcpdump; floods run while keys flip and CPUs are busy.

A packet too few, a byte that changed, a checksum that is wrong, a buffer that does not come back or
an IPI too many fails. Would miss: faults that need more than seconds of traffic (`make bench-net`
has longer runs).
"""

import json
import re
import signal
import socket
import struct
import subprocess
import time

import pytest

from frames import GUEST, GUEST_MAC, PEER, checksum, ethernet, ipv4, udp
from machine import ALL_OK, LOGS
from netpeer import (MODELS, PKTGEN, STATIC, MonitoredMachine, Namespace, build_pktgen, census,
                     check_no_packet_is_lost, counters, device_counters, nic_options, pktgen_end,
                     queues, shared_machine, wait_for_echo, wait_until)

SIZES = 1514 - 60 + 1


@pytest.fixture(scope="module", autouse=True)
def generator():
    build_pktgen()


@pytest.fixture(scope="module")
def net():
    with Namespace() as namespace:
        namespace.add_tap("tap0", "10.0.2.2/24")
        yield namespace


@pytest.fixture
def own_net():
    """For a machine of a test's own, beside the shared one."""
    with Namespace() as namespace:
        namespace.add_tap("tap0", "10.0.2.2/24")
        yield namespace


@pytest.fixture(scope="module", params=MODELS)
def nic(request):
    return request.param


@pytest.fixture(scope="module")
def running(net, nic):
    """Returns a function that gives the machine of this card, booted again after one that died."""
    with shared_machine(net, "traffic", nic) as machine:
        yield machine


@pytest.fixture
def guest(running):
    return running()


def host_ping(net, count, *words):
    """Lets the host's ping see @count answers; returns how many questions that took. A slow host
    asks again before the last answer is in; whether each was answered the guest's counters tell."""
    output = net.run("ping", "-q", f"-c{count}", "-w20", *words, GUEST, check=False).stdout
    asked, answered = map(int, re.search(r"(\d+) packets transmitted, (\d+) rec", output).groups())
    assert answered >= count, output
    return asked


def check_echo(net, *words):
    report = net.pktgen("echo", *words)
    assert (report["lost"], report["wrong"], report["repeated"]) == (0, 0, 0), report
    assert report["echoed"] == report["sent"] == report["offered"]
    return report


def test_the_host_pings_with_every_kind_of_size(net, guest):
    before = counters(guest)
    asked = sum(host_ping(net, 2, "-i0.01", "-Mdo", f"-s{size}")
                for size in (0, 1, 17, 18, 19, 56, 1471, 1472))
    asked += host_ping(net, 1000, "-f", "-s100")
    assert asked >= 1016
    for way in "received.icmp", "sent.icmp":  # the last question may still be on its way
        wait_until(lambda name=way: counters(guest)[name] - before[name] >= asked, f"{asked} {way}")
    after = counters(guest)
    assert after["received.icmp"] - before["received.icmp"] == asked
    assert after["sent.icmp"] - before["sent.icmp"] == asked
    check_no_packet_is_lost(guest)


def test_the_host_arpings(net, guest):
    before = counters(guest)
    for _ in range(3):  # one call would let a second go by between its questions
        output = net.run("arping", "-c1", "-w10", "-I", "tap0", GUEST).stdout
        assert re.search(rf"reply from {re.escape(GUEST)} \[{GUEST_MAC}\]", output, re.I), output
    after = counters(guest)
    assert after["sent.arp"] - before["sent.arp"] >= 3


def test_the_guest_pings_the_host(guest):
    for size in 0, 1, 56, 1472:
        assert guest.json(f"ping 10.0.2.2 -c 5 -i 1 -w 10000 -s {size} -j")[-1]["answered"] == 5


@pytest.mark.parametrize("flows, rounds", [(1, 21), (64, 4)])
def test_udp_echo_returns_every_byte_of_every_size(net, guest, flows, rounds):
    before = counters(guest)
    report = check_echo(net, f"--count={rounds * SIZES}", "--size=60-1514", "--window=128",
                        f"--flows={flows}")
    after = counters(guest)
    assert report["echoed"] == rounds * SIZES
    assert after["received.udp"] - before["received.udp"] == rounds * SIZES
    assert after["sent.udp"] - before["sent.udp"] == rounds * SIZES
    check_no_packet_is_lost(guest)


def test_flows_spread_over_the_queues(net, guest, nic):
    before = queues(guest)
    check_echo(net, "--count=4000", "--window=64", "--flows=64", "--hosts=16",
               "--from-ip=10.0.2.64")
    got = [b["received"] - a["received"] for a, b in zip(before, queues(guest))]
    assert sum(got) >= 4000
    assert len(got) == (2 if nic == "e1000e" else 1)
    assert all(number > 100 for number in got)


def test_discard_counts_and_answers_nothing(net, guest):
    before = counters(guest)
    report = net.pktgen("send", "--port=9", "--count=3000", "--rate=5000", "--size=60-1514")
    wait_until(lambda: counters(guest)["drop.udp_discarded"] - before["drop.udp_discarded"] == 3000,
               "the last frame")
    assert (report["sent"], report["received"]) == (3000, 0)
    check_no_packet_is_lost(guest)


def test_a_machine_that_stands_still_loses_no_frame_that_is_counted(net, guest):
    """Three times what a tap device queues are offered meanwhile: the generator waits."""
    before = counters(guest)["drop.udp_discarded"]
    guest.qmp("stop")
    sender = net.pktgen_start("send", "--port=9", "--count=3000", "--seconds=60")
    time.sleep(0.3)
    assert sender.poll() is None
    guest.qmp("cont")
    assert pktgen_end(sender)["refused"] == 0
    wait_until(lambda: counters(guest)["drop.udp_discarded"] - before >= 3000, "the last frame")
    assert counters(guest)["drop.udp_discarded"] - before == 3000


def test_the_guest_floods_and_every_frame_arrives(net, guest):
    listener = net.pktgen_start("receive", "--port=7000", "--count=20000", "--seconds=30")
    row = guest.json("pkt flood 10.0.2.9 --port 7000 --size 200 --count 20000 --seconds 20 -j",
                     60)[-1]
    report = pktgen_end(listener)
    assert row["sent"] == 20000
    assert (report["received"], report["received_bytes"]) == (20000, 20000 * 200)
    check_no_packet_is_lost(guest)


def test_a_sink_reads_stamps_while_it_asks_for_them(net, guest):
    for words in "", "--stamps":
        guest.send(f"pkt sink --port 7001 --seconds 3600 {words} -j\r")
        guest.wait("\r\n")
        net.pktgen("send", "--port=7001", "--count=500", "--rate=1000")
        guest.send("\x03")
        row = json.loads(next(line for line in guest.wait_prompt().splitlines()
                              if line.startswith("{")))
        assert row["received"] > 0
        assert row["stamped"] == (row["received"] if words else 0)
        assert (row["age_p50_ns"] is None) == (words == "")


def test_a_closed_port_is_told_by_icmp(net, guest):
    with net.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(10)
        end.connect((GUEST, 5555))
        end.send(b"anybody?")
        with pytest.raises(ConnectionRefusedError):
            end.recv(100)


def time_answer(end, payload):
    end.send(payload)
    return end.recv(2000)


def test_the_time_service_answers_with_stamps_that_rise(net, guest):
    """Tag of the question, cycles when it came, cycles when the answer left: one after the other,
    over all answers."""
    tags = [number.to_bytes(8, "big") for number in range(20)]
    with net.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.settimeout(10)
        end.connect((GUEST, 37))
        answers = [time_answer(end, tag) for tag in tags]
    assert [answer[:8] for answer in answers] == tags
    stamps = [stamp for answer in answers for stamp in struct.unpack(">QQ", answer[8:24])]
    assert stamps == sorted(stamps) and len(set(stamps[::2])) == 20


def capture_lines(path):
    """One line a frame, as tcpdump reads it with all its checks."""
    lines, text = [], subprocess.run(
        ["tcpdump", "-vv", "-n", "-t", "-r", path], capture_output=True, text=True, check=True,
        timeout=120).stdout
    for line in text.splitlines():
        if line[:1].isspace():
            lines[-1] += line
        else:
            lines.append(line)
    return lines


def wrong_lines(lines):
    return [line for line in lines if re.search(r"\bbad\b|wrong|truncated|invalid|\[\|", line)]


def write_capture(path, frames):
    records = [struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames]
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65536, 1) + b"".join(records))


def test_tcpdump_would_see_a_wrong_checksum(tmp_path):
    good = ethernet(ipv4(udp(b"payload")))
    for bad in (ethernet(ipv4(udp(b"payload", total=7))), ethernet(ipv4(udp(b"payload"), total=7)),
                ethernet(ipv4(udp(b"payload", length=99)))):
        write_capture(tmp_path / "a.pcap", [good, bad])
        lines = capture_lines(tmp_path / "a.pcap")
        assert len(lines) == 2 and wrong_lines(lines) == [lines[1]], lines


def test_every_frame_in_a_capture_is_right(own_net, nic):
    """Both directions, as the card's back end saw them: nobody on the way mended anything."""
    path = LOGS / f"traffic-{nic}.pcap"
    with own_net.machine(f"capture-{nic}", nic, capture=path, more="vnet_hdr=off") as guest:
        guest.wait_prompt()
        wait_for_echo(own_net)
        check_echo(own_net, f"--count={SIZES}", "--size=60-1514", "--window=64", "--from-port=3000")
        assert host_ping(own_net, 20, "-i0.01", "-s1400") >= 20
        assert guest.json("ping 10.0.2.2 -c 20 -i 1 -w 10000 -s 999 -j")[-1]["answered"] == 20
        with own_net.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.settimeout(10)
            end.connect((GUEST, 37))
            time_answer(end, b"what time is it?")
            end.connect((GUEST, 5555))
            end.send(b"closed")
            with pytest.raises(ConnectionRefusedError):
                end.recv(100)
        check_no_packet_is_lost(guest)
        assert guest.exit() == ALL_OK
    lines = capture_lines(path)
    assert wrong_lines(lines) == []
    echoes = [line for line in lines if f"{GUEST}.7 > 10.0.2.9.3000:" in line]
    assert len(echoes) == SIZES and all("[udp sum ok]" in line for line in echoes)
    for kind, least in (("echo request", 40), ("echo reply", 40), ("ARP, .*Reply", 1),
                        ("ARP, .*Request", 1), ("udp port 5555 unreachable", 1)):
        assert sum(re.search(kind, line) is not None for line in lines) >= least, kind


def key(guest, word):
    return guest.json(f"key netstamp_needed {word} -j", 60)[0]


@pytest.mark.parametrize("protocol, rounds", [("int3", 12), ("int3-batch", 3)])
def test_overload_leaves_the_shell_alive_and_flips_exact(net, guest, protocol, rounds):
    """All frames are refused or dropped that are too many; meanwhile a key of the receive path
    flips, with two CPUs busy besides."""
    guest.run(f"protocol {protocol}")
    for row in guest.json("dyncall -j"):  # they would learn, and leave records of their own
        if row["why"] != "hand":
            guest.run(f"dyncall {row['name']} off")
    flood = net.pktgen_start("send", "--port=9", "--seconds=600")
    for cpu in 2, 3:
        guest.run(f"spin {cpu} 1500")
    flips, end = 0, time.monotonic() + 1.5
    while flips < 2 or time.monotonic() < end:
        assert guest.json("ver -j", 60)[0]["cpus"] == 4
        for word in "on", "off":
            poke = key(guest, word)
            assert (poke["rounds"], poke["ipis"]) == (rounds, 3 * rounds), poke
            flips += 1
    flood.send_signal(signal.SIGINT)
    assert pktgen_end(flood)["offered"] > 10000
    pokes = [row for row in guest.json("pokes -n 2 -j") if row["kind"] == "poke"]
    assert [(row["who"], row["protocol"], row["sites"], row["rounds"], row["ipis"])
            for row in pokes] == 2 * [("netstamp_needed", protocol, 4, rounds, 3 * rounds)]
    guest.run("protocol int3-batch")
    check_no_packet_is_lost(guest)
    check_echo(net, "--count=2000", "--window=64")


def test_an_echo_at_overload_is_never_wrong(net, guest):
    before = counters(guest)["sent.udp"]
    flood = net.pktgen_start("echo", "--seconds=600", "--size=60-1514", "--wait=0.3")
    time.sleep(1)
    wait_until(lambda: counters(guest)["sent.udp"] - before > 2000, "2000 answers")
    flood.send_signal(signal.SIGINT)
    report = pktgen_end(flood)
    assert report["wrong"] == 0 and report["echoed"] > 1000
    check_no_packet_is_lost(guest)
    check_echo(net, "--count=2000", "--window=64", "--size=60-1514")
    assert census(guest)["elsewhere"] == 0


@pytest.mark.parametrize("device, interrupt", [
    ("vectors=0", "intx"), ("vectors=1", "msi-x"), ("vectors=2", "msi-x"),
    ("event_idx=off", "msi-x"),
    ("mrg_rxbuf=off", "msi-x"), ("mrg_rxbuf=off,event_idx=off,vectors=0", "intx"),
    ("ctrl_vq=off", "msi-x"), ("rx_queue_size=1024,tx_queue_size=256", "msi-x"),
    ("packed=on", "msi-x"), ("indirect_desc=off", "msi-x"), ("disable-legacy=on", "msi-x"),
    ("host_mtu=1500", "msi-x")])
def test_virtio_with_other_features(own_net, device, interrupt):
    with own_net.machine(f"virtio-{device[:24]}", "virtio", device=device) as guest:
        guest.wait_prompt()
        card, = guest.json("nic -j")
        assert (card["driver"], card["interrupt"]) == ("virtio-net", interrupt)
        if device in ("vectors=1", "vectors=2"):
            assert device_counters(guest)["vectors"] == int(device[-1])
        before = queues(guest)[0]["interrupts"]
        check_echo(own_net, f"--count={SIZES}", "--size=60-1514", "--window=64")
        assert queues(guest)[0]["interrupts"] > before
        check_no_packet_is_lost(guest)
        assert guest.exit() == ALL_OK


def test_virtio_without_version_1_is_refused(own_net):
    with own_net.machine("virtio-legacy", "virtio", device="disable-modern=on,disable-legacy=off") \
            as guest:
        text = guest.wait_prompt()
        card, = guest.json("nic -j")
        assert card["driver"] == "no driver" and "virtio" in text
        assert guest.exit() == ALL_OK


def test_virtio_uses_as_many_queues_as_the_host_offers():
    with Namespace() as net:
        net.add_tap("tap0", "10.0.2.2/24", queues=4)
        with net.machine("virtio-mq", "virtio", more="queues=4", device="mq=on,vectors=10") \
                as guest:
            guest.wait_prompt()
            card, = guest.json("nic -j")
            assert card["queues"] == 4 and sorted(card["cpus"]) == [0, 1, 2, 3]
            check_echo(net, f"--count={4 * SIZES}", "--size=60-1514", "--window=64", "--flows=64")
            got = [row["received"] for row in queues(guest)]
            assert sum(number > 0 for number in got) >= 2, got
            check_no_packet_is_lost(guest)
            assert guest.exit() == ALL_OK


@pytest.mark.parametrize("nic, kind", [*((nic, "stream") for nic in MODELS), ("virtio", "dgram")])
def test_echo_without_privileges(nic, kind, tmp_path):
    """Through QEMU's socket back ends, which any user may have: a stream of lengths and frames, and
    unix datagrams. Nothing is lost there, so nothing may be missing."""
    words = [f"--count={2 * SIZES}", "--size=60-1514", "--window=64", "--wait=10", "-j",
             f"--mac={GUEST_MAC}"]
    own, machine = tmp_path / "own", tmp_path / "machine"
    with socket.create_server(("127.0.0.1", 0)) as server:
        netdev = (f"socket,connect=127.0.0.1:{server.getsockname()[1]}" if kind == "stream" else
                  f"dgram,local.type=unix,local.path={machine},"
                  f"remote.type=unix,remote.path={own}")
        with MonitoredMachine(f"unprivileged-{nic}-{kind}", nic=nic_options(nic, netdev),
                              command_line=STATIC) as guest:
            end = server.accept()[0] if kind == "stream" else server
            guest.wait_prompt()
            link = f"fd:{end.fileno()}" if kind == "stream" else f"dgram:{own}:{machine}"
            with end, subprocess.Popen([PKTGEN, "echo", link, *words], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True,
                                       pass_fds=[end.fileno()]) as generator:
                report = pktgen_end(generator)
                assert (report["echoed"], report["lost"], report["wrong"]) == (2 * SIZES, 0, 0)
                check_no_packet_is_lost(guest)
                assert guest.exit() == ALL_OK


def test_helpers_agree_with_the_rfc():
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF ^ 0xDDF2  # RFC 1071, section 3
    assert PEER != GUEST
