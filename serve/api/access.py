"""The parts of the server that a route gets by the type of its argument."""

from typing import Annotated

from fastapi import Depends, Header, Request

from serve.jobs import Jobs
from serve.keys import Owner
from serve.service import Service
from serve.settings import Settings


async def _service(request: Request) -> Service:
    return request.app.state.service


async def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


TheService = Annotated[Service, Depends(_service)]
TheJobs = Annotated[Jobs, Depends(_jobs)]


HiddenHeader = Annotated[str | None, Header(include_in_schema=False)]


async def _authenticated(
    service: TheService, authorization: HiddenHeader = None, api_key: HiddenHeader = None
) -> Owner:
    """Returns the owner of a request's key; ``api-key`` is where Azure's clients send it."""
    owner = service.keys.owner(authorization if api_key is None else f"Bearer {api_key}")
    service.keys.count(owner)
    return owner


TheOwner = Annotated[Owner, Depends(_authenticated)]


def request_id(request: Request) -> str:
    """Returns the request's id in Serve's proxy and in our log."""
    return request.headers.get("x-request-id", "")


def base_url(request: Request, settings: Settings) -> str:
    """Returns the address of this server as clients see it, with a slash at its end.

    Without `public_url`, proxies that change the path say so in ``x-forwarded-prefix``.
    """
    if settings.public_url:
        return settings.public_url.rstrip("/") + "/"
    headers = request.headers
    scheme = headers.get("x-forwarded-proto", request.url.scheme)
    host = headers.get("x-forwarded-host", request.url.netloc)
    prefix = headers.get("x-forwarded-prefix", "").strip("/")
    return f"{scheme}://{host}/{prefix}/" if prefix else f"{scheme}://{host}/"
