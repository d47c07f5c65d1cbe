"""Fixtures that tests share: one weight folder, one local Ray cluster, one thread for torch, no network."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, which is not done here: many tests do without it
os.environ.setdefault("RAY_worker_niceness", "0")  # instead of 15, with which a busy machine hardly runs them
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import ast
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RAY, PRETENDED = "ray", "tests/gpu/"  # groups of tests
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
)  # of what they start


@cache
def on_ray(file: Path) -> tuple[bool, frozenset[str]]:
    """Returns whether all tests of a file are marked ``ray``, and the names of those that are."""
    body = ast.parse(file.read_text()).body
    marks = [ast.unparse(n.value) for n in body if isinstance(n, ast.Assign) and "pytestmark" in ast.unparse(n.targets)]
    named = (
        n.name
        for n in body
        if isinstance(n, ast.FunctionDef) and any("mark.ray" in ast.unparse(d) for d in n.decorator_list)
    )
    return "mark.ray" in "".join(marks), frozenset(named)


def group_of(nodeid: str) -> str:
    """The group that a test belongs to, which one worker runs whole: RAY, PRETENDED, or its file.

    So one cluster serves all tests on Ray, and one import of torch and diffusers all on a pretended GPU. xdist's own
    ``loadgroup`` does nothing under pytest 9.2.
    """
    name, _, test = nodeid.partition("::")
    every, named = on_ray(ROOT / name)
    if every or test.partition("[")[0] in named:
        return RAY
    return PRETENDED if name.startswith(PRETENDED) else name


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Give each worker whole groups, in the order of the collected tests."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests: on Ray first, then files with slow tests, then the others, so that no long file comes last."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    order = {}
    for item in items:
        ray = group_of(item.nodeid) == RAY
        order[item] = 0 if ray else 1 if item.path in slow else 2
        if ray:
            item.fixturenames.insert(0, "forked_workers")  # pyright: ignore[reportAttributeAccessIssue]
        if "cluster" in getattr(item, "fixturenames", ()) and not ray:
            raise pytest.UsageError(f"{item.nodeid} uses the cluster: mark it with @pytest.mark.ray")
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
def postgres_server():
    """A real PostgreSQL server: see `benchmarks/support/postgres.py`."""
    from benchmarks.support.postgres import postgres

    with postgres() as server:
        if server is None:
            pytest.skip("no PostgreSQL server is installed: apt-get install postgresql")
        yield server


@pytest.fixture(scope="session")
def forked_workers():
    """Whatever Ray the tests start, its workers are forks of one process: see `support/ray_worker.py`."""
    import tempfile

    from tests.support import ray_worker

    with tempfile.TemporaryDirectory(prefix="v4e-") as folder, ray_worker.server(folder):  # a short path, for sockets
        yield


@pytest.fixture(scope="session")
def cluster(forked_workers):
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
