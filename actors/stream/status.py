"""What the teacher pool tells with every answer."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """What the pool is and has done so far."""

    replicas: int  # that have loaded
    starting: int = 0
    queue: int  # requests at the replicas, running ones included
    answered: int = 0
    retries: int = 0
    restarts: int = 0
    hedged: int = 0  # requests that a second replica was asked too
    grown: int = 0  # replicas
    shrunk: int = 0
    busy_s: float = 0.0  # of all replicas together
