# SPDX-License-Identifier: MIT
"""Every card, on every machine, finds its way to the world behind QEMU's user network; and what is
missing or wrong is said, by name.

No privileges are needed: QEMU itself is router and DHCP server. Would miss: wrong frames that
QEMU's own stack takes; those are for test_net_traffic.py.
"""

import re

import pytest

from machine import ALL_OK, SOME_FAILED, Machine
from netpeer import (MODELS, QUIET, STATIC, check_no_packet_is_lost, counters, nic_options, queues,
                     wait_until)

INTERRUPTS = {"virtio": "msi-x", "e1000": "intx", "e1000e": "msi-x"}
DRIVERS = {"virtio": "virtio-net", "e1000": "e1000", "e1000e": "e1000e"}


def address_row(guest, number=0):
    return guest.json("net -j")[number]


def wait_for_lease(guest):
    return wait_until(lambda: (row := address_row(guest))["dhcp"] == "bound" and row, "a lease", 30)


def ping(guest, host, more="-c 2 -i 10"):
    return guest.json(f"ping {host} -w 10000 {more} -j")[-1]


def check_user_network(guest, nic):
    """The machine at its prompt: card, address by DHCP, an answer from the router, nothing lost."""
    card, = guest.json("nic -j")
    assert (card["name"], card["driver"], card["link"]) == ("nic0", DRIVERS[nic], "up")
    assert (card["interrupt"], card["mac"]) == (INTERRUPTS[nic], "52:54:00:12:34:56")
    row = wait_for_lease(guest)
    assert (row["address"], row["source"], row["gateway"]) == ("10.0.2.15/24", "dhcp", "10.0.2.2")
    assert ping(guest, "10.0.2.2")["answered"] == 2
    assert sum(row["interrupts"] for row in queues(guest)) > 0
    check_no_packet_is_lost(guest)
    assert guest.exit() == ALL_OK


@pytest.mark.parametrize("cpus", [1, 4])
@pytest.mark.parametrize("machine", ["pc", "q35"])
@pytest.mark.parametrize("nic", MODELS)
def test_dhcp_gives_an_address_and_the_router_answers(nic, machine, cpus):
    with Machine(f"net-{nic}-{machine}-{cpus}", machine=machine, cpus=cpus,
                 nic=nic_options(nic), command_line=QUIET) as guest:
        guest.wait_prompt()
        check_user_network(guest, nic)


def test_a_64_bit_bar_where_uefi_put_it():
    with Machine("net-uefi", loader="iso-uefi", machine="q35", nic=nic_options("virtio"),
                 command_line=QUIET) as guest:
        guest.wait_prompt(60)
        check_user_network(guest, "virtio")


def test_without_a_card_the_shell_says_so():
    with Machine("net-none") as guest:
        guest.wait_prompt()
        assert guest.json("nic -j") == []
        assert "No network card was found" in guest.run("nic")
        assert not any(counters(guest).values())
        assert guest.exit("nic; net; exit") == ALL_OK


def test_without_a_card_a_ping_fails():
    with Machine("net-none-ping") as guest:
        guest.wait_prompt()
        assert guest.run("ping 10.0.2.2").startswith("ping: ")
        assert guest.exit() == SOME_FAILED


def test_a_card_without_a_driver_is_listed():
    with Machine("net-rtl8139", nic=nic_options("rtl8139")) as guest:
        guest.wait_prompt()
        card, = guest.json("nic -j")
        assert (card["name"], card["driver"], card["id"]) == (None, "no driver", "10ec:8139")
        assert guest.exit() == ALL_OK


def test_two_cards_have_an_address_each():
    second = nic_options("e1000", "user,net=10.0.3.0/24", number=1)
    with Machine("net-two", nic=[*nic_options("virtio"), *second],
                 command_line=f"{QUIET} ip=10.0.2.15/24,10.0.3.15/24 gw=10.0.2.2") as guest:
        guest.wait_prompt()
        rows = [row for row in guest.json("net -j") if row["kind"] == "net.address"]
        assert [(row["name"], row["address"]) for row in rows] \
            == [("nic0", "10.0.2.15/24"), ("nic1", "10.0.3.15/24")]
        assert {row["mac"] for row in guest.json("nic -j")} \
            == {"52:54:00:12:34:56", "52:54:00:12:34:57"}
        for host in "10.0.2.2", "10.0.3.2":
            assert ping(guest, host)["answered"] == 2
        for name in "nic0", "nic1":
            check_no_packet_is_lost(guest, name)
            assert sum(row["received"] for row in queues(guest, name)) >= 2
        assert guest.exit() == ALL_OK


def test_a_static_address_asks_nobody():
    with Machine("net-static", nic=nic_options("virtio"), command_line=STATIC) as guest:
        guest.wait_prompt()
        row = address_row(guest)
        assert (row["address"], row["source"], row["dhcp"]) == ("10.0.2.15/24", "static", "off")
        assert counters(guest)["sent.udp"] == 0
        assert ping(guest, "10.0.2.2", "-c 3 -i 1 -s 1472")["answered"] == 3
        assert guest.exit() == ALL_OK


@pytest.mark.parametrize("words, culprit, address", [
    ("ip=10.0.2.15/33", "10.0.2.15/33", None),
    ("ip=10.0.2.300/24", "10.0.2.300/24", None),
    ("ip=10.0.2.15", "10.0.2.15", None),
    ("ip=10.0.2.0/24", "10.0.2.0/24", None),
    ("ip=10.0.2.255/24", "10.0.2.255/24", None),
    ("ip=224.0.0.1/24", "224.0.0.1/24", None),
    ("ip=127.0.0.1/8", "127.0.0.1/8", None),
    ("ip=sometimes", "sometimes", None),
    ("ip=10.0.2.15/24,10.0.3.15/24", "10.0.3.15/24", "10.0.2.15/24"),
    ("ip=10.0.2.15/24 gw=10.0.3.1", "10.0.3.1", "10.0.2.15/24"),
    ("ip=10.0.2.15/24 gw=10.0.2.15", "10.0.2.15", "10.0.2.15/24"),
    ("ip=10.0.2.15/24 gw=ten", "ten", "10.0.2.15/24"),
], ids=lambda words: str(words))
def test_a_wrong_address_is_named_and_not_used(words, culprit, address):
    with Machine("net-wrong-address", nic=nic_options("virtio"),
                 command_line=f"loglevel=warning {words}") as guest:
        assert re.search(rf"warning: .*'?{re.escape(culprit)}", guest.wait_prompt())
        row = address_row(guest)
        if address or row["source"] != "dhcp":
            assert row["address"] == address
        if "gw=" in words:
            assert row["gateway"] is None
        assert guest.exit() == ALL_OK
