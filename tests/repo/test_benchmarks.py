"""The benchmarks of the teacher pool run, in a form too small to say anything about speed."""

import sys
from dataclasses import replace

import pytest

from benchmarks.training import control_plane, overhead, stream
from tests.support.synthetic import rolled_out, stored
from v4e.config import tiny

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]


def test_every_target_of_a_stream_is_timed(cluster):
    rows = stream.measure(tiny(), (1, 1, 4, 32), 3, rounds=2)
    assert [(row["prefetch"], row["bytes"]) for row in rows] == [(1, 256), (4, 256)]
    assert all(row["vs_memcpy_min"] <= row["vs_memcpy"] <= row["vs_memcpy_max"] for row in rows)
    assert all(row["ms"] > 0 for row in rows)


def test_a_transport_that_is_not_there_is_named(monkeypatch):
    assert stream.unavailable("object_store") == ""
    monkeypatch.setitem(sys.modules, "nixl", None)
    assert "pip install nixl" in stream.unavailable("nixl")


def test_a_stubs_sleep_is_not_counted_as_the_pools(cluster):
    row = control_plane.measure(control_plane.start_students(2), 0.05, 3, idle_s=0.1)
    assert row["replicas"] == 2
    assert 0 < row["requests_per_s"] < row["ideal_per_s"] == 40
    assert row["added_ms"] > 0


def test_steps_and_their_parts_are_timed(tmp_path, random_family, cluster):
    steps = overhead.WARM + 3
    config = stored(tmp_path, random_family, 3, data={"store": f"{tmp_path}/store"})
    optim = replace(config.optim, steps=steps, batch=1, accumulate=2)
    config = replace(config, optim=optim, train=replace(config.train, checkpoint_every=steps))
    rolled_out(config)
    [row] = overhead.overlapped(config, rounds=1)
    assert row["step_over_parts"] == pytest.approx(row["step_ms"] / max(row["student_ms"], row["teacher_ms"]))
    assert 0 <= row["wait_share"] < 1
    row = overhead.delayed(config, 2, 0.01, (3, 1, 32, 160))
    assert row["replicas"] == 2
    assert 0 < row["wait_share"] < 1
