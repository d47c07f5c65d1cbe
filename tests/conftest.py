"""Fixtures that tests share: one weight folder, one local Ray cluster, one thread for torch, no network."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which is not done here: many tests do without it
os.environ.setdefault("RAY_worker_niceness", "0")  # instead of 15, with which a busy machine hardly runs them
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
)  # of what they start


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes two groups of the tests on Ray, which a worker runs whole, and one of any other file.

    The large one comes first and that of Ray Serve last, so that one worker has a cluster for most of the time, and the
    other one all that needs none.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    order = {}
    for item in items:
        group = f"{item.path.parent.name}/{item.path.name}"
        order[item] = 1 if item.path in slow else 2
        if item.get_closest_marker("ray"):
            group, order[item] = ("ray-serve", 3) if item.path.parent.name == "serve" else ("ray", 0)
        elif "cluster" in getattr(item, "fixturenames", ()):
            raise pytest.UsageError(f"{item.nodeid} uses the cluster: mark it with @pytest.mark.ray")
        item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=order.__getitem__)


@pytest.fixture(scope="session", autouse=True)
def working_folder(tmp_path_factory):
    """Runs all tests in a folder with nothing but the default models: none finds what a demo left below ``runs/``."""
    folder, before = tmp_path_factory.mktemp("cwd"), os.getcwd()
    (folder / "v4e").symlink_to(ROOT / "v4e")
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(autouse=True)
def _leaves_nothing(working_folder):
    """Fails a test that writes outside of its own folders, and takes away what it left, for the next one."""
    yield
    left = {*os.listdir(working_folder)} - {"v4e"}
    for path in (working_folder / name for name in left):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not left, f"the test left {left} in the working folder: use tmp_path"


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


@pytest.fixture(scope="session")
def browse(tmp_path_factory):
    """A function that opens a page in the session's Chromium: see :func:`tests.support.browser.chromium`."""
    from tests.support.browser import chromium

    with chromium(tmp_path_factory.mktemp("pages")) as browse:
        yield browse


@pytest.fixture(scope="module")
def engine(settings):
    """The model of a module's own fixture `settings`."""
    from serve.engine import EditEngine

    return EditEngine(settings)


@pytest.fixture(scope="module")
def url(settings, engine):
    """The address of a server of it."""
    from benchmarks.support.served import served

    with served(settings, engine) as url:
        yield url
