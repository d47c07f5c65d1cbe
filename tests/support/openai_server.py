"""A server of another make that speaks OpenAI's protocol, over real HTTP: it answers from a table."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CAPTIONS = {
    "make the red circle blue": "The red circle gradually turns blue.",
    "remove the tree": "The tree gradually fades away.",
    "remove the red lamp": "The red lamp gradually fades away.",
    "Take away the yellow cross": "The yellow cross gradually fades away.",
    "paint the green heart yellow": "The green heart gradually turns yellow.",
    "add a hat": "Something else.",
}


class Server(ThreadingHTTPServer):
    """A server's requests so far, and how it behaves."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict] = []
        self.delay_s = 0.0  # before an answer
        self.failures = 0  # requests that still get a 500
        self.scores = True  # whether completions tell likelihoods
        self.key = ""  # that it wants; "" = any
        self.models = ("any",)
        self.page = False  # whether it is another program, which shows everybody its page
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        time.sleep(self.server.delay_s)
        if self.server.page:
            return self._reply(200, b"<html><body>It works!</body></html>", "text/html")
        if self.server.key not in ("", self.headers["authorization"].removeprefix("Bearer ")):
            return self._send(401, {"error": {"message": "Unauthorized"}})
        if body["model"] not in self.server.models:
            return self._send(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        if self.server.failures:
            self.server.failures -= 1
            return self._send(500, {"error": {"message": "starting"}})
        if self.path.endswith("/chat/completions"):
            return self._send(200, _chat(body))
        if not self.server.scores:
            return self._send(404, {"error": {"message": "no completions here"}})
        return self._send(200, _echo(body))

    def _send(self, status: int, answer: dict) -> None:
        self._reply(status, json.dumps(answer).encode(), "application/json")

    def _reply(self, status: int, data: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args) -> None:
        """Nothing."""


def _chat(body: dict) -> dict:
    instruction = body["messages"][-1]["content"].split("\n")[0].removeprefix("Instruction: ")
    text = json.dumps({"caption": CAPTIONS.get(instruction, f"The thing gradually changes: {instruction}")})
    choice = {"finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": at, **choice} for at in range(body.get("n") or 1)],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    }


def _echo(body: dict) -> dict:
    """Returns one token a character of the prompt, each with log-probability -1, and one more that was generated."""
    prompt = body["prompt"]
    told = {"tokens": [*prompt, "."], "token_logprobs": [None, *[-1.0] * len(prompt)], "top_logprobs": None}
    told["text_offset"] = list(range(len(prompt) + 1))
    choice = {"index": 0, "text": f"{prompt}.", "finish_reason": "length", "logprobs": told}
    return {"id": "1", "object": "text_completion", "created": 0, "model": body["model"], "choices": [choice]}


@contextmanager
def serve() -> Iterator[Server]:
    """Yields a server that runs."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
