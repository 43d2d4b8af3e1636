"""What every voxel of a scan, and every voxel of its lesions, did for a classifier's answer.

Layer-wise relevance propagation: the log-odds are handed back, layer by layer, to the picture. Nothing is
lost on the way that the book does not show: relevance of the inputs and what the biases took add up to the
log-odds. Which rule goes where is a `Composite`; the rules are in `rules.py`, the walk in `route.py`.

Slices go through in parts, so memory does not grow with the scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.data.exambatches import shown_slices, whole
from glasslung.data.exams import Exam
from glasslung.errors import UsageError
from glasslung.explain.affine import affine_of
from glasslung.explain.composites import CONSERVING, Book, Composite, Line, composite_named
from glasslung.explain.lesionroute import lesionnet_steps
from glasslung.explain.route import Chain, First, Gathered, Joined, Layer, Linear, Pass, Step
from glasslung.explain.translate import branches_route, pyramid_step, route_of
from glasslung.models.densenet3d import DenseNet3D
from glasslung.models.lesionnet import LesionNet
from glasslung.models.netvlad import NetVLADClassifier
from glasslung.models.slicewise import SliceWise

PIXELS_AT_ONCE = 2**16  # a slice of 256 x 256: its features stay near a CPU's cache; eight take twice as long


@dataclass(frozen=True, eq=False)
class Relevance:
    """What the parts of one exam did for the log-odds of the finding.

    image, lesion  (S, H, W) float32: of each voxel's grey value, and of each voxel's being a lesion or not;
                   positive for the finding, negative against it
    log_odds       that are explained
    composite      name of the rules
    lines          the book: what each layer passed on, absorbed and lost, from the answer to the picture
    shown          (K,) int64, the slices that the classifier was shown; relevance of all others is 0
    """

    image: np.ndarray
    lesion: np.ndarray
    log_odds: float
    composite: str
    lines: tuple[Line, ...]
    shown: np.ndarray

    @property
    def map(self) -> np.ndarray:
        """Both inputs together, (S, H, W) float32."""
        return self.image + self.lesion

    @property
    def inputs(self) -> float:
        """Relevance of both inputs, summed."""
        return float(self.image.sum(dtype=np.float64) + self.lesion.sum(dtype=np.float64))

    @property
    def biases(self) -> float:
        """What biases and centroids took."""
        return sum(line.absorbed for line in self.lines)

    @property
    def error(self) -> float:
        """Conservation: |log-odds - inputs - biases| / |log-odds|; inf where only the log-odds are 0."""
        away = abs(self.log_odds - self.inputs - self.biases)
        if self.log_odds == 0:
            return float("inf") if away else 0.0
        return away / abs(self.log_odds)


class Plan(NamedTuple):
    """A classifier in two parts: of each slice (or of the scan at once), then of all together to log-odds.

    by_slice  whether the first part may be given the slices in parts
    larger    how many pixels the network sees for each of a slice
    """

    slices: Step
    scan: Step
    by_slice: bool
    larger: float = 1.0


def explain(
    model: nn.Module,
    image: Tensor,
    lesion: Tensor,
    scan: Tensor | None = None,
    composite: Composite | str = CONSERVING,
    at_once: int | None = None,
) -> Relevance:
    """Why the classifier gave this scan its log-odds: a map for each input.

    model          NetVLADClassifier, SliceWise, DenseNet3D or LesionNet; UsageError for others, which
                   `gradients.py` explains
    image, lesion  (S, 1, H, W) in [0, 1] of one scan, as in `ExamBatch`; scan (S,) all 0, or None
    composite      or its name: 'conserving', 'paper', 'gradient'
    at_once        slices that go through together: time and memory, not the answer, depend on it; None: as
                   many as make `PIXELS_AT_ONCE`
    """
    rules = composite_named(composite) if isinstance(composite, str) else composite
    if scan is not None and bool((scan != 0).any()):
        raise UsageError("relevance is of one scan: give the slices of one")
    if image.shape != lesion.shape or image.ndim != 4 or not len(image):
        raise UsageError(
            f"relevance needs slices (S, 1, H, W) and lesions alike, got {tuple(image.shape)} "
            f"and {tuple(lesion.shape)}"
        )
    with torch.no_grad():
        plan = plan_of(model)
        few = at_once or max(1, int(PIXELS_AT_ONCE / (image[0].numel() * plan.larger)))
        step = few if plan.by_slice else len(image)
        parts = list(zip(image.split(step), lesion.split(step), strict=True))
        return _explain(plan, parts, rules)


def explain_exam(model: nn.Module, exam: Exam, composite: Composite | str = CONSERVING) -> Relevance:
    """`explain` of an exam, shown to the classifier as `data.exambatches.whole` shows it.

    The maps are (S, H, W) as the exam; slices that the classifier was not shown have no relevance.
    """
    batch, shown = whole(exam), shown_slices(exam)
    found = explain(model, batch.image, batch.lesion, batch.scan, composite)
    image, lesion = np.zeros(exam.image.shape, np.float32), np.zeros(exam.image.shape, np.float32)
    image[shown], lesion[shown] = found.image, found.lesion
    return replace(found, image=image, lesion=lesion, shown=shown)


def explain_network(
    network: nn.Module, x: Tensor, target: int = 0, composite: Composite | str = CONSERVING
) -> tuple[Tensor, Book, float]:
    """Relevance through any sequential network of known layers, in two or three dimensions.

    x (1, C, ...) one input; target: which output is explained. -> relevance like x, the book, the output.
    """
    rules = composite_named(composite) if isinstance(composite, str) else composite
    book = Book()
    with torch.no_grad():
        route = route_of(network)
        y, memory = route.run(x)
        top = torch.zeros_like(y)
        top[:, target] = y[:, target]
        return route.back(memory, top, rules, book), book, float(y[:, target].sum())


def plan_of(model: nn.Module) -> Plan:
    """How relevance walks through a classifier; UsageError names those there are."""
    if isinstance(model, NetVLADClassifier):
        return _netvlad(model)
    if isinstance(model, SliceWise):
        return _slicewise(model)
    if isinstance(model, DenseNet3D):
        return _densenet(model)
    if isinstance(model, LesionNet):
        return Plan(*lesionnet_steps(model), True, max(model.config.scales) ** 2)
    raise UsageError(
        f"relevance is propagated through netvlad, slicewise, densenet3d and lesionnet, not "
        f"{type(model).__name__}; "
        "gradients.py explains any classifier"
    )


def _explain(plan: Plan, parts: list[tuple[Tensor, Tensor]], composite: Composite) -> Relevance:
    """All slices forward, the answer back to the slices, then each part of them forward and back."""
    book, at_once = Book(), len(parts) == 1
    ran = [plan.slices.run(part) if at_once else (plan.slices.run(part)[0], None) for part in parts]
    answer, memory = plan.scan.run(torch.cat([y for y, _ in ran]))
    given = plan.scan.back(memory, answer, composite, book)
    images, lesions, start = [], [], 0
    for part, (y, kept) in zip(parts, ran, strict=True):
        kept = plan.slices.run(part)[1] if kept is None else kept
        image, lesion = plan.slices.back(kept, given[start : start + len(y)], composite, book)
        start += len(y)
        images.append(image[:, 0])
        lesions.append(lesion[:, 0])
    return Relevance(
        torch.cat(images).cpu().numpy(),
        torch.cat(lesions).cpu().numpy(),
        float(answer),
        composite.name,
        tuple(book.lines.values()),
        np.arange(len(given)),
    )


def _netvlad(model: NetVLADClassifier) -> Plan:
    slices: list[Step] = branches_route(model.branches, "branches")
    slices += [
        pyramid_step(model.pyramid, "pyramid"),
        Layer("dense", affine_of(model.dense), "head"),
        Pass("activation", model.activation),
    ]
    if model.config.unit:
        slices.append(Pass("unit", lambda x: nn.functional.normalize(x, dim=1)))
    return Plan(Chain(slices), Chain([Gathered("vlad", model.vlad), _log_odds(model.head)]), True)


def _slicewise(model: SliceWise) -> Plan:
    network = Chain(
        [
            route_of(model.first, "first"),
            route_of(model.stages, "stages", False),
            route_of(nn.Sequential(model.pool, nn.Flatten()), "pool", False),
        ]
    )
    slices = Joined("first", network) if model.config.side else First("first", network)

    def pooled(x: Tensor) -> Tensor:
        return x[model.counting(x)].mean(0, keepdim=True)

    return Plan(slices, Chain([Linear("slices", pooled), _log_odds(model.head)]), True)


def _densenet(model: DenseNet3D) -> Plan:
    layers = model.net.class_layers
    before = nn.Sequential(*(layer for name, layer in layers.named_children() if name != "out"))

    def boxes(x: Tensor) -> Tensor:
        return model.boxes(x[:, :1], x[:, -1:], torch.zeros(len(x), dtype=torch.long))

    network = Chain(
        [
            Linear("box", boxes, placed=True),
            route_of(model.net.features, "features"),
            route_of(before, "class", False),
        ]
    )
    joined = Joined("box", network) if model.config.side else First("box", network)
    return Plan(joined, _log_odds(model.head), False)


def _log_odds(head: nn.Linear) -> Layer:
    """Two logits and their difference are one dense layer with one output."""
    two = affine_of(head)
    one = replace(two, weight=two.weight[1:] - two.weight[:1], bias=two.bias[1:] - two.bias[:1])
    return Layer("head", one, "head")
