"""The server: what it gives, and that nothing else in the world is reached through it."""

import io

import numpy as np
import pytest
from made_client import Client
from made_pictures import discs
from PIL import Image

from glasslung.errors import UsageError
from glasslung.web.explorer.opening import Wish, open_explorer
from glasslung.web.explorer.server import make_app
from glasslung.web.serving import HOST, open_socket


@pytest.fixture(scope="module")
def client(scene):
    return Client(make_app(scene))


def picture_of(answer):
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.body)))


def test_the_page_and_all_its_scripts(client):
    page = client.get("/")
    assert page.status == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http://" not in page.text and "https://" not in page.text
    for name in ("explore/main.js", "explore/explore.css", "three/three.module.js", "three/LICENSE.txt"):
        answer = client.get(f"/static/{name}")
        assert answer.status == 200 and len(answer.body) > 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


def test_scene_atlas_and_pictures(client, scene):
    told = client.get("/scene.json").json()
    assert told["count"] == 40 and told["live"] and told["walks"]["live"]
    assert told["walks"]["decoder"] is None  # the server decodes
    atlas = picture_of(client.get("/atlas/0.png"))
    assert atlas.shape == (5 * 64, 5 * 64)
    assert np.array_equal(atlas[64:128, 128:192], scene.collection.thumbs[5 + 2])
    assert picture_of(client.get("/atlas/1.png")).shape == (3 * 64, 5 * 64)
    assert picture_of(client.get("/picture/5.png")).shape == (64, 64)


def test_a_walk_begins_and_ends_with_the_decoded_two(client, scene):
    strip = picture_of(client.get("/walk/3/8/spherical/9.png")).reshape(9, 32, 32)
    assert np.array_equal(strip, scene.codes.walker.walk(3, 8, 9, "spherical"))
    again = picture_of(client.get("/walk/8/3/spherical/9.png")).reshape(9, 32, 32)
    assert np.abs(strip[::-1].astype(int) - again).max() <= 1


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2f..%2ferrors.py"),
        *("/static/explore/../../page.py", "/static//etc/passwd", "/static/%2fetc%2fpasswd"),
        *("/static/explore", "/static/", "/static/explore/nothing.js", "/static/..%5cserver.py"),
        *("/static/%00", f"/static/{'a' * 5000}", "/static/explore/main.js/..%2f..%2f..%2fpage.py"),
        *("/picture/40.png", "/picture/-1.png", "/picture/1e1.png", "/picture/٣.png", "/picture/..%2f1.png"),
        *(
            "/picture/99999999999999999999.png",
            "/atlas/2.png",
            "/atlas/a.png",
            "/etc/passwd",
            "/../etc/passwd",
        ),
        *("/walk/0/40/linear/9.png", "/walk/0/1/crooked/9.png", "/walk/0/1/linear/1.png"),
        *("/walk/0/1/linear/100000.png", "/docs", "/openapi.json", "/cohort.csv", "/slices/000.png"),
    ],
)
def test_anything_else_is_404(client, path):
    answer = client.get(path)
    assert answer.status == 404, path
    assert b"root:" not in answer.body and b"import" not in answer.body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "0.0.0.0"])
def test_other_names_for_this_machine_are_refused(client, host):
    assert client.get("/scene.json", host=host).status == 400


def test_nothing_can_be_changed(client):
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.ask(method, "/scene.json").status == 405


def test_a_picture_that_became_a_link_out_of_its_folder_is_404(tmp_path):
    inside = tmp_path / "open"
    inside.mkdir()
    for number, picture in enumerate(discs(6)):
        Image.fromarray(picture).save(inside / f"{number}.png")
    Image.fromarray(discs(1, 9)[0]).save(tmp_path / "secret.png")
    client = Client(make_app(open_explorer(Wish(inside, "pixels"))))
    assert client.get("/picture/2.png").status == 200
    (inside / "2.png").unlink()
    (inside / "2.png").symlink_to(tmp_path / "secret.png")
    (inside / "3.png").write_bytes(b"damaged since")
    (inside / "4.png").unlink()
    for number in (2, 3, 4):
        assert client.get(f"/picture/{number}.png").status == 404


def test_it_listens_to_this_machine_alone():
    listening = open_socket(0)
    try:
        assert listening.getsockname()[0] == HOST == "127.0.0.1"
        listening.listen()
        with pytest.raises(UsageError, match="--port"):
            open_socket(listening.getsockname()[1])
    finally:
        listening.close()
    with pytest.raises(UsageError, match="65535"):
        open_socket(70000)
