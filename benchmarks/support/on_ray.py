"""The application on a Ray and a port of its own, for benchmarks that measure or kill it."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from v4e.weights.student import BASE

PROXY = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"


@contextmanager
def on_ray(**settings: str) -> Iterator[str]:
    """Yields the application's base URL; its state is in a fresh folder."""
    os.environ[PROXY] = "serve.proxy:middlewares"  # read by the proxy when Ray starts it
    import ray

    from actors.cluster import WORKER_ENV, connect

    # As `serve run` starts it: without the pipelines' malloc settings, which make edits of large pictures slower.
    connect(worker_env={name: value for name, value in WORKER_ENV.items() if not name.startswith("MALLOC")})
    try:
        with on_serve(**settings) as url:
            yield url
    finally:
        ray.shutdown()


@contextmanager
def on_serve(**settings: str) -> Iterator[str]:
    """Serves the application on the Ray that this process has joined, and yields its base URL."""
    from ray import serve

    from serve.app import build

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(build({"model": BASE, "state": tempfile.mkdtemp(), **settings}))
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()


def replicas(deployment: str) -> list[psutil.Process]:
    """Returns the living processes of a deployment that this process has started."""
    return _children(f"ServeReplica:default:{deployment}")


def proxies() -> list[psutil.Process]:
    """Returns the processes of Serve's HTTP proxies."""
    return _children("ProxyActor")


def _children(name: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.status() != psutil.STATUS_ZOMBIE and any(name in part for part in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found
