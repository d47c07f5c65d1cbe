"""Notice that a node of the run goes: save, and wait for Ray Train to start over with the nodes that remain.

``ray drain-node`` gives it, called by deploy/spot_notice.py, by a pod's preStop hook, or by hand. Ray Train tells the
workers, and starts the run again when the notice is over: from the newest checkpoint, with as many workers of
train.min_workers..train.workers as there is room for. That costs nothing of train.max_failures.
"""

import logging
import time

import ray.train
import ray.train.collective
from ray.train import PreemptionInfo

from v4e.config import Train

log = logging.getLogger(__name__)
EVERY_S = 1.0  # between looks: all ranks wait for each other at one
UNKNOWN_S = 120.0  # that Ray Train gives a node which is drained without a deadline
OVERDUE_S = 120.0  # after the deadline, for Ray Train to end this worker


class Notices:
    """Of one training worker; all of a run ask at the same steps and get the same answers."""

    def __init__(self, train: Train, step: int) -> None:
        self.train = train
        self.seen, self.seen_at = step, time.monotonic()  # the last look: after which step, and when
        self.next = step + 1  # step after which to look again

    def after(self, step: int) -> PreemptionInfo | None:
        """The notice that leaves train.notice_s or more to save in, if there is one."""
        if not self.train.notice or step < self.next:
            return None
        found = ray.train.get_preemption_info()  # rank 0's, on all
        now = time.monotonic()
        steps = int(EVERY_S * (step - self.seen) / max(now - self.seen_at, 1e-6))
        timely = found is not None and _left_s(found) >= self.train.notice_s
        # The clock is rank 0's too.
        self.next, timely = ray.train.collective.broadcast_from_rank_zero((step + max(1, steps), timely))
        self.seen, self.seen_at = step, now
        return found if timely else None


def await_restart(found: PreemptionInfo, step: int) -> None:
    """Ends with this process, which Ray Train takes down: what it trained after `step` would be trained again.

    Raises:
        RuntimeError: it has not, long after the node's time was over.
    """
    names = ", ".join(found.preempted_node_ids)
    if ray.train.get_context().get_world_rank() == 0:
        log.warning("step %d is saved: node %s goes in %.0f s, then the run goes on", step, names, _left_s(found))
    time.sleep(max(0.0, _left_s(found)) + OVERDUE_S)
    raise RuntimeError(f"node {names} was to go, step {step} is saved, but Ray Train did not start the run again")


def _left_s(found: PreemptionInfo) -> float:
    """Seconds until the node goes."""
    return UNKNOWN_S if found.deadline_ms is None else found.deadline_ms / 1000 - time.time()
