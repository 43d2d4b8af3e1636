"""The command line as a person meets it: its words, its exit code."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from glasslung.cli import main


def glasslung(*words: object, **more) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own."""
    command = [sys.executable, "-m", "glasslung", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def glasslung_here(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A verb in this process, which has the heavy libraries already."""
    command = ["glasslung", *map(str, words)]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", command))
        stack.enter_context(contextlib.chdir(cwd or Path.cwd()))
        out, err = io.StringIO(), io.StringIO()
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        for number, handler in handlers.items():
            stack.callback(signal.signal, number, handler)
        with pytest.raises(SystemExit) as left:
            main()
    code = left.value.code
    return subprocess.CompletedProcess(command, code or 0, out.getvalue(), err.getvalue())  # type: ignore[arg-type]


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """The single line of a user's mistake; no traceback, exit code 2."""
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.lstrip()[:1].isdigit()]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("glasslung: ")
    return lines[0]


def refused(words: Sequence[str], tmp_path: Path, **places: Path) -> str:
    """The one line that a mistake ends in, having left nothing behind.

    words  may name {tmp}, which holds an empty folder and a note.txt, and the places given
    """
    (tmp_path / "empty").mkdir()
    (tmp_path / "note.txt").write_text("not a scan")
    before = sorted(tmp_path.iterdir())
    told = one_line(glasslung_here(*(word.format(tmp=tmp_path, **places) for word in words), cwd=tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    return told
