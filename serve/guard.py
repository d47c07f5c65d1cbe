"""Around the whole application: limits on bodies, headers of every answer, and no crash without its envelope."""

import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError, crashed
from serve.metrics import Metrics

log = logging.getLogger("ray.serve")

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob: data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


class Guard:
    """ASGI around ASGI."""

    def __init__(self, app: ASGIApp, *, upload_bytes: int, metrics: Metrics):
        self._app, self._upload_bytes, self._metrics = app, upload_bytes, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, read = time.monotonic(), 0, 0
        incoming = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = incoming.get("x-request-id", "")  # Serve's proxy sets it, and tells it to the client

        async def checked_receive() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._upload_bytes:
                raise self._too_large()
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name.lower() for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            length = incoming.get("content-length", "")
            if length.isdigit() and int(length) > self._upload_bytes:
                raise self._too_large()
            await self._app(scope, checked_receive, send_with_headers)
        except ApiError as error:
            if not status:
                await error.response()(scope, receive, send_with_headers)
        except Exception:
            log.exception("request %s crashed", request_id)
            if not status:
                await crashed(request_id).response()(scope, receive, send_with_headers)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            # An answer that was never begun belongs to a client that has gone.
            self._metrics.requests.labels(route, str(status or 499)).inc()
            self._metrics.request_seconds.labels(route).observe(time.monotonic() - start)

    def _too_large(self) -> ApiError:
        message = f"The body is larger than the {self._upload_bytes} bytes that this server takes."
        return ApiError(413, message, code="request_too_large")
