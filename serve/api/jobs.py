"""Edits that go on without a connection: create, list, poll, cancel."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request

from serve.api.access import TheJobs, TheOwner, TheService, base_url
from serve.api.docs import ERRORS, request_body
from serve.fields import JobFields, JsonJob
from serve.job_answers import placed, shown
from serve.parse import read_body
from serve.service import Service
from serve.store import Row

router = APIRouter(prefix="/v1/edits/jobs", tags=["jobs"])


@router.post("", status_code=202, openapi_extra=request_body(JsonJob, JobFields), responses=ERRORS)
async def create_job(
    request: Request,
    service: TheService,
    jobs: TheJobs,
    owner: TheOwner,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> dict:
    """An edit that goes on without a connection. The same Idempotency-Key gives the same job."""
    body = await read_body(request, JobFields, JsonJob, service.settings, service.store)
    row = await jobs.create(owner, body, idempotency_key)
    return await _shown(request, service, row)


@router.get("", responses=ERRORS)
async def list_jobs(
    service: TheService,
    owner: TheOwner,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=64)] = None,
) -> dict:
    """The key's jobs, the newest first, without pictures. The next page is that after the last one's id."""
    store = service.store
    rows = await store.ask(store.jobs, owner.name, limit + 1, after)
    data = [await store.ask(placed, row, store, service.replicas) for row in rows[:limit]]
    return {"object": "list", "data": data, "has_more": len(rows) > limit}


@router.get("/{job_id}", responses=ERRORS)
async def read_job(request: Request, job_id: str, service: TheService, jobs: TheJobs, owner: TheOwner) -> dict:
    """Status, place in the queue, progress, the newest preview and, when it has ended, the result or the error."""
    return await _shown(request, service, await jobs.find(owner, job_id))


@router.post("/{job_id}/cancel", responses=ERRORS)
async def cancel_job(request: Request, job_id: str, service: TheService, jobs: TheJobs, owner: TheOwner) -> dict:
    """Ends a job within one step of the model. One that has ended stays as it is."""
    await jobs.cancel(await jobs.find(owner, job_id))
    return await _shown(request, service, await jobs.find(owner, job_id))


async def _shown(request: Request, service: Service, row: Row) -> dict:
    base = base_url(request, service.settings)
    return await service.store.ask(shown, row, service.store, service.replicas, base)
