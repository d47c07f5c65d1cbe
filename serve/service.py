"""From a request's body to its edits: checked, queued, run on whatever replica lives, encoded, kept."""

import asyncio
import base64
import math
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from PIL import Image

from serve import pictures
from serve.errors import ApiError, Lost, invalid, not_found, overloaded
from serve.fair import FairQueue, Turn
from serve.fields import EditFields
from serve.keys import Keys, Owner
from serve.metrics import Metrics
from serve.order import Done, Event, Order, Step
from serve.parse import Body
from serve.settings import Settings
from serve.store import Store
from v4e.clip import write_clip
from v4e.editor import Editor

Edits = Callable[[Order], AsyncGenerator[Event, None]]  # raises Lost when the replica dies
PER_REPLICA = 2  # edits given to a replica: the one it makes and the one that it goes on with at once
WATCH_S = 2.0  # how often replicas are counted
DECODERS = 4  # pictures that are unpacked at once: each may be large, and no limit has seen it yet


@dataclass(frozen=True, kw_only=True)
class Work:
    """A request, ready to run: one order for each of its n edits."""

    fields: EditFields
    source: Image.Image  # RGB, of the size of the results
    mask: Image.Image | None  # L, 255 where to edit
    orders: tuple[Order, ...]
    deadline: float  # of time.monotonic()

    @property
    def size(self) -> str:
        return f"{self.source.width}x{self.source.height}"

    @property
    def pixels(self) -> int:
        return self.source.width * self.source.height * (1 if self.mask is None else 2)


class Service:
    """Everything between HTTP and the model. One of it exists: the queue and the limits are in its memory."""

    def __init__(self, settings: Settings, edits: Edits):
        self.settings = settings
        self.keys = Keys(settings)
        self.store = Store(settings.state, settings.ttl_s, settings.state_mib * 2**20)
        self.queue = FairQueue(PER_REPLICA * settings.replicas, settings.waiting, settings.waiting_pixels)
        self.metrics = Metrics(self.queue)
        self._edits = edits
        self._decoding = asyncio.Semaphore(DECODERS)

    async def watch(self, alive: Callable[[], Awaitable[int]]) -> None:
        """Keeps the queue as wide as there are replicas, until it is cancelled.

        What is given out beyond that waits with Serve, where keys take no turns.
        """
        while True:
            with suppress(Exception):  # Serve's controller is being replaced: it is as it was
                self.queue.resize(PER_REPLICA * max(1, await alive()))
            await asyncio.sleep(WATCH_S)

    async def prepare(self, body: Body, *, previews: int, tell: bool) -> Work:
        """Pictures decoded and everything checked that can be without the model.

        Raises:
            ApiError: 400, 404, 413.
        """
        async with self._decoding:
            with self.metrics.stage_seconds.labels("parse").time():
                return await asyncio.to_thread(self._prepare, body, previews, tell)

    async def edit(self, owner: Owner, work: Work, told: Callable[[Step], Awaitable[None]] | None = None) -> list[dict]:
        """All edits of a request, as items of a response. `told` gets the steps of all of them, as they come.

        Raises:
            ApiError: 429, 503, 504.
        """
        with self.queue.turns(owner.name, len(work.orders), owner.edits, work.pixels) as turns:
            try:
                async with asyncio.TaskGroup() as group:
                    pairs = zip(turns, work.orders, strict=True)
                    tasks = [group.create_task(self._item(work, turn, order, told)) for turn, order in pairs]
            except ExceptionGroup as errors:  # one of several says it for all
                raise _first(errors) from None
            return [task.result() for task in tasks]

    async def events(self, owner: Owner, work: Work) -> AsyncGenerator[Step | dict, None]:
        """Steps of the only edit of a request, previews ready to be shown, then its item."""
        with self.queue.turns(owner.name, 1, owner.edits, work.pixels) as [turn]:
            async with aclosing(self._run(turn, work.orders[0], work)) as events:
                async for event in events:
                    if isinstance(event, Done):
                        yield await self.item(work, work.orders[0], event)
                    else:
                        yield await self._shown(work, event)

    async def item(self, work: Work, order: Order, done: Done) -> dict:
        """One of a response's ``data``; its picture is kept, to be named by ``file_id``."""
        with self.metrics.stage_seconds.labels("encode").time():
            image, clip = await asyncio.to_thread(_encoded, work, done)
        fields = work.fields
        item: dict = {"seed": order.seed, "revised_prompt": None}
        if image is not None:
            item["id"] = self.store.keep(pictures.MIME[fields.output_format], image)
        if clip is not None:
            item["clip_id"] = self.store.keep(pictures.MIME[fields.clip_format], clip)
        if fields.output == "clip":
            item["id"] = item.pop("clip_id")
        if fields.response_format == "b64_json":
            item["b64_json"] = base64.b64encode(image if image is not None else clip or b"").decode()
            if fields.output == "both":
                item["clip_b64_json"] = base64.b64encode(clip or b"").decode()
        if done.how:
            item["how"] = list(done.how)
        return item

    async def _item(self, work: Work, turn: Turn, order: Order, told: Callable[[Step], Awaitable[None]] | None) -> dict:
        async with aclosing(self._run(turn, order, work)) as events:
            async for event in events:
                if isinstance(event, Done):
                    self.queue.leave(turn)  # the next edit need not wait for this one's encoding
                    return await self.item(work, order, event)
                if told is not None:
                    await told(await self._shown(work, event))
        raise overloaded("The model gave no result: try again.")

    async def _shown(self, work: Work, step: Step) -> Step:
        """With a preview as clients see it: of the result's size, outside the mask the source."""
        if step.preview is None:
            return step
        return replace(step, preview=await asyncio.to_thread(_shown, step.preview, work))

    async def _run(self, turn: Turn, order: Order, work: Work) -> AsyncGenerator[Event, None]:
        """Events of an order, once each, from as many replicas as die under it."""
        outcome, told, arrived = "cancelled", 0, time.monotonic()
        try:
            async with asyncio.timeout(work.deadline - time.monotonic()):
                await turn.go.wait()
            self.metrics.stage_seconds.labels("queue").observe(time.monotonic() - arrived)
            for _ in range(self.settings.attempts):
                try:
                    async with aclosing(self._edits(order)) as events:
                        async for event in _until(work.deadline, events):
                            if isinstance(event, Step):
                                if event.step <= told:
                                    continue  # a second replica begins at the first step
                                told = event.step
                            else:
                                self.metrics.stage_seconds.labels("model").observe(event.seconds)
                                outcome = "done"
                            yield event
                    return
                except Lost:
                    self.metrics.lost.inc()
            outcome = "lost"
            raise overloaded(f"{self.settings.attempts} replicas died under this edit: try again.")
        except TimeoutError:
            outcome = "late"
            message = "The edit was not ready by its deadline; it has been stopped."
            # The server's own deadline is its fault, one that the client chose is not.
            status = 504 if work.fields.deadline_s is None else 408
            raise ApiError(status, message, code="deadline_exceeded", param="deadline_s") from None
        except (ApiError, GeneratorExit, asyncio.CancelledError):
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            self.metrics.edits.labels(outcome).inc()

    def _prepare(self, body: Body, previews: int, tell: bool) -> Work:
        fields, settings = body.fields, self.settings
        self._check(fields)
        size = pictures.size_of(fields.size, settings.source_pixels)
        source = pictures.decode(body.source, "image", settings.source_pixels)
        mask = pictures.decode_mask(body.mask, source.size, settings.source_pixels) if body.mask is not None else None
        source = pictures.sized(source, size)
        mask = pictures.sized(mask, size) if mask else None
        height, width = Editor.size(source, settings.max_pixels)
        steps = fields.num_inference_steps or (
            max(1, settings.steps // 2) if fields.quality == "low" else settings.steps
        )
        # Evenly spread, never the last one: that is the result.
        at = {steps * (k + 1) // (previews + 1) - 1 for k in range(previews)} - {steps - 1, -1}
        first = secrets.randbelow(2**31) if fields.seed is None else fields.seed
        orders = tuple(
            Order(
                image=source,
                instruction=fields.prompt,
                seed=first + k,
                height=height,
                width=width,
                frames=fields.num_frames or settings.frames,
                steps=steps,
                guidance=settings.guidance if fields.guidance_scale is None else fields.guidance_scale,
                solver=fields.solver,
                negative=fields.negative_prompt,
                lora=fields.lora,
                shift=fields.flow_shift,
                clip=fields.output != "image",
                tell=tell,
                preview_at=frozenset(at),
            )
            for k in range(fields.n)
        )
        return Work(fields=fields, source=source, mask=mask, orders=orders, deadline=self.deadline(fields))

    def deadline(self, fields: EditFields, waited_s: float = 0.0) -> float:
        """Of time.monotonic(): what this server grants begins now, what the client grants began `waited_s` ago."""
        own = math.inf if fields.deadline_s is None else fields.deadline_s - waited_s
        return time.monotonic() + min(self.settings.deadline_s, own)

    def _check(self, fields: EditFields) -> None:
        settings = self.settings
        if fields.model not in (None, "", settings.model_name):
            message = f"model: there is no {fields.model[:64]!r} here: expected {settings.model_name!r}."
            raise not_found(message, "model_not_found", "model")
        if fields.background == "transparent":
            raise invalid("background", "background: results are opaque.", "unsupported_value")
        if (fields.num_inference_steps or 1) > settings.max_steps:
            raise invalid("num_inference_steps", f"num_inference_steps: expected at most {settings.max_steps}.")
        frames = fields.num_frames or settings.frames
        if frames % 4 != 1 or frames > settings.max_frames:
            message = f"num_frames: {frames}: expected 4k + 1 of at most {settings.max_frames}, e.g. {settings.frames}."
            raise invalid("num_frames", message)
        if fields.lora is not None and fields.lora not in settings.adapters:
            there = ", ".join(settings.adapters) or "none"
            raise invalid("lora", f"lora: no {fields.lora[:64]!r} here: there is {there}.", "unsupported_value")
        if fields.stream and fields.n > 1:
            raise invalid("n", "n: a stream tells of one edit: expected 1.", "unsupported_value")


def _first(errors: ExceptionGroup) -> Exception:
    """A refusal if there is one, else whatever there is."""
    return next((e for e in errors.exceptions if isinstance(e, ApiError)), errors.exceptions[0])


async def _until(deadline: float, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """`events`, or TimeoutError at `deadline`."""
    while True:
        async with asyncio.timeout(deadline - time.monotonic()):
            event = await anext(events, None)
        if event is None:
            return
        yield event


def _shown(preview: Image.Image, work: Work) -> Image.Image:
    whole = preview.resize(work.source.size, Image.Resampling.LANCZOS)
    return pictures.composite(whole, work.source, work.mask)


def _encoded(work: Work, done: Done) -> tuple[bytes | None, bytes | None]:
    """Files of the image and of the clip, those that are wanted."""
    fields, image, clip = work.fields, None, None
    if fields.output != "clip":
        whole = pictures.composite(done.image, work.source, work.mask)
        image = pictures.encode(whole, fields.output_format, fields.output_compression)
    if fields.output != "image":
        where = work.mask and work.mask.resize(done.clip[0].size)
        still = work.source.resize(done.clip[0].size, Image.Resampling.LANCZOS)
        clip = write_clip(
            [pictures.composite(frame, still, where) for frame in done.clip], fields.clip_format, fps=fields.clip_fps
        )
    return image, clip
