"""The latent explorer in Chromium: what a frame costs, beside one mesh for each picture, and pictures of it.

    python benchmarks/explorer_frames.py --made MADE --out docs/images
    python benchmarks/explorer_frames.py --real UCSD_COVID_CT CAGE --made MADE --count 1000 --work WORK
    python benchmarks/explorer_frames.py --thumbnails 5000

Without --real the real ones are phantoms (four stages of 250 chests), so that the pictures may be shown; with
it, collections' own slices, and no picture is written. MADE is what `glasslung make` wrote; without it the
made ones are decoded by the shipped auto-encoder from codes drawn like those of the real ones.
--thumbnails repeats pictures, with codes a little aside, until there are so many.

Chromium draws WebGL in software where there is no graphics chip: the line `renderer` says which it was.
`processor` is the time of all of the browser's threads for a frame at full resolution, `script` that of the
page's own code; both without waiting for a screen. `frames/s` is what was seen while the cloud turned, at the
resolution that the page chose for this machine (`ratio`), beside whatever else the machine did.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glasslung.data.phantom import draw_patient
from glasslung.data.phantom.lung_slices import lung_grey, slice_of
from glasslung.data.sources import open_cohort
from glasslung.web.explorer.codes import SHIPPED, Codes, framed
from glasslung.web.explorer.listing import list_place
from glasslung.web.explorer.opening import Wish, open_explorer
from glasslung.web.explorer.page import export_page
from glasslung.web.explorer.pictures import read_listing
from glasslung.web.explorer.scene import Scene, make_scene
from glasslung.web.explorer.walks import as_grey

FLAGS = ["--no-sandbox", "--enable-unsafe-swiftshader"]
STAGES = (("t0", 0.0, False), ("t1", 3.0, True), ("t2", 7.0, True), ("t3", 12.0, True))
SECONDS = 6
FRAMES = 12  # measured one after another
SIZES = ((1366, 768), (1920, 1080), (2560, 1440), (390, 844))
RENDERER = """(() => {
  const gl = explorer.cloud.renderer.getContext(), told = gl.getExtension("WEBGL_debug_renderer_info");
  return told ? gl.getParameter(told.UNMASKED_RENDERER_WEBGL) : gl.getParameter(gl.RENDERER);
})()"""
READY = """(() => {
  const cloud = explorer.cloud, gl = cloud.renderer.getContext(), pixel = new Uint8Array(4);
  window.frames = (count, prepare = () => {}) => {
    const times = [];
    for (let n = 0; n < count; n++) {
      cloud.turn(0.02, 0.004);
      const began = performance.now();
      prepare();
      cloud.draw();
      times.push(performance.now() - began);
      gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel); // until it is drawn
    }
    return times;
  };
})()"""
NAIVE = """import("three").then((THREE) => { // one mesh for each picture, turned to the viewer
  const { cloud } = explorer, each = [];
  const { columns, rows } = cloud.scene.atlas;
  for (const { material, userData } of cloud.meshes) {
    for (let at = 0; at < userData.count; at++) {
      const shape = new THREE.PlaneGeometry(cloud.size, cloud.size);
      const [x, y, high] = [at % columns, Math.floor(at / columns), rows[userData.first / columns ** 2]];
      const sheet = [0, 1, 2, 3].flatMap((n) => [(x + (n % 2)) / columns, (y + (n > 1)) / high]);
      shape.setAttribute("uv", new THREE.BufferAttribute(new Float32Array(sheet), 2));
      const mesh = new THREE.Mesh(shape, new THREE.MeshBasicMaterial({ map: material.uniforms.atlas.value }));
      mesh.position.copy(cloud.place(userData.first + at));
      each.push(mesh);
    }
  }
  cloud.meshes.forEach((mesh) => { mesh.visible = false; });
  cloud.world.add(...each);
  window.face = () => each.forEach((mesh) => mesh.quaternion.copy(cloud.camera.quaternion));
})"""
INFO = "(explorer.cloud.renderer.info.render)"
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


def part_of(places: Sequence[Path], folder: Path, count: int) -> Path:
    """As many slices of collections, dealt over all of each, as a cohort of copies that are no links."""
    (folder / "slices").mkdir(parents=True)
    head = ["patient", "scan", "image", "intensity", "label", "site", "group"]
    rows: list[list[str]] = []
    for place in places:
        cohort = open_cohort(place)
        wanted = min(count // len(places), len(cohort.cases))
        for at in np.linspace(0, len(cohort.cases) - 1, wanted).astype(int):
            case = cohort.cases[at]
            name = f"slices/{len(rows):04d}{case.image.suffix}"
            shutil.copyfile(cohort.path(case.image), folder / name)
            told = [f"{place.name} {case.patient}", f"{place.name} {case.scan}", name, "display8", case.label]
            rows.append([*told, place.name, case.extra.get("group", "")])
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
    collection = read_listing(list_place(real), framed(size, "pad"))
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


def repeated(scene: Scene, count: int) -> Scene:
    """The pictures again and again, with codes a little aside, until there are so many; none is decoded."""
    rows, rng = np.arange(count) % len(scene.collection), np.random.default_rng(0)
    was = scene.collection
    columns = {name: tuple(texts[row] for row in rows) for name, texts in was.columns.items()}
    collection = replace(
        was,
        entries=tuple(was.entries[row] for row in rows),
        thumbs=was.thumbs[rows],
        squares=was.squares[rows],
        sizes=tuple(was.sizes[row] for row in rows),
        columns=columns,
    )
    spread = 0.4 * scene.codes.values.std(0)
    values = scene.codes.values[rows] + spread * rng.normal(size=(count, len(spread)))
    return make_scene(collection, Codes(values.astype(np.float32), scene.codes.name, scene.codes.told))


def cost(page: Any, call: str) -> tuple[float, float]:
    """Milliseconds of all of the browser's processors, and of the page's script, for a frame."""
    page.evaluate(call)  # shaders are translated, textures sent
    before = processor_seconds()
    times = page.evaluate(call)
    return 1000 * (processor_seconds() - before) / len(times), float(np.median(times))


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
    page.evaluate(READY)
    processor, script = cost(page, f"frames({FRAMES})")
    calls, triangles = page.evaluate("(({calls, triangles}) => [calls, triangles])" + INFO)
    pick = page.evaluate(PICK_TIME)
    print(
        f"{size[0]} x {size[1]}: open in {opened:.1f} s; a frame {processor:.0f} ms of processor, script "
        f"{script:.2f} ms, {calls} draw calls, {triangles} triangles; a pick {pick:.2f} ms",
        flush=True,
    )
    gaps = np.diff(page.evaluate(f"explorer.spin({SECONDS})"))
    ratio = page.evaluate("explorer.cloud.pace.moving / explorer.cloud.pace.full")
    print(
        f"  {1000 / gaps.mean():.1f} frames/s over {SECONDS} s, at ratio {ratio:.2f} while it turns; "
        f"load of this machine {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return page


def beside_naive(page: Any) -> None:
    """The same pictures as one mesh each, in the same page: what a frame costs then, and how much more."""
    ours, script = cost(page, f"frames({FRAMES})")
    page.evaluate(NAIVE)
    theirs, their_script = cost(page, f"frames({FRAMES}, face)")
    calls = page.evaluate("(({calls}) => calls)" + INFO)
    print(
        f"  one mesh each: {theirs:.0f} ms of processor ({theirs / ours:.1f} times ours), script "
        f"{their_script:.2f} ms ({their_script / max(script, 0.05):.0f} times), {calls} draw calls",
        flush=True,
    )


def pictures(page: Any, out: Path) -> None:
    """What it looks like: the whole cloud, a picture chosen, a walk, batch effects."""
    out.mkdir(parents=True, exist_ok=True)

    def keep(name: str) -> None:
        page.wait_for_function("() => explorer.cloud.sharp")
        page.wait_for_timeout(500)
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


def scene_of(wanted: argparse.Namespace, work: Path) -> Scene:
    """What is opened, and what it took to prepare."""
    real, made = work / ("real" if wanted.real else "phantoms"), wanted.made or work / "made"
    if not real.exists():
        _ = part_of(wanted.real, real, wanted.count) if wanted.real else draw_phantoms(real, wanted.count)
    if not made.exists():
        draw_made(made, real, wanted.count)
    began = time.process_time()
    scene = open_explorer(Wish(real, made=(made,)))
    took = time.process_time() - began
    print(f"{len(scene.collection)} pictures: {took:.1f} s of one processor to prepare", flush=True)
    for name, told in scene.tellings:
        print(f"  {name}: {told if isinstance(told, str) else told.accuracy} ", end="")
        print("" if isinstance(told, str) else f"by chance [{told.chance_low:.2f}, {told.chance_high:.2f}]")
    return repeated(scene, wanted.thumbnails) if wanted.thumbnails else scene


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", type=Path, nargs="+", help="collections; else phantoms")
    parser.add_argument("--made", type=Path, help="what `glasslung make` wrote")
    parser.add_argument("--count", type=int, default=1000, help="real ones, and as many decoded ones")
    parser.add_argument("--thumbnails", type=int, help="so many in all, by repeating them")
    parser.add_argument("--work", type=Path, help="where pictures and page are kept; else they are removed")
    parser.add_argument("--out", type=Path, help="folder for pictures of the page (phantoms only)")
    wanted = parser.parse_args()
    work = wanted.work or Path(tempfile.mkdtemp())
    page_file = export_page(scene_of(wanted, work), work / "explorer.html")
    print(f"page: {page_file.stat().st_size / 1e6:.1f} MB", flush=True)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for size in SIZES:
            page = measure(browser, page_file, size)
            if size == SIZES[0] and wanted.out and not wanted.real:
                pictures(page, wanted.out)
            if size == SIZES[0]:
                beside_naive(page)
            page.close()
        browser.close()
    if wanted.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
