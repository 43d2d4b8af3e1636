"""The cards of what ships: every folder of weights has one, and the documentation shows the same text."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHIPPED = sorted(folder for folder in (ROOT / "src/glasslung/weights").iterdir() if folder.is_dir())
MOST_BYTES, MOST_IN_ALL = 20_000_000, 80_000_000


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_card_stands_beside_the_weights_and_in_the_documentation(folder: Path) -> None:
    card = (folder / "card.md").read_text(encoding="utf-8")
    assert card == (ROOT / "docs/models" / f"{folder.name}.md").read_text(encoding="utf-8")
    told = " ".join(card.lower().split())
    for said in ("data", "limits", "not a medical device"):
        assert said in told, f"{folder.name}: its card is silent on {said!r}"


def test_what_ships_is_small_and_holds_no_code() -> None:
    sizes = {}
    for folder in SHIPPED:
        files = [file for file in folder.iterdir() if file.is_file()]
        assert {file.suffix for file in files} <= {".safetensors", ".json", ".md"}
        sizes[folder.name] = sum(file.stat().st_size for file in files)
    assert max(sizes.values()) <= MOST_BYTES and sum(sizes.values()) <= MOST_IN_ALL
