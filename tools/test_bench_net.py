# SPDX-License-Identifier: MIT
"""Tests of bench_net.py without a machine: what it reads of a Linux rig, what it compares, what it
refuses: rows that the host's counters do not bear out, sweeps that collapse. Run by make test."""

import subprocess

import pytest

import bench_net
from test_pktgen import ROOT

RIG = """#!/bin/sh
echo "$@" >words
cat <<'END'
net.virtio.tap_flood.xdp.eth0.skb.drop.mean 1.5 pps
net.virtio.tap_flood.xdp.eth0.drv.drop.mean.lo 90000 pps
net.virtio.tap_flood.xdp.eth0.drv.drop.mean.mid 100000 pps
net.e1000.tap_flood.xdp.eth0.skb.drop.mean 50000 pps
net.e1000.tap_flood.udpsink.eth0.mean 40000 pps
net.virtio.sock_150k.udpsink.eth0.mean 7 pps
END
"""


@pytest.fixture
def rig(tmp_path):
    script = tmp_path / "run.sh"
    script.write_text(RIG)
    script.chmod(0o755)
    return tmp_path


def test_the_rig_is_run_and_the_best_row_taken(rig):
    rates = bench_net.linux_rates(rig, 3)
    assert (rig / "words").read_text() == "-only net -reps 3\n"
    assert rates == {("virtio", "drop"): 100000, ("e1000", "drop"): 50000,
                     ("e1000", "sink"): 40000}


def test_the_median_is_compared():
    rows = [{"nic": "e1000", "mode": "sink", "rate_pps": rate} for rate in (10, 90000, 80000)]
    assert list(bench_net.compare(rows, {("e1000", "sink"): 40000, ("e1000", "echo"): 1})) == [
        {"kind": "bench.net.linux", "nic": "e1000", "mode": "sink", "rate_pps": 80000,
         "linux_pps": 40000, "ratio": 2.0}]


def test_tables_have_a_column_for_every_field(capsys):
    bench_net.print_table([{"kind": "a", "x": 1}, {"kind": "b", "z": None},
                           {"kind": "a", "x": 22, "yy": "t"}])
    assert capsys.readouterr().out == "a:\n x  yy\n 1   -\n22   t\n\nb:\nz\n-\n\n"


ROW = {"driver": "virtio-net", "packets": 1000, "received": 1200}
REPORT = {"sent": 1500, "received": 900, "unread": 100}
CARRIED = {"tx_packets": 1400, "tx_dropped": 100, "rx_packets": 1000, "rx_dropped": 0}


@pytest.mark.parametrize("mode", bench_net.MODES)
def test_a_row_within_what_the_host_saw_stands(mode):
    assert bench_net.disagreements(ROW | {"mode": mode}, REPORT, CARRIED) == []


@pytest.mark.parametrize("mode, row, report, carried, sentence", [
    ("drop", {}, {}, {"tx_packets": 1199}, "1200 frames that its card received, "
     "the tap device handed it 1199"),
    ("drop", {"packets": 1401}, {}, {}, "1401 frames dropped, the tap device handed it 1400"),
    ("sink", {}, {"sent": 999}, {}, "1000 frames for sink, the generator sent 999"),
    ("echo", {}, {"sent": 999}, {}, "1000 frames for echo, the generator sent 999"),
    ("echo", {}, {}, {"rx_packets": 999}, "1000 echoes, the tap device got of it 999"),
    ("echo", {"packets": 110_000}, {"sent": 10**6, "received": 80_000}, {"rx_packets": 10**6},
     "110000 echoes, the generator got, lost or could still get 106041"),
])
def test_one_frame_more_than_the_host_saw_is_said(mode, row, report, carried, sentence):
    said, = bench_net.disagreements(ROW | {"mode": mode} | row, REPORT | report,
                                    CARRIED | carried)
    assert said == f"virtio-net {mode}: the guest counted {sentence}"


def test_a_row_that_does_not_stand_ends_the_run(monkeypatch):
    class Net:
        def tap_counters(self):
            return dict.fromkeys(CARRIED, 0)

        def pktgen_start(self, *_, **__):
            return subprocess.Popen(["true"])

    class Guest:
        def run(self, *_):
            return '{"mode":"drop","driver":"e1000","packets":1,"received":0}\n'

    monkeypatch.setattr(bench_net, "pktgen_end", lambda _: REPORT | {"offered_pps": 1})
    monkeypatch.setattr("sys.argv", ["bench_net.py"])
    with pytest.raises(SystemExit, match="e1000 drop: .* 1 frames dropped, .* handed it 0"):
        bench_net.measure(Net(), Guest(), "drop", bench_net.read_arguments())


def test_a_host_without_privileges_is_told_what_it_lacks(monkeypatch):
    class Unprivileged:
        def __enter__(self):
            pytest.skip("no tap device: open: Permission denied")

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(bench_net, "Namespace", Unprivileged)
    monkeypatch.setattr(bench_net, "build_pktgen", lambda: None)
    monkeypatch.setattr("sys.argv", ["bench_net.py"])
    with pytest.raises(SystemExit) as end:
        bench_net.main()
    first, second = end.value.code.splitlines()
    assert first == "bench_net: no tap device: open: Permission denied"
    assert "needs root" in second and "/dev/net/tun" in second


def test_a_sweep_that_collapses_is_said():
    row = {"kind": "bench.net.sweep", "nic": "virtio", "mode": "sink", "rate_pps": 899}
    rows = [row | {"wanted_pps": wanted, "of_peak_percent": percent}
            for wanted, percent in ((20_000, 10.0), (320_000, 100.0), (None, 90.0), (None, 89.9))]
    assert bench_net.sweep_failures(rows + [{"kind": "bench.net"}]) == [
        "virtio sink: flat out 899 packets a second are 89.9 % of the peak, fewer than 90 %"]


@pytest.mark.parametrize("words, named", [
    (["--nic", "virtio,ne2000"], "'ne2000'"), (["--mode", "drop,shout"], "'shout'"),
    (["--linux", "/nowhere"], "/nowhere"), (["--seconds", "long"], "'long'")])
def test_wrong_words_are_named(words, named):
    result = subprocess.run([ROOT / "tools/bench_net.py", *words], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 2 and named in result.stderr
