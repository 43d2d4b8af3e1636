"""What holds for every verb: help, version, being stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from verb_process import glasslung

from glasslung import __version__


def test_help_names_every_verb_and_what_this_is_not():
    told = glasslung("--help").stdout
    verbs = {line.split()[1] for line in told.splitlines() if line.startswith("│ ") and line[2:3].isalpha()}
    asked = "analyze forecast inspect report phantom cohort split check prepare train runs evaluate study"
    assert set(asked.split()) <= verbs
    assert "not a medical device" in " ".join(told.split())


def test_help_loads_nothing_heavy():
    heavy = "{'numpy', 'scipy', 'SimpleITK', 'pandas', 'matplotlib', 'torch'}"
    probe = f"import sys, glasslung.cli; print(len({heavy} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", probe], text=True).strip() == "0"


def test_version():
    assert glasslung("--version").stdout.strip() == f"glasslung {__version__}"


def test_ctrl_c_leaves_a_folder_that_the_next_run_finishes(course, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "glasslung", "analyze", str(course / "day00.nii.gz"), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for line in run.stderr:
            if "lungs" in line:
                break
        time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        told = run.stderr.read()
    assert run.returncode == 130, told
    assert "goes on from here" in told
    assert not [p for p in (out / "masks").rglob("*") if out.exists()]
    assert glasslung(*command[3:]).returncode == 0
    assert (out / "masks" / "scan-01" / "scan.nii.gz").is_file()  # what `glasslung view` shows
