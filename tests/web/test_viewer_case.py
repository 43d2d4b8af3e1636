"""What the viewer opens: stories with and without their scans, scans alone; places, outlines and surfaces."""

import gzip
import struct
from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.formats import write_volume
from glasslung.data.formats.nifti import read_nifti
from glasslung.data.story import read_story, write_story
from glasslung.errors import DataError, UsageError
from glasslung.web.viewer.case import open_case
from glasslung.web.viewer.layers import lesions, outline, surface
from glasslung.web.viewer.links import link, lungs_extent
from glasslung.web.viewer.told import doubts_of, relevance_scale, view_told
from made_findings import BAD
from made_views import BOXES, drawn, write_made_story


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case") / "story"
    write_made_story(folder)
    return folder


@pytest.fixture
def bare(tmp_path):
    """A story without its scans, which lie elsewhere; its hashes are the scans' own."""
    from glasslung.data.formats import read_scan

    made = write_made_story(tmp_path / "story", keep=False)
    paths, hashes = [], []
    for n in range(3):
        paths.append(tmp_path / f"elsewhere{n}.nii.gz")
        write_volume(drawn(n)[0], paths[n])
        hashes.append(read_scan(paths[n]).source.sha256)
    scans = tuple(replace(scan, sha256=digest) for scan, digest in zip(made.scans, hashes, strict=True))
    write_story(replace(made, scans=scans), tmp_path / "story")
    return tmp_path / "story", paths


def test_a_story_with_its_scans(story):
    with open_case(story, ()) as case:
        assert [one.label for one in case.scans] == ["day 0", "day 5", "day 12"]
        assert all(one.scan is not None for one in case.scans)
        assert "change" in case.scans[1].layers and "change" not in case.scans[0].layers


def test_scans_that_a_story_does_not_keep_are_known_by_their_content(bare):
    folder, paths = bare
    with pytest.raises(UsageError, match="--scan SCAN"), open_case(folder, ()):
        pass
    with open_case(folder, (paths[2], paths[0])) as case:
        assert [one.scan is not None for one in case.scans] == [True, False, True]
        assert [one["there"] for one in view_told(case, "")["scans"]] == [True, False, True]
        copy = case.scans[2].scan
        assert np.array_equal(read_nifti(copy)[0], drawn(2)[0].voxels)
    assert not copy.exists()  # nothing stays of what was lent


def test_what_cannot_be_opened_is_told(bare, story, tmp_path):
    stranger = tmp_path / "stranger.nii.gz"
    write_volume(replace(drawn(0)[0], voxels=drawn(0)[0].voxels + np.int16(1)), stranger)
    for place, scans, error, said in (
        (tmp_path / "none", (), UsageError, "does not exist"),
        (bare[0], (stranger,), DataError, "none of this story's scans"),
        (bare[0], (tmp_path / "gone",), UsageError, "does not exist"),
        (bare[1][0], (stranger,), UsageError, "leave it out"),
        (story / "story.json", (), DataError, "story.json"),
    ):
        with pytest.raises(error, match=said), open_case(place, scans):
            pass


# --- what is drawn ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1])
def test_the_outline_is_the_edge_of_every_axial_slice(story, tmp_path, n):
    lungs = drawn(n)[1]
    (tmp_path / "outline.nii.gz").write_bytes(outline(story / "masks" / f"scan-{n + 1:02d}" / "lungs.nii.gz"))
    found = read_nifti(tmp_path / "outline.nii.gz")[0]
    wanted = np.zeros_like(lungs)
    padded = np.pad(lungs, ((0, 0), (1, 1), (1, 1))) > 0
    around = padded[:, :-2, 1:-1] & padded[:, 2:, 1:-1] & padded[:, 1:-1, :-2] & padded[:, 1:-1, 2:]
    wanted[(lungs > 0) & ~around] = lungs[(lungs > 0) & ~around]
    assert np.array_equal(found, wanted) and (wanted > 0).any()


def test_lesions_are_told_one_by_one_the_largest_first(story):
    home = story / "masks" / "scan-02"
    told = lesions(home / "lesions.nii.gz", home / "lungs.nii.gz", kinds=True)
    assert [one["ml"] for one in told["lesions"]] == pytest.approx([280 * 0.15, 48 * 0.15])
    assert [list(one["kinds"]) for one in told["lesions"]] == [["ground glass"], ["consolidation"]]
    volume, _, mask = drawn(1)
    for one, (label, _) in zip(told["lesions"], BOXES, strict=True):
        x, y, z = one["mm"]
        index = np.rint((np.linalg.inv(volume.affine) @ [-x, -y, z, 1])[:3]).astype(int)
        assert mask[tuple(index)] == label
    assert lesions(home / "opacities.nii.gz", None, kinds=False)["lesions"][0]["side"] == ""


@pytest.mark.parametrize("n", [0, 1])
def test_a_surface_encloses_its_lesion_whatever_the_file_s_order(story, n):
    content = gzip.decompress(surface(story / "masks" / f"scan-{n + 1:02d}" / "lesions.nii.gz", 1))
    magic, kind, faces, points, skip = struct.unpack("<HHIII", content[:16])
    assert (magic, kind, skip) == (0x5A4D, 3, 0)
    triangles = np.frombuffer(content, "<i4", 3 * faces, 16).reshape(-1, 3)
    places = np.frombuffer(content, "<f4", 3 * points, 16 + 12 * faces).reshape(-1, 3)
    a, b, c = (places[triangles[:, k]].astype(float) for k in range(3))
    volume = (a * np.cross(b, c)).sum() / 6000
    assert volume == pytest.approx(280 * 0.15, rel=0.25)  # ml, and outward: a coarse surface of a small block
    middle = drawn(n)[0].affine @ [*np.argwhere(drawn(n)[2] == 1).mean(0), 1]
    assert places.mean(0) == pytest.approx([-middle[0], -middle[1], middle[2]], abs=4)


def test_links_say_how_they_are_known(story, tmp_path):
    with open_case(story, ()) as case:
        assert lungs_extent(case.scans[0])["x"] == pytest.approx([-75, 75], abs=5)
        assert [link(case, n)["how"] for n in range(3)] == ["", "registration", "registration"]
    write_made_story(tmp_path / "story")
    (tmp_path / "story" / "masks" / "scan-02" / "change.json").unlink()
    with open_case(tmp_path / "story", ()) as case:
        told = link(case, 1)
    assert told["how"] == "share of the lungs' height" and told["levels"] is None


def test_one_scale_of_relevance_and_doubts_in_words(story):
    made = read_story(story)
    with open_case(story, ()) as case:
        assert relevance_scale(made, case.scans[0]) == pytest.approx(1.0, abs=0.01)  # of one scan alone
        serial = replace(
            *(made,),
            serial=type("Sheet", (), {"full": 0.5, "unit": "log-odds per per cent of the lungs"})(),
        )
        assert relevance_scale(serial, case.scans[0]) == pytest.approx(0.5 * 100 / 100_000)
    said = doubts_of(replace(made.scans[0], lung_quality=BAD))
    assert said == ["the mask of the lungs is not trusted: it leaks"]
