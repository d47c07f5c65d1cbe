"""A benchmark's edits, with the driver or an editing actor killed: the bytes of a run that nothing disturbed."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipelines.stages import benchmark
from tests.support.processes import actors_of_ours, kill_once, start
from tests.support.suites import arguments, outputs
from v4e.config import parse

BATCH = 2
pytestmark = [pytest.mark.ray, pytest.mark.slow]


def command(benchmarks: Path, family: Path, run: Path) -> list[str]:
    models = [f"models.student={family / 'tiny-wan-i2v'}", f"models.teacher={family / 'tiny-wan-flf2v'}"]
    more = ("bench.stages=generate", "bench.suites=gedit", "bench.models=native_i2v", f"bench.batch={BATCH}")
    return [*arguments(benchmarks, run, *more), *models, "sample.steps=2", "bench.actors=2"]


def made(run: Path) -> dict[str, Path]:
    return {p.name: p for p in run.glob("bench/gedit/native_i2v/fullset/*/en/*.png") if "SRCIMG" not in p.name}


@pytest.fixture(scope="module")
def whole(benchmarks, random_family, cluster, tmp_path_factory) -> dict[str, bytes]:
    """What a run writes that nothing disturbs."""
    run = tmp_path_factory.mktemp("whole")
    benchmark.run(parse(command(benchmarks, random_family, run)))
    return outputs(run)


@pytest.mark.long
def test_a_killed_driver_s_command_goes_on(benchmarks, random_family, whole, tmp_path):
    args = command(benchmarks, random_family, tmp_path)
    kill_once(start("benchmark.py", args), lambda: len(made(tmp_path)) > BATCH)
    before = {name: path.stat().st_mtime_ns for name, path in made(tmp_path).items()}
    assert 0 < len(before) < 22, "the kill was meant to fall into the middle"
    made(tmp_path)[max(before)].unlink()  # as if killed within a batch
    benchmark.run(parse(args))
    assert outputs(tmp_path) == whole
    kept = sum(path.stat().st_mtime_ns == before.get(name) for name, path in made(tmp_path).items())
    assert kept >= len(before) - BATCH  # all but the torn batch


@pytest.mark.long
def test_a_killed_actor_s_work_is_done_again(benchmarks, random_family, whole, cluster, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(benchmark.run, parse(command(benchmarks, random_family, tmp_path)))
        while not made(tmp_path) and not running.done():
            time.sleep(0.01)
        killed = actors_of_ours("EditActor")[0]
        killed.kill()
        assert not running.done(), "the kill was meant to fall into the middle"
        running.result()
    assert outputs(tmp_path) == whole
