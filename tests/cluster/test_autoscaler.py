"""A teacher that waits for room brings a node, and an idle node goes: Ray's autoscaler with its fake provider."""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.support.heads import Head
from tests.support.synthetic import rolled_out, stored
from v4e.config import Config

PATIENCE_S = 240.0
TEACHER = {"resources": {"CPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2}


def nodes_until(right: Callable[[int], bool]) -> int:
    """Number of the cluster's nodes besides the head, as soon as it is `right`."""
    import ray

    until = time.monotonic() + PATIENCE_S
    while not right(count := sum(node["Alive"] for node in ray.nodes()) - 1):
        assert time.monotonic() < until, f"{count} nodes"
        time.sleep(0.2)
    return count


def driver(settings: Config, env: dict[str, str]) -> dict[str, object]:
    """What a run does with its pool, on the cluster that `env` names; the numbers of nodes that it saw."""
    os.environ.update(env)
    import ray

    from actors.cluster import connect
    from actors.teacher.pool import await_pool, start_pool, stop_pool

    connect()
    seen: dict[str, object] = {"before": nodes_until(lambda count: True)}
    pool = start_pool(settings)
    lines: list[str] = []
    await_pool(pool, settings.teacher, lines.append)
    ready = ray.get(pool.ready.remote())
    seen |= {"teaching": nodes_until(lambda count: count > 0), "replicas": len(ready)}
    stop_pool(pool)
    seen["after"] = nodes_until(lambda count: count == 0)
    ray.shutdown()
    return seen


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
def test_a_pending_teacher_brings_a_node_and_an_idle_node_goes(tmp_path, random_family):
    settings = stored(tmp_path, random_family, 2, teacher={"replicas": 1, "start_timeout_s": PATIENCE_S})
    rolled_out(settings)
    head = Head(cpus=0, workers={"teacher": TEACHER})
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
            env = head.env | {"RAY_ADDRESS": head.address}
            seen = processes.submit(driver, settings, env).result()
    finally:
        head.close()
    assert seen == {"before": 0, "teaching": 1, "replicas": 1, "after": 0}
