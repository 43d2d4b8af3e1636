"""Where pictures stand in three dimensions: codes of any width brought down to a place in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.errors import DataError, UsageError

LAYOUTS = ("pca", "tsne", "codes")
PERPLEXITY = 30.0  # scikit-learn's; smaller where there are few pictures
REACH = 1.0  # the cloud's 95th percentile of distance from its middle


@dataclass(frozen=True, eq=False)
class Layout:
    """Places of N pictures.

    places  (N, 3) float32, the middle at 0, most within a ball of radius 1
    name    one of LAYOUTS; told  one sentence for the page
    matrix  (D, 3) and offset (D,): places = (codes - offset) @ matrix, where the layout is such a map; it
            places what lies between two codes as well. None for t-SNE, which places nothing but what it was
            given
    """

    places: np.ndarray
    name: str
    told: str
    matrix: np.ndarray | None = None
    offset: np.ndarray | None = None


def check_layout(name: str) -> None:
    """UsageError names the layouts there are."""
    if name not in LAYOUTS:
        raise UsageError(f"there is no layout {name!r}; there are {', '.join(LAYOUTS)}")


def lay_out(codes: np.ndarray, name: str = "pca", seed: int = 0) -> Layout:
    """Places for codes (N, D).

    pca    the three directions of largest spread, turned the same way every time
    tsne   van der Maaten & Hinton 2008, three-dimensional: keeps neighbours together, distances between
           groups and their sizes mean nothing
    codes  the first three numbers as they are: for codes of two or three numbers
    """
    check_layout(name)
    codes = np.asarray(codes, np.float64)
    if not codes.std(0).any():
        raise DataError("all pictures have the same code: there is nothing to lay out; use another model")
    return {"pca": _pca, "tsne": _tsne, "codes": _first_three}[name](codes, seed)


def _pca(codes: np.ndarray, seed: int) -> Layout:
    offset = codes.mean(0)
    _, lengths, directions = np.linalg.svd(codes - offset, full_matrices=False)
    kept = directions[:3]
    strongest = np.abs(kept).argmax(1)
    kept = kept * np.sign(kept[np.arange(len(kept)), strongest])[:, None]  # else a sign is a matter of luck
    matrix = np.zeros((codes.shape[1], 3))
    matrix[:, : len(kept)] = kept.T
    share = 100 * float((lengths[:3] ** 2).sum() / (lengths**2).sum())
    told = (
        f"Principal components: the three directions of largest spread, {share:.0f} % of the codes' variance."
    )
    return _scaled((codes - offset) @ matrix, "pca", told, matrix, offset)


def _tsne(codes: np.ndarray, seed: int) -> Layout:
    from sklearn.manifold import TSNE

    perplexity = min(PERPLEXITY, (len(codes) - 1) / 3)
    found = TSNE(3, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(codes)
    told = (
        f"t-SNE in three dimensions (perplexity {perplexity:g}): neighbours stay together; distances between "
        f"groups "
        "and the sizes of groups mean nothing."
    )
    return _scaled(found - found.mean(0), "tsne", told, None, None)


def _first_three(codes: np.ndarray, seed: int) -> Layout:
    offset = codes.mean(0)
    matrix = np.eye(codes.shape[1], 3)
    width = min(3, codes.shape[1])
    told = f"The first {width} of {codes.shape[1]} numbers of the code, as they are."
    return _scaled((codes - offset) @ matrix, "codes", told, matrix, offset)


def _scaled(
    places: np.ndarray, name: str, told: str, matrix: np.ndarray | None, offset: np.ndarray | None
) -> Layout:
    reach = float(np.percentile(np.linalg.norm(places, axis=1), 95))
    scale = REACH / reach if reach > 0 else 1.0
    return Layout(
        (places * scale).astype(np.float32),
        name,
        told,
        None if matrix is None else (matrix * scale).astype(np.float32),
        None if offset is None else offset.astype(np.float32),
    )
