"""The HTTP API: OpenAI's image edits, our jobs, results, health, metrics, and the page."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from starlette.exceptions import HTTPException

from serve import answers
from serve.docs import ERRORS, page, request_body
from serve.errors import ApiError, crashed, not_found, overloaded
from serve.fields import EditFields, JobFields, JsonEdit, JsonJob
from serve.guard import Guard
from serve.jobs import Jobs, shown
from serve.keys import Owner
from serve.order import Step
from serve.outside import check_url
from serve.parse import read_body
from serve.service import PER_REPLICA, Service
from serve.work import Work

KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# The page's files by name, read once: no path of a request is ever opened.
PAGE = {file.name: file.read_bytes() for file in (Path(__file__).parent / "page").iterdir() if file.suffix in KINDS}
STARTED = int(time.time())
CODES = {404: "not_found", 405: "method_not_allowed"}
SSE = {"cache-control": "no-store", "x-accel-buffering": "no"}


def _authenticated(
    request: Request, authorization: Annotated[str | None, Header(include_in_schema=False)] = None
) -> Owner:
    keys = request.app.state.keys
    owner = keys.owner(authorization)
    keys.count(owner)
    return owner


Asker = Annotated[Owner, Depends(_authenticated)]


def create_api(service: Service, alive: Callable[[], Awaitable[int]]) -> Guard:
    """The ASGI application over `service`; `alive` says how many replicas there are that are warm."""
    settings, jobs = service.settings, Jobs(service)

    @asynccontextmanager
    async def lifespan(_api: FastAPI):
        runners = [asyncio.create_task(jobs.run()), asyncio.create_task(service.watch(alive))]
        yield
        for runner in runners:
            runner.cancel()
            with suppress(asyncio.CancelledError):
                await runner
        await jobs.stop()
        service.store.close()

    api = FastAPI(title="v4e", summary="Edit images by instruction.", docs_url=None, redoc_url=None, lifespan=lifespan)
    api.state.keys = service.keys
    api.add_exception_handler(ApiError, lambda _r, e: e.response())  # type: ignore[attr-defined]
    api.add_exception_handler(HTTPException, lambda _r, e: _http_error(e))  # type: ignore[arg-type]
    api.add_exception_handler(RequestValidationError, lambda _r, e: _unprocessable(e))  # type: ignore[arg-type]
    api.add_exception_handler(Exception, lambda r, _e: crashed(_request_id(r)).response())

    @api.post("/v1/images/edits", openapi_extra=request_body(JsonEdit, EditFields), responses=ERRORS, tags=["edits"])
    async def edit(request: Request, owner: Asker) -> Response:
        """Edits an image. OpenAI's clients call it by `images.edit`."""
        body = await read_body(request, EditFields, JsonEdit, settings, service.store)
        streamed = body.fields.stream
        work = await service.prepare(body, previews=body.fields.partial_images if streamed else 0, tell=streamed)
        base = str(request.base_url)
        if not streamed:
            return JSONResponse(answers.response(work, await service.edit(owner, work), base))
        events = await _begun(service, owner, work)
        return StreamingResponse(
            answers.stream(work, events, _request_id(request), base), media_type="text/event-stream", headers=SSE
        )

    @api.post(
        "/v1/edits/jobs",
        status_code=202,
        openapi_extra=request_body(JsonJob, JobFields),
        responses=ERRORS,
        tags=["jobs"],
    )
    async def create_job(
        request: Request, owner: Asker, idempotency_key: Annotated[str | None, Header(max_length=255)] = None
    ) -> dict:
        """An edit that goes on without a connection. The same Idempotency-Key gives the same job."""
        body = await read_body(request, JobFields, JsonJob, settings, service.store)
        assert isinstance(body.fields, JobFields)
        if body.fields.stream:
            raise ApiError(400, "stream: a job is polled.", code="unsupported_value", param="stream")
        if body.fields.webhook_url is not None:
            check_url(body.fields.webhook_url, "webhook_url", settings.webhooks)
        work = await service.prepare(body, previews=0, tell=False)
        parts = [body.fields.model_dump_json(exclude_unset=True).encode(), body.source, body.mask or b""]
        fingerprint = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
        steps = sum(order.steps for order in work.orders)
        return shown(jobs.create(owner, body, steps, idempotency_key, fingerprint), service.store)

    def found(job_id: str, owner: Owner):
        if (row := service.store.job(job_id, owner.name)) is None:
            raise not_found(f"There is no job {job_id[:64]!r}.", param="job_id")
        return row

    @api.get("/v1/edits/jobs/{job_id}", responses=ERRORS, tags=["jobs"])
    async def read_job(job_id: str, owner: Asker) -> dict:
        """Status, progress, the newest preview and, when it has ended, the result or the error."""
        return shown(found(job_id, owner), service.store)

    @api.post("/v1/edits/jobs/{job_id}/cancel", responses=ERRORS, tags=["jobs"])
    async def cancel_job(job_id: str, owner: Asker) -> dict:
        """Ends a job within one step of the model. One that has ended stays as it is."""
        jobs.cancel(found(job_id, owner))
        return shown(found(job_id, owner), service.store)

    @api.get("/v1/results/{result_id}", response_class=Response, responses=ERRORS, tags=["edits"])
    async def read_result(result_id: str) -> Response:
        """The file of a result. Its id is the permission: it cannot be guessed."""
        result = service.store.result(result_id)
        if result is None:
            raise not_found(f"There is no result {result_id[:64]!r} (any more).", param="result_id")
        return Response(result.blob, media_type=result.mime)

    model = {"id": settings.model_name, "object": "model", "created": STARTED, "owned_by": "v4e"}
    model |= {"loras": list(settings.adapters), "steps": settings.steps, "max_steps": settings.max_steps}
    model |= {"max_pixels": settings.max_pixels}

    @api.get("/v1/models", responses=ERRORS, tags=["models"])
    async def models(_owner: Asker) -> dict:
        return {"object": "list", "data": [model]}

    @api.get("/v1/models/{model_id}", responses=ERRORS, tags=["models"])
    async def read_model(model_id: str, _owner: Asker) -> dict:
        if model_id != settings.model_name:
            message = f"There is no model {model_id[:64]!r}: expected {settings.model_name!r}."
            raise not_found(message, "model_not_found", "model")
        return model

    @api.get("/healthz", tags=["health"])
    async def healthz() -> dict:
        """That this process answers."""
        return {"status": "ok"}

    @api.get("/readyz", responses=ERRORS, tags=["health"])
    async def readyz() -> dict:
        """That there is a warm replica, however busy: send traffic."""
        if not service.replicas:
            raise overloaded("No replica is ready.")
        return {"status": "ready"}

    @api.get("/metrics", response_class=Response, responses=ERRORS, tags=["health"])
    async def metrics(_owner: Asker) -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @api.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(api.openapi()))

    @api.get("/", include_in_schema=False)
    async def index() -> Response:
        return await page_file("index.html")

    @api.get("/page/{name}", include_in_schema=False)
    async def page_file(name: str) -> Response:
        if name not in PAGE:
            raise not_found(f"There is no {name[:64]!r}.")
        return Response(PAGE[name], media_type=KINDS[Path(name).suffix])

    return Guard(
        api,
        upload_bytes=settings.upload_bytes,
        held_bytes=settings.upload_bytes * (settings.waiting + PER_REPLICA * settings.max_replicas),
        local=not service.keys,
        metrics=service.metrics,
    )


async def _begun(service: Service, owner: Owner, work: Work) -> AsyncGenerator[Step | dict, None]:
    """Events, after the first of them is there: what fails at once has a status of its own, not only an event."""
    events = service.events(owner, work)
    first = await anext(events)

    async def whole() -> AsyncGenerator[Step | dict, None]:
        try:
            yield first
            async for event in events:
                yield event
        finally:
            await events.aclose()

    return whole()


def _request_id(request: Request) -> str:
    return request.headers.get("x-request-id", "")


def _http_error(error: HTTPException) -> JSONResponse:
    code = CODES.get(error.status_code, "invalid_request")
    answer = ApiError(error.status_code, str(error.detail), code=code).response()
    answer.headers.update(error.headers or {})
    return answer


def _unprocessable(error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    param = str(first["loc"][-1])
    return ApiError(422, f"{param}: {first['msg']}.", code="invalid_value", param=param).response()
