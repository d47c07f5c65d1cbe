"""The application: ``serve run serve.app:app``, or ``serve.app:build name=value ...`` for other settings."""

import os

import click
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from serve.ingress import EditModel, Front
from serve.service import PER_REPLICA
from serve.settings import settings_from
from serve.startup import check

FRONT_REQUESTS = 1000  # at once; most are polls, or wait in our own queue, which has its own bound
ENV = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # a process that reserved no GPU sees none
# Otherwise glibc keeps a heap per thread of the front, and each heap grows with buffers of uneven sizes.
FRONT_ENV = {"MALLOC_ARENA_MAX": "1"}


class WrongSetting(click.ClickException, ValueError):
    """A wrong setting. `serve run` and `serve build` print the error as one line."""


def build(args: dict[str, str]) -> Application:
    """Builds the application with the settings `args`, which override those of the environment.

    ``serve/settings.py`` lists all settings.

    Raises:
        WrongSetting: a setting is wrong; nothing has been loaded yet.
    """
    try:
        settings = settings_from(args, os.environ)
        check(settings)
    except ValueError as error:
        raise WrongSetting(str(error)) from None
    model = EditModel.options(  # type: ignore[attr-defined]
        name="Model",
        max_ongoing_requests=PER_REPLICA,
        graceful_shutdown_timeout_s=settings.drain_s,
        max_surge_percent=100 if settings.surge else 0,
        health_check_period_s=2.0,
        health_check_timeout_s=30.0,
        autoscaling_config=AutoscalingConfig(
            min_replicas=settings.replicas,
            max_replicas=settings.max_replicas,
            target_ongoing_requests=PER_REPLICA / 2,
            upscale_delay_s=settings.upscale_s,
            downscale_delay_s=settings.downscale_s,
            look_back_period_s=settings.upscale_s,
            metrics_interval_s=settings.upscale_s / 2,
        ),
        # With a GPU it takes no CPU, so that a node needs none to spare.
        ray_actor_options={
            "num_cpus": 0 if settings.gpus else settings.threads,
            "num_gpus": settings.gpus,
            "runtime_env": {"env_vars": ENV},
        },
    )
    front = Front.options(  # type: ignore[attr-defined]
        name="Front",
        num_replicas=settings.fronts,
        max_ongoing_requests=FRONT_REQUESTS,
        # A new front starts before the old one stops, and the old one stops after its last answer.
        max_surge_percent=100,
        graceful_shutdown_timeout_s=settings.deadline_s + settings.drain_s,
        health_check_period_s=2.0,
        # No CPU: with one in all, the model has it.
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": ENV | FRONT_ENV}},
    )
    return front.bind(settings, model.bind(settings))


def __getattr__(name: str) -> Application:
    """Builds `app` with the environment's settings on first use, so that importing this file checks nothing."""
    if name == "app":
        return build({})
    raise AttributeError(name)
