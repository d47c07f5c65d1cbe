"""What Serve's proxy says by itself, in the envelope: that the front has died or takes no more.

``RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=serve.proxy:middlewares`` in the environment that Ray is started in puts it
there; without, such an answer is plain text.
"""

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.errors import overloaded

OWN = (408, 429, 503)  # of Serve, with a line of text


class Enveloped:
    """ASGI around the proxy."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = replaced = False

        async def checked_send(message: Message) -> None:
            nonlocal begun, replaced
            if message["type"] == "http.response.start":
                begun = True
                kind = dict(message["headers"]).get(b"content-type", b"")
                replaced = message["status"] in OWN and not kind.startswith(b"application/json")
                if replaced:
                    await overloaded("The server takes no more: try again.").response()(scope, receive, send)
            if not replaced:
                await send(message)

        await self._app(scope, receive, checked_send)
        if not begun:  # the front died under this request
            await overloaded("The server was restarted under this request: try again.").response()(scope, receive, send)


def middlewares() -> list[Middleware]:
    """For Serve."""
    return [Middleware(Enveloped)]
