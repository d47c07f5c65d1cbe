"""Replicas on Ray Serve come, go and are replaced, and whoever has an edit under way is answered."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from ray import cloudpickle, serve

from benchmarks.support.on_ray import on_serve, replicas
from benchmarks.support.served import http, png
from serve import app
from serve.ingress import EditModel
from tests.support.served_on_ray import idle, process_of, slow_edit, steps_made
from tests.support.wait import until

pytestmark = [pytest.mark.ray, pytest.mark.slow]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory) -> dict[str, str]:
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return {"model": model, "state": state, "max_pixels": "16384", "warm": "32x32"}


@pytest.fixture(scope="module")
def url(cluster, settings):
    with on_serve(**settings) as url:
        yield url


def deploy(settings: dict[str, str], **changed: str) -> None:
    serve.run(app.build({**settings, **changed}))


@contextmanager
def watched(url: str) -> Iterator[list[int]]:
    """Statuses of /healthz, asked again and again."""
    seen, enough = [], threading.Event()

    def ask() -> None:
        while not enough.wait(0.1):
            seen.append(http.get(f"{url}/healthz", timeout=60).status_code)

    with ThreadPoolExecutor(1) as threads:
        asking = threads.submit(ask)
        try:
            yield seen
        finally:
            enough.set()
            asking.result()


@pytest.mark.long
def test_a_redeploy_answers_what_is_under_way(url, settings):
    expected, before = slow_edit(url).json()["data"][0]["b64_json"], steps_made()
    old = {process_of("Front").pid, process_of("Model").pid}
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(slow_edit, url) for _ in range(3)]  # one runs, two wait
        until(lambda: steps_made() > before + 2)
        with watched(url) as seen:
            deploy(settings, model_name="second")
        assert len(seen) > 5 and set(seen) == {200}
        for answer in answers:
            assert answer.result().status_code == 200, answer.result().text
            assert answer.result().json()["data"][0]["b64_json"] == expected
    assert http.get(f"{url}/v1/models").json()["data"][0]["id"] == "second"
    until(lambda: not old & {process.pid for name in ("Front", "Model") for process in replicas(name)})


@pytest.mark.long
def test_replicas_grow_while_edits_wait_and_go_when_none_do(url, settings):
    deploy(settings, max_replicas="2", upscale_s="1", downscale_s="1")
    until(lambda: len(replicas("Model")) == 1)
    enough = threading.Event()

    def ask(_: int) -> set[int]:
        codes = set()
        while not enough.is_set():
            codes.add(slow_edit(url, 8).status_code)
        return codes

    with ThreadPoolExecutor(6) as threads:
        asked = threads.map(ask, range(6))
        try:
            until(lambda: serve.status().applications["default"].deployments["Model"].replica_states == {"RUNNING": 2})
        finally:
            enough.set()
        assert set().union(*asked) == {200}
    until(lambda: len(replicas("Model")) == 1)
    assert slow_edit(url, 1).status_code == 200


class Hangs(EditModel.func_or_class):  # type: ignore[name-defined]
    """Stands still for ever in an edit whose instruction is the name of a file; the file goes, so it does so once."""

    def _edit(self, order, stop, tell):
        def told(event):
            tell(event)
            if Path(order.instruction).exists():
                Path(order.instruction).unlink()
                threading.Event().wait()

        return super()._edit(order, stop, told)


@pytest.mark.long
def test_a_model_that_stands_still_is_replaced_and_its_edits_are_made(url, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(app, "EditModel", serve.deployment(Hangs))
    deploy(settings, stall_s="2", drain_s="600")  # draining would wait for what never ends
    once = tmp_path / "once"
    once.touch()
    old, form = process_of("Model").pid, {"prompt": str(once), "stream": "true", "seed": "1"}
    with ThreadPoolExecutor(1) as threads:
        stuck = threads.submit(http.post, f"{url}/v1/images/edits", files={"image": png()}, data=form, timeout=120)
        until(lambda: not once.exists())
        waits = slow_edit(url, 8)  # it has been given to the same replica
        lines = stuck.result().text.splitlines()
    assert waits.status_code == 200
    assert [line for line in lines if line.startswith(":")] == [f": step {k}/8" for k in range(1, 9)]
    assert "event: image_edit.completed" in lines
    assert process_of("Model").pid != old
    assert "v4e_replicas_lost_total 2.0" in http.get(f"{url}/metrics").text


@pytest.mark.long
def test_taken_down_it_answers_what_is_under_way(url):
    until(lambda: idle(url))
    before = steps_made()
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(slow_edit, url)
        until(lambda: steps_made() > before + 2)
        serve.delete("default")
        assert answer.result().status_code == 200, answer.result().text
    assert http.get(f"{url}/healthz").status_code == 404
