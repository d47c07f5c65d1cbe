"""Helpers for tests of the application on Ray Serve."""

import httpx
import psutil

from benchmarks.support.on_ray import replicas
from benchmarks.support.served import http, picture, png


def steps_made() -> int:
    """Returns the sampling steps that the model has done since its replica began."""
    from ray import serve

    return serve.get_deployment_handle("Model", "default").steps.remote().result(timeout_s=60)


def process_of(deployment: str) -> psutil.Process:
    [process] = replicas(deployment)
    return process


def slow_edit(url: str, steps: int = 40, **more) -> httpx.Response:
    """Requests an edit that is large and long enough for a test to act meanwhile."""
    form = {"prompt": "x", "num_inference_steps": str(steps), "seed": "1", **more}
    return http.post(f"{url}/v1/images/edits", files={"image": png(picture(0, (128, 128)))}, data=form, timeout=300)


def idle(url: str) -> bool:
    lines = http.get(f"{url}/metrics").text.splitlines()
    return {"v4e_edits_waiting 0.0", "v4e_edits_running 0.0"} <= set(lines)
