"""Codes of pictures: from a trained network, from a table, or from principal components of the pixels.

auto-encoder, U-SVAE   of a run's folder or a shipped name; both decode
table                  the user's own numbers; a model named beside it decodes them if the width fits
pixels                 principal components of the pictures themselves: no network, and they decode,
                       linearly
texture                what `measure.lungtexture` sees in slices whose lungs are cut out; nothing decodes it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glasslung.errors import DataError, UsageError
from glasslung.web.pagedecoder import PageDecoder, decoder_of, linear_decoder
from glasslung.web.pictures import THUMB, Collection
from glasslung.web.walks import DecodedWalk, LadderWalk, Walker

if TYPE_CHECKING:
    from glasslung.predict.trained import Trained

SHIPPED = "explorer"
"""The auto-encoder that is asked where nothing is named."""
PLAIN = ("pixels", "texture")
COMPONENTS = 48  # of the pixels: the pictures of a few thousand slices in a number that can be laid out
COARSE = 3  # levels of a U-SVAE, from the coarsest, by which slices are laid out: the finest ones hold noise
AT_ONCE = 64
METHODS = ("autoencoder", "usvae")


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of N pictures.

    values   (N, D) float32: what nearness is measured in
    name     a few words; told  what they are, for the page
    walker   shows what lies between two of them; None where nothing decodes
    decoder  the same for a page without a server; None where it would be too large or there is none
    full     (N, F) float32, what `decoder` reads
    """

    values: np.ndarray
    name: str
    told: str
    walker: Walker | None = None
    decoder: PageDecoder | None = None


@dataclass(frozen=True, eq=False)
class Reader:
    """Who makes the codes: `size` the side of the squares it reads, `read` the codes of a collection."""

    size: int
    read: Callable[[Collection], Codes]


def reader_of(which: str | Path, own: np.ndarray | None) -> Reader:
    """Who makes codes of that name, 'auto' for the shipped one; `own`: the codes of a table, if there are
    some.

    UsageError where there is no such model, or it has no codes.
    """
    name = str(which)
    if own is not None and name == "auto":
        return Reader(THUMB, _from_table)
    if name in PLAIN:
        if own is not None:
            raise UsageError(
                f"the table has codes of its own; leave {name!r} away, or give a folder of pictures"
            )
        return Reader(THUMB, _from_pixels if name == "pixels" else _from_texture)
    from glasslung.predict.trained import open_trained

    trained = open_trained(SHIPPED if name == "auto" else which, _check_method)
    size = int(getattr(trained.model.config, "size", THUMB))
    make = _from_autoencoder if trained.method == "autoencoder" else _from_usvae
    return Reader(size, lambda collection: make(trained, collection))


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise UsageError(
            f"a {method!r} has no codes to explore; give a run of {' or '.join(METHODS)}, a table of codes, "
            f"or one "
            f"of {', '.join(PLAIN)}"
        )


# --- networks ----------------------------------------------------------------------------------------------


def _from_autoencoder(trained: Trained, collection: Collection) -> Codes:
    """Codes by the auto-encoder, or the table's own where there are some and it can decode them."""
    import torch

    model: Any = trained.model
    width = int(model.config.latents)

    def decode(codes: np.ndarray) -> np.ndarray:
        made = model.decode(torch.from_numpy(np.asarray(codes, np.float32)))
        picture: np.ndarray = made[:, 0].numpy()
        return picture

    own = collection.codes
    if own is not None and own.shape[1] != width:
        raise DataError(
            f"the table's codes have {own.shape[1]} numbers, and {trained.name} decodes {width}; give codes "
            f"made by "
            "that run, or leave the model away"
        )
    values = own if own is not None else _in_parts(collection, lambda image: model.encode(image).numpy())
    whose = "the table's codes, decoded by" if own is not None else "codes by"
    net = "five dense linear layers each way" if model.config.net == "dense" else "convolutional"
    told = (
        f"{whose} the auto-encoder {trained.name} ({net}): {width} latents of slices of {model.config.size} "
        "pixels"
    )
    return Codes(
        values, f"auto-encoder {trained.name}", told, DecodedWalk(values, decode), decoder_of(model, values)
    )


def _from_usvae(trained: Trained, collection: Collection) -> Codes:
    """The means of all levels; pictures are laid out by the coarsest of them."""
    import torch

    if collection.codes is not None:
        raise UsageError(
            "a U-SVAE has latents at five levels and cannot decode a table of codes; leave it away"
        )
    model: Any = trained.model
    unused = torch.Generator().manual_seed(0)  # temperature 0 draws nothing
    levels: list[list[np.ndarray]] = []
    shapes: list[tuple[int, ...]] = []
    for image in _batches(collection):
        z = model.encode(image, unused)
        shapes = [tuple(one.shape[1:]) for one in z]
        levels.append([one.flatten(1).numpy() for one in z])
    whole = [np.concatenate(parts) for parts in zip(*levels, strict=True)]

    def decode(codes: list[np.ndarray]) -> np.ndarray:
        z = [
            torch.from_numpy(np.asarray(one, np.float32)).view(-1, *shape)
            for one, shape in zip(codes, shapes, strict=True)
        ]
        picture: np.ndarray = model.decode(z).mean()[:, 0].numpy()
        return picture

    values = np.concatenate(whole[-COARSE:], 1).astype(np.float32)
    told = (
        f"codes by the U-SVAE {trained.name}: the means of its {COARSE} coarsest levels, {values.shape[1]} "
        f"numbers; "
        "a walk goes through all levels"
    )
    return Codes(values, f"U-SVAE {trained.name}", told, LadderWalk(whole, decode))


def _batches(collection: Collection) -> Any:
    import torch

    for start in range(0, len(collection), AT_ONCE):
        yield torch.from_numpy(collection.squares[start : start + AT_ONCE, None])


def _in_parts(collection: Collection, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    return np.concatenate([read(image) for image in _batches(collection)]).astype(np.float32)


# --- without a network -------------------------------------------------------------------------------------


def _from_table(collection: Collection) -> Codes:
    assert collection.codes is not None
    width = collection.codes.shape[1]
    told = f"codes of the table: {width} numbers; nothing that decodes them was named, so there are no walks"
    return Codes(collection.codes.astype(np.float32), "table", told)


def _from_pixels(collection: Collection) -> Codes:
    from sklearn.decomposition import PCA

    flat = collection.squares.reshape(len(collection), -1)
    count = min(COMPONENTS, len(collection) - 1)
    pca = PCA(count, svd_solver="full" if len(flat) < 200 else "randomized", random_state=0).fit(flat)
    values = pca.transform(flat).astype(np.float32)
    side = collection.squares.shape[1]

    def decode(codes: np.ndarray) -> np.ndarray:
        picture: np.ndarray = pca.inverse_transform(np.asarray(codes, np.float32)).reshape(-1, side, side)
        return picture

    share = 100 * float(pca.explained_variance_ratio_.sum())
    told = (
        f"{count} principal components of these pictures' pixels ({side} x {side}), {share:.0f} % of their "
        f"variance; "
        "a walk is a cross-fade of what these components hold"
    )
    decoder = linear_decoder(pca.components_, pca.mean_, side, values)
    return Codes(values, "pixels", told, DecodedWalk(values, decode), decoder)


def _from_texture(collection: Collection) -> Codes:
    from glasslung.measure.lungtexture import texture_features

    features = texture_features(collection.squares)
    spread = features.std(0)
    values = ((features - features.mean(0)) / np.where(spread > 0, spread, 1)).astype(np.float32)
    told = (
        f"{values.shape[1]} features of lung texture, each brought to mean 0 and spread 1; they are meant "
        f"for slices "
        "whose lungs are cut out, and nothing decodes them"
    )
    return Codes(values, "texture", told)
