"""What is promised of a request beyond its shape: fields reach the editor, retries, leaving, fairness, deadlines."""

import asyncio
import base64
import io
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx
import openai
import pytest
from PIL import Image

from benchmarks.support.served import SMALL, http, opened, picture, png, served
from serve.engine import EditEngine
from serve.keys import digest
from serve.order import Order
from serve.settings import Settings
from tests.support.wait import until
from v4e.editing.settings import EditSettings

STEPS = 50


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return Settings(model=model, state=state, frames=5, max_frames=9, **SMALL)


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def slow(url: str, steps: int = STEPS, **more) -> httpx.Response:
    form = {"prompt": "x", "num_inference_steps": str(steps), **more}
    return http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form, timeout=120)


def idle(url: str) -> bool:
    lines = http.get(f"{url}/metrics").text.splitlines()
    return {"v4e_edits_waiting 0.0", "v4e_edits_running 0.0"} <= set(lines)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ({"num_frames": 9}, {"frames": 9}),
        ({"guidance_scale": 3.5}, {"guidance": 3.5}),
        ({"guidance_scale": 3.5, "negative_prompt": "red"}, {"guidance": 3.5, "negatives": ["red"]}),
        ({"flow_shift": 9}, {"shift": 9.0}),
        ({"solver": "unipc"}, {"solver": "unipc"}),
        ({"quality": "low"}, {"steps": 4}),
    ],
    ids=lambda value: "+".join(value),
)
def test_a_field_is_the_editors_argument(client, engine, field, argument):
    def edit(negatives=None, **settings):
        given = EditSettings(height=32, width=32, **settings)
        return engine._editor.edit([picture()], ["x"], [4], given, negatives=negatives)[0]

    plain, expected = edit(), edit(**argument)
    body = field | {"seed": 4}
    [item] = client.images.edit(
        image=png(), prompt="x", extra_body=body | {"output": "both", "clip_format": "webp"}
    ).data
    assert opened(base64.b64decode(item.b64_json)).tobytes() == expected.image.tobytes() != plain.image.tobytes()
    assert opened(base64.b64decode(item.model_extra["clip_b64_json"])).n_frames == len(expected.clip)


def test_less_quality_is_a_smaller_file(client):
    best, worst = (
        client.images.edit(
            image=png(), prompt="x", output_format="jpeg", output_compression=quality, extra_body={"seed": 1}
        ).data[0]
        for quality in (100, 10)
    )
    assert len(worst.b64_json) < len(best.b64_json) / 2


def test_previews_keep_to_the_mask(client):
    source, mask = picture(1), Image.new("RGBA", (32, 32), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (0, 0, 16, 32))
    right = (16, 0, 32, 32)
    for event in client.images.edit(image=png(source), mask=png(mask), prompt="x", stream=True, partial_images=2):
        shown = opened(base64.b64decode(event.b64_json))
        assert shown.crop(right).tobytes() == source.crop(right).tobytes()
        assert shown.tobytes() != source.tobytes()


@pytest.mark.slow
def test_nothing_of_the_files_words_is_in_a_result(client):
    exif, file, keeps_all = Image.Exif(), io.BytesIO(), png(Image.new("RGBA", (32, 32), (0, 0, 0, 255)))
    exif[0x010E] = "where I live"
    picture().save(file, "JPEG", exif=exif.tobytes())
    assert b"where I live" in file.getvalue()
    for form in ("png", "jpeg", "webp"):
        for mask in ({}, {"mask": keeps_all}):
            answer = client.images.edit(image=file.getvalue(), prompt="x", output_format=form, **mask)
            made = base64.b64decode(answer.data[0].b64_json)
            assert b"where I live" not in made and not opened(made).getexif()


@contextmanager
def held(settings: Settings, engine: EditEngine, alive=None, **changed) -> Iterator[tuple[str, list, threading.Event]]:
    """A server whose model waits for an event before each edit; the orders that it was given, in their turn."""
    orders, go = [], threading.Event()

    async def edits(order):
        orders.append(order)
        while not go.is_set():
            await asyncio.sleep(0.005)
        async for event in engine.edit(order):
            yield event

    with served(replace(settings, **changed), engine, edits, alive) as url:
        try:
            yield url, orders, go
        finally:
            go.set()


def comments(stream: httpx.Response) -> Iterator[str]:
    return (line for line in stream.iter_lines() if line.startswith(":"))


def test_a_stream_answers_at_once_keeps_alive_and_tells_its_place(settings, engine, tmp_path, monkeypatch):
    monkeypatch.setattr("serve.service.STILL_S", 0.05)
    asked = {"files": {"image": png()}, "data": {"prompt": "x", "stream": "true", "num_inference_steps": "1"}}
    with (
        held(settings, engine, waiting=2, state=str(tmp_path)) as (url, orders, go),
        ThreadPoolExecutor(2) as threads,
        httpx.Client(timeout=60) as client,
    ):
        ahead = [threads.submit(slow, url, 1) for _ in range(2)]
        until(lambda: len(orders) == 2)
        with (
            client.stream("POST", f"{url}/v1/images/edits", **asked) as third,
            client.stream("POST", f"{url}/v1/images/edits", **asked) as fourth,
        ):
            assert (third.status_code, fourth.status_code) == (200, 200)
            told, last = comments(third), comments(fourth)
            for _ in range(3):  # again and again while nothing happens
                assert next(last) == ": queue 2/2"
            assert next(told).startswith(": queue 1/")
            full = client.post(f"{url}/v1/images/edits", **asked)
            assert (full.status_code, full.json()["error"]["code"]) == (429, "queue_full")
            go.set()
            assert ": step 1/1" in list(told) and ": step 1/1" in list(last)
        assert {answer.result().status_code for answer in ahead} == {200}
        assert idle(url)


def test_a_stream_says_that_nothing_is_there_to_make_it(settings, engine, tmp_path):
    async def none_there() -> int:
        return 0

    with held(settings, engine, none_there, state=str(tmp_path)) as (url, _orders, go), httpx.Client() as client:
        asked = {"files": {"image": png()}, "data": {"prompt": "x", "stream": "true", "num_inference_steps": "1"}}
        with client.stream("POST", f"{url}/v1/images/edits", **asked) as stream:
            told = comments(stream)
            assert next(told) == ": no replica is ready"
            go.set()
            assert ": step 1/1" in list(told)


@pytest.mark.slow
def test_previews_of_a_large_picture_are_small(client):
    source = picture(1, (900, 600))
    *previews, done = client.images.edit(image=png(source), prompt="x", stream=True, partial_images=3)
    sizes = {opened(base64.b64decode(event.b64_json)).size for event in previews}
    assert sizes == {(28, 18)}  # of the model's 512 pixels
    assert opened(base64.b64decode(done.b64_json)).size == (900, 600)
    assert "32x16" in done.model_extra["warnings"][0]


def test_large_pictures_fill_the_queue_sooner(settings, engine, tmp_path):
    with (
        held(settings, engine, waiting_pixels=32 * 32 + 1, state=str(tmp_path)) as (url, orders, go),
        ThreadPoolExecutor(1) as threads,
    ):
        answer = threads.submit(slow, url, 1)
        until(lambda: orders)
        assert slow(url, 1).json()["error"]["code"] == "queue_full"
        go.set()
        assert answer.result().status_code == 200
        assert slow(url, 1).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [0, 3])
def test_as_many_edits_are_given_out_as_replicas_take(settings, engine, tmp_path, replicas):
    async def alive() -> int:
        return replicas

    most = {0: 2, 3: 6}[replicas]
    with (
        held(settings, engine, alive, max_replicas=4, state=str(tmp_path)) as (url, orders, go),
        ThreadPoolExecutor(8) as threads,
    ):
        answers = [threads.submit(slow, url, 1) for _ in range(8)]
        until(lambda: len(orders) == most and f"v4e_edits_waiting {8 - most}.0" in http.get(f"{url}/metrics").text)
        assert len(orders) == most
        go.set()
        assert {answer.result().status_code for answer in answers} == {200}


def test_openais_client_comes_back_as_often_as_it_may(settings, engine, tmp_path):
    asked: list[str] = []
    with (
        held(settings, engine, waiting=0, state=str(tmp_path)) as (url, orders, go),
        ThreadPoolExecutor(2) as threads,
        httpx.Client(
            event_hooks={"request": [lambda r: asked.append(r.headers["x-stainless-retry-count"])]}
        ) as counted,
        openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=1, http_client=counted) as client,
    ):
        answers = [threads.submit(slow, url, 1) for _ in range(2)]
        until(lambda: len(orders) == 2)
        with pytest.raises(openai.RateLimitError) as caught:
            client.images.edit(image=png(), prompt="x")
        assert (caught.value.code, caught.value.type, asked) == ("queue_full", "rate_limit_error", ["0", "1"])
        go.set()
        assert [answer.result().status_code for answer in answers] == [200, 200]
        assert client.images.edit(image=png(), prompt="x").data


ANN, BOB = "v4e-" + "a" * 43, "v4e-" + "b" * 43
KEYS = f"ann:{digest(ANN)},bob:{digest(BOB)}::2"  # as V4E_SERVE_KEYS has them


def asked_by(key: str, url: str, seed: int) -> httpx.Response:
    form = {"prompt": "x", "num_inference_steps": "1", "seed": str(seed)}
    headers = {"authorization": f"Bearer {key}"}
    return http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form, headers=headers, timeout=120)


@pytest.mark.slow
def test_keys_take_turns_and_have_their_bounds(settings, engine, tmp_path):
    with (
        held(settings, engine, keys=KEYS, state=str(tmp_path)) as (url, orders, go),
        ThreadPoolExecutor(8) as threads,
    ):
        waiting = lambda: float(metric(url, "v4e_edits_waiting", ANN))  # noqa: E731
        answers = []
        for count in range(6):
            answers.append(threads.submit(asked_by, ANN, url, count))
            until(lambda count=count: len(orders) + waiting() == count + 1)
        for count in (10, 11):
            answers.append(threads.submit(asked_by, BOB, url, count))
            until(lambda count=count: len(orders) + waiting() == count - 10 + 7)
        refused = asked_by(BOB, url, 12)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")
        go.set()
        assert {answer.result().status_code for answer in answers} == {200}
    # Two ran before bob came; then keys take turns, though four of ann's were there first.
    assert [order.seed for order in orders] == [0, 1, 2, 10, 3, 11, 4, 5]


def metric(url: str, name: str, key: str) -> str:
    text = http.get(f"{url}/metrics", headers={"authorization": f"Bearer {key}"}).text
    return next(line.split()[1] for line in text.splitlines() if line.startswith(f"{name} "))


def test_a_stream_that_is_closed_frees_the_model_within_a_step(client, engine, url):
    before = engine._steps
    stream = client.images.edit(
        image=png(), prompt="x", stream=True, partial_images=3, extra_body={"num_inference_steps": STEPS}
    )
    assert next(iter(stream)).type == "image_edit.partial_image"
    stream.close()
    until(lambda: idle(url))
    slow(url, 1)  # the model is free: this one ran
    assert engine._steps - before < STEPS


def test_a_deadline_frees_the_model(engine, url):
    assert slow(url, deadline_s="0.1").status_code == 408
    before = engine._steps
    until(lambda: idle(url))
    slow(url, 1)
    assert engine._steps - before <= 1 + 3  # its own, one under way, and what was made until this thread came to look


def test_a_job_is_its_keys_own(settings, engine, tmp_path):
    with served(replace(settings, keys=KEYS, state=str(tmp_path)), engine) as url:
        form, (ann, bob) = {"prompt": "x"}, ({"authorization": f"Bearer {key}"} for key in (ANN, BOB))
        jobs = f"{url}/v1/edits/jobs"
        job = http.post(jobs, files={"image": png()}, data=form, headers=ann).json()
        for method, path in (("GET", f"{jobs}/{job['id']}"), ("POST", f"{jobs}/{job['id']}/cancel")):
            assert http.request(method, path, headers=bob).status_code == 404
            assert http.request(method, path, headers=ann).status_code == 200


def test_an_adapter_is_asked_for_by_name(settings, engine, tmp_path):
    with held(settings, engine, loras="red=red.safetensors", state=str(tmp_path)) as (url, orders, go):
        assert http.get(f"{url}/v1/models").json()["data"][0]["loras"] == ["red"]
        unknown = slow(url, 1, lora="blue").json()["error"]
        assert (unknown["code"], unknown["param"]) == ("unsupported_value", "lora")
        assert "there is red" in unknown["message"] and orders == []
        with ThreadPoolExecutor(1) as threads:
            # This model has no adapters: that it refuses the name shows that it was told it.
            answer = threads.submit(slow, url, 1, lora="red")
            until(lambda: orders)
            assert orders[0].lora == "red"
            go.set()
            assert answer.result().status_code == 500
        with pytest.raises(ValueError, match="lora 'red'"):
            engine._edit(orders[0], threading.Event(), print)


def test_a_header_that_is_wrong_has_the_envelope_too(url):
    headers = {"idempotency-key": "k" * 256}
    answer = http.post(f"{url}/v1/edits/jobs", files={"image": png()}, data={"prompt": "x"}, headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, "invalid_value", "idempotency-key")
    assert answer.headers["x-should-retry"] == "false"


def test_ready_is_warm_at_every_size_and_not_before(settings, engine, tmp_path):
    assert EditEngine(replace(settings, warm="32x32,32x16,16x32"))._steps == 3

    async def none_there() -> int:
        return 0

    async def no_answer() -> int:
        raise TimeoutError

    cold = replace(settings, state=str(tmp_path))
    for alive in (none_there, no_answer):
        with served(cold, engine, alive=alive) as url:
            answer = http.get(f"{url}/readyz")
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
            assert answer.headers["x-should-retry"] == "true"
            assert http.get(f"{url}/healthz").status_code == 200


def test_an_engine_that_makes_no_step_is_not_healthy(settings):
    engine, go = EditEngine(replace(settings, stall_s=0.2)), threading.Event()
    order = Order(
        image=picture(),
        instruction="x",
        seed=0,
        height=32,
        width=32,
        frames=5,
        steps=2,
        guidance=1.0,
        solver="euler",
        tell=True,
    )
    with ThreadPoolExecutor(1) as threads:
        edit = threads.submit(engine._edit, order, threading.Event(), lambda _step: go.wait() and None)
        with pytest.raises(RuntimeError, match=r"no step for more than stall_s=0\.2"):
            while not edit.done():
                engine.check_health()
        go.set()
        edit.result()
    engine.check_health()
