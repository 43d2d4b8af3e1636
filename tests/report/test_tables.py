"""Tables: each figure stands in its place, and a missing one is told."""

import re

import pytest

from glasslung.data.story import read_story
from glasslung.report.tables import changes_table, glance, refusal, regions_table, trust, zones_table
from glasslung.report.wording import difference, ml, percent, rate


def rows(page: str) -> list[list[str]]:
    """The cells of a table as text, row by row."""
    found = []
    for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page, flags=re.S):
        cells = re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S)
        found.append([re.sub(r"<[^>]+>", " ", cell).strip() for cell in cells])
    return found


@pytest.fixture
def four(drawn):
    return read_story(drawn["four"])


def test_the_glance_holds_the_figures_of_the_story(four):
    head, *body = rows(glance(four))
    assert head == ["Scan", "Day", "Lung volume", "Involvement", "Opacity", "Severity", "Can it be trusted?"]
    for scan, row in zip(four.scans, body, strict=True):
        assert row[:4] == [scan.scan, f"{scan.day:g}", ml(scan.regions[0].ml), percent(scan.involvement)]
    assert [row[-1] for row in body] == ["no warnings", "no warnings", "read with care", "no warnings"]


def test_columns_that_nothing_stands_in_are_left_out(drawn):
    head = rows(glance(read_story(drawn["pictures"])))[0]
    assert head == ["Scan", "Can it be trusted?"]
    assert "doubt" in glance(read_story(drawn["untrusted"]))


def test_regions_show_each_band_in_per_cent_and_ml(four):
    scan = four.scans[2]
    head, *body = rows(regions_table(scan))
    assert [row[0] for row in body] == [region.name for region in scan.regions]
    at = head.index("ground-glass")
    for region, row in zip(scan.regions, body, strict=True):
        amount = region.bands["ground-glass"]
        assert row[at].split() == f"{percent(amount.percent)} {ml(amount.ml)}".split()
        assert row[-1].split() == f"{percent(region.affected.percent)} {ml(region.affected.ml)}".split()


def test_pictures_have_no_empty_columns_but_a_reason(drawn):
    scan = read_story(drawn["pictures"]).scans[0]
    assert rows(regions_table(scan))[0] == ["Region", "Voxels"]
    assert "refused rather than guessed" in refusal(scan)


def test_hounsfield_scans_need_no_refusal(four):
    assert refusal(four.scans[0]) is None


def test_changes_read_from_left_to_right(four):
    head, *body = rows(changes_table(four.changes))
    assert head == ["Measure", "scan-01", "change", "scan-02", "change", "scan-03", "change", "scan-04"]
    by_name = {row[0]: row for row in body}
    severity = by_name["severity, of 24"]
    assert [severity[n] for n in (1, 3, 5, 7)] == [str(scan.severity.points) for scan in four.scans]
    change = next(c for c in four.changes if c.measure == "involvement")
    shown = by_name["involvement (affected, both lungs)"][2]
    assert shown.startswith(difference(change.difference, "percent"))
    assert shown.endswith(rate(change.per_day, "percent"))
    assert "involvement" not in by_name


def test_pairs_with_a_gap_between_them_repeat_the_first_scan(four):
    apart = [c for c in four.changes if c.scan_before != "scan-02"]
    head = rows(changes_table(apart))[0]
    assert head == ["Measure", "scan-01", "change", "scan-02", "scan-03", "change", "scan-04"]


def test_unknown_days_have_no_rate(drawn):
    assert "/ day" not in changes_table(read_story(drawn["unknown-days"]).changes)


def test_the_score_adds_up_and_is_defined(four):
    score = four.scans[2].severity
    page = zones_table(score)
    body = rows(page)[1:]
    assert sum(int(row[-1]) for row in body[:-1]) == int(body[-1][-1]) == score.points
    assert "After Ooi" in page


def test_trust_tells_every_remark_with_its_remedy_and_the_outline(drawn, four):
    page = trust(four.scans[2])
    for remark in four.scans[2].gate:
        assert remark.text in page
        assert remark.remedy in page
    assert "Lung outline trusted" in page
    doubted = trust(read_story(drawn["untrusted"]).scans[1])
    assert "not trusted" in doubted
    assert "leaks into the bowel" in doubted
