# SPDX-License-Identifier: MIT
"""`silicon --quick` runs, says what it should, and the right protocols break nothing.

Invariant: no time is judged, only that figures are there and hang together; how wrong protocols
break depends on the CPU, so only `naive` must fail, on two CPUs or more. Detects a measurement that
is left out, counts that cannot be, bad executions of int3-batch and qword, and options that are
swallowed. Could miss a figure that is wrong but plausible. Called by: pytest (silicon.mk builds).
"""

import collections
import functools
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = os.environ.get("BUILD", "build")
PROGRAM = ROOT / BUILD / "silicon" / "silicon"
TIME_LIMIT_S = 180
PROTOCOLS = ["int3", "int3-batch", "qword", "stop", "naive"]
PLACEMENTS = ["in quadword", "across quadword", "across 32 bytes", "across line", "across page"]
TWO_CPUS = len(os.sched_getaffinity(0)) > 1
needs_two_cpus = pytest.mark.skipif(not TWO_CPUS, reason="one CPU: nobody executes meanwhile")

# Fields of each kind, beside "kind".
DISTRIBUTION = {"n", "discarded", "min_ns", "p50_ns", "p99_ns", "max_ns"}
FIELDS = {
    "silicon.machine": {"cpu", "family/model/stepping", "kernel", "cpus", "used", "tsc_khz",
                        "preemption_seen"},
    "silicon.sync": {"what"} | DISTRIBUTION,
    "silicon.batch": {"protocol", "sites", "rounds", "steps_p50_ns", "prepare_p50_ns",
                      "traps_per_flip", "bad", "elsewhere_p50_ns"} | DISTRIBUTION,
    "silicon.call": {"what", "p50_cycles"} | DISTRIBUTION,
    "silicon.dispatch": {"entries", "traffic", "shape", "chosen", "mitigation", "n", "discarded",
                         "ns", "cycles"},
    "silicon.dyncall": {"sequence", "way", "chosen_slots", "mitigation", "n", "discarded", "ns",
                        "cycles"},
    "silicon.key": {"what", "p50_cycles"} | DISTRIBUTION,
    "silicon.paravirt": {"what", "p50_cycles"} | DISTRIBUTION,
    "silicon.handler": {"what", "sites"} | DISTRIBUTION,
    "silicon.broken": {"protocol", "placement", "updates", "discarded", "executions", "traps",
                       "bad", "faults", "bad_per_million"},
    "silicon.bar": {"bar", "limit", "measured", "holds"},
    "silicon.stolen": {"stolen_ms"},
    "silicon.note": {"text"},
}


def run(*options, **others):
    """Runs the program to its end."""
    return subprocess.run([PROGRAM, *options], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIME_LIMIT_S, check=False, **others)


@pytest.fixture(scope="session", autouse=True)
def build():
    """Builds the program."""
    subprocess.run(["make", "-s", "-f", "tests/silicon/silicon.mk", f"BUILD={BUILD}",
                    "silicon-program"], cwd=ROOT, check=True, timeout=TIME_LIMIT_S)


@pytest.fixture(scope="session", name="rows")
def rows_of_one_quick_run():
    """The rows of one run, by kind."""
    done = run("-j", "--quick")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "progress belongs on a terminal only"
    rows = collections.defaultdict(list)
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows[row.pop("kind")].append(row)
    return rows


def test_every_kind_is_there_with_its_fields(rows):
    expected = set(FIELDS) - {"silicon.note"} - (set() if TWO_CPUS else
                                                 {"silicon.batch", "silicon.broken", "silicon.bar"})
    assert expected <= set(rows) <= set(FIELDS)
    for kind, found in rows.items():
        for row in found:
            assert set(row) == FIELDS[kind], kind


def test_machine_is_named(rows):
    machine, = rows["silicon.machine"]
    assert machine["cpu"] and machine["kernel"] == os.uname().release
    assert machine["tsc_khz"] > 100_000
    assert machine["cpus"] == os.sysconf("SC_NPROCESSORS_ONLN")


def test_distributions_are_ordered_and_empty_ones_are_null(rows):
    for kind, found in rows.items():
        for row in found:
            if "p50_ns" not in row:
                continue
            figures = [row[name] for name in ("min_ns", "p50_ns", "p99_ns", "max_ns")]
            if row["n"] == 0:
                assert figures == [None] * 4, (kind, row)
            else:
                # The two quantiles of the handler come from a histogram: 6.25 % too high at most.
                assert figures[0] <= figures[1] <= figures[2] <= figures[3], (kind, row)


@needs_two_cpus
def test_batches_take_the_rounds_their_protocol_promises(rows):
    rounds = {"int3": lambda n: 3 * n, "int3-batch": lambda n: 3, "qword": lambda n: 1,
              "stop": lambda n: 1, "naive": lambda n: 0}
    found = {(row["protocol"], row["sites"]): row for row in rows["silicon.batch"]}
    assert set(found) == {(protocol, n) for protocol in PROTOCOLS for n in (1, 16, 256)}
    for (protocol, sites), row in found.items():
        assert row["rounds"] == rounds[protocol](sites), row
        assert protocol == "naive" or row["bad"] == 0, row
        assert protocol not in ("qword", "stop", "naive") or row["traps_per_flip"] == 0, row


@needs_two_cpus
def test_right_protocols_break_nothing_while_the_sites_are_executed(rows):
    right = [row for row in rows["silicon.broken"] if row["protocol"] in ("int3-batch", "qword")]
    assert [(row["protocol"], row["placement"]) for row in right] == \
        [("int3-batch", placement) for placement in PLACEMENTS] + [("qword", PLACEMENTS[0])]
    for row in right:
        assert row["bad"] == row["faults"] == 0, row
        assert row["updates"] >= 10_000 and row["executions"] > 0, row
    assert sum(row["traps"] for row in right if row["protocol"] == "int3-batch") > 0
    assert all(row["traps"] == 0 for row in right if row["protocol"] == "qword")


@needs_two_cpus
def test_naive_fails_where_it_must(rows):
    naive = {row["placement"]: row for row in rows["silicon.broken"] if row["protocol"] == "naive"}
    assert set(naive) == set(PLACEMENTS)
    assert naive["across line"]["updates"] > 0 and naive["across line"]["bad"] > 0
    for row in naive.values():
        assert row["faults"] <= row["bad"] <= row["executions"], row


def test_calls_keys_and_handlers_are_complete(rows):
    assert {row["what"] for row in rows["silicon.call"]} == {
        "direct", "static, in line", "static, out of line", "through a wrapper",
        "indirect, no thunk", "thunk: jmp", "thunk: lfence; jmp", "thunk: retpoline",
        "lazy, converged", "entry, not traced", "entry, traced"}
    assert [row for row in rows["silicon.note"] if row["text"].startswith("calls:")] == []
    assert {row["what"] for row in rows["silicon.key"]} == {
        "key off", "key on", "load and test, off", "load and test, on"}
    assert {(row["what"], row["sites"]) for row in rows["silicon.handler"]} == {
        (what, sites) for what in ("handler alone", "with kernel and signal") for sites in (1, 256)}


SHAPES = ["tree", "tree4", "linear", "linear-cold", "hot1", "hot2", "none"]
TRAFFIC = ["first", "last", "round-robin", "burst", "zipf", "random", "miss"]


def test_dispatchers_are_complete(rows):
    found = collections.defaultdict(set)
    for row in rows["silicon.dispatch"]:
        found[row["entries"], row["traffic"]].add(row["shape"])
        assert row["mitigation"] == ("none" if row["shape"] in ("direct", "indirect")
                                     else "retpoline"), row
        assert (row["chosen"] in SHAPES) if row["shape"] == "auto" else row["chosen"] == "", row
        assert (row["n"] == 0) == (row["ns"] is None) == (row["cycles"] is None), row
    assert set(found) == {(entries, traffic) for entries in (1, 16) for traffic in TRAFFIC}
    for (_, traffic), shapes in found.items():
        assert shapes - {"auto"} == {"indirect", "retpoline", *SHAPES} | (
            {"direct"} if traffic == "first" else set())


@needs_two_cpus
def test_automatic_choice_decides_for_every_row(rows):
    assert not [row for row in rows["silicon.note"] if row["text"].startswith("dispatch:")]
    assert len([row for row in rows["silicon.dispatch"] if row["shape"] == "auto"]) == 14


def test_every_form_of_a_paravirt_site_is_there(rows):
    found = [row["what"] for row in rows["silicon.paravirt"]]
    fills = [f"{what}, fill {fill}{': inline' if fill + length == 6 else ''}"
             for what, length in (("nop", 1), ("pushfq; pop", 1), ("incl 12(%rdi)", 3))
             for fill in range(6)]
    assert found[:-4] == fills
    assert [what.split(": ")[1] for what in found[-4:]] == [
        "5 bytes", "direct, cs call", "call, nop", "indirect"]


PINNED = [f"{form}-{slots}" for form in ("imm", "mem") for slots in (1, 2, 4)]


def test_dynamic_calls_are_complete(rows):
    found = collections.defaultdict(dict)
    for row in rows["silicon.dyncall"]:
        found[row["sequence"]][row["way"]] = row
        assert row["mitigation"] == ("none" if row["way"] in ("direct", "indirect")
                                     else "retpoline")
        assert row["ns"] is None or (row["n"] > 0 and row["ns"] >= 0)
    assert list(found) == ["constant", "round-robin-4", "random-8"]
    for sequence, ways in found.items():
        direct = ["direct"] if sequence == "constant" else []
        assert list(ways) == direct + ["indirect", "retpoline", *PINNED, "off", "learning",
                                       "watched", "auto"]
    assert found["constant"]["auto"]["chosen_slots"] == 1
    assert not [row for row in rows["silicon.note"] if row["text"].startswith("dyncall:")]


@pytest.mark.parametrize("options, culprit", [
    (["--fast"], "unknown option '--fast'"),
    (["-j", "batch"], "unknown option 'batch'"),
    (["--only"], "no name behind '--only'"),
    (["--only", "calls2"], "no measurement 'calls2'"),
    (["--only=calls2"], "no measurement 'calls2'"),
    (["--only="], "no measurement ''"),
    ([""], "unknown option ''"),
])
def test_bad_options_are_named_and_nothing_runs(options, culprit):
    done = run(*options)
    assert done.returncode == 2 and done.stdout == ""
    assert culprit in done.stderr and "usage:" in done.stderr


def test_output_that_cannot_be_written_is_an_error_at_once():
    with open("/dev/full", "w", encoding="ascii") as full:
        for options in ["--help"], ["-j"], []:
            done = subprocess.run([PROGRAM, *options], stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=10, check=False)
            assert done.returncode == 1, options
            assert done.stderr == "silicon: cannot write to stdout: No space left on device\n"


def test_closed_stdout_is_an_error_before_anything_runs():
    done = subprocess.run([PROGRAM], stderr=subprocess.PIPE, text=True, timeout=10, check=False,
                          preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert done.stderr == "silicon: cannot write to stdout: it is closed\n"


BARS_MAIN = """
#include "tests/silicon/measure.h"
#include "tests/silicon/options.h"

#include <stdlib.h>

int main(int count, char **words)
{
    (void)count;
    options.json = true;
    options.quick = words[1][0] == 'q';
    bars.batch_was_measured = true;
    bars.flat_percent = atof(words[2]);
    bars.qword_ratio = atof(words[3]);
    bars.naive_bad = atof(words[4]);
    bars.naive_updates = strtoul(words[5], NULL, 10);
    bars.batch_bad = bars.qword_bad = strtoul(words[6], NULL, 10);
    bars.batch_updates = bars.qword_updates = strtoul(words[7], NULL, 10);
    bars_report();
    return 0;
}
"""


def compiled(tmp_path_factory, main):
    """The program of @main and the sources that judge bars."""
    folder = tmp_path_factory.mktemp("bars")
    (folder / "main.c").write_text(main, encoding="ascii")
    sources = [ROOT / name for name in (
        "tests/silicon/bars.c", "tests/silicon/dispatch_bars.c", "tests/silicon/report.c",
        "tests/silicon/options.c", "bench/bench_dispatch_traffic.c")]
    subprocess.run(["cc", "-std=gnu11", "-I.", folder / "main.c", *sources, "-lm", "-o",
                    folder / "bars"], cwd=ROOT, check=True, timeout=TIME_LIMIT_S)
    return folder / "bars"


def verdicts_of(program, *figures):
    """What @program, compiled above, says of @figures."""
    done = subprocess.run([program, *map(str, figures)], text=True, timeout=10,
                          stdout=subprocess.PIPE, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return [row["holds"] for row in found if row["kind"] == "silicon.bar"]


@pytest.fixture(scope="session", name="bars")
def bars_of_given_figures(tmp_path_factory):
    """A function: the verdicts of bars.c on the figures given."""
    return functools.partial(verdicts_of, compiled(tmp_path_factory, BARS_MAIN))


WHOLE, FEW = 10_000_000, 9_999_999
NAIVE_WHOLE, NAIVE_FEW = 1_000_000, 999_999


@pytest.mark.parametrize("figures, verdicts", [
    (("whole", 20, 2.5, 1, NAIVE_WHOLE, 0, WHOLE), [True, True, True, True, True]),
    (("whole", 20.1, 2.4, 0, NAIVE_WHOLE, 1, WHOLE), [False, False, False, False, False]),
    (("whole", 20, 2.5, 0, NAIVE_FEW, 0, FEW), [True, True, None, None, None]),
    (("whole", 20, 2.5, 1, 100, 1, 100), [True, True, True, False, False]),
    (("quick", 20, 2.5, 1, 100, 1, 100), [None, None, True, False, False]),
    (("quick", 99, 1.0, 0, 100, 0, 100), [None, None, None, None, None]),
])
def test_bar_not_measured_in_full_neither_holds_nor_fails(bars, figures, verdicts):
    assert bars(*figures) == verdicts


DISPATCH_MAIN = """
#include "tests/silicon/measure.h"
#include "tests/silicon/options.h"

#include <stdlib.h>

int main(int count, char **words)
{
    options.json = true;
    options.quick = words[1][0] == 'q';
    for (int i = 2; i + 4 < count; i += 5) {
        dispatch_bars_add(&(struct dispatch_figures){
            .traffic = atoi(words[i]),
            .entries = atoi(words[i + 1]),
            .retpoline = atof(words[i + 2]),
            .automatic = atof(words[i + 3]),
            .best = atof(words[i + 4]),
        });
    }
    bars_report();
    return 0;
}
"""
FIRST, LAST, IN_TURN, RANDOM, MISS = 0, 1, 2, 5, 6


@pytest.fixture(scope="session", name="dispatch_bars")
def dispatch_bars_of_given_figures(tmp_path_factory):
    """A function: the verdicts of bars.c on rows of (traffic, entries, retpoline, auto, best)."""
    program = compiled(tmp_path_factory, DISPATCH_MAIN)

    def judge(mode, *figures):
        return verdicts_of(program, mode, *[value for row in figures for value in row])
    return judge


DYNCALL_MAIN = """
#include "tests/silicon/measure.h"
#include "tests/silicon/options.h"

#include <stdlib.h>

static struct dyncall_figures figures(char **words)
{
    return (struct dyncall_figures){
        .direct = atof(words[0]),
        .retpoline = atof(words[1]),
        .pinned = atof(words[2]),
        .off = atof(words[3]),
        .automatic = atof(words[4]),
    };
}

int main(int count, char **words)
{
    options.json = true;
    options.quick = words[1][0] == 'q';
    bars.dyncall_was_measured = count == 12;
    bars.dyncall_constant = figures(words + 2);
    bars.dyncall_random = figures(words + 7);
    bars_report();
    return 0;
}
"""


@pytest.fixture(scope="session", name="dyncall_bars")
def dyncall_bars_of_given_figures(tmp_path_factory):
    """A function: the verdicts of bars.c on the constant row and on random among 8, each direct,
    retpoline, pinned, off, auto."""
    program = compiled(tmp_path_factory, DYNCALL_MAIN)

    def judge(mode, constant, random):
        return verdicts_of(program, mode, *constant, *random)
    return judge


CALM = (-1, 40, 45, 41.9, 41.9)


@pytest.mark.parametrize("constant, random, verdicts", [
    ((4, 22, 4.39, 23, 4.39), CALM, [True] * 6),
    ((4, 22, 4.5, 23, 4.3), CALM, [False, True, False, True, True, True]),
    ((4, 22, 4.3, 23, 4.5), CALM, [True, False, True, False, True, True]),
    ((4, 40, 4.5, 42, 4.5), CALM, [False, False, True, True, True, True]),
    ((4, 40, 4, 42, 4), (-1, 40, 40, 42.1, 40), [True] * 4 + [False, True]),
    ((4, 40, 4, 42, 4), (-1, 40, 40, 40, 42.1), [True] * 5 + [False]),
    ((-1, 40, 4, 42, 4), CALM, [None, None, True, True, True, True]),
    ((4, 40, 4, 42, -1), (-1, -1, 45, 42, 42), [True, None, True, None, None, None]),
])
def test_dyncall_bars(dyncall_bars, constant, random, verdicts):
    assert dyncall_bars("whole", constant, random) == verdicts
    assert dyncall_bars("quick", constant, random) == [None] * 6


GOOD = [(FIRST, 1, 13, 4, 4), (LAST, 16, 14, 4.5, 4.5), (IN_TURN, 1, 12.1, 4, 4),
        (IN_TURN, 16, 15, 4.5, 4.5), (MISS, 64, 40, 40.7, 40), (RANDOM, 64, 40, 41.9, 40)]


@pytest.mark.parametrize("figures, verdicts", [
    (GOOD, [True] * 6),
    (GOOD + [(LAST, 8, 15, 4.7, 4.7)], [False, True, True, True, True, True]),
    (GOOD + [(LAST, 32, 15, 4.7, 4.7)], [True] * 6),
    (GOOD + [(IN_TURN, 8, 15, 4.7, 4.7)], [True, False, True, True, True, True]),
    (GOOD + [(FIRST, 8, 11.9, 4, 4)], [True, True, False, True, True, True]),
    (GOOD[:4], [True, True, True, True, True, None]),
    (GOOD + [(RANDOM, 2, 40, 20, 18)], [True, True, True, False, True, True]),
    (GOOD + [(RANDOM, 32, 40, 42.1, 42)], [True, True, True, True, False, True]),
    (GOOD + [(MISS, 64, 40, 40.9, 40)], [True, True, True, True, True, False]),
    (GOOD + [(FIRST, 2, 12, -1, 4)], [None] * 6),
    ([], []),
])
def test_dispatch_bars_judge_the_worst_row(dispatch_bars, figures, verdicts):
    assert dispatch_bars("whole", *figures) == verdicts
    assert dispatch_bars("quick", *figures) == [None] * len(verdicts)


@needs_two_cpus
def test_quick_run_fails_no_bar(rows):
    for row in rows["silicon.bar"]:
        assert row["holds"] is (True if row["bar"] == "naive across a line" else None), row


def test_help_goes_to_stdout():
    done = run("--help")
    assert done.returncode == 0 and "--only" in done.stdout and done.stderr == ""


def test_only_one_measurement_and_a_table_for_people():
    done = run("--quick", "--only=keys")
    assert done.returncode == 0, done.stderr
    assert "load and test, off" in done.stdout and "retpoline" not in done.stdout
    assert "{" not in done.stdout
    head, values = done.stdout.splitlines()[2:4]
    kernel = os.uname().release
    assert head.split()[:3] == ["cpu", "family/model/stepping", "kernel"]
    assert head.index("kernel") == values.index(kernel), "columns are aligned"


def test_ctrl_c_ends_it_at_once():
    # A child of a shell's background job ignores Ctrl-C otherwise.
    with subprocess.Popen([PROGRAM, "-j"], stdout=subprocess.PIPE, text=True,
                          preexec_fn=lambda: signal.signal(signal.SIGINT,
                                                           signal.SIG_DFL)) as process:
        process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(10) == -signal.SIGINT
        finally:
            process.kill()


def test_one_cpu_measures_what_it_can_and_says_so():
    cpu = min(os.sched_getaffinity(0))
    done = run("-j", "--quick", preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    assert done.returncode == 0, done.stderr
    kinds = {json.loads(line)["kind"] for line in done.stdout.splitlines()}
    assert "silicon.call" in kinds and "silicon.batch" not in kinds
    assert "silicon.broken" not in kinds and "one CPU" in done.stdout
    assert "batch: not measured" in done.stdout and "broken: not measured" in done.stdout
