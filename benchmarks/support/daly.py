"""Daly's closed form for a training with faults, which the simulation is compared with."""

import math


def expected_seconds(work_s: float, every_s: float, blocked_s: float, restart_s: float, mtbf_s: float) -> float:
    """Returns Daly's time to solution, M e^(R/M) (e^((t+d)/M) - 1) for each segment, in seconds.

    It is exact where faults are exponential and strike during checkpoints and restarts too. A checkpoint counts at
    once. The last segment may be shorter and has no checkpoint behind it.
    """
    whole = math.ceil(work_s / every_s) - 1
    segments = whole * math.expm1((every_s + blocked_s) / mtbf_s) + math.expm1((work_s - whole * every_s) / mtbf_s)
    return mtbf_s * math.exp(restart_s / mtbf_s) * segments
