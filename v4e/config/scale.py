"""What ``plan.py scale`` simulates beyond a plan: assumptions of ours, and costs that were measured on a CPU."""

from dataclasses import dataclass

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require


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
