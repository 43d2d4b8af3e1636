"""What a person reads: a line for each step, columns, mistakes."""

from __future__ import annotations

from glasslung.cli import telling
from glasslung.errors import UsageError


def test_a_step_is_told_once_where_the_output_is_no_terminal(capsys, monkeypatch):
    now = iter([0.0, 1.0, 2.0, 14.0, 15.0])
    monkeypatch.setattr(telling.time, "monotonic", lambda: next(now))
    with telling.progress_bar() as progress:
        for what, done in (("reading", 0.0), ("training: 1", 0.2), ("training: 2", 0.3)):
            progress(what, done)
        progress("training: 30", 0.5)  # after a while it is told again, with the time left
        progress("done", 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[-1].split(":")[0] for line in lines] == [
        "reading",
        "training",
        "training",
        "done, about 0 s left",
    ]
    assert lines[2].endswith("training: 30, about 14 s left")


def test_columns_are_as_wide_as_their_widest(capsys):
    telling.print_columns([("run", "state"), ("a-long-name", "new")])
    assert capsys.readouterr().out == "run          state\na-long-name  new\n"


def test_a_mistake_is_one_line(capsys):
    telling.tell_problem(UsageError("first\n  second"))
    assert capsys.readouterr().err == "glasslung: first second\n"
