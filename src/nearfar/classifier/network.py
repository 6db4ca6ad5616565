"""A network that tells the classes of normal clips apart, trained from scratch on the machines at hand.

Two branches, after Wilkinghoff ("Design choices for learning embeddings from auxiliary tasks for domain generalization
in anomalous sound detection", 2023): one sees the log-mel, the other the spectrum of the whole clip. What it has to
notice to tell classes apart sets an unknown sound off as well. Trained once a fold, without that fold's clips, so that
every training clip has an embedding by a network that did not see it (nearfar.detectors.crossfit).

Every random choice comes from (seed, epoch), so a training that was killed goes on from its last whole epoch to the
same bytes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize, one_hot

from nearfar.classifier.inputs import Pair
from nearfar.errors import NearfarError
from nearfar.jobs.devices import use_device
from nearfar.jobs.kinds import Amount, Count, Positive, Share
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.learning.losses import codes
from nearfar.learning.networks import load_network
from nearfar.learning.resume import identity, read_state, write_state
from nearfar.learning.schedule import descend, seeded, set_rate, warmup_cosine
from nearfar.seeds import seed_for

DIMS = 128  # of each branch
WIDTHS = (16, 16, 32, 64, 128)  # channels of the image's stem and of its four blocks
STRIDED = ((1, 32, 64, 8), (32, 64, 16, 8), (64, 128, 8, 4))  # channels, then kernel and stride, of the spectrum's


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a training, those of ``features.classifier.train``; config/schema.yaml describes each."""

    epochs: Count
    batch: Count
    lr: Positive
    warmup: Share
    weight_decay: Amount
    crop: Count
    scale: Positive
    mixup: Share


class Block(nn.Module):
    """Residual block of two 3×3 convolutions, (B, before, H, W) → (B, after, H, W), halved where channels grow."""

    def __init__(self, before: int, after: int):
        super().__init__()
        stride = 1 if before == after else 2
        self.inner = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.outer = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways, rectified."""
        return torch.relu(self.inner(x) + self.outer(x))


class Network(nn.Module):
    """Log-mel (B, mels, windows) and spectrum (B, bands) → embedding (B, 256) of unit length; any number of windows."""

    def __init__(self, mels: int, bands: int):
        super().__init__()
        stem = nn.Conv2d(1, WIDTHS[0], 7, 2, 3, bias=False)
        layers = [nn.BatchNorm2d(1, affine=False), stem, nn.BatchNorm2d(WIDTHS[0]), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(3, 2, 1))
        layers += [Block(before, after) for before, after in zip(WIDTHS, WIDTHS[1:], strict=False)]
        self.image = nn.Sequential(*layers)
        heights = -(-mels // 32)  # stem, pooling and three of the blocks halve both axes
        layers = [nn.BatchNorm1d(1, affine=False)]
        for before, after, kernel, stride in STRIDED:
            layers.append(nn.Conv1d(before, after, kernel, stride, kernel // 2, bias=False))
            layers += [nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
            bands = bands // stride + 1
        self.spectrum = nn.Sequential(*layers)
        self.heads = nn.ModuleList([nn.Linear(WIDTHS[-1] * heights, DIMS), nn.Linear(STRIDED[-1][1] * bands, DIMS)])
        self.to(memory_format=torch.channels_last)  # a fifth to a third faster on a CPU

    def forward(self, images: torch.Tensor, spectra: torch.Tensor) -> torch.Tensor:
        """Return the embeddings; the image branch takes the maximum over time."""
        parts = self.image(images[:, None]).amax(3).flatten(1), self.spectrum(spectra[:, None]).flatten(1)
        return normalize(torch.cat([head(part) for head, part in zip(self.heads, parts, strict=True)], 1), dim=1)


class Trainee(nn.Module):
    """A Network and a direction for each class: cosine logits (B, classes) at a fixed scale."""

    def __init__(self, mels: int, bands: int, classes: int, scale: Positive):
        super().__init__()
        self.network, self.scale = Network(mels, bands), scale
        self.directions = nn.Parameter(torch.randn(classes, 2 * DIMS))

    def forward(self, images: torch.Tensor, spectra: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.scale * self.network(images, spectra) @ normalize(self.directions, dim=1).T


def train(
    clips: Sequence[Pair],
    classes: Sequence[str],
    settings: Settings,
    *,
    seed: int,
    device: str,
    state: str | Path | None = None,
    files: Iterable[str | Path] = (),
) -> tuple[Network, list[dict]]:
    """Return a Network trained to tell the classes of normal clips apart, and its log, a list of {"epoch", "loss"}.

    clips: their log-mels (mels, windows), of any lengths, and spectra (bands,); classes: (clips,) words; state: file
    for the state of an unfinished training, which is resumed where it is of the same settings and ``files`` (what the
    clips were read from). Each clip gives ``crop`` windows from a random start. AdamW on the cross-entropy of cosine
    logits; the rate rises over ``warmup`` and falls as a cosine. torch's global generator is left as it was.
    Without epochs the network is as it was drawn.
    Raises NearfarError for clips of a single class to be trained on, a loss that is not finite and an absent device.
    """
    labels = _labels(classes) if settings.epochs else codes(classes)
    use_device(device)
    image, spectrum = clips[0]
    log, whose = [], None
    with torch_threads(1):
        shape = len(image), len(spectrum), int(labels.max()) + 1
        trainee = seeded(seed_for(seed, "classifier"), Trainee, *shape, settings.scale).to(device).train()
        optimizer = torch.optim.AdamW(trainee.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        if state:
            about = asdict(settings) | {"seed": seed, "device": device, "classes": list(classes)}
            whose = identity(about, files, "src/nearfar/classifier/network.py")
            log = _resumed(trainee, optimizer, read_state(state, whose))
        with bar(None, "classifier", total=settings.epochs * len(clips), initial=len(log) * len(clips)) as meter:
            for epoch in range(len(log), settings.epochs):
                log.append(
                    {"epoch": epoch, "loss": _epoch(trainee, optimizer, clips, labels, settings, seed, epoch, meter)}
                )
                if state:
                    kept = {"trainee": trainee.state_dict(), "optimizer": optimizer.state_dict(), "log": log}
                    write_state(state, whose, kept)
    return trainee.network.eval(), log


def _labels(classes):
    """Return the codes (clips,) of the classes; raise NearfarError where there is one only."""
    names = sorted(set(classes))
    if len(names) < 2:
        raise NearfarError(
            f"features.classifier: all training clips are of the class {names[0]}, so there is nothing to tell apart; "
            f"train on more machines, or take the detectors on it out"
        )
    return codes(classes)


def _resumed(trainee, optimizer, state):
    """Put a state of ``train``, if there is one, into the trainee and the optimizer; return the log so far."""
    if state is None:
        return []
    trainee.load_state_dict(state["trainee"])
    optimizer.load_state_dict(state["optimizer"])
    return state["log"]


def _epoch(trainee, optimizer, clips, labels, settings, seed, epoch, meter):
    """Train for one epoch, counted from 0; return the mean loss."""
    device = trainee.directions.device
    random = np.random.default_rng(seed_for(seed, "epoch", epoch))
    steps, losses = plan(labels.numpy(), settings.batch, bool(epoch % 2), random), []
    for step, rows in enumerate(steps, 1):
        set_rate(optimizer, settings.lr * warmup_cosine((epoch + step / len(steps)) / settings.epochs, settings.warmup))
        given = [*_batch(clips, rows, settings.crop, random), one_hot(labels[rows], len(trainee.directions)).float()]
        if random.random() < settings.mixup:
            given = _mixed(given, random)
        images, spectra, shares = (part.to(device) for part in given)
        loss = cross_entropy(trainee(images, spectra), shares)
        losses += descend(optimizer, [loss], key="features.classifier.train", epoch=epoch)
        meter.set_postfix({"loss": f"{losses[-1]:.3f}"}, refresh=False)
        meter.update(len(rows))
    return float(np.mean(losses))


def plan(labels: np.ndarray, batch: Count, balanced: bool, random: np.random.Generator) -> list[np.ndarray]:
    """Return the clips of each step of an epoch, int arrays of at most ``batch``, their sizes differing by one.

    labels: (clips,) codes. Every clip comes once; or, balanced, as many are drawn, each class as often as another.
    """
    rows = random.permutation(len(labels))
    if balanced:
        counts = np.bincount(labels)
        weight = 1 / counts[labels]
        rows = random.choice(len(labels), len(labels), p=weight / weight.sum())
    return np.array_split(rows, -(-len(rows) // batch))


def _batch(clips, rows, crop, random):
    """Return float32 log-mels (rows, mels, crop), each from its own random window on, and spectra (rows, bands)."""
    images = []
    for image in (clips[row][0] for row in rows):
        start = random.integers(max(1, image.shape[1] - crop + 1))
        images.append(image[:, np.arange(start, start + crop) % image.shape[1]])  # begins anew where the clip ends
    stacked = np.stack(images), np.stack([clips[row][1] for row in rows])
    return [torch.from_numpy(part.astype(np.float32)) for part in stacked]


def _mixed(given, random):
    """Return each part of a batch mixed with the same in another order, by one share (mixup, Zhang et al. 2018)."""
    share, other = float(random.random()), torch.from_numpy(random.permutation(len(given[0])))
    return [share * part + (1 - share) * part[other] for part in given]


def embed(networks: Sequence[Network], clips: Iterable[Pair]) -> Iterator[np.ndarray]:
    """Yield the embeddings, float32 (networks, 256), of each of an iterable of clips.

    Clips go through one by one, so a vector does not depend on its neighbours and lengths are free.
    """
    device = next(networks[0].parameters()).device
    for clip in clips:
        with torch.inference_mode():
            parts = [torch.tensor(part)[None].to(device).float() for part in clip]
            yield torch.cat([network(*parts) for network in networks]).cpu().numpy()


def load(path: str | Path) -> tuple[Network, dict]:
    """Return the network, ready to embed, and the parameters of its inputs from a file made by save_network."""
    return load_network(path, "a classifier", lambda params: Network(params["mels"], params["bands"]))
