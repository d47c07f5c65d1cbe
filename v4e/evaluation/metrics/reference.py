"""Distances to a ground truth (MagicBrush's rule) or to the source (Emu-Edit's): L1, L2, CLIP-I, CLIP-T, DINO.

Encoders come from the user's folders, in the layout of transformers: CLIP ViT-B/32 and dino-vits16 in both rules.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, AutoModel, CLIPModel, CLIPProcessor

Embed = Callable[[Image.Image], Tensor]  # to (D,)


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The encoders that are given; a metric without its encoder is left out."""

    clip_image: Embed | None = None
    clip_text: Callable[[str], Tensor] | None = None
    dino: Embed | None = None


def load_encoders(clip: str = "", dino: str = "", *, key: str = "clip") -> Encoders:
    """Loads encoders from folders; an empty name leaves the encoder out. `key` is the option that named CLIP's.

    Raises:
        FileNotFoundError: a folder is not there.
    """
    found = Encoders()
    if clip:
        with loading(key, clip):
            model, processor = CLIPModel.from_pretrained(clip), CLIPProcessor.from_pretrained(clip, use_fast=False)
        found = Encoders(
            clip_image=lambda image: _clip(model.get_image_features(**processor(images=image, return_tensors="pt"))),  # type: ignore[operator]
            clip_text=lambda text: _clip(
                model.get_text_features(**processor(text=[text], return_tensors="pt", padding=True, truncation=True))  # type: ignore[operator]
            ),
        )
    if dino:
        with loading("dino", dino):
            vit, prepare = AutoModel.from_pretrained(dino), AutoImageProcessor.from_pretrained(dino, use_fast=False)
        found = Encoders(
            clip_image=found.clip_image,
            clip_text=found.clip_text,
            dino=lambda image: vit(**prepare(images=image, return_tensors="pt")).last_hidden_state[0, 0].detach(),
        )
    return found


@contextmanager
def loading(key: str, folder: str) -> Iterator[None]:
    """Around what transformers loads from the user's `folder`.

    Raises:
        FileNotFoundError: it is not there, or has not what is loaded; names the option ``bench.<key>``.
    """
    expected = f"expected a model's folder as transformers keeps it, or leave bench.{key} empty to go without it"
    if not (Path(folder) / "config.json").is_file():
        raise FileNotFoundError(f"bench.{key}={folder} holds no config.json: {expected}")
    try:
        yield
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"bench.{key}={folder}: {str(error).splitlines()[0].rstrip('.')}: {expected}"
        ) from error


def magicbrush(edit: Image.Image, truth: Image.Image, caption: str, encoders: Encoders) -> dict[str, float]:
    """Compares an edit with the ground truth, after it is resized to it.

    The metrics are L1 and L2 of values in [0, 1], CLIP-I and DINO cosines, and CLIP-T against the target caption,
    where there is one.
    """
    edit, truth = edit.convert("RGB"), truth.convert("RGB")
    a, b = (np.asarray(i, dtype=np.float64) / 255 for i in (edit.resize(truth.size), truth))  # Pillow's default filter
    found = {"l1": float(np.abs(a - b).mean()), "l2": float(((a - b) ** 2).mean())}
    return found | _similarities(edit, truth, encoders) | _text(edit, caption, encoders)


def emu_edit(
    edit: Image.Image, source: Image.Image, source_caption: str, target_caption: str, encoders: Encoders
) -> dict[str, float]:
    """Compares an edit with the source: L1, CLIP-I and DINO; CLIP-out against the target caption; CLIP-dir.

    CLIP-dir is the cosine between the change of the image and the change of the caption.
    """
    edit, source = edit.convert("RGB"), source.convert("RGB")
    a, b = (np.asarray(i, dtype=np.float64) / 255 for i in (edit.resize(source.size), source))
    found = {"l1": float(np.abs(a - b).mean())} | _similarities(edit, source, encoders)
    out = _text(edit, target_caption, encoders)
    if out:
        found["clip_out"] = out["clip_t"]
    if out and source_caption and encoders.clip_image and encoders.clip_text:
        unit = torch.nn.functional.normalize
        image = unit(encoders.clip_image(edit), dim=0) - unit(encoders.clip_image(source), dim=0)
        text = unit(encoders.clip_text(target_caption), dim=0) - unit(encoders.clip_text(source_caption), dim=0)
        found["clip_dir"] = cosine(image, text)
    return found


def _similarities(edit: Image.Image, other: Image.Image, encoders: Encoders) -> dict[str, float]:
    named = {"clip_i": encoders.clip_image, "dino": encoders.dino}
    return {name: cosine(embed(edit), embed(other)) for name, embed in named.items() if embed}


def _text(edit: Image.Image, caption: str, encoders: Encoders) -> dict[str, float]:
    if not caption or encoders.clip_image is None or encoders.clip_text is None:
        return {}
    return {"clip_t": cosine(encoders.clip_image(edit), encoders.clip_text(caption))}


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a.double(), b.double(), dim=0))


def _clip(features) -> Tensor:
    """(D,) of what transformers gives: the projected features, or an output that holds them."""
    projected = features if isinstance(features, Tensor) else features.pooler_output
    return projected[0].detach()
