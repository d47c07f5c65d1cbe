"""The teacher's targets as one student rank reads them: in order, and a bounded number ahead."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from uuid import uuid4

import ray
from ray.actor import ActorHandle
from torch import Tensor

from actors.stream.packing import unpack
from actors.stream.status import PoolStatus
from actors.stream.transport import Lost, check_transport, fetch
from v4e.config import Teacher
from v4e.types import TargetRequest, TeacherTarget

PAUSE_S = 0.2  # before a request is sent again to a pool that did not answer; doubles up to 5 s


class TargetStream:
    """Iterates over ``(request, target)`` pairs in the order of `requests`.

    At most ``teacher.prefetch`` targets are requested or held. The slot of a target is freed when the next one is
    taken, that is when it has been *trained*. A target is a pure function of its request, so a lost one is requested
    again.
    """

    def __init__(self, pool: ActorHandle, requests: Iterable[TargetRequest], settings: Teacher) -> None:
        check_transport(settings)
        self.pool = pool
        self.name = uuid4().hex
        self.settings = settings
        self.requests = iter(requests)
        self.waiting: deque[tuple[TargetRequest, ray.ObjectRef]] = deque()
        self.wait_s = 0.0  # blocked on the teacher, since the start
        self.bytes = 0  # received, since the start
        self.status: PoolStatus | None = None  # of the pool, at the last answer

    def __iter__(self) -> Iterator[tuple[TargetRequest, TeacherTarget]]:
        self._request(self.settings.prefetch)
        while self.waiting:
            request, answer = self.waiting.popleft()
            target = self._take(request, answer)
            del answer  # else a reference here would keep the target past its slot
            yield request, target
            del target
            self._request(1)

    def _request(self, count: int) -> None:
        for _ in range(count):
            request = next(self.requests, None)
            if request is None:
                return
            self.waiting.append((request, self._send(request)))

    def _send(self, request: TargetRequest) -> ray.ObjectRef:
        return self.pool.target.remote(request, self.name, self.wait_s)

    def _take(self, request: TargetRequest, answer: ray.ObjectRef) -> TeacherTarget:
        start = time.perf_counter()
        for attempt in count():
            try:
                bits = self._fetch(answer)
                break
            except Lost as error:
                waited = time.perf_counter() - start
                if waited > self.settings.timeout_s:  # by the clock: a pool that starts again may take a minute
                    raise RuntimeError(
                        f"no target for {request.sample_ids} after {waited:.0f} s and {attempt + 1} requests to the "
                        f"teacher pool; the last one ended with: {error or type(error).__name__}"
                    ) from error
                time.sleep(min(5.0, PAUSE_S * 2**attempt))
                answer = self._send(request)
        self.wait_s += time.perf_counter() - start
        self.bytes += bits.nbytes
        return TeacherTarget(taps_KBND=unpack(bits))

    def _fetch(self, answer: ray.ObjectRef) -> Tensor:
        patience = self.settings.timeout_s * (self.settings.retries + 1)  # the pool retries too
        [payload], self.status = ray.get(answer, timeout=patience)
        return fetch(payload, self.settings.timeout_s)
