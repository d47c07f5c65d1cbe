"""Notice that a node of the run is preempted: save, and wait for Ray Train to start over with the remaining nodes.

``ray drain-node`` gives it, called by deploy/spot_notice.py, by a pod's preStop hook, or by hand. Ray Train informs the
workers, and restarts the run from the newest checkpoint when the notice is over. It then starts as many workers of
train.min_workers..train.workers as there is room for. This does not count as one of train.max_failures.
"""

import logging
import time

import ray.train
import ray.train.collective
from ray.train import PreemptionInfo

from v4e.config import Train
from v4e.files.uri import exists

log = logging.getLogger(__name__)
EVERY_S = 1.0  # between looks, at which all ranks wait for each other
UNKNOWN_S = 120.0  # until the end of a node that is drained without a deadline: Ray Train's own assumption
OVERDUE_S = 120.0  # after the deadline, for Ray Train to end this worker


class Notices:
    """The notices as one training worker sees them; all workers look at the same steps and get the same answers."""

    def __init__(self, train: Train, step: int, stop: str = "") -> None:
        self.train, self.stop = train, stop
        self.stopped = False  # whether there is a file `stop`, at the last look
        self.seen, self.seen_at = step, time.monotonic()  # the last look: after which step, and when
        self.next = step + 1  # step after which to look again

    def after(self, step: int) -> PreemptionInfo | None:
        """The notice that leaves train.notice_s or more to save in, if there is one."""
        if step < self.next:
            return None
        found = ray.train.get_preemption_info() if self.train.notice else None  # rank 0's, on all
        now = time.monotonic()
        steps = int(EVERY_S * (step - self.seen) / max(now - self.seen_at, 1e-6))
        timely = found is not None and _left_s(found) >= self.train.notice_s
        # The clock is rank 0's too.
        seen = (step + max(1, steps), timely, bool(self.stop) and exists(self.stop))
        self.next, timely, self.stopped = ray.train.collective.broadcast_from_rank_zero(seen)
        self.seen, self.seen_at = step, now
        return found if timely else None


def await_restart(found: PreemptionInfo, step: int) -> None:
    """Waits until Ray Train ends this process: any step after `step` would be trained again.

    Raises:
        RuntimeError: it has not, long after the node's deadline.
    """
    names = ", ".join(found.preempted_node_ids)
    if ray.train.get_context().get_world_rank() == 0:
        log.warning("step %d is saved: node %s ends in %.0f s, then the run continues", step, names, _left_s(found))
    time.sleep(max(0.0, _left_s(found)) + OVERDUE_S)
    raise RuntimeError(f"node {names} was to end, step {step} is saved, but Ray Train did not start the run again")


def _left_s(found: PreemptionInfo) -> float:
    """Seconds until the node ends."""
    return UNKNOWN_S if found.deadline_ms is None else found.deadline_ms / 1000 - time.time()
