"""Learned cross-channel representation (LCCR): maps of two channels → small CNN → 128-d embedding.

After "Cross-channel and raw-spectral detector ensembles for first-shot noise-aware anomalous sound
detection", §3; see losses.py for the objective.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nearfar.jobs.devices import use_device
from nearfar.jobs.kinds import Amount, Count, Positive
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.lccr.maps import MAPS, wrapped
from nearfar.learning.losses import TERMS, codes, composite
from nearfar.learning.networks import load_network
from nearfar.learning.sampling import batches
from nearfar.learning.schedule import descend, seeded, set_rate, warmup_cosine
from nearfar.seeds import seed_for

WIDTHS, DIMS = (32, 48, 64, 56), 128  # channels of the convolutions; of the embedding
WARMUP, WEIGHT_DECAY = 0.1, 1e-2


class Network(nn.Module):
    """CNN (batch, 5, mels, windows) → (batch, 128), about 0.13 M parameters, for any number of windows.

    Four strided convolutions halve both axes; mean and standard deviation over time keep what position
    on the frequency axis is left.
    """

    def __init__(self, mels: int):
        super().__init__()
        layers = [nn.BatchNorm2d(MAPS)]
        for before, after in zip((MAPS, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(2 * WIDTHS[-1] * -(-mels // 2 ** len(WIDTHS)), DIMS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return embeddings, not normalised."""
        columns = self.trunk(x).flatten(1, 2)  # (batch, channels * bands, windows)
        # the small term keeps the gradient of the root finite where a clip is one column long
        spread = (columns.var(2, correction=0) + 1e-5).sqrt()
        return self.head(torch.cat([columns.mean(2), spread], 1))


def train(
    maps: Sequence[np.ndarray],
    classes: Sequence[str],
    domains: Sequence[str],
    machines: Sequence[str],
    *,
    epochs: Count,
    batch: Count,
    lr: Positive,
    temperature: Positive,
    alignment: Amount,
    crop: Count,
    seed: int,
    device: str,
) -> tuple[Network, list[dict]]:
    """Return a Network trained on normal clips and its log, a list of {"epoch", "loss", "supcon", "alignment"}.

    maps: (clips) of (5, mels, windows) of any lengths; classes, domains, machines: (clips,) words.
    Each clip gives ``crop`` windows from a random start. AdamW; the rate rises over the first tenth of
    the steps and falls as a cosine. The seed alone decides the result, to the byte, and
    torch's global generator is left as it was. Raises NearfarError for a loss that is not finite and an absent device.
    """
    use_device(device)
    log = []
    with torch_threads(1):
        network = seeded(seed_for(seed, "lccr"), Network, maps[0].shape[1]).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=WEIGHT_DECAY)
        labels = [codes(words).to(device) for words in (classes, machines, domains)]
        progress = bar(range(epochs), "lccr", "epoch")
        for epoch in progress:
            plan = batches(classes, domains, machines, batch=batch, seed=seed, epoch=epoch)
            random = np.random.default_rng(seed_for(seed, "crops", epoch))
            terms = []
            for step, rows in enumerate(plan, 1):
                set_rate(optimizer, lr * warmup_cosine((epoch + step / len(plan)) / epochs, WARMUP))
                embeddings = network(_crops(maps, rows, crop, random).to(device))
                own = [label[rows] for label in labels]
                losses = composite(embeddings, *own, temperature=temperature, weight=alignment)
                terms.append(descend(optimizer, losses, key="features.lccr.train", epoch=epoch))
            means = dict(zip(TERMS, np.mean(terms, axis=0).tolist(), strict=True))
            log.append({"epoch": epoch, **means})
            progress.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
    return network.eval(), log


def _crops(maps, rows, crop, random):
    """Return float32 (rows, 5, mels, crop), each clip from its own random window on."""
    clips = [maps[row] for row in rows]
    starts = [random.integers(max(1, clip.shape[2] - crop + 1)) for clip in clips]
    stacked = np.stack([wrapped(clip, start, crop) for clip, start in zip(clips, starts, strict=True)])
    return torch.from_numpy(stacked.astype(np.float32))


def embed(network: Network, clips: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the embedding, float32 (dims,), of each of an iterable of maps (5, mels, windows).

    Clips go through one by one, so a vector does not depend on its neighbours and lengths are free.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        for clip in clips:
            x = torch.from_numpy(np.asarray(clip, np.float32))[None].to(device)
            yield network(x)[0].cpu().numpy()


def load(path: str | Path) -> tuple[Network, dict]:
    """Return the network, ready to embed, and the parameters of its inputs from a file made by save_network."""
    return load_network(path, "a LCCR network", lambda params: Network(params["mels"]))
