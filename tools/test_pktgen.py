# SPDX-License-Identifier: MIT
"""Tests of the packet generator without a machine: it talks to itself, and to echoes written here
that lose, damage, repeat and delay on purpose. Run by make test."""

import json
import os
import pathlib
import resource
import socket
import struct
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
PKTGEN = BUILD / "tools/pktgen"
MAC, OWN_MAC = bytes.fromhex("020000000005"), bytes.fromhex("020000000009")
TO_MAC = "--mac=02:00:00:00:00:05"


@pytest.fixture(scope="module", autouse=True)
def built():
    subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={BUILD}", PKTGEN], check=True)


def pktgen(*words, status=0, **options):
    """Runs the generator; returns its JSON object."""
    result = subprocess.run([PKTGEN, *map(str, words), "-j"], capture_output=True, text=True,
                            timeout=60, **options)
    assert result.returncode == status, result
    assert result.stdout.count("\n") == 1
    report = json.loads(result.stdout)
    assert report["kind"] == "pktgen"
    assert report["offered"] == report["sent"] + report["refused"] or report["mode"] == "reflect"
    return report


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def check_frame(frame):
    """An independent look at a frame of the generator: headers, lengths, checksums."""
    assert frame[:12] == MAC + OWN_MAC and frame[12:14] == b"\x08\0"
    ip, udp = frame[14:34], frame[34:]
    assert checksum(ip) == 0
    assert int.from_bytes(ip[2:4], "big") == len(frame) - 14
    assert int.from_bytes(udp[4:6], "big") == len(udp)
    assert checksum(ip[12:20] + struct.pack(">HH", 17, len(udp)) + udp) == 0


def answer_to(frame):
    """The frame sent back as an echo service does."""
    return (frame[6:12] + frame[:6] + frame[12:26] + frame[30:34] + frame[26:30] + frame[36:38]
            + frame[34:36] + frame[38:])


class Peer(threading.Thread):
    """The machine's side of a link, in Python: @judge(frame) gives the frames to answer with."""

    def __init__(self, receive, send, judge):
        super().__init__(daemon=True)
        self.receive, self.send_frame, self.judge = receive, send, judge
        self.frames = []

    def run(self):
        try:
            while frame := self.receive():
                self.frames.append(frame)
                for answer in self.judge(frame):
                    self.send_frame(answer)
        except OSError:
            pass


@pytest.fixture
def datagrams(tmp_path):
    """Returns a function that runs the generator over unix datagrams against an echo."""
    machine, own = str(tmp_path / "machine"), str(tmp_path / "own")
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(machine)

    def run(mode, *words, judge=lambda frame: [answer_to(frame)], status=0):
        peer = Peer(lambda: end.recv(65536), lambda frame: end.sendto(frame, own), judge)
        peer.start()
        report = pktgen(mode, f"dgram:{own}:{machine}", *words, status=status)
        assert not os.path.exists(own)
        return report, peer.frames

    yield run
    end.shutdown(socket.SHUT_RDWR)
    end.close()


def receive_exactly(end, length):
    data = b""
    while len(data) < length:
        part = end.recv(length - len(data))
        if not part:
            return b""
        data += part
    return data


@pytest.fixture
def stream():
    """Returns a function that runs the generator over a stream of lengths and frames."""
    end, other = socket.socketpair()

    def receive():
        head = receive_exactly(end, 4)
        return receive_exactly(end, int.from_bytes(head, "big")) if head else b""

    def send(frame):
        data = len(frame).to_bytes(4, "big") + frame
        for at in range(0, len(data), 700):  # never a frame at once
            end.sendall(data[at:at + 700])

    def run(mode, *words, judge=lambda frame: [answer_to(frame)], status=0):
        peer = Peer(receive, send, judge)
        peer.start()
        report = pktgen(mode, f"fd:{other.fileno()}", *words, status=status,
                        pass_fds=[other.fileno()])
        return report, peer.frames

    run.end = end
    yield run
    end.shutdown(socket.SHUT_RDWR)
    end.close()
    other.close()


@pytest.fixture(params=["datagrams", "stream"])
def link(request):
    return request.getfixturevalue(request.param)


def test_every_size_goes_out_right_and_comes_back_equal(link):
    report, frames = link("echo", TO_MAC, "--count=2000", "--size=60-1514", "--window=16")
    assert [len(frame) for frame in frames[:1456]] == [*range(60, 1515), 60]
    for frame in frames:
        check_frame(frame)
    assert len({frame[42:50] for frame in frames}) == 2000
    assert (report["sent"], report["echoed"], report["lost"], report["wrong"]) == (2000, 2000, 0, 0)
    assert report["received_bytes"] == sum(map(len, frames))
    assert 0 < report["latency_min_ns"] <= report["latency_p50_ns"] <= report["latency_p99_ns"] \
        <= report["latency_max_ns"]


def test_lost_frames_are_counted(link):
    report, _ = link("echo", TO_MAC, "--count=300", "--wait=1", "--rate=5000",
                     judge=lambda f: [answer_to(f)] if f[49] % 3 else [])
    lost = sum(1 for i in range(300) if (i & 255) % 3 == 0)
    assert (report["echoed"], report["lost"], report["wrong"]) == (300 - lost, lost, 0)


def test_a_window_goes_on_after_a_loss(link):
    report, frames = link("echo", TO_MAC, "--count=40", "--wait=0.5", "--window=4",
                          judge=lambda f: [answer_to(f)] if f[49] != 7 else [])
    assert (len(frames), report["echoed"], report["lost"]) == (40, 39, 1)


@pytest.mark.parametrize("at", [0, 15, 17, 25, 38, 39, 40, 41, 49, 50, 99])
def test_one_wrong_bit_is_noticed_wherever_it_is(link, at):
    def judge(frame):
        answer = bytearray(answer_to(frame))
        if frame[49] == 5:
            answer[at] ^= 0x10
        return [bytes(answer)]

    report, _ = link("echo", TO_MAC, "--count=10", "--size=100", "--wait=5", "--window=1",
                     judge=judge, status=1)
    assert (report["echoed"], report["wrong"], report["lost"]) == (9, 1, 0)


@pytest.mark.parametrize("change", [lambda a: a[:-1], lambda a: a + b"\0", lambda a: a[:50]])
def test_a_wrong_length_is_noticed(link, change):
    report, _ = link("echo", TO_MAC, "--count=5", "--size=100", "--wait=5", status=1,
                     judge=lambda f: [change(answer_to(f))])
    assert (report["echoed"], report["wrong"]) == (0, 5)


def test_an_answer_to_another_frame_is_wrong(link):
    """The payload of frame 3 under the number of frame 4, checksum mended by leaving it out."""
    kept = {}

    def judge(frame):
        answer = bytearray(answer_to(frame))
        kept[frame[49]] = answer[50:]
        if frame[49] == 4:
            answer[40:42] = b"\0\0"
            answer[50:] = kept[3]
        return [bytes(answer)]

    report, _ = link("echo", TO_MAC, "--count=8", "--size=100", "--window=1", "--wait=5",
                     judge=judge, status=1)
    assert (report["echoed"], report["wrong"]) == (7, 1)


def test_repeated_answers_and_foreign_frames_are_told_apart(link):
    junk = [b"x" * 9, OWN_MAC + MAC + b"\x86\xdd" + b"y" * 60, OWN_MAC + MAC + b"\x08\x06short"]
    report, _ = link("echo", TO_MAC, "--count=20", "--window=1",
                     judge=lambda f: [*junk, answer_to(f), answer_to(f)])
    assert (report["echoed"], report["wrong"]) == (20, 0)
    assert report["repeated"] in (19, 20)  # the run may end before the last one
    assert report["other"] == 60


def arp(operation, sender_mac, sender, target):
    return ((b"\xff" * 6 if operation == 1 else OWN_MAC) + sender_mac + b"\x08\x06"
            + struct.pack(">HHBBH", 1, 0x800, 6, 4, operation) + sender_mac
            + bytes(map(int, sender.split("."))) + b"\0" * 6
            + bytes(map(int, target.split("."))) + b"\0" * 18)


def test_the_machine_is_found_by_arp_and_its_questions_are_answered(link):
    def judge(frame):
        if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\1":
            assert frame == arp(1, OWN_MAC, "10.0.2.9", "10.0.2.77")
            return [arp(2, MAC, "10.0.2.77", "10.0.2.9")]
        if frame[12:14] == b"\x08\x06":
            return []
        return [arp(1, MAC, "10.0.2.77", "10.0.2.9"), arp(1, MAC, "10.0.2.77", "10.0.2.8"),
                answer_to(frame)]

    report, frames = link("echo", "--ip=10.0.2.77", "--count=3", "--window=1", judge=judge)
    assert (report["echoed"], report["arp_answered"], report["other"]) == (3, 3, 3)
    answers = [frame for frame in frames if frame[20:22] == b"\0\2" and frame[13] == 6]
    assert answers[0][:42] == MAC + arp(2, OWN_MAC, "10.0.2.9", "10.0.2.77")[6:32] + MAC \
        + bytes([10, 0, 2, 77])


def test_a_machine_that_is_not_there_is_said(datagrams, tmp_path):
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.bind(str(tmp_path / "silent"))
    result = subprocess.run([PKTGEN, "send", f"dgram:{tmp_path}/a:{tmp_path}/silent"],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 1 and "nobody answers ARP" in result.stderr


def test_a_paced_sender_keeps_its_rate_and_sleeps(datagrams):
    """Never faster than told; a process that was stopped for a while catches up in bursts, so that
    it slept is counted leniently, and tried again."""
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw
        report, _ = datagrams("send", TO_MAC, "--rate=1000", "--count=500", judge=lambda f: [])
        sleeps = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw - before
        assert report["sent"] == 500 and report["seconds"] >= 0.498
        if sleeps >= 100:
            break
    assert sleeps >= 100, "a busy sender gives its CPU away a few times only"


def test_seconds_end_a_run_that_has_no_count(datagrams):
    started = time.monotonic()
    report, _ = datagrams("send", TO_MAC, "--seconds=0.2", judge=lambda f: [])
    assert report["sent"] > 0 and report["seconds"] >= 0.2 and time.monotonic() - started < 20


def test_flows_go_round_the_ports(datagrams):
    report, frames = datagrams("echo", TO_MAC, "--flows=4", "--from-port=3000", "--count=8",
                               "--window=8")
    ports = [int.from_bytes(frame[34:36], "big") for frame in frames]
    assert ports == [3000, 3001, 3002, 3003] * 2 and report["echoed"] == 8


def test_hosts_take_turns_and_each_answers_arp(datagrams):
    def judge(frame):
        if frame[12:14] == b"\x08\x06":
            return []
        return [arp(1, MAC, "10.0.2.15", f"10.0.2.{host}") for host in (8, 9, 11, 12)] \
            + [answer_to(frame)]

    report, frames = datagrams("echo", TO_MAC, "--hosts=3", "--count=6", "--window=1",
                               judge=judge)
    sent = [frame for frame in frames if frame[12:14] == b"\x08\0"]
    assert [frame[29] for frame in sent] == [9, 10, 11, 9, 10, 11]
    assert {frame[31] for frame in frames if frame[13] == 6} == {9, 11}
    assert (report["echoed"], report["arp_answered"], report["other"]) == (6, 12, 12)


def test_hosts_may_end_right_below_the_machine(datagrams):
    report, frames = datagrams("send", TO_MAC, "--hosts=6", "--count=6", judge=lambda f: [])
    end = time.monotonic() + 10
    while len(frames) < 6 and time.monotonic() < end:  # its thread may be behind
        time.sleep(0.01)
    assert (report["sent"], [frame[29] for frame in frames]) == (6, [9, 10, 11, 12, 13, 14])


def test_it_reflects_and_counts_what_itself_sends():
    a, b = socket.socketpair()
    there = subprocess.Popen([PKTGEN, "reflect", f"fd:{b.fileno()}", "--count=20000",
                              "--from-ip=10.0.2.15", "--from-mac=02:00:00:00:00:05", "-j"],
                             pass_fds=[b.fileno()], stdout=subprocess.PIPE, text=True)
    report = pktgen("echo", f"fd:{a.fileno()}", "--count=20000", "--window=256", "--size=60-1514",
                    pass_fds=[a.fileno()])
    reflected = json.loads(there.communicate(timeout=30)[0])
    assert (report["echoed"], report["lost"], report["wrong"]) == (20000, 0, 0)
    assert reflected["received"] == reflected["sent"] == 20000
    assert reflected["arp_answered"] == 1
    assert reflected["received_bytes"] == report["received_bytes"]


def test_receive_counts_frames_and_bytes(stream):
    frames = [answer_to(MAC + OWN_MAC + b"\x08\0\x45" + b"\0" * 8 + b"\x11" + b"z" * length)
              for length in range(100)]

    def feed():
        time.sleep(0.3)
        for frame in frames:
            stream.end.sendall(len(frame).to_bytes(4, "big") + frame)

    threading.Thread(target=feed).start()
    report, _ = stream("receive", "--count=82", "--seconds=20")
    whole = [frame for frame in frames if len(frame) >= 42]
    assert (report["received"], report["received_bytes"], report["other"]) \
        == (len(whole), sum(map(len, whole)), len(frames) - len(whole))


def test_a_stream_that_lies_about_lengths_ends_the_run(stream):
    stream.end.sendall(b"\x7f\xff\xff\xff")
    result, _ = stream("receive", "--seconds=20", status=1)
    assert result["received"] == 0 and result["seconds"] < 20


def test_a_peer_that_ends_ends_the_run(tmp_path):
    a, b = socket.socketpair()
    child = subprocess.Popen([PKTGEN, "receive", f"fd:{b.fileno()}", "--seconds=20"],
                             pass_fds=[b.fileno()], stderr=subprocess.PIPE, text=True,
                             stdout=subprocess.DEVNULL)
    b.close()
    a.close()
    assert "is gone" in child.communicate(timeout=15)[1] and child.returncode == 1


@pytest.mark.parametrize("words, named", [
    (["shout", "fd:0"], "'shout'"),
    (["echo", "carrier:pigeon"], "'carrier:pigeon'"),
    (["echo", "tap:nosuchif0"], "'nosuchif0'"),
    (["echo", "dgram:/tmp/x"], "'/tmp/x'"),
    (["echo", "dgram:/tmp/pktgen-a:/tmp/pktgen-none"], "'/tmp/pktgen-none'"),
    (["echo", f"dgram:/tmp/{'x' * 200}:/tmp/y"], "x" * 200),
    (["echo", "fd:999"], "'999'"),
    (["echo", "fd:2x"], "'2x'"),
    (["echo", "fd:0", "more"], "'more'"),
    (["echo", "fd:0", "--colour=red"], "--colour=red"),
    (["echo", "fd:0", "--ip=10.0.2"], "--ip=10.0.2 "),
    (["echo", "fd:0", "--ip=10.0.2.256"], "--ip=10.0.2.256"),
    (["echo", "fd:0", "--mac=52:54:00:12:34"], "--mac=52:54:00:12:34 "),
    (["echo", "fd:0", "--mac=52:54:00:12:34:5g"], "5g"),
    (["echo", "fd:0", "--port=0"], "--port=0"),
    (["echo", "fd:0", "--port=65536"], "--port=65536"),
    (["echo", "fd:0", "--size=59"], "--size=59"),
    (["echo", "fd:0", "--size=60-1515"], "1515"),
    (["echo", "fd:0", "--size=200-100"], "100"),
    (["echo", "fd:0", "--size=-"], "--size="),
    (["echo", "fd:0", "--count=0"], "--count=0"),
    (["echo", "fd:0", "--count=1e3"], "1e3"),
    (["echo", "fd:0", "--count=99999999999999999999"], "99999999999999999999"),
    (["echo", "fd:0", "--rate=-1"], "--rate=-1"),
    (["echo", "fd:0", "--seconds=0"], "--seconds=0"),
    (["echo", "fd:0", "--seconds=nan"], "--seconds=nan"),
    (["echo", "fd:0", "--wait=90000"], "--wait=90000"),
    (["send", "fd:0", "--window=4"], "--window"),
    (["echo", "fd:0", "--flows=4096", "--from-port=65000"], "--flows=4096"),
    (["echo", "fd:0", "--hosts=0"], "--hosts=0"),
    (["echo", "fd:0", "--hosts=255"], "--hosts=255"),
    (["echo", "fd:0", "--hosts=7"], "--hosts=7 from 10.0.2.9: 10.0.2.15 is the machine itself"),
    (["echo", "fd:0", "--hosts=2", "--ip=10.0.2.9"], "10.0.2.9 is the machine itself"),
    (["echo", "fd:0", "--hosts=3", "--from-ip=10.0.2.253"], "10.0.2.255 is no host's address"),
    (["echo", "fd:0", "--hosts=2", "--from-ip=10.0.3.0"], "10.0.3.0 is no host's address"),
    (["echo", "fd:0", "--count"], "--count"),
])
def test_a_wrong_word_is_named_and_nothing_starts(words, named):
    result = subprocess.run([PKTGEN, *words], capture_output=True, text=True, timeout=10,
                            stdin=subprocess.DEVNULL)
    assert result.returncode == 2, result
    assert named in result.stderr and result.stderr.startswith("pktgen: ")
    assert result.stdout == ""


def test_help_and_missing_words():
    assert subprocess.run([PKTGEN, "--help"], capture_output=True, check=True).stdout
    assert subprocess.run([PKTGEN, "echo"], capture_output=True, check=False).returncode == 2
