from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.exams import BODY, LUNGS
from glasslung.data.examstore import (
    ExamStore,
    read_exam,
    read_exam_set,
    settings_of,
    write_exam,
    write_exam_set,
)
from glasslung.errors import DataError
from made_exams import made_exam, made_exam_set


def same(first, second) -> bool:
    return (
        all(
            np.array_equal(getattr(first, name), getattr(second, name))
            for name in ("image", "lungs", "lesions")
        )
        and (first.spacing_mm, first.grid, first.intensity, first.view)
        == (second.spacing_mm, second.grid, second.intensity, second.view)
    )  # fmt: skip


def test_a_set_comes_back_as_it_was_written(tmp_path):
    exams = made_exam_set(2)
    write_exam_set(exams, tmp_path / "exams", {"size": 32})
    back = read_exam_set(tmp_path / "exams")
    assert all(same(*pair) for pair in zip(exams.exams, back.exams, strict=True))
    assert back.label.tolist() == exams.label.tolist()
    for name in ("words", "patients", "sites", "scans", "split", "extra"):
        assert getattr(back, name) == getattr(exams, name)
    assert settings_of(tmp_path / "exams") == {"size": 32}


def test_an_exam_knows_its_frame_and_one_of_an_earlier_version_has_the_usual(tmp_path):
    exam = replace(made_exam(), frame=BODY)
    write_exam(exam, tmp_path / "new.npz")
    assert read_exam(tmp_path / "new.npz").frame == BODY
    with np.load(tmp_path / "new.npz") as kept:
        arrays = dict(kept)
    arrays["told"] = arrays["told"][:3]
    np.savez(tmp_path / "old.npz", **arrays)
    assert read_exam(tmp_path / "old.npz").frame == LUNGS


def test_an_exam_is_kept_for_its_own_settings_and_source_alone(tmp_path):
    store = ExamStore(tmp_path, {"size": 32})
    store.keep("scan 1", made_exam(sick=True), "drawn")
    assert same(ExamStore(tmp_path, {"size": 32}).kept("scan 1"), made_exam(sick=True))
    assert store.note("scan 1") == "drawn"
    assert store.kept("scan 2") is None
    assert ExamStore(tmp_path, {"size": 48}).kept("scan 1") is None
    assert ExamStore(None, {}).kept("scan 1") is None


def test_a_damaged_exam_is_made_again_and_never_shown(tmp_path):
    exams = made_exam_set(1)
    write_exam_set(exams, tmp_path, {})
    file = sorted((tmp_path / "scans").iterdir())[0]
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="missing or damaged"):
        read_exam_set(tmp_path)
    store = ExamStore(tmp_path, {"size": 32})
    store.keep("scan", made_exam())
    kept = tmp_path / "scans" / f"{store.key('scan')}.npz"
    kept.write_bytes(b"no zip")
    assert store.kept("scan") is None


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_exam_set(tmp_path)
    (tmp_path / "exams.json").write_text('{"format": "glasslung-exams/0"}')
    with pytest.raises(DataError, match="no exams of this version"):
        read_exam_set(tmp_path)
    (tmp_path / "exams.json").write_text('{"format": "glasslung-exams/1", "scans": [{}]}')
    with pytest.raises(DataError, match="damaged"):
        read_exam_set(tmp_path)
