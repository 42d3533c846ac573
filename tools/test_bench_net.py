# SPDX-License-Identifier: MIT
"""Tests of bench_net.py without a machine: what it reads of a Linux rig, what it compares, what it
refuses. Run by make test."""

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


@pytest.mark.parametrize("words, named", [
    (["--nic", "virtio,ne2000"], "'ne2000'"), (["--mode", "drop,shout"], "'shout'"),
    (["--linux", "/nowhere"], "/nowhere"), (["--seconds", "long"], "'long'")])
def test_wrong_words_are_named(words, named):
    result = subprocess.run([ROOT / "tools/bench_net.py", *words], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.returncode == 2 and named in result.stderr
