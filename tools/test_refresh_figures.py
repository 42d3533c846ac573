# SPDX-License-Identifier: MIT
"""Self-tests of refresh_figures.py: documents whose figures are old, a kernel that answers."""

import refresh_figures

TABLE = ["name        n  total_us  note", "a one       1     2.500  x y",
         "b         100         -  z"]
PRINTED = f"""[    0.001] livetext
livetext> bench x
{chr(10).join(TABLE)}
livetext> exit
QEMU status 33: every command succeeded
"""


def answer(monkeypatch, text):
    """Makes every command print text; returns the list of commands run."""
    ran = []

    def fake(command, **_):
        ran.append(command)
        return type("Done", (), {"stdout": text, "stderr": ""})
    monkeypatch.setattr(refresh_figures.subprocess, "run", fake)
    return ran


def test_columns_are_dropped_and_the_rest_is_aligned():
    assert refresh_figures.drop_columns(TABLE, {"n"}) == [
        "name   total_us  note", "a one     2.500  x y", "b             -  z"]


def test_a_table_without_the_column_stays_as_it_is():
    assert refresh_figures.drop_columns(TABLE, {"m"}) == TABLE


def test_the_output_of_a_command_is_replaced_and_nothing_else(monkeypatch):
    ran = answer(monkeypatch, PRINTED)
    text = "# T\n\n```\n$ make run CMD='x'      (remark)\nold\nold too\n```\n\n```\nold\n```\nend\n"
    new = refresh_figures.refresh(text)
    assert new == text.replace("old\nold too\n", "\n".join(TABLE) + "\n")
    assert ran == ["make -s run CMD='x'"]


def test_the_comment_holds_for_the_next_block_alone(monkeypatch):
    answer(monkeypatch, PRINTED)
    block = "```\n$ make run\n```\n"
    new = refresh_figures.refresh("<!-- without: n, note -->\n" + block + block)
    first, second = new.split("```\n")[1], new.split("```\n")[3]
    assert "note" not in first and "total_us" in first
    assert second.splitlines()[1:] == TABLE


def test_a_session_of_several_commands_keeps_its_prompts(monkeypatch):
    answer(monkeypatch, PRINTED.replace("livetext> exit", "livetext> ver\nv1\nlivetext> exit"))
    lines = refresh_figures.run("make run")
    assert lines[0].startswith("[") and lines[-1].startswith("QEMU status 33")
    assert "livetext> ver" in lines and "livetext> exit" in lines


def test_a_kernel_that_does_not_come_up_is_an_error(monkeypatch):
    answer(monkeypatch, "make: error\n")
    try:
        refresh_figures.run("make run")
    except SystemExit as error:
        assert "no prompt came" in str(error)
    else:
        raise AssertionError("accepted")
