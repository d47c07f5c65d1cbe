"""Clips as files: MP4, GIF and WebP."""

import io
from typing import Literal

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

FORMS = ("mp4", "gif", "webp")
BT709, LIMITED = 1, 1  # FFmpeg's numbers, for colors as players expect them


def write_clip(frames: list[Image.Image], form: Literal["mp4", "gif", "webp"], fps: int = 8) -> bytes:
    """`frames` of equal size as the bytes of a file of `form`. GIF and WebP play for ever.

    MP4 knows even sides only: there an odd one gets its last row or column twice.

    Raises:
        ValueError: no frames, sizes that differ, or another form.
    """
    if form not in FORMS:
        raise ValueError(f"clip format {form!r}: expected one of {', '.join(FORMS)}")
    sizes = {frame.size for frame in frames}
    if len(sizes) != 1:
        got = ", ".join("{}x{}".format(*size) for size in sorted(sizes)) or "none"
        raise ValueError(f"a clip is of frames of one size, got {got}")
    file = io.BytesIO()
    if form != "mp4":
        ms = round(1000 / fps)
        frames[0].save(file, form, save_all=True, append_images=frames[1:], duration=ms, loop=0)
        return file.getvalue()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "18"})
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED
        pixels = [_even(frame) for frame in frames]
        stream.height, stream.width, _ = pixels[0].shape
        stream.pix_fmt = "yuv420p"
        for frame in pixels:
            rgb = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(rgb.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)))
        container.mux(stream.encode())
    return file.getvalue()


def _even(frame: Image.Image) -> np.ndarray:
    """RGB pixels (h, w, 3) with both sides even."""
    pixels = np.asarray(frame.convert("RGB"))
    return np.pad(pixels, ((0, frame.height % 2), (0, frame.width % 2), (0, 0)), mode="edge")
