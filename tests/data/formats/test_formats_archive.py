"""Zips and folders: what is found, what is refused, and that nothing is left behind."""

from __future__ import annotations

import os
import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from dicom_making import chest, series
from PIL import Image

from glasslung.data.formats import read_scan, write_volume
from glasslung.data.formats.archive import ZipLimits, unpacked
from glasslung.data.formats.survey import Kind, kind_of, natural_key
from glasslung.errors import DataError
from glasslung.types import Intensity, Volume


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of our own, so that leftovers show."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"scan/{file.relative_to(folder)}")
    return path


def test_zips_of_everything(tmp_path: Path, temporary: Path) -> None:
    volume = chest()
    series(tmp_path / "dicom", volume)
    for name in ("a.nii.gz", "a.nrrd", "a.mha"):
        write_volume(volume, tmp_path / name.replace(".", "-") / name)
    for name in ("dicom", "a-nii-gz", "a-nrrd", "a-mha"):
        plain = read_scan(tmp_path / name)
        path = zipped(tmp_path / name, tmp_path / f"{name}.dat")
        back = read_scan(path)
        assert np.array_equal(back.voxels, plain.voxels)
        assert np.allclose(back.affine, plain.affine)
        assert back.source.files == (path,)
        assert back.source.sha256 == plain.source.sha256
    (tmp_path / "pictures").mkdir()
    for n in range(3):
        Image.fromarray(np.full((4, 5), n, np.uint8)).save(tmp_path / "pictures" / f"{n}.png")
    assert read_scan(zipped(tmp_path / "pictures", tmp_path / "p.zip")).shape == (3, 4, 5)
    assert list(temporary.iterdir()) == []


def one_entry(path: Path, name: str, content: bytes = b"x", mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        archive.writestr(entry, content)
    return path


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "C:/x", "a\\..\\..\\x", "\\\\host\\x"])
def test_path_escape(tmp_path: Path, temporary: Path, name: str) -> None:
    with pytest.raises(DataError, match="path escape"):
        read_scan(one_entry(tmp_path / "a.zip", name))
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "x").exists()


def test_links_encryption_and_twins(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="link"):
        read_scan(one_entry(tmp_path / "a.zip", "a", b"/etc/passwd", stat.S_IFLNK | 0o777))
    locked = bytearray(one_entry(tmp_path / "b.zip", "a").read_bytes())
    locked[6] |= 1
    locked[locked.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "b.zip").write_bytes(locked)
    with pytest.raises(DataError, match="encrypted"):
        read_scan(tmp_path / "b.zip")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("a", "1")
        archive.writestr("a", "2")
    with pytest.raises(DataError, match="same name"):
        read_scan(tmp_path / "c.zip")


def test_bombs(tmp_path: Path, temporary: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(70 << 20))
    with pytest.raises(DataError, match="zip bomb"):
        read_scan(tmp_path / "a.zip")
    small = one_entry(tmp_path / "b.zip", "b", bytes(1000))
    with pytest.raises(DataError, match="zip bomb"), unpacked(small, ZipLimits(total_bytes=999)):
        pass
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for n in range(5):
            archive.writestr(str(n), "")
    with pytest.raises(DataError, match="5 entries"), unpacked(tmp_path / "c.zip", ZipLimits(entries=4)):
        pass
    assert list(temporary.iterdir()) == []


def test_an_entry_that_lies_about_its_size(tmp_path: Path, temporary: Path) -> None:
    path = one_entry(tmp_path / "a.zip", "a", bytes(5000))
    content = bytearray(path.read_bytes())
    at = content.find(b"PK\x01\x02") + 24
    content[at : at + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a.zip"):
        read_scan(path)
    assert list(temporary.iterdir()) == []


def test_damaged_empty_and_nested(tmp_path: Path, temporary: Path) -> None:
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    with pytest.raises(DataError, match="empty"):
        read_scan(tmp_path / "empty.zip")
    whole = one_entry(tmp_path / "a.zip", "a", bytes(500)).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:-40])
    with pytest.raises(DataError, match="damaged"):
        read_scan(tmp_path / "a.zip")
    one_entry(tmp_path / "b.zip", "inner.zip", whole)
    with pytest.raises(DataError, match=r"b.zip: the zip: holds only zip files"):
        read_scan(tmp_path / "b.zip")
    one_entry(tmp_path / "c.zip", "notes.txt", b"hello")
    with pytest.raises(DataError, match=r"c.zip: the zip: .*none of them a scan"):
        read_scan(tmp_path / "c.zip")
    assert list(temporary.iterdir()) == []


def test_folders_that_are_no_scan(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(DataError, match=r"f: the folder holds no files"):
        read_scan(tmp_path / "f")
    (tmp_path / "f" / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="none of them a scan"):
        read_scan(tmp_path / "f")
    with pytest.raises(DataError, match=r"gone: there is no such"):
        read_scan(tmp_path / "gone")
    series(tmp_path / "f" / "s")
    Image.new("L", (4, 4)).save(tmp_path / "f" / "a.png")
    with pytest.raises(DataError, match=r"6 DICOM files, 1 picture file.*pass the one"):
        read_scan(tmp_path / "f")
    (tmp_path / "f" / "a.png").unlink()
    write_volume(chest(), tmp_path / "f" / "a.nii.gz")
    with pytest.raises(DataError, match="6 DICOM files, 1 NIfTI file"):
        read_scan(tmp_path / "f")


def test_one_volume_file_with_a_note_beside_it(tmp_path: Path) -> None:
    write_volume(chest(), tmp_path / "f" / "a.nrrd")
    (tmp_path / "f" / "README").write_text("hello")
    back = read_scan(tmp_path / "f")
    assert np.array_equal(back.voxels, chest().voxels)
    assert [r.code for r in back.source.remarks] == ["files-ignored"]


def test_pipes_links_and_tiny_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="neither a file nor a folder"):
        read_scan(tmp_path / "pipe")
    series(tmp_path / "s")
    os.mkfifo(tmp_path / "s" / "pipe")
    (tmp_path / "s" / "loop").symlink_to(tmp_path / "s")
    (tmp_path / "s" / "nowhere").symlink_to(tmp_path / "missing")
    assert read_scan(tmp_path / "s").shape == (6, 16, 20)
    for n, content in enumerate([b"", b"\x1f\x8b", b"PK", b"DI", b"\x00", b"NR", b"\x1f\x8b\x08\x00"]):
        (tmp_path / f"tiny{n}").write_bytes(content)
        with pytest.raises(DataError, match=f"tiny{n}"):
            read_scan(tmp_path / f"tiny{n}")


def test_files_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_volume(chest(), tmp_path / "a.nrrd")
    original = Path.open

    def refuse(self: Path, *args: object, **more: object) -> object:
        if self.name == "a.nrrd":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **more)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"a.nrrd: Permission denied") as caught:
        read_scan(tmp_path / "a.nrrd")
    assert str(tmp_path) not in str(caught.value)


def test_the_folder_one_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(DataError, match=r"^here: "):
        read_scan(Path())


def test_kinds_and_natural_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"P5 2 2 255\n1234")
    assert kind_of(tmp_path / "a") is Kind.PICTURE
    for note in ("Patient list\nof nobody", "BMI 23, a note of a nurse, and more", "P1 patient one\n"):
        (tmp_path / "a").write_text(note)
        assert kind_of(tmp_path / "a") is Kind.OTHER
    names = ["s10", "s2", "s2b", "S1", "x", "10", "9", "s²"]
    ordered = sorted(map(Path, names), key=natural_key)
    assert [p.name for p in ordered] == ["9", "10", "S1", "s2", "s2b", "s10", "s²", "x"]


def test_masks_beside_a_volume_are_ambiguous(tmp_path: Path) -> None:
    volume = Volume(np.full((3, 4, 5), -900, np.int16), np.eye(4), Intensity.HU)
    write_volume(volume, tmp_path / "ct.nii.gz")
    write_volume(volume, tmp_path / "mask.nii.gz")
    with pytest.raises(DataError, match=r"holds 2 volumes \(ct.nii.gz, mask.nii.gz\); pass one"):
        read_scan(tmp_path)
