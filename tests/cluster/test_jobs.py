"""``ray job submit --working-dir . -- python pipelines/train.py ...`` on a real head."""

import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.heads import Head
from tests.support.synthetic import rolled_out, stored
from v4e.files import journal
from v4e.training import checkpoint

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.long]
SUBMIT = ("job", "submit", "--working-dir", ".")


@pytest.fixture(scope="module")
def head():
    """With room for one training worker and one teacher: a job that stops and keeps some starves the next."""
    head = Head(cpus=2)
    yield head
    head.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory, random_family) -> Path:
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "family").symlink_to(random_family)
    rolled_out(stored(folder / "shared", random_family, 4))
    return folder


def training(place: Path, name: str, *more: str) -> list[str]:
    return [
        *("--", "python", "pipelines/train.py", "recipe=tiny", "tail.context=source", f"run.dir={place / name}"),
        f"data.store={place / 'shared' / 'store'}",
        f"models.student={place / 'family' / 'tiny-wan-i2v'}",
        f"models.teacher={place / 'family' / 'tiny-wan-flf2v'}",
        *("optim.batch=2", "watch.samples_every=0", "train.log_every=1", *more),
    ]


def submit(head: Head, *arguments: str) -> subprocess.CompletedProcess[str]:
    return head.ray(*SUBMIT, "--address", head.url, *arguments)


def test_a_job_is_stopped_frees_its_room_and_the_next_one_trains_to_the_end(head, place):
    started = submit(head, "--no-wait", "--submission-id", "endless", *training(place, "endless", "optim.steps=100000"))
    assert started.returncode == 0, started.stdout + started.stderr
    while not journal.read(place / "endless" / "metrics.jsonl"):
        status = head.ray("job", "status", "--address", head.url, "endless").stdout
        assert "RUNNING" in status or "PENDING" in status, head.ray("job", "logs", "--address", head.url, "endless")
        time.sleep(1)
    stopped = head.ray("job", "stop", "--address", head.url, "endless")
    assert stopped.returncode == 0 and "was stopped" in stopped.stdout, stopped.stdout + stopped.stderr

    done = submit(head, *training(place, "short", "optim.steps=3"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"step 3/3 .*student", done.stdout) and "succeeded" in done.stdout  # its log came here
    assert checkpoint.steps_of(place / "short" / "checkpoints") == [3]
    assert [record["step"] for record in journal.read(place / "short" / "metrics.jsonl")] == [1, 2, 3]

    [*packages] = Path(head.folder, "ray").glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
    assert len(packages) == 1  # both jobs' code, which is the same
    files = [path for path in packages[0].rglob("*") if path.is_file()]
    assert (packages[0] / "pipelines" / "train.py") in files
    assert not {path.relative_to(packages[0]).parts[0] for path in files} & {"tests", "docs", "benchmarks", ".venv"}
    assert sum(path.stat().st_size for path in files) < 25 << 20


def test_a_users_mistake_fails_the_job_with_our_message_in_its_log(head, place):
    failed = submit(head, *training(place, "wrong", "optim.stepz=3"))
    assert failed.returncode == 1
    assert "error: unknown key 'optim.stepz': nearest is optim.steps" in failed.stdout
    assert not (place / "wrong").exists()
