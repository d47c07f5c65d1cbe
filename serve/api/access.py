"""The parts of the server that a route gets by the type of its argument."""

from typing import Annotated

from fastapi import Depends, Header, Request

from serve.jobs import Jobs
from serve.keys import Owner
from serve.service import Service


async def _service(request: Request) -> Service:
    return request.app.state.service


async def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


TheService = Annotated[Service, Depends(_service)]
TheJobs = Annotated[Jobs, Depends(_jobs)]


async def _authenticated(
    service: TheService, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> Owner:
    owner = service.keys.owner(authorization)
    service.keys.count(owner)
    return owner


TheOwner = Annotated[Owner, Depends(_authenticated)]


def request_id(request: Request) -> str:
    """Returns the request's id in Serve's proxy and in our log."""
    return request.headers.get("x-request-id", "")
