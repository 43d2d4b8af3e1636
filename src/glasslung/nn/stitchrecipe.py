"""The settings of a StichNet with ladders: the paper's text, its released code and levers, as switches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glasslung.errors import UsageError
from glasslung.nn import stitch
from glasslung.nn.recipe import LEVELS, LadderRecipe


@dataclass(frozen=True)
class StitchRecipe(LadderRecipe):
    """Settings of one StichNet; the defaults hold it upright (`VARIANTS["LEVERS"]`)."""

    net: str = (
        "slim"  # a seventeenth of the paper's numbers, and no normalisation across slices of two origins
    )
    likelihood: str = "logistic"  # learns how sure it may be, and no clip inflates it
    components: int = 1  # logistics per style: a second one could paint lesions inside one style
    latents: str = "z and k"  # 'z': one ladder, as released
    encoders: str = "one"  # 'two': z and k have their own, as the paper says
    label_head: str = "fb x l"  # 'softmax': four classes at once, as released
    decoder: str = "unet"  # 'finest': only the finest level is read, as released
    shared_decoders: bool = True  # maps that read the same latents share their decoder; False: one each
    coarse_styles: int = 3  # finest levels that the lung's styles may not read; 0 is the paper's
    marginal: str = "logsumexp"  # exact; 'expectation' is the released bound
    known_styles: bool = (
        True  # labels choose the style where they are known; False: the guess does, as released
    )
    answer: str = "recogniser"  # 'decoder': p(y | z, k), the paper's; 'posterior': that times p(x | y)
    image_weight: float = 0.1  # of -log p(x | what is known) per pixel; 1 is the evidence bound
    label_weight: float = 1.0  # of -log p(what is known) per pixel; 1 is the evidence bound
    recogniser_weight: float = 1.0  # of the recogniser's cross entropy and Dice on what is known
    dice: float = 1.0  # of the Dice loss within it: lesions are a seventh of the pixels
    focal_gamma: float = 0.0  # 0: the log-likelihood; 2 as released
    kl_final: float = 0.1  # of both ladders, in step with image_weight
    kl_semantics: float = 1.0  # k's share of it: below 1 labels may use k more freely
    kl_warm_up: int = 100  # rounds
    black_is_outside: bool = False  # True: healthy controls with a black surround are labelled by it
    hinge: float = 0.0  # pull of ground glass above healthy lung and consolidation above it, inside the lung
    margin: float = 0.1  # of the grey scale: the gap it asks for; seen between the classes in a lung window
    proportions: float = 0.0  # pull of the lesions' share on unlabelled slices to that of labelled ones
    consistency: float = (
        0.0  # of the squared distance to the teacher's answer; at 1 short runs learned slower
    )
    consistency_warm_up: int = 100  # rounds: a teacher that knows nothing teaches nothing
    teacher_decay: float = 0.99  # its memory is a hundred steps
    teacher_answers: bool = True  # where there is one: averaged weights answer better than the last ones
    recogniser_turns: int = 8  # steps of the recogniser alone in each round: they cost a fifth of a whole one
    steps: int = 1000  # rounds that the learning rate falls over
    lr: float = 2e-3  # the highest; falls along a cosine
    recipe: str = "adamw"  # 'paper': Adam at a steady rate, clipped by tensor and value, as released
    weight_decay: float = 0.01

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """What each setting of a word may be."""
        return super().choices() | {
            "likelihood": stitch.LIKELIHOODS,
            "latents": ("z", "z and k"),
            "encoders": ("one", "two"),
            "label_head": ("fb x l", "softmax"),
            "decoder": ("unet", "finest"),
            "marginal": ("logsumexp", "expectation"),
            "answer": ("recogniser", "decoder", "posterior"),
            "recipe": ("adamw", "paper"),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.coarse_styles < LEVELS or (self.coarse_styles and self.decoder == "finest"):
            raise UsageError(f"coarse_styles must be 0 to {LEVELS - 1}, and 0 with decoder 'finest'")
        if self.latents == "z" and self.encoders == "two":
            raise UsageError("one ladder has one encoder; choose encoders 'one' with latents 'z'")
        weights = ("image_weight", "label_weight", "recogniser_weight", "dice", "focal_gamma", "kl_semantics")
        for name in (*weights, "hinge", "margin", "proportions", "consistency", "weight_decay"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.teacher_decay < 1 or min(self.components, self.steps) < 1:
            raise UsageError("teacher_decay must be 0 to below 1, components and steps 1 or more")
        if self.recogniser_turns < 0:
            raise UsageError("recogniser_turns must not be negative; 0 trains all parts together")

    @property
    def classes(self) -> int:
        """None, ground glass, consolidation."""
        return stitch.LESION_CLASSES


_LITERAL: dict[str, Any] = {
    "net": "paper",
    "coarse_styles": 0,
    "answer": "decoder",
    "image_weight": 1.0,
    "kl_final": 1.0,
    "kl_warm_up": 0,
    "consistency": 0.0,
    "lr": 3e-4,
    "recipe": "paper",
}
VARIANTS: dict[str, dict[str, Any]] = {
    "PAPER": {**_LITERAL, "likelihood": "bernoulli", "encoders": "two", "shared_decoders": False},
    "RELEASED": {
        **_LITERAL,
        "likelihood": "beta",
        "latents": "z",
        "label_head": "softmax",
        "decoder": "finest",
        "marginal": "expectation",
        "known_styles": False,
        "label_weight": 100.0,
        "focal_gamma": 2.0,
        "black_is_outside": True,
    },
    "LEVERS": {},
}
