"""Self-supervised pre-training of an EAT (nearfar.pretraining.objective), resumable to the byte: file to file."""

import copy
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import nn

from nearfar.backbones.eat import EAT
from nearfar.backbones.fbank import MELS, PADDING, PATCH, ROWS
from nearfar.errors import NearfarError
from nearfar.jobs.devices import use_device
from nearfar.jobs.files import replacing, write_table
from nearfar.jobs.kinds import Amount, Count, Positive, Share
from nearfar.jobs.progress import bar
from nearfar.jobs.threads import torch_threads
from nearfar.learning.resume import identity, read_state, write_state
from nearfar.learning.schedule import seeded, set_rate, warmup_cosine
from nearfar.pretraining import objective
from nearfar.seeds import seed_for

WARMUP = 0.1  # share of the steps in which the learning rate rises
CLIP_NORM, DECAY, BETAS = 4.0, 0.05, (0.9, 0.95)
COLLAPSED = 0.1  # target_sd below which all targets are about the same; about 1 in a healthy run
TERMS = ("loss", "frame", "utterance", "statistics", "target_sd", "prediction_sd")


def pretrain(
    inputs: str | Path,
    outputs: dict[str, str | Path],
    *,
    config: dict,
    seed: int,
    device: str,
    interval: Count,
    **settings: int | float | list,
) -> None:
    """Write an EAT of ``config`` that is pre-trained on the .npy file ``inputs``, its log and a plot.

    outputs: paths of config (config.json), weights (model.safetensors beside it), log (parquet) and plot (png);
    interval: steps from one written state to the next; settings: as of Run. A run that was killed goes on from the
    state beside its outputs, where that is of the same inputs, config, seed and settings, to the same bytes.
    Raises NearfarError for a loss that is not finite and for collapsed targets.
    """
    use_device(device)
    folder, mels = Path(outputs["weights"]).parent, np.load(inputs, mmap_mode="r")
    state, about = folder / "state.pt", settings | {"config": config, "seed": seed, "device": device}
    whose = identity(about, [inputs], "src/nearfar/pretraining/run.py")
    with torch_threads(1):
        run = Run(config, mels, seed=seed, device=device, **settings)
        run.restore(read_state(state, whose))
        progress = bar(range(run.step, run.steps), "pretraining", "step")
        for _ in progress:
            progress.set_postfix({name: f"{value:.3g}" for name, value in run.learn().items()})
            if run.step % interval == 0 or run.step == run.steps:
                write_state(state, whose, run.state())
    write_table(outputs["log"], pa.Table.from_pylist(run.log))
    plot(run.log, outputs["plot"])
    run.teacher.save(folder)
    state.unlink(missing_ok=True)


class Run:
    """A student, its decoder and head, its teacher and their optimiser after ``step`` steps; ``log`` is a row a step.

    config: sizes of the EAT; mels: its inputs (examples, frames, 128). steps: in all; batch: examples a step;
    clones: masked views of each; lr: highest learning rate; decay: first and last decay of the teacher;
    utterance: weight of the utterance loss; statistics: weight of the statistics loss, 0 for EAT's own objective;
    elsewhere: share of the steps in which the examples stand at a random place of the positions and not at their
    beginning, so that longer clips find trained ones.
    """

    def __init__(
        self,
        config: dict,
        mels: np.ndarray,
        *,
        steps: Count,
        batch: Count,
        clones: Count,
        lr: Positive,
        decay: list[Share],
        utterance: Amount,
        statistics: Amount,
        elsewhere: Share,
        seed: int,
        device: str,
    ):
        self.mels, self.seed, self.device, self.steps = mels, seed, device, steps
        self.batch, self.clones, self.lr, self.decay = min(batch, len(mels)), clones, lr, decay
        self.utterance, self.statistics, self.elsewhere = utterance, statistics, elsewhere
        self.frames = int((mels[0] != PADDING).any(1).sum())
        self.centre, self.spread = (value.to(device) for value in _scale(mels, self.frames))
        self.step, self.log = 0, []
        student = EAT.untrained(config, seed_for(seed, "student"))
        self.teacher = copy.deepcopy(student).to(device)
        dim = student.extra_tokens.shape[2]
        decoder = seeded(seed_for(seed, "decoder"), objective.Decoder, dim)
        head = seeded(seed_for(seed, "head"), nn.Linear, 2 * dim, 2 * MELS)
        self.trained = nn.ModuleDict({"student": student, "decoder": decoder, "head": head}).to(device).train()
        self.optimizer = torch.optim.AdamW(_groups(self.trained), lr=lr, betas=BETAS)

    def learn(self) -> dict[str, float]:
        """Do the next step; return its terms, which go into the log. Raises NearfarError as pretrain does."""
        step = self.step
        set_rate(self.optimizer, self.lr * warmup_cosine((step + 1) / self.steps, WARMUP))
        terms = self._terms(torch.from_numpy(self.mels[self._rows(step)].astype(np.float32))[:, None], step)
        row = {"step": step} | {name: float(terms[name].detach()) for name in TERMS}
        _refuse_ill(row)
        self.optimizer.zero_grad()
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(self.trained.parameters(), CLIP_NORM)
        self.optimizer.step()
        first, last = self.decay
        objective.follow(self.teacher, self.trained["student"], first + (last - first) * step / max(1, self.steps - 1))
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
        masks = torch.from_numpy(objective.inverse_block_masks(views, columns, rng)).to(self.device)
        noise = objective.MASK_NOISE * torch.randn(*masks.shape, student.extra_tokens.shape[2], generator=generator)
        mels = mels.to(self.device)
        with torch.no_grad():
            y = objective.targets(self.teacher, placed(self.teacher, mels, start))
        patches = placed(student, mels, start)
        frames, cls = objective.predictions(student, self.trained["decoder"], patches, masks, noise.to(self.device))
        terms = objective.losses(frames, cls, y, masks)
        wanted = (objective.statistics(mels[:, 0], self.frames) - self.centre) / self.spread
        terms["statistics"] = objective.statistics_loss(student, self.trained["head"], patches, self.frames, wanted)
        weighted = self.utterance * terms["utterance"] + self.statistics * terms["statistics"]
        return terms | {"loss": terms["frame"] + weighted}

    def state(self) -> dict:
        """Return everything the next step depends on, with the log, as restore takes it."""
        return {
            "step": self.step,
            "log": self.log,
            **{name: getattr(self, name).state_dict() for name in ("trained", "teacher", "optimizer")},
        }

    def restore(self, state: dict | None) -> None:
        """Go on from a ``state``, where there is one."""
        if state is not None:
            self.step, self.log = state["step"], state["log"]
            for name in ("trained", "teacher", "optimizer"):
                getattr(self, name).load_state_dict(state[name])


def placed(model: EAT, mels: torch.Tensor, start: int) -> torch.Tensor:
    """Return the patches (B, N, D) of inputs (B, 1, T, 128) as if they stood ``start`` time columns into a clip."""
    if not start:
        return model.patches(mels)
    patches, first = model.local_encoder(mels), ROWS * start
    return patches + model.fixed_positional_encoder.positions[:, first : first + patches.shape[1]]


def plot(log: list[dict], path: str | Path) -> None:
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


def _scale(mels, frames):
    """Return the mean and standard deviation (256,) over the examples of what objective.statistics says of each.

    A band that never changes, since no bin of the spectrum falls into it, gets a small one and so a constant target.
    """
    parts = (mels[i : i + 100].astype(np.float32) for i in range(0, len(mels), 100))
    found = torch.cat([objective.statistics(torch.from_numpy(part), frames) for part in parts])
    return found.mean(0), found.std(0, correction=0).clamp(min=1e-3)


def _groups(module):
    """Return the parameter groups for AdamW: no weight decay on biases and norms; frozen parameters left out."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _refuse_ill(row):
    """Raise NearfarError where a step's loss is not finite or its targets are all about the same."""
    if not np.isfinite(row["loss"]):
        raise NearfarError(f"pretraining.train: the loss is {row['loss']} in step {row['step']}; lower lr")
    if row["target_sd"] < COLLAPSED:
        raise NearfarError(
            f"pretraining.train: the targets have collapsed in step {row['step']} (standard deviation"
            f" {row['target_sd']:.3f}); lower lr or raise decay"
        )
