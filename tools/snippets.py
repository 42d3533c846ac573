# SPDX-License-Identifier: MIT
"""Snippets of C that a header of patching/ promises to accept or to refuse, given to gcc and to
clang. Invariant: nothing is written but what was asked for. Used by: test_static_call_types.py,
test_dynamic_call_types.py."""

import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent

by_each_compiler = pytest.mark.parametrize("compiler", [
    pytest.param(name, marks=pytest.mark.skipif(shutil.which(name) is None,
                                                reason=f"{name} is not installed"))
    for name in ("gcc", "clang")])


def snippet_compile(compiler, text, *options, output="/dev/null"):
    """Returns (status, messages)."""
    done = subprocess.run([compiler, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I.", "-c",
                           "-O2", "-fno-pie", "-mgeneral-regs-only", *options, "-x", "c", "-",
                           "-o", output], cwd=ROOT, input=text, text=True, capture_output=True,
                          check=False)
    return done.returncode, done.stderr


def expect_compiles(compiler, text, *options, output="/dev/null"):
    status, messages = snippet_compile(compiler, text, *options, output=output)
    assert status == 0, messages


def expect_refused(compiler, text, reason):
    """@reason: a part of what each compiler says of it."""
    status, messages = snippet_compile(compiler, text)
    assert status != 0, "compiles"
    assert reason in messages
