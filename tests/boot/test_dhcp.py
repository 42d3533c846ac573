# SPDX-License-Identifier: MIT
"""DHCP against a server of the test's own: what is asked, answers that are wrong, and the end of a
lease that nobody renews.

The server stands at the other end of a datagram socket and is the only other station. What comes
when is left to tests/host/net_dhcp_client.c, which turns the clock; here only the order counts.
Would miss: faults of cards other than virtio, which test_net.py asks through QEMU's own server.
"""

import socket
import struct

import pytest

from frames import (ARP, BROADCAST_MAC, GUEST, GUEST_MAC, IPV4, PEER_MAC, arp, ethernet, ipv4,
                    mac_bytes, udp)
from machine import ALL_OK, Machine, icount
from netpeer import MonitoredMachine, counters, nic_options, wait_until

SERVER, ROUTER, EVERYBODY, NOBODY = "10.0.2.77", "10.0.2.2", "255.255.255.255", "0.0.0.0"
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
MASK, ROUTERS, WANTED, LEASE, TYPE, SERVER_ID, RENEW, REBIND = 1, 3, 50, 51, 53, 54, 58, 59
COOKIE = bytes.fromhex("63825363")


class Question:
    """A frame of the machine's that is to a DHCP server, taken apart."""

    def __init__(self, frame):
        message = frame[42:]
        self.to_mac, self.to = frame[:6], socket.inet_ntoa(frame[30:34])
        self.transaction, = struct.unpack(">I", message[4:8])
        self.own = socket.inet_ntoa(message[12:16])
        assert message[28:34] == mac_bytes(GUEST_MAC) and message[236:240] == COOKIE
        self.options, rest = {}, message[240:]
        while rest[0] != 255:
            self.options[rest[0]] = rest[2:2 + rest[1]]
            rest = rest[2 + rest[1]:]
        self.type, = self.options[TYPE]


class Server:
    """The other end of the wire; answers ARP for itself, and DHCP as the test says."""

    def __init__(self, directory):
        self.here, self.there = directory / "server", directory / "machine"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.here))
        self.socket.settimeout(60)
        self.seen = set()  # (type, transaction): a slow host's machine asks twice

    def netdev(self):
        return (f"dgram,local.type=unix,local.path={self.there},"
                f"remote.type=unix,remote.path={self.here}")

    def send(self, frame):
        self.socket.sendto(frame, str(self.there))

    def question(self, kind):
        """Waits for the next question, which must be of this kind, or one asked again."""
        while True:
            frame = self.socket.recv(2048)
            if frame[12:14] == struct.pack(">H", ARP):
                if frame[38:42] == socket.inet_aton(SERVER):
                    self.send(ethernet(arp(2, sender=SERVER, target_mac=GUEST_MAC), ARP))
            elif frame[12:14] == struct.pack(">H", IPV4) and frame[36:38] == struct.pack(">H", 67):
                question = Question(frame)
                name = question.type, question.transaction
                if question.type == kind:
                    self.seen.add(name)
                    return question
                assert name in self.seen, (question.type, kind)

    def answer(self, question, kind, lease=3600, times=None, to=EVERYBODY, mac=GUEST_MAC,
               cookie=COOKIE, transaction=None, options=None, address=GUEST, server=SERVER,
               router=ROUTER):
        """@times: seconds until it is to be renewed, and asked for of anyone."""
        transaction = question.transaction if transaction is None else transaction
        message = struct.pack(">BBBBIHH4s4s4s4s", 2, 1, 6, 0, transaction, 0, 0,
                              bytes(4), socket.inet_aton(address), bytes(4), bytes(4))
        message += mac_bytes(mac).ljust(16, b"\0") + bytes(192) + cookie
        if options is None:
            options = {MASK: socket.inet_aton("255.255.255.0"), LEASE: struct.pack(">I", lease),
                       ROUTERS: socket.inet_aton(router), SERVER_ID: socket.inet_aton(server)}
            options |= dict(zip((RENEW, REBIND), (struct.pack(">I", time) for time in times or ())))
        for option, value in {TYPE: bytes([kind]), **options}.items():
            message += bytes([option, len(value)]) + value
        datagram = udp(message + b"\xff", 68, 67, to=to, source=SERVER)
        to_mac = BROADCAST_MAC if to == EVERYBODY else GUEST_MAC
        self.send(ethernet(ipv4(datagram, to=to, source=SERVER), to=to_mac, source=PEER_MAC))

    def lease(self, **options):
        """The whole exchange, from the discovery on."""
        self.answer(self.question(DISCOVER), OFFER, **options)
        request = self.question(REQUEST)
        assert request.options[WANTED] == socket.inet_aton(GUEST)
        assert request.options[SERVER_ID] == socket.inet_aton(SERVER)
        assert (request.own, request.to) == (NOBODY, EVERYBODY)
        self.answer(request, ACK, **options)


@pytest.fixture(name="server")
def _server(tmp_path):
    server = Server(tmp_path)
    yield server
    server.socket.close()


def start(name, server, machine=Machine, words="loglevel=error"):
    return machine(f"dhcp-{name}", cpus=2, command_line=words,
                   nic=nic_options("virtio", server.netdev()))


def row(guest):
    return guest.json("net -j")[0]


def wait_for(guest, state):
    return wait_until(lambda: (now := row(guest))["dhcp"] == state and now, state, 60)


def test_a_lease_ends_when_nobody_renews_it(server):
    """Asked for again at its server, then of anyone; then the address is gone. Seconds lie between
    what is due, for a host that takes the machine away."""
    with start("lease", server) as guest:
        guest.wait_prompt()
        server.lease(lease=3600, times=(1, 3000))
        assert wait_for(guest, "bound")["address"] == f"{GUEST}/24"
        renewal = server.question(REQUEST)
        assert (renewal.own, renewal.to, renewal.to_mac) == (GUEST, SERVER, mac_bytes(PEER_MAC))
        assert WANTED not in renewal.options and SERVER_ID not in renewal.options
        server.answer(renewal, ACK, lease=10, times=(1, 5), to=GUEST)
        assert server.question(REQUEST).to == SERVER
        rebinding = server.question(REQUEST)
        assert (rebinding.own, rebinding.to) == (GUEST, EVERYBODY)
        discovery = server.question(DISCOVER)
        assert discovery.own == NOBODY
        state = row(guest)
        assert (state["address"], state["source"], state["gateway"]) == (None, "none", None)
        server.answer(discovery, OFFER)
        server.answer(server.question(REQUEST), ACK)
        assert wait_for(guest, "bound")["address"] == f"{GUEST}/24"
        assert guest.exit() == ALL_OK


@pytest.mark.parametrize("wish, gateways", [("10.0.2.9", ["10.0.2.9", "10.0.2.9"]),
                                            ("10.0.3.9", [ROUTER, "10.0.2.3"])])
def test_the_gateway_of_the_command_line_waits_for_its_net(server, wish, gateways):
    """It is used as soon as the lease's net holds it, whatever the server says; one that no net
    holds is named, and the server's router is used, also when a renewal changes it."""
    with start("gateway", server, words=f"loglevel=error gw={wish}") as guest:
        guest.wait_prompt()
        assert row(guest)["gateway"] is None
        assert "gw='" not in guest.run("log")  # not refused before there is an address
        server.lease(lease=100, times=(1, 90))
        assert wait_for(guest, "bound")["gateway"] == gateways[0]
        server.answer(server.question(REQUEST), ACK, to=GUEST, router="10.0.2.3")
        wait_until(lambda: (row(guest)["lease_s"] or 0) > 100, "the renewal", 60)
        assert row(guest)["gateway"] == gateways[1]
        refusal = f"gw='{wish}': it lies in the net of no device, even with the address of nic0"
        assert (refusal in guest.run("log")) == (wish != gateways[0])
        assert guest.exit() == ALL_OK


def test_a_refusal_begins_anew(server):
    with start("refusal", server) as guest:
        guest.wait_prompt()
        server.answer(server.question(DISCOVER), OFFER)
        server.answer(server.question(REQUEST), NAK, options={SERVER_ID: socket.inet_aton(SERVER)})
        server.lease()
        assert wait_for(guest, "bound")["address"] == f"{GUEST}/24"
        assert guest.exit() == ALL_OK


def test_wrong_answers_give_no_address(server):
    """Malformed ones are counted; incomplete or foreign ones are as if they had not come."""
    with start("wrong", server) as guest:
        guest.wait_prompt()
        question = server.question(DISCOVER)
        malformed = [{"mac": PEER_MAC}, {"cookie": b"BOOT"}, {"options": {MASK: b"\xff"}},
                     {"options": {LEASE: b""}}, {"options": {ROUTERS: b"12345"}}]
        for wrong in malformed:
            server.answer(question, OFFER, **wrong)
        server.answer(question, 77)
        wait_until(lambda: counters(guest)["drop.dhcp_malformed"] == len(malformed) + 1,
                   "a count of each malformed answer")
        server.answer(question, OFFER, transaction=question.transaction ^ 1)
        server.answer(question, OFFER, options={MASK: bytes(4)})
        server.answer(question, ACK)
        assert row(guest)["address"] is None
        server.answer(server.question(DISCOVER), OFFER)
        request = server.question(REQUEST)
        for kind in (NAK, ACK):  # of a server that was not chosen
            server.answer(request, kind, address="10.0.2.99", server="10.0.2.78")
        server.answer(request, ACK)
        assert wait_for(guest, "bound")["address"] == f"{GUEST}/24"
        assert guest.exit() == ALL_OK


def move_link(guest):
    for up in (False, True):
        guest.qmp("set_link", name="net0", up=up)
        wait_until(lambda: guest.json("nic -j")[0]["link"] == ("up" if up else "down"), up)


def test_a_link_that_returns_asks_everybody_whether_the_lease_holds(server):
    """Yes, by a server other than the old one; no, by one of another net."""
    with start("link", server, MonitoredMachine) as guest:
        guest.wait_prompt()
        server.lease(lease=86400)
        wait_for(guest, "bound")
        move_link(guest)
        check = server.question(REQUEST)
        assert (check.own, check.to, check.options[WANTED]) == (NOBODY, EVERYBODY,
                                                                socket.inet_aton(GUEST))
        assert SERVER_ID not in check.options
        assert row(guest)["address"] == f"{GUEST}/24"
        server.answer(check, ACK, lease=7200, server="10.0.2.78")
        assert wait_for(guest, "bound")["lease_s"] <= 7200
        move_link(guest)
        server.answer(server.question(REQUEST), NAK, server="10.0.3.1")
        discovery = server.question(DISCOVER)
        assert row(guest)["address"] is None
        server.answer(discovery, OFFER)
        server.answer(server.question(REQUEST), ACK)
        assert wait_for(guest, "bound")["address"] == f"{GUEST}/24"
        assert guest.exit() == ALL_OK


def test_silence_is_said_and_asking_goes_on():
    """Nobody is at the other end; time flies where nothing happens (icount)."""
    with Machine("dhcp-silence", cpus=1, nic=nic_options("virtio", "hubport,hubid=0"),
                 **icount()) as guest:
        guest.wait_prompt()
        guest.wait("nic0: no DHCP server answers", 120)
        guest.wait_prompt()  # the line was drawn again
        assert row(guest)["dhcp"] == "no answer"
        assert counters(guest)["sent.udp"] >= 5
        assert guest.exit() == ALL_OK
