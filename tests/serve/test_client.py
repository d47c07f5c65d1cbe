"""The unmodified `openai` client against the application: both understand each other in everything that may happen."""

import base64
import json
from dataclasses import replace

import openai
import pytest
from openai.types import ImageEditCompletedEvent, ImageEditPartialImageEvent, ImagesResponse
from PIL import Image

from benchmarks.support.served import SMALL, http, opened, picture, png, served
from serve.errors import ReplicaLost
from serve.settings import Settings
from v4e.editing.settings import EditSettings


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    return Settings(
        model=str(random_family / "tiny-wan-i2v"),
        state=str(tmp_path_factory.mktemp("state")),
        upload_mib=1.0,
        source_pixels=1_000_000,
        **SMALL,
    )


@pytest.fixture
def client(url):
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        yield client


def image_of(item) -> Image.Image:
    return opened(base64.b64decode(item.b64_json))


@pytest.mark.slow
def test_an_edit_is_the_editors(client, engine):
    answer = client.images.edit(image=png(), prompt="make it blue", extra_body={"seed": 3, "num_inference_steps": 2})
    expected = engine._editor.edit([picture()], ["make it blue"], [3], EditSettings(height=32, width=32, steps=2))[0]
    assert image_of(answer.data[0]).tobytes() == expected.image.tobytes()
    assert isinstance(ImagesResponse.model_validate(answer.model_dump()), ImagesResponse)
    assert (answer.size, answer.output_format, answer.background) == ("32x32", "png", "opaque")
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens == 4 + 8


@pytest.mark.parametrize(
    "image", [png(), [png()], ("photo.jpg", png(), "text/plain")], ids=["image", "image[]", "named"]
)
def test_either_name_and_any_declared_type(client, image):
    answer = client.images.edit(image=image, prompt="x", extra_body={"num_inference_steps": 1})
    assert image_of(answer.data[0]).size == (32, 32)


def test_n_edits_are_those_of_n_seeds(client):
    many = client.images.edit(image=png(), prompt="x", n=2, extra_body={"seed": 5, "num_inference_steps": 1})
    one = client.images.edit(image=png(), prompt="x", extra_body={"seed": 6, "num_inference_steps": 1})
    assert [item.model_extra["seed"] for item in many.data] == [5, 6]
    assert many.data[1].b64_json == one.data[0].b64_json != many.data[0].b64_json


def test_outside_the_mask_nothing_changes(client):
    source, mask = picture(1, (50, 37)), Image.new("RGBA", (50, 37), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (10, 10, 30, 30))
    answer = client.images.edit(image=png(source), mask=png(mask), prompt="x", extra_body={"num_inference_steps": 1})
    edited = image_of(answer.data[0])
    inside = Image.new("L", (50, 37))
    inside.paste(255, (10, 10, 30, 30))
    black = Image.new("RGB", (50, 37))
    assert Image.composite(black, edited, inside).tobytes() == Image.composite(black, source, inside).tobytes()
    assert Image.composite(edited, black, inside).tobytes() != Image.composite(source, black, inside).tobytes()


def test_a_size_crops_to_its_aspect(client):
    answer = client.images.edit(image=png(picture(0, (96, 32))), prompt="x", size="64x64")  # type: ignore[call-overload]
    assert (answer.size, image_of(answer.data[0]).size) == ("64x64", (64, 64))


@pytest.mark.parametrize(("form", "kind"), [("png", "PNG"), ("jpeg", "JPEG"), ("webp", "WEBP")])
def test_formats_and_addresses(client, url, form, kind):
    answer = client.images.edit(image=png(), prompt="x", output_format=form, response_format="url")  # type: ignore[call-overload]
    assert answer.data[0].b64_json is None
    file = http.get(answer.data[0].url)
    assert (opened(file.content).format, file.headers["content-type"]) == (kind, f"image/{form}")


@pytest.mark.parametrize("form", ["mp4", "gif", "webp"])
def test_clips(client, form):
    answer = client.images.edit(image=png(), prompt="x", extra_body={"output": "clip", "clip_format": form})
    blob = base64.b64decode(answer.data[0].b64_json)
    if form == "mp4":
        assert blob[4:8] == b"ftyp"
    else:
        assert opened(blob).n_frames == 5


def test_a_stream_is_exactly_as_the_client_types_it(client):
    events = list(client.images.edit(image=png(), prompt="x", stream=True, partial_images=3, extra_body={"seed": 1}))
    assert [event.type for event in events] == ["image_edit.partial_image"] * 3 + ["image_edit.completed"]
    kinds = [ImageEditPartialImageEvent] * 3 + [ImageEditCompletedEvent]
    for event, kind in zip(events, kinds, strict=True):
        kind.model_validate(event.model_dump(), strict=True)
        assert image_of(event).size == (32, 32)
    assert [event.partial_image_index for event in events[:3]] == [0, 1, 2]
    whole = client.images.edit(image=png(), prompt="x", extra_body={"seed": 1})
    assert events[-1].b64_json == whole.data[0].b64_json


def test_a_stream_of_n_edits_has_each_of_them(client):
    asked = {"seed": 5, "num_inference_steps": 4}
    events = list(client.images.edit(image=png(), prompt="x", n=2, stream=True, partial_images=1, extra_body=asked))
    whole = client.images.edit(image=png(), prompt="x", n=2, extra_body=asked).data
    done = {event.model_extra["index"]: event for event in events if event.type == "image_edit.completed"}
    assert [done[k].b64_json for k in range(2)] == [item.b64_json for item in whole]
    assert [done[k].model_extra["seed"] for k in range(2)] == [5, 6]
    previews = [event for event in events if event.type == "image_edit.partial_image"]
    assert sorted(event.model_extra["index"] for event in previews) == [0, 1]
    assert {event.partial_image_index for event in previews} == {0}


def test_progress_is_in_comments(url):
    form = {"prompt": "x", "stream": "true", "num_inference_steps": "3"}
    lines = http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form).text.splitlines()
    told = [line for line in lines if line.startswith(":")]
    assert told == [": running", ": step 1/3", ": step 2/3", ": step 3/3"]
    assert [line for line in lines if line.startswith("event:")] == ["event: image_edit.completed"]


def test_json_bodies_and_earlier_results(client, url):
    data = "data:image/png;base64," + base64.b64encode(png()).decode()
    body = {"prompt": "x", "images": [{"image_url": data}], "seed": 1, "num_inference_steps": 1}
    first = http.post(f"{url}/v1/images/edits", json=body).json()["data"][0]
    again = {"prompt": "y", "images": [{"file_id": first["id"]}], "seed": 2, "num_inference_steps": 1}
    second = http.post(f"{url}/v1/images/edits", json=again).json()["data"][0]
    by_client = client.images.edit(
        image=[], prompt="y", extra_body={"file_id": first["id"], "seed": 2, "num_inference_steps": 1}
    )
    direct = client.images.edit(
        image=base64.b64decode(first["b64_json"]), prompt="y", extra_body={"seed": 2, "num_inference_steps": 1}
    )
    assert second["b64_json"] == by_client.data[0].b64_json == direct.data[0].b64_json


@pytest.mark.parametrize("form", ["gif", "webp", "mp4"])
def test_a_clip_is_no_source(url, form):
    """Its first frame is the source over again."""
    asked = {"prompt": "x", "output": "both", "clip_format": form, "num_inference_steps": "1"}
    made = http.post(f"{url}/v1/images/edits", files={"image": png()}, data=asked).json()["data"][0]
    for name, status in ((made["id"], 200), (made["clip_id"], 400)):
        again = {"prompt": "y", "images": [{"file_id": name}], "num_inference_steps": 1}
        answer = http.post(f"{url}/v1/images/edits", json=again)
        assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == "file_id"


@pytest.mark.parametrize(
    ("call", "status", "code", "param"),
    [
        ({"prompt": ""}, 400, "invalid_value", "prompt"),
        ({"prompt": " "}, 400, "invalid_value", "prompt"),
        ({"image": b"junk"}, 400, "invalid_image", "image"),
        ({"image": b""}, 400, "invalid_image", "image"),
        ({"image": [png(), png()]}, 400, "unsupported_value", "image"),
        ({"image": []}, 400, "missing_required_parameter", "image"),
        ({"image": png(Image.new("L", (1001, 1000)))}, 413, "image_too_large", "image"),
        ({"image": bytes(2 << 20)}, 413, "request_too_large", None),
        ({"mask": png()}, 400, "invalid_value", "mask"),
        ({"mask": png(Image.new("RGBA", (8, 8)))}, 400, "invalid_value", "mask"),
        ({"model": "gpt-image-1"}, 404, "model_not_found", "model"),
        ({"n": 11}, 400, "invalid_value", "n"),
        ({"size": "50x50"}, 400, "invalid_value", "size"),
        ({"size": "1024x16"}, 400, "invalid_value", "size"),
        ({"background": "transparent"}, 400, "unsupported_value", "background"),
        ({"extra_body": {"lora": "../../etc/passwd"}}, 400, "unsupported_value", "lora"),
        ({"extra_body": {"num_frames": 6}}, 400, "invalid_value", "num_frames"),
        (
            {"extra_body": {"middle_steps": 8, "num_inference_steps": 8, "num_frames": 9}},
            400,
            "invalid_value",
            "middle_steps",
        ),
        ({"extra_body": {"middle_steps": 1, "solver": "unipc", "num_frames": 9}}, 400, "invalid_value", "middle_steps"),
        ({"extra_body": {"middle_steps": 1, "num_inference_steps": 8}}, 400, "invalid_value", "middle_steps"),
        ({"extra_body": {"num_inference_steps": 51}}, 400, "invalid_value", "num_inference_steps"),
        ({"extra_body": {"guidance_scale": "nan"}}, 400, "invalid_value", "guidance_scale"),
        ({"extra_body": {"num_inference_step": 8}}, 400, "unknown_parameter", "num_inference_step"),
        ({"image": [], "extra_body": {"file_id": "img_0"}}, 404, "not_found", "file_id"),
        ({"image": [], "extra_body": {"url": ["http://127.0.0.1/"]}}, 400, "unsupported_value", "image"),
    ],
)
def test_errors_name_what_is_wrong(client, call, status, code, param):
    with pytest.raises(openai.APIStatusError) as caught:
        client.images.edit(**({"image": png(), "prompt": "x"} | call))
    error = caught.value
    assert (error.status_code, error.code, error.param) == (status, code, param)
    assert error.type == "invalid_request_error"
    assert error.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("PUT", "/v1/images/edits", 405, "method_not_allowed"),
        ("POST", "/v1/images/edits", 415, "unsupported_media_type"),
        ("GET", "/v1/models/other", 404, "model_not_found"),
        ("GET", "/v1/results/../../etc/passwd", 404, "not_found"),
        ("GET", "/v1/edits/jobs/job_0", 404, "not_found"),
        ("GET", "/page/%2e%2e/settings.py", 404, "not_found"),
    ],
)
def test_the_envelope_is_everywhere(url, method, path, status, code):
    answer = http.request(method, url + path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_models(client, url):
    assert [model.id for model in client.models.list()] == ["v4e"]
    assert client.models.retrieve("v4e").owned_by == "v4e"
    assert http.get(f"{url}/readyz").json() == {"status": "ready"}


def test_what_a_browser_is_told(url):
    answer = http.get(f"{url}/", headers={"origin": "https://elsewhere.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    for page in ("/", "/docs", "/page/app.js", "/page/style.css"):
        assert http.get(url + page).status_code == 200


def test_metrics_count_edits_and_their_parts(client, url):
    client.images.edit(image=png(), prompt="x", extra_body={"num_inference_steps": 1})
    text = http.get(f"{url}/metrics").text
    for stage in ("parse", "queue", "model", "encode"):
        [line] = [row for row in text.splitlines() if row.startswith(f'v4e_stage_seconds_count{{stage="{stage}"}}')]
        assert float(line.split()[1]) >= 1
    assert 'v4e_requests_total{route="/v1/images/edits",status="200"}' in text


def counting(events):
    """The `events` of an engine, and how often it was asked."""
    asked = []

    async def edits(order):
        asked.append(order)
        async for event in events(order, len(asked)):
            yield event

    return edits, asked


def test_a_crash_has_an_envelope_and_is_not_tried_again(settings, engine):
    async def crash(_order, _count):
        raise RuntimeError("secret inside")
        yield

    edits, asked = counting(crash)
    with served(settings, engine, edits) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        with pytest.raises(openai.InternalServerError) as caught:
            client.images.edit(image=png(), prompt="x")
        assert (caught.value.code, len(asked)) == ("server_error", 1)
        assert "secret" not in caught.value.message
        with pytest.raises(openai.APIError) as caught:
            list(client.images.edit(image=png(), prompt="x", stream=True))
        assert caught.value.code == "server_error"


def test_a_lost_replicas_edit_is_made_by_another_and_told_once(settings, engine):
    async def dies(order, count):
        events = engine.edit(order)
        async for event in events:
            yield event
            if count < 3 and event.step == 2 * count:
                await events.aclose()
                raise ReplicaLost

    edits, asked = counting(dies)
    with served(settings, engine, edits) as url:
        form = {"prompt": "x", "stream": "true", "seed": "1"}
        lines = http.post(f"{url}/v1/images/edits", files={"image": png()}, data=form).text.splitlines()
        assert [line for line in lines if line.startswith(": step")] == [f": step {k}/8" for k in range(1, 9)]
        assert len(asked) == 3
        whole = json.loads(next(line for line in lines if line.startswith("data:")).removeprefix("data:"))
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        assert client.images.edit(image=png(), prompt="x", extra_body={"seed": 1}).data[0].b64_json == whole["b64_json"]


def test_when_all_die_it_is_worth_another_try(settings, engine):
    async def dies(_order, _count):
        raise ReplicaLost
        yield

    edits, asked = counting(dies)
    with served(settings, engine, edits) as url:
        answer = http.post(f"{url}/v1/images/edits", files={"image": png()}, data={"prompt": "x"})
        assert (answer.status_code, answer.json()["error"]["code"], len(asked)) == (503, "overloaded", 3)
        assert (answer.headers["retry-after"], answer.headers["x-should-retry"]) == ("5", "true")


def test_the_servers_own_deadline_is_its_fault_and_not_tried_again(settings, engine, tmp_path):
    edits, asked = counting(lambda order, _count: engine.edit(order))
    with served(replace(settings, deadline_s=0.05, state=str(tmp_path)), engine, edits) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none")
        for extra, status in ({}, 504), ({"deadline_s": 0.01}, 408):
            with pytest.raises(openai.APIStatusError) as caught:
                client.images.edit(image=png(), prompt="x", extra_body={"num_inference_steps": 50} | extra)
            assert (caught.value.status_code, caught.value.code) == (status, "deadline_exceeded")
    assert len(asked) <= 2
