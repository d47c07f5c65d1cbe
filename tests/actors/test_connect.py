"""The environment of a local Ray: its workers have ours, and the process that starts it keeps its own."""

import os

import pytest

from actors.cluster import WORKER_ENV, environment


def test_a_variable_is_set_for_a_block_and_then_as_before(monkeypatch):
    monkeypatch.setenv("V4E_SET", "before")
    monkeypatch.delenv("V4E_UNSET", raising=False)
    with pytest.raises(RuntimeError), environment({"V4E_SET": "inside", "V4E_UNSET": "inside"}):
        assert (os.environ["V4E_SET"], os.environ["V4E_UNSET"]) == ("inside", "inside")
        raise RuntimeError
    assert os.environ["V4E_SET"] == "before"
    assert "V4E_UNSET" not in os.environ


@pytest.mark.ray
def test_workers_of_a_local_ray_have_its_environment(cluster):
    import ray

    @ray.remote(num_cpus=0)
    def seen() -> dict[str, str | None]:
        return {name: os.environ.get(name) for name in WORKER_ENV}

    assert ray.get(seen.remote()) == WORKER_ENV
    assert "MALLOC_MMAP_THRESHOLD_" not in os.environ
