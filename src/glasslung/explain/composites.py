"""Which rule of relevance goes with which layer, and the book of what each layer passed on and kept."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from glasslung.errors import UsageError

RULES = ("zero", "epsilon", "alphabeta", "zbox", "flat")


@dataclass(frozen=True)
class Composite:
    """Rules by the place of a layer.

    name        as it is told
    pixels      rule of the layers that read the picture
    features    of all other convolutions
    head        of dense layers
    norms       of a batch norm that no convolution stands before
    alpha, beta of the alpha-beta rule; sum 1
    whole       alpha-beta never loses where one sign is missing; False: by the letter of the formula
    halved      a product gives each factor half; False: gradient times input, which gives each all
    shared      equal maxima share; False: the first in reading order takes all
    epsilon     of the epsilon rule
    low, high   range of the picture's values, for z-B
    """

    name: str
    pixels: str = "zbox"
    features: str = "alphabeta"
    head: str = "zero"
    norms: str = "zero"
    alpha: float = 2.0
    beta: float = -1.0
    whole: bool = True
    halved: bool = True
    shared: bool = True
    epsilon: float = 1e-6
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        for rule in (self.pixels, self.features, self.head, self.norms):
            if rule not in RULES:
                raise UsageError(f"there is no rule {rule!r}; there are {', '.join(RULES)}")
        if abs(self.alpha + self.beta - 1) > 1e-9:
            raise UsageError(f"alpha and beta must sum to 1, got {self.alpha} and {self.beta}")
        if not self.low < self.high:
            raise UsageError(f"low must be below high, got {self.low} and {self.high}")


CONSERVING = Composite("conserving")
"""The paper's rules, mended where they lose or double relevance."""

PAPER = Composite("paper", whole=False, halved=False, shared=False)
"""The diagnosis paper's composite by the letter: section 4.3."""

GRADIENT = Composite("gradient", pixels="zero", features="zero")
"""LRP-0 everywhere: gradient times input with biases booked. Grainy, but sound through any depth."""

VISIBLE = replace(CONSERVING, name="visible", pixels="alphabeta")
"""Nothing on black: what lies outside the lungs, or is no lesion, has no relevance, and biases take more.

It finds lesions more sharply in scans with the disease; in those without, whose reason is that nothing is
there, biases take nearly all. z-B gives such reasons a place.
"""

COMPOSITES = {one.name: one for one in (CONSERVING, PAPER, GRADIENT, VISIBLE)}


def composite_named(name: str) -> Composite:
    """The composite of that name; UsageError names those there are."""
    if name not in COMPOSITES:
        raise UsageError(f"there is no composite {name!r}; there are {', '.join(COMPOSITES)}")
    return COMPOSITES[name]


@dataclass
class Line:
    """What one layer did with the relevance of its outputs.

    layer     its name in the network
    rule      by which it was handed on
    arrived   sum over its outputs
    passed    sum over its inputs
    absorbed  what its biases (of NetVLAD: the centroids) took
    """

    layer: str
    rule: str
    arrived: float = 0.0
    passed: float = 0.0
    absorbed: float = 0.0

    @property
    def lost(self) -> float:
        """What neither inputs nor biases got; negative where relevance was made from nothing."""
        return self.arrived - self.passed - self.absorbed


@dataclass
class Book:
    """The lines of all layers, as relevance went through them: from the answer to the picture."""

    lines: dict[str, Line] = field(default_factory=dict)

    def write(self, layer: str, rule: str, arrived: float, passed: float, absorbed: float = 0.0) -> None:
        """Add to a layer's line: slices come in parts."""
        line = self.lines.setdefault(layer, Line(layer, rule))
        line.arrived += arrived
        line.passed += passed
        line.absorbed += absorbed

    @property
    def absorbed(self) -> float:
        """What the biases of all layers took."""
        return sum(line.absorbed for line in self.lines.values())

    @property
    def lost(self) -> float:
        """What all layers lost, net."""
        return sum(line.lost for line in self.lines.values())
