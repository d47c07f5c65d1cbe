"""Edits that go on without a connection: create, poll, cancel."""

from typing import Annotated

from fastapi import APIRouter, Header, Request

from serve.api.access import TheJobs, TheOwner, TheService
from serve.api.docs import ERRORS, request_body
from serve.fields import JobFields, JsonJob
from serve.job_answers import shown
from serve.parse import read_body

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
    return shown(await jobs.create(owner, body, idempotency_key), service.store)


@router.get("/{job_id}", responses=ERRORS)
async def read_job(job_id: str, service: TheService, jobs: TheJobs, owner: TheOwner) -> dict:
    """Status, progress, the newest preview and, when it has ended, the result or the error."""
    return shown(jobs.find(owner, job_id), service.store)


@router.post("/{job_id}/cancel", responses=ERRORS)
async def cancel_job(job_id: str, service: TheService, jobs: TheJobs, owner: TheOwner) -> dict:
    """Ends a job within one step of the model. One that has ended stays as it is."""
    jobs.cancel(jobs.find(owner, job_id))
    return shown(jobs.find(owner, job_id), service.store)
