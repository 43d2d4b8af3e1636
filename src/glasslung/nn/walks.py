"""Ways from one code to another, and the code of a picture that nobody made.

    linear     z(t) = (1 - t) a + t b; halfway between two normal codes of n numbers it is shorter than
               either by the square root of 2: codes that the generator hardly ever saw
    spherical  z(t) = sin((1 - t) w) / sin w  a + sin(t w) / sin w  b, w the angle between a and b: lengths go
               from one to the other (White, 2016)

What lies between two codes is an interpolation. Nothing makes it a progression of the disease; who wants
to call it one must have stages that are labelled, and must measure what changes along the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from glasslung.errors import ShapeError, UsageError
from glasslung.nn.borrow import evaluating
from glasslung.nn.making import checked_groups, device_of, make_pictures, maker_of

WAYS = ("linear", "spherical")
STRAIGHT = 1e-6  # sine of an angle below which both ways are one


def walk(first: np.ndarray, last: np.ndarray, steps: int, way: str = "spherical") -> np.ndarray:
    """Codes on the way between two, both ends included: (Z,), (Z,) -> (steps, Z) float32.

    Opposite codes have no spherical way (UsageError): there are many, none shorter than the others.
    """
    first, last = np.asarray(first, np.float64), np.asarray(last, np.float64)
    if first.ndim != 1 or first.shape != last.shape:
        raise ShapeError(
            f"a way leads from a code to another of its width, got {first.shape} and {last.shape}"
        )
    if steps < 2 or way not in WAYS:
        raise UsageError(f"a way has 2 steps or more and is one of {', '.join(WAYS)}; got {steps}, {way!r}")
    t = np.linspace(0, 1, steps)[:, None]
    if way == "linear":
        return np.asarray((1 - t) * first + t * last, np.float32)
    lengths = np.linalg.norm(first) * np.linalg.norm(last)
    cosine = float(np.clip(first @ last / lengths, -1, 1)) if lengths > 0 else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < STRAIGHT:
        if cosine < 0:
            raise UsageError("opposite codes have no spherical way; take a linear one, or another code")
        return np.asarray((1 - t) * first + t * last, np.float32)
    return np.asarray(
        (np.sin((1 - t) * angle) * first + np.sin(t * angle) * last) / np.sin(angle), np.float32
    )


def stage_shares(stages: int, steps: int) -> np.ndarray:
    """From the first stage to the last through all between: (steps, stages) float32, rows of shares
    summing to 1.

    For models that were told stages: the code stays, the stage moves. 2 stages or more.
    """
    if stages < 2 or steps < stages:
        raise UsageError(f"a way through {stages} stages needs 2 stages or more, and a step for each")
    at = np.linspace(0, stages - 1, steps)[:, None]
    return np.asarray(np.clip(1 - np.abs(at - np.arange(stages)), 0, 1), np.float32)


def show_walk(model: nn.Module, codes: np.ndarray, group: int = 0) -> np.ndarray:
    """The pictures along a way of codes, (steps, Z) -> (steps, S, S) in [0, 1]; `group`: which kind."""
    return make_pictures(model, codes, np.full(len(codes), group, np.int64))


def show_stages(model: nn.Module, code: np.ndarray, steps: int) -> np.ndarray:
    """One code through all stages of a conditional model: (Z,) -> (steps, S, S); UsageError without stages.

    The only walk that may be called a progression, if what it shows has been measured (`measure.monotony`).
    """
    maker, device = maker_of(model), device_of(model)
    if maker.groups < 2:
        raise UsageError("this model knows no stages, so a walk is an interpolation; take a conditional one")
    shares = torch.from_numpy(stage_shares(maker.groups, steps)).to(device)
    codes = torch.from_numpy(np.asarray(code, np.float32)).to(device).expand(steps, -1)
    with evaluating(model):
        shown: np.ndarray = maker.make(codes, shares)[:, 0].float().clamp(0, 1).cpu().numpy()
    return shown


@dataclass(frozen=True)
class Search:
    """How the code of a picture is looked for."""

    steps: int = 200  # of Adam: the error hardly falls after
    starts: int = 4  # codes to begin from, the best of which is kept: the way down has hollows
    lr: float = 0.05  # of numbers whose deviation is 1
    prior: float = 1e-3  # weight of the code's mean square: else it leaves where codes are drawn
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.starts) < 1 or self.lr <= 0 or self.prior < 0:
            raise UsageError("steps and starts must be 1 or more, lr above 0, prior not negative")


@dataclass(frozen=True, eq=False)
class Found:
    """Codes of pictures: codes (N, Z), shown (N, S, S) what the generator makes of them, error (N,) root mean
    square difference in grey, how: 'reconstructor' or 'optimised'.
    """

    codes: np.ndarray
    shown: np.ndarray
    error: np.ndarray
    how: str


def find_codes(
    model: nn.Module, images: np.ndarray, group: np.ndarray | None = None, search: Search | None = None
) -> Found:
    """The codes of pictures, real ones too: images (N, S, S) in [0, 1], group (N,) -> codes and how well
    they fit.

    A model with a reconstructor (VEEGAN) is asked for them, unless `search` is given; else they are looked
    for by descent from several starts. Read `error`: a generator that never makes such a picture has no
    code for it.
    """
    asked = getattr(model, "code_of", None)
    if search is None and asked is not None:
        return _asked(model, images, group)
    return _searched(model, images, group, search or Search())


def _asked(model: nn.Module, images: np.ndarray, group: np.ndarray | None) -> Found:
    image, kinds = _on_device(model, images, group)
    with evaluating(model):
        codes = model.code_of(image, kinds)  # type: ignore[operator]
        shown = maker_of(model).make(codes, kinds).clamp(0, 1)
    return _found(image, codes, shown, "reconstructor")


def _searched(model: nn.Module, images: np.ndarray, group: np.ndarray | None, search: Search) -> Found:
    maker = maker_of(model)
    image, kinds = _on_device(model, images, group)
    rng = torch.Generator().manual_seed(search.seed)
    best: tuple[Tensor, Tensor, Tensor] | None = None
    with evaluating(model), torch.enable_grad():
        for _ in range(search.starts):
            start = torch.randn(len(image), maker.code_width, generator=rng).to(image.device)
            codes = _descend(model, image, kinds, start, search)
            with torch.no_grad():
                shown = maker.make(codes, kinds).clamp(0, 1)
                error = _error(image, shown)
                if best is None:
                    best = codes, shown, error
                better = (error < best[2])[:, None]
                best = (
                    torch.where(better, codes, best[0]),
                    torch.where(better[:, :, None, None], shown, best[1]),
                    torch.minimum(error, best[2]),
                )
    assert best is not None
    return _found(image, best[0], best[1], "optimised")


def _descend(model: nn.Module, image: Tensor, kinds: Tensor, start: Tensor, search: Search) -> Tensor:
    """Adam on the codes alone; the generator's weights are not touched."""
    maker = maker_of(model)
    codes = start.clone().requires_grad_()
    adam = torch.optim.Adam([codes], lr=search.lr)
    for _ in range(search.steps):
        apart = (maker.make(codes, kinds) - image).square().flatten(1).mean(1).sum()
        loss = apart + search.prior * codes.square().mean(1).sum()
        (codes.grad,) = torch.autograd.grad(loss, codes)
        adam.step()
    return codes.detach()


def _on_device(model: nn.Module, images: np.ndarray, group: np.ndarray | None) -> tuple[Tensor, Tensor]:
    if images.ndim != 3:
        raise ShapeError(f"pictures must be (N, S, S), got {images.shape}")
    kinds = checked_groups(maker_of(model), len(images), group)
    device = device_of(model)
    image = torch.from_numpy(np.ascontiguousarray(images, np.float32)[:, None]).to(device)
    return image, torch.from_numpy(kinds).to(device)


def _error(image: Tensor, shown: Tensor) -> Tensor:
    return (shown - image).square().flatten(1).mean(1).sqrt()


def _found(image: Tensor, codes: Tensor, shown: Tensor, how: str) -> Found:
    error = _error(image, shown)
    return Found(
        codes.detach().float().cpu().numpy(),
        shown.detach()[:, 0].float().cpu().numpy(),
        error.detach().cpu().numpy(),
        how,
    )
