"""The viewer's server: what it gives, what it takes, and that nothing else is reached through it."""

import gzip
import json
import re
import shutil
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
from browsing import serving
from made_client import Client

from glasslung.data.corrections import corrections_of
from glasslung.data.formats.nifti import nifti_bytes, read_nifti
from glasslung.data.formats.reading import read_labels
from glasslung.web.viewer import server
from glasslung.web.viewer.case import open_case
from made_views import drawn, write_made_story


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "story"
    write_made_story(folder)
    return folder


@pytest.fixture(scope="module")
def case(story):
    with open_case(story, ()) as found:
        yield found


@pytest.fixture(scope="module")
def client(case):
    return Client(server.make_viewer(case, "Dr. Test"))


@pytest.fixture(scope="module")
def address(case):
    with serving(server.make_viewer(case)) as found:
        yield found


def token_of(page):
    return re.search(r'name="save-token" content="([^"]+)"', page).group(1)


def send(client, body, n=0, token=None, who="Dr. A", start="lesions"):
    """POST a corrected mask as the page does."""
    page = token_of(client.get("/").text) if token is None else token
    given = {"x-glasslung-token": page, "x-glasslung-reader": who, "x-glasslung-start": start}
    return client.ask("POST", f"/scan/{n}/corrections", body=body, headers=given)


def mask_of(n, change=None):
    """Scan n's lesions as a browser sends them, after `change` was done to them."""
    volume, _, lesions = drawn(n)
    labels = lesions.copy()
    if change is not None:
        change(labels)
    return nifti_bytes(labels, volume.affine, label=True)


def test_the_page_asks_for_nothing_from_outside(client):
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe-eval" not in policy and "http:" not in policy
    assert "http://" not in page.text and "https://" not in page.text
    for name in ("view/main.js", "view/view.css", "niivue/niivue.js", "niivue/LICENSE.txt"):
        answer = client.get(f"/static/{name}")
        assert answer.status == 200 and len(answer.body) > 500
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
    assert "Copyright (c) 2021" in client.get("/static/niivue/LICENSE.txt").text


def test_what_the_page_is_told_holds_no_path(client, story):
    told = client.get("/view.json")
    assert str(story) not in told.text and "sha256" not in told.text
    known = told.json()
    assert [scan["label"] for scan in known["scans"]] == ["day 0", "day 5", "day 12"]
    assert known["scans"][2]["layers"] == ["lungs", "lesions", "opacities", "relevance", "change"]
    assert known["reader"] == "Dr. Test" and "Not a medical device" in known["disclaimer"]
    assert known["comparisons"][0]["lesions"][0]["fate"] == "grown"


def test_volumes_are_the_story_s_own_files(client, story):
    home = story / "masks" / "scan-02"
    for what, file in (("scan", "scan.nii.gz"), ("lesions", "lesions.nii.gz"), ("change", "change.nii.gz")):
        assert client.get(f"/scan/1/volume/{what}.nii.gz").body == (home / file).read_bytes()
    assert client.get("/scan/0/volume/change.nii.gz").status == 404  # nothing came before


def test_links_lesions_and_surfaces(client):
    facts = client.get("/scan/1/facts.json").json()
    assert facts["link"]["how"] == "registration" and facts["corrections"] == []
    here, there = np.array(facts["link"]["levels"])
    assert here + 12 == pytest.approx(there)  # two slices of 6 mm lower on the table
    found = client.get("/scan/2/lesions/lesions.json").json()
    assert [one["side"] for one in found["lesions"]] == ["right", "left"]
    solid = client.get("/scan/2/surface/lungs.mz3")
    assert solid.status == 200 and gzip.decompress(solid.body)[:2] == b"MZ"
    assert client.get("/scan/2/surface/lesions-3.mz3").body == b""


@pytest.mark.parametrize(
    "path",
    [
        *("/scan/3/facts.json", "/scan/-1/facts.json", "/scan/1e0/facts.json", "/scan/٢/facts.json"),
        *("/scan/0/volume/..%2fscan.json.nii.gz", "/scan/0/volume/preview.nii.gz", "/scan/0/volume/.nii.gz"),
        *("/scan/0/volume/../../../story.json", "/scan/0/volume/..%2f..%2f..%2fstory.json"),
        *("/scan/0/correction/scan.nii.gz", "/scan/0/correction/..%2f..%2fmasks%2fscan-01%2flungs.nii.gz"),
        *("/scan/0/correction/lesions", "/scan/0/lesions/..%2flungs.json", "/scan/0/lesions/lungs.json"),
        *("/scan/0/surface/..%2flungs.mz3", "/scan/0/surface/lesions-9.mz3", "/scan/0/surface/infection.mz3"),
        *("/story.json", "/masks/scan-01/scan.nii.gz", "/corrections/", "/etc/passwd", "/../etc/passwd"),
        *("/static/../server.py", "/static/%2e%2e/viewer/server.py", "/static/%00", f"/static/{'a' * 5000}"),
        *("/docs", "/openapi.json", "/scan/0/volume/%00.nii.gz", f"/scan/0/volume/{'a' * 5000}.nii.gz"),
    ],
)
def test_anything_else_is_404(client, path):
    answer = client.get(path)
    assert answer.status == 404, path
    assert b"root:" not in answer.body and b"import" not in answer.body


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1"])
def test_other_names_for_this_machine_are_refused(client, host):
    assert client.get("/view.json", host=host).status == 400


def test_a_file_that_became_a_link_out_of_the_story_is_not_shown(tmp_path):
    write_made_story(tmp_path / "story")
    (tmp_path / "secret.nii.gz").write_bytes(b"secret")
    home = tmp_path / "story" / "masks" / "scan-01"
    (home / "lesions.nii.gz").unlink()
    (home / "lesions.nii.gz").symlink_to(tmp_path / "secret.nii.gz")
    with open_case(tmp_path / "story", ()) as case:
        client = Client(server.make_viewer(case))
        assert client.get("/scan/0/volume/lesions.nii.gz").status == 404
        assert client.get("/scan/1/volume/lesions.nii.gz").status == 200
        later = tmp_path / "story" / "masks" / "scan-02" / "lesions.nii.gz"
        later.unlink()
        later.symlink_to(tmp_path / "secret.nii.gz")
        for path in ("volume/lesions.nii.gz", "lesions/lesions.json", "surface/lesions-1.mz3"):
            assert client.get(f"/scan/1/{path}").status == 404


def test_a_damaged_mask_is_told_in_one_line_and_all_else_stays(tmp_path):
    write_made_story(tmp_path / "story")
    (tmp_path / "story" / "masks" / "scan-01" / "lesions.nii.gz").write_bytes(b"damaged")
    (tmp_path / "story" / "masks" / "scan-02" / "lungs.nii.gz").write_bytes(b"damaged")
    with open_case(tmp_path / "story", ()) as case:
        client = Client(server.make_viewer(case))
        for path in ("/scan/0/lesions/lesions.json", "/scan/1/facts.json", "/scan/0/surface/lesions-1.mz3"):
            answer = client.get(path)
            assert answer.status == 422 and "\n" not in answer.json()["problem"]
        assert client.get("/scan/0/facts.json").status == 200
        assert client.get("/scan/1/volume/scan.nii.gz").status == 200
        assert send(client, mask_of(1), n=1).status == 422


# --- corrections --------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    """A story of its own, its case and its client."""
    write_made_story(tmp_path / "story")
    with open_case(tmp_path / "story", ()) as case:
        yield tmp_path / "story", case, Client(server.make_viewer(case))


def test_a_correction_is_kept_beside_the_original(own):
    folder, case, client = own
    before = {path: path.read_bytes() for path in (folder / "masks").rglob("*.nii.gz")}

    def redraw(labels):
        labels[labels == 1] = 3
        labels[0, 0, :2] = 2

    answer = send(client, mask_of(1, redraw), n=1, who="Dr.%20%C3%84rztin")
    assert answer.status == 201
    told = answer.json()
    assert told["who"] == "Dr. Ärztin" and told["voxels_changed"] == 280 + 2
    [kept] = corrections_of(folder, case.scans[1].findings)
    assert kept.path.name == told["file"] and kept.told["from"] == "masks/scan-02/lesions.nii.gz"
    labels, affine = read_labels(kept.path)
    volume, _, lesions = drawn(1)
    redraw(lesions)
    assert np.array_equal(labels, lesions) and affine == pytest.approx(volume.affine, abs=1e-4)
    assert {path: path.read_bytes() for path in before} == before
    facts = client.get("/scan/1/facts.json").json()
    assert [one["file"] for one in facts["corrections"]] == [told["file"]]
    assert client.get(f"/scan/1/correction/{told['file']}").body == kept.path.read_bytes()
    found = client.get(f"/scan/1/lesions/{told['file']}.json").json()
    assert found["lesions"][0]["kinds"] == {"crazy paving": 42.0}
    again = send(client, mask_of(1), n=1, start=told["file"])
    assert again.status == 201 and again.json()["voxels_changed"] == 282
    assert len(corrections_of(folder, case.scans[1].findings)) == 2


def test_without_the_page_s_token_nothing_is_saved(own):
    folder, _, client = own
    for token in ("", "x" * 43, "é"):
        assert send(client, mask_of(0), token=token).status == 403
    assert send(client, mask_of(0), n=7).status == 404
    for method in ("PUT", "DELETE", "PATCH"):
        assert client.ask(method, "/scan/0/corrections").status == 405
    assert client.ask("POST", "/view.json").status == 405
    assert not (folder / "corrections").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "ends too early"),
        (b"not gzip at all", "not gzip"),
        (gzip.compress(b"not a mask"), "no readable NIfTI"),
        (mask_of(0)[:-40], "too early"),
        (gzip.compress(bytes(50_000_000)), "larger than a mask"),
        (nifti_bytes(np.zeros((3, 4, 5), np.uint8), np.eye(4)), "voxels"),
        (nifti_bytes(np.zeros(drawn(0)[0].shape, np.uint8), np.eye(4)), "lies elsewhere"),
        (nifti_bytes(np.full(drawn(0)[0].shape, 9, np.uint8), drawn(0)[0].affine), "label 9"),
    ],
)
def test_what_is_no_mask_of_the_scan_is_refused_in_one_line(own, body, said):
    folder, _, client = own
    answer = send(client, body)
    assert answer.status == 422 and said in answer.json()["problem"]
    assert not (folder / "corrections").exists()


@pytest.mark.parametrize("who", ["", "%20", "a" * 81, "a%07b"])
def test_a_correction_needs_a_name(own, who):
    answer = send(own[2], mask_of(0), who=who)
    assert answer.status == 422 and "name" in answer.json()["problem"]


def test_a_start_that_is_no_mask_of_the_scan_is_refused(own):
    answer = send(own[2], mask_of(0), start="../masks/scan-01/lungs.nii.gz")
    assert answer.status == 422 and "no mask of this scan" in answer.json()["problem"]


def test_a_story_that_cannot_be_written_to_says_so(own):
    folder, _, client = own
    (folder / "corrections").write_text("a file where the folder should be")
    answer = send(client, mask_of(0))
    assert answer.status == 422 and "corrections" in answer.json()["problem"]


def test_more_than_a_mask_can_hold_is_not_even_read(own, monkeypatch):
    monkeypatch.setattr(server.corrections, "LARGEST_BYTES", 1000)
    assert send(own[2], bytes(2000)).status == 413


# --- many at once -------------------------------------------------------------------------------------------


def test_a_hundred_clients_at_once_each_get_what_they_asked_for(address, story):
    paths = [
        "view.json",
        "scan/2/volume/scan.nii.gz",
        "scan/0/surface/lungs.mz3",
        "scan/1/lesions/lesions.json",
        "nowhere",
    ]
    wanted = (story / "masks" / "scan-03" / "scan.nii.gz").read_bytes()
    answers: list = []

    def ask(n):
        path = paths[n % len(paths)]
        try:
            with urllib.request.urlopen(address + path, timeout=120) as answer:
                answers.append((path, answer.status, answer.read()))
        except urllib.error.HTTPError as problem:
            answers.append((path, problem.code, b""))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(100)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(answers) == 100
    for path, status, body in answers:
        assert status == (404 if path == "nowhere" else 200)
        assert body == wanted or "scan.nii" not in path
    assert len({body for path, _, body in answers if path.endswith("mz3")}) == 1


def test_what_many_ask_for_is_computed_once():
    made, once = [], server.Once()

    def make():
        made.append(1)
        return "answer"

    threads = [threading.Thread(target=once.get, args=(("key",), make)) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert made == [1] and once.get(("key",), make) == "answer"


# --- a scan alone -------------------------------------------------------------------------------------------


def test_a_scan_alone_is_shown_and_cannot_be_corrected(story, tmp_path):
    scan = tmp_path / "any.nii.gz"
    shutil.copyfile(story / "masks" / "scan-01" / "scan.nii.gz", scan)
    with open_case(scan, ()) as case:
        client = Client(server.make_viewer(case))
        told = client.get("/view.json").json()
        assert told["scans"][0]["name"] == "scan" and not told["canSave"]
        sent = client.get("/scan/0/volume/scan.nii.gz").body
        assert json.loads(client.get("/scan/0/facts.json").text)["link"]["extent"] is None
        assert send(client, mask_of(0)).status == 404
    (tmp_path / "sent.nii.gz").write_bytes(sent)
    assert np.array_equal(read_nifti(tmp_path / "sent.nii.gz")[0], drawn(0)[0].voxels)
