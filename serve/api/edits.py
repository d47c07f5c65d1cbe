"""OpenAI's image edits: one answer, or a stream of events."""

from collections.abc import AsyncGenerator
from typing import TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from serve import answers
from serve.api.access import TheOwner, TheService, base_url, request_id
from serve.api.docs import ERRORS, request_body
from serve.fields import EditFields, JsonEdit
from serve.parse import read_body
from serve.work import check_model

T = TypeVar("T")
SSE = {"cache-control": "no-store", "x-accel-buffering": "no"}

router = APIRouter(tags=["edits"])


@router.post("/v1/images/edits", openapi_extra=request_body(JsonEdit, EditFields), responses=ERRORS)
@router.post("/openai/v1/images/edits", include_in_schema=False)  # Azure's paths
@router.post("/openai/deployments/{deployment}/images/edits", include_in_schema=False)
async def edit(request: Request, service: TheService, owner: TheOwner, deployment: str | None = None) -> Response:
    """Edits an image. OpenAI's clients call it by `images.edit`."""
    check_model(deployment, service.settings)
    body = await read_body(request, EditFields, JsonEdit, service.settings, service.store)
    streamed = body.fields.stream
    work = await service.prepare(body, previews=body.fields.partial_images if streamed else 0, tell=streamed)
    base = base_url(request, service.settings)
    if not streamed:
        return JSONResponse(answers.response(work, await service.edit(owner, work), base))
    events = await _begun(service.events(owner, work))
    return StreamingResponse(
        answers.stream(work, events, request_id(request), base), media_type="text/event-stream", headers=SSE
    )


async def _begun(events: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Returns `events` once the first of them is there, which is at once: a full queue then has a status of its own."""
    first = await anext(events)

    async def whole() -> AsyncGenerator[T, None]:
        try:
            yield first
            async for event in events:
                yield event
        finally:
            await events.aclose()

    return whole()
