"""The optimizer, the workers, the adapters and the exports of a training run."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import ABOVE_0, AT_LEAST_1, BELOW_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import NOTHING, setting


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW as the paper sets it, scaled to the recipe."""

    lr: float = setting(1e-4, "Learning rate after warm-up", decides="training")
    weight_decay: float = setting(0.01, "Weight decay", decides="training")
    beta1: float = setting(0.9, "Decay of the first moment", decides="training")
    beta2: float = setting(0.999, "Decay of the second moment", decides="training")
    warmup: float = setting(0.05, "Share of the steps over which the learning rate rises", decides="training")
    clip: float = setting(
        1.0, "Largest norm of the gradient; larger ones are scaled down, inf = never", decides="training"
    )
    ema: float = setting(
        0.9999,
        "Decay of the moving average, with warm-up min(ema, (1 + n) / (10 + n)) at step n (ours)",
        decides="training",
    )
    batch: int = setting(1, "Samples in one forward of one worker", decides="training")
    accumulate: int = setting(8, "Forwards in one step, over all workers", decides="training")
    steps: int = setting(1250, "Optimizer steps of the run", decides="training")
    extend: tuple[int, ...] = setting(
        (),
        "Further steps after optim.steps, to train longer than was planned: each number is a cycle of its own, over "
        "which the learning rate rises and falls as over optim.steps. An ended run goes on with one more number",
        decides="training",
        before=(),
    )

    def __post_init__(self):
        check(self, AT_LEAST_1, "batch", "accumulate", "steps")
        check(self, POSITIVE, "lr")
        check(self, ABOVE_0, "clip")
        check(self, NOT_NEGATIVE, "weight_decay")
        check(self, BELOW_1, "beta1", "beta2", "ema", "warmup")
        require(min(self.extend, default=1) > 0, f"optim.extend={self.extend}: every number of steps is at least 1")

    @property
    def total(self) -> int:
        """All steps of the run, those of ``extend`` included."""
        return self.steps + sum(self.extend)


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters instead of the whole student; everything else of a run is the same."""

    rank: int = setting(0, "Rank of every adapter; 0 = train all weights", decides="training")
    alpha: int = setting(0, "Scale of an adapter is alpha / rank; 0 = rank", decides="training")
    targets: tuple[str, ...] = setting(
        ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj"),
        "Linear layers that get an adapter, by the end of their name, such as to_q or ffn.net.2",
        decides="training",
    )

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "rank", "alpha")
        require(
            self.rank == 0 or len(self.targets) > 0,
            "lora.rank > 0 without lora.targets: name linear layers, e.g. lora.targets=to_q,to_v, or set lora.rank=0",
        )

    @property
    def scale(self) -> float:
        """The factor of an adapter's output."""
        return (self.alpha or self.rank) / self.rank


@dataclass(frozen=True, kw_only=True)
class Train:
    """The workers, their memory, checkpoints and logging."""

    workers: int = setting(1, "Student workers", decides=NOTHING)
    min_workers: int = setting(
        0,
        "Fewest workers to continue with while nodes are missing; 0 = wait for all. Ray counts whole nodes, "
        "so the teachers' part must be free too",
        decides=NOTHING,
    )
    checkpoint_every: int = setting(100, "Steps between checkpoints; 0 = use checkpoint_minutes alone", decides=NOTHING)
    checkpoint_minutes: float = setting(
        0.0, "Minutes between checkpoints; 0 = use checkpoint_every alone", decides=NOTHING
    )
    keep: int = setting(2, "Checkpoints to keep", decides=NOTHING)
    resume: int = setting(
        0,
        "Step of an older checkpoint to go on from, once; later ones are dropped. 0 = the newest. train.keep says how "
        "many there are",
        decides=NOTHING,
    )
    notice: bool = setting(
        True, "Whether to save at once on a preemption notice and continue on the remaining nodes", decides=NOTHING
    )
    notice_s: float = setting(
        10.0,
        "Seconds before a preemption that saving needs; with less left the run restarts from the last checkpoint",
        decides=NOTHING,
    )
    log_every: int = setting(10, "Steps between log records", decides=NOTHING)
    max_failures: int = setting(3, "Restarts of workers before the run gives up", decides=NOTHING)
    gpus_per_worker: int = setting(0, "GPUs of a worker; 0 = CPU", decides=NOTHING)
    dtype: Literal["float32", "bfloat16"] = setting(
        "float32", "Precision that the student computes in; master weights are float32", decides="training"
    )
    shard: int = setting(
        0, "Workers that parameters are sharded over, with replicas across them (HSDP); 0 = all", decides=NOTHING
    )
    reduce: Literal["last", "each"] = setting(
        "last",
        "Forwards of a step that communicate gradients: the last, or each, which needs less memory",
        decides=NOTHING,
    )
    offload: Literal["none", "optimizer", "all"] = setting(
        "none", "What is kept in host memory: nothing, the optimizer's moments, or the weights as well", decides=NOTHING
    )
    recompute: Literal["none", "full", "selective"] = setting(
        "none",
        "Activations that are computed again in the backward; selective = all but matrix products",
        decides=NOTHING,
    )

    def __post_init__(self):
        check(self, AT_LEAST_1, "workers", "keep", "log_every")
        check(self, NOT_NEGATIVE, "checkpoint_every", "checkpoint_minutes", "max_failures", "gpus_per_worker", "shard")
        check(self, NOT_NEGATIVE, "resume")
        check(self, NOT_NEGATIVE, "notice_s")
        require(
            self.checkpoint_every > 0 or self.checkpoint_minutes > 0,
            "train.checkpoint_every and train.checkpoint_minutes are both 0: a crash would cost the whole run; "
            "set train.checkpoint_every=100",
        )
        require(
            0 <= self.min_workers <= self.workers,
            f"train.min_workers={self.min_workers} must be in 0..{self.workers}, train.workers: "
            f"set train.min_workers={self.workers}, or 0 for a fixed number",
        )
        worlds = self.worlds  # neighbours share no divisor but 1
        counts = f"{worlds[0]}" if worlds[0] == worlds[-1] else f"{worlds[0]} to {worlds[-1]}"
        require(
            self.shard in (0, 1) or (worlds[0] == worlds[-1] and worlds[0] % self.shard == 0),
            f"train.shard={self.shard} does not divide every number of workers that the run may have, {counts}: "
            "set train.shard to a divisor of them, or to 0 to shard over all",
        )

    @property
    def worlds(self) -> range:
        """The numbers of workers that the run may have."""
        return range(self.min_workers or self.workers, self.workers + 1)


@dataclass(frozen=True, kw_only=True)
class Export:
    """The export of a checkpoint as diffusers folders below <run.dir>/export."""

    step: int = setting(0, "Step of the checkpoint to export; 0 = the newest", decides="export")
    weights: Literal["both", "ema", "model"] = setting(
        "both",
        "Weights to export: the moving average, the model as trained (into export/student), or both",
        decides="export",
    )
    dtype: Literal["same", "float32", "bfloat16"] = setting(
        "same", "Precision of the exported DiT; same = models.dtype", decides="export"
    )
    single: Literal["none", "float32", "bfloat16", "fp8"] = setting(
        "none",
        "Whether to write the DiT as one file for ComfyUI as well, <run.dir>/export/NAME.safetensors, and in which "
        "precision; fp8 = e4m3 for the matrices of the blocks",
        decides="export",
        before="none",
    )
    loras: tuple[str, ...] = setting(
        (),
        "Further LoRAs to merge into the exported folders, each FILE or FILE:WEIGHT, in the names of diffusers, "
        "ComfyUI, kohya or musubi; a run's own adapters are merged in any case",
        decides="export",
        before=(),
    )
    shard_mb: int = setting(
        2000, "Size of a weights file in MB, which is also the memory that an export takes", decides=NOTHING
    )

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "step")
        check(self, AT_LEAST_1, "shard_mb")
