"""Images put together: every pixel lies where it should, and bytes are those that a page or a file needs."""

import base64
import io

import numpy as np
from PIL import Image

from v4e.files.pictures import beside, data_uri, named_strip, png, stack, strip, webp


def noise(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_strip_holds_each_frame_enlarged_with_clear_gaps():
    frames = [noise(n, 4, 6) for n in range(3)]
    page = np.asarray(strip(frames, gap=2, zoom=3))
    assert page.shape == (12, 3 * (3 * 6 + 2 * 2), 4)
    for n, frame in enumerate(frames):
        cell = page[:, 24 * n : 24 * n + 18]
        assert (cell[..., 3] == 255).all()
        assert (cell[::3, ::3, :3] == frame).all() and (cell[2::3, 2::3, :3] == frame).all()
    assert not page[:, 18:24].any()


def test_rows_of_different_sizes_are_aligned_on_clear_ground():
    first, second = (Image.fromarray(noise(n, *size)) for n, size in enumerate(((3, 8), (5, 2))))
    row = np.asarray(beside([first, second], gap=1))
    assert row.shape == (5, 11, 4) and not row[3:, :9].any() and (row[:, 9:, :3] == np.asarray(second)).all()
    page = np.asarray(stack([first, second], gap=4))
    assert page.shape == (12, 8, 4) and not page[3:7].any() and not page[7:, 2:].any()
    assert (page[:3, :, :3] == np.asarray(first)).all() and (page[7:, :2, :3] == np.asarray(second)).all()


def test_named_images_share_the_height_of_the_largest():
    large, small = Image.new("RGB", (10, 20), "red"), Image.new("RGB", (4, 10), "blue")
    page = np.asarray(named_strip([large, small], ["a", "b"]))
    assert page.shape == (34, 10 + 4 + 8, 3)
    assert (page[14:, :10] == (255, 0, 0)).all() and (page[14:, 14:] == (0, 0, 255)).all()
    assert (page[14:, 10:14] == 255).all()
    for left in (0, 14):
        assert (page[:14, left : left + 8] < 255).any()  # the name


def test_bytes_give_the_pixels_back():
    image = Image.fromarray(noise(0, 16, 16))
    for data in (png(image), png(image, optimize=True)):
        assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(image)).all()
    with Image.open(io.BytesIO(webp(image))) as lossy:
        assert lossy.format == "WEBP" and lossy.size == image.size
    head, _, body = data_uri(png(image), "png").partition(",")
    assert head == "data:image/png;base64" and base64.b64decode(body) == png(image)
