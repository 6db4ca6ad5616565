"""Learned cross-channel representation (LCCR): maps of two channels → small CNN → 128-d embedding.

After "Cross-channel and raw-spectral detector ensembles for first-shot noise-aware anomalous sound
detection", §3; see losses.py for the objective.
"""

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from nearfar.errors import NearfarError
from nearfar.jobs.devices import refuse_absent
from nearfar.jobs.files import read_arrays, write_arrays
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.lccr.maps import MAPS, maps, wrapped
from nearfar.learning.losses import codes, composite
from nearfar.learning.sampling import batches
from nearfar.seeds import seed_for


class Network(nn.Module):
    """CNN (batch, 5, mels, windows) → (batch, dims), about 0.13 M parameters, for any number of windows.

    Four strided convolutions halve both axes; mean and standard deviation over time keep what position
    on the frequency axis is left.
    """

    def __init__(self, mels=64, dims=128, widths=(32, 48, 64, 56)):
        super().__init__()
        layers = [nn.BatchNorm2d(MAPS)]
        for before, after in zip((MAPS, *widths), widths, strict=False):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(2 * widths[-1] * -(-mels // 2 ** len(widths)), dims)

    def forward(self, x):
        """Return embeddings, not normalised."""
        columns = self.trunk(x).flatten(1, 2)  # (batch, channels * bands, windows)
        # the small term keeps the gradient of the root finite where a clip is one column long
        spread = (columns.var(2, correction=0) + 1e-5).sqrt()
        return self.head(torch.cat([columns.mean(2), spread], 1))


def train(
    maps_by_clip, classes, domains, machines, *,
    epochs=20, batch=64, lr=2e-3, temperature=0.07, alignment=0.5, crop=64, seed=0, threads=1, device="cpu",
):  # fmt: skip
    """Return a Network trained on normal clips and its log, a list of {"epoch", "loss", "supcon", "alignment"}.

    maps_by_clip: sequence of (5, mels, windows) of any lengths; classes, domains, machines: (clips,) words.
    Each clip gives ``crop`` windows from a random start. AdamW; the rate rises over the first tenth of
    the steps and falls as a cosine. The seed alone decides the result (to the byte with one thread), and
    torch's global generator is left as it was. Raises NearfarError for a loss that is not finite and an absent device.
    """
    refuse_absent(device)
    log = []
    with torch_threads(threads):
        network = _initial(maps_by_clip[0].shape[1], seed).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=1e-2)
        labels = [codes(words).to(device) for words in (classes, machines, domains)]
        progress = bar(range(epochs), "lccr", "epoch")
        for epoch in progress:
            plan = batches(classes, domains, machines, batch=batch, seed=seed, epoch=epoch)
            random = np.random.default_rng(seed_for(seed, "crops", epoch))
            terms = []
            for step, rows in enumerate(plan, 1):
                for group in optimizer.param_groups:
                    group["lr"] = lr * _rate((epoch + step / len(plan)) / epochs)
                embeddings = network(_crops(maps_by_clip, rows, crop, random).to(device))
                batch_labels = [label[rows] for label in labels]
                losses = composite(embeddings, *batch_labels, temperature=temperature, weight=alignment)
                terms.append(_step(optimizer, losses, epoch))
            means = dict(zip(("loss", "supcon", "alignment"), np.mean(terms, axis=0).tolist(), strict=True))
            log.append({"epoch": epoch, **means})
            progress.set_postfix({name: f"{value:.3f}" for name, value in means.items()})
    return network.eval(), log


def _initial(mels, seed):
    """A network whose first weights depend on the seed only; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "lccr"))
        return Network(mels=mels)


def _rate(done):
    """Share of the learning rate after the share ``done`` of the steps: linear to 0.1, then a cosine to 0."""
    return done / 0.1 if done < 0.1 else 0.5 + 0.5 * np.cos(np.pi * (done - 0.1) / 0.9)


def _crops(maps_by_clip, rows, crop, random):
    """Return float32 (rows, 5, mels, crop), each clip from its own random window on."""
    clips = [maps_by_clip[row] for row in rows]
    starts = [random.integers(max(1, clip.shape[2] - crop + 1)) for clip in clips]
    stacked = np.stack([wrapped(clip, start, crop) for clip, start in zip(clips, starts, strict=True)])
    return torch.from_numpy(stacked.astype(np.float32))


def _step(optimizer, losses, epoch):
    """Descend on the first of the losses; return them as floats."""
    values = [float(loss.detach()) for loss in losses]
    if not np.isfinite(values).all():
        raise NearfarError(f"features.lccr.train: the loss is {values[0]} in epoch {epoch}; lower lr")
    optimizer.zero_grad()
    losses[0].backward()
    optimizer.step()
    return values


def embed(network, clips):
    """Yield the embedding, float32 (dims,), of each of an iterable of maps (5, mels, windows).

    Clips go through one by one, so a vector does not depend on its neighbours and lengths are free.
    """
    device = next(network.parameters()).device
    with torch.inference_mode():
        for clip in clips:
            x = torch.from_numpy(np.asarray(clip, np.float32))[None].to(device)
            yield network(x)[0].cpu().numpy()


def save(network, params, path):
    """Write a network and the parameters of its maps as one safetensors file, complete with defaults."""
    arrays = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
    write_arrays(path, arrays, params={**maps.__kwdefaults__, **params})


def load(path):
    """Return the network, ready to embed, and the parameters of its maps from a file made by save.

    Raises NearfarError, naming the file, where it is missing, not such a file, or of another network.
    """
    try:
        arrays, metadata = read_arrays(path)
        network = Network(mels=metadata["params"]["mels"])
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        # safetensors' numpy side knows no 0-d arrays, hence the reshape; it refuses another size
        state = {name: torch.from_numpy(value).reshape(shapes[name]) for name, value in arrays.items()}
        network.load_state_dict(state)
    except (OSError, SafetensorError, KeyError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise NearfarError(f"{path}: not a LCCR network of this version ({reason}); train it again") from error
    return network.eval(), metadata["params"]
