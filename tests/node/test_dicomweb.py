"""DICOMweb as a client: studies found and taken, results brought, and servers that misbehave."""

from __future__ import annotations

import datetime as dt

import pytest
from made_dicomweb import DicomWeb
from made_nodes import Archive, idle, states, tell
from made_objects import made_settings, uid_of, write_object, write_result

from glasslung.node import dicomweb
from glasslung.node.dicomweb import fetch_series, find_series, find_studies, send_results
from glasslung.node.exchange import RefusedResult, Series, Unreachable, read_result
from glasslung.node.node import Node
from glasslung.node.settings import Destination, Earlier, Place, Watch

TODAY = f"{dt.datetime.now():%Y%m%d}"


@pytest.fixture
def served(tmp_path):
    """Two studies of today, one of long ago."""
    files = [write_object(tmp_path / "web", patient="A", day=TODAY, slice_=n) for n in range(3)]
    files.append(write_object(tmp_path / "web", patient="B", day=TODAY))
    files.append(write_object(tmp_path / "web", patient="A", day="20200302"))
    web = DicomWeb(files)
    yield web
    web.close()


@pytest.fixture
def node(tmp_path, served, monkeypatch):
    archive = Archive(monkeypatch)
    node = Node(made_settings(tmp_path / "node", peers=(), watch=Watch(url=served.url)), tell)
    node.archive = archive
    yield node
    node.close()


def test_studies_and_series_are_found(served):
    found = find_studies(Place(url=served.url), {"PatientID": "A"})
    assert {one.day for one in found} == {TODAY, "20200302"}
    (series,) = find_series(Place(url=served.url), uid_of(f"A {TODAY}"))
    assert series == Series(uid_of(f"A {TODAY}"), uid_of(f"A {TODAY}", "series"), 3)
    assert find_studies(Place(url=served.url), {"PatientID": "nobody"}) == []


@pytest.mark.parametrize("pages", [True, False])
def test_long_lists_are_read_page_by_page(served, monkeypatch, pages):
    monkeypatch.setattr(dicomweb, "PAGE", 1)
    served.pages = pages
    found = find_studies(Place(url=served.url), {})
    assert len({one.uid for one in found}) == len(found) == 3


def test_what_is_new_is_taken_once(node, served):
    assert node.watch() == 4
    assert node.watch() == 0
    assert idle(node)
    assert set(states(node).values()) == {"sent"}
    assert len(node.archive.held) == 2
    assert not any("20200302" in path for path in served.asked)


def test_a_study_that_grows_there_is_taken_again(node, served, tmp_path):
    node.watch()
    idle(node)
    served.add(write_object(tmp_path / "late", patient="A", day=TODAY, slice_=3).read_bytes())
    assert node.watch() == 4
    (grown,) = (study for study in node.queue.studies() if study.objects == 4)
    assert grown.state == "received"
    assert node.watch() == 0


def test_what_is_refused_is_not_asked_for_for_ever(node, served, tmp_path):
    served.add(write_object(tmp_path / "big", patient="C", day=TODAY, side=900).read_bytes())
    assert node.watch() == 4
    asked = len([path for path in served.asked if "/series/" in path])
    node.watch()
    assert len([path for path in served.asked if "/series/" in path]) == asked


def test_a_message_that_ends_too_early_is_taken_up_to_there(node, served):
    served.cut = 2500
    assert node.watch() == 0, "it could not be read, which is logged"
    served.cut = None
    assert node.watch() > 0
    assert idle(node)
    assert sorted(study.objects for study in node.queue.studies()) == [1, 3]


def test_no_room_ends_the_taking(node, served, monkeypatch):
    monkeypatch.setattr(type(node.store), "free_bytes", lambda store: -1)
    with pytest.raises(Unreachable, match="disk is full"):
        fetch_series(
            node.settings.watch, Series(uid_of("B " + TODAY), uid_of("B " + TODAY, "series"), 1), node.intake
        )


def test_authorization_is_shown_and_needed(served, tmp_path):
    served.authorization = "Bearer abc"
    with pytest.raises(Unreachable, match="401"):
        find_studies(Place(url=served.url), {})
    (tmp_path / "token").write_text("Bearer abc\n")
    assert len(find_studies(Place(url=served.url, authorization_file=tmp_path / "token"), {})) == 3
    with pytest.raises(Unreachable, match="cannot be read"):
        find_studies(Place(url=served.url, authorization_file=tmp_path / "none"), {})


def test_a_server_that_is_not_there_or_talks_nonsense(served):
    for url, told in (("http://127.0.0.1:9/web", "cannot be reached"), (served.url + "/nothing", "404")):
        with pytest.raises(Unreachable, match=told):
            find_studies(Place(url=url), {})


def test_results_are_brought(served, tmp_path):
    place = Destination(url=served.url, name="web")
    results = [read_result(write_result(tmp_path / f"{n}.dcm", n)) for n in range(2)]
    assert list(send_results(place, results)) == results
    assert all(served.held[one.uid][1] == one.path.read_bytes() for one in results)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (("DICOM", 0xA700), Unreachable),
        (("DICOM", 0x0110), RefusedResult),
        (("DICOM", 0xA900), RefusedResult),
        (("HTTP", 400), RefusedResult),
        (("HTTP", 415), RefusedResult),
        (("HTTP", 302), Unreachable),
        (("HTTP", 401), Unreachable),
        (("HTTP", 503), Unreachable),
    ],
)
def test_results_that_are_not_taken(served, tmp_path, answer, error):
    served.refusing = answer
    with pytest.raises(error):
        list(
            send_results(
                Destination(url=served.url, name="web"), [read_result(write_result(tmp_path / "r", 1))]
            )
        )


def test_a_result_that_is_there_already_is_there(served, tmp_path):
    served.refusing = ("DICOM", 0x0111)
    result = read_result(write_result(tmp_path / "r", 1))
    assert list(send_results(Destination(url=served.url, name="web"), [result])) == [result]


def test_earlier_studies_are_fetched_and_compared_with(tmp_path, served, monkeypatch):
    Archive(monkeypatch)
    jobs = []

    def look(job, *rest):
        jobs.append([len(list(scan.iterdir())) for scan in job.scans])
        return tell(job, *rest)

    settings = made_settings(tmp_path / "node", earlier=Earlier(url=served.url), watch=Watch(url=served.url))
    node = Node(settings, look)
    node.watch()
    idle(node)
    assert sorted(jobs) == [[1], [1, 3]]
    assert sorted(states(node).values()) == ["kept", "sent", "sent"]
    node.close()


def test_without_the_archive_the_scan_is_told_alone_and_it_is_said(tmp_path, served, monkeypatch):
    Archive(monkeypatch)
    settings = made_settings(
        tmp_path / "node", earlier=Earlier(url="http://127.0.0.1:9"), watch=Watch(url=served.url)
    )
    node = Node(settings, tell)
    node.watch()
    idle(node)
    assert set(states(node).values()) == {"sent"}
    assert all("cannot be reached" in study.remark for study in node.queue.studies())
    node.close()
