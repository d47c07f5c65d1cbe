"""The work of a request: its pictures and orders before the model, its files after it."""

import secrets
import time
from dataclasses import dataclass

from PIL import Image

from serve import pictures
from serve.errors import invalid, not_found
from serve.fields import EditFields
from serve.order import Done, Order
from serve.parse import Body
from serve.settings import Settings
from v4e.editing.editor import Editor
from v4e.files.results import check_holds, encode
from v4e.files.video import write_clip
from v4e.wan import fits_vae


@dataclass(frozen=True, kw_only=True)
class EditWork:
    """A request, ready to run: one order for each of its n edits."""

    fields: EditFields
    source: Image.Image  # RGB, of the size of the results
    mask: Image.Image | None  # L, 255 where to edit
    orders: tuple[Order, ...]
    deadline: float  # of time.monotonic()

    @property
    def size(self) -> str:
        return f"{self.source.width}x{self.source.height}"

    @property
    def pixels(self) -> int:
        return self.source.width * self.source.height * (1 if self.mask is None else 2)


def prepare(body: Body, settings: Settings, previews: int, tell: bool) -> EditWork:
    """Decodes the pictures and checks everything that can be checked without the model.

    Raises:
        ApiError: 400, 404, 413.
    """
    fields = body.fields
    _check(fields, settings)
    size = pictures.size_of(fields.size, settings.source_pixels)
    source = pictures.decode(body.source, "image", settings.source_pixels)
    mask = pictures.decode_mask(body.mask, source.size, settings.source_pixels) if body.mask is not None else None
    source = pictures.sized(source, size)
    mask = pictures.sized(mask, size) if mask else None
    if fields.output != "clip":
        _check_holds(fields.output_format, source.size)
    height, width = Editor.size(source, settings.max_pixels)
    steps = fields.num_inference_steps or (max(1, settings.steps // 2) if fields.quality == "low" else settings.steps)
    # Evenly spread, never the last one: that is the result.
    at = {steps * (k + 1) // (previews + 1) - 1 for k in range(previews)} - {steps - 1, -1}
    first = secrets.randbelow(2**31) if fields.seed is None else fields.seed
    orders = tuple(
        Order(
            image=source,
            instruction=fields.prompt,
            seed=first + k,
            height=height,
            width=width,
            frames=fields.num_frames or settings.frames,
            steps=steps,
            guidance=settings.guidance if fields.guidance_scale is None else fields.guidance_scale,
            solver=fields.solver,
            negative=fields.negative_prompt,
            lora=fields.lora,
            shift=fields.flow_shift,
            clip=fields.output != "image",
            tell=tell,
            preview_at=frozenset(at),
        )
        for k in range(fields.n)
    )
    limit = min(settings.deadline_s, fields.deadline_s or settings.deadline_s)
    return EditWork(fields=fields, source=source, mask=mask, orders=orders, deadline=time.monotonic() + limit)


def shown(preview: Image.Image, work: EditWork) -> Image.Image:
    """Returns a preview at the result's size, with the source outside the mask."""
    whole = preview.resize(work.source.size, Image.Resampling.LANCZOS)
    return pictures.composite(whole, work.source, work.mask)


def encoded(work: EditWork, done: Done) -> tuple[bytes | None, bytes | None]:
    """Encodes the image and the clip as files; None for one that the request does not want."""
    fields, image, clip = work.fields, None, None
    if fields.output != "clip":
        whole = pictures.composite(done.image, work.source, work.mask)
        image = encode(whole, fields.output_format, fields.output_compression)
    if fields.output != "image":
        where = work.mask and work.mask.resize(done.clip[0].size)
        still = work.source.resize(done.clip[0].size, Image.Resampling.LANCZOS)
        clip = write_clip(
            [pictures.composite(frame, still, where) for frame in done.clip], fields.clip_format, fps=fields.clip_fps
        )
    return image, clip


def _check_holds(form: str, size: tuple[int, int]) -> None:
    try:
        check_holds(form, *size, "output_format")
    except ValueError as error:
        raise invalid("output_format", f"{error}.", "unsupported_value") from None


def _check(fields: EditFields, settings: Settings) -> None:
    if fields.model not in (None, "", settings.model_name):
        message = f"model: there is no {fields.model[:64]!r} here: expected {settings.model_name!r}."
        raise not_found(message, "model_not_found", "model")
    if fields.background == "transparent":
        raise invalid("background", "background: results are opaque.", "unsupported_value")
    if (fields.num_inference_steps or 1) > settings.max_steps:
        raise invalid("num_inference_steps", f"num_inference_steps: expected at most {settings.max_steps}.")
    frames = fields.num_frames or settings.frames
    if not fits_vae(frames) or frames > settings.max_frames:
        message = f"num_frames: {frames}: expected 4k + 1 of at most {settings.max_frames}, e.g. {settings.frames}."
        raise invalid("num_frames", message)
    if fields.lora is not None and fields.lora not in settings.adapters:
        there = ", ".join(settings.adapters) or "none"
        raise invalid("lora", f"lora: no {fields.lora[:64]!r} here: there is {there}.", "unsupported_value")
    if fields.stream and fields.n > 1:
        raise invalid("n", "n: a stream tells of one edit: expected 1.", "unsupported_value")
