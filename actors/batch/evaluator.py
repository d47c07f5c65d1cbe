"""An actor that edits held-out triplets with one model and stores the clips."""

import io
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
import ray
import torch

from v4e.config import Config
from v4e.data.buckets import fit, size_of
from v4e.editing.editor import Editor
from v4e.files.uri import join, write_atomic
from v4e.method.conditioning import tail_video
from v4e.method.flow import sample_seed
from v4e.models.encoders import decode_clip, encode_clip, to_images, to_pixels
from v4e.types import EditTriplet
from v4e.weights.load import DTYPES


@dataclass(frozen=True, kw_only=True)
class Model:
    """What to evaluate: a pipeline folder and how it is asked."""

    name: str
    folder: str
    text: str = "instruction"  # or "caption"
    last_image: bool = False  # FLF2V: sees the ground truth too (the teacher)
    reconstructs: bool = False  # the VAE alone: what any model through it can reach


def clip_uri(config: Config, model: Model, sample_id: str) -> str:
    return join(config.run.dir, "eval", model.name, quote(sample_id, safe="") + ".npy")


@ray.remote(num_cpus=0.5)
class Evaluator:
    """Holds one model; each call edits some triplets."""

    def __init__(self, config: Config, model: Model) -> None:
        torch.set_num_threads(1)
        self.config, self.model = config, model
        models = config.models
        self.editor = Editor.load(
            model.folder, dtype=DTYPES[models.dtype], attention=models.attention, fold_pad=models.fold_pad
        )

    def edit(self, triplets: list[EditTriplet], texts: list[str]) -> int:
        """Writes each clip, uint8 (P, h, w, 3), as .npy; returns how many. All are brought to the first one's size."""
        data, sample = self.config.data, self.config.sample
        height, width = size_of(*triplets[0].source.size, data)
        sources, lasts = ([fit(getattr(t, side), data) for t in triplets] for side in ("source", "edit"))
        if self.model.reconstructs:
            clips = self._reconstruct(to_pixels(sources, height, width), to_pixels(lasts, height, width))
        else:
            edits = self.editor.edit(
                sources,
                texts,
                height=height,
                width=width,
                frames=data.frames,
                seeds=[sample_seed(self.config.run.seed, t.id, 0) for t in triplets],
                steps=sample.steps,
                guidance=sample.guidance,
                shift=self.config.flow.shift,
                solver=sample.solver,
                last_images=lasts if self.model.last_image else None,
            )
            clips = [np.stack([np.asarray(frame) for frame in edit.clip]) for edit in edits]
        for triplet, clip in zip(triplets, clips, strict=True):
            buffer = io.BytesIO()
            np.save(buffer, clip, allow_pickle=False)
            write_atomic(clip_uri(self.config, self.model, triplet.id), buffer.getvalue())
        return len(triplets)

    @torch.no_grad()
    def _reconstruct(self, source_BCHW: torch.Tensor, edit_BCHW: torch.Tensor) -> list[np.ndarray]:
        vae = self.editor.frozen.vae
        video = tail_video(source_BCHW, edit_BCHW, self.config.data.frames).to(self.editor.device)
        clips = decode_clip(vae, encode_clip(vae, video))
        return [np.stack([np.asarray(i) for i in to_images(clip.transpose(0, 1))]) for clip in clips]
