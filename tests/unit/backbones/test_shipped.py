"""The backbone that nearfar ships."""

import hashlib

import torch
from conftest import ROOT

from nearfar.backbones import source as backbone
from nearfar.backbones.eat import EAT


def test_the_shipped_backbone_is_what_its_card_says():
    folder = backbone.resolve("eat-small")
    weights = (folder / "model.safetensors").read_bytes()
    assert len(weights) <= 4e6
    assert hashlib.sha256(weights).hexdigest() in (folder / "README.md").read_text()
    assert folder == ROOT / "resources/eat-small"
    with torch.inference_mode():
        tokens = EAT.load(folder)(torch.zeros(1, 1, 400, 128))
    assert tokens.shape == (1, 1 + 8 * 25, 128) and tokens.isfinite().all()
