"""The two deployments on Ray Serve: the fronts, and as many replicas of the model as the load needs."""

import asyncio
import ipaddress
import logging
import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from typing import cast

import ray
import torch
from ray import serve
from ray.exceptions import RayActorError, RayTaskError, TaskCancelledError
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponseGenerator

from serve.api.app import create_app
from serve.engine import EditEngine
from serve.errors import ReplicaLost
from serve.guard import Guard
from serve.order import Event, Order
from serve.service import Service
from serve.settings import Settings

log = logging.getLogger("ray.serve")

GONE = (RayActorError, DeploymentUnavailableError, ReplicaUnavailableError)


@serve.deployment
class EditModel(EditEngine):
    """A replica of the model. Requests for an adapter prefer a replica that used it recently."""

    def __init__(self, settings: Settings):
        # What Ray reserved decides: a node may have GPUs that are others'.
        super().__init__(settings, torch.device("cuda" if ray.get_gpu_ids() else "cpu"))

    @serve.multiplexed(max_num_models_per_replica=4)
    async def _adapter(self, name: str) -> str:
        return name

    def check_health(self) -> None:
        try:
            super().check_health()
        except RuntimeError:
            # Serve would wait for the edit under way, which never ends. After a death another replica makes it.
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
    """An HTTP front with keys, queue and jobs. Several share the jobs, and each has a part of the replicas."""

    def __init__(self, settings: Settings, model: DeploymentHandle):
        self._service = Service(settings, edits_of(model))
        check_host(str(_http_host()), bool(self._service.keys))
        self._where = serve.get_replica_context().app_name, model.deployment_name
        # A thread of its own: it blocks while Serve's controller does.
        self._counter = ThreadPoolExecutor(1, "count")

    def __serve_build_asgi_app__(self) -> Guard:
        return create_app(self._service, self._alive)

    async def _alive(self) -> int:
        return await asyncio.get_running_loop().run_in_executor(self._counter, replicas_of, *self._where)


def replicas_of(application: str, deployment: str) -> int:
    """Returns the number of warm replicas that take requests, as Serve knows it. Busy ones count too."""
    there = serve.status().applications.get(application)
    return there.deployments[deployment].replica_states.get("RUNNING", 0) if there else 0  # type: ignore[call-overload]


def edits_of(model: DeploymentHandle):
    """Returns the function that has an order carried out by a living replica; an unfinished iteration is cancelled."""

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
                raise ReplicaLost from error
            raise
        except (*GONE, TaskCancelledError) as error:
            finished = True
            raise ReplicaLost from error
        finally:
            if not finished:
                with suppress(Exception):
                    response.cancel()

    return edits


def check_host(host: str, keys: bool) -> None:
    """Refuses to be reachable from other machines without keys.

    Raises:
        ValueError: the message says what to do.
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
    """Returns the host on which Serve's proxies listen."""
    from ray.serve.context import _get_global_client

    client = _get_global_client()
    assert client is not None
    return str(client.http_config.host)
