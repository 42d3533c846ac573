# SPDX-License-Identifier: MIT
"""The shell commands of the network: nic, net, ping, pkt. With a card on QEMU's user network, whose
host answers pings and ARP at 10.0.2.2; and without any card."""

import time

import pytest

from machine import ALL_OK, SOME_FAILED, Machine

RATES = "time_ns rate_pps bytes bytes_per_s"
FIELDS = {
    "nic -j": ["nic", "name driver pci id mac queues cpus interrupt link"],
    "nic stats -j": ["nic.queue", "name queue cpu interrupts polls polls_empty polls_whole "
                     "received received_bytes no_buffer transmitted transmitted_bytes "
                     "transmit_full doorbells",
                     "nic.packets", "name total free receive_rings transmit_rings elsewhere "
                     "least_free exhausted",
                     "nic.counter", "name counter value"],
    "nic nic0 reset -j": ["nic.reset", "name is_back resets link time_ns"],
    "net -j": ["net.address", "name address source dhcp lease_s gateway",
               "net.arp", "name address mac state age_ms pending",
               "net.counter", "counter value"],
    "net arp -j": ["net.arp", "name address mac state age_ms pending"],
    "net counters -j": ["net.counter", "counter value"],
    "ping 10.0.2.2 -c 2 -i 0 -j": [
        "ping.reply", "sequence outcome from ttl bytes round_trip_ns",
        "ping", "host sent answered lost min_ns p50_ns p99_ns max_ns"],
    "pkt sink --seconds 1 -j": ["pkt.sink", f"port received dropped stamped age_p50_ns {RATES}"],
    "pkt echo --seconds 1 -j": ["pkt.echo", f"port received unsent {RATES}"],
    "pkt flood 10.0.2.2 --count 100 -j": [
        "pkt.flood", f"host port frame_bytes sent ring_full ended_by {RATES}"],
    "pkt count --seconds 1 -j": ["pkt.count", f"name protocol frames {RATES}"],
}


@pytest.fixture(scope="module")
def online():
    """A machine with a card, its address set, and the neighbour known. By -device: QEMU 7.2 gives a
    card of -nic no MSI-X vectors. No call learns by itself, as with `shell`."""
    with Machine("nic-commands", command_line="ip=10.0.2.15/24 gw=10.0.2.2 dyncall=off",
                 extra=["-netdev", "user,id=net",
                        "-device", "virtio-net-pci,netdev=net"]) as machine:
        machine.wait_prompt()
        machine.run("ping 10.0.2.2 -c 1")
        yield machine


def card_is_whole(machine):
    """Returns whether every packet of the card is where it belongs, at rest."""
    for _ in range(50):
        packets, = [row for row in machine.json("nic stats -j") if row["kind"] == "nic.packets"]
        if packets["elsewhere"] == packets["transmit_rings"] == 0:
            return packets["free"] + packets["receive_rings"] == packets["total"]
        time.sleep(0.1)
    return False


@pytest.mark.parametrize("command", FIELDS)
def test_json_has_its_kinds_and_fields(online, command):
    online.run("ping 10.0.2.2 -c 1")
    rows = online.json(command)
    kinds = dict(zip(FIELDS[command][::2], FIELDS[command][1::2]))
    assert list(dict.fromkeys(row["kind"] for row in rows)) == list(kinds)
    for row in rows:
        assert sorted(row) == sorted(["kind", *kinds[row["kind"]].split()])


def test_every_command_is_a_table_for_people_too(online):
    """What takes seconds is read by people in test_ctrl_c_brings_the_final_row()."""
    for command in FIELDS:
        if "--seconds" not in command:
            assert "{" not in online.run(command.removesuffix(" -j"))


def test_nic_lists_the_card(online):
    card, = online.json("nic -j")
    assert (card["name"], card["driver"], card["link"]) == ("nic0", "virtio-net", "up")
    assert card["id"].startswith("1af4:") and card["mac"] == "52:54:00:12:34:56"
    assert len(card["cpus"]) == card["queues"] == 1
    assert card["interrupt"] == "msi-x"


def test_ping_measures_the_host_and_itself(online):
    for host in ("10.0.2.2", "10.0.2.15"):
        *replies, summary = online.json(f"ping {host} -c 5 -i 0 -s 1472 -w 10000 -j")
        assert [row["outcome"] for row in replies] == ["answered"] * 5
        assert [row["sequence"] for row in replies] == list(range(5))
        assert (summary["sent"], summary["answered"], summary["lost"]) == (5, 5, 0)
        times = [row["round_trip_ns"] for row in replies]
        assert (summary["min_ns"], summary["max_ns"]) == (min(times), max(times))
        assert min(times) <= summary["p50_ns"] <= summary["p99_ns"] == max(times)


def test_ping_without_an_answer_says_so(online):
    reply, summary = online.json("ping 10.0.2.77 -c 1 -w 200 -j")
    assert (reply["outcome"], reply["round_trip_ns"]) == ("no answer", None)
    assert (summary["answered"], summary["lost"], summary["p50_ns"]) == (0, 1, None)


def test_flood_sends_the_frames_it_says(online):
    """The card's own counters are the witness, behind which only ARP and pings go."""
    for size in (60, 1514):
        before, *_ = online.json("nic stats -j")
        row, = online.json(f"pkt flood 10.0.2.2 --count 3000 --size {size} -j", 60)
        after, *_ = online.json("nic stats -j")
        assert (row["sent"], row["frame_bytes"], row["bytes"]) == (3000, size, 3000 * size)
        assert 0 <= after["transmitted"] - before["transmitted"] - 3000 < 50
    assert card_is_whole(online)


def test_count_sees_what_comes_and_lets_it_pass(online):
    """Answers to a flood come while it counts: what a command before it left behind."""
    online.run("pkt flood 10.0.2.2 --count 500; ping 10.0.2.2 -c 1")
    rows = online.json("pkt count --seconds 1 nic0 -j")
    everything = rows.pop()
    assert everything["protocol"] == "all"
    assert sum(row["frames"] for row in rows) == everything["frames"]
    assert online.json("ping 10.0.2.2 -w 10000 -c 1 -j")[-1]["answered"] == 1


def test_reset_keeps_the_card_usable(online):
    resets = online.json("nic nic0 reset -j")[0]["resets"]
    row, = online.json("nic nic0 reset -j")
    assert (row["is_back"], row["resets"]) == (True, resets + 1)
    assert online.json("ping 10.0.2.2 -w 10000 -c 3 -i 10 -j")[-1]["answered"] >= 1
    assert card_is_whole(online)


@pytest.mark.parametrize("protocol, rounds", [("int3", 12), ("int3-batch", 3)])
def test_time_stamps_are_a_key_of_four_sites(online, protocol, rounds):
    """As in seed 5: 12 IPIs for each other CPU one by one, 3 in a batch; and traffic goes on."""
    online.run(f"protocol {protocol}")
    for state in ("on", "off"):
        poke = online.json(f"key netstamp_needed {state} -j")[0]
        assert (poke["sites"], poke["rounds"], poke["ipis"]) == (4, rounds, 3 * rounds)
        assert online.json("ping 10.0.2.2 -w 10000 -c 1 -j")[-1]["answered"] == 1
    online.run("protocol int3-batch")


def netstamp_count(machine):
    row, = [row for row in machine.json("keys -j") if row["name"] == "netstamp_needed"]
    return row["count"]


def poke_numbers(machine):
    return [row["seq"] for row in machine.json("pokes -n 3 -j") if row["kind"] == "poke"]


@pytest.mark.parametrize("others", [0, 1])
def test_a_sink_with_stamps_is_one_user_of_the_key(online, others):
    """With another user the sink's coming and going changes no text, and its leaving does not turn
    the key off; alone it turns it on and off."""
    if others:
        online.run("key netstamp_needed inc")
    before, poked = online.json("keys -j"), poke_numbers(online)
    row, = online.json("pkt sink --seconds 1 --stamps -j")
    assert (row["received"], row["stamped"], row["age_p50_ns"]) == (0, 0, None)
    assert online.json("keys -j") == before and netstamp_count(online) == others
    assert len(set(poke_numbers(online)) - set(poked)) == (0 if others else 2)
    if others:
        online.run("key netstamp_needed dec")
    assert netstamp_count(online) == 0


def test_features_are_bits_for_people_and_a_number_for_programs(online):
    features, = [row["value"] for row in online.json("nic stats -j")
                 if row.get("counter") == "features"]
    line, = [line for line in online.run("nic stats").splitlines() if " features " in line]
    assert line.split()[-1] == hex(features)


def test_completion_offers_each_option_once(online):
    online.send("pkt flood --\t\t")
    online.wait("--port")
    offered = online.wait_prompt().split()
    assert sorted(offered) == ["--count", "--seconds", "--size", "--stamps"]
    online.resynchronise()


@pytest.mark.parametrize("command, row", [
    ("ping 10.0.2.2 -c 1000 -i 100", "10.0.2.2"), ("ping 10.0.2.77 -w 60000", "10.0.2.77"),
    ("pkt sink --seconds 3600", "dropped"), ("pkt echo --seconds 3600", "unsent"),
    ("pkt count --seconds 3600", "protocol"), ("pkt flood 10.0.2.2 --seconds 3600", "ring_full"),
])
def test_ctrl_c_brings_the_final_row(online, command, row):
    """None of them ends by itself before the wait for the prompt does."""
    online.send(f"{command}\r")
    online.wait("\r\n")
    time.sleep(0.2)
    online.send("\x03")
    output = online.wait_prompt(20)
    assert row in output and "{" not in output
    assert online.json("ping 10.0.2.2 -w 10000 -c 1 -j")[-1]["answered"] == 1


@pytest.mark.parametrize("line, culprit", [
    ("nic nic9 reset", "nic9"),
    ("nic nic0 repair", "repair"),
    ("nic stats nic9", "nic9"),
    ("ping 10.9.9.9.9", "'10.9.9.9.9' is not an IPv4 address"),
    ("ping 224.0.0.1", "there is no way to 224.0.0.1"),
    ("pkt sink --port 7 --seconds 1", "7 is taken"),
    ("pkt echo --port 9 --seconds 1", "9 is taken"),
    ("pkt count nic9", "nic9"),
    ("pkt flood 10.0.2.99", "10.0.2.99 does not answer ARP"),
    ("pkt flood 10.0.2.15", "this machine itself"),
    ("pkt flood 10.0.2.255", "a broadcast address"),
    ("pkt flood 255.255.255.255", "a broadcast address"),
])
def test_bad_input_names_the_culprit(online, line, culprit):
    assert culprit in online.run(line)


@pytest.mark.parametrize("line, culprit", [
    ("nic nosuch reset", "nosuch"),
    ("nic stats nosuch", "nosuch"),
    ("nic nosuch", "argument missing"),
    ("nic -x", "-x"),
    ("net nosuch", "nosuch"),
    ("net arp counters", "counters"),
    ("ping", "argument missing"),
    ("ping somewhere", "'somewhere' is not an IPv4 address"),
    ("ping 10.0.2", "'10.0.2' is not an IPv4 address"),
    ("ping 10.0.2.256", "'10.0.2.256' is not an IPv4 address"),
    ("ping 10.0.2.2 -c 0", "'0' is out of range"),
    ("ping 10.0.2.2 -s 1473", "'1473' is out of range"),
    ("ping 10.0.2.2", "there is no network device"),
    ("pkt", "argument missing"),
    ("pkt nosuch", "nosuch"),
    ("pkt sink --port 0", "'0' is out of range"),
    ("pkt echo --port 65536", "'65536' is out of range"),
    ("pkt sink --seconds 0", "'0' is out of range"),
    ("pkt sink --stamp", "--stamp"),
    ("pkt echo --stamps", "--stamps"),
    ("pkt sink", "there is no network device"),
    ("pkt echo", "there is no network device"),
    ("pkt count", "there is no network device"),
    ("pkt count nic9", "nic9"),
    ("pkt flood", "argument missing"),
    ("pkt flood nowhere", "'nowhere' is not an IPv4 address"),
    ("pkt flood 10.0.2.2 --size 59", "'59' is out of range"),
    ("pkt flood 10.0.2.2 --size 1515", "'1515' is out of range"),
    ("pkt flood 10.0.2.2 --count 0", "'0' is out of range"),
    ("pkt flood 10.0.2.2", "there is no network device"),
])
def test_bad_input_without_a_card_names_the_culprit(shell, line, culprit):
    assert culprit in shell.run(line)


def test_no_card_is_said_in_a_sentence(shell):
    assert shell.run("nic").strip() == "No network card was found."
    assert shell.run("nic stats").strip() == "There is no network device."
    assert shell.json("nic -j") == shell.json("nic stats -j") == []


@pytest.mark.parametrize("command, status", [("nic; net", ALL_OK), ("ping 10.0.2.2", SOME_FAILED),
                                             ("pkt sink", SOME_FAILED)])
def test_failure_shows_in_the_status(command, status):
    with Machine("nic-status", command_line=f'run="{command}; exit"') as machine:
        assert machine.exit_status() == status


def test_a_card_without_a_driver_is_listed():
    with Machine("nic-no-driver", extra=["-nic", "user,model=ne2k_pci"]) as machine:
        machine.wait_prompt()
        card, = machine.json("nic -j")
        assert (card["name"], card["driver"], card["id"]) == (None, "no driver", "10ec:8029")
        assert "no driver" in machine.run("nic")
        assert machine.exit() == ALL_OK
