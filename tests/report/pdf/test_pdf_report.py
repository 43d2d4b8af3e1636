"""The report on paper: two to four pages that hold the story's figures, whatever the story is like."""

import re
import shutil
import subprocess

import pytest

from glasslung.errors import DataError
from glasslung.report.pdf import pdf_of_story, write_pdf
from glasslung.report.pdf.sheet import BODY_PT, TEXT_WIDTH, Sheets, length_of


@pytest.fixture(scope="module")
def pages(drawn):
    """Name of a made story -> the bytes of its PDF, each drawn once."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = pdf_of_story(drawn[name])
        return made[name]

    return of


def said(pdf, tmp_path):
    """All words of a PDF in one line."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext is not installed (Debian: poppler-utils)")
    (tmp_path / "a.pdf").write_bytes(pdf)
    told = subprocess.run(["pdftotext", tmp_path / "a.pdf", "-"], check=True, capture_output=True).stdout
    return re.sub(r"\s+", " ", told.decode())


def count_pages(pdf):
    return len(re.findall(rb"/Type /Page\b", pdf))


@pytest.mark.parametrize("name", ["asked-twice", "diagnosed", "pictures", "refused", "hostile"])
def test_every_kind_of_story_fits_on_a_few_pages(pages, name, tmp_path):
    pdf = pages(name)
    assert pdf.startswith(b"%PDF") and 1 <= count_pages(pdf) <= 4
    text = said(pdf, tmp_path)
    assert text.count("Research use only. Not a medical device") >= 1 + count_pages(pdf)
    assert f"page {count_pages(pdf)} of {count_pages(pdf)}" in text
    for heading in ("The scans at a glance", "How far to trust the figures", "What this report cannot say"):
        assert heading in text


def test_the_figures_are_the_storys(pages, drawn, tmp_path):
    from glasslung.data.story import read_story

    text = said(pages("diagnosed"), tmp_path)
    story = read_story(drawn["diagnosed"])
    scan = story.scans[0]
    for figure in (
        f"{scan.involvement:.1f} %",
        f"{scan.severity.points} of {scan.severity.most}",
        "83 %, likely",
        f"{scan.regions[0].lesions['consolidation'].percent:.1f} %",
    ):
        assert figure in text, figure
    assert "no clinical instrument" in text and "never seen a patient" in text


def test_the_same_story_gives_the_same_bytes(pages, drawn):
    assert pdf_of_story(drawn["diagnosed"]) == pages("diagnosed")


def test_doubts_stand_beside_what_they_doubt(pages, tmp_path):
    assert "To doubt it: It lies farther from the training scans than 97 %" in said(
        pages("asked-twice"), tmp_path
    )
    assert "Lesions not trusted: The network is unsure" in said(pages("unsure"), tmp_path)


def test_lines_never_leave_the_page():
    sheets = Sheets("foot")
    text = "short words and " + "averylongword" * 40 + " of a header"
    for line in sheets.wrapped(text, BODY_PT, TEXT_WIDTH):
        assert length_of(line, BODY_PT, "normal") <= TEXT_WIDTH + 1
    assert "".join(sheets.wrapped(text, BODY_PT)).replace(" ", "") == text.replace(" ", "")


def test_a_full_page_is_followed_by_another():
    sheets = Sheets("foot")
    for _ in range(120):
        sheets.paragraph("A line.")
    assert len(sheets.pages) > 1
    assert count_pages(sheets.pdf("lines")) == len(sheets.pages)


def test_what_is_damaged_leaves_no_pages(tmp_path):
    (tmp_path / "story.json").write_text("{}")
    with pytest.raises(DataError, match="schema"):
        write_pdf(tmp_path, tmp_path / "report.pdf")
    assert not (tmp_path / "report.pdf").exists()
