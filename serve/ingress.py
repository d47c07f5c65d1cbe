"""The two deployments on Ray Serve: one front, as many replicas of the model as there is work for."""

import asyncio
import ipaddress
import logging
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import cast

from ray import serve
from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from serve.api.app import create_app
from serve.engine import Engine
from serve.errors import Lost
from serve.guard import Guard
from serve.order import Event, Order
from serve.service import Service
from serve.settings import Settings

log = logging.getLogger("ray.serve")

GONE = (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError)


@serve.deployment
class Model(Engine):
    """A replica of the model. Adapters that it has lately used draw requests for them to it."""

    @serve.multiplexed(max_num_models_per_replica=4)
    async def _adapter(self, name: str) -> str:
        return name

    def check_health(self) -> None:
        try:
            super().check_health()
        except RuntimeError:
            # Serve would let what runs here finish first, and it never will. As a death it is made again elsewhere.
            log.exception("this replica ends itself")
            os._exit(1)

    async def edit(self, order: Order) -> AsyncGenerator[Event, None]:
        if order.lora is not None:
            await self._adapter(order.lora)  # type: ignore[operator]
        async with aclosing(super().edit(order)) as events:
            async for event in events:
                yield event


@serve.deployment
@serve.ingress()  # type: ignore[operator]
class Front:
    """HTTP, keys, queue, jobs. One replica: fairness and limits are over all requests, and it does no model's work."""

    def __init__(self, settings: Settings, model: DeploymentHandle):
        self._service = Service(settings, edits_of(model))
        check_host(str(_http_host()), bool(self._service.keys))
        self._where = serve.get_replica_context().app_name, model.deployment_name
        # Its own thread: it stands still as long as Serve's controller does.
        self._counter = ThreadPoolExecutor(1, "count")

    def __serve_build_asgi_app__(self) -> Guard:
        return create_app(self._service, self._alive)

    async def _alive(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._counter, replicas_of, *self._where)


def replicas_of(application: str, deployment: str) -> int:
    """How many replicas Serve has that are warm and take requests. They need not answer for that: they may be busy."""
    there = serve.status().applications.get(application)
    return there.deployments[deployment].replica_states.get("RUNNING", 0) if there else 0  # type: ignore[call-overload]


def edits_of(model: DeploymentHandle):
    """Orders to events, by any living replica; an iteration that is not finished is cancelled there."""

    async def edits(order: Order) -> AsyncGenerator[Event, None]:
        handle = model.options(stream=True, multiplexed_model_id=order.lora or "")
        response = cast(DeploymentResponseGenerator, handle.edit.remote(order))
        finished = False
        try:
            async for event in response:
                yield event
            finished = True
        except RayTaskError as error:
            finished = True
            if isinstance(error, GONE):
                raise Lost from error
            raise
        except (*GONE, TaskCancelledError) as error:
            finished = True
            raise Lost from error
        finally:
            if not finished:
                with suppress(Exception):
                    response.cancel()

    return edits


def check_host(host: str, keys: bool) -> None:
    """Refuses to be reachable from other machines by whoever likes.

    Raises:
        ValueError: says what to do.
    """
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    if host != "localhost" and not keys:
        raise ValueError(
            f"http_options.host={host} is reachable from other machines and there are no API keys: set keys_file "
            "(`python -m serve.keys NAME >> keys.txt` makes one), or listen on 127.0.0.1"
        )


def _http_host() -> str:
    """Where Serve's proxies listen."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    assert client is not None
    return str(client.http_config.host)
