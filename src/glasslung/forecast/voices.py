"""How each model is asked: to make a lung of an age, to show one again, to carry one to another age.

    voice = voice_of("ageflow", model, seed=0)
    voice.make(8, age=2)                                       lungs that nobody has
    voice.carry(images, seen=1, days=days, wanted=3, then=...)  these lungs, later: one draw

Ages are those of the CAGE set: 0 never ill, 1 to 3 ill for 0 to 4, 5 to 9, 10 to 14 days; days go beside
them where they are known, NaN where not. Pictures are (N, S, S) float32 in [0, 1], the mean of every pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from glasslung.errors import UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

GROUP_DAYS = ((0, 4), (5, 9), (10, 14))  # of the ages 1 to 3, both included


class Voice(Protocol):
    """What every model can be asked. All draws come from its own generator."""

    @property
    def ages(self) -> tuple[int, ...]:
        """The ages it can show."""

    @property
    def rng(self) -> torch.Generator:
        """Where its draws come from: whoever sets its state back gets the same draws again."""

    def make(self, count: int, age: int) -> np.ndarray:
        """Pictures drawn from the prior at one age, on days spread over it, (count, S, S)."""

    def show(self, images: np.ndarray, age: int, days: np.ndarray) -> np.ndarray:
        """The pictures as the model sees them at their own age, (N, S, S)."""

    def carry(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        """The pictures seen at one age, on `days` (N,), at another, on the days `then` (N,): one draw."""

    def expect(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray | None:
        """The likely pictures at another age in one go; None: it has but draws, take their mean."""

    def latents(self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int) -> np.ndarray | None:
        """What the decoder is given for these pictures at the age wanted, (N, D); None: it has no latents."""

    def prior_latents(self, count: int, age: int) -> np.ndarray | None:
        """The same drawn from the prior, (count, D)."""


def voice_of(name: str, model: nn.Module, seed: int = 0) -> Voice:
    """The voice of a model by the name it is built by; UsageError for one that knows no ages."""
    import torch

    if name not in VOICES:
        raise UsageError(f"a {name!r} carries no lung to another age; there are {', '.join(VOICES)}")
    return VOICES[name](model, torch.Generator().manual_seed(seed))


@dataclass(frozen=True, eq=False)
class CageVoice:
    """How a CAGE is asked. It carries a slice by what it infers of the age wanted."""

    model: Any
    rng: torch.Generator

    @property
    def ages(self) -> tuple[int, ...]:
        """A CAGE of one age was trained to show that age alone."""
        single = self.model.config.single_age
        return tuple(self.model.config.ages) if single is None else (single,)

    def make(self, count: int, age: int) -> np.ndarray:
        course = self.model.imagine(count, self.rng)
        return picture_of(self.model, lambda: self.model.render(course, age))

    def show(self, images: np.ndarray, age: int, days: np.ndarray) -> np.ndarray:
        return self.carry(images, age, days, age, days)

    def carry(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        image, group = as_tensor(images), full(len(images), seen)
        day = as_days(then) if self.model.config.day else None
        return picture_of(self.model, lambda: self.model.carry(image, group, wanted, self.rng, day=day))

    def expect(self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray) -> None:
        return None

    def latents(self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int) -> np.ndarray:
        return self._rows(self.model.infer(as_tensor(images), full(len(images), seen), self.rng), wanted)

    def prior_latents(self, count: int, age: int) -> np.ndarray:
        return self._rows(self.model.imagine(count, self.rng), age)

    def _rows(self, course: Any, age: int) -> np.ndarray:
        """(z, k_age): the coarse levels as they are, the fine ones by their moments."""
        import torch

        from glasslung.nn.matching import latent_features

        blocks = latent_features([course.still, course.ages[age]], self.model.config.match_coarse)
        rows: np.ndarray = torch.cat(blocks, 1).numpy()
        return rows


@dataclass(frozen=True, eq=False)
class FlowVoice:
    """How an AgeFlow is asked. What it keeps of a lung is the noise under its latents."""

    model: Any
    rng: torch.Generator
    ages: tuple[int, ...] = (0, 1, 2, 3)

    def make(self, count: int, age: int) -> np.ndarray:
        condition = condition_at(age, some_days(count, age, self.rng))
        return picture_of(self.model, lambda: self.model.imagine(condition, self.rng))

    def show(self, images: np.ndarray, age: int, days: np.ndarray) -> np.ndarray:
        return picture_of(self.model, lambda: self.model.reconstruct(as_tensor(images), self.rng))

    def carry(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        here, there = condition_at(seen, days), condition_at(wanted, then)
        return picture_of(
            self.model, lambda: self.model.carry(as_tensor(images), here, there, self.rng, temperature=1.0)
        )

    def expect(self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray) -> None:
        return None

    def latents(self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int) -> np.ndarray:
        import torch

        noise, _ = self.model.unmake(as_tensor(images), condition_at(seen, days), self.rng, 1.0)
        rows: np.ndarray = torch.as_tensor(noise).numpy()
        return rows

    def prior_latents(self, count: int, age: int) -> np.ndarray:
        import torch

        rows: np.ndarray = torch.randn((count, self.model.coarse_width), generator=self.rng).numpy()
        return rows


@dataclass(frozen=True, eq=False)
class TransportVoice:
    """How an AgeTransport is asked. It moves the slice itself: nothing is shown again, nothing is latent."""

    model: Any
    rng: torch.Generator
    ages: tuple[int, ...] = (0, 1, 2, 3)

    def make(self, count: int, age: int) -> np.ndarray:
        wanted = condition_at(age, some_days(count, age, self.rng))
        made: np.ndarray = self.model.imagine(wanted, self.rng)[:, 0].numpy()
        return made

    def show(self, images: np.ndarray, age: int, days: np.ndarray) -> np.ndarray:
        return images

    def carry(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        here, there = condition_at(seen, days), condition_at(wanted, then)
        moved: np.ndarray = self.model.carry(as_tensor(images), here, there, self.rng)[:, 0].numpy()
        return moved

    def expect(
        self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int, then: np.ndarray
    ) -> np.ndarray:
        here, there = condition_at(seen, days), condition_at(wanted, then)
        likely: np.ndarray = self.model.expect(as_tensor(images), here, there)[:, 0].numpy()
        return likely

    def latents(self, images: np.ndarray, seen: int, days: np.ndarray, wanted: int) -> None:
        return None

    def prior_latents(self, count: int, age: int) -> None:
        return None


VOICES: dict[str, Callable[[Any, Any], Voice]] = {
    "cage": CageVoice,
    "ageflow": FlowVoice,
    "agetransport": TransportVoice,
}


def condition_at(age: int, days: np.ndarray) -> torch.Tensor:
    """An age and days (N,) as networks are told them, (N, 2)."""
    from glasslung.nn.conditions import condition_of

    return condition_of(full(len(days), age), as_days(days))


def some_days(count: int, age: int, rng: torch.Generator) -> np.ndarray:
    """Days spread evenly over an age, (count,) float32; NaN for never ill."""
    import torch

    if age == 0:
        return np.full(count, np.nan, np.float32)
    first, last = GROUP_DAYS[age - 1]
    days: np.ndarray = torch.randint(first, last + 1, (count,), generator=rng).numpy().astype(np.float32)
    return days


def as_tensor(images: np.ndarray) -> torch.Tensor:
    """(N, S, S) -> (N, 1, S, S) float32."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(images, np.float32)[:, None])


def as_days(days: np.ndarray) -> torch.Tensor:
    """(N,) float32."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(days, np.float32))


def full(count: int, group: int) -> torch.Tensor:
    """(count,) int64, all of one group."""
    import torch

    return torch.full((count,), group, dtype=torch.int64)


def picture_of(model: Any, pixels: Callable[[], Any]) -> np.ndarray:
    """The mean of every pixel, (N, S, S) float32, without gradients, in evaluation mode."""
    from glasslung.nn.borrow import evaluating

    with evaluating(model):
        picture: np.ndarray = pixels().mean()[:, 0].numpy().astype(np.float32)
    return picture
