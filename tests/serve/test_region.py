"""What a request says of masks, regions, crops and strength reaches the editor and comes back, to the stock client."""

import base64

import numpy as np
import openai
import pytest
from PIL import Image

from benchmarks.support.served import SMALL, http, opened, picture, png
from serve.settings import Settings
from v4e.editing.crop import edit_crop
from v4e.editing.settings import EditSettings

SIZE = (96, 64)


@pytest.fixture(scope="module")
def settings(random_family, tmp_path_factory):
    state = str(tmp_path_factory.mktemp("state"))
    return Settings(model=str(random_family / "tiny-wan-i2v"), state=state, **SMALL)


@pytest.fixture
def ask(url):
    """A function that makes an edit, of seed 3 in one step, and returns its picture and its item."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:

        def ask(mask: Image.Image | None = None, **fields):
            given = {} if mask is None else {"mask": png(mask)}
            body = {"seed": 3, "num_inference_steps": 1} | fields
            answer = client.images.edit(image=png(picture(1, SIZE)), prompt="x", extra_body=body, **given)
            return opened(base64.b64decode(answer.data[0].b64_json)).convert("RGB"), answer.data[0].model_extra

        yield ask


def soft() -> Image.Image:
    """A mask whose border is half transparent: a picture that is put together twice would show it."""
    alpha = np.full(SIZE[::-1], 255, np.uint8)
    alpha[8:40, 8:40], alpha[16:32, 16:32] = 100, 0
    return Image.merge("LA", (Image.new("L", SIZE), Image.fromarray(alpha)))


def made(engine, **fields) -> Image.Image:
    how = {"height": 64, "width": 96, "steps": 1} | fields
    return engine._editor.edit([picture(1, SIZE)], ["x"], [3], EditSettings(**how))[0].image


def test_the_mask_is_applied_once_softly(ask, engine):
    height, width = engine._editor.size(picture(1, SIZE), 32 * 32)
    source, plain = picture(1, SIZE), made(engine, height=height, width=width)
    where = Image.fromarray(255 - np.asarray(soft().getchannel("A")))
    assert ask(soft())[0] == Image.composite(plain, source, where)


@pytest.mark.parametrize("fields", [{"hold": True}, {"preserve": "auto"}, {"crop": True}, {"strength": 0.4}])
def test_outside_the_mask_are_the_sources_bits_whatever_is_asked(ask, fields):
    got, item = ask(soft(), region=True, output="both", **fields)
    outside = np.asarray(soft().getchannel("A")) == 255
    assert (np.asarray(got)[outside] == np.asarray(picture(1, SIZE))[outside]).all()
    region = opened(base64.b64decode(item["region_b64_json"]))
    assert region.size == SIZE and (np.asarray(region.getchannel("A"))[outside] == 255).all()


def test_a_region_can_be_given_as_a_mask(ask):
    first, item = ask(soft(), region=True)
    again, _ = ask(opened(base64.b64decode(item["region_b64_json"])))
    assert first == again


def test_a_region_is_a_result_too(ask, url):
    _, item = ask(preserve="auto", region=True)
    file = http.get(f"{url}/v1/results/{item['region_id']}")
    assert file.content == base64.b64decode(item["region_b64_json"])


def test_strength_0_is_the_source(ask):
    assert ask(strength=0)[0] == picture(1, SIZE)


def test_a_crop_is_the_editors(ask, engine):
    where = Image.fromarray(255 - np.asarray(soft().getchannel("A")))
    height, width = engine._editor.size(picture(1, SIZE), 32 * 32)
    how = EditSettings(height=height, width=width, steps=1)
    assert ask(soft(), crop=True)[0] == edit_crop(engine._editor, picture(1, SIZE), "x", 3, how, mask=where).image


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"hold": True}, "hold"),
        ({"region": True}, "region"),
        ({"strength": 1.5}, "strength"),
        ({"strength": float("nan")}, "strength"),
        ({"preserve": "yes"}, "preserve"),
        ({"crop": True, "mask": Image.new("LA", SIZE, (0, 255))}, "mask"),
    ],
)
def test_what_means_nothing_is_refused_by_name(ask, fields, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(**fields)
    assert refused.value.param == param


def test_the_steps_of_a_stream_are_those_of_both_passes(url):
    body = {"prompt": "x", "stream": "true", "crop": "true", "num_inference_steps": "2", "strength": "0.5"}
    text = http.post(f"{url}/v1/images/edits", files={"image": png()}, data=body).text
    assert ": step 1/4" in text and "image_edit.completed" in text
