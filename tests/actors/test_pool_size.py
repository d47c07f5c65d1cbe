"""A pool of stand-in teachers, which only sleep: it grows, shrinks, hedges and looks after itself."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice

import psutil
import pytest
import ray
import torch
from torch import Tensor

from actors.stream.packing import pack
from actors.stream.status import PoolStatus
from actors.stream.stream import TargetStream
from actors.teacher.gang import ask_gang
from actors.teacher.pool import await_pool, start_pool, stop_pool
from actors.teacher.replicas import Replicas
from actors.teacher.scaling import Window
from tests.support import wait
from tests.support.synthetic import config
from v4e.config import Config
from v4e.types import TargetRequest

pytestmark = [pytest.mark.ray, pytest.mark.slow]
PATIENCE_S = 120.0
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import it


class Sleeper:
    """Takes `seconds` for an answer, which is the request's seed."""

    def __init__(self, settings: Config, group: object, *, seconds: float) -> None:
        self.seconds = seconds

    def ready(self) -> dict[str, int | str]:
        return {"pid": os.getpid(), "device": "cpu"}

    def targets(self, request: TargetRequest) -> Tensor:
        time.sleep(self.seconds)
        return pack(torch.full((1, 1, 1, 4), float(request.seeds[0])))

    def rollouts(self, sample_ids: tuple[str, ...]) -> Tensor:
        time.sleep(self.seconds)
        return torch.tensor([os.getpid()])


def endless_requests() -> Iterator[TargetRequest]:
    """Yields requests whose seeds count up to 255, up to which bfloat16 is exact, and begin again."""
    return (TargetRequest(sample_ids=("s000",), seeds=(n % 256,)) for n in count())


def requests_of(number: int) -> list[TargetRequest]:
    return list(islice(endless_requests(), number))


@pytest.fixture
def pool_of(cluster):
    """Starts pools of sleepers, and ends them with the test."""
    pools = []

    def start(settings: Config, seconds: float):
        pools.append(start_pool(settings, partial(Sleeper, seconds=seconds)))
        await_pool(pools[-1], settings.teacher)
        return pools[-1]

    yield start
    for pool in pools:
        stop_pool(pool)


def until(pool, true: Callable[[PoolStatus], bool]) -> PoolStatus:
    """The pool's status, once `true` of it."""

    def status() -> PoolStatus | None:
        return now if true(now := ray.get(pool.status.remote())) else None

    found = wait.until(status, PATIENCE_S, every_s=0.05)
    assert found is not None
    return found


def test_it_grows_while_students_wait_and_shrinks_without_losing_a_target(pool_of):
    settings = config(teacher={"replicas": 1, "max_replicas": 3, "check_every_s": 1.0, "prefetch": 8})
    pool = pool_of(settings, seconds=0.1)
    stream = iter(TargetStream(pool, endless_requests(), settings.teacher))
    seen, deadline = [], time.monotonic() + PATIENCE_S

    def take(while_true: Callable[[PoolStatus], bool], every_s: float) -> PoolStatus:
        while while_true(status := ray.get(pool.status.remote())):
            assert time.monotonic() < deadline, status
            _, target = next(stream)
            seen.append(int(target.taps_KBND[0, 0, 0, 0]))
            time.sleep(every_s)  # its training
        return status

    grown = take(lambda status: status.replicas < 3, every_s=0.0)
    assert grown.grown == 2
    shrunk = take(lambda status: status.shrunk < 2, every_s=0.5)
    until(pool, lambda status: status.replicas == 1 and not status.starting)
    assert seen == [n % 256 for n in range(len(seen))]
    assert shrunk.restarts == shrunk.retries == 0


def test_requests_at_the_same_moment_go_to_different_replicas(pool_of):
    pool = pool_of(config(teacher={"replicas": 3}), seconds=0.2)
    pids = until_all(pool)
    for _ in range(3):
        answers = ray.get([pool.rollout.remote(("s000",)) for _ in range(3)])
        assert {int(ray.get(payload)[0]) for [payload], _ in answers} == {*pids}


def test_a_replica_with_work_drains_before_it_ends(cluster):
    settings = config(teacher={"replicas": 1, "max_replicas": 2})

    async def main() -> None:
        replicas = Replicas(settings, partial(Sleeper, seconds=0.5), "test-drain")
        await replicas.slots[0].gang.loading
        replicas.resize(Window(wait_share=0.5, busy=1.0))
        await asyncio.gather(*(slot.gang.loading for slot in replicas.slots))
        assert len(replicas.serving) == 2
        answers = [ask_gang(slot.gang, "targets", requests_of(1)[0], PATIENCE_S) for slot in replicas.slots]
        for slot in replicas.slots:
            slot.load = 1
        replicas.resize(Window(wait_share=0.0, busy=0.0))
        [staying] = replicas.serving
        [leaving] = {*replicas.slots} - {staying}
        for payload, _ in await asyncio.gather(*answers):
            assert (await payload).shape == (1, 1, 1, 4)
        for slot in (staying, leaving):
            replicas.relieve(slot)
        assert replicas.slots == [staying]
        replicas.end(staying)

    asyncio.run(main())


def test_a_straggler_is_overtaken(pool_of):
    settings = config(teacher={"replicas": 2, "hedge": 3.0, "timeout_s": 600.0})
    pool = pool_of(settings, seconds=0.05)
    pids = until_all(pool)
    ask = pool.target.remote
    ray.get([ask(request) for request in requests_of(8)])
    assert ray.get(pool.status.remote()).hedged == 0
    os.kill(pids[0], signal.SIGSTOP)
    try:
        got = ray.get([ask(request) for request in requests_of(8)], timeout=PATIENCE_S)
        seeds = [pack(torch.full((1, 1, 1, 4), float(n))).numpy() for n in range(8)]
        assert all((ray.get(payload) == seed).all() for ([payload], _), seed in zip(got, seeds, strict=True))
        status = ray.get(pool.status.remote())
        assert status.hedged >= 1
        assert status.restarts == 0  # it is slow, not dead
    finally:
        os.kill(pids[0], signal.SIGCONT)
    until(pool, lambda status: status.queue == 0)  # what it was asked, it still answers


def test_a_replica_that_dies_while_nobody_asks_is_replaced(pool_of):
    pool = pool_of(config(teacher={"replicas": 2, "check_every_s": 0.5}), seconds=0.0)
    pids = until_all(pool)
    os.kill(pids[1], signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pids[1])] if psutil.pid_exists(pids[1]) else [], timeout=PATIENCE_S)
    until(pool, lambda status: status.restarts == 1 and status.replicas == 2)
    assert pids[0] in until_all(pool)
    assert pids[1] not in until_all(pool)


def test_a_pool_without_room_says_what_it_waits_for_and_gives_up(cluster):
    settings = config(teacher={"gpus": 1, "start_timeout_s": 1.0})
    pool, told = start_pool(settings), []
    with pytest.raises(RuntimeError, match=r"no teacher after 1 s: teacher replica 0 waits for room") as error:
        await_pool(pool, settings.teacher, told.append)
    assert "it needs 1 GPU; free in the whole cluster: " in str(error.value)
    stop_pool(pool)


def until_all(pool) -> list[int]:
    """Process ids of all replicas, once all have loaded."""
    return [int(rank["pid"]) for rank in ray.get(pool.ready.remote())]
