"""Scanners: what a site does to the picture of a patient, and what a study may learn from it by mistake."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.phantom.anatomy import Body, profile
from glasslung.data.phantom.grid import Grid
from glasslung.data.phantom.shapes import occupancy
from glasslung.errors import UsageError

NOISE_STREAM = 3
TOP_MM, BOTTOM_MM = 117.0, -206.0  # what a chest scan covers, atlas mm
LOWEST_HU, HIGHEST_HU = -1024, 3071
CENTRE_Y_MM = 12.0


@dataclass(frozen=True)
class Site:
    """One hospital's scanner and protocol.

    name          short name: 'a', 'b', ...
    fov_mm        edge of the reconstructed square
    slice_mm      distance between slices at the site itself
    thickness_mm  slice thickness: how much of the patient one slice averages
    margin_mm     how much more than the chest is covered, above and below
    kernel        name in the header
    blur          width of edges in voxels: sharp kernels near 1, smooth ones wider
    boost         overshoot of a sharp kernel at edges, 0 for none
    noise_hu      noise in the middle of the body at the default grid
    band          (low, high) of the noise's frequencies as shares of the highest that the grid holds
    blood_hu      42 without contrast medium, 150 and more with it
    table         'flat', 'curved' or 'double'
    padding_hu    what stands outside the reconstructed circle; None: nothing is cut off
    head_first    whether the first slice is the topmost
    model         maker and model in the header: invented
    """

    name: str
    fov_mm: float
    slice_mm: float
    thickness_mm: float
    margin_mm: float
    kernel: str
    blur: float
    boost: float
    noise_hu: float
    band: tuple[float, float]
    blood_hu: float
    table: str
    padding_hu: float | None
    head_first: bool
    model: str


SITES = {
    site.name: site
    for site in (
        # thin slices, sharp kernel, noisy: a lung protocol
        Site(
            "a",
            390,
            1.5,
            1.5,
            6,
            "LUNG70",
            1.0,
            0.30,
            34,
            (0.15, 1.0),
            42,
            "curved",
            None,
            False,
            "Phantom One",
        ),
        # standard kernel, contrast medium, circle cut out
        Site(
            "b",
            420,
            2.5,
            2.5,
            14,
            "STANDARD",
            1.35,
            0.08,
            16,
            (0.0, 0.75),
            148,
            "flat",
            -2000,
            True,
            "Phantom Two",
        ),
        # thick smooth slices of a screening protocol, narrow field of view
        Site(
            "c",
            360,
            5.0,
            5.0,
            2,
            "SOFT30",
            1.9,
            0.0,
            9,
            (0.0, 0.5),
            40,
            "double",
            -1024,
            True,
            "Phantom Three",
        ),
        # low dose: sharp and very noisy
        Site(
            "d",
            400,
            2.0,
            2.0,
            10,
            "BONE+",
            1.0,
            0.45,
            62,
            (0.3, 1.0),
            45,
            "curved",
            -1024,
            False,
            "Phantom Four",
        ),
    )
}


def site_named(name: str) -> Site:
    """One of the built-in sites; UsageError names those there are."""
    if name not in SITES:
        raise UsageError(f"the phantom has the sites {', '.join(SITES)}, not {name!r}")
    return SITES[name]


def scan_grid(
    body: Body,
    site: Site,
    shape: tuple[int, int, int] | None = None,
    spacing: tuple[float, float, float] | None = None,
) -> Grid:
    """The grid on which a site scans one body.

    shape    (D, H, W); None: 192 x 192 pixels and as many slices as the site takes
    spacing  (z, y, x) in mm; None: the site's field of view and the whole chest, shared out over `shape`
    """
    top = TOP_MM * body.scale[0] + site.margin_mm
    bottom = BOTTOM_MM * body.scale[0] - site.margin_mm
    if shape is None:
        shape = (int(np.ceil((top - bottom) / site.slice_mm)), 192, 192)
    pixel = site.fov_mm / max(shape[1:])
    dz, dy, dx = spacing or ((top - bottom) / shape[0], pixel, pixel)
    middle = (top + bottom) / 2
    sign = -1 if site.head_first else 1
    first = (
        middle - sign * dz * (shape[0] - 1) / 2,
        CENTRE_Y_MM * body.scale[1] - dy * (shape[1] - 1) / 2,
        -dx * (shape[2] - 1) / 2,
    )
    return Grid(shape, first, (sign * dz, dy, dx))


def paint_table(hu: np.ndarray, body: Body, grid: Grid, site: Site) -> None:
    """The table under the patient, in place: its shape tells the site."""
    _, y, x = grid.axes
    y, x = y[:, None], x[None, :]
    edge = abs(grid.step[1])
    back = float(profile("wall_back", np.arange(-200.0, 90.0)).max()) + 0.45 * body.fat_mm - 3.0
    bend = 0.0 if site.table == "flat" else 1 / 1500.0
    top = y - (back * body.scale[1] + 3 - np.square(x) * np.float32(bend))
    wide = np.abs(x) - (215 if site.table == "flat" else 235)
    shell = np.maximum(np.abs(top - 1.5) - 1.5, wide)
    foam = np.maximum(np.abs(top - 14) - 11, wide)
    low = np.maximum(np.abs(top - (26 if site.table != "double" else 44)) - 2, wide)
    for layer, value in ((foam, -955.0), (shell, -60.0), (low, -240.0 if site.table == "flat" else 40.0)):
        share = occupancy(layer, edge)[None]
        hu += share * (np.maximum(value, hu) - hu)


def average_slices(hu: np.ndarray, apart_mm: float, thickness_mm: float) -> np.ndarray:
    """What slices thicker than their distance show: the mean over their neighbours (the ends repeat)."""
    extra = max(0.0, thickness_mm / apart_mm - 1)
    if extra == 0 or hu.shape[0] == 1:
        return hu
    reach = int(np.ceil(extra / 2))
    weights = np.array([np.clip(extra / 2 - abs(k) + 1, 0, 1) for k in range(-reach, reach + 1)], np.float32)
    weights /= weights.sum()
    padded = np.concatenate([hu[:1]] * reach + [hu] + [hu[-1:]] * reach)
    total = np.zeros_like(hu)
    for k, weight in enumerate(weights):
        total += weight * padded[k : k + hu.shape[0]]
    return total


def sharpen(hu: np.ndarray, boost: float) -> np.ndarray:
    """The overshoot of a sharp kernel: in-plane, one voxel wide, so nothing farther away changes."""
    if boost == 0:
        return hu
    ring = np.zeros_like(hu)
    ring[:, 1:-1, 1:-1] = hu[:, 1:-1, 1:-1] - 0.25 * (
        hu[:, :-2, 1:-1] + hu[:, 2:, 1:-1] + hu[:, 1:-1, :-2] + hu[:, 1:-1, 2:]
    )
    return hu + np.float32(boost) * np.clip(ring, -250, 250)


def noise(seed: tuple[int, ...], rows: range, grid: Grid, site: Site) -> np.ndarray:
    """Noise of some slices of a scan, HU: band-passed as the kernel does, louder in the middle and at the
    shoulders.

    seed names the scan; each slice has its own numbers, so a slice's noise does not depend on which others
    are drawn.
    """
    from scipy.fft import irfft2

    height, width = grid.shape[1:]
    band = _band(height, width, site.band)
    out = np.empty((len(rows), height, width), np.float32)
    for k, row in enumerate(rows):
        rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([NOISE_STREAM, *seed, row])))
        white = rng.standard_normal((height, width // 2 + 1, 2), dtype=np.float32).view(np.complex64)[..., 0]
        out[k] = irfft2(white * band, s=(height, width))
    z, y, x = grid.axes
    middle = np.exp(-(np.square(x[None, :] / 130) + np.square((y[:, None] - 10) / 100)))
    thick = (
        1
        + 0.9 / (1 + np.exp(-(z[rows.start : rows.stop] - 62) / 9))
        + 0.25 / (1 + np.exp((z[rows.start : rows.stop] + 110) / 12))
    )
    scale = np.sqrt(3.2 / max(abs(grid.step[0]), site.thickness_mm)) * site.noise_hu
    return out * ((0.55 + 0.45 * middle) * np.float32(scale))[None] * thick[:, None, None].astype(np.float32)


def _band(height: int, width: int, band: tuple[float, float]) -> np.ndarray:
    """The noise's spectrum, scaled so that white complex numbers times it give noise of deviation 1."""
    rows = np.fft.fftfreq(height)[:, None]
    columns = np.fft.rfftfreq(width)[None, :]
    f = np.sqrt(np.square(rows) + np.square(columns)) / 0.5
    low, high = band
    spectrum = np.sqrt(f / (f + max(low, 1e-3))) * np.exp(-np.power(f / high, 4))
    power = 4 * np.sum(np.square(spectrum)) / (height * width) ** 2
    return (spectrum / np.sqrt(power)).astype(np.float32)


def finish(hu: np.ndarray, grid: Grid, site: Site) -> np.ndarray:
    """Round to whole HU within the scanner's range, and cut out the reconstructed circle, int16."""
    voxels = np.clip(np.rint(hu), LOWEST_HU, HIGHEST_HU).astype(np.int16)
    if site.padding_hu is not None:
        _, y, x = grid.axes
        middle = (y[0] + y[-1]) / 2, (x[0] + x[-1]) / 2
        gap = np.square(y[:, None] - middle[0]) + np.square(x[None, :] - middle[1])
        voxels[:, gap > (site.fov_mm / 2) ** 2] = np.int16(site.padding_hu)
    return voxels
