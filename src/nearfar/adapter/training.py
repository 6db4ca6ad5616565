"""Training of a LoRA adapter on a frozen EAT: one universal model for all machines (method.md, Representation).

A pooled embedding goes through an optional projection, which only training knows, into the composite loss over
classes machine × attribute. By default the near channel is trained: it is the one that the density detectors see
and that the paper embeds; the far one is what C1 predicts from it.

Every random choice comes from (seed, epoch, step), so a training that was killed goes on from its last whole epoch
to the same bytes, on a CPU with the number of threads of the settings.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from nearfar.adapter import state as adapter_state
from nearfar.adapter.inputs import load, mix, parts, spec_augment
from nearfar.backbones.eat import EAT
from nearfar.errors import NearfarError
from nearfar.jobs.devices import refuse_absent
from nearfar.jobs.files import replacing
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.learning.losses import codes, composite
from nearfar.learning.sampling import batches
from nearfar.seeds import seed_for

TERMS = ("loss", "supcon", "alignment")
# A pattern, not a list: peft writes a list as a set, in an order that changes with the process. It cannot match the
# patch embedding, local_encoder.proj, as a bare "proj" would.
TARGETS = r"blocks\.\d+\.attn\.(qkv|proj)"


@dataclass(frozen=True)
class Settings:
    """Settings of a training; config/schema.yaml describes each of the configuration's."""

    epochs: int = 4
    batch: int = 32  # clips that a loss sees together
    accumulate: int = 1  # parts in which a batch goes through the model
    lr: float = 1e-3
    warmup: float = 0.1  # share of the steps
    weight_decay: float = 0.01
    rank: int = 32
    alpha: float = 64
    temperature: float = 0.07
    alignment: float = 0.5
    projection: tuple = (128,)  # layer widths; without, an untrained backbone can stay at log(batch)
    time_mask: int = 0  # frames
    mel_mask: int = 0  # bands
    mixup: float = 0.0  # share of the clips
    precision: str = "float32"
    threads: int = 1  # never what the job was given: sums, and so the result, depend on it
    probe_every: int = 0  # epochs, 0 for never
    select: str = "last"
    pooling: str = "columns"
    layers: tuple | None = None


class Trainee(nn.Module):
    """A frozen EAT with its adapter, and the projection: log-mels of one length to what the loss sees."""

    def __init__(self, model, settings):
        super().__init__()
        self.model, self.settings = model, settings
        width, layers = 2 * model.extra_tokens.shape[-1], []
        for dims in settings.projection:
            layers += [nn.Linear(width, dims), nn.ReLU()]
            width = dims
        self.projection = nn.Sequential(*layers[:-1])

    def embed(self, mels, frames):
        """Return the embeddings (B, 2D), float32, of log-mels (B, 1, T, 128) of ``frames`` (B,) real frames."""
        half = self.settings.precision == "bfloat16"
        with torch.autocast(mels.device.type, torch.bfloat16, enabled=half):
            tokens = self.model(mels, layers=self.settings.layers)
        return self.model.pool(tokens.float(), frames, self.settings.pooling)

    def forward(self, mels, frames):
        """Return the projected embeddings (B, dims), not normalised; (B, 2D) without a projection."""
        return self.projection(self.embed(mels, frames))


def trainee(backbone, settings, seed):
    """Return the Trainee of the EAT in folder ``backbone``, its first weights drawn from ``seed``.

    The global random state is left as it was. Importing peft costs 7 s of CPU, as it imports transformers.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=0.0, target_modules=TARGETS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, "adapter"))
        return Trainee(get_peft_model(EAT.load(backbone), config), settings)


def train(backbone, inputs, settings, *, seed=0, device="cpu", state=None, files=(), evaluate=None):
    """Return the trained Trainee, the log and the probe's rows.

    inputs: adapter_inputs.Inputs of normal clips; state: folder for the state of an unfinished training, which is
    resumed where it is of the same settings and ``files`` (what backbone and inputs were read from); evaluate: a
    function of (trainee, epoch) to rows with "auc_mean", called every ``probe_every`` epochs. Log: a list of
    {"epoch" (from 1), "loss", "supcon", "alignment" (unweighted), "chosen"}.

    Raises NearfarError for a loss that is not finite, and for a choice by a probe that there is not.
    """
    refuse_absent(device)
    with torch_threads(settings.threads):
        network = trainee(backbone, settings, seed).to(device).train()
        learned = [parameter for _, parameter in adapter_state.trainable(network)]
        optimizer = torch.optim.AdamW(learned, lr=settings.lr, weight_decay=settings.weight_decay)
        progress = {"log": [], "rows": [], "chosen": settings.epochs, "score": -np.inf, "best": None}
        if state:
            about = asdict(settings) | {"seed": seed, "device": device}
            identity = adapter_state.digest(about, [Path(backbone, "model.safetensors"), *files])
            progress = adapter_state.resume(state, identity, network, optimizer) or progress
        with _progress_bar(inputs, settings, len(progress["log"])) as meter:
            for epoch in range(len(progress["log"]) + 1, settings.epochs + 1):
                progress["log"].append({"epoch": epoch, **_epoch(network, optimizer, inputs, seed, epoch, meter)})
                if evaluate and settings.probe_every and epoch % settings.probe_every == 0:
                    _judge(progress, network.eval(), epoch, evaluate(network, epoch))
                    network.train()
                if state:
                    adapter_state.save(state, identity, network, optimizer, progress)
    _take_chosen(network, progress)
    return network.eval(), progress["log"], progress["rows"]


def _epoch(network, optimizer, inputs, seed, epoch, meter):
    """Train for one epoch, counted from 1; return the mean of each loss term over its steps."""
    settings = network.settings
    plan = _plan(inputs, settings, seed, epoch)
    device = next(network.parameters()).device
    labels = [codes(words) for words in (inputs.classes, inputs.machines, inputs.domains)]
    terms = []
    for step, rows in enumerate(plan, 1):
        optimizer.param_groups[0]["lr"] = settings.lr * rate((epoch - 1 + step / len(plan)) / settings.epochs, settings)
        groups = parts(inputs, rows, -(-len(rows) // settings.accumulate))
        random = np.random.default_rng(seed_for(seed, "augment", epoch, step))
        pieces = [(_augmented(inputs, group, settings, random).to(device), inputs.frames[group]) for group in groups]
        order = np.concatenate(groups)
        optimizer.zero_grad()
        terms.append(gradients(network, pieces, [label[order].to(device) for label in labels], epoch))
        optimizer.step()
        meter.set_postfix({name: f"{value:.3f}" for name, value in zip(TERMS, terms[-1], strict=True)}, refresh=False)
        meter.update(len(rows))
    return dict(zip(TERMS, np.mean(terms, axis=0).tolist(), strict=True))


def gradients(network, pieces, labels, epoch=1):
    """Add the gradient of a batch's composite loss to the network's; return the loss and its two terms as floats.

    pieces: list of (log-mels (B, 1, T, 128), frames (B,)), together the batch; labels: codes of class, machine and
    domain (batch,). Each piece goes through the model by itself, and memory holds one. A contrastive loss is no sum
    over pieces, so it is taken on all embeddings, computed once without gradient, and its gradient with respect to
    them is carried back in a second pass (Gao et al. 2021, "Scaling deep contrastive learning batch size"): the
    result is the whole batch's, whatever the number of pieces.
    """
    settings, whole = network.settings, len(pieces) == 1
    with torch.set_grad_enabled(whole):
        embeddings = torch.cat([network(*piece) for piece in pieces])
    if not whole:
        embeddings.requires_grad_()
    losses = composite(embeddings, *labels, temperature=settings.temperature, weight=settings.alignment)
    values = [float(loss.detach()) for loss in losses]
    if not np.isfinite(values).all():
        raise NearfarError(f"features.eat.adapter: the loss is {values[0]} in epoch {epoch}; lower lr")
    losses[0].backward()
    if not whole:
        for piece, gradient in zip(pieces, embeddings.grad.split([len(mels) for mels, _ in pieces]), strict=True):
            network(*piece).backward(gradient)
    return values


def rate(done, settings):
    """Share of the learning rate after the share ``done`` of all steps: a linear warm-up, then a cosine to 0."""
    if done < settings.warmup:
        return done / settings.warmup
    return 0.5 + 0.5 * np.cos(np.pi * (done - settings.warmup) / max(1 - settings.warmup, 1e-9))


def _plan(inputs, settings, seed, epoch):
    labels = inputs.classes, inputs.domains, inputs.machines
    return batches(*labels, batch=settings.batch, seed=seed, epoch=epoch)


def _augmented(inputs, rows, settings, random):
    """Return the log-mels (B, 1, T, 128) of items ``rows``, of one length, as the settings change them.

    Mix-up is with another clip of the same class among them, at a uniform share of power: its class stays true.
    """
    mels = load(inputs, rows)
    if settings.mixup:
        classes = inputs.classes[rows]
        others = [random.choice(np.flatnonzero(classes == name)) for name in classes]
        share = np.where(random.random(len(rows)) < settings.mixup, random.random(len(rows)), 1.0)
        mels = mix(mels, mels[others], torch.tensor(share, dtype=torch.float32))
    if settings.time_mask or settings.mel_mask:
        spec_augment(mels, inputs.frames[rows], random, settings.time_mask, settings.mel_mask)
    return mels


def _judge(progress, network, epoch, rows):
    """Note the probe's rows and, where the probe chooses, keep the weights of the best epoch so far."""
    progress["rows"] += rows
    if network.settings.select == "probe":
        if not rows:
            raise NearfarError("features.eat.adapter.select: no machine has labelled test clips; set it to last")
        score = float(np.mean([row["auc_mean"] for row in rows]))
        if score > progress["score"]:
            weights = {name: value.detach().clone() for name, value in adapter_state.trainable(network)}
            progress |= {"score": score, "chosen": epoch, "best": weights}


def _take_chosen(network, progress):
    for row in progress["log"]:
        row["chosen"] = row["epoch"] == progress["chosen"]
    if progress["best"]:
        for name, parameter in adapter_state.trainable(network):
            parameter.data.copy_(progress["best"][name])


def embeddings(network, inputs, most=32):
    """Return the embeddings, float32 (items, 2D), of Inputs: the pooled tokens, without the projection."""
    device, result = next(network.parameters()).device, None
    with torch.inference_mode():
        for rows in parts(inputs, np.arange(len(inputs.mels)), most):
            vectors = network.embed(load(inputs, rows).to(device), inputs.frames[rows]).cpu().numpy()
            result = np.empty((len(inputs.mels), vectors.shape[1]), np.float32) if result is None else result
            result[rows] = vectors
    return result


def save(network, folder):
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


def _progress_bar(inputs, settings, done):
    """Return a bar of all clips of all epochs, ``done`` of which an earlier run has trained."""
    clips = sum(map(len, _plan(inputs, settings, 0, 1)))  # the same in every epoch but for a few
    return bar(None, "adapter", total=clips * settings.epochs, initial=clips * done)
