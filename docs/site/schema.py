"""Pages of the files that analyses write, made from their published schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from columns import parts_of

Schema = Mapping[str, Any]


def schema_page(file: Path, words: str) -> str:
    """One published schema as Markdown: the file itself, then each of its nouns.

    words  what the program says of the file's own fields
    """
    schema = json.loads(file.read_text("utf-8")) | {"description": words}
    nouns = schema.get("$defs", {})
    parts = [_noun("The file itself", schema, "file")]
    parts += [_noun(name, noun, name.lower()) for name, noun in sorted(nouns.items())]
    return "\n".join(parts)


def _noun(name: str, noun: Schema, anchor: str) -> str:
    prose, meanings = _described(noun.get("description", ""))
    title = f"## {name} {{ #{anchor} }}"
    if "enum" in noun:
        words = ", ".join(f"`{word}`" for word in noun["enum"])
        return f"{title}\n\n{prose}\n\nOne of {words}.\n"
    needed = set(noun.get("required", ()))
    rows = [
        f"| `{field}` | {_kind(told)}{'' if field in needed else ', optional'} | {meanings.get(field, '')} |"
        for field, told in noun.get("properties", {}).items()
    ]
    return "\n".join([title, "", prose, "", "| field | kind | meaning |", "| --- | --- | --- |", *rows, ""])


def _described(text: str) -> tuple[str, dict[str, str]]:
    """Prose of a description, and what it says of each field."""
    prose, meanings = [], {}
    for part in parts_of(text):
        if isinstance(part, str):
            prose.append(part)
            continue
        for names, meaning in part:
            for name in names.split(","):
                meanings[name.strip()] = meaning.replace("|", "\\|")
    return "\n\n".join(prose), meanings


def _kind(told: Schema) -> str:
    """The kind of a field in words: 'number or null', 'list of [Amount](#amount)'."""
    if "$ref" in told:
        name = told["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in told:
        return f"`{told['const']}`"
    if "enum" in told:
        return " or ".join(f"`{word}`" for word in told["enum"])
    if "anyOf" in told:
        return " or ".join(_kind(one) for one in told["anyOf"])
    kind = told.get("type", "anything")
    if kind == "array":
        inner = [_kind(one) for one in told.get("prefixItems", [])] or [_kind(told.get("items", {}))]
        return f"list of {', '.join(dict.fromkeys(inner))}"
    if kind == "object" and isinstance(told.get("additionalProperties"), Mapping):
        return f"table of {_kind(told['additionalProperties'])} by name"
    return {"null": "null", "string": "text", "boolean": "true or false"}.get(kind, kind)
