"""Edits of a benchmark's images by one model, stored in the official layout."""

import io

import torch
from PIL import Image

from v4e.captions.templates import template_caption
from v4e.config import Config
from v4e.editing.editor import Editor
from v4e.editing.settings import EditSettings
from v4e.evaluation.suites import foreign
from v4e.evaluation.suites.generation import SuiteModel, seed_of, size_for
from v4e.evaluation.suites.items import SuiteItem, open_image
from v4e.files.uri import write_atomic
from v4e.language.tasks import rule_task
from v4e.weights.load import DTYPES


class SuiteEditor:
    """One model in memory, ours or another's; a call edits some items and writes their edits."""

    def __init__(self, config: Config, model: SuiteModel, device: torch.device) -> None:
        self.config, self.model = config, model
        if model.ours:
            self.editor = Editor.of(config, model.folder, device)
        else:
            self.pipeline = foreign.load(model.folder, DTYPES[config.models.dtype], device)

    def __call__(self, items: list[SuiteItem]) -> list[str]:
        """Writes each edit as PNG; returns a line for each source that cannot be edited.

        For our models all sources are resized to the first one's size, and the edits back.
        """
        sources, bad = [], []
        for item in items:
            try:
                sources.append((item, open_image(item.source).convert("RGB")))
            except OSError as error:
                bad.append(f"{item.key}: {error}")
        if sources:
            edits = self._ours(sources) if self.model.ours else self._theirs(sources)
            for (item, _), image in zip(sources, edits, strict=True):
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                write_atomic(item.edited, buffer.getvalue())
        return bad

    def _ours(self, sources: list[tuple[SuiteItem, Image.Image]]) -> list[Image.Image]:
        config = self.config
        height, width = size_for(*sources[0][1].size, config.data.height * config.data.width)
        texts = [item.instruction for item, _ in sources]
        if self.model.text == "caption":
            texts = [template_caption(text, rule_task(text)[0] or "addition") for text in texts]
        edits = self.editor.edit(
            [image for _, image in sources],
            texts,
            [seed_of(config, item) for item, _ in sources],
            EditSettings.of(config, height, width),
        )
        return [edit.image for edit in edits]

    def _theirs(self, sources: list[tuple[SuiteItem, Image.Image]]) -> list[Image.Image]:
        """Edits one image at a time: other pipelines differ in what a batch of images means to them."""
        config, found = self.config, []
        for item, image in sources:
            height, width = size_for(*image.size, config.data.height * config.data.width)
            settings = foreign.arguments(
                self.pipeline, steps=config.bench.steps, guidance=config.bench.guidance, width=width, height=height
            )
            found.append(foreign.edit(self.pipeline, image, item.instruction, seed_of(config, item), settings))
        return found
