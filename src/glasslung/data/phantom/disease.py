"""Pneumonia with a course: where it starts, how it spreads, thickens and clears, at every point of the lung.

One scalar per point tells the whole course: the day on which the disease reaches it. It comes from foci,
each with its own place, size and head start, roughened by random fields, and ranked so that the share of the
lung reached by any day is exactly the patient's own curve. What a point looks like then follows from how
long it has been ill: glass first, then a net of thickened septa or consolidation, then clearing, with bands
left behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from glasslung.data.phantom.anatomy import Body, Frame
from glasslung.data.phantom.lungtree import LungMap, lung_map
from glasslung.data.phantom.shapes import window_around
from glasslung.data.phantom.texture import field
from glasslung.errors import UsageError
from glasslung.types import Lesion, Lobe

DISEASES = ("covid", "bacterial", "healthy")
DISEASE_STREAM = 2
SEEN_SHARE = 0.10  # a voxel is lesion when this share of its air has given way: about 90 HU
CONSOLIDATION_SHARE = 0.60  # denser than this, vessels can no longer be told apart
NEVER_DAY = 1e6
_ROUGH, _FINE, _CORE, _NET, _NET2, _PAVED, _BAND = 41, 42, 43, 44, 45, 46, 47


@dataclass(frozen=True)
class Course:
    """How one patient's pneumonia runs. Days count from the first symptom.

    most        largest share of the lungs that it reaches, 0 to 1
    start_day   when the first lesion can be seen
    peak_day    when it has spread furthest
    glass       share of the air lost in ground glass
    tempo_days  how long a place is ill before it consolidates
    core        how much of it consolidates, 0 to 1
    paved       how much of the glass turns to crazy paving, 0 to 1
    hold_days   how long after the peak clearing starts
    clear_days  in how many days two thirds clear
    scar        share of the lost air that stays lost, in bands
    foci        how many places it starts from
    """

    most: float
    start_day: float
    peak_day: float
    glass: float
    tempo_days: float
    core: float
    paved: float
    hold_days: float
    clear_days: float
    scar: float
    foci: int

    def reached(self, day: np.ndarray | float) -> np.ndarray:
        """Share of the lungs reached by a day, 0 to `most`: slow, fast, slow."""
        t = np.clip((np.asarray(day, float) - self.start_day) / (self.peak_day - self.start_day), 0, 1)
        return self.most * t * t * (3 - 2 * t)


NO_COURSE = Course(0, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0)


def draw_course(seed: int, disease: str, severity: float) -> Course:
    """A course at random: the more severe, the wider, denser, slower to clear."""
    if disease not in DISEASES:
        raise UsageError(f"the phantom knows the diseases {', '.join(DISEASES)}, not {disease!r}")
    rng = np.random.default_rng([seed, DISEASE_STREAM, DISEASES.index(disease)])
    luck = rng.normal(size=8)
    if disease == "healthy":
        return NO_COURSE
    if disease == "covid":
        return Course(
            most=float(np.clip((0.03 + 0.62 * severity**1.4) * np.exp(0.18 * luck[0]), 0.015, 0.80)),
            start_day=float(-1.2 + 0.6 * np.clip(luck[1], -2, 2)),
            peak_day=float(np.clip(10 + 1.3 * luck[2] + 1.5 * (severity - 0.4), 6.5, 15)),
            glass=float(np.clip(0.33 + 0.07 * severity + 0.04 * luck[3], 0.24, 0.5)),
            tempo_days=float(np.clip(4.6 + 0.7 * luck[4] - 1.2 * severity, 2.5, 7)),
            core=float(np.clip(0.20 + 0.42 * severity + 0.08 * luck[5], 0.05, 0.8)),
            paved=float(np.clip(0.45 + 0.15 * luck[6], 0.1, 0.8)),
            hold_days=float(1.0 + 2.0 * severity),
            clear_days=float(np.clip((5 + 9 * severity) * np.exp(0.2 * luck[7]), 3, 25)),
            scar=float(np.clip(0.10 + 0.35 * severity, 0, 0.5)),
            foci=int(5 + rng.poisson(6 + 26 * severity)),
        )
    return Course(
        most=float(np.clip((0.05 + 0.26 * severity) * np.exp(0.2 * luck[0]), 0.03, 0.42)),
        start_day=float(-0.8 + 0.3 * np.clip(luck[1], -2, 2)),
        peak_day=float(np.clip(3.6 + 0.6 * luck[2], 2.2, 6)),
        glass=0.35,
        tempo_days=float(np.clip(0.7 + 0.15 * luck[4], 0.3, 1.2)),
        core=1.0,
        paved=0.0,
        hold_days=float(0.8 + 1.2 * severity),
        clear_days=float(np.clip((3 + 3 * severity) * np.exp(0.2 * luck[7]), 2, 12)),
        scar=0.04,
        foci=int(1 + (rng.random() < 0.35)),
    )


@dataclass(frozen=True, eq=False)
class Spread:
    """Where one patient's disease starts and how early it reaches each place.

    centre (F, 3) mm; size (F,) mm; lead (F,) head start of each focus; depth (F,) mm below the ribs
    lobes    labels the disease keeps to, () for all
    taper    over which range of potential its outermost border fades
    levels, days   a point of potential levels[i] is reached on days[i]; below levels[0] never
    """

    seed: int
    centre: np.ndarray
    size: np.ndarray
    lead: np.ndarray
    depth: np.ndarray
    lobes: tuple[int, ...]
    roughness: float
    taper: float
    levels: np.ndarray
    days: np.ndarray

    def reach(self, frame: Frame, lobes: np.ndarray, depth_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """When the disease reaches each point, and how fully.

        lobes     (D, H, W) labels of `Lobe`, 0 outside the lungs
        depth_mm  (D, H, W) below the rib cage or diaphragm
        Returns the day, (D, H, W) float32, NEVER_DAY where never, and the fullness: 0 at the outermost border
        that it ever has, 1 a few millimetres further in.
        """
        potential = np.full(frame.shape, -np.inf, np.float32)
        rough = self.rough(frame)
        top = 2.5 * self.roughness
        for centre, size, lead, depth in zip(self.centre, self.size, self.lead, self.depth, strict=True):
            reach = float(size * (lead + top - self.levels[0]))
            if reach <= 0:
                continue
            window = window_around(frame, tuple(centre - reach), tuple(centre + reach))
            if window is None:
                continue
            away = _away(frame.window(*window), depth_mm[window], centre, depth)
            near = potential[window]
            np.maximum(near, np.float32(lead) - away * np.float32(1 / size), out=near)
        potential += np.float32(self.roughness) * np.clip(rough, -2.5, 2.5)
        if self.lobes:
            potential[~np.isin(lobes, self.lobes)] = -np.inf
        day = np.full(frame.shape, NEVER_DAY, np.float32)
        ill = (potential >= self.levels[0]) & (lobes > 0)
        day[ill] = np.interp(potential[ill], self.levels, self.days)
        fullness = np.zeros(frame.shape, np.float32)
        fullness[ill] = _step(potential[ill] - np.float32(self.levels[0] + self.taper / 2), self.taper / 2)
        return day, fullness

    def rough(self, frame: Frame) -> np.ndarray:
        """The random field that makes borders irregular: one coarse, one fine."""
        axes = frame.z.ravel(), frame.y.ravel(), frame.x.ravel()
        coarse = field((self.seed, _ROUGH), 13.0).on(*axes)
        return 0.8 * coarse + 0.6 * field((self.seed, _FINE), 5.0).on(*axes)


def _potential_of(
    lungs: LungMap,
    seed: int,
    centre: np.ndarray,
    size: np.ndarray,
    lead: np.ndarray,
    depth: np.ndarray,
    lobes: tuple[int, ...],
    roughness: float,
) -> np.ndarray:
    """The potential at the coarse points of the lungs: what the ranking is made of."""
    points = lungs.points.T
    potential = np.full(len(lungs.depth_mm), -np.inf, np.float32)
    deep = np.minimum(lungs.depth_mm, 60)
    for at, wide, ahead, below in zip(centre.astype(np.float32), size, lead, depth, strict=True):
        gap = np.square(np.float32(1.1) * (deep - np.float32(below)))
        for axis in range(3):
            gap += np.square(points[axis] - at[axis])
        np.maximum(potential, np.float32(ahead) - np.sqrt(gap) * np.float32(1 / wide), out=potential)
    potential = potential + roughness * np.clip(_rough_at(seed, lungs), -2.5, 2.5)
    return np.where(np.isin(lungs.lobes, lobes), potential, -np.inf) if lobes else potential


def _rough_at(seed: int, lungs: LungMap) -> np.ndarray:
    """The border field at the coarse points."""
    frame = lungs.frame
    axes = frame.z.ravel(), frame.y.ravel(), frame.x.ravel()
    coarse = field((seed, _ROUGH), 13.0).on(*axes).reshape(-1)[lungs.where]
    return 0.8 * coarse + 0.6 * field((seed, _FINE), 5.0).on(*axes).reshape(-1)[lungs.where]


def _away(part: Frame, depth_mm: np.ndarray, centre: np.ndarray, depth: float) -> np.ndarray:
    """Distance from a focus, longer across the pleura than along it: lesions lie flat under it."""
    gap = np.square(part.z - centre[0]) + np.square(part.y - centre[1]) + np.square(part.x - centre[2])
    return np.sqrt(gap + np.square(1.1 * (np.minimum(depth_mm, 60) - np.float32(depth))))


@lru_cache(maxsize=16)
def spread_of(body: Body, disease: str, course: Course) -> Spread:
    """Foci of one patient's disease, and the ranking that makes its extent follow the course exactly."""
    rng = np.random.default_rng([body.seed, DISEASE_STREAM, 10 + DISEASES.index(disease)])
    lungs = lung_map(body)
    chance, lobes = _where(disease, lungs.points, lungs.depth_mm, lungs.lobes, course, rng)
    picked = rng.choice(len(chance), size=course.foci, p=chance / chance.sum())
    covid = disease == "covid"
    size = rng.lognormal(np.log(15.0 if covid else 34.0), 0.35 if covid else 0.15, course.foci)
    lead = np.sort(rng.uniform(0, 1.3 if covid else 0.3, course.foci))[::-1]
    rough = 0.45 if covid else 0.12
    kept = (body.seed, lungs.points[picked], size, lead, lungs.depth_mm[picked], lobes, rough)
    potential = _potential_of(lungs, *kept)
    total = len(potential)
    potential = np.sort(potential[np.isfinite(potential)])
    share = np.linspace(course.most, 0, 257)  # share of the lungs with a potential at least this high
    order = np.clip(len(potential) - 1 - (share * total).astype(np.int64), 0, len(potential) - 1)
    levels = np.maximum.accumulate(potential[order] + 1e-6 * np.arange(257))
    t = np.linspace(0, 1, 2001)
    days = course.start_day + (course.peak_day - course.start_day) * np.interp(
        share / course.most, t * t * (3 - 2 * t), t
    )
    return Spread(*kept, taper=0.25 if covid else 0.12, levels=levels, days=days)


def _where(
    disease: str,
    points: np.ndarray,
    depth: np.ndarray,
    lobes: np.ndarray,
    course: Course,
    rng: np.random.Generator,
) -> tuple[np.ndarray, tuple[int, ...]]:
    """How likely a focus is at each point of tissue, and the lobes that the disease keeps to."""
    height = np.clip((points[:, 0] + 180) / 290, 0, 1)
    if disease == "covid":
        back = 1 / (1 + np.exp(-(points[:, 1] - 15) / 22))
        return np.exp(-depth / 9) * (0.25 + 1.6 * (1 - height) ** 1.3) * (0.35 + back), ()
    odds = {Lobe.RIGHT_LOWER: 0.32, Lobe.LEFT_LOWER: 0.28, Lobe.RIGHT_UPPER: 0.17, Lobe.LEFT_UPPER: 0.13}
    odds[Lobe.RIGHT_MIDDLE] = 0.10
    names = list(odds)
    chosen = int(names[int(rng.choice(len(names), p=list(odds.values())))])
    room = np.mean(lobes == chosen)
    if course.most > 0.9 * room:  # too wide for one lobe: a neighbour on the same side is drawn in
        side = {1: (1, 2), 2: (1, 2), 3: (3, 5, 4), 4: (4, 5, 3), 5: (5, 4, 3)}[chosen]
        return (lobes == chosen).astype(float), side
    return (lobes == chosen) * np.exp(-depth / 60), (chosen,)


@dataclass(frozen=True, eq=False)
class Illness:
    """What a disease does to the lung on one day, at the points `where` (flat indices of a frame).

    lost    share of the air that has given way to fluid and cells, 0 to 1
    label   labels of `Lesion`
    """

    where: np.ndarray
    lost: np.ndarray
    label: np.ndarray


def ill_on(
    day: float, course: Course, seed: int, reached: np.ndarray, fullness: np.ndarray, frame: Frame
) -> Illness:
    """The state of every ill point on one day.

    reached, fullness  (D, H, W) from `Spread.reach`
    """
    where = np.flatnonzero(reached < day)
    if where.size == 0:
        return Illness(where, np.zeros(0, np.float32), np.zeros(0, np.uint8))
    axes = frame.z.ravel(), frame.y.ravel(), frame.x.ravel()

    def sample(which: int, scale: float | tuple[float, float, float]) -> np.ndarray:
        return field((seed, which), scale).on(*axes).reshape(-1)[where]

    age = np.float32(day) - reached.reshape(-1)[where]
    core = sample(_CORE, 12.0)
    glass = np.float32(course.glass) * (1 + np.float32(0.16) * sample(_FINE, 5.0)) * np.clip(age / 2, 0.15, 1)
    solid = _solid_share(age, core, course)
    lost = glass + (np.float32(0.96) - glass) * solid
    net = _thin(sample(_NET, 5.2), 0.17)
    net = np.maximum(net, _thin(sample(_NET2, 6.0), 0.17))
    paving = np.clip((age - 2.5) / 2.5, 0, 1) * _step(sample(_PAVED, 22.0) + 2.4 * (course.paved - 0.5), 0.35)
    lost += np.float32(0.30) * net * paving * (1 - solid)
    late = max(0.0, day - course.peak_day - course.hold_days)
    full = fullness.reshape(-1)[where]
    pace = np.maximum(1.5 - 0.5 * full + 0.25 * core, 0.2)  # clearing starts from the border
    left = np.exp(-np.float32(late / course.clear_days) * pace)
    band = _thin(sample(_BAND, (9.0, 15.0, 15.0)), 0.22) * np.clip(age / 8, 0, 1)
    lost = lost * left + np.float32(course.scar) * band * (1 - left)
    lost = np.clip(lost * full, 0, 0.97).astype(np.float32)
    label = np.full(where.size, Lesion.GROUND_GLASS, np.uint8)
    label[(paving > 0.5) & (solid < 0.35) & (left > 0.35)] = Lesion.CRAZY_PAVING
    label[lost - 0.30 * net * paving * (1 - solid) * left * full > CONSOLIDATION_SHARE] = Lesion.CONSOLIDATION
    label[lost < SEEN_SHARE] = Lesion.NONE
    return Illness(where, lost, label)


def _solid_share(age: np.ndarray, core: np.ndarray, course: Course) -> np.ndarray:
    """How far each point has consolidated: late, and only where the core field is high."""
    from scipy.special import ndtri

    bar = np.float32(ndtri(1 - np.clip(course.core, 1e-3, 0.999)))
    ripe = np.clip((age - np.float32(course.tempo_days)) / np.float32(0.6 * course.tempo_days + 0.6), 0, 1)
    return ripe * _step(core - bar, 0.22)


def _step(value: np.ndarray, width: float) -> np.ndarray:
    """A smooth step from 0 to 1 around 0."""
    t = np.clip(value * np.float32(0.5 / width) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def _thin(value: np.ndarray, width: float) -> np.ndarray:
    """1 on the surface where a random field is 0, falling off within `width`: a thin, wandering sheet."""
    return np.exp(-np.square(value * np.float32(1 / width)))
