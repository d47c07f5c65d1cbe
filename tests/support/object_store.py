"""An S3 on loopback, by moto: real requests to a real server, which can hold an upload back."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fsspec.core import url_to_fs
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

BUCKET = "s3://v4e"


class ObjectStore:
    """The server. An upload whose path holds `held` waits for :meth:`release`, and is then refused."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.app = DomainDispatcherApplication(create_backend_app)
        self.server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=MotoRequestHandler)
        self.held = ""
        self.uploads: list[str] = []  # paths, as they came
        self.reached, self.released = threading.Event(), threading.Event()

    def __call__(self, environ, start_response):
        if environ["REQUEST_METHOD"] in ("PUT", "POST"):
            self.uploads.append(environ["PATH_INFO"])
            if self.held and self.held in environ["PATH_INFO"]:
                self.reached.set()
                self.released.wait()
                return Response(status=503)(environ, start_response)
        return self.app(environ, start_response)

    def hold(self, held: str) -> None:
        self.held = held
        self.reached.clear()
        self.released.clear()

    def release(self) -> None:
        self.held = ""
        self.released.set()


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Serves :data:`BUCKET` to this process and its children."""
    store = ObjectStore()
    threading.Thread(target=store.server.serve_forever, daemon=True).start()
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.server.server_port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = dict(os.environ)
    os.environ.update(settings)
    fs, bucket = url_to_fs(BUCKET, skip_instance_cache=True)
    fs.mkdir(bucket)
    try:
        yield store
    finally:
        store.release()
        store.server.shutdown()
        os.environ.clear()
        os.environ.update(before)
