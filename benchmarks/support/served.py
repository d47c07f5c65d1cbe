"""The serving application over real HTTP in this process, the real model in it, without Ray; pictures for it."""

import asyncio
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import uvicorn
from PIL import Image

from serve.api.app import create_app
from serve.engine import EditEngine
from serve.service import Service
from serve.settings import Settings

# A test may not fail because the machine is busy, nor because a server closed a connection that was idle.
http = httpx.Client(timeout=120.0, limits=httpx.Limits(max_keepalive_connections=0))
SMALL = {"max_pixels": 32 * 32, "warm": "32x32"}


def picture(seed: int = 0, size: tuple[int, int] = (32, 32)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8))


def png(image: Image.Image | None = None) -> bytes:
    file = io.BytesIO()
    (image or picture()).save(file, "PNG")
    return file.getvalue()


def opened(blob: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(blob))
    image.load()
    return image


@contextmanager
def served(settings: Settings, engine: EditEngine, edits=None, alive=None) -> Iterator[str]:
    """Serves the application with these settings and yields its base URL."""
    service = Service(settings, edits or engine.edit)
    config = uvicorn.Config(create_app(service, alive or engine.alive), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=asyncio.run, args=(server.serve(),))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            threading.Event().wait(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
