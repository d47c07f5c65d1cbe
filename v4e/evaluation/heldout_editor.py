"""Edits of held-out triplets by one model, stored as clips below <run.dir>/eval/<model>."""

import io

import numpy as np
import torch

from v4e.config import Config
from v4e.data.buckets import size_of, to_bucket
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.evaluation.heldout import HeldoutModel, clip_uri
from v4e.files.uri import write_atomic
from v4e.method.conditioning import tail_video
from v4e.method.flow import sample_seed
from v4e.models.encoders import decoded, encode_clip, to_images, to_pixels
from v4e.types import EditTriplet


class HeldoutEditor:
    """One model in memory; a call edits some triplets and writes their clips."""

    def __init__(self, config: Config, model: HeldoutModel, device: torch.device) -> None:
        self.config, self.model = config, model
        self.editor = Editor.of(config, model.folder, device)

    def __call__(self, batch: tuple[list[EditTriplet], list[str]]) -> int:
        """Writes the clip of each (triplet, text) and returns how many; all are resized to the first one's size."""
        triplets, texts = batch
        data = self.config.data
        height, width = size_of(*triplets[0].source.size, data)
        sources, lasts = ([to_bucket(getattr(t, side), data) for t in triplets] for side in ("source", "edit"))
        if self.model.reconstructs:
            clips = self._reconstruct(to_pixels(sources, height, width), to_pixels(lasts, height, width))
        else:
            edits = self.editor.edit(
                sources,
                texts,
                [sample_seed(self.config.run.seed, t.id, 0) for t in triplets],
                EditSettings.of(self.config, height, width),
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
        video = tail_video(source_BCHW, edit_BCHW, self.config.data.frames)
        return [
            np.stack([np.asarray(image) for image in to_images(clip_CPHW.transpose(0, 1))])
            for part in decoded(vae, encode_clip(vae, video))
            for clip_CPHW in part
        ]
