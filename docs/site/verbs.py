"""The page of the command line, written from the verbs themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from glasslung.cli import app


def verbs_page() -> str:
    """All verbs and their options, as Markdown."""
    return "\n".join(_told(typer.main.get_command(app), "glasslung"))


def all_verbs(command: Any = None, name: str = "glasslung") -> Iterator[tuple[str, Any]]:
    """(how it is typed, the command) of every verb, groups opened."""
    command = command or typer.main.get_command(app)
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from all_verbs(one, f"{name} {word}")


def _told(command: Any, name: str) -> Iterator[str]:
    for typed, verb in all_verbs(command, name):
        arguments = [one for one in verb.params if one.param_type_name == "argument"]
        options = [one for one in verb.params if one.param_type_name == "option" and "--help" not in one.opts]
        line = " ".join([typed, *(_argument(one) for one in arguments), *["[OPTIONS]"] * bool(options)])
        word = typed.removeprefix("glasslung ")
        yield f"\n## {word} {{ #{word.replace(' ', '-')} }}\n"
        yield f"```text\n{line}\n```\n"
        yield f"{_help(verb.help)}\n"
        if arguments + options:
            yield "| | what it is |\n| --- | --- |"
            yield from (f"| {_names(one)} | {_meaning(one)} |" for one in arguments + options)


def _argument(one: Any) -> str:
    name = one.metavar or one.name.upper()
    return f"{name}{'...' if one.nargs == -1 else ''}"


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_argument(one)}`"
    return "<br>".join(f"`{word}`" for word in one.opts + one.secondary_opts)


def _meaning(one: Any) -> str:
    told = [_help(one.help)] if one.help else []
    told += ["*Needed.*"] * bool(one.required)
    told += ["May be repeated."] * bool(one.multiple and "repeated" not in (one.help or ""))
    told += [f"Default: `{one.default}`."] * bool(
        one.default and isinstance(one.default, str | int | float | Path)
    )
    return " ".join(told).replace("|", "\\|").replace(" Default: `True`.", "")


def _help(text: str | None) -> str:
    return " ".join((text or "").split())
