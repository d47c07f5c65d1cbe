"""The report that the teacher pool sends with every answer."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PoolStatus:
    """The pool's size now, and its counts since it started."""

    replicas: int  # loaded ones
    starting: int = 0
    queue: int  # requests at the replicas, running ones included
    answered: int = 0
    retries: int = 0
    restarts: int = 0
    hedged: int = 0  # requests sent to a second replica too
    grown: int = 0  # replicas
    shrunk: int = 0
    busy_s: float = 0.0  # of all replicas together
