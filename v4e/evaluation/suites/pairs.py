"""Pairs of source and edit to measure without a judge: a JSON Lines file, or PIE-Bench's mapping file."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from v4e.config import Bench
from v4e.evaluation.metrics import pie, preservation, reference
from v4e.evaluation.suites.items import open_image, read_objects

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


def read(file: str, edits: str) -> Iterator[EditedPair]:
    """Reads JSON Lines of `KEYS`, paths relative to the file, or PIE-Bench's mapping file, whose name ends in .json.

    Images of the mapping file lie in annotation_images/ beside it, and the edits under the same names below `edits`.

    Raises:
        ValueError: a line has no source or edit, or an unknown key; the mapping file has another form.
    """
    place = Path(file)
    if place.suffix == ".json":
        for key, found in read_objects(place, "bench.pairs", PIE_KEYS).items():
            yield EditedPair(
                id=key,
                source=str(place.parent / "annotation_images" / found["image_path"]),
                edit=str(Path(edits) / found["image_path"]),
                pie_mask=tuple(found["mask"]),
                source_caption=_plain(found["original_prompt"]),
                target_caption=_plain(found["editing_prompt"]),
                group=str(found.get("editing_type_id", "")),
            )
        return
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), 1):
        found = _line(line)
        if found is None:
            raise ValueError(
                f"{file}, line {number}: expected a JSON object with source, edit and any of {', '.join(KEYS)}, all "
                f"texts, got {line[:80]}"
            )
        paths = {k: str(place.parent / found[k]) for k in ("source", "edit", "truth", "mask") if found.get(k)}
        yield EditedPair(**{"id": str(number), **found, **paths})


def _line(line: str) -> dict[str, Any] | None:
    """The object of a line; None where it is none of ours."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    good = isinstance(found, dict) and {"source", "edit"} <= set(found) <= set(KEYS)
    return found if good and all(isinstance(value, str) for value in found.values()) else None


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


def measure(pair: EditedPair, tools: Tools) -> dict[str, float]:
    """All metrics that the pair's data and `tools` allow, ``<rule>.<metric>`` to figure.

    Raises:
        OSError: an image is missing or damaged.
    """
    source, edit = (open_image(path).convert("RGB") for path in (pair.source, pair.edit))
    fitted = edit.resize(source.size)
    a, b = np.asarray(source), np.asarray(fitted)
    found = {"sharpness.source": preservation.sharpness(a), "sharpness.edit": preservation.sharpness(b)}
    if pair.pie_mask:
        found |= {f"pie.{k}": v for k, v in _pie(pair, source, edit, tools).items()}
    mask = _mask(pair, source, a)
    if mask is not None:
        found |= {f"outside.{k}": v for k, v in (preservation.outside(a, b, mask) or {}).items()}
    if pair.truth:
        scored = reference.magicbrush(edit, open_image(pair.truth), pair.target_caption, tools.encoders)
        found |= {f"magicbrush.{k}": v for k, v in scored.items()}
    scored = reference.emu_edit(edit, source, pair.source_caption, pair.target_caption, tools.encoders)
    return found | {f"emu_edit.{k}": v for k, v in scored.items()}


def _pie(pair: EditedPair, source: Image.Image, edit: Image.Image, tools: Tools) -> dict[str, float]:
    a, b = (np.asarray(image.resize((pie.SIDE, pie.SIDE))) for image in (source, edit))
    mask = pie.pie_mask(pair.pie_mask)
    found = pie.background(a, b, mask, tools.lpips) or {}
    if tools.structure:
        found["structure_distance"] = pie.structure_distance(a, b, tools.structure)
    return found | pie.clip_similarity(a, b, mask, pair.source_caption, pair.target_caption, tools.pie_clip)


def _mask(pair: EditedPair, source: Image.Image, pixels: np.ndarray) -> np.ndarray | None:
    if pair.mask:
        return np.asarray(open_image(pair.mask).convert("L").resize(source.size, Image.Resampling.NEAREST)) > 127
    if pair.truth:
        truth = open_image(pair.truth).convert("RGB").resize(source.size)
        return preservation.derived_mask(pixels, np.asarray(truth))
    return None


def _plain(prompt: str) -> str:
    """PIE-Bench brackets the words that differ."""
    return prompt.replace("[", "").replace("]", "")
