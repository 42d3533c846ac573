# SPDX-License-Identifier: MIT
"""Self-test of the fuzz runner: a fuzzer that found something, or did nothing, must not pass.

The fuzzers here are shell scripts that print what libFuzzer would. Run by make test."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import fuzz_mutants  # noqa: E402
import run_fuzzers  # noqa: E402
import seeds  # noqa: E402

GOOD = "echo '#9 DONE cov: 500 ft: 1'; echo 'stat::number_of_executed_units: 900'"


@pytest.fixture
def fuzz(tmp_path, monkeypatch):
    """Returns a function that fuzzes for a second with the script given."""
    def run(script):
        monkeypatch.setattr(run_fuzzers, "TARGETS", {"fuzz_batch": (9, 20, 400)})
        monkeypatch.setattr(run_fuzzers, "GRACE_SECONDS", 1)
        program = tmp_path / "fuzz/fuzz_batch"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return run_fuzzers.fuzz(tmp_path, 1)
    return run


def test_fuzzer_that_ran_and_found_nothing_passes(fuzz, capsys):
    assert fuzz(GOOD) == 0
    assert "fuzz_batch: 900 executions, 900 a second, 500 edges" in capsys.readouterr().out


@pytest.mark.parametrize("script, complaint", [
    ("true", "few executions"),
    (GOOD.replace("900", "19"), "few executions"),
    (GOOD.replace("500", "399"), "few edges"),
    (GOOD + "; exit 1", "ended with status 1"),
    (GOOD + "; kill -SEGV $$", "ended with status -11"),
    (GOOD + "; sleep 30", "ended with status -9"),
    ("echo 'tests/fuzz/model.c:7: not so'; echo 'Test unit written to x/crash-1'; exit 77",
     "tests/fuzz/model.c:7: not so\n    input: x/crash-1\n    replay: "),
])
def test_fuzzer_that_failed_or_hardly_ran_does_not_pass(fuzz, capsys, script, complaint):
    assert fuzz(script) == 1
    assert complaint in capsys.readouterr().out


def test_compiler_that_cannot_link_a_fuzzer_skips_with_a_reason(tmp_path):
    for script in "run_fuzzers.py", "fuzz_mutants.py":
        words = ["--seconds", "1"] if script == "run_fuzzers.py" else []
        done = subprocess.run(
            [pathlib.Path(__file__).parent / script, "--make", "false", "--build", tmp_path,
             "--clang", "no-such-clang", *words], text=True, capture_output=True, check=True)
        assert "no no-such-clang: No such file" in done.stdout
        assert "0 passed, 0 failed, " in done.stdout.splitlines()[-1]
    assert not (tmp_path / "mutants/fuzz.tsv").exists()


def compiler(tmp_path, script):
    """Returns a program that is taken for the compiler."""
    program = tmp_path / "compiler"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def runner(tmp_path, clang, seconds="60"):
    """Returns the command that fuzzes with that compiler and make's work done."""
    return [pathlib.Path(__file__).parent / "run_fuzzers.py", "--make", "true", "--build", tmp_path,
            "--clang", clang, f"--seconds={seconds}"]


def default_signals():
    """A child of a shell's background job ignores Ctrl-C otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_compiler_that_fails_without_a_word_skips_with_its_status(tmp_path):
    done = subprocess.run(runner(tmp_path, compiler(tmp_path, "exit 3")), text=True,
                          capture_output=True, check=True)
    assert "it ends with status 3 and says nothing" in done.stdout and done.stderr == ""


@pytest.mark.parametrize("seconds", ["0", "-1", "", "abc", "1.5", "99999999"])
def test_seconds_that_are_none_are_refused_by_name(tmp_path, seconds):
    done = subprocess.run(runner(tmp_path, "true", seconds), text=True, capture_output=True,
                          check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == f"fuzz: '{seconds}' is no whole number of seconds from 1 on\n"


def test_an_interrupt_waits_until_what_was_started_is_known():
    known = []
    with pytest.raises(KeyboardInterrupt):
        with run_fuzzers.interrupts_held():
            os.kill(os.getpid(), signal.SIGINT)
            known.append("started")
    assert known == ["started"]
    with run_fuzzers.interrupts_held():
        pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_ends_fuzzers_and_runner_without_a_traceback(tmp_path):
    folder = tmp_path / "fuzz"
    folder.mkdir()
    for target in run_fuzzers.TARGETS:
        program = folder / target
        program.write_text(f"#!/bin/sh\necho $$ >{folder}/{target}.pid\nexec sleep 60\n")
        program.chmod(0o755)
    pids = [folder / f"{target}.pid" for target in run_fuzzers.TARGETS]
    with subprocess.Popen(runner(tmp_path, compiler(tmp_path, "exit 0")), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          preexec_fn=default_signals) as process:
        end = time.monotonic() + 60
        while not all(pid.exists() and pid.read_text() for pid in pids):
            assert time.monotonic() < end, "the fuzzers never started"
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said == "\nfuzz: interrupted\n"
    for pid in pids:
        assert not pathlib.Path("/proc", pid.read_text().strip()).exists()


def test_seeds_fit_the_longest_input(tmp_path):
    for target, folder in seeds.write(tmp_path).items():
        sizes = [file.stat().st_size for file in folder.iterdir()]
        assert len(sizes) > 50 and max(sizes) <= run_fuzzers.TARGETS[target][0]


@pytest.mark.parametrize("mutant", fuzz_mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_mutants_fit_the_tree(mutant):
    text = (fuzz_mutants.ROOT / fuzz_mutants.path_of(mutant)).read_text()
    assert text.count(mutant.search) == 1 and mutant.search != mutant.replacement
