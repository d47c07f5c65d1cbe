"""The cluster to plan for, and the costs that a simulation of the pipeline assumes."""

from dataclasses import dataclass

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require


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
class Scale:
    """The simulation of a whole pipeline; no run depends on it. `assumed` is ours, `measured` names its file."""

    epochs: int = 1  # over the triplets
    forwards: int = 1  # of a worker a step: the samples of a step grow with the workers
    rows: float = 1.2  # of the corpora that are looked at for a triplet that is kept: assumed
    row_ms: float = 0.12  # of a core, for a row's labels: measured, results/data.json
    image_ms: float = 37.0  # of a core, to decode and check a triplet's two images: measured, results/scale.json
    image_mb: float = 1.0  # of a triplet's two files: assumed
    cores: int = 96  # of a node: assumed
    captions_per_s: float = 10.0  # of a GPU, by a model of 7 B: assumed
    storage_gb_s: float = 2.0  # of a node to the storage, reading or writing: assumed
    storage_total_gb_s: float = 200.0  # of the storage to all nodes: assumed
    start_s: float = 22.0  # of a stage, from the command to its first work, weights not counted: measured, trainer.json
    request_ms: float = 2.2  # of the pool's one process, for a target: measured, results/scale.json
    rollout_ms: float = 2.8  # of rollout.py's one driver, to fetch and write a rollout: measured, results/scale.json
    index_us: float = 26.5  # of every process that opens the store, for a sample: measured, results/trainer.json
    mtbf_h: float = 50_000.0  # between faults of a GPU and its share of a node: assumed, docs/scale.md has the source
    restart_s: float = 300.0  # from a node's loss to a process on another, weights not counted: assumed
    checkpoint_s: float = 0.0  # between checkpoints; 0 = what Young and Daly advise
    load: float = 0.8  # requests for edits, as a share of what the GPUs can do
    runs: int = 3  # simulated, each with other faults

    def __post_init__(self):
        check(self, AT_LEAST_1, "epochs", "forwards", "rows", "cores", "runs")
        check(self, POSITIVE, "captions_per_s", "storage_gb_s", "storage_total_gb_s", "mtbf_h")
        check(self, NOT_NEGATIVE, "row_ms", "image_ms", "image_mb", "start_s", "request_ms", "rollout_ms", "index_us")
        check(self, NOT_NEGATIVE, "restart_s", "checkpoint_s")
        require(0 < self.load < 1, f"scale.load={self.load} is a share: set it between 0 and 1")
