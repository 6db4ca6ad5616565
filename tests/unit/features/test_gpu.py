"""The vectors of a machine's clips by each network, file to file: a GPU's are the CPU's, and the same each time."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import CONFIG, noise

from nearfar.autoencoder import network as autoencoder
from nearfar.autoencoder.residuals import score_clips
from nearfar.backbones.embed import embed_machine
from nearfar.backbones.source import fetch
from nearfar.classifier import network as classifier
from nearfar.classifier.files import embed_classifier
from nearfar.jobs.files import read_vectors, write_table
from nearfar.lccr import network as lccr
from nearfar.lccr.files import embed_lccr
from nearfar.learning.networks import save_network
from nearfar.learning.schedule import seeded

SIZES = {
    "eat": {"embed_dim": 48, "depth": 2, "num_heads": 3, "max_length": 16},
    "beats": {"encoder_embed_dim": 48, "encoder_layers": 2, "encoder_attention_heads": 3, "embed_dim": 24},
}
INPUTS = CONFIG["features"]["classifier"]["inputs"] | {"mels": 32, "bands": 256}
MAPS = CONFIG["features"]["lccr"]["maps"] | {"mels": 32}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """The path of the clip table of five clips of two lengths."""
    folder = tmp_path_factory.mktemp("clips")
    places = [str(folder / f"{number}.wav") for number in range(5)]
    for place, seconds in zip(places, (0.5, 0.5, 0.7, 0.5, 0.5), strict=True):
        soundfile.write(place, noise((place[-5:],), seconds), 16000, subtype="PCM_16")
    files = [Path(place).name for place in places]
    write_table(folder / "table", {"file": files, "place": places, "content": files, "split": ["train"] * 5})
    return folder / "table"


def by_backbone(family, precision):
    """Both poolings of two signals; in batches of two, so of both lengths and of clips left over."""

    def embed(clips, folder, device):
        fetch("untrained", folder / "model", family=family, config=SIZES[family])
        views = {view: folder / view for view in ("near", "bands_near", "bands_residual")}
        embed_machine([clips], folder / "model", views, made="", batch=2, precision=precision, device=device)
        return views.values()

    return embed


def by_lccr(clips, folder, device):
    save_network(seeded(0, lccr.Network, MAPS["mels"]).eval(), MAPS, folder / "model")
    embed_lccr([clips], folder / "model", folder / "pair", device=device, made="")
    return [folder / "pair"]


def by_classifiers(clips, folder, device):
    models = [folder / "0", folder / "1"]
    for fold, path in enumerate(models):
        save_network(seeded(fold, classifier.Network, INPUTS["mels"], INPUTS["bands"]), INPUTS, path)
    embed_classifier([clips], models, folder / "near", channel="near", device=device, made="")
    return [folder / "near"]


def by_autoencoder(clips, folder, device):
    autoencoder.save(seeded(0, autoencoder.Network), dict.fromkeys(("source", "target"), np.eye(640)), folder / "model")
    score_clips([clips], folder / "model", folder / "near", device=device, made="")
    return [folder / "near"]


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("embed", "tolerance"),
    [
        pytest.param(by_backbone("eat", "float32"), 1e-4, id="EAT"),
        pytest.param(by_backbone("eat", "bfloat16"), 0.05, id="EAT in bfloat16"),
        pytest.param(by_backbone("beats", "float32"), 1e-4, id="BEATs"),
        pytest.param(by_backbone("beats", "bfloat16"), 0.05, id="BEATs in bfloat16"),
        pytest.param(by_lccr, 1e-4, id="LCCR"),
        pytest.param(by_classifiers, 1e-4, id="classifier"),
        pytest.param(by_autoencoder, 1e-4, id="autoencoder"),
    ],
)
def test_a_gpu_embeds_as_the_cpu_does_and_repeats_itself(cuda, clips, tmp_path, embed, tolerance):
    found = []
    for name, device in (("cpu", "cpu"), ("gpu", cuda), ("again", cuda)):
        (tmp_path / name).mkdir()
        found.append([read_vectors(path) for path in embed(clips, tmp_path / name, device)])
    for (files, on_cpu), (same, on_gpu), (_, again) in zip(*found, strict=True):
        assert list(files) == list(same) == [f"{number}.wav" for number in range(5)]
        assert np.ptp(on_cpu, axis=0).max() > 0  # clips are told apart
        np.testing.assert_allclose(on_gpu, on_cpu, atol=tolerance * np.abs(on_cpu).max())
        np.testing.assert_array_equal(again, on_gpu)
