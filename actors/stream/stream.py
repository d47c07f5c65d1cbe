"""The teacher's targets as one student rank reads them: in order, and a bounded number ahead."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import count
from typing import TypeVar
from uuid import uuid4

import ray
import torch
from ray.actor import ActorHandle
from torch import Tensor

from actors.stream.status import PoolStatus
from actors.stream.transport import Arrivals, Lost, check_transport, fetch
from v4e.config import Teacher
from v4e.types import TargetRequest, TeacherTarget

Result = TypeVar("Result")
PAUSE_S = 0.2  # before a request is sent again to a pool that did not answer; doubles up to 5 s


class TargetStream:
    """Iterates over ``(request, target)`` pairs in the order of `requests`.

    At most ``teacher.prefetch`` targets are requested or held. The slot of a target is freed when the next one is
    taken, that is when it has been *trained*. A target is a pure function of its request, so a lost one is requested
    again. While one is trained, the next is brought to `device`, by default the CPU.
    """

    def __init__(
        self,
        pool: ActorHandle,
        requests: Iterable[TargetRequest],
        settings: Teacher,
        device: torch.device | None = None,
    ) -> None:
        check_transport(settings)
        self.pool = pool
        self.name = uuid4().hex
        self.settings = settings
        self.arrivals = Arrivals(device or torch.device("cpu"))
        self.requests = iter(requests)
        self.waiting: deque[tuple[TargetRequest, ray.ObjectRef]] = deque()
        self.wait_s = 0.0  # blocked on the teacher, since the start
        self.bytes = 0  # received, since the start
        self.status: PoolStatus | None = None  # of the pool, at the last answer

    def __iter__(self) -> Iterator[tuple[TargetRequest, TeacherTarget]]:
        self._request(self.settings.prefetch)
        coming = self._bring()
        while coming is not None:
            (request, bringing), start = coming, time.perf_counter()
            target = bringing.result()
            self.wait_s += time.perf_counter() - start
            self.arrivals.use(target.taps_KBND)
            coming = self._bring()
            yield request, target
            del bringing, target  # else a reference here would keep the target past its slot
            self._request(1)
            coming = coming or self._bring()  # with teacher.prefetch=1 only now

    def _bring(self) -> tuple[TargetRequest, Future[TeacherTarget]] | None:
        """The next request and its target, which a thread brings to the device; None after the last."""
        if not self.waiting:
            return None
        request, answer = self.waiting.popleft()
        return request, in_thread(partial(self._take, request, answer))

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
        self.bytes += bits.nbytes
        return TeacherTarget(taps_KBND=self.arrivals.take(bits))

    def _fetch(self, answer: ray.ObjectRef) -> Tensor:
        patience = self.settings.timeout_s * (self.settings.retries + 1)  # the pool retries too
        [payload], self.status = ray.get(answer, timeout=patience)
        return fetch(payload, self.settings.timeout_s)


def in_thread(work: Callable[[], Result]) -> Future[Result]:
    """The result of `work`, or its error, from a thread that does not keep the process alive."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # the caller's, whatever it is
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
