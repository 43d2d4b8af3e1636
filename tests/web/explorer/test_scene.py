"""What the page is given: every figure in it was made in Python, and is what its definition says."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from made_pictures import discs, save_run, write_codes, write_cohort
from PIL import Image

from glasslung.errors import DataError, UsageError
from glasslung.models import build
from glasslung.nn.making import make_pictures
from glasslung.studies.training import Job, TrainingSettings, ageless_slices, train_model
from glasslung.web.explorer.opening import Wish, open_explorer
from glasslung.web.explorer.scene import as_json, kind_of


def test_a_run_opens_what_it_was_trained_on(scene):
    assert len(scene.collection) == 40
    assert scene.codes.values.shape == (40, 5)
    assert "auto-encoder run" in scene.codes.told


def test_the_same_twice(run, scene):
    first, second = (as_json(one, True, True) for one in (open_explorer(Wish(run)), scene))
    assert json.dumps(first | {"atlas": 0}) == json.dumps(second | {"atlas": 0})


def test_json_has_no_nan_and_all_rows(scene):
    told = as_json(scene, live=False, names=False)
    json.dumps(told, allow_nan=False)
    assert told["count"] == 40 and told["names"] is None
    assert len(base64.b64decode(told["places"])) == 40 * 3 * 4
    assert [one["name"] for one in told["columns"][:3]] == ["label", "stage", "severity"]
    stage = told["columns"][1]
    assert stage["values"] == ["healthy", "days 0 to 4", "days 5 to 9", "days 10 to 14"]
    assert told["walks"]["stages"][:5] == [0, 1, 2, 3, 0]
    assert told["walks"]["decoder"]["width"] == 5


def test_outliers_are_the_farthest_from_their_neighbours(scene):
    told = as_json(scene, live=False, names=False)["outliers"]
    codes = scene.codes.values.astype(float)
    table = np.sort(np.linalg.norm(codes[:, None] - codes[None], axis=2), axis=1)
    away = table[:, 1 : told["neighbours"] + 1].mean(1)
    assert told["rows"] == np.argsort(-away, kind="stable")[:40].tolist()
    assert told["ratios"][0] == pytest.approx(away.max() / np.median(away), abs=0.01)


def test_columns_are_groups_numbers_or_text():
    assert kind_of("label", ["a", "b", "a", ""]) == "groups"
    assert kind_of("severity", [str(n / 3) for n in range(30)]) == "numbers"
    assert kind_of("grade", ["0", "1", "1", "0"]) == "groups"  # two numbers make no scale
    assert kind_of("patient", ["a", "b"]) == "text"
    assert kind_of("note", [f"free text {n}" for n in range(40)]) == "text"
    assert kind_of("site", ["one"] * 9) == "text"


def test_sources_that_differ_are_told_and_few_are_not_asked(tmp_path):
    for name, border in (("bright", 120), ("dark", 0)):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(discs(16, border)):
            Image.fromarray(np.maximum(picture, border)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "rare").mkdir()
    Image.fromarray(discs(1)[0]).save(tmp_path / "rare" / "0.png")
    ((name, told),) = open_explorer(Wish(tmp_path, "pixels")).tellings
    assert name == "folder" and told.groups == ("bright", "dark")  # nothing can be said of one picture
    assert told.accuracy.low > told.chance_high
    assert told.accuracy.value > 0.9
    for picture in (tmp_path / "dark").iterdir():
        picture.rename(tmp_path / "bright" / f"d{picture.name}")
    ((_, why),) = open_explorer(Wish(tmp_path, "pixels")).tellings
    assert "Not asked" in why


def test_real_and_made_together(tmp_path):
    real, made = write_cohort(tmp_path / "real", 20), tmp_path / "made"
    made.mkdir()
    for number, picture in enumerate(discs(15, 5)):
        Image.fromarray(picture).save(made / f"{number}.png")
    scene = open_explorer(Wish(real, "pixels", (made,)))
    assert scene.collection.columns["kind"] == ("real",) * 20 + ("made",) * 15
    assert "kind" in [name for name, _ in scene.tellings]


def test_a_table_is_laid_out_by_its_own_codes_and_decoded_by_a_run_of_that_width(tmp_path, run):
    rng = np.random.default_rng(0)
    rows = [[f"{n:03d}.png", *rng.normal(size=5).round(3), "ab"[n % 2]] for n in range(12)]
    table = write_codes(tmp_path, rows, ["image", *(f"z{n}" for n in range(5)), "label"])
    alone = open_explorer(Wish(table))
    assert alone.codes.walker is None
    assert np.allclose(alone.codes.values, np.array([row[1:6] for row in rows]), atol=1e-6)
    decoded = open_explorer(Wish(table, str(run)))
    assert np.array_equal(decoded.codes.values, alone.codes.values)
    assert decoded.codes.walker is not None
    assert decoded.codes.walker.walk(0, 1, 3, "linear").shape == (3, 32, 32)


def test_a_table_of_the_wrong_width_is_refused(tmp_path, run):
    rows = [[f"{n:03d}.png", n, -n] for n in range(6)]
    table = write_codes(tmp_path, rows, ["image", "z0", "z1"])
    with pytest.raises(DataError, match=r"have 2 numbers, and run decodes 5"):
        open_explorer(Wish(table, str(run)))
    with pytest.raises(DataError, match="different width"):
        other = write_codes(
            tmp_path / "other", [[f"{n:03d}.png", n, n, n] for n in range(6)], ["image", "z0", "z1", "z2"]
        )
        open_explorer(Wish(table, made=(other,)))


def test_pictures_that_a_table_names_and_are_not_there_are_left_out(tmp_path):
    rows = [[f"{n:03d}.png", n, -n] for n in range(6)] + [["gone.png", 1, 1], ["../../etc/passwd", 2, 2]]
    table = write_codes(tmp_path, rows, ["image", "z0", "z1"])
    for extra in ("006.png", "007.png"):
        (tmp_path / extra).unlink()
    scene = open_explorer(Wish(table))
    assert len(scene.collection) == 6
    assert [one.name for one in scene.collection.left_out] == ["gone.png", "../../etc/passwd"]


def test_a_picture_that_two_rows_name_is_shown_twice_and_told(tmp_path):
    rows = [[f"{n:03d}.png", n, -n] for n in range(5)] + [["001.png", 9, 9]]
    scene = open_explorer(Wish(write_codes(tmp_path, rows, ["image", "z0", "z1"])))
    assert len(scene.collection) == 6
    assert scene.codes.values[5].tolist() == [9, 9]
    assert np.array_equal(scene.collection.thumbs[1], scene.collection.thumbs[5])
    assert "1 picture(s) are named by several rows, first 001.png" in " ".join(scene.collection.notes)


def test_models_without_codes_and_runs_without_pictures_are_refused(tmp_path, cohort):
    with pytest.raises(UsageError, match="no codes to explore"):
        open_explorer(Wish(cohort, "agetransport"))
    gone = save_run(tmp_path / "run", cohort, size=32, latents=2)
    about = json.loads((gone / "settings.json").read_text())
    about["inputs"]["cohort"]["path"] = str(tmp_path / "gone")
    (gone / "settings.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="--model"):
        open_explorer(Wish(gone))


def test_what_train_leaves_can_be_explored(tmp_path):
    cohort = write_cohort(tmp_path / "cohort", 60, stages=True)
    job = Job("autoencoder", cohort, TrainingSettings(2, 8), {"latents": 3, "channels": [4, 4, 4, 4]})
    run = train_model(job, tmp_path / "run")
    scene = open_explorer(Wish(run.folder))
    assert scene.codes.values.shape == (60, 3)
    assert "auto-encoder run" in scene.codes.told


def test_an_auto_encoder_learns_from_pictures_of_any_kind(tmp_path):
    """No table, no age, four modes and two sizes: read for the training as they are read for the page."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(discs(24)):
        image = Image.fromarray(picture).convert(("L", "RGB", "RGBA", "P")[number % 4])
        side = (90, 60) if number % 3 == 0 else image.size
        image.resize(side).save(folder / f"{number:02d}.png")
    job = Job("autoencoder", folder, TrainingSettings(2, 8), {"latents": 3, "channels": [4, 4, 4, 4]})
    taught = ageless_slices(job, 64)
    scene = open_explorer(Wish(train_model(job, tmp_path / "run").folder))
    assert len(scene.collection) == 24
    shown = {entry.name: row for row, entry in enumerate(scene.collection.entries)}
    for row, name in enumerate(taught.scans):
        assert np.abs(taught.images[row] - scene.collection.squares[shown[name]]).max() < 0.005
    bad = tmp_path / "bad"
    bad.mkdir()
    for number, picture in enumerate(discs(4)):
        Image.fromarray(picture).save(bad / f"{number}.png")
    with pytest.raises(DataError, match=r"has 4 picture\(s\)"):
        train_model(replace(job, cohort=bad), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_generator_decodes_the_codes_that_came_with_it(tmp_path, cohort):
    settings = {"size": 32, "codes": 4, "width": 8}
    gan = save_run(tmp_path / "gan", cohort, "dcgan", **settings)
    rows = [[f"{n:03d}", n, 1, -n, 0.5] for n in range(6)]
    table = write_codes(tmp_path / "made", rows, ["name", "z1", "z2", "z3", "z4"])
    pictures = tmp_path / "made" / "pictures"
    pictures.mkdir()
    for number in range(3):  # some beside the table, some in their folder
        (tmp_path / "made" / f"{number:03d}.png").rename(pictures / f"{number:03d}.png")
    scene = open_explorer(Wish(table, str(gan)))
    assert len(scene.collection) == 6
    frames = scene.codes.walker.walk(0, 5, 4, "linear")
    model = build("dcgan", 0, **settings)
    wanted = make_pictures(model, np.array([[0, 1, 0, 0.5], [5, 1, -5, 0.5]], np.float32))
    assert np.abs(frames[[0, -1]] / 255 - wanted).max() < 0.01
    with pytest.raises(UsageError, match=r"codes\.csv"):
        open_explorer(Wish(cohort, str(gan)))


def test_a_veegan_finds_codes_of_pictures(tmp_path, cohort):
    run = save_run(tmp_path / "veegan", cohort, "veegan", size=32, codes=4, width=8)
    scene = open_explorer(Wish(run))
    assert scene.codes.values.shape == (40, 4)
    assert "reconstructor" in scene.codes.told
    assert scene.codes.walker.walk(0, 1, 2, "linear").shape == (2, 32, 32)


@pytest.mark.parametrize("model", ["usvae", "texture"])
def test_other_codes(cohort, model):
    scene = open_explorer(Wish(cohort, model))
    assert np.isfinite(scene.codes.values).all()
    if model == "usvae":
        frames = scene.codes.walker.walk(0, 3, 3, "spherical")
        assert frames.shape == (3, 64, 64) and frames.max() > 0
    else:
        assert scene.codes.walker is None


def test_pixels_decode_to_the_pictures_themselves(tmp_path):
    for number, picture in enumerate(discs(12)):
        Image.fromarray(picture).save(tmp_path / f"{number:02d}.png")
    scene = open_explorer(Wish(tmp_path, "pixels"))
    ends = scene.codes.walker.walk(2, 7, 2, "linear")
    for frame, row in zip(ends, (2, 7), strict=True):
        assert np.abs(frame / 255 - scene.collection.squares[row]).max() < 0.02
