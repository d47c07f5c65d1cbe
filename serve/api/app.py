"""The ASGI application: its routes, its background tasks, and the guard around both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from serve.api import edits, health, jobs, models, page, results
from serve.api.failures import HANDLERS
from serve.guard import Guard
from serve.jobs import Jobs
from serve.service import PER_REPLICA, Service
from serve.settings import listed


def create_app(service: Service, alive: Callable[[], Awaitable[int]]) -> Guard:
    """Returns the application over `service`; `alive` counts the warm replicas."""
    settings = service.settings
    app = FastAPI(
        title="v4e",
        summary="Edit images by instruction.",
        docs_url=None,
        redoc_url=None,
        exception_handlers=HANDLERS,
        lifespan=lambda app: _lifespan(app.state.service, app.state.jobs, alive),
    )
    app.state.service, app.state.jobs = service, Jobs(service)
    for topic in (edits, jobs, results, models, health, page):
        app.include_router(topic.router)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=listed(settings.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["x-request-id", "x-should-retry", "retry-after", "retry-after-ms"],
        )
    return Guard(
        app,
        upload_bytes=settings.upload_bytes,
        held_bytes=settings.upload_bytes * (settings.waiting + PER_REPLICA * settings.max_replicas),
        local=not service.keys,
        hosts=[name.lower() for name in listed(settings.hosts)],
        metrics=service.metrics,
    )


@asynccontextmanager
async def _lifespan(service: Service, jobs: Jobs, alive: Callable[[], Awaitable[int]]) -> AsyncIterator[None]:
    """Runs jobs and counts replicas while the application lives, then closes the store."""
    runner, watcher = asyncio.create_task(jobs.run()), asyncio.create_task(service.watch(alive))
    yield
    watcher.cancel()
    jobs.stop()
    await asyncio.gather(runner, watcher, return_exceptions=True)
    service.store.close()
