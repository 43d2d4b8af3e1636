"""How fast phantoms are drawn: one volume, another day of it, lung slices, and a large scan.

    python benchmarks/phantom_speed.py [--large]

User CPU seconds of one process; set OMP_NUM_THREADS=1 for one core. `--large` adds a 300 x 512 x 512 scan.
"""

from __future__ import annotations

import argparse
import resource
from collections.abc import Callable
from functools import partial

from glasslung.data.phantom import draw_patient, render, slices


def cpu_s(work: Callable[[], object]) -> float:
    """User CPU seconds of a piece of work."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime - start


def peak_gb() -> float:
    """The most memory this process has held, GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--large", action="store_true", help="also draw one 300 x 512 x 512 scan")
    large = parser.parse_args().large
    render(draw_patient(1), 5, shape=(8, 32, 32))  # imports and tables
    print("| what | user CPU s | peak memory GB |")
    print("|---|---|---|")
    people = [draw_patient(10 + n, site="abc"[n % 3]) for n in range(3)]
    first = [cpu_s(partial(render, person, 8)) for person in people]
    print(f"| new patient, 96 x 192 x 192 (mean of 3) | {sum(first) / 3:.2f} | {peak_gb():.2f} |")
    patient = draw_patient(12, site="c")
    render(patient, 8)
    print(f"| another day of the same patient | {cpu_s(lambda: render(patient, 9)):.2f} | {peak_gb():.2f} |")
    people = [draw_patient(100 + n, site="abc"[n % 3]) for n in range(250)]
    new = cpu_s(lambda: slices(people[:100], [8])) * 10
    print(f"| 1000 slices 64 x 64, 1000 patients (from 100) | {new:.0f} | {peak_gb():.2f} |")
    four = cpu_s(lambda: slices(people[100:150], [1, 4, 8, 12])) * 5
    print(f"| 1000 slices 64 x 64, 250 patients on 4 days (from 200) | {four:.0f} | {peak_gb():.2f} |")
    if large:
        seconds = cpu_s(lambda: render(draw_patient(13, site="a"), 8, shape=(300, 512, 512)))
        print(f"| new patient, 300 x 512 x 512 | {seconds:.0f} | {peak_gb():.2f} |")


if __name__ == "__main__":
    main()
