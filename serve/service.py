"""The way from a request's body to its edits: checked, queued, run on a living replica, encoded, stored."""

import asyncio
import base64
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager, suppress
from dataclasses import replace

from serve import pictures, signing
from serve.errors import ApiError, ReplicaLost, overloaded
from serve.fair import FairQueue, Turn
from serve.fields import EditFields
from serve.keys import Keys, Owner
from serve.metrics import Metrics
from serve.order import Done, Event, Order, Step, Wait
from serve.parse import Body
from serve.settings import Settings
from serve.store import ServerStore
from serve.work import EditWork, encoded, prepare, shown

Edits = Callable[[Order], AsyncGenerator[Event, None]]  # raises ReplicaLost when the replica dies
PER_REPLICA = 2  # edits given to a replica: the one that it makes and the next one
WATCH_S, NONE_S = 5.0, 0.5  # seconds between two counts of replicas, with and without any
STILL_S = 5.0  # seconds of silence after which a stream tells its place: proxies close what is silent for 60
COUNT_S = 5.0  # most seconds of a count
DECODERS = 4  # pictures that are unpacked at once: each may be large, and no other limit has applied to it yet


class Service:
    """The layer between HTTP and the model, one a front: the queue and the limits of requests are in its memory."""

    def __init__(self, settings: Settings, edits: Edits):
        self.settings = settings
        self.keys = Keys(settings)
        self.store = ServerStore(settings.state, settings.ttl_s, settings.state_mib * 2**20)
        self.queue = FairQueue(self._slots(settings.replicas), settings.waiting, settings.waiting_pixels)
        self.metrics = Metrics(self.queue)
        self._edits = edits
        self._decoders = ThreadPoolExecutor(DECODERS, "decode")
        self.replicas = 0  # alive at the last count

    async def watch(self, alive: Callable[[], Awaitable[int]]) -> None:
        """Keeps the queue's slots in step with the number of replicas, until it is cancelled.

        Edits beyond that number would wait in Serve's own queue, where keys take no turns.
        """
        while True:
            with suppress(Exception):  # Serve's controller is being replaced: keep the last count
                async with asyncio.timeout(COUNT_S):
                    self.replicas = await alive()
                self.queue.resize(self._slots(self.replicas))
            await asyncio.sleep(WATCH_S if self.replicas else NONE_S)

    def _slots(self, replicas: int) -> int:
        """Returns how many edits this front gives to replicas at once: its share, and at least one."""
        return max(1, PER_REPLICA * max(1, replicas) // self.settings.fronts)

    async def prepare(self, body: Body, *, previews: int, tell: bool) -> EditWork:
        """Decodes the pictures and checks everything that can be checked without the model.

        Raises:
            ApiError: 400, 404, 413.
        """
        with self.metrics.stage_seconds.labels("parse").time():
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._decoders, prepare, body, self.settings, previews, tell)

    async def edit(
        self, owner: Owner, work: EditWork, told: Callable[[Step], Awaitable[None]] | None = None
    ) -> list[dict]:
        """Makes all edits of a request and returns them as items of a response.

        `told` is called with each step of any of them.

        Raises:
            ApiError: 429, 503, 504.
        """
        with self.queue.turns(owner.name, len(work.orders), owner.edits, work.pixels) as turns:
            try:
                async with asyncio.TaskGroup() as group:
                    pairs = zip(turns, work.orders, strict=True)
                    tasks = [group.create_task(self._item(work, turn, order, told)) for turn, order in pairs]
            except ExceptionGroup as errors:  # report one of several
                raise _first(errors) from None
            return [task.result() for task in tasks]

    async def events(self, owner: Owner, work: EditWork) -> AsyncGenerator[Wait | Step | dict, None]:
        """Yields the place of a request in the queue at once and every few seconds, its steps, and its items.

        Steps are counted over all edits of the request. Each has the number of its edit, and so does each item.

        Raises:
            ApiError: 429 at once, 503, 504.
        """
        told: asyncio.Queue[Step | dict | BaseException] = asyncio.Queue()
        with self.queue.turns(owner.name, len(work.orders), owner.edits, work.pixels) as turns:
            pairs = enumerate(zip(turns, work.orders, strict=True))
            tasks = [asyncio.create_task(self._told(told, work, turn, order, k)) for k, (turn, order) in pairs]
            left, made, steps = len(tasks), 0, sum(order.all_steps for order in work.orders)
            try:
                yield self._wait(turns)
                while left:
                    event = await _within(STILL_S, told)
                    if event is None:
                        event = self._wait(turns)
                    elif isinstance(event, BaseException):
                        raise event
                    elif isinstance(event, Step):
                        made += 1
                        event = replace(event, step=made, steps=steps)
                    else:
                        left -= 1
                    yield event
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _wait(self, turns: list[Turn]) -> Wait:
        place = min(map(self.queue.place, turns))
        return Wait(place=place, waiting=self.queue.waiting, replicas=self.replicas)

    async def _told(self, told: asyncio.Queue, work: EditWork, turn: Turn, order: Order, index: int) -> None:
        """Puts the steps of one edit of a request and its item, or what it failed by, into `told`."""

        async def tell(step: Step) -> None:
            told.put_nowait(replace(step, index=index))

        try:
            told.put_nowait(await self._item(work, turn, order, tell) | {"index": index})
        except BaseException as error:
            told.put_nowait(error)

    async def item(self, work: EditWork, order: Order, done: Done, taken_s: float) -> dict:
        """Returns one item of a response's ``data``; its picture is stored, and ``file_id`` can name it later."""
        seconds = {"queue": max(0.0, taken_s - done.seconds), "model": done.seconds}
        with self._timed("encode", seconds):
            files = await asyncio.to_thread(encoded, work, done)
        if work.sign != "off":
            with self._timed("sign", seconds):
                files = await asyncio.to_thread(signing.signed, files, work, order, done, self.settings)
        fields = work.fields
        kinds = {"image": pictures.MIME[fields.output_format], "clip": pictures.MIME[fields.clip_format]}
        item: dict = {"seed": order.seed, "revised_prompt": order.instruction if fields.enhance else None}
        for name, blob in files.items():
            # What stands alone needs no name before its own: a clip without its image.
            prefix = "" if name == "image" or name == fields.output else f"{name}_"
            item[f"{prefix}id"] = await self.store.ask(self.store.keep, kinds.get(name, "image/png"), blob)
            if fields.response_format == "b64_json":
                item[f"{prefix}b64_json"] = base64.b64encode(blob).decode()
        item["metrics"] = {"stage_seconds": {stage: round(spent, 4) for stage, spent in seconds.items()}}
        if done.how:
            item["how"] = list(done.how)
        if notes := [*work.notes, *done.notes]:
            item["warnings"] = notes
        return item

    @contextmanager
    def _timed(self, stage: str, seconds: dict[str, float]) -> Iterator[None]:
        """Measures its body as a stage of an edit, for the answer and for /metrics."""
        start = time.monotonic()
        yield
        seconds[stage] = time.monotonic() - start
        self.metrics.stage_seconds.labels(stage).observe(seconds[stage])

    async def _item(
        self, work: EditWork, turn: Turn, order: Order, told: Callable[[Step], Awaitable[None]] | None
    ) -> dict:
        arrived = time.monotonic()
        async with aclosing(self._run(turn, order, work)) as events:
            async for event in events:
                if isinstance(event, Done):
                    self.queue.leave(turn)  # the next edit need not wait for this one's encoding
                    return await self.item(work, order, event, time.monotonic() - arrived)
                if told is not None:
                    await told(await self._shown(work, event))
        raise overloaded("The model gave no result: try again.")

    async def _shown(self, work: EditWork, step: Step) -> Step:
        """Returns `step` with its preview as clients see it: small, with the source outside the mask."""
        if step.preview is None:
            return step
        return replace(step, preview=await asyncio.to_thread(shown, step.preview, work))

    async def _run(self, turn: Turn, order: Order, work: EditWork) -> AsyncGenerator[Event, None]:
        """Yields the events of an order, once each, even if replicas die and others start it again."""
        outcome, told, arrived = "cancelled", 0, time.monotonic()
        try:
            async with asyncio.timeout(work.deadline - time.monotonic()):
                await turn.go.wait()
            self.metrics.stage_seconds.labels("queue").observe(time.monotonic() - arrived)
            deadline = min(work.deadline, time.monotonic() + self.settings.deadline_s)
            for _ in range(self.settings.attempts):
                try:
                    async with aclosing(self._edits(order)) as events:
                        async for event in _until(deadline, events):
                            if isinstance(event, Step):
                                if event.step <= told:
                                    continue  # a second replica begins at the first step
                                told = event.step
                            else:
                                self.metrics.stage_seconds.labels("model").observe(event.seconds)
                                outcome = "done"
                            yield event
                    return
                except ReplicaLost:
                    self.metrics.lost.inc()
            outcome = "lost"
            raise overloaded(f"{self.settings.attempts} replicas died under this edit: try again.")
        except TimeoutError:
            outcome = "late"
            raise late(work.fields) from None
        except (ApiError, GeneratorExit, asyncio.CancelledError):
            raise
        except BaseException:
            outcome = "failed"
            raise
        finally:
            self.metrics.edits.labels(outcome).inc()


def late(fields: EditFields) -> ApiError:
    """Returns the error for a missed deadline: the server's fault, unless the client chose the deadline."""
    message = "The edit was not ready by its deadline; it has been stopped."
    status = 504 if fields.deadline_s is None else 408
    return ApiError(status, message, code="deadline_exceeded", param="deadline_s")


def _first(errors: ExceptionGroup) -> Exception:
    """Returns the first refusal if there is one, else the first error."""
    return next((e for e in errors.exceptions if isinstance(e, ApiError)), errors.exceptions[0])


async def _within(seconds: float, told: asyncio.Queue) -> Step | dict | BaseException | None:
    """Returns the next of `told`; None if there is none for so long."""
    try:
        async with asyncio.timeout(seconds):
            return await told.get()
    except TimeoutError:
        return None


async def _until(deadline: float, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
    """Yields `events`, and raises TimeoutError at `deadline`."""
    while True:
        async with asyncio.timeout(deadline - time.monotonic()):
            event = await anext(events, None)
        if event is None:
            return
        yield event
