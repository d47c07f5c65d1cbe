"""v4e fetch from a hub of our own: what comes, what does not, and what a user reads if it cannot come."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import pytest

from pipelines.stages import rollout
from tests.support.processes import ROOT
from v4e.config import parse
from v4e.data.store.store import RolloutStore
from v4e.weights import needed

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol that a download uses; repositories are folders by their ids."""

    folders: ClassVar[dict[str, Path]] = {}

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).removeprefix("/")
        if not path.startswith("api/models/"):
            return self._file(path, whole=True)
        owner, name, kind, *_ = path.removeprefix("api/models/").split("/")
        folder = self.folders.get(f"{owner}/{name}")
        if folder is None:
            return self._reply(404, b"", {"X-Error-Code": "RepoNotFound"})
        if kind == "revision":
            return self._reply(200, json.dumps({"id": f"{owner}/{name}", "sha": COMMIT}).encode(), {})
        files = [file for file in folder.rglob("*") if file.is_file()]
        tree = [
            {"type": "file", "path": str(file.relative_to(folder)), "size": file.stat().st_size, "oid": etag(file)}
            for file in files
        ]
        self._reply(200, json.dumps(tree).encode(), {})

    def do_HEAD(self) -> None:
        self._file(unquote(urlsplit(self.path).path).removeprefix("/"), whole=False)

    def _file(self, path: str, *, whole: bool) -> None:
        owner, name, *rest = path.split("/")
        if f"{owner}/{name}" not in self.folders:
            return self._reply(404, b"", {})
        file = Path(self.folders[f"{owner}/{name}"], *rest[2:])
        self._reply(200, file.read_bytes(), {"ETag": f'"{etag(file)}"', "X-Repo-Commit": COMMIT}, whole)

    def _reply(self, status: int, body: bytes, headers: dict[str, str], whole: bool = True) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def etag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@pytest.fixture
def hub(random_family) -> Iterator[str]:
    Hub.folders = {"wan/i2v": random_family / "tiny-wan-i2v", "wan/flf2v": random_family / "tiny-wan-flf2v"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetch(hub: str, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    env |= {"HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-W", "ignore", str(ROOT / "pipelines" / "fetch.py"), *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_what_a_run_reads_is_fetched_and_no_more(hub, tmp_path):
    models = ("models.student=wan/i2v", "models.teacher=wan/flf2v")
    done = fetch(hub, tmp_path, "recipe=tiny", *models, "teacher.guidance=5")
    assert done.returncode == 0, done.stderr
    student, teacher = (tmp_path / "hub" / f"models--wan--{name}" / "snapshots" / COMMIT for name in ("i2v", "flf2v"))
    assert {part.name for part in student.iterdir() if part.is_dir()} == set(needed.PIPELINE) & {
        part.name for part in Hub.folders["wan/i2v"].iterdir()
    }
    assert {part.name for part in teacher.iterdir() if part.is_dir()} == {
        "transformer",
        "scheduler",
        "text_encoder",
        "tokenizer",
    }
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert (teacher / weights).read_bytes() == (Hub.folders["wan/flf2v"] / weights).read_bytes()


@pytest.mark.slow
def test_a_model_that_is_nowhere_is_named_in_one_line(hub, tmp_path):
    done = fetch(hub, tmp_path, "recipe=tiny", "models.student=wan/nothing")
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert "wan/nothing" in line and "hf download wan/nothing" in line


def test_a_recipe_of_14b_needs_student_teacher_and_captioner():
    config = parse(["recipe=wan14b_480p"])
    assert [d.model for d in needed.student(config)] == [config.models.student]
    assert [d.parts for d in needed.teacher(config)] == [("transformer", "scheduler")]
    [guided] = needed.teacher(parse(["recipe=wan14b_480p", "teacher.guidance=5.5"]))
    assert guided.parts == ("transformer", "scheduler", "text_encoder", "tokenizer")
    assert [d.parts for d in needed.captioner(config)] == [()]
    assert not needed.student(parse(["recipe=tiny"]))
    assert not needed.teacher(parse(["recipe=tiny"]))
    assert not needed.captioner(parse(["recipe=tiny"]))


def test_a_teacher_is_fetched_before_a_replica_has_to_be_up_in_time(monkeypatch, tmp_path, random_family):
    """``teacher.start_timeout_s`` is for loading."""
    happened = []

    def started(*_: object) -> None:
        happened.append("start")
        raise InterruptedError

    def fetched(downloads, **_) -> None:
        happened.extend(download.model for download in downloads)

    monkeypatch.setattr(needed, "teacher", lambda config: [needed.Download(model=config.models.teacher)])
    monkeypatch.setattr(rollout, "connect", lambda: None)
    monkeypatch.setattr(rollout, "fetch_everywhere", fetched)
    monkeypatch.setattr(rollout, "teacher_pool", started)
    teacher = str(random_family / "tiny-wan-flf2v")
    config = parse([f"run.dir={tmp_path}", f"models.teacher={teacher}"])
    with pytest.raises(InterruptedError):
        rollout.sample(config, [("a",)], {"a"}, RolloutStore.open(config))
    assert happened == [teacher, "start"]
