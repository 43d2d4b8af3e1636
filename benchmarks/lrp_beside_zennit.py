"""Relevance beside zennit's: the reference that a test compares with, and the time that both need.

    python benchmarks/lrp_beside_zennit.py reference     writes tests/explain/zennit_reference.npz
    python benchmarks/lrp_beside_zennit.py time          milliseconds on a network that both can do
    python benchmarks/lrp_beside_zennit.py classifier    the paper's classifier, ours alone: 100 slices

zennit (LGPL-3) is no dependency of glasslung: the first two need an environment of their own with glasslung,
zennit 0.5.1 and torchvision 0.28.0 (`pip install --no-deps torchvision==0.28.0 zennit==0.5.1`). The operators
that a torchvision built for GPUs misses on a CPU are named before it is imported.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from glasslung.explain.composites import Composite
from glasslung.explain.lrp import explain, explain_network

TESTS = Path(__file__).parents[1] / "tests" / "explain"
STABILISER = 1e-12  # so that zennit's sums are the formula's
LITERAL = Composite("as zennit", head="epsilon", whole=False, shared=False, epsilon=1e-6)


def main() -> None:
    """Parse, and do the one thing asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("reference", "time", "classifier"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--slices", type=int, default=100)
    parser.add_argument("--size", type=int, default=256)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.what == "reference":
        write_reference()
    elif asked.what == "time":
        print_times(asked.repeats)
    else:
        print_classifier(asked.slices, asked.size, asked.repeats)


def write_reference() -> None:
    """zennit's relevance of two small networks, and what stands in the way of a change unseen."""
    sys.path.insert(0, str(TESTS))
    import zennit_networks

    kept = {}
    for dims in (2, 3):
        network, x = zennit_networks.network(dims), zennit_networks.picture(dims)
        for boxed in (True, False):
            name = f"{dims}d {'box' if boxed else 'alphabeta'}"
            kept[name] = zennits(network, x, boxed)
            kept[f"answer {dims}d"] = network(x).detach().numpy()
    np.savez_compressed(TESTS / "zennit_reference.npz", **kept)
    print({name: value.shape for name, value in kept.items()})


def zennits(network: nn.Module, x: torch.Tensor, boxed: bool) -> np.ndarray:
    """EpsilonAlpha2Beta1, with z-B at the input where boxed, batch norm merged: relevance of output 1."""
    return attribute(network, x, composite(boxed, STABILISER)).detach().numpy()


def composite(boxed: bool, stabiliser: float) -> object:
    """zennit's rules, as its EpsilonAlpha2Beta1 has them, with z-B in front where boxed."""
    shim()
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import SpecialFirstLayerMapComposite
    from zennit.rules import AlphaBeta, Epsilon, Norm, Pass, ZBox
    from zennit.types import Activation, AvgPool, Convolution, Linear

    layers = [
        (Activation, Pass()),
        (AvgPool, Norm(stabilizer=stabiliser)),
        (Convolution, AlphaBeta(alpha=2, beta=1, stabilizer=stabiliser)),
        (Linear, Epsilon(epsilon=1e-6)),
    ]
    first = [(Convolution, ZBox(low=0.0, high=1.0, stabilizer=stabiliser))] if boxed else []
    return SpecialFirstLayerMapComposite(
        layer_map=layers, first_map=first, canonizers=[SequentialMergeBatchNorm()]
    )


def attribute(network: nn.Module, x: torch.Tensor, rules: object) -> torch.Tensor:
    """zennit's relevance of output 1, started with the output itself."""
    from zennit.attribution import Gradient

    def start(output: torch.Tensor) -> torch.Tensor:
        only = torch.zeros_like(output)
        only[:, 1] = output[:, 1]
        return only

    with Gradient(network, rules) as attributor:
        return attributor(x.clone(), start)[1]


def shim() -> None:
    """Names torchvision's operators where its library cannot be loaded; kept alive on the module."""
    if torch.version.cuda is not None or hasattr(torch, "_torchvision_names"):
        return
    library = torch.library.Library("torchvision", "DEF")
    for operator in ("nms", "qnms"):
        library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch._torchvision_names = library  # type: ignore[attr-defined]


def print_times(repeats: int) -> None:
    """One branch of the paper's classifier with a pyramid's finest level and dense layers, 8 slices."""
    from glasslung.nn.twobranches import branch

    torch.manual_seed(0)
    network = nn.Sequential(
        *branch(),
        nn.AdaptiveMaxPool2d(5),
        nn.Flatten(),
        nn.Linear(1600, 512),
        nn.LeakyReLU(),
        nn.Linear(512, 2),
    ).eval()
    x = torch.rand(8, 1, 256, 256)
    rules = composite(True, 1e-6)

    def step() -> None:
        network.zero_grad()
        network(x)[:, 1].sum().backward()

    there = median(step, repeats)
    ours = median(lambda: explain_network(network, x, 1, LITERAL), repeats)
    theirs = median(lambda: attribute(network, x, rules), repeats)
    print(f"torch {torch.__version__}, one thread, 8 slices of 256 x 256, median of {repeats}")
    for name, seconds in (("forward and backward", there), ("glasslung", ours), ("zennit", theirs)):
        print(f"{name:24s} {1000 * seconds:8.0f} ms   {seconds / there:5.2f} x forward and backward")


def print_classifier(slices: int, size: int, repeats: int) -> None:
    """Time and memory of relevance through the paper's classifier beside a forward and backward pass."""
    from glasslung.models import build

    model = build("netvlad", 0, size=size).eval()
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(slices, 1, size, size, generator=rng)
    lesion = (torch.rand(image.shape, generator=rng) > 0.9).float()
    scan = torch.zeros(slices, dtype=torch.long)

    def ask() -> None:
        with torch.no_grad():
            for start in range(0, slices, 8):
                model.descriptors(image[start : start + 8], lesion[start : start + 8])

    def step() -> None:
        model.zero_grad()
        model.scores(image, lesion, scan).sum().backward()

    print(f"{slices} slices of {size} x {size}, {torch.get_num_threads()} thread, median of {repeats}")
    before = peak_mb()
    found = median(lambda: explain(model, image, lesion), repeats)
    after = peak_mb()
    forward = median(ask, repeats)
    there = median(step, repeats)
    print(f"relevance             {found:7.2f} s   peak memory {before:.0f} -> {after:.0f} MB")
    print(f"forward alone         {forward:7.2f} s")
    print(f"forward and backward  {there:7.2f} s   peak memory {peak_mb():.0f} MB")
    print(f"relevance takes {found / there:.2f} times a forward and backward pass")


def median(what: Callable[[], object], repeats: int) -> float:
    """Seconds of process time, after one run that does not count."""
    what()
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        what()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def peak_mb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
