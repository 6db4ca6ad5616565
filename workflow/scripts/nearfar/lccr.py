"""Learned cross-channel representation (LCCR): maps of two channels → small CNN → 128-d embedding.

After "Cross-channel and raw-spectral detector ensembles for first-shot noise-aware anomalous sound
detection", §3; see losses.py for the objective.
"""

from contextlib import contextmanager

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from nearfar.audio import FAR, NEAR, probe, read_clip
from nearfar.errors import NearfarError, naming
from nearfar.features.rtf import band_sums, mel_edges, stft
from nearfar.files import read_arrays, replacing, write_arrays
from nearfar.losses import codes, composite
from nearfar.progress import bar
from nearfar.sampling import batches
from nearfar.seeds import seed_for

MAPS = 5
FLOOR = 1e-10  # of a channel's mean band power


def maps(wave, *, mels=64, n_fft=1024, hop=512, rate=16000):
    """Return the maps of a wave (frames, 2): float16 (5, mels, windows).

    ILD, log10 of the near by the far power (bels); cosine and sine of the IPD, the angle of the
    cross-spectrum near · conj(far) summed over each mel band, of unit length whatever the coherence;
    log10 power (bels) of near and of far, each less its mean over the clip. A gain on both channels
    changes nothing; one on a single channel shifts the ILD only. Raises NearfarError as stft does.
    """
    edges = mel_edges(mels, n_fft, rate)
    spectra = stft(wave, n_fft, hop)
    near, far = (_log_power(spectra[channel], edges) for channel in (NEAR, FAR))
    cross = band_sums(spectra[NEAR] * spectra[FAR].conj(), edges)
    unit = np.exp(1j * np.angle(cross))
    stacked = np.stack([near - far, unit.real, unit.imag, near - near.mean(), far - far.mean()])
    return stacked.swapaxes(1, 2).astype(np.float16)


def _log_power(spectrum, edges):
    power = band_sums(np.abs(spectrum) ** 2, edges)
    return np.log10(np.maximum(power, FLOOR * power.mean()))


def write_maps(paths, out, **params):
    """Write the maps of one machine's clips as ``out``, npy float16 (clips, 5, mels, windows).

    Rows follow ``paths``, which the caller takes from its clips table in that table's order. One clip is in
    memory at a time. Clips shorter than the machine's longest start anew at their end: cutting the
    others would lose sound, and silence would itself be a feature. Raises NearfarError for what read_clip
    refuses, naming the file.
    """
    longest = paths[int(np.argmax([probe(path) for path in paths]))]
    shape = _maps_of(longest, params).shape
    with replacing(out) as temporary, open(temporary, "wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": (len(paths), *shape)}
        np.lib.format.write_array_header_1_0(file, header)
        for path in bar(paths, "maps"):
            file.write(_wrapped(_maps_of(path, params), 0, shape[2]).astype("<f2").tobytes())


def _maps_of(path, params):
    return naming(path, maps, read_clip(path), **params)


def _wrapped(array, start, length):
    """Return ``length`` windows from ``start`` on, beginning anew where the clip ends."""
    return array[:, :, np.arange(start, start + length) % array.shape[2]]


def read_maps(files):
    """Return the maps of all clips of map files in turn, a list of memory-mapped (5, mels, windows)."""
    return [clip for file in files for clip in np.load(file, mmap_mode="r")]


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
    torch's global generator is left as it was. Raises NearfarError for a loss that is not finite.
    """
    log = []
    with _threads(threads):
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


@contextmanager
def _threads(count):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    stacked = np.stack([_wrapped(clip, start, crop) for clip, start in zip(clips, starts, strict=True)])
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
