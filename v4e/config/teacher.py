"""The frozen teacher and its pool."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require
from v4e.config.setting import NOTHING, Outcome, setting
from v4e.wan import Solver
from v4e.wire import Payload

Transport = Literal["object_store", "nixl"]
ROLLED_OUT: tuple[Outcome, ...] = ("rollouts", "training")
SAMPLED = "clip=sampled"


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The frozen FLF2V teacher and its pool."""

    text: Literal["evolution", "instruction"] = setting(
        "evolution",
        "Text given to the teacher; instruction = without evolution captions, as in Table 6",
        decides=ROLLED_OUT,
    )
    clip: Literal["sampled", "line"] = setting(
        "sampled",
        "Clip of a triplet: sampled by the teacher, or a straight line from the source's latent to the tail's, which "
        "needs no GPU (ours)",
        decides=ROLLED_OUT,
        before="sampled",
    )
    steps: int = setting(8, "Sampling steps of a rollout", decides=ROLLED_OUT, only=SAMPLED)
    guidance: float = setting(1.0, "Guidance scale of a rollout; 1 = none", decides=ROLLED_OUT, only=SAMPLED)
    solver: Solver = setting(
        "euler", "Solver of a rollout's ODE; unipc is Wan's own", decides=ROLLED_OUT, only=SAMPLED, before="euler"
    )
    shift: float = setting(
        0.0,
        "Timestep shift of a rollout's sampling; 0 = flow.shift. Targets keep flow.shift",
        decides=ROLLED_OUT,
        only=SAMPLED,
        before=0.0,
    )
    negative: str = setting(
        "", "Text that guidance of a rollout leads away from", decides=ROLLED_OUT, only=SAMPLED, before=""
    )
    lora: str = setting(
        "",
        "LoRA to sample rollouts with, such as a step-distilled one: a .safetensors file, or a folder with one. "
        "Targets come from the teacher without it",
        decides=ROLLED_OUT,
        only=SAMPLED,
        before="",
    )
    replicas: int = setting(1, "Replicas at the start, and the fewest", decides=NOTHING)
    max_replicas: int = setting(
        0, "Most replicas the pool may grow to while students wait for it; 0 = teacher.replicas", decides=NOTHING
    )
    check_every_s: float = setting(
        10.0, "Seconds between checks of idle replicas and of the size of the pool", decides=NOTHING
    )
    hedge: float = setting(
        0.0,
        "Multiple of the usual answer time after which a second replica gets the request too; 0 = never",
        decides=NOTHING,
    )
    tp: int = setting(
        1, "Ranks of one replica, on one node, that split every block (tensor parallelism)", decides=NOTHING
    )
    gpus: int = setting(0, "GPUs of each rank of a replica; 0 = CPU", decides=NOTHING)
    batch: int = setting(8, "Samples in one rollout call", decides=NOTHING)
    tokens: Literal["all", "tail"] = setting(
        "all", "Tokens that are sent and distilled; tail = those of the last latent frame (ours)", decides="training"
    )
    payload: Payload = setting(
        "bf16",
        "Number format of a target; fp8 = e4m3 with a scale for each token, at half the bytes (ours)",
        decides="training",
    )
    prefetch: int = setting(
        4,
        "Targets requested ahead or held by each student rank; at least 2 to overlap teacher and student",
        decides=NOTHING,
    )
    transport: Transport = setting(
        "object_store", "How answers travel; nixl = Ray Direct Transport, from GPU to GPU", decides=NOTHING
    )
    timeout_s: float = setting(
        120.0,
        "Seconds allowed for one target without retries, and for one collective among a replica's ranks",
        decides=NOTHING,
    )
    start_timeout_s: float = setting(
        1800.0, "Seconds allowed for the first replica, which may wait for nodes and weights", decides=NOTHING
    )
    retries: int = setting(8, "Times that a failed request is sent again", decides=NOTHING)

    def __post_init__(self):
        check(self, AT_LEAST_1, "steps", "replicas", "tp", "batch", "prefetch")
        check(self, NOT_NEGATIVE, "guidance", "shift", "gpus", "retries", "hedge", "max_replicas")
        check(self, POSITIVE, "timeout_s", "start_timeout_s", "check_every_s")
        require(
            self.max_replicas == 0 or self.max_replicas >= self.replicas,
            f"teacher.max_replicas={self.max_replicas} is below teacher.replicas={self.replicas}: "
            f"set teacher.max_replicas={self.replicas} or more, or 0 for a pool of a fixed size",
        )
        require(
            not self.lora or self.tp == 1,
            f"teacher.lora is merged into a whole teacher, teacher.tp={self.tp} splits it: set teacher.tp=1",
        )
        require(
            self.hedge == 0 or self.hedge > 1,
            f"teacher.hedge={self.hedge}: an answer takes 1 times the usual: set teacher.hedge=3, or 0 for never",
        )

    @property
    def most_replicas(self) -> int:
        """The most replicas that the pool may have."""
        return self.max_replicas or self.replicas

    @property
    def forwards(self) -> int:
        """The teacher's forwards in a rollout; guidance doubles them."""
        if self.clip != "sampled":
            return 0
        return self.steps * (2 if self.guidance != 1 else 1)
