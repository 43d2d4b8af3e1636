"""The latent explorer in Chromium: frames in a second, time to open, and pictures of it for the
documentation.

    python benchmarks/explorer_frames.py --out docs/images
    python benchmarks/explorer_frames.py --real CAGE --count 1000 --work WORK

Without --real the real ones are phantoms (four stages of 250 chests), so that the pictures may be shown; with
it, a collection's own slices, and no picture is written. The made ones are decoded by
the shipped auto-encoder from codes drawn like those of the real ones.
Chromium draws WebGL in software where there is no graphics chip: the line `renderer` says which it was, and
frames in a second then say what this processor can do, not what the page asks of a laptop's chip. `script` is
what the page's own code takes for a frame, whatever draws it.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.lung_slices import lung_grey, slice_of
from glasslung.data.sources import open_cohort
from glasslung.web.codes import SHIPPED, plain
from glasslung.web.explorer import Wish, open_explorer
from glasslung.web.listing import list_place
from glasslung.web.page import export_page
from glasslung.web.pictures import read_listing
from glasslung.web.walks import as_grey

FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
STAGES = (("t0", 0.0, False), ("t1", 3.0, True), ("t2", 7.0, True), ("t3", 12.0, True))
SECONDS = 6
SIZES = ((1366, 768), (1920, 1080))
RENDERER = """(() => {
  const gl = explorer.cloud.renderer.getContext(), told = gl.getExtension("WEBGL_debug_renderer_info");
  return told ? gl.getParameter(told.UNMASKED_RENDERER_WEBGL) : gl.getParameter(gl.RENDERER);
})()"""
SCRIPT_TIME = """(() => {
  const cloud = explorer.cloud, times = [];
  for (let n = 0; n < 60; n++) {
    cloud.turn(0.02, 0.004);
    const began = performance.now();
    cloud.draw();
    times.push(performance.now() - began);
  }
  return times;
})()"""
PICK_TIME = """(() => {
  const began = performance.now();
  for (let n = 0; n < 20; n++) explorer.cloud.pick(300 + 10 * n, 300);
  return (performance.now() - began) / 20;
})()"""


def draw_phantoms(folder: Path, count: int) -> Path:
    """A cohort of phantom slices of four stages, with how much of the lung is affected."""
    (folder / "slices").mkdir(parents=True)
    rows = []
    for number in range(count):
        seed, (group, day, ill) = number // len(STAGES), STAGES[number % len(STAGES)]
        patient = draw_patient(seed, severity=0.2 + 0.7 * ((37 * seed) % 10) / 9)
        hu, lungs, lesions, _ = slice_of(patient, day, 64, disease=ill)
        name = f"slices/{number:04d}.png"
        Image.fromarray(lung_grey(hu[None], lungs[None])[0]).save(folder / name)
        affected = 100 * float((lesions > 0).sum()) / float((lungs > 0).sum())
        label = "covid" if ill else "healthy"
        rows.append(
            [f"p{seed}", f"s{number}", name, "display8", label, patient.site.name, group, f"{affected:.1f}"]
        )
    head = ["patient", "scan", "image", "intensity", "label", "site", "group", "severity"]
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return folder


def part_of(real: Path, folder: Path, count: int) -> Path:
    """As many slices of a collection, dealt over all of it, as a cohort of links-free copies."""
    cohort = open_cohort(real)
    chosen = np.linspace(0, len(cohort.cases) - 1, min(count, len(cohort.cases))).astype(int)
    (folder / "slices").mkdir(parents=True)
    head = ["patient", "scan", "image", "intensity", "label", "group"]
    rows = []
    for number, at in enumerate(chosen):
        case = cohort.cases[at]
        name = f"slices/{number:04d}{case.image.suffix}"
        shutil.copyfile(cohort.path(case.image), folder / name)
        rows.append([case.patient, case.scan, name, "display8", case.label, case.extra.get("group", "")])
    with (folder / "cohort.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    return folder


def draw_made(folder: Path, real: Path, count: int) -> Path:
    """Slices that the shipped auto-encoder decodes from codes drawn like those of the real ones."""
    import torch

    from glasslung.models.shipped import load_shipped

    folder.mkdir(parents=True)
    model: Any = load_shipped(SHIPPED)[0]
    size = int(model.config.size)
    collection = read_listing(list_place(real), plain(size))
    codes = model.encode(torch.from_numpy(collection.squares[:, None])).numpy()
    drawn = np.random.default_rng(0).multivariate_normal(codes.mean(0), np.cov(codes.T), count)
    for number, picture in enumerate(model.decode(torch.from_numpy(drawn.astype(np.float32)))):
        Image.fromarray(as_grey(picture[0].numpy())).save(folder / f"{number:04d}.png")
    return folder


def processor_seconds() -> float:
    """Processor time of everything that this process has started, and that still runs (Linux)."""
    found = {}
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        found[int(place.parent.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    ours = {os.getpid()}
    while more := {pid for pid, (parent, _) in found.items() if parent in ours} - ours:
        ours |= more
    return sum(found[pid][1] for pid in ours if pid in found) / os.sysconf("SC_CLK_TCK")


def measure(browser: Any, page_file: Path, size: tuple[int, int]) -> Any:
    """Opens the page in a window of that size and prints what it takes; gives the page."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.set_default_timeout(300_000)
    began = time.perf_counter()
    page.goto(page_file.as_uri())
    page.wait_for_function("() => window.explorer !== undefined", timeout=120_000)
    opened = time.perf_counter() - began
    if size == SIZES[0]:
        print("renderer:", page.evaluate(RENDERER))
    page.wait_for_timeout(1500)
    before = processor_seconds()
    gaps = np.diff(page.evaluate(f"explorer.spin({SECONDS})"))
    spent = (processor_seconds() - before) / len(gaps)
    script = np.array(page.evaluate(SCRIPT_TIME))
    print(
        f"{size[0]} x {size[1]}: open in {opened:.1f} s; {1000 / gaps.mean():.1f} frames/s over {SECONDS} s "
        f"(median {np.median(gaps):.0f} ms, 95th percentile {np.percentile(gaps, 95):.0f} ms); "
        f"{1000 * spent:.0f} ms of one processor a frame, all of the browser; "
        f"script {np.median(script):.2f} ms a frame; a pick {page.evaluate(PICK_TIME):.2f} ms",
        flush=True,
    )
    calls = page.evaluate(
        "(() => { const r = explorer.cloud.renderer.info.render; return [r.calls, r.triangles]; })()"
    )
    print(f"  draw calls {calls[0]}, triangles {calls[1]}")
    return page


def pictures(page: Any, out: Path) -> None:
    """What it looks like: the whole cloud, a picture chosen, a walk, batch effects."""
    out.mkdir(parents=True, exist_ok=True)

    def keep(name: str) -> None:
        page.wait_for_timeout(1200)
        page.screenshot(path=out / f"explorer_{name}.png")

    page.evaluate("explorer.cloud.fit()")
    page.select_option("#colour", "kind")
    keep("cloud")
    page.select_option("#colour", "stage")
    page.evaluate(
        "explorer.legend.hidden.get('kind').add(explorer.scene.column('kind').values.indexOf('made'));"
        "explorer.legend.changed()"
    )
    page.evaluate("explorer.choose(103, true)")
    keep("picture")
    page.evaluate("explorer.cloud.fit(); explorer.choose(-1)")
    page.evaluate("explorer.walk(100, 103)")
    page.wait_for_function("() => explorer.walkState.whole", timeout=120_000)
    page.evaluate("explorer.walkTo(20, false)")
    keep("walk")
    page.evaluate("explorer.endWalk(); explorer.legend.showAll()")
    page.click("#tab-sources")
    keep("batch")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, help="a collection; else phantoms")
    parser.add_argument("--count", type=int, default=1000, help="real ones, and as many made ones")
    parser.add_argument("--work", type=Path, help="where pictures and page are kept; else they are removed")
    parser.add_argument("--out", type=Path, help="folder for pictures of the page (phantoms only)")
    wanted = parser.parse_args()
    work = wanted.work or Path(tempfile.mkdtemp())
    real, made = work / ("real" if wanted.real else "phantoms"), work / "made"
    if not real.exists():
        _ = part_of(wanted.real, real, wanted.count) if wanted.real else draw_phantoms(real, wanted.count)
    if not made.exists():
        draw_made(made, real, wanted.count)
    began = time.process_time()
    scene = open_explorer(Wish(real, made=(made,)))
    print(
        f"{len(scene.collection)} pictures: {time.process_time() - began:.1f} s of one processor to prepare",
        flush=True,
    )
    for name, told in scene.tellings:
        print(f"  {name}: {told if isinstance(told, str) else told.accuracy} ", end="")
        print("" if isinstance(told, str) else f"by chance [{told.chance_low:.2f}, {told.chance_high:.2f}]")
    page_file = export_page(scene, work / "explorer.html")
    print(
        f"page: {page_file.stat().st_size / 1e6:.1f} MB; load of this machine {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for size in SIZES:
            page = measure(browser, page_file, size)
            if size == SIZES[0] and wanted.out and not wanted.real:
                pictures(page, wanted.out)
            page.close()
        browser.close()
    if wanted.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
