"""What other clients than OpenAI's send, as they were seen to: names, forms, empty fields, headers, paths."""

import base64
from dataclasses import replace

import httpx
import openai
import pytest
from PIL import Image

from benchmarks.support.served import SMALL, http, opened, picture, png, served
from serve.__main__ import lacking
from serve.app import build
from serve.keys import digest
from serve.settings import Settings

DATA = "data:image/png;base64," + base64.b64encode(png()).decode()
KEY = "v4e-" + "k" * 43


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    model, state = str(random_family / "tiny-wan-i2v"), str(tmp_path_factory.mktemp("state"))
    return Settings(model=model, state=state, steps=1, aliases="gpt-image-1, dall-e-2", **SMALL)


def posted(url: str, body: dict, path: str = "/v1/images/edits", **more) -> httpx.Response:
    return http.post(url + path, json={"prompt": "x", "seed": 3} | body, **more)


def form(url: str, files: dict | None = None, **data) -> httpx.Response:
    return http.post(
        f"{url}/v1/images/edits", files=files or {"image": png()}, data={"prompt": "x", "seed": "3"} | data
    )


def edit_of(answer: httpx.Response) -> bytes:
    assert answer.status_code == 200, answer.text
    return opened(base64.b64decode(answer.json()["data"][0]["b64_json"])).tobytes()


def error_of(answer: httpx.Response) -> dict:
    assert answer.status_code >= 400
    return answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        {"image": DATA},
        {"image": [DATA]},
        {"image": {"image_url": DATA}},
        {"images": [DATA]},
        {"images": [{"image_url": {"url": DATA}}]},
        {"images": [{"type": "image_url", "image_url": {"url": DATA, "detail": "high"}}]},
        {"images": [{"type": "input_image", "image_url": DATA}]},
        {"images": [DATA[:100] + "\n" + DATA[100:]]},
    ],
)
def test_every_form_of_a_picture_in_json(url, body):
    assert edit_of(posted(url, body)) == edit_of(form(url))


def test_a_data_url_in_a_form_is_a_picture(url):
    answer = http.post(f"{url}/v1/images/edits", files={"image": (None, DATA)}, data={"prompt": "x", "seed": "3"})
    assert edit_of(answer) == edit_of(form(url))


def test_empty_fields_are_none(url):
    names = ("model", "n", "size", "quality", "seed", "user", "negative_prompt", "guidance_scale", "lora", "stream")
    empty = dict.fromkeys(names, "")
    assert form(url, **empty).status_code == 200
    assert posted(url, empty | {"images": [DATA]}).status_code == 200
    assert form(url, {"image": png(), "mask": ("", b"")}).status_code == 200
    assert error_of(form(url, prompt=""))["param"] == "prompt"


def test_minus_one_is_a_random_seed(url):
    seeds = {posted(url, {"image": DATA, "seed": -1}).json()["data"][0]["seed"] for _ in range(3)}
    assert len(seeds) == 3 and min(seeds) >= 0
    assert error_of(posted(url, {"image": DATA, "seed": -2}))["param"] == "seed"


@pytest.mark.parametrize("quality", ["hd", "standard", "high"])
def test_names_of_the_usual_quality(url, quality):
    assert edit_of(form(url, quality=quality)) == edit_of(form(url))


def test_the_model_has_several_names(url, settings, engine, tmp_path):
    names = ["v4e", "gpt-image-1", "dall-e-2"]
    assert [model["id"] for model in http.get(f"{url}/v1/models").json()["data"]] == names
    for name in names:
        assert http.get(f"{url}/v1/models/{name}").json()["id"] == name
        assert form(url, model=name).status_code == 200
    error = error_of(form(url, model="gpt-image-9"))
    assert error["code"] == "model_not_found" and "gpt-image-1" in error["message"] and "aliases" in error["message"]


def test_azures_client(settings, engine, tmp_path):
    with served(replace(settings, keys=f"ann:{digest(KEY)}", state=str(tmp_path)), engine) as url:
        how = {"azure_endpoint": url, "api_version": "2025-04-01-preview", "max_retries": 0}
        for name, status in (("v4e", 200), ("gpt-image-1", 200), ("other", 404)):
            with openai.AzureOpenAI(**how, azure_deployment=name, api_key=KEY) as client:
                try:
                    answer = client.images.edit(image=png(), prompt="x", model="gpt-image-1")
                    assert status == 200 and answer.data[0].b64_json
                except openai.NotFoundError as error:
                    assert (status, error.code) == (404, "model_not_found")
        with openai.AzureOpenAI(**how, api_key="wrong") as client, pytest.raises(openai.AuthenticationError):
            client.images.edit(image=png(), prompt="x", model="v4e")
        assert posted(url, {"image": DATA}, "/openai/v1/images/edits", headers={"api-key": KEY}).status_code == 200


def half_clear() -> Image.Image:
    image = picture(1).convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 16, 32))
    return image


def test_masks_of_all_kinds_mean_the_same(url):
    source, white = picture(1), Image.new("L", (32, 32))
    white.paste(255, (0, 0, 16, 32))
    by_alpha = edit_of(form(url, {"image": png(source), "mask": png(half_clear())}))
    assert edit_of(form(url, {"image": png(source), "mask": png(white)}, mask_from="white")) == by_alpha
    right = (16, 0, 32, 32)
    own = opened(
        base64.b64decode(form(url, {"image": png(half_clear())}, mask_from="image").json()["data"][0]["b64_json"])
    )
    assert own.crop(right).tobytes() == source.crop(right).tobytes()
    assert own.crop((0, 0, 16, 32)).getextrema() != ((255, 255),) * 3  # its white was edited


def test_a_mask_that_is_none_says_how_to_make_one(url):
    error = error_of(form(url, {"image": png(), "mask": png(Image.new("L", (32, 32)))}))
    assert error["param"] == "mask" and "mask_from=white" in error["message"]
    error = error_of(form(url, mask_from="image"))
    assert error["param"] == "image" and "alpha" in error["message"]
    assert error_of(form(url, {"image": png(), "mask": png(half_clear())}, mask_from="image"))["param"] == "mask_from"


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"image": DATA.partition(",")[2]}, "image", "write data:image/png;base64,"),
        ({"image": DATA, "prompt": "  "}, "prompt", "write what to change"),
        ({"image": DATA, "size": "500X500"}, "size", "such as 496x496"),
        ({"image": DATA, "size": "big"}, "size", "WIDTHxHEIGHT such as 512x512"),
    ],
)
def test_messages_say_what_to_do(url, body, param, words):
    error = error_of(posted(url, body))
    assert error["param"] == param and words in error["message"]


@pytest.mark.parametrize("path", ["/v1/images/generations", "/v1/images/variations", "/v1/chat/completions"])
def test_other_endpoints_name_this_one(url, path):
    error = error_of(http.post(url + path, json={"prompt": "x"}))
    assert (
        error["code"] == "not_found" and f"POST {path}" in error["message"] and "/v1/images/edits" in error["message"]
    )


def test_another_name_of_this_machine(url, settings, engine, tmp_path):
    there = {"host": "host.docker.internal:8000"}
    error = error_of(http.get(f"{url}/v1/models", headers=there))
    assert error["code"] == "forbidden_host" and "hosts=NAME" in error["message"]
    with served(replace(settings, hosts="host.docker.internal", state=str(tmp_path)), engine) as named:
        assert http.get(f"{named}/v1/models", headers=there).status_code == 200
        assert http.get(f"{named}/v1/models", headers={"host": "evil.example"}).status_code == 403
        assert http.get(f"{named}/v1/models", headers=there | {"origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/docs", "/page/app.js", "/healthz", "/v1/models"])
def test_head_is_get_without_a_body(url, path):
    head, whole = http.head(url + path), http.get(url + path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(whole.content))


def test_pages_of_named_origins_may_ask_with_a_key(settings, engine, tmp_path):
    mine, other = "https://a.example", "https://b.example"
    keyed = replace(settings, keys=f"ann:{digest(KEY)}", origins=mine, state=str(tmp_path))
    with served(keyed, engine) as url:
        asks = {
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,x-stainless-os",
        }
        for origin, allowed in ((mine, mine), (other, None)):
            before = http.options(f"{url}/v1/images/edits", headers=asks | {"origin": origin})
            answer = posted(url, {"image": DATA}, headers={"origin": origin, "authorization": f"Bearer {KEY}"})
            assert [r.headers.get("access-control-allow-origin") for r in (before, answer)] == [allowed, allowed]
        assert posted(url, {"image": DATA}, headers={"origin": mine}).status_code == 401
    with pytest.raises(ValueError, match=r"settings\.origins needs keys"):
        replace(settings, origins=mine)


@pytest.mark.parametrize(
    ("headers", "public", "expected"),
    [
        ({}, "", None),
        ({"x-forwarded-prefix": "/v4e"}, "", "{url}/v4e/"),
        (
            {"x-forwarded-prefix": "/v4e/", "x-forwarded-proto": "https", "x-forwarded-host": "a.example"},
            "",
            "https://a.example/v4e/",
        ),
        ({}, "https://b.example/edit", "https://b.example/edit/"),
    ],
)
def test_addresses_in_answers_are_those_of_the_client(settings, engine, tmp_path, headers, public, expected):
    with served(replace(settings, public_url=public, state=str(tmp_path)), engine) as url:
        base = f"{url}/" if expected is None else expected.format(url=url)
        body = {"image": DATA, "response_format": "url"}
        item = posted(url, body, headers=headers).json()["data"][0]
        assert item["url"] == f"{base}v1/results/{item['id']}"
        job = posted(url, body, "/v1/edits/jobs").json()
        while job["status"] in ("queued", "running"):
            job = http.get(f"{url}/v1/edits/jobs/{job['id']}", headers=headers).json()
        item = job["result"]["data"][0]
        assert item["url"] == f"{base}v1/results/{item['id']}"


def test_a_text_that_is_cut_and_a_result_that_is_enlarged_are_told(url):
    item = posted(url, {"image": DATA, "prompt": "blue " * 700}).json()["data"][0]
    assert [note.split(":")[0] for note in item["warnings"]] == ["The text has 701 tokens and the model reads 512"]
    item = form(url, {"image": png(picture(0, (64, 48)))}).json()["data"][0]
    assert [note.split(":")[0] for note in item["warnings"]] == ["The model worked at 32x16"]
    assert "warnings" not in form(url).json()["data"][0]


def test_one_cpu_is_enough_and_too_few_are_told(tmp_path):
    front = build({"state": str(tmp_path)})._bound_deployment
    model = front.init_args[1]._bound_deployment
    assert [one.ray_actor_options["num_cpus"] for one in (front, model)] == [0, 1]
    one = Settings(threads=1)
    assert lacking(one, {"CPU": 1.0}) == ""
    assert "need 2 CPUs, Ray has 1" in lacking(replace(one, threads=2), {"CPU": 1.0})
    assert "need 2 GPUs, Ray has 0" in lacking(replace(one, gpus=1, replicas=2, max_replicas=2), {"CPU": 9.0})
