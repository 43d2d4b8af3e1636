"""The study of segmenters: every label is scored once, the same time for each, a stopped sweep goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.labelled import Kind, LabelledSlices, SliceOrigin, unknown_like
from glasslung.errors import DataError, UsageError
from glasslung.models import infnet
from glasslung.studies.segmentation import contest, pseudolabels, study
from glasslung.studies.segmentation import ground as lesions
from glasslung.studies.segmentation.contest import Budget, Segmenter
from glasslung.studies.segmentation.ground import LesionGround, _dealt, label_counts
from glasslung.studies.segmentation.pseudolabels import Lesson, Rounds

SMALL = {"width": 4, "lr": 5e-3}
METHODS = {
    "U-Net": Segmenter("unet", SMALL),
    "U-Net+PL": Segmenter("unet", SMALL, rounds=Rounds(slices=2, most=4)),
    "Mean teacher": Segmenter("meanteacher", SMALL, unlabelled=True),
    "StichNet supervised": Segmenter("stichnet", SMALL | {"consistency": 0.0}, lungs=True),
    "StichNet": Segmenter("stichnet", SMALL, unlabelled=True),
    "StichNet taught": Segmenter(
        "stichnet",
        SMALL | {"consistency": 0.0},
        lungs=True,
        lesson=Lesson(labelled=1, guessed=2, augment="weak"),
        twin="StichNet supervised",
    ),
    "Inf-Net": Segmenter("infnet", {**infnet.VARIANTS["light"], "width": 4}, classes={"width": 2}),
}
PLAN = replace(
    study.QUICK,
    budget=Budget(seconds=1.0, size=32, labelled=2, unlabelled=2, augment="weak"),
    labels=(2, 50),
    draws=60,
)


def discs(labelled: int = 6, unlabelled: int = 4, healthy: int = 2) -> LabelledSlices:
    """Grey slices of odd sizes with a bright disc (ground glass) and a brighter spot in it."""
    rng = np.random.default_rng(0)
    kinds = [Kind.LABELLED] * labelled + [Kind.UNLABELLED] * unlabelled + [Kind.HEALTHY] * healthy
    pictures, lesions, lungs, origins = [], [], [], []
    for n, kind in enumerate(kinds):
        height, width = rng.integers(40, 60, 2)
        y, x = np.mgrid[:height, :width]
        row, column = rng.integers(15, 25, 2)
        away = np.hypot(y - row, x - column)
        lesion = np.where(away < 4, 2, np.where(away < 10, 1, 0)).astype(np.int8) * (kind is not Kind.HEALTHY)
        picture = np.array([50, 140, 230])[lesion] + rng.normal(0, 8, lesion.shape)
        pictures.append(picture.clip(0, 255).astype(np.uint8))
        lesions.append(unknown_like(pictures[-1]) if kind is Kind.UNLABELLED else lesion.astype(np.int8))
        lungs.append(unknown_like(pictures[-1]))
        origins.append(SliceOrigin(f"slice-{n}", f"case-{n}", kind))
    return LabelledSlices(tuple(pictures), tuple(lesions), tuple(lungs), tuple(origins))


@pytest.fixture(scope="module")
def ground() -> LesionGround:
    return _dealt("discs", discs(), 2, by_picture=False)


@pytest.fixture
def on_discs(monkeypatch, ground):
    monkeypatch.setattr(study, "phantom_ground", lambda *_: ground)


def run(out, **changes):
    arguments = {"cohort": None, "out": out, "plan": PLAN, "methods": METHODS} | changes
    return study.run_segmentation(**arguments)


def test_the_study_scores_every_label_once_and_writes_a_page(tmp_path, on_discs, ground):
    page = run(tmp_path / "study")
    numbers = json.loads((tmp_path / "study" / "numbers.json").read_text())
    assert list(numbers["cells"]) == list(METHODS)
    for rows in numbers["cells"].values():
        assert set(rows) == {"2", "3"}  # 50 labels are as many as a fold has
        for row in rows.values():
            assert row["seeds"][0]["slices"] == len(ground.slices.of_kind(Kind.LABELLED))
    assert "gains" not in numbers["cells"]["U-Net"]["3"]
    gain = numbers["cells"]["Mean teacher"]["3"]["gains"]["infection"]
    assert gain["low"] <= gain["value"] <= gain["high"]
    beside = numbers["cells"]["StichNet taught"]["3"]["gains over its twin"]
    assert beside["twin"] == "StichNet supervised"
    both = [
        numbers["cells"][name]["3"]["seeds"][0]["overlap"]["infection"][numbers["rule"]]["f1"]["value"]
        for name in ("StichNet supervised", "StichNet taught")
    ]
    assert beside["infection"]["value"] == pytest.approx(both[1] - both[0], abs=2e-3)  # figures are rounded
    told = page.read_text("utf-8")
    sheet = page.with_name("checklist.md").read_text("utf-8")
    assert "6 labelled slices in" in sheet and "draws; gains over U-Net are paired" in sheet
    assert "From slices without labels StichNet taught with 3 labels" in told
    assert "Lesions from few labels" in told
    assert "Mean teacher" in told
    assert "StichNet: a lung in other states" in told
    assert numbers["cells"]["StichNet"]["3"]["collapse"][0]["verdict"]
    assert "://" not in told.replace("http://www.w3.org", "")  # which no picture's letters can spell


def test_a_stopped_sweep_goes_on_where_it_was(tmp_path, on_discs, monkeypatch):
    trained, train = [], study.train

    def watched(method, squares, rows, budget, progress):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(method.model)
        return train(method, squares, rows, budget, progress)

    monkeypatch.setattr(study, "train", watched)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "study", methods={"U-Net": METHODS["U-Net"]})
    trained.clear()
    monkeypatch.setattr(study, "train", lambda *a: (trained.append(1), train(*a))[1])
    run(tmp_path / "study", methods={"U-Net": METHODS["U-Net"]})
    assert len(trained) == 1  # two folds, two numbers of labels, three of them done before


def test_another_study_is_refused(tmp_path, on_discs):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no study"):
        run(tmp_path / "study")


def test_methods_get_no_slices_they_must_not_see(ground):
    for fold in range(2):
        rows = ground.rows(fold, 2, seed=0)
        labelled = np.intersect1d(rows, ground.slices.of_kind(Kind.LABELLED))
        assert len(labelled) == 2
        assert not set(rows) & set(ground.folds[fold].test)
        assert set(ground.slices.of_kind(Kind.UNLABELLED)) <= set(rows)


def test_lungs_are_told_on_the_labelled_slices_it_may_learn_from_alone(ground, monkeypatch):
    from glasslung.data.labelbatches import SquareSlices

    looked = []
    monkeypatch.setattr(contest, "with_lungs", lambda slices, rows: (looked.extend(rows), slices)[1])
    rows = ground.rows(0, 2, seed=0)
    contest.told_lungs(SquareSlices(ground.slices, 32), rows)
    assert len(looked) == 2
    assert not set(looked) & set(ground.folds[0].test)


def test_labels_are_nested_and_capped(ground):
    assert label_counts(ground, (2, 10, 50)) == (2, 3)
    assert set(ground.rows(0, 1, 0)) <= set(ground.rows(0, 3, 0))


def test_without_unlabelled_slices_only_supervised_methods_are_left():
    alone = _dealt("discs", discs(unlabelled=0, healthy=0), 2, by_picture=False)
    assert list(study.fitting(METHODS, alone)) == ["U-Net", "StichNet supervised", "Inf-Net"]


def test_unknown_methods_are_named():
    with pytest.raises(UsageError, match="no method 'V-Net'"):
        study.choose_segmenters("V-Net", PLAN)
    assert list(study.choose_segmenters("UniMatch", PLAN)) == ["U-Net", "UniMatch"]
    assert list(study.choose_segmenters("", PLAN)) == list(study.methods_of(PLAN))


def test_another_baseline_takes_the_u_nets_place():
    assert list(study.choose_segmenters("StichNet taught", PLAN, "StichNet supervised")) == [
        "StichNet supervised",
        "StichNet taught",
    ]
    with pytest.raises(UsageError, match="no method 'V-Net'"):
        study.choose_segmenters("UniMatch", PLAN, "V-Net")


def test_maps_come_back_as_they_were(tmp_path):
    maps = [np.random.default_rng(0).dirichlet(np.ones(3), (5, 7)).transpose(2, 0, 1).astype(np.float32)]
    contest.write_maps(["one"], maps, tmp_path / "maps.npz")
    back = contest.read_maps(tmp_path / "maps.npz")
    assert contest.read_styles(tmp_path / "maps.npz") is None
    assert np.allclose(back["one"], maps[0][1:], atol=1 / 255)
    shown = np.full((1, 5, 4, 4, 3), 7, np.uint8)
    contest.write_maps(["one"], maps, tmp_path / "more.npz", shown)
    assert list(contest.read_maps(tmp_path / "more.npz")) == ["one"]
    assert np.array_equal(contest.read_styles(tmp_path / "more.npz"), shown)
    with pytest.raises(DataError, match="damaged or missing"):
        contest.read_maps(tmp_path / "nothing.npz")


def test_pseudo_labels_leave_unknown_what_is_not_sure(ground):
    import torch

    from glasslung.data.labelbatches import SquareSlices

    squares = SquareSlices(ground.slices, 32)

    def probabilities(image):
        half = torch.zeros(len(image), 3, 32, 32)
        half[:, 0], half[:, 1] = 0.55, 0.45
        half[:, :, :, 16:] = torch.tensor([0.05, 0.05, 0.9])[None, :, None, None]
        return half

    masks = pseudolabels.label(probabilities, squares, ground.slices.of_kind(Kind.UNLABELLED)[:1], 0.8)
    (mask,) = masks.values()
    assert set(np.unique(mask)) == {-1, 2}
    all_of_it = pseudolabels.label(probabilities, squares, ground.slices.of_kind(Kind.UNLABELLED)[:1], 0.0)
    assert set(np.unique(next(iter(all_of_it.values())))) == {0, 2}


def test_a_lesson_mixes_drawn_labels_with_guessed_ones(ground):
    """Guessed masks are those of the network's mean over both views; no slice kept aside is in a batch."""
    import torch

    from glasslung.data.labelbatches import SquareSlices
    from glasslung.data.pairaugment import augmenter

    def probabilities(image):
        """Ground glass on the left half, whatever it sees: with the mirror, nowhere."""
        left = torch.zeros(len(image), 3, 32, 32)
        left[:, 0], left[:, 1] = 0.45, 0.55
        left[:, 0, :, 16:], left[:, 1, :, 16:] = 0.95, 0.05
        return left

    def disc(image):
        found = (image[:, 0] > 0.4).float()
        return torch.stack([1 - found, found, torch.zeros_like(found)], 1)

    squares, rows = SquareSlices(ground.slices, 32), ground.rows(0, 2, 0)
    lesson = Lesson(labelled=2, guessed=4, augment="none")
    for said, some in ((probabilities, False), (disc, True)):
        stream = pseudolabels.taught(said, squares, rows, lesson, 0, augmenter, "none")
        batch = next(stream())
        assert len(batch) == 6
        assert bool(batch.labelled.all())
        drawn = {int(lesion.sum()) for lesion in batch.lesion[:2]}
        known = [row for row in rows if ground.slices.origins[row].kind is Kind.LABELLED]
        assert drawn <= {int(squares.batch(np.array([row])).lesion.sum()) for row in known}
        assert bool((batch.lesion[2:] == 1).any()) is some
        again = next(stream())
        assert torch.equal(batch.image, again.image)


def test_a_lesson_goes_on_with_the_network_that_labelled(ground, monkeypatch):
    """It is asked once it has learned the labels, on every slice without one, and its own weights go on."""
    import torch

    from glasslung.data.labelbatches import SquareSlices

    starts, asked = [], []
    game_of, taught = contest._game, contest.taught

    def weights(network):
        return {name: weight.detach().clone() for name, weight in network.named_parameters()}

    def watched(*given):
        game, each = game_of(*given)
        starts.append(weights(game.modules["segmenter"]))
        return game, each

    def heard(said, squares, rows, *others):
        asked.append(weights(said.__self__))
        return taught(said, squares, rows, *others)

    monkeypatch.setattr(contest, "_game", watched)
    monkeypatch.setattr(contest, "taught", heard)
    squares = SquareSlices(ground.slices, 32)
    budget = replace(PLAN.budget, seconds=6.0)  # the first training of a process loads its libraries in it
    _, told = contest.train(METHODS["StichNet taught"], squares, ground.rows(0, 2, 0), budget)
    assert told["steps"] > 5
    assert len(starts) == 2
    assert len(asked) == 1
    assert any(not torch.equal(starts[0][name], asked[0][name]) for name in asked[0])
    assert all(torch.equal(starts[1][name], weight) for name, weight in asked[0].items())


def test_a_lesson_needs_slices_of_both_kinds():
    with pytest.raises(UsageError, match="both kinds"):
        Lesson(guessed=0)
    with pytest.raises(UsageError, match="first"):
        Lesson(first=1.0)


def test_a_cohort_with_fewer_labels_than_folds_is_refused():
    with pytest.raises(DataError, match="fewer than 5 folds"):
        _dealt("discs", discs(labelled=3), 5)


def test_phantom_ground_hides_the_masks_of_most(monkeypatch):
    ground = lesions.phantom_ground(4, 2, 1, 2, 0)
    told = ground.told()
    assert (told["labelled"], told["unlabelled"], told["healthy"]) == (2, 2, 1)
    for row in ground.slices.of_kind(Kind.UNLABELLED):
        assert (ground.slices.lesions[row] == -1).all()
    assert (ground.slices.lesions[ground.slices.of_kind(Kind.HEALTHY)[0]] == 0).all()
