"""Edits a picture on this machine: a picture and an instruction in, the edit and its evolution out.

v4e edit photo.jpg "make the car blue" -o out.png clip=out.mp4 strip=strip.png
v4e edit --example -o out.png
"""

import secrets
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import torch
from PIL import Image

from pipelines.parts.signing import require_signing, signed_edit
from v4e.config.commands import EditOptions
from v4e.editing.inexact import Inexact
from v4e.editing.settings import EditSettings, check_seed
from v4e.files.images import grid_size, open_image
from v4e.files.masks import as_picture, open_mask
from v4e.files.pictures import named_strip
from v4e.files.results import Form, check_holds, encode
from v4e.files.video import FORMS, write_clip
from v4e.weights import student
from v4e.weights.hub import check_trained_frames

WAN_PIXELS = 832 * 480
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
STRIP_HEIGHT = 480  # pixels of a source that is taller


def run(options: EditOptions) -> None:
    """Edit one picture and write the files that `options` names.

    Raises:
        ValueError: an option is wrong; nothing has been written.
    """
    if options.example:
        options = _of_example(options)
    _check(options)
    image = open_image(options.image)
    check_holds(_form(options.out), image.width, image.height, "out")
    mask = open_mask(options.mask, image.size) if options.mask else None
    seed = secrets.randbelow(2**31) if options.seed == -1 else options.seed
    check_seed(seed)
    inexact = Inexact(
        step_cache=options.step_cache,
        weights=options.weights,
        gguf=options.gguf,
        compile=options.compile,
        bf16_decode=options.bf16_decode,
        tiles=options.tiles,
    )
    if options.threads:
        torch.set_num_threads(options.threads)

    from v4e.editing.crop import edit_crop
    from v4e.editing.editor import Editor  # here, so that what is wrong with the options is reported at once

    check_trained_frames("frames", options.frames, options.model or student.BASE)
    height, width = _size(options, image)
    settings = EditSettings(
        height=height,
        width=width,
        frames=options.frames,
        steps=options.steps,
        guidance=options.guidance,
        solver=options.solver,
        middle_steps=options.middle_steps,
        preserve=options.preserve,
        hold=options.hold,
        strength=options.strength,
    )
    steps = options.steps * (2 if options.crop and mask is None else 1)
    start = time.monotonic()
    editor = Editor.load(
        options.model,
        dtype=getattr(torch, options.dtype),
        loras={options.lora: options.lora} if options.lora else {},
        options=inexact,
        away=options.away,
    )
    _say(f"{options.image}: {image.width}x{image.height}, edited at {width}x{height}; {time.monotonic() - start:.1f} s")
    start = time.monotonic()

    def on_step(step: int, _x0_hat: torch.Tensor) -> None:
        _say(f"step {step + 1}/{steps}, {time.monotonic() - start:.1f} s")

    more = {"lora": options.lora or None, "on_step": on_step}
    if options.crop:
        negative = options.negative or None
        edit = edit_crop(editor, image, options.instruction, seed, settings, mask=mask, negative=negative, **more)
    else:
        lists = [image], [options.instruction], [seed]
        negatives = [options.negative] if options.negative else None
        [edit] = editor.edit(*lists, settings, negatives=negatives, masks=mask and [mask], **more)
    blob = encode(edit.image, _form(options.out))
    if options.sign != "off":
        blob = signed_edit(blob, options, _form(options.out), image, mask, edit, settings, seed)
    Path(options.out).write_bytes(blob)
    written = [options.out]
    if options.clip:
        form = cast(Literal["mp4", "gif", "webp"], Path(options.clip).suffix.lower()[1:])
        Path(options.clip).write_bytes(write_clip(edit.clip, form, options.fps))
        written.append(options.clip)
    if options.strip:
        source = image.copy()
        source.thumbnail((image.width, STRIP_HEIGHT))
        strip = named_strip([source, *edit.clip[1:]], ["source", *map(str, range(1, len(edit.clip)))])
        Path(options.strip).write_bytes(encode(strip, _form(options.strip)))
        written.append(options.strip)
    if options.region and edit.region is not None:
        Path(options.region).write_bytes(encode(as_picture(edit.region), "png"))
        written.append(options.region)
    for note in edit.notes:
        _say(f"note: {note}")
    how = f", not exact: {', '.join(edit.how)}" if edit.how else ""
    print(f"wrote {', '.join(written)} (seed {seed}, {time.monotonic() - start:.1f} s{how})")


def _of_example(options: EditOptions) -> EditOptions:
    """Returns `options` with the picture, the instruction and the seed of the example that they name."""
    if options.image or options.instruction:
        raise ValueError(f"example={options.example} has a picture and an instruction: give none, or leave it out")
    one = student.example(options.example)
    _say(f'{one.picture}: "{one.instruction}"')
    return replace(options, image=str(one.picture), instruction=one.instruction, seed=options.seed or one.seed)


def _check(options: EditOptions) -> None:
    """Refuse, before a model is read, what could not be written."""
    if not options.out:
        raise ValueError("there is no file for the edit: give -o out.png")
    for name, file, kinds in (
        ("out", options.out, PICTURES),
        ("clip", options.clip, tuple(f".{form}" for form in FORMS)),
        ("strip", options.strip, PICTURES),
        ("region", options.region, (".png",)),
    ):
        path = Path(file)
        if file and path.suffix.lower() not in kinds:
            raise ValueError(f"{name}={path}: expected a name that ends in {', '.join(kinds)}")
        if file and not path.parent.is_dir():
            raise ValueError(f"{name}={path}: {path.parent} is no folder: make it first, or choose another")
    if options.sign != "off":
        require_signing()
    if options.negative and options.guidance == 1:
        raise ValueError("negative does nothing without guidance: set guidance above 1, such as guidance=4")
    if options.region and not (options.mask or options.crop or options.preserve == "auto"):
        raise ValueError(f"region={options.region}: there is none when all is edited: set preserve=auto, mask or crop")
    if options.fps < 1:
        raise ValueError(f"fps={options.fps}: expected at least 1")
    if not options.instruction.strip():
        raise ValueError('the instruction is empty: say what to change, such as "make the car blue"')


def _form(name: str) -> Form:
    ending = Path(name).suffix.lower()[1:]
    return cast(Form, "jpeg" if ending == "jpg" else ending)


def _size(options: EditOptions, image: Image.Image) -> tuple[int, int]:
    """(height, width) in the model."""
    if not options.size:
        own = options.model in ("", student.BASE)
        default = student.card().max_pixels if own and not options.max_pixels else WAN_PIXELS
        return grid_size(image.width, image.height, options.max_pixels or default)
    width, by, height = options.size.partition("x")
    if not (by and width.isdecimal() and height.isdecimal()):
        raise ValueError(f"size={options.size}: expected WIDTHxHEIGHT, such as 832x480")
    return int(height), int(width)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
