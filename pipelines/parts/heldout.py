"""The held-out triplets that judge a run, the models that edit them, and the place of their clips."""

import io
from collections.abc import Callable

import numpy as np
import torch

from v4e.config import Config
from v4e.data.buckets import size_of, to_bucket
from v4e.data.quality import BadTriplet, decode_triplet
from v4e.data.sources import parts, rows
from v4e.data.store.jobs import DUPLICATE
from v4e.data.store.paths import heldout_uri
from v4e.evaluation.heldout import HeldoutModel, clip_uri
from v4e.evaluation.metrics.exact import edit_mask
from v4e.files.uri import exists, join, open_uri
from v4e.types import EditTriplet

WEIGHTS = ("transformer", "vae", "text_encoder", "tokenizer", "image_encoder")


def models(config: Config) -> list[HeldoutModel]:
    """The models of the report, in its order; the student's only where they have been exported."""
    exports = join(config.run.dir, "export")
    listed = [
        HeldoutModel(name="ema", folder=join(exports, "ema")),
        HeldoutModel(name="student", folder=join(exports, "student")),
        HeldoutModel(name="native_i2v", folder=config.models.student),
        HeldoutModel(name="base_caption", folder=config.models.student, text="caption"),
        HeldoutModel(name="teacher", folder=config.models.teacher, text="caption", last_image=True),
        HeldoutModel(name="vae", folder=config.models.student, reconstructs=True),
    ]
    return [m for m in listed if not m.folder.startswith(exports) or exists(join(m.folder, "model_index.json"))]


def read_heldout(config: Config) -> tuple[list[EditTriplet], list[dict[str, str]]]:
    """The held-out triplets that can be scored, and the rejected ones with their reasons.

    Raises:
        ValueError: none can be scored.
    """
    good: list[EditTriplet] = []
    rejected: list[dict[str, str]] = []
    seen: set[str] = set()
    for part in parts(heldout_uri(config), config.eval.limit, key="data.heldout"):
        for row in rows(part):
            first = row.id not in seen
            seen.add(row.id)
            try:
                triplet = decode_triplet(row, config.data.max_pixels)
                if not first:
                    raise BadTriplet(DUPLICATE)
                if not edit_mask(resized(config, triplet.source), resized(config, triplet.edit)).any():
                    height, width = size_of(*triplet.source.size, config.data)
                    raise BadTriplet(f"source and edit are the same image at {width} x {height}")
                good.append(triplet)
            except BadTriplet as error:
                rejected.append({"id": row.id, "stage": "evaluate", "reason": str(error)})
    if not good:
        raise ValueError(f"none of the {len(rejected)} triplets of {heldout_uri(config)} can be scored: {rejected[:1]}")
    return good, rejected


def read_clip(config: Config, model: HeldoutModel, sample_id: str) -> np.ndarray:
    with open_uri(clip_uri(config, model, sample_id)) as f:
        return np.load(io.BytesIO(f.read()), allow_pickle=False)


def resized(config: Config, image) -> np.ndarray:
    """The image on the model's grid, where edits are scored."""
    return np.asarray(to_bucket(image, config.data))


def load_editor(
    config: Config, model: HeldoutModel, device: torch.device
) -> Callable[[tuple[list[EditTriplet], list[str]]], int]:
    """Loads `model` into this process: see :class:`v4e.evaluation.heldout_editor.HeldoutEditor`."""
    from v4e.evaluation.heldout_editor import HeldoutEditor  # here: who names a model need not import it

    return HeldoutEditor(config, model, device)
