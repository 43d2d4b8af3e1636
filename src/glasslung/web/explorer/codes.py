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

from glasslung.data.pictureset import square_unit
from glasslung.data.slices import square_slice
from glasslung.errors import DataError, UsageError
from glasslung.web.explorer.pagedecoder import PageDecoder, decoder_of, linear_decoder
from glasslung.web.explorer.pictures import THUMB, Collection, Frame
from glasslung.web.explorer.walks import DecodedWalk, LadderWalk, Walker

if TYPE_CHECKING:
    from glasslung.predict.trained import Trained

SHIPPED = "explorer"
"""The auto-encoder that is asked where nothing is named."""
PLAIN = ("pixels", "texture")
COMPONENTS = 48  # of the pixels: the pictures of a few thousand slices in a number that can be laid out
COARSE = 3  # levels of a U-SVAE, from the coarsest, by which slices are laid out: the finest ones hold noise
AT_ONCE = 64


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
    """Who makes the codes: `frame` makes of a picture what is read, `read` the codes of a collection."""

    frame: Frame
    read: Callable[[Collection], Codes]


def reader_of(which: str | Path, own: np.ndarray | None) -> Reader:
    """Who makes codes of that name, 'auto' for the shipped one; `own`: the codes of a table, if it has some.

    UsageError where there is no such model, or it has no codes.
    """
    name = str(which)
    if own is not None and name == "auto":
        return Reader(plain(THUMB), _from_table)
    if name in PLAIN:
        if own is not None:
            raise UsageError(
                f"the table has codes of its own; leave {name!r} away, or give a folder of pictures"
            )
        if name == "pixels":
            return Reader(framed(THUMB, "pad"), _from_pixels)
        return Reader(plain(THUMB), _from_texture)
    from glasslung.nn.making import Maker
    from glasslung.predict.trained import open_trained

    trained = open_trained(SHIPPED if name == "auto" else which)
    if trained.method == "autoencoder":
        frame = framed(size_of(trained), "pad")
        return Reader(frame, lambda collection: _from_autoencoder(trained, collection))
    if trained.method == "usvae":
        return Reader(plain(size_of(trained)), lambda collection: _from_usvae(trained, collection))
    reads = own is not None or hasattr(trained.model, "code_of")
    if not (isinstance(trained.model, Maker) and reads):
        raise UsageError(_codeless(trained))
    framing = trained.about["settings"].get("training", {}).get("framing", "stretch")
    frame = framed(size_of(trained), framing)
    return Reader(frame, lambda collection: _from_maker(trained, collection))


def plain(size: int) -> Frame:
    """Pictures padded to a square and resized as `data.slices` does it for the papers' U-SVAE."""
    return lambda grey: square_slice(grey, size)


def framed(size: int, framing: str) -> Frame:
    """Pictures made square and resized with anti-aliasing, as `data.pictureset` feeds them to a training."""
    return lambda grey: square_unit(grey / np.float32(255), size, framing)


def size_of(trained: Trained) -> int:
    """Side of the squares that the model reads or makes."""
    return int(getattr(trained.model.config, "size", THUMB))


def _codeless(trained: Trained) -> str:
    from glasslung.nn.making import Maker

    if isinstance(trained.model, Maker):
        return (
            f"a {trained.method!r} makes pictures from codes and finds no codes of pictures; give the table "
            f"of "
            "codes that was made with them, codes.csv"
        )
    return (
        f"a {trained.method!r} has no codes to explore; give a run of autoencoder, usvae or veegan, a table "
        f"of "
        f"codes, or one of {', '.join(PLAIN)}"
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
        raise DataError(_other_width(own.shape[1], trained, width))
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


def _from_maker(trained: Trained, collection: Collection) -> Codes:
    """A generator's codes: those of its table, or what a reconstructor finds for pictures."""
    import torch

    from glasslung.nn.borrow import evaluating
    from glasslung.nn.making import make_pictures

    model: Any = trained.model
    own, width = collection.codes, int(model.code_width)
    if own is not None and own.shape[1] != width:
        raise DataError(_other_width(own.shape[1], trained, width))
    values = own
    if values is None:
        kinds = torch.zeros(AT_ONCE, dtype=torch.int64)
        with evaluating(model):
            values = _in_parts(collection, lambda image: model.code_of(image, kinds[: len(image)]).numpy())
    whose = "codes of pictures by the reconstructor of" if own is None else "the table's codes, decoded by"
    kind = ", which makes its first kind of pictures alone here" if model.groups > 1 else ""
    told = f"{whose} the {trained.method} {trained.name}: {width} numbers{kind}"
    walker = DecodedWalk(values, lambda codes: make_pictures(model, codes))
    return Codes(values, f"{trained.method} {trained.name}", told, walker)


def _other_width(has: int, trained: Trained, width: int) -> str:
    return (
        f"the table's codes have {has} numbers, and {trained.name} decodes {width}; give codes made by that "
        "run, or leave the model away"
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
    if not flat.std(0).any():
        raise DataError(f"all pictures of {collection.name} are the same once grey; look at their files")
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
