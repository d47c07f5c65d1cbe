"""The envelope around the answers of Serve's proxy itself: that the front has died, is full or is not deployed.

Set ``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.proxy:middlewares`` in the environment in which Ray is started.
Without it, such an answer is plain text.
"""

import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import ApiError, crashed, not_found, overloaded
from serve.guard import HEADERS

OWN = (404, 408, 429, 500, 503)  # Serve's own answers with a line of text; pages of other applications pass unchanged
REQUEST_ID = "x-request-id"


class Enveloped:
    """ASGI middleware around the proxy."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        incoming = MutableHeaders(scope=scope)
        # Serve would set one later, too late for the answers that are made here; it keeps an existing one.
        request_id = incoming.setdefault(REQUEST_ID, str(uuid.uuid4()))
        begun = replaced = False

        async def answer(error: ApiError) -> None:
            response = error.response()
            response.headers.update({REQUEST_ID: request_id} | HEADERS)
            await response(scope, receive, send)

        async def checked_send(message: Message) -> None:
            nonlocal begun, replaced
            if message["type"] == "http.response.start":
                begun = True
                kind = Headers(raw=list(message["headers"])).get("content-type", "text/plain")
                replaced = message["status"] in OWN and kind.startswith("text/plain")
                if replaced:
                    await answer(_enveloped(message["status"], request_id))
            if not replaced:
                await send(message)

        await self._app(scope, receive, checked_send)
        if not begun:  # the front died under this request
            await answer(overloaded("The server was restarted under this request: try again."))


def _enveloped(status: int, request_id: str) -> ApiError:
    """Returns the error for an answer that Serve gave as a line of text."""
    if status == 404:
        return not_found("There is no such address, or the server is not deployed (yet).")
    if status == 500:
        return crashed(request_id)
    return overloaded("The server takes no more: try again.")


def middlewares() -> list[Middleware]:
    """Returns the middlewares that Serve adds to its proxy."""
    return [Middleware(Enveloped)]
