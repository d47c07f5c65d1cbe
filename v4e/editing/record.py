"""The record of an edit: all that its pixels are a function of, so that they can be derived again."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from v4e.editing.crop import edit_crop
from v4e.editing.editor import Editor
from v4e.editing.finish import Edit
from v4e.editing.settings import EditSettings
from v4e.files.results import Form

MOST = {"steps": 1000, "frames": 129}  # of a record that is derived again: it may be a stranger's
MOST_PIXELS = 2**24


@dataclass(frozen=True, kw_only=True)
class EditRecord:
    """An edit as its credentials tell it. Pictures and words may be told by their hashes alone."""

    instruction: str | None  # None: only the hash of the words is told
    negative: str | None
    words_sha256: str
    seed: int
    settings: EditSettings
    crop: bool
    width: int  # of the result, pixels
    height: int
    source_sha256: str  # of the pixels that were edited, sRGB
    mask_sha256: str | None
    model: str  # what its owner calls it
    weights_sha256: str
    lora_sha256: str | None
    how: tuple[str, ...]  # options in use that are not exact
    dtype: str
    attention: str
    threads: int
    made_on: str  # versions and device: others may round in another way
    form: Form
    quality: int  # of jpeg and webp, in percent

    def plain(self) -> dict[str, Any]:
        """Returns the record as JSON has it."""
        return json.loads(json.dumps(asdict(self)))


def told_of(
    image: Image.Image, mask: Image.Image | None, instruction: str, negative: str | None, words: bool
) -> dict[str, Any]:
    """Returns the fields of a record that tell what was edited: pictures by their hashes, as words if not `words`."""
    return {
        "instruction": instruction if words else None,
        "negative": negative or None if words else None,
        "words_sha256": words_sha256(instruction, negative),
        "width": image.width,
        "height": image.height,
        "source_sha256": pixels_sha256(image),
        "mask_sha256": mask and pixels_sha256(mask),
    }


def record_of(plain: Any) -> EditRecord:
    """Reads a record that may be anybody's.

    Raises:
        ValueError: it names the field that is missing or wrong.
    """
    try:
        record = TypeAdapter(EditRecord).validate_python(plain)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"record: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    sides = (record.width, record.height, record.settings.width or 0, record.settings.height or 0)
    for name, most in MOST.items():
        if getattr(record.settings, name) > most:
            raise ValueError(f"record: {name}={getattr(record.settings, name)}: expected at most {most}")
    if min(sides) < 1 or max(sides[0] * sides[1], sides[2] * sides[3]) > MOST_PIXELS:
        raise ValueError(f"record: sides {sides}: expected at least 1 pixel, and {MOST_PIXELS} pixels at most")
    return record


def words_sha256(instruction: str, negative: str | None) -> str:
    """Returns the hash of an edit's words."""
    return hashlib.sha256(json.dumps([instruction, negative or None]).encode()).hexdigest()


def pixels_sha256(image: Image.Image) -> str:
    """Returns the hash of a picture's mode, size and pixels."""
    head = f"{image.mode} {image.width}x{image.height}\n"
    return hashlib.sha256(head.encode() + image.tobytes()).hexdigest()


def made_on(device: torch.device) -> str:
    """Returns what decides how numbers are rounded here."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return f"torch {torch.__version__}, {device.type} {name}"


def changed_box(edit: Image.Image, source: Image.Image, region: Image.Image | None) -> Any:
    """Returns the box that an edit may have changed, "all" if all may be, or "none" if nothing is."""
    if edit.tobytes() == source.tobytes():
        return "none"
    return "all" if region is None else region.getbbox() or "none"


def derived(editor: Editor, record: EditRecord, source: Image.Image, mask: Image.Image | None, lora: str = "") -> Edit:
    """Makes the edit of a record again, from its source and mask.

    Raises:
        ValueError: a picture is not the record's, or its words are not told.
    """
    _check_same("source", pixels_sha256(source), record.source_sha256)
    _check_same("mask", mask and pixels_sha256(mask), record.mask_sha256)
    if record.instruction is None:
        raise ValueError("the record has only a hash of the instruction: give instruction=")
    _check_same("instruction", words_sha256(record.instruction, record.negative), record.words_sha256)
    inexact = [name for name in record.how if not (editor.options.gguf and name.startswith("gguf="))]
    if inexact:
        raise ValueError(f"it was made with {', '.join(inexact)}, which is not exact: it cannot be derived again")
    torch.set_num_threads(record.threads)
    what = source, record.instruction, record.seed
    if record.crop:
        negative = record.negative or None
        return edit_crop(editor, *what, record.settings, mask=mask, negative=negative, lora=lora or None)
    negatives, masks = [record.negative] if record.negative else None, mask and [mask]
    lists = [source], [record.instruction], [record.seed]
    [edit] = editor.edit(*lists, record.settings, negatives=negatives, masks=masks, lora=lora or None)
    return edit


def differing(one: Image.Image, other: Image.Image) -> int:
    """Returns how many pixels of two pictures of one size differ."""
    return int(np.any(np.asarray(one) != np.asarray(other), axis=-1).sum())


def with_words(record: EditRecord, instruction: str, negative: str) -> EditRecord:
    """Returns the record with words that were not told in it, or all of its own."""
    return replace(record, instruction=instruction, negative=negative or None) if instruction else record


def _check_same(name: str, got: str | None, expected: str | None) -> None:
    if got == expected:
        return
    if got is None:
        raise ValueError(f"this edit had a {name}: give {name}=")
    if expected is None:
        raise ValueError(f"this edit had no {name}: leave it out")
    raise ValueError(f"this is not the {name} of the edit: its hash is {got[:16]}, expected {expected[:16]}")
