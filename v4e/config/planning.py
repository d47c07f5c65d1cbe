"""The cluster to plan for, and the costs that a simulation of the pipeline assumes."""

from dataclasses import dataclass

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import NOTHING, setting


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cluster that ``v4e plan`` plans for and ``v4e train`` refuses to overfill. No result depends on it."""

    train_tflops: float = setting(
        0.0,
        "TFLOP/s of a training rank, recomputation counted; 0 = from plan.gpu, or measured on this machine",
        decides=NOTHING,
    )
    infer_tflops: float = setting(
        0.0, "TFLOP/s of a teacher's rank; 0 = from plan.gpu, or measured on this machine", decides=NOTHING
    )
    gpu: str = setting(
        "",
        "GPU type: h100, h200, b200, a100-80, a100-40, l40s, a10g or l4; empty = the one found on this machine",
        decides=NOTHING,
    )
    gpus: int = setting(0, "GPUs of the cluster; 0 = as many as the run asks for", decides=NOTHING)
    gpus_per_node: int = setting(8, "GPUs of a node", decides=NOTHING)
    gpu_gib: float = setting(0.0, "Memory of a GPU in GiB; 0 = that of plan.gpu", decides=NOTHING)
    host_gib: float = setting(0.0, "Memory of a node in GiB; 0 = unknown, not checked", decides=NOTHING)
    nvlink_gb_s: float = setting(
        0.0, "One-way bandwidth between GPUs of a node in GB/s; 0 = that of plan.gpu", decides=NOTHING
    )
    network_gb_s: float = setting(50.0, "One-way bandwidth of a node in GB/s; 50 = 400 Gbit/s", decides=NOTHING)
    storage_gib: float = setting(
        0.0, "Room for store and checkpoints in GiB; 0 = unknown, not checked", decides=NOTHING
    )
    train_share: float = setting(
        0.4, "Share of the data sheet of plan.gpu that training reaches: stated, not measured (ours)", decides=NOTHING
    )
    infer_share: float = setting(
        0.6, "Share of the data sheet of plan.gpu that a teacher reaches: stated, not measured (ours)", decides=NOTHING
    )
    price: float = setting(0.0, "Price of a GPU for an hour, in any currency; 0 = no costs", decides=NOTHING)
    triplets: int = setting(10_000, "Number of triplets, where no store says how many", decides=NOTHING)
    json: bool = setting(False, "Whether to print the plan as JSON, for programs", decides=NOTHING)
    instruction_tokens: int = setting(
        12, "Tokens of the longest instruction in a batch, without padding; only with models.fold_pad", decides=NOTHING
    )
    caption_tokens: int = setting(
        27,
        "Tokens of the longest evolution caption in a batch, without padding; only with models.fold_pad",
        decides=NOTHING,
    )

    def __post_init__(self):
        check(self, NOT_NEGATIVE, "train_tflops", "infer_tflops", "gpus", "gpu_gib", "host_gib", "nvlink_gb_s")
        check(self, NOT_NEGATIVE, "storage_gib", "price")
        check(self, POSITIVE, "network_gb_s")
        check(self, AT_LEAST_1, "instruction_tokens", "caption_tokens", "gpus_per_node", "triplets")
        for name in ("train_share", "infer_share"):
            require(0 < getattr(self, name) <= 1, f"plan.{name}={getattr(self, name)} is a share: set it in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The simulation of ``v4e plan scale``. No run depends on it. `assumed` is ours, `measured` names its file."""

    epochs: int = setting(1, "Epochs over the triplets", decides=NOTHING)
    forwards: int = setting(
        1, "Forwards of a worker in one step: the samples of a step grow with the workers", decides=NOTHING
    )
    rows: float = setting(1.2, "Rows of the corpora looked at for each triplet kept: assumed", decides=NOTHING)
    row_ms: float = setting(
        0.12, "Milliseconds of a core for a row's labels: measured, results/data.json", decides=NOTHING
    )
    image_ms: float = setting(
        37.0,
        "Milliseconds of a core to decode and check a triplet's two images: measured, results/scale.json",
        decides=NOTHING,
    )
    image_mb: float = setting(1.0, "Size of a triplet's two files in MB: assumed", decides=NOTHING)
    cores: int = setting(96, "CPU cores of a node: assumed", decides=NOTHING)
    captions_per_s: float = setting(10.0, "Captions a second of a GPU with a model of 7 B: assumed", decides=NOTHING)
    storage_gb_s: float = setting(
        2.0, "Bandwidth in GB/s between a node and the storage, reading or writing: assumed", decides=NOTHING
    )
    storage_total_gb_s: float = setting(
        200.0, "Bandwidth in GB/s between the storage and all nodes: assumed", decides=NOTHING
    )
    start_s: float = setting(
        22.0,
        "Seconds from a stage's command to its first work, weights not counted: measured, trainer.json",
        decides=NOTHING,
    )
    request_ms: float = setting(
        2.2, "Milliseconds of the pool's one process for a target: measured, results/scale.json", decides=NOTHING
    )
    rollout_ms: float = setting(
        2.8, "Milliseconds of the rollout driver to fetch and write one: measured, results/scale.json", decides=NOTHING
    )
    index_us: float = setting(
        26.5,
        "Microseconds for a sample of every process that opens the store: measured, results/trainer.json",
        decides=NOTHING,
    )
    mtbf_h: float = setting(
        50_000.0,
        "Hours between faults of a GPU and its share of a node: assumed, source in docs/results/scale.md",
        decides=NOTHING,
    )
    restart_s: float = setting(
        300.0, "Seconds from a node's loss to a process on another, weights not counted: assumed", decides=NOTHING
    )
    checkpoint_s: float = setting(
        0.0, "Seconds between checkpoints; 0 = the interval of Young and Daly", decides=NOTHING
    )
    load: float = setting(0.8, "Rate of requested edits as a share of what the GPUs can make", decides=NOTHING)
    runs: int = setting(3, "Simulated training runs, each with other faults", decides=NOTHING)

    def __post_init__(self):
        check(self, AT_LEAST_1, "epochs", "forwards", "rows", "cores", "runs")
        check(self, POSITIVE, "captions_per_s", "storage_gb_s", "storage_total_gb_s", "mtbf_h")
        check(self, NOT_NEGATIVE, "row_ms", "image_ms", "image_mb", "start_s", "request_ms", "rollout_ms", "index_us")
        check(self, NOT_NEGATIVE, "restart_s", "checkpoint_s")
        require(0 < self.load < 1, f"scale.load={self.load} is a share: set it between 0 and 1")
