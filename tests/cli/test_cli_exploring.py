"""`glasslung explore`: a page, a server that can be asked, and mistakes told in one line."""

import re
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from glasslung.cli import app
from glasslung.errors import GlasslungError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(6):
            grey = rng.integers(0, 255, (40, 40), np.uint8)
            Image.fromarray(grey).save(tmp_path / "pictures" / name / f"{number}.png")
    (tmp_path / "pictures" / "a" / "broken.png").write_bytes(b"x")
    return tmp_path / "pictures"


def test_export(folder, tmp_path):
    page = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["explore", str(folder), "--model", "pixels", "--export", str(page)])
    assert done.exit_code == 0, done.output
    assert "12 pictures, 1 left out" in done.output
    assert "a/broken.png" in done.output
    assert page.stat().st_size > 1_000_000


def test_a_folder_of_pictures_is_learned_and_walked_by_two_verbs(folder, tmp_path):
    (folder / "a" / "broken.png").unlink()
    run, page = tmp_path / "run", tmp_path / "page.html"
    train = ["train", "autoencoder", "--cohort", str(folder), "--out", str(run), "--steps", "2"]
    done = CliRunner().invoke(app, [*train, "--size", "32", "--batch", "4", "--mirror"])
    assert done.exit_code == 0, done.output
    done = CliRunner().invoke(app, ["explore", str(run), "--export", str(page)])
    assert done.exit_code == 0, done.output
    assert "12 pictures, 0 left out" in done.output and "32 latents of slices of 32 pixels" in done.output
    with pytest.raises(GlasslungError, match="asked for: 64"):
        CliRunner().invoke(app, [*train, "--size", "64", "--batch", "4", "--mirror"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--export", "page.pdf"], "html"),
        (["--names"], "--export"),
        (["--model", "nothing"], "nothing"),
        (["--model", "pixels", "--layout", "umap"], "pca, tsne, codes"),
        (["--port", "99999"], "65535"),
    ],
)
def test_mistakes_are_told(folder, more, said):
    with pytest.raises(GlasslungError, match=said):
        CliRunner().invoke(app, ["explore", str(folder), "--no-browser", *more], catch_exceptions=False)


def test_a_mistake_ends_in_exit_code_2_without_a_traceback(tmp_path):
    command = [sys.executable, "-m", "glasslung", "explore", str(tmp_path / "nowhere"), "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "there is no" in done.stderr and "Traceback" not in done.stderr


def test_it_serves_until_it_is_stopped(folder):
    command = [sys.executable, "-m", "glasslung", "explore", str(folder), "--model", "pixels", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        address = next(found[0] for line in process.stdout if (found := re.search(r"http://\S+", line)))
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address + "scene.json", timeout=20) as answer:
            assert b'"count":12' in answer.read()
    finally:
        process.terminate()
        code = process.wait(20)
        process.stdout.close()
    assert code == 130
