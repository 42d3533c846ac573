# SPDX-License-Identifier: MIT
"""The other end of a livetext machine's network: a network namespace with tap devices, the host's
tools and the packet generator inside, and QEMU's monitor.

    with Namespace() as net:
        net.add_tap("tap0", "10.0.2.2/24")
        with net.machine("ping", "virtio") as guest:
            guest.wait_prompt()
            net.run("ping", "-c", "1", "10.0.2.15")

Invariant: the namespace lives as long as a child that ends with this process, so nothing is left
behind whatever happens, and nothing of the host's own network is touched. Where privileges do not
allow it, entering the block skips the test with the reason.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

import pytest

from frames import GUEST_MAC
from machine import BUILD, ROOT, Machine, revived

MODELS = {"virtio": "virtio-net-pci", "e1000": "e1000", "e1000e": "e1000e"}
# Whatever is logged between two commands redraws the prompt; what these tests wait for they ask.
QUIET = "loglevel=error"
STATIC = f"{QUIET} ip=10.0.2.15/24 gw=10.0.2.2"
PKTGEN = BUILD / "tools/pktgen"
# Opens a socket where it runs and hands it over: sockets stay in the namespace they were made in.
SOCKET_MAKER = """
import socket, sys
made = socket.socket(*map(int, sys.argv[2:]))
socket.send_fds(socket.socket(fileno=int(sys.argv[1])), [b"x"], [made.fileno()])
"""


def nic_options(nic, netdev="user", number=0, device="", capture=None):
    """Returns QEMU's options for one card; @device: more properties; @capture: a file's path."""
    mac = GUEST_MAC[:-2] + f"{0x56 + number:02x}"
    options = ["-netdev", f"{netdev},id=net{number}", "-device",
               f"{MODELS.get(nic, nic)},netdev=net{number},mac={mac}{device and ','}{device}"]
    if capture:
        options += ["-object", f"filter-dump,id=dump{number},netdev=net{number},file={capture}"]
    return options


def tap_netdev(name="tap0", more=""):
    return f"tap,ifname={name},script=no,downscript=no{more and ','}{more}"


def build_pktgen():
    subprocess.run(["make", "-s", "-C", ROOT, f"BUILD={BUILD}", PKTGEN], check=True)


class Namespace:
    def __init__(self):
        self.holder, self.prefix = None, []

    def hold(self, user):
        """Starts the child that keeps the namespace; returns why it cannot, or None."""
        self.holder = subprocess.Popen(
            ["unshare", *user, "--net", "sh", "-c", "echo ready; exec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() == "ready\n":
            enter = ["--user", "--preserve-credentials"] if user else []
            self.prefix = ["nsenter", f"--target={self.holder.pid}", *enter, "--net", "--"]
            return None
        return self.holder.communicate()[1].strip() or "unshare ended"

    def __enter__(self):
        why = self.hold([])
        if why:
            why = self.hold(["--user", "--map-root-user"])
        if why:
            pytest.skip(f"no network namespace of our own: {why}")
        try:
            self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6",
                     check=False)
            self.run("ip", "link", "set", "lo", "up")
            self.add_tap("probe", None)
        except BaseException:
            self.__exit__()
            raise
        self.run("ip", "link", "del", "probe")
        return self

    def __exit__(self, *_):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()
        self.holder.stderr.close()

    def run(self, *words, check=True, timeout=60):
        """Runs a program inside; returns what it did, output as text."""
        result = subprocess.run([*self.prefix, *map(str, words)], capture_output=True, text=True,
                                timeout=timeout, check=False, stdin=subprocess.DEVNULL)
        assert not check or result.returncode == 0, result
        return result

    def start(self, *words):
        return subprocess.Popen([*self.prefix, *map(str, words)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)

    def add_tap(self, name, address, queues=1):
        many = ["multi_queue"] if queues > 1 else []
        made = self.run("ip", "tuntap", "add", "dev", name, "mode", "tap", *many, check=False)
        if made.returncode:
            pytest.skip(f"no tap device: {made.stderr.strip()}")
        if address:
            self.run("ip", "address", "add", address, "dev", name)
        self.run("ip", "link", "set", name, "txqueuelen", "1000", "up")

    def tap_counters(self, name="tap0"):
        """What the host counts: tx is towards the machine."""
        row = json.loads(self.run("ip", "-json", "-s", "link", "show", name).stdout)[0]["stats64"]
        return {f"{way}_{what}": row[way][what] for way in ("rx", "tx")
                for what in ("packets", "dropped")}

    def socket(self, family, kind, protocol=0):
        """Returns a socket of this namespace."""
        here, there = socket.socketpair()
        with here, there:
            subprocess.run([*self.prefix, sys.executable, "-c", SOCKET_MAKER, str(there.fileno()),
                            *(str(int(n)) for n in (family, kind, protocol))],
                           pass_fds=[there.fileno()], check=True, timeout=30)
            descriptor = socket.recv_fds(here, 1, 1)[1][0]
        return socket.socket(fileno=descriptor)

    def wire(self, name="tap0"):
        """Returns a socket that sends and receives whole frames, of whatever form."""
        wire = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind((name, 3))
        wire.setsockopt(263, 23, 1)  # SOL_PACKET, PACKET_IGNORE_OUTGOING
        wire.settimeout(5)
        return wire

    def pktgen_start(self, mode, *words, tap="tap0", mac=GUEST_MAC, core=None):
        pinned = [] if core is None else ["taskset", "-c", core]
        return self.start(*pinned, PKTGEN, mode, f"tap:{tap}", f"--mac={mac}", *words, "-j")

    def pktgen(self, mode, *words, timeout=300, **options):
        """Runs it to its end. Where frames are counted, patience with a slow host costs nothing:
        a run ends with its last frame, or that one's answer."""
        given = {word.partition("=")[0] for word in words}
        if "--count" in given:
            patience = {"--seconds": 60, "--wait": 10}
            words += tuple(f"{name}={value}" for name, value in patience.items()
                           if name not in given)
        return pktgen_end(self.pktgen_start(mode, *words, **options), timeout)

    def machine(self, name, nic, command_line=STATIC, tap="tap0", more="", device="",
                capture=None, **options):
        """A machine with one card on a tap device; its monitor is machine.qmp()."""
        cards = nic_options(nic, tap_netdev(tap, more), device=device, capture=capture)
        return MonitoredMachine(name, command_line=command_line, nic=cards, prefix=self.prefix,
                                **options)


def shared_machine(net, name, nic):
    """A machine with this card on tap0 that tests share (machine.revived), and that answers."""
    def ready(machine):
        machine.wait_prompt()
        wait_for_echo(net)

    return revived(lambda number: net.machine(f"{name}-{nic}-{number}", nic), ready)


def pktgen_end(process, timeout=300):
    """Waits for a generator; returns its report. Status 1 with one says that bytes were wrong."""
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode in (0, 1) and output, (process.returncode, output, errors)
    return json.loads(output)


class MonitoredMachine(Machine):
    """A machine with QEMU's monitor, spoken to in QMP."""

    def __init__(self, name, extra=(), **options):
        self.path = pathlib.Path(tempfile.gettempdir()) / f"livetext-{os.getpid()}-{id(self):x}.qmp"
        super().__init__(name, extra=[*extra, "-qmp", f"unix:{self.path},server=on,wait=off"],
                         **options)

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self.path.unlink(missing_ok=True)

    def qmp(self, command, **arguments):
        """Runs one command; returns its result."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.settimeout(30)
            monitor.connect(str(self.path))
            with monitor.makefile("rw", encoding="utf-8") as lines:
                lines.readline()
                for request in ({"execute": "qmp_capabilities"},
                                {"execute": command, "arguments": arguments}):
                    lines.write(json.dumps(request) + "\n")
                    lines.flush()
                    answer = json.loads(lines.readline())
                    while "event" in answer:
                        answer = json.loads(lines.readline())
                    assert "return" in answer, (command, arguments, answer)
        return answer["return"]


def counters(guest):
    """Returns what became of the frames, by name."""
    return {row["counter"]: row["value"] for row in guest.json("net counters -j")}


def queues(guest, name="nic0"):
    return [row for row in guest.json(f"nic stats {name} -j") if row["kind"] == "nic.queue"]


def device_counters(guest, name="nic0"):
    return {row["counter"]: row["value"] for row in guest.json(f"nic stats {name} -j")
            if row["kind"] == "nic.counter"}


def census(guest, name="nic0"):
    return next(row for row in guest.json(f"nic stats {name} -j") if row["kind"] == "nic.packets")


def wait_until(question, what, timeout=20):
    """Asks until the answer is true; returns it."""
    end = time.monotonic() + timeout
    while not (answer := question()):
        assert time.monotonic() < end, f"{what} did not come within {timeout} s"
        time.sleep(0.05)
    return answer


def wait_for_link(guest, state="up"):
    wait_until(lambda: guest.json("nic -j")[0]["link"] == state, f"link {state}")


def wait_for_echo(net):
    """QEMU's e1000 hands over nothing for a second after its receiver was turned on."""
    wait_until(lambda: net.pktgen("echo", "--count=1", "--wait=0.1")["echoed"] == 1, "an echo")


def check_no_packet_is_lost(guest, name="nic0"):
    """At rest every packet of the pool is free or in a ring."""
    row = wait_until(lambda: (rest := census(guest, name))["elsewhere"] == 0 and rest,
                     "elsewhere 0")
    assert row["free"] + row["receive_rings"] + row["transmit_rings"] == row["total"], row
    return row
