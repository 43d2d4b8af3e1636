"""One scene for many tests: a cohort of discs and an auto-encoder that learned nothing."""

from dataclasses import replace

import pytest
from made_pictures import save_run, write_cohort

from glasslung.web.explorer.atlas import make_atlases
from glasslung.web.explorer.opening import Wish, open_explorer

SMALL = {"size": 32, "latents": 5, "channels": [8, 8, 8, 8]}


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """A folder with forty discs and their table; stages are labelled."""
    return write_cohort(tmp_path_factory.mktemp("discs") / "cohort", stages=True)


@pytest.fixture(scope="session")
def run(cohort, tmp_path_factory):
    """The folder of a run of `glasslung train autoencoder`, as far as the explorer looks at it."""
    return save_run(tmp_path_factory.mktemp("runs") / "run", cohort, **SMALL)


@pytest.fixture(scope="session")
def scene(run):
    """The scene of that run, on the cohort that it names, its thumbnails on two sheets."""
    found = open_explorer(Wish(run))
    return replace(found, atlases=make_atlases(found.collection.thumbs, columns=5))
