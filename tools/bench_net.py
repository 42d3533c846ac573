#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures the network of livetext from outside: boots it behind a tap device in a network
namespace, floods it by tools/pktgen and lets `bench net` count inside; with --linux a Linux guest
is measured in the same run by its own rig, with frames of the same size.

    tools/bench_net.py                            every card: drop, sink, echo
    tools/bench_net.py --sweep                    throughput at rising rates: no livelock
    tools/bench_net.py --all-sizes 10000000       echo of all sizes, every byte compared, no leak
    tools/bench_net.py --linux DIR --reps 3       DIR/run.sh -only net, and the ratios

Invariant: a row stands only if host and guest agree: the guest counted no frame that the host did
not carry while the generator ran (disagreements()), and no packet of its pool is missing
afterwards. Otherwise, and if an echo was wrong or a sweep's last rate is too far below its best,
the status is 1 and a line says so. Callers: make bench-net, a person. Root, or a host that
lets users make network namespaces and open /dev/net/tun.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/boot"))

import pytest  # noqa: E402  (netpeer skips through it)

from machine import ALL_OK  # noqa: E402
from netpeer import (MODELS, Namespace, build_pktgen, check_no_packet_is_lost,  # noqa: E402
                     pktgen_end)

MODES = ("drop", "sink", "echo")
WIDE = ("kind", "driver", "duration_ms", "packets", "received", "interrupts", "polls", "doorbells",
        "repetition", "link", "size_first", "size_last", "unread", "arp_answered",
        "received_bytes", "refused", "sent_pps", "echoed_pps")  # for -j alone
SWEEP_RATES = (20_000, 40_000, 60_000, 80_000, 120_000, 160_000, 240_000, 320_000, None)
FLAT_OUT_PERCENT = 90  # of the best rate of a sweep, at least
# Echoes that the generator has not read when it is told to end: what its socket holds (16 MiB, 768
# bytes a small frame) and what stands in the card's rings.
UNDER_WAY = (16 << 20) // 768 + 4096
LINUX_ROWS = {  # the first that the rig prints is taken
    "drop": ("xdp.eth0.drv.drop.mean", "xdp.eth0.skb.drop.mean"),
    "sink": ("udpsink.eth0.mean",),
    "echo": ("udpecho.eth0.mean",),
}


def boot(net, nic, args):
    return net.machine(f"bench-net-{nic}", nic, machine=args.machine, cpus=args.cpus,
                       timeout=60)


def pin_machine(guest, cores):
    """Confines all threads of QEMU to these cores."""
    for thread in os.listdir(f"/proc/{guest.child.pid}/task"):
        os.sched_setaffinity(int(thread), cores)


def tap_at_rest(net):
    """The host's counters, once nothing moves any more: a queue of the run before, or of this one,
    is not on its way."""
    last, now = None, net.tap_counters()
    for _ in range(100):
        if last == now:
            return now
        time.sleep(0.05)
        last, now = now, net.tap_counters()
    sys.exit("bench_net: frames go on on the tap device although nobody generates them")


def disagreements(row, report, carried):
    """Sentences about what the guest counted in its window and nobody on the host has seen in the
    longer time of the generator. @carried: by the tap device; tx is towards the guest."""
    claims = [("frames that its card received", row["received"],
               "the tap device handed it", carried["tx_packets"])]
    if row["mode"] == "drop":
        claims += [("frames dropped", row["packets"], "the tap device handed it",
                    carried["tx_packets"])]
    else:
        claims += [(f"frames for {row['mode']}", row["packets"], "the generator sent",
                    report["sent"])]
    if row["mode"] == "echo":
        claims += [("echoes", row["packets"], "the tap device got of it", carried["rx_packets"]),
                   ("echoes", row["packets"], "the generator got, lost or could still get",
                    report["received"] + report["unread"] + UNDER_WAY)]
    return [f"{row['driver']} {row['mode']}: the guest counted {counted} {what}, {whose} {most}"
            for what, counted, whose, most in claims if counted > most]


def measure(net, guest, mode, args, rate=None, mitigation=None, core=None):
    """One row: the guest's, with what the generator offered and how much the host refused.
    @core: the one that the generator keeps to."""
    before = tap_at_rest(net)
    words = [f"--rate={rate}"] if rate else []
    generator = net.pktgen_start("echo" if mode == "echo" else "send", "--port=9000",
                                 f"--seconds={args.seconds + 30}", f"--size={args.size}",
                                 f"--flows={args.flows}", "--wait=0.2", *words, core=core)
    more = f"--mitigation {mitigation} " if mitigation else ""
    try:
        said = guest.run(f"bench net --mode {mode} --seconds {args.seconds} {more}-j",
                         args.seconds + 60)
    finally:
        generator.send_signal(signal.SIGINT)
        report = pktgen_end(generator)
    after = tap_at_rest(net)
    if not said.startswith("{"):
        sys.exit(f"bench_net: {said.strip()}")
    row, carried = json.loads(said), {name: after[name] - before[name] for name in after}
    for sentence in disagreements(row, report, carried):
        sys.exit(f"bench_net: {sentence}")
    row |= {"size": args.size, "offered_pps": report["offered_pps"],
            "tap_dropped": carried["tx_dropped"]}
    if mode == "echo":
        row |= {"echoed": report["echoed"], "wrong": report["wrong"],
                "latency_p50_ns": report["latency_p50_ns"],
                "latency_p99_ns": report["latency_p99_ns"]}
    return row


def run_modes(net, nic, args):
    for repetition in range(args.reps):
        with boot(net, nic, args) as guest:
            guest.wait_prompt()
            for mitigation in args.mitigation:
                for mode in args.mode:
                    row = measure(net, guest, mode, args, mitigation=mitigation)
                    yield row | {"nic": nic, "repetition": repetition}
            check_no_packet_is_lost(guest)
            assert guest.exit() == ALL_OK


def run_sweep(net, nic, args):
    """Rising rates in one machine, the last is flat out; the median of the rounds. The generator
    has a core of its own and the machine the others, or a generator that works harder would leave
    the machine less of the host, and that is what would be seen."""
    own, *others = sorted(os.sched_getaffinity(0))
    with boot(net, nic, args) as guest:
        guest.wait_prompt()
        if others:
            pin_machine(guest, others)
        for mode in args.mode:
            rounds = [[measure(net, guest, mode, args, rate=rate, core=own)
                       for rate in SWEEP_RATES] for _ in range(args.reps)]
            rows = [sorted(same, key=lambda row: row["rate_pps"])[len(same) // 2]
                    for same in zip(*rounds)]
            peak = max(row["rate_pps"] for row in rows)
            for rate, row in zip(SWEEP_RATES, rows):
                yield row | {"nic": nic, "kind": "bench.net.sweep", "wanted_pps": rate,
                             "of_peak_percent": round(100 * row["rate_pps"] / peak, 1)}
        check_no_packet_is_lost(guest)
        assert guest.exit() == ALL_OK


def sweep_failures(rows):
    """Sentences about sweeps whose last rate, flat out, is too far below their best: an overload
    that costs throughput."""
    return [f"{row['nic']} {row['mode']}: flat out {row['rate_pps']} packets a second are "
            f"{row['of_peak_percent']} % of the peak, fewer than {FLAT_OUT_PERCENT} %"
            for row in rows if row["kind"] == "bench.net.sweep" and row["wanted_pps"] is None
            and row["of_peak_percent"] < FLAT_OUT_PERCENT]


def run_all_sizes(net, nic, args):
    """Echo of all sizes without loss: at most a window is on its way."""
    with boot(net, nic, args) as guest:
        guest.wait_prompt()
        report = net.pktgen("echo", f"--count={args.all_sizes}", "--size=60-1514",
                            "--window=256", "--seconds=86400", timeout=86400)
        packets = check_no_packet_is_lost(guest)
        assert guest.exit() == ALL_OK
    yield report | {"kind": "bench.net.all_sizes", "nic": nic, "pool": packets["total"],
                    "elsewhere": packets["elsewhere"], "exhausted": packets["exhausted"]}


def linux_rates(folder, reps):
    """Runs the rig; returns its rates by card and mode, in packets a second."""
    done = subprocess.run(["./run.sh", "-only", "net", "-reps", str(reps)], cwd=folder,
                          stdout=subprocess.PIPE, text=True, check=True, timeout=3600)
    figures = {}
    for line in done.stdout.splitlines():
        name, value, _ = line.split()
        figures[name] = float(value)
    rates = {}
    for nic in MODELS:
        for mode, names in LINUX_ROWS.items():
            found = [figures[key] for name in names for key in
                     (f"net.{nic}.tap_flood.{name}.mid", f"net.{nic}.tap_flood.{name}")
                     if key in figures]
            if found:
                rates[nic, mode] = found[0]
    return rates


def compare(rows, rates):
    """One row a card and mode: the median of ours beside Linux."""
    for (nic, mode), linux in rates.items():
        ours = [row["rate_pps"] for row in rows if (row["nic"], row["mode"]) == (nic, mode)]
        if ours:
            rate = statistics.median(ours)
            yield {"kind": "bench.net.linux", "nic": nic, "mode": mode, "rate_pps": round(rate),
                   "linux_pps": round(linux), "ratio": round(rate / linux, 2)}


def print_table(rows):
    """Rows of one kind under one head; numbers to the right. What is too much is left to -j."""
    for kind in dict.fromkeys(row["kind"] for row in rows):
        mine = [row for row in rows if row["kind"] == kind]
        names = [name for name in dict.fromkeys(name for row in mine for name in row)
                 if name not in WIDE]
        cells = [names] + [["-" if row.get(name) is None else str(row[name]) for name in names]
                           for row in mine]
        widths = [max(map(len, column)) for column in zip(*cells)]
        print(f"{kind}:")
        for line in cells:
            print("  ".join(cell.rjust(width) for cell, width in zip(line, widths)))
        print()


def read_list(allowed):
    def read(text):
        for word in text.split(","):
            if word not in allowed:
                raise argparse.ArgumentTypeError(f"'{word}' is none of {', '.join(allowed)}")
        return text.split(",")
    return read


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nic", type=read_list(tuple(MODELS)), default=list(MODELS))
    parser.add_argument("--mode", type=read_list(MODES), default=list(MODES))
    parser.add_argument("--mitigation", type=lambda text: text.split(","), default=[None])
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--reps", type=int, default=1)
    parser.add_argument("--size", default="60", help="of frames: 60, 1514 or 60-1514")
    parser.add_argument("--flows", type=int, default=1)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--machine", choices=("pc", "q35"), default="q35")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--all-sizes", type=int, metavar="N")
    parser.add_argument("--linux", type=pathlib.Path, metavar="DIR")
    parser.add_argument("-j", dest="json", action="store_true", help="a JSON object a line")
    args = parser.parse_args()
    if args.linux and not (args.linux / "run.sh").is_file():
        parser.error(f"--linux {args.linux}: no run.sh there")
    return args


def main():
    args, rows = read_arguments(), []
    build_pktgen()
    run = run_all_sizes if args.all_sizes else run_sweep if args.sweep else run_modes
    try:
        with Namespace() as net:
            net.add_tap("tap0", "10.0.2.2/24")
            for nic in args.nic:
                for row in run(net, nic, args):
                    rows.append(row)
                    if args.json:
                        print(json.dumps(row), flush=True)
    except pytest.skip.Exception as reason:
        sys.exit(f"bench_net: {reason}\nbench_net: it needs root, or both user namespaces and a "
                 "/dev/net/tun that this user may open (ls -l /dev/net/tun)")
    if args.linux:
        ratios = list(compare(rows, linux_rates(args.linux, args.reps)))
        rows += ratios
        if args.json:
            for row in ratios:
                print(json.dumps(row), flush=True)
    if not args.json:
        print_table(rows)
    failures = ["an echo was wrong"] if any(row.get("wrong") for row in rows) else []
    if failures := failures + sweep_failures(rows):
        sys.exit("\n".join(f"bench_net: {failure}" for failure in failures))


if __name__ == "__main__":
    main()
