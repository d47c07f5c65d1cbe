"""What tests of the application on Ray Serve share."""

import time

import httpx
import psutil

from benchmarks.support.on_ray import replicas
from benchmarks.support.served import http, picture, png


def steps_made() -> int:
    """By the model, since its replica began."""
    from ray import serve

    return serve.get_deployment_handle("Model", "default").steps.remote().result(timeout_s=60)


def process_of(deployment: str) -> psutil.Process:
    [process] = replicas(deployment)
    return process


def slow_edit(url: str, steps: int = 40, **more) -> httpx.Response:
    """An edit of so many pixels and steps that there is time to do something under it."""
    form = {"prompt": "x", "num_inference_steps": str(steps), "seed": "1", **more}
    return http.post(f"{url}/v1/images/edits", files={"image": png(picture(0, (128, 128)))}, data=form, timeout=300)


def until(condition, timeout_s: float = 300.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def idle(url: str) -> bool:
    lines = http.get(f"{url}/metrics").text.splitlines()
    return {"v4e_edits_waiting 0.0", "v4e_edits_running 0.0"} <= set(lines)
