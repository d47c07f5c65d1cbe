"""Health, readiness and metrics, for load balancers and Prometheus."""

from fastapi import APIRouter, Response

from serve.api.access import TheOwner, TheService
from serve.api.docs import ERRORS
from serve.errors import overloaded

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict:
    """Answers 200 if this process is up."""
    return {"status": "ok"}


@router.get("/readyz", responses=ERRORS)
async def readyz(service: TheService) -> dict:
    """Answers 200 if there is a warm replica, even if it is busy."""
    if not service.replicas:
        raise overloaded("No replica is ready.")
    return {"status": "ready"}


@router.get("/metrics", response_class=Response, responses=ERRORS)
async def metrics(service: TheService, _owner: TheOwner) -> Response:
    """Returns the counters for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
