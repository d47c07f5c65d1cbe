"""The optimizer, the workers, the adapters and the exports of a training run."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import ABOVE_0, AT_LEAST_1, BELOW_1, NOT_NEGATIVE, POSITIVE, check, require


@dataclass(frozen=True, kw_only=True)
class Optim:
    """AdamW as the paper sets it, scaled to the recipe."""

    lr: float = 1e-4
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    warmup: float = 0.05  # share of the steps
    clip: float = 1.0  # gradient norm
    ema: float = 0.9999  # with warm-up min(ema, (1+n)/(10+n)) (ours)
    batch: int = 1  # samples a forward, per worker
    accumulate: int = 8  # forwards a step, over all workers
    steps: int = 1250

    def __post_init__(self):
        check(self, AT_LEAST_1, "batch", "accumulate", "steps")
        check(self, POSITIVE, "lr")
        check(self, ABOVE_0, "clip")
        check(self, NOT_NEGATIVE, "weight_decay")
        check(self, BELOW_1, "beta1", "beta2", "ema", "warmup")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters instead of the whole student; everything else of a run is the same."""

    rank: int = 0  # of every adapter; 0 = train all weights
    alpha: int = 0  # what an adapter adds is scaled by alpha / rank; 0 = rank
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "add_k_proj", "add_v_proj")  # or ffn.net.2, ...

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "rank", "alpha")
        require(
            self.rank == 0 or len(self.targets) > 0,
            "lora.rank > 0 without lora.targets: name linear layers, e.g. lora.targets=to_q,to_v, or set lora.rank=0",
        )

    @property
    def scale(self) -> float:
        """Of what an adapter adds."""
        return (self.alpha or self.rank) / self.rank


@dataclass(frozen=True, kw_only=True)
class Train:
    """Workers, checkpoints, logging."""

    workers: int = 1
    min_workers: int = 0  # go on with as few while nodes are missing (Ray counts whole nodes, the teachers' part too);
    # 0 = wait for all workers
    checkpoint_every: int = 100  # steps; 0 = by checkpoint_minutes alone
    checkpoint_minutes: float = 0.0  # since the last one; 0 = by checkpoint_every alone
    keep: int = 2  # checkpoints
    notice: bool = True  # that a node goes: save at once, and go on with the nodes that remain
    notice_s: float = 10.0  # left of it, or more; with less the run goes on from the last checkpoint
    log_every: int = 10  # steps
    max_failures: int = 3  # worker restarts before the run gives up
    gpus_per_worker: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"  # the student computes in it; masters are float32
    shard: int = 0  # workers that parameters are sharded over, replicated across (HSDP); 0 = all
    reduce: Literal["last", "each"] = "last"  # forward of a step that communicates gradients; each = less memory
    offload: Literal["none", "optimizer", "all"] = "none"  # to host memory: the moments, or weights and all
    recompute: Literal["none", "full", "selective"] = "none"  # in the backward; selective = all but matrix products

    def __post_init__(self):
        check(self, AT_LEAST_1, "workers", "keep", "log_every")
        check(self, NOT_NEGATIVE, "checkpoint_every", "checkpoint_minutes", "max_failures", "gpus_per_worker", "shard")
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
        require(
            self.shard == 0 or all(world % self.shard == 0 for world in self.worlds),
            f"train.shard={self.shard} does not divide every number of workers that the run may have, "
            f"{', '.join(map(str, self.worlds))}: set train.shard to a divisor of them, or to 0 to shard over all",
        )

    @property
    def worlds(self) -> range:
        """Numbers of workers that the run may have."""
        return range(self.min_workers or self.workers, self.workers + 1)


@dataclass(frozen=True, kw_only=True)
class Export:
    """A checkpoint as diffusers folders below <run.dir>/export."""

    step: int = 0  # of the checkpoint; 0 = the newest
    weights: Literal["both", "ema", "model"] = "both"  # model = as trained, into export/student
    dtype: Literal["same", "float32", "bfloat16"] = "same"  # of the DiT; same = models.dtype
    shard_mb: int = 2000  # of a weights file, and so the memory that an export takes

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "step")
        check(self, AT_LEAST_1, "shard_mb")
