"""Self-supervised pre-training of an EAT (nearfar.ufo), resumable to the byte: file to file."""

import copy
import hashlib
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nearfar.backbones.eat import EAT
from nearfar.backbones.fbank import MEAN, MELS, PATCH, ROWS, STD
from nearfar.errors import NearfarError
from nearfar.jobs.devices import refuse_absent
from nearfar.jobs.files import read_arrays, replacing, write_arrays, write_table
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.pretraining import objective as ufo
from nearfar.seeds import seed_for

WARMUP = 0.1  # share of the steps in which the learning rate rises
CLIP_NORM, DECAY, BETAS = 4.0, 0.05, (0.9, 0.95)
COLLAPSED = 0.1  # target_sd below which all targets are about the same; about 1 in a healthy run
PADDING = np.float16(-MEAN / (2 * STD))  # what fbank.eat_input puts where a clip has no frame
TERMS = ("loss", "frame", "utterance", "statistics", "target_sd", "prediction_sd")


def pretrain(inputs, outputs, *, config, seed, device="cpu", threads=1, **settings):
    """Write an EAT of ``config`` that is pre-trained on the .npy file ``inputs``, its log and a plot.

    outputs: paths of config (config.json), weights (model.safetensors beside it), log (parquet) and plot (png).
    settings: as of Run. A run that was killed goes on from the checkpoint beside its outputs, where that is of the
    same inputs, config, seed and settings, to the same bytes (on one thread).
    Raises NearfarError for a loss that is not finite and for collapsed targets.
    """
    refuse_absent(device)
    folder, mels = Path(outputs["weights"]).parent, np.load(inputs, mmap_mode="r")
    checkpoint = folder / "checkpoint.safetensors"
    with torch_threads(threads):
        run = Run(config, mels, seed=seed, device=device, **settings)
        run.restore(checkpoint)
        progress = bar(range(run.step, run.steps), "pretraining", "step")
        for _ in progress:
            progress.set_postfix({name: f"{value:.3g}" for name, value in run.learn().items()})
            if run.step % run.interval == 0 or run.step == run.steps:
                run.save(checkpoint)
    write_table(outputs["log"], {name: [row[name] for row in run.log] for name in ("step", *TERMS)})
    plot(run.log, outputs["plot"])
    run.teacher.save(folder)
    checkpoint.unlink(missing_ok=True)


class Run:
    """A student, its decoder and head, its teacher and their optimiser after ``step`` steps; ``log`` is a row a step.

    config: sizes of the EAT; mels: its inputs (examples, frames, 128). steps: in all; batch: examples a step;
    clones: masked views of each; lr: highest learning rate; decay: first and last decay of the teacher;
    utterance: weight of the utterance loss; statistics: weight of the statistics loss, 0 for EAT's own objective;
    elsewhere: share of the steps in which the examples stand at a random place of the positions and not at their
    beginning, so that longer clips find trained ones; interval: steps from one checkpoint to the next.
    """

    def __init__(
        self, config, mels, *, seed, device="cpu",
        steps, batch=32, clones=4, lr=1e-3, decay=(0.99, 0.999), utterance=1.0, statistics=0.0, elsewhere=0.5,
        interval=50,
    ):  # fmt: skip
        self.mels, self.seed, self.device, self.steps, self.interval = mels, seed, device, steps, interval
        self.batch, self.clones, self.lr, self.decay = min(batch, len(mels)), clones, lr, decay
        self.utterance, self.statistics, self.elsewhere = utterance, statistics, elsewhere
        settings = steps, batch, clones, lr, decay, utterance, statistics, elsewhere
        self.fingerprint = _fingerprint(mels, config, seed, *settings)
        self.frames = int((mels[0] != PADDING).any(1).sum())
        self.centre, self.spread = (value.to(device) for value in _scale(mels, self.frames))
        self.step, self.log = 0, []
        student = EAT.untrained(config, seed_for(seed, "student"))
        self.teacher = copy.deepcopy(student).to(device)
        dim = student.extra_tokens.shape[2]
        decoder = _seeded(seed_for(seed, "decoder"), ufo.Decoder, dim)
        head = _seeded(seed_for(seed, "head"), nn.Linear, 2 * dim, 2 * MELS)
        self.trained = nn.ModuleDict({"student": student, "decoder": decoder, "head": head}).to(device).train()
        self.optimizer = torch.optim.AdamW(_groups(self.trained), lr=lr, betas=BETAS)

    def learn(self):
        """Do the next step; return its terms, which go into the log. Raises NearfarError as pretrain does."""
        step = self.step
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * _rate((step + 1) / self.steps)
        terms = self._terms(torch.from_numpy(self.mels[self._rows(step)].astype(np.float32))[:, None], step)
        row = {"step": step} | {name: float(terms[name].detach()) for name in TERMS}
        _refuse_ill(row)
        self.optimizer.zero_grad()
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(self.trained.parameters(), CLIP_NORM)
        self.optimizer.step()
        first, last = self.decay
        ufo.follow(self.teacher, self.trained["student"], first + (last - first) * step / max(1, self.steps - 1))
        self.step = step + 1
        self.log.append(row)
        return row

    def _rows(self, step):
        """Return the rows of a step: batches of a new order in each epoch; what does not fill a batch is left."""
        epoch, k = divmod(step, len(self.mels) // self.batch)
        order = np.random.default_rng(seed_for(self.seed, "order", epoch)).permutation(len(self.mels))
        return np.sort(order[k * self.batch : (k + 1) * self.batch])  # sorted: read from the disk in one direction

    def _terms(self, mels, step):
        """Return the objective's terms on inputs (B, 1, T, 128); all that is random hangs on seed and step."""
        student, columns, views = self.trained["student"], mels.shape[2] // PATCH, len(mels) * self.clones
        rng = np.random.default_rng(seed_for(self.seed, "step", step))
        generator = torch.Generator().manual_seed(seed_for(self.seed, "noise", step))
        latest = student.fixed_positional_encoder.positions.shape[1] // ROWS - columns
        start = int(rng.integers(latest + 1)) if rng.random() < self.elsewhere else 0
        masks = torch.from_numpy(ufo.inverse_block_masks(views, columns, rng)).to(self.device)
        noise = ufo.MASK_NOISE * torch.randn(*masks.shape, student.extra_tokens.shape[2], generator=generator)
        mels = mels.to(self.device)
        with torch.no_grad():
            y = ufo.targets(self.teacher, placed(self.teacher, mels, start))
        patches = placed(student, mels, start)
        frames, cls = ufo.predictions(student, self.trained["decoder"], patches, masks, noise.to(self.device))
        terms = ufo.losses(frames, cls, y, masks)
        wanted = (ufo.statistics(mels[:, 0], self.frames) - self.centre) / self.spread
        terms["statistics"] = ufo.statistics_loss(student, self.trained["head"], patches, self.frames, wanted)
        weighted = self.utterance * terms["utterance"] + self.statistics * terms["statistics"]
        return terms | {"loss": terms["frame"] + weighted}

    def save(self, path):
        """Write everything the next step depends on, with the log, as one safetensors file."""
        arrays = {f"trained.{name}": value for name, value in self.trained.state_dict().items()}
        arrays |= {f"teacher.{name}": value for name, value in self.teacher.state_dict().items()}
        for name, parameter in self.trained.named_parameters():
            for moment in ("exp_avg", "exp_avg_sq"):
                if parameter in self.optimizer.state:
                    arrays[f"{moment}.{name}"] = self.optimizer.state[parameter][moment]
        arrays = {name: value.detach().cpu().numpy() for name, value in arrays.items()}
        write_arrays(path, arrays, fingerprint=self.fingerprint, step=self.step, log=self.log)

    def restore(self, path):
        """Go on from the checkpoint at ``path``; one that is absent, unreadable or of another run is ignored."""
        from safetensors import SafetensorError

        with suppress(OSError, SafetensorError, ValueError):
            arrays, metadata = read_arrays(path)
            if metadata.get("fingerprint") == self.fingerprint:
                self.step, self.log = metadata["step"], metadata["log"]
                self._restore({name: torch.from_numpy(value).to(self.device) for name, value in arrays.items()})

    def _restore(self, tensors):
        for prefix, module in (("trained.", self.trained), ("teacher.", self.teacher)):
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(own)
        for name, parameter in self.trained.named_parameters():
            if f"exp_avg.{name}" in tensors:  # frozen parameters have no moments
                moments = {moment: tensors[f"{moment}.{name}"] for moment in ("exp_avg", "exp_avg_sq")}
                self.optimizer.state[parameter] = {"step": torch.tensor(float(self.step))} | moments


def placed(model, mels, start):
    """Return the patches (B, N, D) of inputs (B, 1, T, 128) as if they stood ``start`` time columns into a clip."""
    if not start:
        return model.patches(mels)
    patches, first = model.local_encoder(mels), ROWS * start
    return patches + model.fixed_positional_encoder.positions[:, first : first + patches.shape[1]]


def plot(log, path):
    """Draw the loss terms and the two standard deviations over the steps as a png."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, names in zip(figure.subplots(2, 1, sharex=True), (TERMS[:-2], TERMS[-2:]), strict=True):
        for name in names:
            axes.plot([row["step"] for row in log], [row[name] for row in log], label=name, linewidth=0.8)
        axes.legend()
        axes.grid(alpha=0.3)
    figure.axes[0].set_yscale("log")
    figure.axes[1].set(xlabel="step", ylim=(0, None))
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})


def _fingerprint(mels, *settings):
    """Return a text that tells runs apart, by settings and by the shape, the first and the last of the inputs."""
    ends = np.ascontiguousarray(mels[[0, -1]]).tobytes()
    return hashlib.sha256(json.dumps([mels.shape, *settings]).encode() + ends).hexdigest()


def _scale(mels, frames):
    """Return the mean and standard deviation (256,) over the examples of what ufo.statistics says of each.

    A band that never changes, since no bin of the spectrum falls into it, gets a small one and so a constant target.
    """
    parts = (mels[i : i + 100].astype(np.float32) for i in range(0, len(mels), 100))
    found = torch.cat([ufo.statistics(torch.from_numpy(part), frames) for part in parts])
    return found.mean(0), found.std(0, correction=0).clamp(min=1e-3)


def _seeded(seed, make, *sizes):
    """Return a module whose first weights depend on the seed only; the global generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(*sizes)


def _groups(module):
    """Return the parameter groups for AdamW: no weight decay on biases and norms; frozen parameters left out."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _rate(done):
    """Share of the learning rate after the share ``done`` of the steps: linear to WARMUP, then a cosine to 0."""
    return done / WARMUP if done < WARMUP else 0.5 + 0.5 * np.cos(np.pi * (done - WARMUP) / (1 - WARMUP))


def _refuse_ill(row):
    """Raise NearfarError where a step's loss is not finite or its targets are all about the same."""
    if not np.isfinite(row["loss"]):
        raise NearfarError(f"pretraining.train: the loss is {row['loss']} in step {row['step']}; lower lr")
    if row["target_sd"] < COLLAPSED:
        raise NearfarError(
            f"pretraining.train: the targets have collapsed in step {row['step']} (standard deviation"
            f" {row['target_sd']:.3f}); lower lr or raise decay"
        )
