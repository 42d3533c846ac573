#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the commands that stand in documents and puts what they print now beside them.

A fenced block whose lines begin with `$ make` is taken: each such line is run (text behind `  (`
is a remark), and what follows it, up to the next such line or the end of the block, is replaced.
What make and QEMU say around the kernel's output is left out, and the shell's prompts if the
command is a single one. `<!-- without: NAME, NAME -->` in front of the block leaves columns of its
tables out. Figures that need a quiet machine need one now. Callers: a person, before a commit that
changes figures.
"""

import argparse
import pathlib
import re
import subprocess
import sys

FENCE, PROMPT, WITHOUT = "```", "livetext> ", re.compile(r"<!-- without: (.*?) -->")
NUMBER = re.compile(r"-|0x[0-9a-f]+|-?[\d.,]+|yes|no")


def run(command):
    """Returns the lines that the kernel printed for a `make run` line, from the first prompt on."""
    done = subprocess.run(command.replace("make run", "make -s run"), shell=True, check=False,
                          capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)
    lines = [line.rstrip() for line in done.stdout.replace("\r", "").splitlines()]
    if not any(line.startswith(PROMPT) for line in lines):
        sys.exit(f"refresh_figures: {command}: no prompt came\n{done.stdout}{done.stderr}")
    end = next(i for i, line in enumerate(lines) if line.startswith(PROMPT + "exit"))
    start = next(i for i, line in enumerate(lines) if line.startswith("[") or
                 line.startswith(PROMPT))
    prompts = [line for line in lines[:end] if line.startswith(PROMPT)]
    if len(prompts) == 1:
        return lines[lines.index(prompts[0]) + 1:end]
    return lines[start:end + 1] + [line for line in lines[end + 1:] if line.startswith("QEMU")]


def fields(line):
    return re.split(r" {2,}", line.strip())


def render(rows):
    """Returns the rows as lines, columns aligned: numbers to the right, text to the left."""
    lines = []
    widths = [max(map(len, column)) for column in zip(*rows)]
    right = [all(NUMBER.fullmatch(value) for value in column[1:]) for column in zip(*rows)]
    for row in rows:
        cells = [value.rjust(width) if is_right else value.ljust(width)
                 for value, width, is_right in zip(row, widths, right)]
        lines.append("  ".join(cells).rstrip())
    return lines


def drop_columns(lines, names):
    """Returns the lines without the columns called names, in every table that has them."""
    out, position = [], 0
    while position < len(lines):
        header = fields(lines[position])
        keep = [i for i, name in enumerate(header) if name not in names]
        rows = [header]
        while (len(keep) < len(header) and position + len(rows) < len(lines)
               and len(fields(lines[position + len(rows)])) == len(header)):
            rows.append(fields(lines[position + len(rows)]))
        out += render([[row[i] for i in keep] for row in rows]) if len(rows) > 1 else [
            lines[position]]
        position += len(rows)
    return out


def refresh_block(block, names):
    """Returns the lines of a fenced block, the output of its commands renewed."""
    out = []
    for line in block:
        if line.startswith("$ make"):
            command = line[2:].split("  (")[0].strip()
            print(f"refresh_figures: {command}", file=sys.stderr)
            out += [line, *drop_columns(run(command), names)]
    return out


def refresh(text):
    """Returns the document, its figures renewed."""
    lines, out, position, names = text.splitlines(), [], 0, set()
    while position < len(lines):
        line = lines[position]
        position += 1
        out.append(line)
        if WITHOUT.search(line):
            names = set(re.split(r", *", WITHOUT.search(line).group(1)))
        elif line.startswith(FENCE):
            end = lines.index(FENCE, position)
            block = lines[position:end]
            taken = block and block[0].startswith("$ make")
            out += refresh_block(block, names) if taken else block
            out.append(FENCE)
            position, names = end + 1, set()
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("documents", nargs="+", type=pathlib.Path)
    for document in parser.parse_args().documents:
        document.write_text(refresh(document.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
