"""The settings file: what it says, what it refuses, and that the written template is the defaults."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from glasslung.errors import UsageError
from glasslung.node.settings import (
    Destination,
    Limits,
    NodeSettings,
    Peer,
    Sending,
    Watch,
    Work,
    check_settings,
    read_settings,
)
from glasslung.node.template import TEMPLATE

PEERS = '[[peers]]\ntitle = "CT1"\naddresses = ["10.0.0.0/24"]\n'
PLACES = '[[destinations]]\nname = "pacs"\ntitle = "PACS"\naddress = "10.0.0.9"\n'
WHOLE = f'folder = "n"\n{PEERS}{PLACES}'


def read(tmp_path, text):
    file = tmp_path / "node.toml"
    file.write_text(text)
    return read_settings(file)


def test_the_template_is_the_defaults(tmp_path):
    settings = read(tmp_path, TEMPLATE)
    assert settings == NodeSettings(
        tmp_path / "glasslung-node",
        (Peer("ORTHANC", ("127.0.0.1",)),),
        (Destination("ORTHANC", "127.0.0.1", 4242, name="archive"),),
    )


@pytest.mark.parametrize("part", [Limits(), Work(), Sending()])
def test_the_template_names_every_key(part):
    assert all(f"\n{name} = " in TEMPLATE for name in vars(part))


def test_every_commented_key_of_the_template_is_known(tmp_path):
    """With its url lines uncommented the template is still read: no key in it is a slip of the pen."""
    text = TEMPLATE.replace("# [watch]", "[watch]").replace('# url = "https', 'url = "https')
    for key in ("every_seconds", "last_days"):
        text = text.replace(f"# {key}", key)
    settings = read(tmp_path, text)
    assert settings.watch == Watch(url="https://archive.example/dicom-web")
    assert settings.earlier.url


def test_paths_are_beside_the_file(tmp_path):
    settings = read(tmp_path, WHOLE + '[watch]\nurl = "https://x/"\nauthorization_file = "token"\n')
    assert settings.folder == tmp_path / "n"
    assert settings.watch.authorization_file == tmp_path / "token"
    assert read(tmp_path, WHOLE + '[work]\nsegmenter = "lesions-hu"\nclassifier = "none"\n').work


def test_peers_call_from_their_networks_alone(tmp_path):
    (peer,) = read(tmp_path, WHOLE).peers
    assert peer.calls_from("10.0.0.77")
    assert peer.calls_from("::ffff:10.0.0.77")
    assert not peer.calls_from("10.0.1.77")
    assert not peer.calls_from("")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (WHOLE.replace("folder", "foldr"), "folder = "),
        (f"colour = 1\n{WHOLE}", "'colour' is not known"),
        (WHOLE.replace("address =", "adress ="), "'adress' is not known"),
        (f"port = true\n{WHOLE}", "True is no int"),
        (f'port = "x"\n{WHOLE}', "'x' is no int"),
        (f"port = 70000\n{WHOLE}", "port 70000"),
        (f'title = "{"X" * 17}"\n{WHOLE}', "no AE title"),
        (f'folder = "n"\n{PLACES}', "nobody may send"),
        (f'folder = "n"\n{PEERS}', "go nowhere"),
        (WHOLE.replace("10.0.0.0/24", "ct1.example"), "no IP address"),
        (WHOLE.replace('["10.0.0.0/24"]', "[]"), "no addresses"),
        (WHOLE + PLACES, "a name of its own"),
        (WHOLE + 'results = ["film"]\n', "results are some of"),
        (WHOLE + "[limits]\nstop_gib = 9.0\n", "resume_gib"),
        (WHOLE + "[limits]\nobject_mib = 0\n", "object_mib = 0"),
        (WHOLE + "[work]\nminutes = nan\n", "minutes"),
        (WHOLE + '[watch]\nurl = "ftp://x/"\n', "no http"),
        (WHOLE + '[watch]\nurl = "http://x:99999/"\n', "no http"),
        (WHOLE + '[watch]\nurl = "http://[x/"\n', "no http"),
        (WHOLE + '[earlier]\naddress = "10.0.0.9"\n', "needs title"),
        (WHOLE + '[work]\nsegmenter = "lesion-hu"\n', "neither a shipped name"),
        (WHOLE + '[watch]\nurl = "https://me:secret@x/"\n', "authorization_file"),
        (WHOLE + '[watch]\nurl = "http://x/"\nauthorization_file = "t"\n', "use https"),
        (WHOLE + "[watch]\nevery_seconds = 5\n", "watch has no url"),
        (WHOLE + "[earlier]\ntitle = 'PACS'\n", "needs title, address and port"),
        ("folder = [", "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path, text, told):
    with pytest.raises(UsageError, match=re.escape(told)) as refused:
        read(tmp_path, text)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_token_over_plain_http_is_for_this_machine_alone(tmp_path):
    settings = read(tmp_path, WHOLE)
    watch = Watch(url="http://127.0.0.1:8042/dicom-web", authorization_file=tmp_path / "token")
    check_settings(replace(settings, watch=watch))
