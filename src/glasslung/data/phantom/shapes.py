"""Distances to simple bodies, and how to join them: the alphabet the chest is written in.

A distance is negative inside and positive outside, in mm. Occupancy is the share of a voxel that lies inside:
it falls from 1 to 0 across one voxel at the border, which is the partial volume effect of a real scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glasslung.data.phantom.anatomy import Frame
from glasslung.data.phantom.grid import index_range

Window = tuple[slice, slice, slice]
Point = tuple[float, float, float]


def occupancy(distance: np.ndarray, edge_mm: float) -> np.ndarray:
    """Share of each voxel inside a border whose blur is `edge_mm` wide."""
    return np.clip(np.float32(0.5) - distance * np.float32(1 / edge_mm), 0, 1)


def join(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """Union of two bodies with the crease between them filled: a smooth minimum (polynomial)."""
    h = np.maximum(np.float32(round_mm) - np.abs(a - b), 0)
    return np.minimum(a, b) - h * h * np.float32(0.25 / round_mm)


def meet(a: np.ndarray, b: np.ndarray, round_mm: float) -> np.ndarray:
    """Intersection of two bodies with a rounded edge: a smooth maximum."""
    h = np.maximum(np.float32(round_mm) - np.abs(a - b), 0)
    return np.maximum(a, b) + h * h * np.float32(0.25 / round_mm)


def window_around(frame: Frame, low: Point, high: Point) -> Window | None:
    """The index ranges of a box given by two corners (z, y, x) in mm; None where the frame misses it."""
    parts = []
    for axis, lo, hi in zip((frame.z, frame.y, frame.x), low, high, strict=True):
        part = index_range(axis.reshape(-1), lo, hi)
        if part.stop <= part.start:
            return None
        parts.append(part)
    return parts[0], parts[1], parts[2]


@dataclass(frozen=True)
class Tube:
    """A straight piece of vessel, airway or bone: two ends (z, y, x), a radius at each, mm."""

    start: Point
    end: Point
    radius: float
    end_radius: float

    def window(self, frame: Frame, margin: float) -> Window | None:
        """The part of the frame within `margin` mm of the tube."""
        reach = max(self.radius, self.end_radius) + margin
        low = tuple(min(a, b) - reach for a, b in zip(self.start, self.end, strict=True))
        high = tuple(max(a, b) + reach for a, b in zip(self.start, self.end, strict=True))
        return window_around(frame, low, high)  # type: ignore[arg-type]

    def distance(self, part: Frame) -> np.ndarray:
        """Distance to the tube's surface at each point of (a part of) a frame."""
        along = [b - a for a, b in zip(self.start, self.end, strict=True)]
        square = max(sum(a * a for a in along), 1e-6)
        rz, ry, rx = part.z - self.start[0], part.y - self.start[1], part.x - self.start[2]
        t = np.clip((rz * along[0] + ry * along[1] + rx * along[2]) * np.float32(1 / square), 0, 1)
        gap = np.square(rz - t * along[0])
        gap = gap + np.square(ry - t * along[1])
        gap += np.square(rx - t * along[2])
        return np.sqrt(gap) - (np.float32(self.radius) + t * np.float32(self.end_radius - self.radius))


def tubes(points: list[Point], radii: list[float]) -> list[Tube]:
    """A chain of tubes through points (z, y, x), with a radius at each."""
    return [
        Tube(a, b, ra, rb)
        for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True)
    ]


@dataclass(frozen=True)
class Ball:
    """An ellipsoid: centre (z, y, x), half axes (mm), rows of its rotation (unit vectors z, y, x)."""

    centre: Point
    half: Point
    rows: tuple[Point, Point, Point] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))

    def window(self, frame: Frame, margin: float) -> Window | None:
        """The part of the frame within `margin` mm of the ellipsoid."""
        reach = [
            margin + sum((h * row[axis]) ** 2 for h, row in zip(self.half, self.rows, strict=True)) ** 0.5
            for axis in range(3)
        ]
        low = tuple(c - r for c, r in zip(self.centre, reach, strict=True))
        high = tuple(c + r for c, r in zip(self.centre, reach, strict=True))
        return window_around(frame, low, high)

    def distance(self, part: Frame) -> np.ndarray:
        """Distance to the surface, exact on it and a good guess near it."""
        rz, ry, rx = (axis - c for axis, c in zip((part.z, part.y, part.x), self.centre, strict=True))
        first: np.ndarray = np.zeros(1, np.float32)
        second: np.ndarray = np.zeros(1, np.float32)
        for half, row in zip(self.half, self.rows, strict=True):
            u = rz * np.float32(row[0]) + ry * np.float32(row[1]) + rx * np.float32(row[2])
            q = np.square(u * np.float32(1 / half))
            first = first + q
            second = second + q * np.float32(1 / half**2)
        return (first - np.sqrt(first)) / np.sqrt(np.maximum(second, np.float32(1e-12)))
