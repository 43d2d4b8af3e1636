"""A window slides over a volume: slices that no later window touches are finished and handed on at once.

MONAI's `sliding_window_inference` holds every class of the whole volume and visits every window. This loop
holds as many slices of probabilities as one window is deep, and leaves out windows that hold nothing asked
for. The windows' places and weights are MONAI's Gaussian ones, so that the answers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from glasslung.errors import UsageError

Shape = tuple[int, int, int]
See = Callable[[Tensor], Tensor]
"""see(image (1, 1, d, h, w)) -> probabilities (1, C, d, h, w)"""
WEIGHT_WIDTH = 0.125  # standard deviation of a window's weights, in windows: MONAI's default
LEAST_WEIGHT = 1e-3  # likewise: a corner counts little where a middle is near, and all where none is


@dataclass(frozen=True)
class Windows:
    """Where windows begin: every combination of `starts` along (z, y, x), each window `size` voxels."""

    shape: Shape
    size: Shape
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    def __len__(self) -> int:
        return int(np.prod([len(starts) for starts in self.starts]))


def place_windows(shape: Shape, window: Shape, overlap: float, multiple: int) -> Windows:
    """Windows that cover a volume, as few as their overlap allows.

    Along an axis shorter than the window, the window is as long as the axis, up to the next multiple of what
    the network needs: the volume is then padded. The last window ends where the volume ends.
    """
    if any(side % multiple for side in window):
        raise UsageError(
            f"this network needs windows with edges that are multiples of {multiple}, got {window}"
        )
    size = tuple(min(edge, -(-n // multiple) * multiple) for edge, n in zip(window, shape, strict=True))
    starts = []
    for n, edge in zip(shape, size, strict=True):
        reach = max(n - edge, 0)
        count = -(-reach // max(1, int(edge * (1 - overlap)))) + 1
        starts.append(tuple(round(k * reach / max(count - 1, 1)) for k in range(count)))
    return Windows(shape, (size[0], size[1], size[2]), (starts[0], starts[1], starts[2]))


def padded(image: np.ndarray, windows: Windows) -> np.ndarray:
    """The volume with its edge repeated until every window fits."""
    gaps = [(0, max(edge - n, 0)) for n, edge in zip(image.shape, windows.size, strict=True)]
    return np.pad(image, gaps, mode="edge") if any(gap for _, gap in gaps) else image


@dataclass(eq=False)
class Slide:
    """One passage over a volume; `done` and `skipped` count its windows."""

    windows: Windows
    classes: int
    done: int = 0
    skipped: int = 0

    def bytes_kept(self) -> int:
        """What the slices in work take: a number for each class, and the weights."""
        d, h, w = self.windows.size
        _, y, x = (max(n, edge) for n, edge in zip(self.windows.shape, (d, h, w), strict=True))
        return 4 * (self.classes + 1) * d * y * x

    def run(
        self, see: See, image: np.ndarray, asked: np.ndarray | None, device: torch.device
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Yields (slices, probabilities (C, rows, Y, X) float32) from the first slice to the last.

        asked  (Z, Y, X) bool: a window without any of it is skipped, and its voxels are surely class 0
        """
        windows, (depth, _, _) = self.windows, self.windows.size
        image, (z_all, y_all, x_all) = padded(image, windows), windows.shape
        weight = window_weights(windows.size)
        total = torch.zeros(self.classes, depth, *image.shape[1:])
        weights = torch.zeros(depth, *image.shape[1:])
        tops = windows.starts[0]
        for place, top in enumerate(tops):
            self._row(see, image, asked, top, (total, weights, weight), device)
            below = tops[place + 1] if place + 1 < len(tops) else z_all
            finished = below - top
            ready = total[:, :finished].clone()
            unseen = weights[:finished] == 0
            ready /= torch.where(unseen, 1.0, weights[:finished])
            ready[0][unseen] = 1.0
            yield slice(top, below), ready[:, :, :y_all, :x_all].numpy()
            _move_up(total, finished, 1)
            _move_up(weights, finished, 0)

    def _row(
        self,
        see: See,
        image: np.ndarray,
        asked: np.ndarray | None,
        top: int,
        sums: tuple[Tensor, Tensor, Tensor],
        device: torch.device,
    ) -> None:
        """All windows that begin at one slice, added to the sums in place."""
        total, weights, weight = sums
        depth, height, width = self.windows.size
        for y, x in product(*self.windows.starts[1:]):
            at = slice(top, top + depth), slice(y, y + height), slice(x, x + width)
            if asked is not None and not asked[at].any():
                self.skipped += 1
                continue
            part = torch.from_numpy(np.ascontiguousarray(image[at]))[None, None]
            answer = see(part.to(device))[0].float().cpu()
            if answer.shape[0] != self.classes:
                raise UsageError(
                    f"the network answers with {answer.shape[0]} classes, and {self.classes} are named; name "
                    "each of them once"
                )
            total[:, :, at[1], at[2]] += answer * weight
            weights[:, at[1], at[2]] += weight
            self.done += 1


def window_weights(size: Shape) -> Tensor:
    """How much each voxel of a window counts, (d, h, w) float32: MONAI's Gaussian."""
    from monai.data.utils import compute_importance_map

    weight = compute_importance_map(size, mode="gaussian", sigma_scale=WEIGHT_WIDTH)
    answer: Tensor = torch.as_tensor(weight, dtype=torch.float32).clamp_min(LEAST_WEIGHT)
    return answer


def _move_up(sums: Tensor, by: int, axis: int) -> None:
    """Slices from `by` on move to the front, zeros follow: in place, so that no second copy is kept."""
    length = sums.shape[axis]
    keep = max(length - by, 0)
    if keep:
        sums.narrow(axis, 0, keep).copy_(sums.narrow(axis, by, keep).clone())
    sums.narrow(axis, keep, length - keep).zero_()
