"""Benchmarks in the official layouts with rows of our own, edits of them, and a judge behind real HTTP."""

import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image, ImageOps

from v4e.config import Config, parse
from v4e.evaluation.suites import gedit, imgedit
from v4e.evaluation.suites.places import folder, read


def arguments(fixture: Path, run: Path, *more: str) -> list[str]:
    options = [
        *(f"run.dir={run}", f"bench.gedit={fixture / 'gedit'}", f"bench.gedit_code={fixture / 'gedit_code'}"),
        *(f"bench.imgedit={fixture / 'imgedit' / 'Benchmark.tar'}", f"bench.imgedit_code={fixture / 'imgedit_code'}"),
        *(f"bench.rise={fixture / 'rise'}", f"bench.rise_code={fixture / 'rise_code'}"),
        *(f"bench.multiturn={fixture / 'multiturn'}", "bench.rubrics=given", "bench.stages=judge"),
        *("bench.models=theirs", "bench.suites=gedit,imgedit,uge", "judge.parallel=2"),
        *more,  # in the place of the same key above
    ]
    return [f"{key}={value}" for key, value in dict(option.split("=", 1) for option in options).items()]


def plant(config: Config) -> None:
    """Edits of all items by another program, as it were: the sources upside down, of another size."""
    for name in config.bench.suites:
        for model, _ in config.bench.named:
            suite = read(config, name, model)
            if name == "gedit":
                assert gedit.lay_out_sources(config.bench, suite.items) == []
            elif name != "rise":
                assert imgedit.lay_out_sources(config.bench, name, suite.items, folder(config, name)) == []
            for item in suite.items:
                Path(item.edited).parent.mkdir(parents=True, exist_ok=True)
                ImageOps.flip(Image.open(item.source)).resize((40, 48)).save(item.edited)


def outputs(run: Path) -> dict[str, bytes]:
    """All that a run writes, but for how long it took."""
    files = (p for p in run.rglob("*") if p.is_file() and p.name != "stages.json")
    return {str(p.relative_to(run)): p.read_bytes() for p in files}


def drawn(text: str) -> str:
    """A well-formed reply to the fixture's prompts, drawn from the request."""
    dice = hashlib.sha256(text.encode()).digest()
    if '"score"' in text:
        return f'```json\n{{"score": [{dice[0] % 11}, {dice[1] % 11}], "reasoning": "seen"}}\n```'
    names = [line.split(":")[0] for line in text.splitlines() if ": N" in line or ": A number" in line]
    return "\n".join(["Brief reasoning: seen.", *(f"{name}: {1 + dice[n] % 5}" for n, name in enumerate(names))])


@contextmanager
def http_judge(reply: Callable[[dict], str | tuple[int, dict]], port: int = 0):
    """(base URL, requests so far) of a server on loopback that speaks OpenAI's chat API.

    Replies are of one judge where its `port` is the same; 0 is a free one.

    `reply` gets the request and gives the text, or (status, body) of an error.
    """
    seen: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.append(request)
            answer = reply(request)
            status, body = (200, completion(answer)) if isinstance(answer, str) else answer
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
    finally:
        server.shutdown()
        server.server_close()


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1].split("/")[0])


def completion(text: str | None, finish: str = "stop", model: str = "test", **message) -> dict:
    message = {"role": "assistant", "content": text} | message
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def text_of(request: dict) -> str:
    """All text and the images of a request: what a reply may depend on."""
    return json.dumps(request["messages"])


def words_of(request: dict) -> str:
    return "".join(part["text"] for part in request["messages"][0]["content"] if part["type"] == "text")


def honest(request: dict) -> str:
    """Answers readably, by what is asked and shown."""
    return drawn(words_of(request) + hashlib.sha256(text_of(request).encode()).hexdigest())


def config_of(fixture: Path, run: Path, *more: str) -> Config:
    return parse(arguments(fixture, run, *more))


def scores_of(run: Path, suite: str, backbone: str, model: str = "theirs") -> dict:
    return json.loads((run / "bench" / suite / model / backbone / "scores.json").read_text())


def lines(path: Path) -> Sequence[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
