"""What becomes part of a study, and what is refused with which status."""

from __future__ import annotations

import pytest
from made_nodes import bring
from made_objects import CT, MR, ct_object, made_settings, uid_of, write_object

from glasslung.data.formats.identity import one_way_key
from glasslung.node import intake as intake_room
from glasslung.node.intake import RefusedObject, is_uid
from glasslung.node.node import Node
from glasslung.node.settings import Limits
from glasslung.node.studies import Admission


@pytest.fixture
def node(tmp_path):
    node = Node(made_settings(tmp_path / "node"))
    yield node
    node.close()


def refused(node, file, **how) -> RefusedObject:
    with pytest.raises(RefusedObject) as problem:
        bring(node, file, **how)
    assert list(node.store.incoming().iterdir()) == []
    return problem.value


def files(node):
    return sorted(path for path in node.store.studies.rglob("*") if path.is_file())


def test_an_object_is_kept_whole_and_names_nobody(node, tmp_path):
    file = write_object(tmp_path, patient="Smith")
    assert bring(node, file) is Admission.NEW
    (kept,) = files(node)
    assert kept.read_bytes() == file.read_bytes()
    assert kept.parent.name == one_way_key("study", uid_of("Smith 20200302"))
    assert "mith" not in str(kept.relative_to(tmp_path))
    (study,) = node.queue.studies()
    assert (study.patient, study.day) == (one_way_key("patient", "Smith"), "20200302")
    assert list(node.store.incoming().iterdir()) == []


def test_a_sender_is_answered_when_the_object_would_survive_a_power_cut(node, tmp_path, disk_waits):
    disk_waits.clear()
    bring(node, write_object(tmp_path))
    assert len(disk_waits) == 2, "the file and its name; the queue's own wait has a test beside it"


def test_the_folder_is_for_its_user_alone(node):
    for folder in (node.store.folder, node.store.studies, node.store.results):
        assert folder.stat().st_mode & 0o077 == 0
    assert (node.store.folder / "queue.sqlite").stat().st_mode & 0o077 == 0


def test_a_duplicate_is_there_once(node, tmp_path):
    file = write_object(tmp_path)
    bring(node, file)
    assert bring(node, file) is Admission.KNOWN
    assert len(files(node)) == 1


def test_other_content_under_the_same_uid_replaces(node, tmp_path):
    bring(node, write_object(tmp_path / "a", side=8))
    other = write_object(tmp_path / "b", side=9)
    assert bring(node, other) is Admission.REPLACED
    (kept,) = files(node)
    assert kept.read_bytes() == other.read_bytes()


def test_an_object_of_another_study_is_refused(node, tmp_path):
    bring(node, write_object(tmp_path))
    thief = ct_object()
    thief.StudyInstanceUID = uid_of("another study")
    thief.save_as(tmp_path / "thief.dcm", enforce_file_format=True)
    assert refused(node, tmp_path / "thief.dcm").status == RefusedObject.INVALID_INSTANCE
    assert len(files(node)) == 1
    assert len(node.queue.studies()) == 1


@pytest.mark.parametrize("cut", [1, 2, 100, 129, 600, 2000])
def test_what_was_cut_short_is_refused(node, tmp_path, cut):
    file = write_object(tmp_path, side=32)
    file.write_bytes(file.read_bytes()[:-cut])
    assert refused(node, file).status == RefusedObject.CANNOT_UNDERSTAND
    assert files(node) == []


def test_compressed_pixels_that_were_cut_short_are_refused(node, tmp_path):
    ds = ct_object(side=32)
    ds.compress("1.2.840.10008.1.2.5")
    ds.save_as(tmp_path / "rle.dcm", enforce_file_format=True)
    content = (tmp_path / "rle.dcm").read_bytes()
    assert bring(node, tmp_path / "rle.dcm") is Admission.NEW
    for cut in (9, 60):
        (tmp_path / "cut.dcm").write_bytes(content[:-cut])
        assert refused(node, tmp_path / "cut.dcm").status == RefusedObject.CANNOT_UNDERSTAND


@pytest.mark.parametrize("content", [b"", b"x", b"\0" * 5000, b"\0" * 128 + b"DICM" + b"\xff" * 900])
def test_what_is_no_dicom_is_refused(node, tmp_path, content):
    (tmp_path / "noise").write_bytes(content)
    assert refused(node, tmp_path / "noise").status in (
        RefusedObject.CANNOT_UNDERSTAND,
        RefusedObject.WRONG_CLASS,
    )


def test_what_is_no_ct_is_refused(node, tmp_path):
    file = write_object(tmp_path, sop_class=MR)
    assert refused(node, file).status == RefusedObject.WRONG_CLASS


def test_what_was_not_announced_is_refused(node, tmp_path):
    file = write_object(tmp_path)
    announced = (CT, uid_of("something else"))
    assert refused(node, file, expected=announced).status == RefusedObject.WRONG_CLASS


def test_an_identifier_that_is_none_is_refused(node, tmp_path):
    ds = ct_object()
    ds.add_new("StudyInstanceUID", "UI", "1.2")
    ds["StudyInstanceUID"]._value = "../../etc"
    ds.save_as(tmp_path / "path.dcm", enforce_file_format=True)
    assert refused(node, tmp_path / "path.dcm").status == RefusedObject.CANNOT_UNDERSTAND


def test_uids():
    assert all(map(is_uid, ["1.2", uid_of("a"), "2.25.0"]))
    assert not any(map(is_uid, ["", "1", "1..2", ".1", "1.2/3", "1.a", "1." * 32 + "1234", "\u0661.\u0662"]))


def test_bounds_of_objects_and_studies(tmp_path):
    limits = Limits(object_mib=1, study_objects=2, study_gib=1.0, stop_gib=0, resume_gib=0)
    node = Node(made_settings(tmp_path / "node", limits=limits))
    large = write_object(tmp_path, slice_=9, side=800)
    assert "MiB" in str(refused(node, large))
    for n in range(2):
        bring(node, write_object(tmp_path, slice_=n))
    third = refused(node, write_object(tmp_path, slice_=2))
    assert (third.status, third.for_now) == (RefusedObject.OUT_OF_RESOURCES, False)
    assert bring(node, write_object(tmp_path, slice_=1)) is Admission.KNOWN
    assert bring(node, write_object(tmp_path, slice_=0, study="other")) is Admission.NEW
    node.close()


def test_the_disk_has_an_upper_and_a_lower_mark(tmp_path, monkeypatch):
    free = {"bytes": 0}
    monkeypatch.setattr(intake_room.Store, "free_bytes", lambda store: free["bytes"])
    node = Node(made_settings(tmp_path / "node", limits=Limits(stop_gib=5, resume_gib=8)))
    file = write_object(tmp_path)
    answers = []
    for gib in (9, 6, 4, 6, 9, 6):
        free["bytes"] = gib << 30
        try:
            answers.append(bring(node, file))
        except RefusedObject as problem:
            assert problem.for_now
            answers.append(problem.status)
    new, known = Admission.NEW, Admission.KNOWN
    assert answers == [new, known, 0xA700, 0xA700, known, known]
    node.close()
