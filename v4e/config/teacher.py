"""The frozen teacher and its pool."""

from dataclasses import dataclass
from typing import Literal

from v4e.config.checks import AT_LEAST_1, NOT_NEGATIVE, POSITIVE, check, require

Transport = Literal["object_store", "nixl"]


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
