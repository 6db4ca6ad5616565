import re

import yaml
from conftest import ROOT


def test_conda_and_pip_pin_the_same_versions():
    lines = (ROOT / "envs/requirements.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    conda = yaml.safe_load((ROOT / "envs/nearfar.yaml").read_text())
    assert conda["dependencies"][-1]["pip"] == pins
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[0-9.]+", pin) for pin in pins)
