"""Fixtures that tests share: one weight folder, one local Ray cluster, one thread for torch, no network."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which is not done here: many tests do without it
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def random_family(tmp_path_factory) -> Path:
    """Folder with ``tiny-wan-i2v`` and ``tiny-wan-flf2v`` of random weights."""
    from v4e.models.tiny import save_random

    folder = tmp_path_factory.mktemp("family")
    save_random(folder)
    return folder


@pytest.fixture(scope="session")
def cluster():
    """A local Ray cluster, shared by the session."""
    import ray

    from actors.cluster import connect

    os.environ |= {"RAY_metrics_report_interval_ms": "1000"}  # instead of 10 s, for the test of metrics
    os.environ |= {"RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve.proxy:middlewares"}  # as `make serve` does
    connect()
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory) -> Path:
    """GEdit-Bench and ImgEdit-Bench as a user would have them, with two rows of our own in each group."""
    from pipelines.parts import benchmark_fixture

    folder = tmp_path_factory.mktemp("benchmarks")
    benchmark_fixture.write(folder)
    return folder


@pytest.fixture(scope="module")
def engine(settings):
    """The model of a module's own fixture `settings`."""
    from serve.engine import Engine

    return Engine(settings)


@pytest.fixture(scope="module")
def url(settings, engine):
    """The address of a server of it."""
    from benchmarks.support.served import served

    with served(settings, engine) as url:
        yield url
