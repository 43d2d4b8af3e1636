"""Open a segmenter of slices: by the folder of its run, or by the name of weights that come with the package.

What a network reads stands in its settings under "reads" (beside the method's own settings, or among those of
the training):

    intensity   hu or display8
    spacing_mm  [z, y, x] of its slices, for hu
    window_hu   [lo, hi]: what is 0 and 1 to it, for hu
    temperature by which logits are divided so that probabilities hold, of methods without such a setting
    trained_on, limits   one sentence each, for the report

Without them it reads 8-bit slices, framed at the side that its training had.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glasslung.errors import DataError, UsageError
from glasslung.predict.trained import READS, TRAINING, open_trained
from glasslung.types import Intensity, Lesion

if TYPE_CHECKING:
    from torch import Tensor, nn

SHIPPED = {Intensity.HU: "lesions-hu", Intensity.DISPLAY8: "lesions-8bit"}
"""The weights that `analyze` asks where none are named."""
FOLDER = Path(__file__).parent.parent / "weights"
NONE = "none"
"""What a person types who wants no network asked."""
KINDS = tuple(lesion.words for lesion in Lesion)
"""A name for each label of `Lesion`, as reports print them."""
SPACING_MM = (2.0, 1.5, 1.5)  # of networks for HU whose settings do not say
WINDOW_HU = (-1000.0, 400.0)
SIDE = 192  # of framed slices, where the run does not say


class Told(NamedTuple):
    """What a segmenter says of B slices: kinds (B, C, H, W), sum 1 over C; lung (B, H, W) or None."""

    kinds: Tensor
    lung: Tensor | None


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained segmenter of slices that can be asked, and what it reads.

    name         what a person calls it: a shipped name, or the last part of the run's folder
    method       the name it is built by
    classes      names of what it tells apart, a part of `KINDS` from 'none' on
    intensity    hu or display8
    spacing_mm   (z, y, x) of its slices, upright; of networks for hu
    window_hu    the HU that are 0 and 1 to it; of networks for hu
    size         side in pixels of the squares it learned from; of networks for display8
    one_window   whether it was shown slices as through one window (`data.slicewindows.alike`)
    finds_lungs  whether it has a lung output
    temperature  by which its logits are divided, beyond what the method does by itself
    digest       first 16 hex digits of the SHA-256 of its weights
    about        what its folder says of it
    """

    model: nn.Module
    name: str
    method: str
    classes: tuple[str, ...]
    intensity: Intensity
    spacing_mm: tuple[float, float, float]
    window_hu: tuple[float, float]
    size: int
    one_window: bool
    finds_lungs: bool
    temperature: float
    digest: str
    about: Mapping[str, Any]

    def ask(self, image: Tensor) -> Told:
        """image (B, 1, H, W) float32 in [0, 1], H and W multiples of 32 -> calibrated probabilities."""
        lung: Tensor | None = None
        if self.finds_lungs:
            kinds, lung = self.model.opinions(image)  # type: ignore[operator]
        else:
            kinds = self.model.probabilities(image)  # type: ignore[operator]
        return Told(_softmax(kinds.float().clamp_min(1e-12).log(), self.temperature), lung)

    def told(self, what: str) -> str:
        """A sentence that its settings hold about it ('trained_on', 'limits'); '' where there is none."""
        return str(_reads(self.about).get(what, ""))


def _softmax(logits: Tensor, temperature: float) -> Tensor:
    return (logits.float() / temperature).softmax(1)


def shipped_for(intensity: Intensity) -> str | None:
    """The name of the weights that come with the package for such grey values; None where there are none."""
    name = SHIPPED[intensity]
    return name if (FOLDER / name / "settings.json").is_file() else None


def identity_of(which: str) -> str:
    """A text that changes with the weights that `which` names: a shipped name or a run's folder.

    Loads no network. UsageError or DataError where there is no such run.
    """
    folder = Path(which) if Path(which).is_dir() else FOLDER / which
    files = [*sorted((folder / "weights").glob("*.safetensors")), folder / "model.safetensors"]
    digests = [_digest(file) for file in (*files, folder / "settings.json") if file.is_file()]
    return f"{folder.resolve().name} {' '.join(digests)}"


def open_segmenter(which: str | Path) -> Segmenter:
    """Open a segmenter by the folder of its run or by a shipped name.

    A text without a folder of that name is taken as a shipped name. UsageError for a model that finds no
    lesions in single slices, DataError where there is no such run, or it is damaged.
    """
    trained = open_trained(which, _check_method)
    name, reads = trained.name, _reads(trained.about)
    settings = trained.about["settings"]
    training = settings.get(TRAINING, {})
    classes = int(settings.get("classes", 3))
    if not 3 <= classes <= len(KINDS):
        raise UsageError(
            f"{name} tells {classes} classes; lungs are analysed by networks that tell none, ground glass "
            "and consolidation, and crazy paving if they can"
        )
    return Segmenter(
        model=trained.model.eval(),
        name=name,
        method=trained.method,
        classes=KINDS[:classes],
        intensity=_intensity(name, reads),
        spacing_mm=_numbers(name, reads, "spacing_mm", SPACING_MM),
        window_hu=_numbers(name, reads, "window_hu", WINDOW_HU),
        size=int(reads.get("size", training.get("size", settings.get("size", SIDE)))),
        one_window=bool(training.get("one_window", reads.get("one_window", True))),
        finds_lungs=float(settings.get("lung_weight", 0) or 0) > 0,
        temperature=1.0 if "temperature" in settings else _positive(name, reads),
        digest=_digest(trained.weights),
        about=trained.about,
    )


def _reads(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the network reads, wherever its settings keep it."""
    settings = about.get("settings", {})
    for place in (about, settings, settings.get(TRAINING, {})):
        if isinstance(place, Mapping) and isinstance(place.get(READS), Mapping):
            found: Mapping[str, Any] = place[READS]
            return found
    return {}


def _intensity(name: str, reads: Mapping[str, Any]) -> Intensity:
    said = reads.get("intensity", Intensity.DISPLAY8)
    if said not in list(Intensity):
        raise DataError(f"{name} is damaged: it reads {said!r}, and grey values are {', '.join(Intensity)}")
    return Intensity(said)


def _numbers(name: str, reads: Mapping[str, Any], key: str, default: tuple[float, ...]) -> Any:
    given = reads.get(key, default)
    try:
        found = tuple(float(one) for one in given)
    except (TypeError, ValueError):
        found = ()
    rising = key != "window_hu" or (len(found) == 2 and found[0] < found[1])
    if len(found) != len(default) or not rising or (key == "spacing_mm" and min(found) <= 0):
        raise DataError(f"{name} is damaged: its settings have {key} {given!r}, and {list(default)} is such")
    return found


def _positive(name: str, reads: Mapping[str, Any]) -> float:
    given = reads.get("temperature", 1.0)
    if not isinstance(given, int | float) or not 0 < given < 1e3:
        raise DataError(f"{name} is damaged: its temperature is {given!r}, and must be a number above 0")
    return float(given)


def _check_method(method: str) -> None:
    """UsageError for a model that does not find lesions in slices by itself."""
    from glasslung.models import TABLE
    from glasslung.nn.batches import LabelledBatch

    able = [
        name for name, entry in TABLE.items() if entry.batch is LabelledBatch and _asks_alone(entry.model)
    ]
    if method not in able:
        raise UsageError(f"a {method!r} finds no lesions in single slices; {', '.join(able)} do")


def _asks_alone(model: Any) -> bool:
    """Whether `probabilities` needs a slice and nothing else."""
    asked = getattr(model, "probabilities", None)
    if asked is None:
        return False
    needed = [p for p in inspect.signature(asked).parameters.values() if p.default is p.empty]
    return len(needed) == 2  # self and the slices


def _digest(weights: Path) -> str:
    with weights.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()[:16]
