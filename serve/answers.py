"""Answers in the shapes of OpenAI's image API: one response, or a stream of server-sent events."""

import asyncio
import base64
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing

from serve.errors import ApiError, crashed
from serve.fields import EditFields
from serve.order import Step, Wait
from serve.work import EditWork
from v4e.files.results import encode
from v4e.wan import GRID, latent_frames

log = logging.getLogger("ray.serve")


def usage(work: EditWork) -> dict:
    """Returns the usage in tokens of 16 x 16 pixels of the model's grid each. Tokens of the text are not counted."""
    order = work.orders[0]
    cells = order.height // GRID * (order.width // GRID)
    out = len(work.orders) * cells * latent_frames(order.frames)
    return {
        "input_tokens": cells,
        "input_tokens_details": {"image_tokens": cells, "text_tokens": 0},
        "output_tokens": out,
        "total_tokens": cells + out,
    }


def response(work: EditWork, items: list[dict], base_url: str) -> dict:
    """Returns the body of a response without a stream."""
    return {
        "created": int(time.time()),
        "data": [with_url(work.fields, item, base_url) for item in items],
        **_described(work),
        "usage": usage(work),
    }


def with_url(fields: EditFields, item: dict, base_url: str) -> dict:
    """Adds the URL of its file to `item` if the client asked for URLs instead of bytes."""
    if fields.response_format != "url":
        return item
    urls = {
        f"{kind}url": f"{base_url}v1/results/{item[f'{kind}id']}"
        for kind in ("", "clip_", "region_")
        if f"{kind}id" in item
    }
    return item | urls


async def stream(
    work: EditWork, events: AsyncGenerator[Wait | Step | dict, None], request_id: str, base_url: str
) -> AsyncGenerator[bytes, None]:
    """Yields server-sent events exactly as OpenAI's clients type them.

    Progress is in comments, because clients show their users any event of an unknown type as a malformed preview.
    """
    shared = {"created_at": int(time.time()), **_described(work)}
    previews: Counter[int] = Counter()
    try:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, dict):
                    done = with_url(work.fields, event, base_url) | shared | {"usage": usage(work)}
                    yield _sse("image_edit.completed", {"b64_json": ""} | done)
                    continue
                if isinstance(event, Wait):
                    yield _waits(event)
                    continue
                yield f": step {event.step}/{event.steps}\n\n".encode()
                if event.preview is not None:
                    form = work.fields.output_format
                    blob = await asyncio.to_thread(encode, event.preview, form, work.fields.output_compression)
                    partial = shared | {"output_format": form}
                    partial |= {"b64_json": base64.b64encode(blob).decode(), "index": event.index}
                    yield _sse("image_edit.partial_image", partial | {"partial_image_index": previews[event.index]})
                    previews[event.index] += 1
    except ApiError as error:
        yield _sse("error", error.envelope)
    except Exception:
        log.exception("stream %s crashed", request_id)
        yield _sse("error", crashed(request_id).envelope)


def _described(work: EditWork) -> dict:
    fields = work.fields
    form = fields.clip_format if fields.output == "clip" else fields.output_format
    quality = fields.quality if fields.quality in ("low", "medium") else "high"  # an answer cannot say auto
    return {"size": work.size, "quality": quality, "background": "opaque", "output_format": form}


def _waits(wait: Wait) -> bytes:
    """Returns a comment that says what a request waits for."""
    if not wait.replicas:
        return b": no replica is ready\n\n"
    return f": queue {wait.place}/{wait.waiting}\n\n".encode() if wait.place else b": running\n\n"


def _sse(kind: str, body: dict) -> bytes:
    """Returns one event as text. An error has no type: clients recognize it by that."""
    whole = body if kind == "error" else {"type": kind, **body}
    return f"event: {kind}\ndata: {json.dumps(whole)}\n\n".encode()
