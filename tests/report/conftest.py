"""The made stories, drawn once for all tests of the report."""

from pathlib import Path

import made_stories
import pytest

from glasslung.report.page import write_report


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> dict[str, Path]:
    """Name of each made story -> its folder, with the report in it."""
    root = tmp_path_factory.mktemp("stories")
    for name, scans in made_stories.EXAMPLES.items():
        made_stories.make_story(root / name, *(made_stories.small(scan) for scan in scans))
        write_report(root / name)
    return {name: root / name for name in made_stories.EXAMPLES}


@pytest.fixture(scope="session")
def pages(drawn) -> dict[str, str]:
    """Name of each made story -> its report as text."""
    return {name: (folder / "report.html").read_text(encoding="utf-8") for name, folder in drawn.items()}
