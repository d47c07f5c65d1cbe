"""What a request comes to before the model: its pictures in sRGB, its orders, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.support.served import picture
from serve.errors import ApiError
from serve.fields import EditFields
from serve.parse import Body
from serve.settings import Settings
from serve.work import EditWork, prepare
from tests.support.icc import P3, in_srgb, matrix_profile


def file(image: Image.Image, form: str = "PNG", **options) -> bytes:
    made = io.BytesIO()
    image.save(made, form, **options)
    return made.getvalue()


def prepared(source: bytes, mask: bytes | None = None, settings: Settings | None = None, **fields) -> EditWork:
    body = Body(fields=EditFields(prompt="x", **fields), source=source, mask=mask)
    return prepare(body, settings or Settings(), 0, False)


def refused(*args, **fields) -> ApiError:
    with pytest.raises(ApiError) as caught:
        prepared(*args, **fields)
    return caught.value


def test_colours_are_srgb():
    work = prepared(file(Image.new("RGB", (32, 32), (200, 60, 60)), icc_profile=matrix_profile(P3)))
    assert np.abs(np.array(work.source.getpixel((3, 3))) - in_srgb((200, 60, 60), P3)).max() <= 2


def test_a_clip_length_that_the_model_was_not_trained_on_is_refused():
    error = refused(file(picture(0)), num_frames=9)
    assert (error.status, error.param) == (400, "num_frames")


@pytest.mark.parametrize("form", ["AVIF", "MPO"])
def test_formats_of_phones(form):
    more = {"save_all": True, "append_images": [picture(1, (64, 48))]} if form == "MPO" else {}
    assert prepared(file(picture(0, (64, 48)), form, **more)).source.size == (64, 48)


def test_heic_is_read_where_its_library_is():
    heif = pytest.importorskip("pillow_heif")
    made = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), "red")).save(made, quality=90)
    red, green, blue = prepared(made.getvalue()).source.getpixel((9, 9))
    assert red > 240 and max(green, blue) < 20


def test_heic_is_named_where_it_is_not(monkeypatch):
    monkeypatch.setattr("serve.pictures.FORMATS", ("PNG", "JPEG"))
    error = refused(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert (error.code, error.param) == ("invalid_image", "image") and "HEIC" in error.message


def test_enhance_gives_the_model_the_prompt_in_plain_words():
    def order(**fields):
        fields = EditFields(prompt="Hey, could you please remove the dog? My mum will love it.", **fields)
        return prepare(Body(fields=fields, source=file(picture(0, (64, 48))), mask=None), Settings(), 0, False).orders[
            0
        ]

    assert order(enhance=True).instruction == "remove the dog"
    assert order().instruction.startswith("Hey, could you")


def test_a_jpeg_without_its_last_bytes_is_a_source():
    assert prepared(file(picture(0, (64, 48)), "JPEG")[:-2]).source.size == (64, 48)


@pytest.mark.slow
def test_a_format_that_cannot_hold_the_result_is_refused_before_the_model():
    wide = file(Image.new("L", (16_400, 2_100)), "JPEG")
    error = refused(wide, output_format="webp")
    assert (error.status, error.code, error.param) == (400, "unsupported_value", "output_format")
    assert prepared(wide, output_format="png").size == "16400x2100"
    assert prepared(wide, output_format="webp", output="clip").size == "16400x2100"  # of the model's size
    assert prepared(wide, output_format="webp", size="1024x512").size == "1024x512"
