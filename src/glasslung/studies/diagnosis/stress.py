"""What a classifier is worth on altered scans: AUC against window level and width, noise, slice thickness.

Each scan is altered in its Hounsfield units and its exam made again; lungs and lesions stay those of the
unaltered scan, so what is tested is the classifier and not the drawing of masks. One draw of noise serves
every amount, so that a curve is not bent by luck. The cost is bounded by the number of scans
(`StressSettings.scans`): every scan is made into one exam for each amount.

    stress_curves -> {
      'scans', 'patients', 'with', 'without': counts
      'unaltered': {method: [AUC, low, high]}
      'kinds': {'window level' | 'window width' | 'noise' | 'slice thickness': {
          'label', 'usual', 'curves': {method: [[amount, AUC, low, high], ...]}}}
    }
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.data.exams import Exam, label_of
from glasslung.errors import DataError, UsageError
from glasslung.measure.ranking import auc_interval
from glasslung.types import Intensity, Progress, Volume

if TYPE_CHECKING:
    from glasslung.predict.exams import MaskMaker
    from glasslung.studies.diagnosis.ground import DiagnosisGround

Make = Callable[[Volume, np.ndarray, np.ndarray], Exam]
Ask = Callable[[Sequence[Exam]], np.ndarray]

LEVEL, WIDTH, NOISE, THICKNESS = "window level", "window width", "noise", "slice thickness"
WINDOW_HU = (-1000.0, 400.0)  # what the exam shows: level -300, width 1400
RANGE_HU = (-1024, 3071)  # what a scanner writes
GREY_HU = 1400 / 255  # HU that a step of an 8-bit picture counts as
LABELS = {
    LEVEL: ("level of the window, HU from where it belongs", 0.0),
    WIDTH: ("width of the window, HU", WINDOW_HU[1] - WINDOW_HU[0]),
    NOISE: ("noise added to each voxel, sd in HU", 0.0),
    THICKNESS: ("slice thickness, times the scan's own", 1.0),
}


@dataclass(frozen=True)
class StressSettings:
    """How far scans are altered; each list holds the amount at which nothing is altered."""

    level: tuple[float, ...] = (-300, -200, -100, 0, 100, 200, 300)
    """HU: from a display that hides ground glass to one that drowns it."""
    width: tuple[float, ...] = (800, 1100, 1400, 1700, 2000)
    """HU: common presets for lungs lie between 1000 and 2000."""
    noise: tuple[float, ...] = (0, 25, 50, 100, 150)
    """HU: low-dose scans have about 50 to 100."""
    thickness: tuple[float, ...] = (1, 2, 4, 8)
    """Whole times: slices of 1 to 1.25 mm become those of an old protocol, 8 to 10 mm."""
    scans: int = 40
    """Most scans that are altered: each is asked about 18 times, half a second or so each and method."""
    draws: int = 2000

    def __post_init__(self) -> None:
        for kind, (_, usual) in LABELS.items():
            amounts = self.amounts(kind)
            if usual not in amounts or len(set(amounts)) != len(amounts):
                raise UsageError(
                    f"the amounts of {kind} must hold {usual:g}, and none of them twice: {amounts}"
                )
        if any(one < 1 or one != int(one) for one in self.thickness):
            raise UsageError(f"slice thickness grows by whole times, got {self.thickness}")
        if min(self.noise) < 0 or min(self.width) <= 0:
            raise UsageError("noise cannot be negative, nor the width of a window 0")
        if self.scans < 4 or self.draws < 1:
            raise UsageError("stress needs at least four scans and one draw")

    def amounts(self, kind: str) -> tuple[float, ...]:
        """The amounts of one kind, as given."""
        names = dict(zip(LABELS, (one.name for one in fields(self)), strict=False))
        found: tuple[float, ...] = getattr(self, names[kind])
        return found


@dataclass(frozen=True, eq=False)
class StressCase:
    """One scan to be altered: its masks on its own grid, whether it has the finding, whose it is."""

    volume: Volume
    lungs: np.ndarray
    lesions: np.ndarray
    label: int
    patient: str


def choose_scans(
    labels: Sequence[int], patients: Sequence[str], most: int, rng: np.random.Generator
) -> np.ndarray:
    """Rows of at most `most` scans for the stress, both labels as evenly as may be, patients before repeats.

    labels (N,) 0, 1, or -1 for unknown ones, which are left out -> (K,) int64, rising. To be called before
    the volumes are read.
    """
    order = rng.permutation(len(labels))
    seen: dict[str, int] = {}
    turn = np.zeros(len(labels), dtype=np.int64)
    for row in order:
        turn[row] = seen[patients[row]] = seen.get(patients[row], -1) + 1
    kinds = [sorted((r for r in order if labels[r] == kind), key=lambda r: turn[r]) for kind in (1, 0)]
    smaller, larger = sorted(kinds, key=len)
    few = min(len(smaller), most // 2)
    return np.sort(np.array(smaller[:few] + larger[: most - few], dtype=np.int64))


def stress_curves(
    cases: Iterable[StressCase],
    make: Make,
    ask: Mapping[str, Ask],
    settings: StressSettings,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """AUC of every method on scans altered more and more, see the head of this file.

    cases  read one after the other, so they may be a generator; UsageError for more than `settings.scans`
    make   (volume, lungs, lesions) -> exam, as the classifiers want it
    ask    method -> (exams) -> (N,) log-odds
    A scan of one slice cannot be made thicker: where there is one, that kind is left out.
    """
    truth: list[bool] = []
    patients: list[str] = []
    said: dict[tuple[str, str, float], list[float]] = {}
    thin = False
    for number, case in enumerate(cases):
        if number >= settings.scans:
            raise UsageError(
                f"more than {settings.scans} scans for the stress; choose some with choose_scans"
            )
        if progress:
            progress(f"stress: scan {number + 1}", number / settings.scans)
        truth.append(case.label == 1)
        patients.append(case.patient)
        thin |= case.volume.shape[0] == 1
        for key, value in _answers(case, make, ask, settings, int(rng.integers(2**63))).items():
            said.setdefault(key, []).append(value)
    return _told(
        np.array(truth, dtype=bool), patients, said, list(ask), settings, skip=(THICKNESS,) if thin else ()
    )


def phantom_cases(
    ground: DiagnosisGround, part: str, most: int, masks: MaskMaker | None = None
) -> Iterator[StressCase]:
    """Some phantoms of a part, drawn again one after the other, every disease among them.

    masks  who finds lungs and lesions in the unaltered scan; None: the true ones
    """
    for _, scan in ground.scans_of(part, most):
        chest = scan.render()
        lungs, lesions = (chest.lungs, chest.lesions) if masks is None else masks.of(chest.volume)[:2]
        yield StressCase(chest.volume, lungs, lesions, label_of(scan.disease), f"p{scan.seed}")


def asking(model: Any) -> Ask:
    """A classifier as something to ask: log-odds of each exam, whole and alone; it is left as it was."""

    def ask(exams: Sequence[Exam]) -> np.ndarray:
        from glasslung.data.exambatches import whole
        from glasslung.nn.borrow import evaluating

        with evaluating(model):
            batches = (whole(exam) for exam in exams)
            return np.array([float(model.scores(one.image, one.lesion, one.scan)[0]) for one in batches])

    return ask


def alter(volume: Volume, kind: str, amount: float, noise: np.ndarray | None = None) -> Volume:
    """The scan as if taken or shown otherwise; masks of the same grid fit on, but for slice thickness.

    noise  (D, H, W) of unit deviation, for kind 'noise' alone
    8-bit pictures are altered as if 255 steps were the window's 1400 HU.
    """
    if kind == THICKNESS:
        return thicken(volume, int(amount))
    if amount == LABELS[kind][1]:
        return volume
    step = 1.0 if volume.intensity is Intensity.HU else 1 / GREY_HU
    low, high = RANGE_HU if volume.intensity is Intensity.HU else (0, 255)
    grey = volume.voxels.astype(np.float32)
    if kind == LEVEL:  # a window that lies higher shows everything darker
        grey -= np.float32(amount * step)
    elif kind == WIDTH:
        centre = np.float32(sum(WINDOW_HU) / 2 if volume.intensity is Intensity.HU else 127.5)
        grey = centre + (grey - centre) * np.float32(LABELS[WIDTH][1] / amount)
    else:
        assert noise is not None and kind == NOISE
        grey += np.float32(amount * step) * noise
    made = np.clip(np.rint(grey), low, high).astype(volume.voxels.dtype)
    return Volume(made, volume.affine, volume.intensity, volume.source, volume.geometry)


def thicken(volume: Volume, times: int) -> Volume:
    """Every `times` neighbouring slices averaged into one; what is left over makes a thinner last one."""
    if times == 1:
        return volume
    starts = np.arange(0, volume.shape[0], times)
    counts = np.diff(np.r_[starts, volume.shape[0]])[:, None, None]
    mean = np.add.reduceat(volume.voxels.astype(np.float32), starts, axis=0) / counts
    affine = volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (times - 1) / 2
    affine[:3, 0] *= times
    return Volume(
        np.rint(mean).astype(volume.voxels.dtype), affine, volume.intensity, volume.source, volume.geometry
    )


def thicken_mask(mask: np.ndarray, times: int) -> np.ndarray:
    """The label of the middle slice of each group that `thicken` averages."""
    starts = np.arange(0, len(mask), times)
    ends = np.r_[starts[1:], len(mask)]
    return np.ascontiguousarray(mask[(starts + ends - 1) // 2])


def _answers(
    case: StressCase, make: Make, ask: Mapping[str, Ask], settings: StressSettings, seed: int
) -> dict[tuple[str, str, float], float]:
    """Log-odds of one scan under every alteration: (method, kind, amount) -> value."""
    noise = np.random.default_rng(seed).standard_normal(case.volume.shape, dtype=np.float32)
    plans = [(kind, amount) for kind in LABELS for amount in settings.amounts(kind)]
    if case.volume.shape[0] == 1:
        plans = [(kind, amount) for kind, amount in plans if kind != THICKNESS]
    altered = [plan for plan in plans if plan[1] != LABELS[plan[0]][1]]
    exams = [make(case.volume, case.lungs, case.lesions)]
    for kind, amount in altered:
        times = int(amount) if kind == THICKNESS else 1
        masks = [thicken_mask(mask, times) for mask in (case.lungs, case.lesions)]
        exams.append(make(alter(case.volume, kind, amount, noise), *masks))
    found: dict[tuple[str, str, float], float] = {}
    for method, asked in ask.items():
        values = np.asarray(asked(exams), dtype=np.float64)
        if values.shape != (len(exams),) or not np.isfinite(values).all():
            raise DataError(f"{method}: {values.shape} finite answers are wanted for {len(exams)} exams")
        by_plan = dict(zip(altered, values[1:], strict=True))
        for plan in plans:
            found[(method, *plan)] = float(by_plan.get(plan, values[0]))
    return found


def _told(
    truth: np.ndarray,
    patients: Sequence[str],
    said: Mapping[tuple[str, str, float], Sequence[float]],
    methods: Sequence[str],
    settings: StressSettings,
    skip: Sequence[str],
) -> dict[str, Any]:
    def area(method: str, kind: str, amount: float) -> list[float]:
        score = np.array(said[method, kind, amount])
        found = auc_interval(truth, score, patients, rng=np.random.default_rng(0), draws=settings.draws)
        return [found.value, found.low, found.high]

    kinds = {
        kind: {
            "label": label,
            "usual": usual,
            "curves": {
                method: [[amount, *area(method, kind, amount)] for amount in sorted(settings.amounts(kind))]
                for method in methods
            },
        }
        for kind, (label, usual) in LABELS.items()
        if kind not in skip
    }
    return {
        "scans": len(truth),
        "patients": len(set(patients)),
        "with": int(truth.sum()),
        "without": int((~truth).sum()),
        "unaltered": {method: area(method, LEVEL, 0.0) for method in methods},
        "kinds": kinds,
    }
