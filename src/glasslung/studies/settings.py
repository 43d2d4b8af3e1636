"""Settings from text: what a person types becomes what a model's Config holds, or is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from glasslung.errors import UsageError

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "null"}


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """['lr=1e-3', 'kl=sampled', 'single_age=null'] -> values; what is no JSON is text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set {pair!r}: give name=value, for example lr=1e-3")
        try:
            found[name.strip()] = json.loads(text)
        except ValueError:
            found[name.strip()] = text.strip()
    return found


def typed_settings(config: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the fields of a Config want them; UsageError for an unknown name or a wrong kind."""
    hints = typing.get_type_hints(config)
    known = [field.name for field in dataclasses.fields(config)]
    for name in settings:
        if name not in known:
            raise UsageError(f"there is no setting {name!r}; there are {', '.join(known)}")
    return {name: _typed(name, value, hints[name]) for name, value in settings.items()}


def _typed(name: str, value: Any, hint: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"setting {name!r} must be a finite number, not {value}")
    union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    kinds = typing.get_args(hint) if union else (hint,)
    for kind in kinds:
        plain = typing.get_origin(kind) or kind
        if type(value) is plain:
            return value
        if plain is float and type(value) is int:
            return float(value)
        if plain is tuple and isinstance(value, list):
            return tuple(value)
    wanted = " or ".join(NAMES.get(kind, str(kind)) for kind in kinds)
    raise UsageError(f"setting {name!r} must be {wanted}, not {value!r}")
