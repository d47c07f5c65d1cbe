"""The ICG against vLLM's own OpenAI server, with the real small model, over HTTP."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from actors.llm.engine import environment
from v4e.captions.checks import check_caption
from v4e.captions.endpoint import EndpointModel
from v4e.captions.small_llm import resolve_model
from v4e.captions.vote import label_bias
from v4e.captions.write import CaptionRequest, write
from v4e.config import Caption
from v4e.language.tasks import TASKS

TIME_LIMIT_S = 400


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    env = {**os.environ, **environment("", 0), "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    command = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)),
        *("--model", resolve_model(""), "--served-model-name", "smollm2", "--dtype", "bfloat16", "--enforce-eager"),
        *("--max-model-len", "2048", "--max-num-seqs", "16", "--block-size", "32"),
        *("--kv-cache-memory-bytes", str(256 << 20)),
    ]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", server, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(60)


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    limit = time.monotonic() + TIME_LIMIT_S
    while time.monotonic() < limit:
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-3000:])


@pytest.mark.slow
@pytest.mark.long
def test_captions_and_votes_come_from_vllms_own_server(url: str):
    config = Caption(url=url, model="smollm2", candidates=3, parallel=8)
    engine = EndpointModel(config)
    bias = label_bias(engine)
    assert len(bias) == len(TASKS) and all(value < 0 for value in bias)
    near, far = engine.likelihood([("The capital of France is", " Paris"), ("The capital of France is", " cheese")])
    assert far < near < 0
    asked = [
        CaptionRequest(instruction="make the red circle blue"),
        CaptionRequest(instruction="remove the lamp"),
        CaptionRequest(instruction="a bit more drama please"),  # no rule knows it
        CaptionRequest(instruction="write “Öl & 茶” on the sign"),
    ]
    rows = write(asked, engine, lambda: bias, candidates=3, vote="unsure")
    assert [row.label.task for row in rows[:2]] == ["color", "removal"] and rows[2].label.llm in TASKS
    assert engine.tokens > 0 and sum(row.origin != "template" for row in rows) >= 1
    for request, row in zip(asked, rows, strict=True):
        if row.origin != "template":
            assert check_caption(row.caption, request.instruction, row.label.task) == []
    assert "Öl & 茶" in rows[3].caption
