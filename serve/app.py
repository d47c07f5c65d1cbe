"""The application: ``serve run serve.app:app``, or ``serve.app:build name=value ...`` for other settings."""

import os

import click
from ray.serve import Application
from ray.serve.config import AutoscalingConfig

from serve.ingress import Front, Model
from serve.service import PER_REPLICA
from serve.settings import settings_from
from serve.startup import check

FRONT_REQUESTS = 1000  # at once, most of them polls or waiting in our own queue, which has its own bound
# Else glibc keeps a heap for each of the front's threads, and each grows as buffers of uneven sizes come and go.
FRONT_ENV = {"MALLOC_ARENA_MAX": "1"}


class WrongSetting(click.ClickException, ValueError):
    """A setting is wrong. `serve run` and `serve build` print it as one line."""


def build(args: dict[str, str]) -> Application:
    """The application with these settings over those of the environment (``serve/settings.py`` lists them).

    Raises:
        WrongSetting: nothing has been loaded yet.
    """
    try:
        settings = settings_from(args, os.environ)
        check(settings)
    except ValueError as error:
        raise WrongSetting(str(error)) from None
    model = Model.options(  # type: ignore[attr-defined]
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
        ray_actor_options={"num_cpus": settings.threads, "num_gpus": settings.gpus},
    )
    front = Front.options(  # type: ignore[attr-defined]
        name="Front",
        num_replicas=1,
        max_ongoing_requests=FRONT_REQUESTS,
        # The next one starts before this one stops, and this one until all its requests are answered.
        max_surge_percent=100,
        graceful_shutdown_timeout_s=settings.deadline_s + settings.drain_s,
        health_check_period_s=2.0,
        ray_actor_options={"num_cpus": 0.1, "runtime_env": {"env_vars": FRONT_ENV}},
    )
    return front.bind(settings, model.bind(settings))


def __getattr__(name: str) -> Application:
    """`app` with the environment's settings; made when asked for, so that importing this file checks nothing."""
    if name == "app":
        return build({})
    raise AttributeError(name)
