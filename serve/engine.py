"""One model and its thread: it makes edits one by one, reports steps, and stops an edit that nobody waits for."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from PIL import Image
from torch import Tensor

from serve.order import Done, Event, Maker, Order, Step
from serve.settings import Settings
from v4e.editing.crop import edit_crop
from v4e.editing.editor import Editor
from v4e.editing.finish import Edit
from v4e.editing.record import made_on
from v4e.editing.settings import EditSettings
from v4e.method.sampler import OnStep
from v4e.weights.digest import adapter_sha256, weights_sha256
from v4e.weights.load import DTYPES

log = logging.getLogger("ray.serve")


class _Stopped(Exception):
    """An edit that nobody waits for any more. It is raised between steps, before the last decode too."""


class EditEngine:
    """Carries out orders on one model, on `device` or by default a GPU if there is one. It is warm once constructed."""

    def __init__(self, settings: Settings, device: torch.device | None = None):
        torch.set_num_threads(settings.threads)
        self._settings = settings
        if settings.sign != "off":
            weights_sha256(settings.model, settings.gguf)  # seconds for a large model, which no edit need wait for
        self._editor = Editor.load(
            settings.model,
            dtype=DTYPES[settings.dtype],
            attention=settings.attention,
            fold_pad=settings.attention == "native",
            loras=settings.adapters,
            cache_bytes=settings.cache_mib << 20,
            options=settings.inexact,
            away=settings.away,
            device=device,
        )
        self._thread = ThreadPoolExecutor(1, "model")
        self._steps = 0
        self._busy_since: float | None = None  # time of the last step of the edit under way
        for size in settings.warm_sizes:
            self._warm(size, settings)

    async def edit(self, order: Order) -> AsyncGenerator[Event, None]:
        """Yields the steps, if the order wants them reported, then the edit.

        Closing or cancelling the iteration stops the model after its current step.
        """
        loop, events, stop = asyncio.get_running_loop(), asyncio.Queue(), threading.Event()

        def tell(event: Step) -> None:
            loop.call_soon_threadsafe(events.put_nowait, event)

        future = loop.run_in_executor(self._thread, self._edit, order, stop, tell)
        future.add_done_callback(events.put_nowait)
        try:
            while (event := await events.get()) is not future:
                yield event
            yield future.result()
        finally:
            stop.set()
            future.cancel()

    async def alive(self) -> int:
        """Returns the number of warm replicas: 1, this one."""
        return 1

    async def steps(self) -> int:
        """Returns the number of steps that the model has made so far."""
        return self._steps

    def check_health(self) -> None:
        """Raises an error if the model has stalled; Serve then replaces the replica."""
        since = self._busy_since
        if since is not None and time.monotonic() - since > self._settings.stall_s:
            raise RuntimeError(f"the model has made no step for more than stall_s={self._settings.stall_s} s")

    def _edit(self, order: Order, stop: threading.Event, tell: Callable[[Step], None]) -> Done:
        start = self._busy_since = time.monotonic()

        def on_step(step: int, x0_hat_BCFHW: Tensor) -> None:
            self._steps += 1
            self._busy_since = time.monotonic()
            if stop.is_set():
                raise _Stopped
            if order.tell:
                preview = self._editor.preview(x0_hat_BCFHW)[0] if step in order.preview_at else None
                tell(Step(step=step + 1, steps=order.all_steps, preview=preview))

        try:
            if stop.is_set():
                raise _Stopped
            edit = self._made(order, order.settings, on_step)
        finally:
            self._busy_since = None
        return Done(
            image=edit.image,
            clip=edit.clip if order.clip else [],
            how=edit.how,
            notes=edit.notes,
            seconds=time.monotonic() - start,
            region=edit.region,
            maker=self._maker(order) if order.told else None,
        )

    def _maker(self, order: Order) -> Maker:
        place = self._settings.adapters.get(order.lora or "")
        return Maker(
            weights_sha256=weights_sha256(self._settings.model, self._settings.gguf),
            lora_sha256=adapter_sha256(place) if place else None,
            on=made_on(self._editor.device),
        )

    def _made(self, order: Order, settings: EditSettings, on_step: OnStep) -> Edit:
        more = {"lora": order.lora, "on_step": on_step}
        what = order.image, order.instruction, order.seed
        if order.crop:
            return edit_crop(self._editor, *what, settings, mask=order.mask, negative=order.negative, **more)
        masks, negatives = order.mask and [order.mask], None if order.negative is None else [order.negative]
        lists = [order.image], [order.instruction], [order.seed]
        [edit] = self._editor.edit(*lists, settings, negatives=negatives, masks=masks, **more)
        return edit

    def _warm(self, size: tuple[int, int], settings: Settings) -> None:
        """Makes one edit of this size, so that later ones find everything loaded, allocated and compiled."""
        start, image = time.monotonic(), Image.new("RGB", size, "gray")
        height, width = self._editor.size(image, settings.area)
        order = Order(
            image=image,
            instruction="make it blue",
            seed=0,
            height=height,
            width=width,
            frames=settings.frames,
            steps=1,
            guidance=settings.guidance,
            solver="euler",
            tell=True,
            preview_at=frozenset({0}),
        )
        self._edit(order, threading.Event(), lambda _step: None)
        log.info("warm at %d x %d after %.1f s", width, height, time.monotonic() - start)
