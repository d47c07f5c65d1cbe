"""Clips as files: MP4, GIF and WebP."""

import io
from typing import Literal

import av
from PIL import Image


def write_clip(frames: list[Image.Image], form: Literal["mp4", "gif", "webp"], fps: int = 8) -> bytes:
    """`frames` of equal size as the bytes of a file of `form`."""
    file = io.BytesIO()
    if form != "mp4":
        ms = round(1000 / fps)
        frames[0].save(file, form, save_all=True, append_images=frames[1:], duration=ms, loop=0)
        return file.getvalue()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    return file.getvalue()
