"""The guard around the application: limits on bodies, headers for every answer, an envelope for every crash."""

import ipaddress
import logging
import time
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError, crashed, overloaded
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


def check_local(headers: Mapping[str, str], hosts: Collection[str]) -> None:
    """Refuses requests that a browser sends for another site, to this address or to a name that resolves to it.

    Without keys, being on this machine is the permission, and every web page open on it would have it too. `hosts` are
    names that lead here by the operator's will.

    Raises:
        ApiError: 403.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if not _is_local(host, hosts):
        message = (
            f"This server has no API keys and answers only as localhost, not as {host[:64]!r}: start it with "
            "hosts=NAME for another name of this machine, or with keys_file=... for others."
        )
        raise ApiError(403, message, code="forbidden_host")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        message = f"This server has no API keys and takes nothing from the pages of {origin[:64]!r}."
        raise ApiError(403, message, code="forbidden_origin")


def _is_local(host: str, hosts: Collection[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:  # not a host
        return False
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost") or name in hosts


class Guard:
    """ASGI middleware that limits bodies, adds headers and counts requests."""

    def __init__(
        self, app: ASGIApp, *, upload_bytes: int, held_bytes: int, local: bool, hosts: Collection[str], metrics: Metrics
    ):
        self._app, self._metrics = app, metrics
        self._upload_bytes = upload_bytes  # of one body
        self._held_bytes, self._held = held_bytes, 0  # of all bodies of requests under way
        self._local, self._hosts = local, hosts  # without keys: only the origin of a request is its permission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, read = time.monotonic(), 0, 0
        incoming = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        bare = scope["method"] == "HEAD"
        if bare:  # as GET, without its body
            scope = {**scope, "method": "GET"}
        request_id = incoming.get("x-request-id", "")  # Serve's proxy sets it, and sends it to the client

        async def checked_receive() -> Message:
            nonlocal read
            message = await receive()
            came = len(message.get("body", b""))
            read += came
            self._held += came
            if read > self._upload_bytes:
                raise self._too_large()
            if self._held > self._held_bytes:
                raise overloaded("The requests under way are as large as this server can hold: try again.")
            return message

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name.lower() for name, _ in message["headers"]}
                extra = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in there]
                message["headers"] = [*message["headers"], *extra]
            elif bare:
                message = {**message, "body": b""}
            await send(message)

        try:
            if self._local:
                check_local(incoming, self._hosts)
            length = incoming.get("content-length", "")
            if length.isdigit() and int(length) > self._upload_bytes:
                raise self._too_large()
            await self._app(scope, checked_receive, send_with_headers)
        except ApiError as error:
            if not status:
                await error.response()(scope, receive, send_with_headers)
        except ClientDisconnect:  # in the middle of its body: nobody reads an answer
            pass
        except Exception:
            log.exception("request %s crashed", request_id)
            if not status:
                await crashed(request_id).response()(scope, receive, send_with_headers)
        finally:
            self._held -= read
            route = getattr(scope.get("route"), "path", "other")
            # If no answer was begun, the client has disconnected.
            self._metrics.requests.labels(route, str(status or 499)).inc()
            self._metrics.request_seconds.labels(route).observe(time.monotonic() - start)

    def _too_large(self) -> ApiError:
        message = f"The body is larger than the {self._upload_bytes} bytes that this server takes."
        return ApiError(413, message, code="request_too_large")
