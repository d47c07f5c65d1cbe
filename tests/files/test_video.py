"""Clips are what they were made of, decoded again by the libraries that players use."""

import io

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from v4e.files.video import write_clip


def frames(width: int, height: int, count: int = 5) -> list[Image.Image]:
    """One color a frame, so that no codec can hide a wrong order; a corner of another color."""
    made = []
    for n in range(count):
        image = Image.new("RGB", (width, height), (40 * n + 20, 200 - 40 * n, 90))
        image.paste((250, 250, 20), (0, 0, max(1, width // 4), max(1, height // 4)))
        made.append(image)
    return made


def decoded(blob: bytes, form: str) -> list[np.ndarray]:
    if form == "mp4":
        with av.open(io.BytesIO(blob)) as container:
            return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with Image.open(io.BytesIO(blob)) as image:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["mp4", "gif", "webp"]), st.integers(16, 70), st.integers(16, 70), st.integers(1, 6))
def test_any_size_decodes_to_its_frames(form, width, height, count):
    made = frames(width, height, count)
    back = decoded(write_clip(made, form), form)
    assert len(back) == count
    for frame, pixels in zip(made, back, strict=True):
        even = form == "mp4"
        assert pixels.shape == (height + height % 2 * even, width + width % 2 * even, 3)
        expected = np.asarray(frame).astype(int)
        middle = (slice(height // 2, height), slice(width // 2, width))
        assert np.abs(pixels[:height, :width].astype(int) - expected)[middle].mean() < 6


def test_mp4_says_which_colors_it_means_and_repeats_the_edge():
    with av.open(io.BytesIO(write_clip(frames(33, 17), "mp4", fps=4))) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert stream.average_rate == 4
        pixels = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(pixels[-1, :, :] - pixels[-2, :, :]).max() < 12
    assert np.abs(pixels[:, -1, :] - pixels[:, -2, :]).max() < 12


@pytest.mark.parametrize("form", ["gif", "webp"])
def test_animations_play_for_ever_at_the_rate(form):
    with Image.open(io.BytesIO(write_clip(frames(32, 32), form, fps=5))) as image:
        assert image.info["loop"] == 0
        image.load()
        assert image.info["duration"] == 200


def test_what_is_no_clip_is_refused():
    with pytest.raises(ValueError, match="one size, got none"):
        write_clip([], "gif")
    with pytest.raises(ValueError, match="one size, got 16x16, 32x32"):
        write_clip([*frames(16, 16), *frames(32, 32)], "mp4")
    with pytest.raises(ValueError, match="avi"):
        write_clip(frames(16, 16), "avi")
