"""Replicas of two ranks: the same answers as one rank's, and no fault of a rank changes or loses one."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torch.distributed as dist

from actors.stream.packing import unpack
from actors.teacher import ranks
from actors.teacher.actor import Teacher
from actors.teacher.replica import load_sampler
from tests.support import ranks as rank_processes
from tests.support.synthetic import requests_of, rolled_out, stored
from tests.support.wait import until
from v4e.types import TargetRequest

MISSING = TargetRequest(sample_ids=("nobody",), seeds=(1,))

# What the ranks do together, without Ray


def write(path: str, text: str) -> None:
    Path(f"{path}.part").write_text(text)
    os.rename(f"{path}.part", path)


def wait_for(path: str) -> str:
    until(lambda: os.path.exists(path))
    return Path(path).read_text()


def rank_main(rank: int, out) -> None:
    """A request that rank 1 cannot prepare, a good one, and one that rank 1 leaves half-way."""
    if rank == 0:
        store = ranks.listen(2, timeout_s=60)
        write(f"{out}/port", str(store.port))
    else:
        store = ranks.reach(int(wait_for(f"{out}/port")), 2, timeout_s=60)
    group = ranks.join(store, rank, 2, 5, torch.device("cpu"))
    together = ranks.Ranks(group)
    seen = []

    def request(prepared: bool = True, ended: bool = True) -> None:
        try:
            with together.agreed():
                if not prepared:
                    raise FileNotFoundError("nobody")
            with together.in_step():
                number = torch.tensor([rank + 1.0])
                dist.all_reduce(number, group=group)
                if not ended:
                    raise MemoryError("full")
                dist.all_reduce(number, group=group)
            seen.append(str(number.item()))
        except Exception as error:
            seen.append(f"{type(error).__name__} {error}")

    request(prepared=rank == 0)
    request()
    listening = {c.laddr.ip for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN}
    request(ended=rank == 0)
    request()
    write(f"{out}/{rank}", "\n".join([*seen, *listening]))
    wait_for(f"{out}/{1 - rank}")  # its peer would see a process that ends, without its help


@pytest.mark.slow
def test_an_error_before_the_first_collective_is_harmless_and_one_after_it_is_not(tmp_path):
    rank_processes.run(rank_main, 2, str(tmp_path))
    first, second = ((tmp_path / str(rank)).read_text().split("\n") for rank in range(2))
    assert first[0].startswith("PeerFailed")
    assert second[0] == "FileNotFoundError nobody"
    assert first[1] == second[1] == "6.0"
    assert first[2].startswith("OutOfStep RuntimeError")  # nobody answers its second collective
    assert second[2:4] == ["OutOfStep MemoryError: full"] * 2  # and the rank that left is not let in again
    assert first[3] == first[2]
    assert {*first[4:], *second[4:]} == {"127.0.0.1"}  # what they listen on


# With Ray


@pytest.fixture(scope="module")
def settings(tmp_path_factory, random_family):
    config = stored(tmp_path_factory.mktemp("run"), random_family, 6, teacher={"tp": 2})
    rolled_out(config)
    return config


@pytest.fixture
def pool_of(cluster):
    """Starts pools, and ends them with the test."""
    from actors.teacher.pool import start_pool, stop_pool

    pools = []

    def start(config):
        pools.append(start_pool(config, load_sampler))
        return pools[-1]

    yield start
    for pool in pools:
        stop_pool(pool)


def answers(pool, requests) -> list[np.ndarray]:
    """Packed targets, asked for all at once."""
    import ray

    return [ray.get(payload).copy() for [payload], _ in ray.get([pool.target.remote(r) for r in requests])]


@pytest.mark.ray
@pytest.mark.slow
def test_two_ranks_answer_as_one_does_and_a_killed_one_changes_nothing(settings, pool_of):
    import ray

    pool = pool_of(settings)
    one, two = ray.get(pool.ready.remote())
    assert (one["replica"], one["rank"], two["replica"], two["rank"]) == (0, 0, 0, 1)
    assert one["pid"] != two["pid"]
    teacher = Teacher(settings)
    undisturbed = answers(pool, requests_of(8))
    for request, found in zip(requests_of(8), undisturbed, strict=True):
        expected = unpack(teacher.targets(request))
        ours = unpack(torch.from_numpy(found))
        assert torch.allclose(ours.float(), expected.float(), rtol=2**-7, atol=1e-5)  # one bfloat16 step
    [payload], _ = ray.get(pool.rollout.remote(("s000", "s001")))
    sampled, expected = torch.tensor(ray.get(payload)), teacher.rollouts(("s000", "s001"))
    assert (sampled - expected).abs().max() < 1e-5 * expected.abs().max()

    with pytest.raises(FileNotFoundError, match="nobody"):
        ray.get(pool.target.remote(MISSING))
    assert ray.get(pool.status.remote()).restarts == 0

    under_way = [pool.target.remote(request) for request in requests_of(8) * 8]
    ray.wait(under_way, num_returns=4)
    os.kill(two["pid"], signal.SIGKILL)
    for n, ([payload], _) in enumerate(ray.get(under_way)):
        assert np.array_equal(ray.get(payload), undisturbed[n % 8])
    status = ray.get(pool.status.remote())
    assert status.restarts == 1
    assert status.retries >= 1
    assert status.queue == 0
    assert not {one["pid"], two["pid"]} & {rank["pid"] for rank in ray.get(pool.ready.remote())}


@pytest.mark.ray
@pytest.mark.slow
def test_a_rank_that_hangs_is_replaced_after_the_timeout(settings, pool_of):
    import ray

    pool = pool_of(replace(settings, teacher=replace(settings.teacher, timeout_s=6.0)))
    _, second = ray.get(pool.ready.remote())
    undisturbed = answers(pool, requests_of(2))
    os.kill(second["pid"], signal.SIGSTOP)
    assert all(np.array_equal(a, b) for a, b in zip(answers(pool, requests_of(2)), undisturbed, strict=True))
    assert ray.get(pool.status.remote()).restarts >= 1


@pytest.mark.long
@pytest.mark.ray
@pytest.mark.slow
def test_giving_up_names_the_dead_rank_and_its_log(settings, pool_of):
    import ray

    pool = pool_of(replace(settings, teacher=replace(settings.teacher, retries=0)))
    _, second = ray.get(pool.ready.remote())
    under_way = [pool.target.remote(request) for request in requests_of(40)]
    os.kill(second["pid"], signal.SIGKILL)
    with pytest.raises(RuntimeError, match="gave up") as error:
        ray.get(under_way)
    assert f"pid {second['pid']} on node {second['node']}, log {second['log']}" in str(error.value)
    assert os.path.isfile(str(second["log"]))


@pytest.mark.ray
@pytest.mark.slow
def test_a_killed_pool_finds_its_room_again_and_a_stopped_one_leaves_it(settings, pool_of):
    import ray
    from ray.exceptions import RayActorError

    from actors.teacher.pool import stop_pool

    def rooms() -> list[str]:
        return [room["state"] for room in ray.util.placement_group_table().values()]

    free = rooms().count("CREATED")
    pool = pool_of(settings)
    undisturbed = answers(pool, requests_of(2))
    assert rooms().count("CREATED") == free + 1
    ray.kill(pool, no_restart=False)
    for _ in range(100):
        try:
            assert all(np.array_equal(a, b) for a, b in zip(answers(pool, requests_of(2)), undisturbed, strict=True))
            break
        except RayActorError:
            time.sleep(0.2)
    assert rooms().count("CREATED") == free + 1
    stop_pool(pool)
    assert rooms().count("CREATED") == free


@pytest.mark.long
@pytest.mark.ray
def test_ranks_that_do_not_divide_the_heads_do_not_start(settings, cluster):
    from actors.teacher.pool import await_pool, start_pool, stop_pool

    pool = start_pool(replace(settings, teacher=replace(settings.teacher, tp=3)))
    with pytest.raises(RuntimeError, match=r"teacher\.tp to one of 1, 2, 4"):
        await_pool(pool, settings.teacher)
    stop_pool(pool)


@pytest.mark.ray
@pytest.mark.slow
def test_an_error_while_a_pool_is_used_ends_its_actors_and_frees_its_room(settings, cluster):
    import ray
    from ray.exceptions import RayActorError

    from actors.teacher.pool import teacher_pool

    def free() -> tuple[int, float]:
        rooms = [room["state"] for room in ray.util.placement_group_table().values()]
        return rooms.count("CREATED"), ray.available_resources()["CPU"]

    before = free()
    with pytest.raises(FloatingPointError), teacher_pool(settings) as pool:
        ranks = [psutil.Process(rank["pid"]) for rank in ray.get(pool.ready.remote())]
        assert len(ranks) == 2
        assert free()[0] == before[0] + 1
        raise FloatingPointError
    _, alive = psutil.wait_procs(ranks, timeout=60)
    assert not alive
    with pytest.raises(RayActorError):
        ray.get(pool.status.remote())
    deadline = time.monotonic() + 60
    while free()[0] != before[0] or free()[1] < before[1]:
        assert time.monotonic() < deadline, (free(), before)
        time.sleep(0.05)
