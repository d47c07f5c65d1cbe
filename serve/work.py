"""The work of a request: its pictures and orders before the model, its files after it."""

import secrets
import time
from dataclasses import dataclass

from PIL import Image

from serve import pictures
from serve.errors import invalid, not_found
from serve.fields import EditFields, Sign
from serve.order import Done, Order
from serve.parse import Body
from serve.settings import Settings
from v4e.editing.editor import Editor
from v4e.files import credentials
from v4e.files.images import sized
from v4e.files.masks import as_picture
from v4e.files.results import check_holds, encode
from v4e.files.video import write_clip
from v4e.language.tasks import understood
from v4e.wan import fits_vae
from v4e.weights import student
from v4e.weights.hub import trained_frames

MIDDLE_FRAMES = 9  # the fewest of a clip with a latent frame between source and edit
ENLARGED = 2  # times as many pixels as the model's, from which on a result is called enlarged


@dataclass(frozen=True, kw_only=True)
class EditWork:
    """A request, ready to run: one order for each of its n edits."""

    fields: EditFields
    source: Image.Image  # RGB, of the size of the results
    mask: Image.Image | None  # L, 255 where to edit
    orders: tuple[Order, ...]
    deadline: float  # of time.monotonic()
    sign: Sign = "off"
    original: bytes = b""  # the file that was sent, for credentials

    @property
    def size(self) -> str:
        return f"{self.source.width}x{self.source.height}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the results that are known before the model runs."""
        order = self.orders[0]
        if self.source.width * self.source.height <= ENLARGED * order.width * order.height:
            return ()
        small = f"{order.width}x{order.height}"
        return (f"The model worked at {small}: enlarged to {self.size}, what it made has less detail than the source.",)

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
    mask = _mask(body, source.size, settings.source_pixels)
    source = sized(source, size)
    mask = sized(mask, size) if mask else None
    _check_region(fields, mask)
    if fields.output != "clip":
        _check_holds(fields.output_format, source.size)
    height, width = Editor.size(source, settings.area)
    steps = _steps(fields, settings)
    # Evenly spread, never the last one: that is the result.
    at = {steps * (k + 1) // (previews + 1) - 1 for k in range(previews)} - {steps - 1, -1}
    sign = _sign(fields, settings)
    instruction = understood(fields.prompt) if fields.enhance else fields.prompt
    first = secrets.randbelow(2**31) if fields.seed in (None, -1) else fields.seed
    orders = tuple(
        Order(
            image=source,
            instruction=instruction,
            seed=first + k,
            height=height,
            width=width,
            frames=fields.num_frames or settings.frames,
            steps=steps,
            guidance=settings.guidance if fields.guidance_scale is None else fields.guidance_scale,
            solver=fields.solver,
            middle_steps=fields.middle_steps,
            negative=fields.negative_prompt,
            lora=fields.lora,
            shift=fields.flow_shift,
            mask=mask,
            preserve=fields.preserve,
            hold=fields.hold,
            strength=fields.strength,
            crop=fields.crop,
            clip=fields.output != "image",
            told=sign != "off",
            tell=tell,
            preview_at=frozenset() if fields.crop else frozenset(at),  # a crop's are of a part
        )
        for k in range(fields.n)
    )
    limit = min(settings.deadline_s, fields.deadline_s or settings.deadline_s)
    deadline, original = time.monotonic() + limit, b"" if sign == "off" else body.source
    pair = {"source": source, "mask": mask}
    return EditWork(fields=fields, **pair, orders=orders, deadline=deadline, sign=sign, original=original)


def _steps(fields: EditFields, settings: Settings) -> int:
    return fields.num_inference_steps or (max(1, settings.steps // 2) if fields.quality == "low" else settings.steps)


def check_model(name: str | None, settings: Settings) -> None:
    """Refuses a name that is not this server's.

    Raises:
        ApiError: 404 that says which names there are, and how the operator adds one.
    """
    if name is not None and name not in settings.names:
        there = ", ".join(settings.names)
        message = f"model: there is no {name[:64]!r} here: expected {there}; the server's setting aliases adds names."
        raise not_found(message, "model_not_found", "model")


def shown(preview: Image.Image, work: EditWork) -> Image.Image:
    """Returns a preview of the model's area and the result's aspect, with the source outside the mask."""
    source = work.source
    scale = min(1.0, (preview.width * preview.height / (source.width * source.height)) ** 0.5)
    size = max(1, round(source.width * scale)), max(1, round(source.height * scale))
    still = source.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    where = work.mask and work.mask.resize(size, reducing_gap=2.0)
    return pictures.composite(preview.resize(size, Image.Resampling.LANCZOS), still, where)


def encoded(work: EditWork, done: Done) -> dict[str, bytes]:
    """Encodes what the request wants of ``image``, ``clip`` and ``region`` as files."""
    fields, files = work.fields, {}
    if fields.output != "clip":
        files["image"] = encode(done.image, fields.output_format, fields.output_compression)
    if fields.output != "image":
        size = done.clip[0].size
        where = None if done.region is None or fields.crop else done.region.resize(size)
        still = work.source.resize(size, Image.Resampling.LANCZOS)
        frames = [pictures.composite(frame, still, where) for frame in done.clip]
        files["clip"] = write_clip(frames, fields.clip_format, fps=fields.clip_fps)
    if fields.region and done.region is not None:
        files["region"] = encode(as_picture(done.region), "png")
    return files


def _check_region(fields: EditFields, mask: Image.Image | None) -> None:
    if fields.hold and mask is None:
        raise invalid("hold", "hold: it holds what lies outside a mask: give one, or leave it out.")
    if fields.crop and mask is not None and mask.getbbox() is None:
        raise invalid("mask", "mask: it is opaque everywhere: expected a part that is transparent, to be edited.")
    if fields.region and not (fields.crop or mask is not None or fields.preserve == "auto"):
        raise invalid("region", "region: there is none when all is edited: set preserve=auto, crop, or give a mask.")


def _mask(body: Body, size: tuple[int, int], most_pixels: int) -> Image.Image | None:
    how = body.fields.mask_from
    if how == "image":
        if body.mask is not None:
            raise invalid("mask_from", "mask_from: image takes the image's own transparency: send no mask with it.")
        return pictures.transparency(body.source, most_pixels)
    if body.mask is None:
        return None
    return pictures.decode_mask(body.mask, size, most_pixels, white=how == "white")


def _sign(fields: EditFields, settings: Settings) -> Sign:
    """Returns how the results of a request are signed."""
    sign = settings.sign if fields.sign is None else fields.sign
    if sign != "off" and not credentials.installed():
        raise invalid("sign", "sign: this server has no c2pa-python.", "unsupported_value")
    return sign


def _check_holds(form: str, size: tuple[int, int]) -> None:
    try:
        check_holds(form, *size, "output_format")
    except ValueError as error:
        raise invalid("output_format", f"{error}.", "unsupported_value") from None


def _check(fields: EditFields, settings: Settings) -> None:
    check_model(fields.model, settings)
    if fields.background == "transparent":
        raise invalid("background", "background: results are opaque.", "unsupported_value")
    if (fields.num_inference_steps or 1) > settings.max_steps:
        raise invalid("num_inference_steps", f"num_inference_steps: expected at most {settings.max_steps}.")
    if fields.middle_steps and (fields.middle_steps >= _steps(fields, settings) or fields.solver != "euler"):
        message = f"middle_steps: expected less than the {_steps(fields, settings)} steps, and solver euler."
        raise invalid("middle_steps", message)
    if fields.middle_steps and settings.step_cache:
        raise invalid("middle_steps", "middle_steps: this server has a step cache, which excludes it.")
    frames = fields.num_frames or settings.frames
    if not fits_vae(frames) or frames > settings.max_frames:
        message = f"num_frames: {frames}: expected 4k + 1 of at most {settings.max_frames}, e.g. {settings.frames}."
        raise invalid("num_frames", message)
    if fields.middle_steps and frames < MIDDLE_FRAMES:
        message = (
            f"middle_steps: no frame lies between source and edit: expected num_frames of {MIDDLE_FRAMES} or more."
        )
        raise invalid("middle_steps", message)
    known = trained_frames(settings.model or student.BASE)
    if known and frames not in known:
        message = f"num_frames: {frames}: this model was trained on {' or '.join(map(str, known))} frames."
        raise invalid("num_frames", message, "unsupported_value")
    if fields.lora is not None and fields.lora not in settings.adapters:
        there = ", ".join(settings.adapters) or "none"
        raise invalid("lora", f"lora: no {fields.lora[:64]!r} here: there is {there}.", "unsupported_value")
