"""The crisis and the forecasts, measured on made-up methods whose faults are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from glasslung.data.slices import SliceSet
from glasslung.errors import DataError
from glasslung.measure.forecasts import (
    GROUP_MEAN_CHANGE,
    GROUP_MEAN_LOAD,
    NO_CHANGE,
    group_mean_change,
    image_error,
    opaque_within,
)
from glasslung.studies.progression.ablationtable import ablation_table, forecasts_table
from glasslung.studies.progression.agingworld import AGES, Truth, World
from glasslung.studies.progression.contest import Outcome, Unseen
from glasslung.studies.progression.crisis import measure_outcomes
from glasslung.studies.progression.crisispatients import Asked
from glasslung.studies.progression.crisisverdict import poor_references, reaches, verdicts
from glasslung.studies.progression.guesses import (
    CHANGE,
    KINDS,
    LIKELY,
    OVERALL,
    forecast_errors,
    naive_forecasts,
)

SIDE, PEOPLE, EACH, DRAWS = 24, 30, 30, 80
PAIRS = [(seen, wanted) for seen in range(AGES) for wanted in range(AGES) if seen != wanted]


def draw_courses(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` people at every age: two lungs of their own width, their own spots, a lesion that grows."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images, masks = np.zeros((AGES, count, SIDE, SIDE)), np.zeros((AGES, count, SIDE, SIDE), bool)
    for person in range(count):
        width, height = rng.uniform(3.5, 5.5), rng.uniform(7, 10)
        lung = np.any([np.hypot((columns - c) / width, (rows - 12) / height) < 1 for c in (6, 17)], axis=0)
        spots = 0.2 + 0.15 * rng.random((SIDE, SIDE)) + 0.2 * (rng.random((SIDE, SIDE)) < 0.08)
        spread = rng.uniform(0.8, 1.2)
        for age in range(AGES):
            lesion = np.hypot(columns - 17, rows - 16) < 2.0 * age * spread
            masks[age, person] = lung
            images[age, person] = np.where(lung, np.where(lesion, spots + 0.35, spots), 0)
    return images.astype(np.float32), masks


def draw_world(seed: int = 0) -> World:
    rng = np.random.default_rng(seed)
    images, masks = draw_courses(PEOPLE, rng)
    others = draw_courses(AGES * EACH, rng)[0]
    group = np.repeat(np.arange(AGES), EACH)
    names = tuple(f"p{number:03d}" for number in range(len(group)))
    training = SliceSet(
        others[group, np.arange(len(group))],
        group.astype(np.int64),
        np.where(group > 0, 5.0 * group - 3, np.nan).astype(np.float32),
        np.arange(len(group)),
        names,
        names,
    )
    return World(training, Truth(images, masks, masks & (images > 0.5)))


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world()


def forecaster(world: World, guess, shown=None, made=None, leak: float = 0.0, seed: int = 5) -> Outcome:
    """An outcome whose carried slices are guess(seen, wanted), one or more draws, shown ones as seen."""
    rng = np.random.default_rng(seed)
    truth, ages = world.truth.images, range(AGES)
    fresh = draw_courses(60, rng)[0]
    latents = {(s, w): rng.normal(size=(PEOPLE, 6)).astype(np.float32) + leak * s for s in ages for w in ages}
    return Outcome(
        made={age: fresh[age] if made is None else made(age, fresh) for age in ages},
        shown={age: truth[age] if shown is None else shown(truth[age]) for age in ages},
        carried={pair: np.atleast_3d(guess(*pair)).reshape(-1, PEOPLE, SIDE, SIDE) for pair in PAIRS},
        latents=latents,
        prior={age: rng.normal(size=(60, 6)).astype(np.float32) for age in ages},
        about={},
    )


def single(age: int, blemish: float = 0.005) -> Outcome:
    """The method of one age alone: a little too bright, so that something can be divided by it."""
    made = draw_courses(60, np.random.default_rng(100 + age))[0][age]
    return Outcome({age: np.where(made > 0, made + blemish, 0).astype(np.float32)}, {}, {}, {}, {}, {})


def prophet(world: World) -> Outcome:
    return forecaster(world, lambda seen, wanted: world.truth.images[wanted])


def copier(world: World) -> Outcome:
    """Hands back what it saw, and makes healthy lungs at every age; its latents tell where one comes from."""
    return forecaster(
        world, lambda seen, wanted: world.truth.images[seen], made=lambda age, fresh: fresh[0], leak=3.0
    )


# ------------------------------------------------------------------------------------------ forecasts


@pytest.fixture(scope="module")
def judged(world):
    outcomes = {"prophet": prophet(world), "copier": copier(world), "CAGE-T0": single(0)}
    return forecast_errors(outcomes, world, np.random.default_rng(1), draws=DRAWS)


def test_a_prophet_errs_nowhere_and_beats_every_naive_forecast(judged):
    for kind in KINDS:
        for measure, scores in judged["kinds"][kind].items():
            for reading in (LIKELY, CHANGE):
                score = scores["methods"]["prophet"][reading]
                assert score["error"]["value"] == pytest.approx(0, abs=1e-6)
                assert score["beats_all"], (kind, measure)


def test_who_hands_back_the_input_is_no_change_exactly(judged):
    for pair in judged["pairs"].values():
        for scores in pair.values():
            copied = scores["methods"]["copier"][LIKELY]
            gap = copied["against"][NO_CHANGE]
            assert gap["low"] == gap["value"] == gap["high"] == 0 and not copied["beats_all"]
            assert copied["error"] == scores["naive"][NO_CHANGE]["error"]


def test_kinds_are_the_mean_over_their_pairs_and_made_ill_stands_apart(judged):
    assert (0, 1) not in KINDS[OVERALL] and len(KINDS[OVERALL]) == 9
    for kind, pairs in KINDS.items():
        whole = judged["kinds"][kind]["image"]["naive"][GROUP_MEAN_CHANGE]["error"]["value"]
        parts = [
            judged["pairs"][f"{s}->{w}"]["image"]["naive"][GROUP_MEAN_CHANGE]["error"]["value"]
            for s, w in pairs
        ]
        assert whole == pytest.approx(np.mean(parts))


def test_the_naive_forecasts_are_those_of_the_measures(world):
    pictures, shares = naive_forecasts(world, (1, 3))
    here, there = (world.training.of_group(age).images for age in (1, 3))
    seen, lungs = world.truth.images[1], world.truth.lungs[3]
    assert np.array_equal(pictures[NO_CHANGE], seen)
    assert np.array_equal(pictures[GROUP_MEAN_CHANGE], group_mean_change(seen, here, there))
    rise = np.mean([(i[i > 0] > 0.5).mean() for i in there]) - np.mean(
        [(i[i > 0] > 0.5).mean() for i in here]
    )
    assert shares[GROUP_MEAN_LOAD] == pytest.approx(opaque_within(seen, lungs) + rise)


def test_change_forgives_what_the_method_cannot_show(world):
    truth = world.truth.images
    dull = forecaster(
        world,
        lambda seen, wanted: 0.8 * truth[seen] + truth[wanted] - truth[seen] + 0.0,
        shown=lambda images: 0.8 * images,
    )
    dull = replace(dull, carried={pair: np.clip(one, 0, 1) for pair, one in dull.carried.items()})
    found = forecast_errors({"dull": dull}, world, np.random.default_rng(1), draws=DRAWS)
    scores = found["pairs"]["1->3"]["image"]["methods"]["dull"]
    assert scores[CHANGE]["error"]["value"] < 0.01 < scores[LIKELY]["error"]["value"]


def test_pictures_are_averaged_before_they_are_judged_and_shares_after(world):
    truth = world.truth
    two = np.stack([np.zeros_like(truth.images[1]), np.ones_like(truth.images[1])]).astype(np.float32)
    found = forecast_errors(
        {"unsure": forecaster(world, lambda seen, wanted: two)}, world, np.random.default_rng(1), draws=DRAWS
    )
    scores = found["pairs"]["2->3"]
    grey = image_error(truth.images[3], np.full_like(truth.images[3], 0.5), truth.lungs[3]).mean()
    assert scores["image"]["methods"]["unsure"][LIKELY]["error"]["value"] == pytest.approx(grey)
    share = np.abs(0.5 - opaque_within(truth.images[3], truth.lungs[3])).mean()
    assert scores["load"]["methods"]["unsure"][LIKELY]["error"]["value"] == pytest.approx(share)


def test_a_method_with_a_likely_picture_is_judged_by_it_and_its_share_by_its_draws(world):
    truth = world.truth
    noisy = forecaster(world, lambda seen, wanted: np.ones((2, *truth.images[1].shape), np.float32))
    sure = replace(noisy, expected={pair: truth.images[pair[1]] for pair in PAIRS})
    found = forecast_errors({"sure": sure}, world, np.random.default_rng(1), draws=DRAWS)
    scores = {measure: one["methods"]["sure"] for measure, one in found["pairs"]["1->3"].items()}
    for reading in (LIKELY, CHANGE):
        assert scores["image"][reading]["error"]["value"] == pytest.approx(0, abs=1e-6)
    share = np.abs(1 - opaque_within(truth.images[3], truth.lungs[3])).mean()
    assert scores["load"][LIKELY]["error"]["value"] == pytest.approx(share)


def test_a_healthy_lung_must_stay_healthy_and_the_ill_are_measured_against_it(world, judged):
    assert judged["healthy"]["prophet"]["excess"]["value"] == 0
    assert judged["ill made healthy"]["3"]["methods"]["prophet"][LIKELY]["value"] == pytest.approx(0)
    known = opaque_within(world.truth.images[0], world.truth.lungs[0])
    untouched = opaque_within(world.truth.images[3], world.truth.lungs[0]) - known
    assert judged["ill made healthy"]["3"]["naive"][NO_CHANGE]["value"] == pytest.approx(untouched.mean())

    def sicken(images):
        return np.where((images > 0) & (np.arange(SIDE) > 18), 0.9, images).astype(np.float32)

    sick = forecaster(world, lambda seen, wanted: world.truth.images[wanted], shown=sicken)
    found = forecast_errors({"sick": sick}, world, np.random.default_rng(1), draws=DRAWS)
    assert found["healthy"]["sick"]["excess"]["low"] > 0 and found["healthy"]["sick"]["new"]["low"] > 0
    said = verdicts({"forecasts": found})
    assert any("becomes denser under sick" in one for one in said)
    assert not any("is lost under" in one for one in said)
    truth = world.truth.images
    dim = forecaster(world, lambda seen, wanted: truth[wanted], shown=lambda images: 0.5 * images)
    found = forecast_errors({"dim": dim}, world, np.random.default_rng(1), draws=DRAWS)
    said = verdicts({"forecasts": found})
    assert any("is lost under dim" in one for one in said)
    assert "A healthy lung taken to age 0 becomes denser under no method." in said


def test_who_carries_nobody_is_left_out_with_a_reason(judged):
    assert list(judged["left out"]) == ["CAGE-T0"]
    assert "CAGE-T0" not in judged["kinds"][OVERALL]["image"]["methods"]
    json.dumps(judged, allow_nan=False)


def test_a_methods_figures_do_not_depend_on_its_company(world, judged):
    alone = forecast_errors({"copier": copier(world)}, world, np.random.default_rng(1), draws=DRAWS)
    for kind in KINDS:
        assert (
            alone["kinds"][kind]["load"]["methods"]["copier"]
            == judged["kinds"][kind]["load"]["methods"]["copier"]
        )


def test_an_outcome_about_other_people_is_refused(world):
    other = prophet(world)
    short = replace(other, carried={pair: one[:, :-1] for pair, one in other.carried.items()})
    with pytest.raises(DataError, match="was asked about slices"):
        forecast_errors({"other": short}, world, np.random.default_rng(0), draws=DRAWS)
    unseen = Unseen.of_truth(world.truth)
    with pytest.raises(DataError, match="other slices of age"):
        fewer = replace(other, shown={age: one[:-1] for age, one in other.shown.items()})
        measure_outcomes({"other": fewer}, world.training, unseen, None, np.random.default_rng(0), DRAWS)


# ---------------------------------------------------------------------------------------- the crisis


def edges(images: np.ndarray) -> np.ndarray:
    """A reader that sees sharpness and brightness, in about unit scale."""
    steps = np.abs(np.diff(images, axis=2))
    return np.stack([steps.mean((1, 2)), steps.max((1, 2)), images.mean((1, 2)), images.std((1, 2))], 1) * 3


@pytest.fixture(scope="module")
def measured(world):
    outcomes = {f"CAGE-T{age}": single(age) for age in range(AGES)}
    outcomes |= {"prophet": prophet(world), "copier": copier(world)}
    outcomes["mute"] = replace(outcomes["prophet"], latents={}, prior={})
    unseen = Unseen.of_truth(world.truth)
    return measure_outcomes(outcomes, world.training, unseen, edges, np.random.default_rng(2), draws=DRAWS)


def test_a_faithful_method_reaches_the_bound_and_a_copier_does_not(measured):
    for kind in ("plain", "classifier"):
        good, bad = (measured["methods"][name]["fidelity"][kind] for name in ("prophet", "copier"))
        for source in ("prior", "across"):
            assert all(reaches(good[str(age)][source]["crisis"]) for age in range(AGES)), (kind, source)
            assert reaches(bad["3"][source]["crisis"]) is False, (kind, source)
            far, near = (one["3"][source]["distance"] for one in (bad, good))
            assert far["low"] > near["high"]
        assert bad["3"]["from"]["0"]["value"] > bad["3"]["from"]["2"]["value"]


def test_references_and_missing_references_say_why_there_is_no_ratio(world, measured):
    alone = measured["methods"]["CAGE-T2"]["fidelity"]["plain"]["2"]
    assert "reference itself" in alone["prior"]["crisis"]["reason"]
    assert "carries nobody" in alone["across"]["reason"]
    unseen = Unseen.of_truth(world.truth)
    found = measure_outcomes(
        {"prophet": prophet(world)}, world.training, unseen, None, np.random.default_rng(2), draws=DRAWS
    )
    crisis = found["methods"]["prophet"]["fidelity"]["plain"]["1"]["prior"]["crisis"]
    assert "no CAGE-T1" in crisis["reason"] and reaches(crisis) is None
    assert list(found["real"]) == ["plain"] and found["about"]["no classifier"]
    assert any("could not be looked for" in said for said in verdicts({"outcomes": found}))


def test_nobody_carried_meets_his_own_real_slice(world, measured):
    asked = Asked.about(Unseen.of_truth(world.truth), np.random.default_rng(0), DRAWS)
    assert asked.shared and measured["about"]["same people at every age"]
    assert not (asked.judging(1) & asked.judged(2)).any()
    assert (asked.judging(1) | asked.judged(1)).all() and asked.judging(1).sum() == PEOPLE // 2
    unseen = Unseen.of_slices(world.training)
    strangers = Asked.about(unseen, np.random.default_rng(0), DRAWS)
    assert not strangers.shared and strangers.judging(1).all() and strangers.judged(1).all()


def test_who_met_his_own_real_slice_would_be_flattered(world, measured):
    unseen = Unseen.of_truth(world.truth)
    strangers = replace(unseen, patients={age: 100 * age + who for age, who in unseen.patients.items()})
    found = measure_outcomes(
        {"prophet": prophet(world)}, world.training, strangers, None, np.random.default_rng(2), draws=DRAWS
    )
    assert not found["about"]["same people at every age"]
    fair, flattered = (
        [
            one["methods"]["prophet"]["fidelity"]["plain"][str(age)]["across"]["distance"]
            for age in range(AGES)
        ]
        for one in (measured, found)
    )
    for age in range(AGES):
        assert flattered[age]["value"] < min(0, fair[age]["value"])
        assert fair[age]["low"] < 0 < fair[age]["high"]  # as for any two sets of real slices


def test_the_groups_are_found_in_true_courses_and_not_in_copies(measured):
    real = measured["real"]["plain"]["groups"]["among the ill"]["value"]
    told = {name: one["groups"]["plain"]["among the ill"] for name, one in measured["methods"].items()}
    assert real > 0.6
    assert told["prophet"]["carried"]["value"] == pytest.approx(real, abs=0.02)
    assert told["copier"]["carried"]["value"] < 1 / 3 and told["copier"]["shown"]["value"] == real
    assert "nothing to tell apart" in told["CAGE-T1"]["made"]["reason"]


def test_latents_that_tell_the_origin_are_found_out(measured):
    clean, leaking = (measured["methods"][name]["latents"]["1"] for name in ("prophet", "copier"))
    assert (
        leaking["leakage"]["balanced_accuracy"]["low"] > 0.9 > clean["leakage"]["balanced_accuracy"]["high"]
    )
    assert leaking["from"]["3"]["p"] == pytest.approx(1 / DRAWS) and clean["from"]["3"]["p"] > 0.05
    assert leaking["prior"]["auc"]["low"] > 0.9 > clean["prior"]["auc"]["value"]
    assert leaking["prior"]["owner_mass"]["value"] < 0.5 < clean["prior"]["owner_mass"]["value"]
    assert "no latents" in measured["methods"]["mute"]["latents"]["reason"]


def test_a_copier_keeps_identity_to_perfection_and_changes_no_load(measured):
    copier, prophet = (measured["methods"][name] for name in ("copier", "prophet"))
    same = copier["identity"]["0->3"]
    assert same["mask_iou"]["value"] == same["top1"]["value"] == 1 and same["likeness"]["value"] == 100
    assert copier["load"]["above a fixed grey"]["changes"]["0->3"]["p"] == 1
    grown = prophet["load"]["above a fixed grey"]["changes"]["0->3"]
    assert grown["mean"]["value"] >= 0
    far, near = (one["load"]["above its own grey"]["ages"]["3"]["prior"] for one in (copier, prophet))
    assert far["distance"]["value"] > near["distance"]["value"]


def test_training_slices_handed_back_are_copies(world):
    thief = forecaster(
        world,
        lambda seen, wanted: world.truth.images[wanted],
        made=lambda age, fresh: world.training.of_group(age).images,
    )
    unseen = Unseen.of_truth(world.truth)
    found = measure_outcomes(
        {"thief": thief, "honest": prophet(world)},
        world.training,
        unseen,
        None,
        np.random.default_rng(3),
        draws=DRAWS,
    )
    rates = {n: one["samples"]["plain"]["2"]["copies"]["rate"] for n, one in found["methods"].items()}
    assert rates["thief"]["value"] == 1 and rates["honest"]["value"] < 0.3
    assert found["methods"]["honest"]["samples"]["plain"]["2"]["neighbourhoods"]["coverage"]["value"] > 0.5


def test_everything_is_json_and_the_same_seed_gives_the_same_figures(world, measured):
    json.dumps(measured, allow_nan=False)
    unseen = Unseen.of_truth(world.truth)
    outcomes = {f"CAGE-T{age}": single(age) for age in range(AGES)} | {"copier": copier(world)}
    again = measure_outcomes(outcomes, world.training, unseen, edges, np.random.default_rng(2), draws=DRAWS)
    assert again["methods"]["copier"] == measured["methods"]["copier"]


# ------------------------------------------------------------------------------------------ verdicts


def test_the_verdicts_name_who_cures_and_who_forecasts(measured, judged):
    said = verdicts({"outcomes": measured, "forecasts": judged})
    cured = next(one for one in said if one.startswith("The crisis is cured"))
    assert "prophet" in cured and "copier" not in cured
    both = [one for one in said if "in picture and opaque share alike" in one]
    assert len(both) == 2 and all("prophet" in one and "copier" not in one for one in both)
    assert said.index(both[1]) < said.index(cured)  # forecasts are told first
    ratio = next(one for one in said if one.startswith("copier: crisis ratio at worst"))
    assert "at 16 of 16" not in ratio
    assert any(one.startswith("prophet:") and "is reached at 16 of 16" in one for one in said)


def test_beside_poor_references_nobody_is_called_cured(measured):
    poor = json.loads(json.dumps(measured))
    near = poor["methods"]["CAGE-T2"]["samples"]["plain"]["2"]["neighbourhoods"]["precision"]
    near |= {"value": 0.0, "low": 0.0, "high": 0.0}
    assert list(poor_references(poor)) == ["plain"] and list(poor_references(poor)["plain"]) == ["2"]
    assert poor_references(measured) == {}
    said = verdicts({"outcomes": poor})
    assert not any(one.startswith("The crisis is cured") for one in said)
    assert any(one.startswith("prophet") and "the bound everywhere. Some of" in one for one in said)
    assert "so a ratio near 1 means as poor, not cured" in said[0] and "at age 2" in said[0]
    beside = next(one for one in said if "as near as other real slices at" in one)
    assert beside.startswith("prophet") and "at 2 (intervals overlap)" in beside
    alone = next(
        one for one in said if one.startswith("By distance alone, on plain features, from the prior")
    )
    assert "prophet is nearest" in alone or "mute is nearest" in alone


def test_the_ablation_table_has_a_row_for_every_method_of_all_ages(measured, judged):
    jobs = [{"name": "prophet", "told": {"steps": {"reader": 300, "mover": 200}}}]
    numbers = {"outcomes": measured, "forecasts": judged, "jobs": jobs}
    rows = rows_of(ablation_table(numbers))
    assert list(rows) == ["real slices", "CAGE-T0 to T3, one age each", "prophet", "copier", "mute"]
    ends = [measured["methods"]["copier"]["fidelity"]["plain"][str(a)]["prior"]["distance"] for a in range(4)]
    mean, worst = (f"{f([one['value'] for one in ends]):.3f}" for f in (np.mean, max))
    assert f"{mean}<small>worst {worst}</small>" in rows["copier"]
    assert "300, 200" in rows["prophet"]
    forecasts = rows_of(forecasts_table(numbers))
    assert list(forecasts) == ["prophet", "copier", "mute"]
    assert "healthy, dense lost" in forecasts_table(numbers)
    assert forecasts["prophet"].count("<strong>") == 4 and "<strong>" not in forecasts["copier"]


def rows_of(table: str) -> dict[str, str]:
    """{name: the rest of its row}"""
    return {row.split("<")[0]: row for row in table.split('<th scope="row">')[1:]}


def test_the_verdicts_say_what_still_fails(measured, judged):
    singles = {f"CAGE-T{age}": measured["methods"][f"CAGE-T{age}"] for age in range(AGES)}
    alone = measured | {"methods": singles | {"copier": measured["methods"]["copier"]}}
    said = verdicts({"outcomes": alone})
    cured = next(one for one in said if one.startswith("The crisis is cured"))
    assert "cured by no method." in cured
    fails = next(one for one in said if one.startswith("copier comes nearest; what still fails"))
    assert "3 across ages on plain features" in fails
    assert any(one.startswith("Of copier's latents") for one in said)
    worse = json.loads(json.dumps(judged))
    for kind in worse["kinds"].values():
        for scores in kind.values():
            del scores["methods"]["prophet"]
    said = verdicts({"forecasts": worse})
    joint = "no method beats every naive forecast in picture and opaque share alike."
    assert f"Forward in time, {joint}" in said
    best = next(one for one in said if one.startswith("Over all forecasts for the ill, in the picture"))
    assert "no method beats every naive forecast; the best, copier (" in best and " more than " in best


def test_without_a_ratio_the_excess_decides():
    undefined = {"ratio": None, "excess": {"low": -0.1, "value": 0.1, "high": 0.2}, "reaches_bound": False}
    assert reaches(undefined) is True
    assert reaches(undefined | {"excess": {"low": 0.1, "value": 0.2, "high": 0.3}}) is False
    assert reaches({"reason": "there is none"}) is None
    assert reaches(undefined | {"ratio": {"low": 1.5, "value": 2, "high": None}}) is False
