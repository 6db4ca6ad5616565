import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from exported import batch_of, clips_beside, learned

UV = Path(sys.executable).with_name("uv")
ABSENT = ("snakemake", "peft", "transformers", "pandas", "sklearn", "scipy", "matplotlib", "huggingface_hub")


def run(*words, **known):
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run([*map(str, words)], env=env, capture_output=True, text=True, check=False, **known)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of commands of a virtual environment that holds what ``pip install nearfar`` brings, and no more."""
    place = tmp_path_factory.mktemp("small")
    for name in ("pyproject.toml", "README.md", "LICENSE", "src"):  # a build leaves things beside them
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / name)
    python = place / "venv/bin/python"
    if not UV.is_file() or run(UV, "venv", "-q", "--python", sys.executable, place / "venv").returncode:
        pytest.skip("no uv beside this Python, or it can make no environment")
    found = os.environ.get("PIP_FIND_LINKS")
    pip = [UV, "pip", "install", "-q", "--python", python, *(["--find-links", found] if found else [])]
    pip += ["-c", ROOT / "envs/requirements.txt", place]
    done = run(*pip, "--offline", timeout=300)  # of the cache, where it has all
    done = run(*pip, timeout=300) if done.returncode else done
    if done.returncode:
        pytest.skip(f"what nearfar needs cannot be installed here: {done.stderr[-300:]}")
    if run(python, "-c", "import torchaudio").returncode:  # built for another torch: see envs/setup.sh
        for library in (place / "venv").glob("lib/python*/site-packages/torchaudio/lib/*.so"):
            library.unlink()
    return python.parent


@pytest.mark.slow
def test_the_small_installation_scores_as_the_batch(installed, tmp_path):
    pump = learned(tmp_path)
    for library in ABSENT:
        assert "No module named" in run(installed / "python", "-c", f"import {library}").stderr
    done = run(installed / "nearfar", "export", pump.parent, "--out", tmp_path / "a.nearfar", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run(installed / "nearfar", "score", tmp_path / "a.nearfar", *clips_beside(pump), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows, level = list(map(json.loads, done.stdout.splitlines())), batch_of(pump)["level"]
    assert [Path(row["clip"]).name for row in rows] == sorted(level)
    assert [row["score"] for row in rows] == pytest.approx([level[name] for name in sorted(level)], abs=1e-6)
