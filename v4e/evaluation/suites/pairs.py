"""Pairs of source and edit to measure without a judge: a JSON Lines file, or PIE-Bench's mapping file."""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from v4e.config import Bench
from v4e.evaluation.metrics import pie, preservation, reference
from v4e.evaluation.suites.items import read_objects
from v4e.evaluation.suites.masks import read_mask, same_aspect
from v4e.files.images import open_image

PIE_KEYS = ("image_path", "original_prompt", "editing_prompt", "mask")
KEYS = ("id", "source", "edit", "truth", "mask", "source_caption", "target_caption", "group")


@dataclass(frozen=True, kw_only=True)
class EditedPair:
    """One edit; paths are absolute. What is empty is not known, and its metrics are left out."""

    id: str
    source: str
    edit: str
    truth: str = ""
    mask: str = ""  # an image, white where the edit may change pixels
    pie_mask: tuple[int, ...] = ()
    source_caption: str = ""
    target_caption: str = ""
    group: str = ""


@dataclass(frozen=True, kw_only=True)
class BadPair:
    """A line that names no pair, with the reason."""

    id: str
    reason: str


def read(file: str, edits: str) -> Iterator[EditedPair | BadPair]:
    """Reads JSON Lines of `KEYS`, paths relative to the file, or PIE-Bench's mapping file, whose name ends in .json.

    Images of the mapping file lie in annotation_images/ beside it, and the edits under the same names below `edits`.
    Lines end with a line feed and nothing else. Blank ones are skipped, and null is as good as no value.

    Raises:
        ValueError: the mapping file has another form.
    """
    place = Path(file)
    if place.suffix == ".json":
        for key, found in read_objects(place, "bench.pairs", PIE_KEYS).items():
            yield _pie_pair(key, found, place.parent, edits)
        return
    for number, line in enumerate(place.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            yield _pair(str(number), line, place.parent)


def _pie_pair(key: str, found: dict[str, Any], folder: Path, edits: str) -> EditedPair | BadPair:
    texts, mask = [found[name] for name in PIE_KEYS[:3]], found["mask"]
    if not all(isinstance(text, str) for text in texts):
        return BadPair(id=key, reason=f"expected texts in {', '.join(PIE_KEYS[:3])}, got {str(texts)[:80]}")
    if not isinstance(mask, list) or len(mask) % 2 or not all(type(one) is int and one >= 0 for one in mask):
        return BadPair(id=key, reason=f"mask: expected a list of starts and lengths, got {str(mask)[:80]}")
    return EditedPair(
        id=key,
        source=str(folder / "annotation_images" / texts[0]),
        edit=str(Path(edits) / texts[0]),
        pie_mask=tuple(mask),
        source_caption=_plain(texts[1]),
        target_caption=_plain(texts[2]),
        group=str(found.get("editing_type_id") or ""),
    )


def _pair(number: str, line: bytes, folder: Path) -> EditedPair | BadPair:
    """The pair of a line; ids and groups may be numbers."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadPair(id=number, reason=f"line {number} is no JSON: {error}")
    found = {k: v for k, v in found.items() if v is not None} if isinstance(found, dict) else {}
    for key in set(found) & {"id", "group"}:
        found[key] = str(found[key]) if isinstance(found[key], int | float) else found[key]
    good = {"source", "edit"} <= set(found) <= set(KEYS) and all(isinstance(value, str) for value in found.values())
    if not good:
        expected = f"an object with source, edit and any of {', '.join(KEYS)}, all texts"
        return BadPair(
            id=number, reason=f"line {number}: expected {expected}, got {line[:80].decode(errors='replace')}"
        )
    paths = {k: str(folder / found[k]) for k in ("source", "edit", "truth", "mask") if found.get(k)}
    return EditedPair(**{"id": number, **found, **paths})


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The encoders that are given; a metric without its own is left out."""

    encoders: reference.Encoders = field(default_factory=reference.Encoders)
    pie_clip: reference.Encoders = field(default_factory=reference.Encoders)
    structure: pie.Structure | None = None
    lpips: preservation.Lpips | None = None


def load_tools(bench: Bench) -> Tools:
    """Loads the encoders from the folders that the config names.

    Raises:
        FileNotFoundError: one of them is not there.
    """
    return Tools(
        encoders=reference.load_encoders(bench.clip, bench.dino),
        pie_clip=reference.load_encoders(bench.pie_clip, key="pie_clip"),
        structure=pie.load_structure(bench.pie_dino) if bench.pie_dino else None,
        lpips=preservation.load_lpips(bench.lpips) if bench.lpips else None,
    )


def measure(pair: EditedPair, tools: Tools) -> tuple[dict[str, float], str]:
    """All metrics that the pair's data and `tools` allow, ``<rule>.<metric>`` to figure; and what is left out and why.

    Raises:
        OSError, ValueError: an image is missing, damaged or of another aspect, or the mask is none.
    """
    source, edit = open_image(pair.source), open_image(pair.edit)
    a, b = np.asarray(source), np.asarray(_fitted(edit, source, "edit"))
    found, note = {"sharpness.source": preservation.sharpness(a), "sharpness.edit": preservation.sharpness(b)}, ""
    if pair.pie_mask:
        found |= {f"pie.{k}": v for k, v in _pie(pair, source, edit, tools).items()}
    truth = open_image(pair.truth) if pair.truth else None
    mask = None
    if pair.mask:
        mask = read_mask(pair.mask, source.size)
    elif truth:
        mask = preservation.derived_mask(a, np.asarray(_fitted(truth, source, "truth")))
    if mask is not None:
        outside = preservation.outside(a, b, mask)
        found |= {f"outside.{k}": v for k, v in (outside or {}).items()}
        note = "" if outside else "outside is left out: the edit may change every pixel"
    if truth:
        scored = reference.magicbrush(edit, truth, pair.target_caption, tools.encoders)
        found |= {f"magicbrush.{k}": v for k, v in scored.items()}
    scored = reference.emu_edit(edit, source, pair.source_caption, pair.target_caption, tools.encoders)
    return found | {f"emu_edit.{k}": v for k, v in scored.items()}, note


def _fitted(image: Image.Image, source: Image.Image, name: str) -> Image.Image:
    """`image` at the source's size.

    Raises:
        ValueError: it has another aspect, so that its pixels are not those of the source.
    """
    if not same_aspect(image.size, source.size):
        sizes = "{} x {}, source {} x {}".format(*image.size, *source.size)
        raise ValueError(f"another aspect: {name} {sizes}: crop or pad it to the source's first")
    return image if image.size == source.size else image.resize(source.size)


def _pie(pair: EditedPair, source: Image.Image, edit: Image.Image, tools: Tools) -> dict[str, float]:
    a, b = (np.asarray(image.resize((pie.SIDE, pie.SIDE))) for image in (source, edit))
    mask = pie.pie_mask(pair.pie_mask)
    found = pie.background(a, b, mask, tools.lpips) or {}
    if tools.structure:
        found["structure_distance"] = pie.structure_distance(a, b, tools.structure)
    return found | pie.clip_similarity(a, b, mask, pair.source_caption, pair.target_caption, tools.pie_clip)


def _plain(prompt: str) -> str:
    """PIE-Bench brackets the words that differ."""
    return prompt.replace("[", "").replace("]", "")
