"""Training of a LoRA adapter on a frozen EAT: one universal model for all machines (method.md, Representation).

A pooled embedding goes through an optional projection, which only training knows, into the composite loss over
classes machine × attribute. By default the near channel is trained: it is the one that the density detectors see
and that the paper embeds; the far one is what C1 predicts from it.

Every random choice comes from (seed, epoch, step), so a training that was killed goes on from its last whole epoch
to the same bytes, on a CPU with the number of threads of the settings.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from nearfar.adapter.inputs import Inputs, by_length, load
from nearfar.backbones.eat import EAT
from nearfar.backbones.fbank import ROWS
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import replacing
from nearfar.jobs.kinds import Amount, Count, Positive, Share
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.learning.losses import TERMS, codes, composite
from nearfar.learning.resume import identity, read_state, write_state
from nearfar.learning.sampling import batches
from nearfar.learning.schedule import descend, seeded, set_rate, warmup_cosine
from nearfar.seeds import seed_for

# A pattern, not a list: peft writes a list as a set, in an order that changes with the process. It cannot match the
# patch embedding, local_encoder.proj, as a bare "proj" would.
TARGETS = r"blocks\.\d+\.attn\.(qkv|proj)"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of a training, those of ``features.eat.adapter`` and the pooling; config/schema.yaml describes each."""

    epochs: Count
    batch: Count
    lr: Positive
    warmup: Share
    weight_decay: Amount
    rank: Count
    alpha: Positive
    temperature: Positive
    alignment: Amount
    projection: list[Count]  # without, an untrained backbone can stay at a loss of log(batch)
    precision: str
    threads: Count  # never what the job was given: sums, and so the result, depend on it
    pooling: str
    layers: list[Count] | None


class Trainee(nn.Module):
    """A frozen EAT with its adapter, and the projection: log-mels of one length to what the loss sees."""

    def __init__(self, model: nn.Module, settings: Settings):
        super().__init__()
        self.model, self.settings = model, settings
        width, layers = 2 * model.extra_tokens.shape[-1] * (ROWS if settings.pooling == "bands" else 1), []
        for dims in settings.projection:
            layers += [nn.Linear(width, dims), nn.ReLU()]
            width = dims
        self.projection = nn.Sequential(*layers[:-1])

    def embed(self, mels: torch.Tensor, frames: np.ndarray) -> torch.Tensor:
        """Return the embeddings (B, 2D), float32, of log-mels (B, 1, T, 128) of ``frames`` (B,) real frames."""
        half = self.settings.precision == "bfloat16"
        with torch.autocast(mels.device.type, torch.bfloat16, enabled=half):
            tokens = self.model(mels, layers=self.settings.layers)
        return self.model.pool(tokens.float(), frames, self.settings.pooling)

    def forward(self, mels: torch.Tensor, frames: np.ndarray) -> torch.Tensor:
        """Return the projected embeddings (B, dims), not normalised; (B, 2D) without a projection."""
        return self.projection(self.embed(mels, frames))

    def learned(self) -> dict[str, nn.Parameter]:
        """Return what is trained, by name: the adapter and the projection."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}


def trainee(backbone: str | Path, settings: Settings, seed: int) -> Trainee:
    """Return the Trainee of the EAT in folder ``backbone``, its first weights drawn from ``seed``.

    The global random state is left as it was. Importing peft costs 7 s of CPU, as it imports transformers.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=0.0, target_modules=TARGETS)

    def make():
        return Trainee(get_peft_model(EAT.load(backbone), config), settings)

    return seeded(seed_for(seed, "adapter"), make)


def train(
    backbone: str | Path,
    inputs: Inputs,
    settings: Settings,
    *,
    seed: int,
    device: str,
    state: str | Path | None = None,
    files: Iterable[str | Path] = (),
) -> tuple[Trainee, list[dict]]:
    """Return the trained Trainee and the log, a list of {"epoch" (from 1), "loss", "supcon", "alignment" (unweighted)}.

    backbone: folder; inputs: of normal clips; state: file for the state of an unfinished training, which is resumed
    where it is of the same settings and ``files`` (what the inputs were read from).

    Raises NearfarError for an absent device and for a loss that is not finite.
    """
    use_device(device)
    with torch_threads(settings.threads):
        network = trainee(backbone, settings, seed).to(device).train()
        learned = network.learned()
        optimizer = torch.optim.AdamW(learned.values(), lr=settings.lr, weight_decay=settings.weight_decay)
        log, whose = [], None
        if state:
            about = asdict(settings) | {"seed": seed, "device": device}
            whose = identity(about, [Path(backbone, "model.safetensors"), *files], "src/nearfar/adapter/training.py")
            log = _resumed(network, optimizer, read_state(state, whose))
        with _progress_bar(inputs, settings, len(log)) as meter:
            for epoch in range(len(log) + 1, settings.epochs + 1):
                log.append({"epoch": epoch, **_epoch(network, optimizer, inputs, seed, epoch, meter)})
                if state:
                    write_state(state, whose, {"learned": learned, "optimizer": optimizer.state_dict(), "log": log})
    return network.eval(), log


def _resumed(network, optimizer, state):
    """Put a state of ``train``, if there is one, into the network and the optimizer; return the log so far."""
    if state is None:
        return []
    network.load_state_dict(state["learned"], strict=False)  # the frozen backbone is not in it
    optimizer.load_state_dict(state["optimizer"])
    return state["log"]


def _epoch(network, optimizer, inputs, seed, epoch, meter):
    """Train for one epoch, counted from 1; return the mean of each loss term over its steps."""
    settings, device = network.settings, next(network.parameters()).device
    plan = _plan(inputs, settings, seed, epoch)
    labels = [codes(words) for words in (inputs.classes, inputs.machines, inputs.domains)]
    terms = []
    for step, rows in enumerate(plan, 1):
        done = (epoch - 1 + step / len(plan)) / settings.epochs
        set_rate(optimizer, settings.lr * warmup_cosine(done, settings.warmup))
        groups = by_length(inputs, rows)
        embeddings = torch.cat([network(load(inputs, group).to(device), inputs.frames[group]) for group in groups])
        own = [label[np.concatenate(groups)].to(device) for label in labels]
        losses = composite(embeddings, *own, temperature=settings.temperature, weight=settings.alignment)
        terms.append(descend(optimizer, losses, key="features.eat.adapter", epoch=epoch))
        meter.set_postfix({name: f"{value:.3f}" for name, value in zip(TERMS, terms[-1], strict=True)}, refresh=False)
        meter.update(len(rows))
    return dict(zip(TERMS, np.mean(terms, axis=0).tolist(), strict=True))


def _plan(inputs, settings, seed, epoch):
    labels = inputs.classes, inputs.domains, inputs.machines
    return batches(*labels, batch=settings.batch, seed=seed, epoch=epoch)


def _progress_bar(inputs, settings, done):
    """Return a bar of all clips of all epochs, ``done`` of which an earlier run has trained."""
    clips = sum(map(len, _plan(inputs, settings, 0, 1)))  # the same in every epoch but for a few
    return bar(None, "adapter", total=clips * settings.epochs, initial=clips * done)


def save(network: Trainee, folder: str | Path) -> None:
    """Write the adapter in peft's format to ``folder``/adapter, and the merged EAT, in the hub's layout, to folder.

    The network is changed: its adapter is merged for good.
    """
    folder, model = Path(folder), network.model.cpu()
    with TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)  # and a model card for the hub, which is left out
        for name in ("adapter_config.json", "adapter_model.safetensors"):
            with replacing(folder / "adapter" / name) as path:
                path.write_bytes(Path(temporary, name).read_bytes())
    model.merge_and_unload().save(folder)
