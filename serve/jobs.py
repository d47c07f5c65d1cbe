"""The runner of jobs, which are edits that outlive their connection and this process.

Jobs lie in the store. The server that holds a job's lease works on it.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from fastapi.encoders import jsonable_encoder

from serve import answers
from serve.errors import ApiError, StoreLost, crashed, not_found
from serve.fields import JobFields
from serve.job_answers import described
from serve.keys import Owner
from serve.order import Step
from serve.outside import check_url
from serve.parse import Body
from serve.service import Service, late
from serve.store import Claim, Row
from serve.webhook import tell
from v4e.files.results import encode

log = logging.getLogger("ray.serve")

LEASE_S = 10.0  # a job whose server renews no lease for this long is taken over
PREVIEWS = 3
ENDED = ("succeeded", "failed", "cancelled")


class _Ended(Exception):
    """The end of this server's turn at a job: it was cancelled, or another server took it."""


class _Later(Exception):
    """The lack of room for a job now."""

    def __init__(self, pause_s: float):
        super().__init__()
        self.pause_s = pause_s


class Jobs:
    """Takes jobs from the store and runs them through the same queue as all other edits."""

    def __init__(self, service: Service):
        self._service, self._store = service, service.store
        self._tasks: dict[Claim, asyncio.Task] = {}
        self._editing: set[Claim] = set()  # those with an edit to make, not only a webhook to send
        self._paused: set[Claim] = set()  # jobs that found no room in the queue
        self._wake = asyncio.Event()
        self._stopping = False

    async def run(self) -> None:
        """Works on jobs until `stop`; then gives up what runs, so that another server can take it at once."""
        while not self._stopping:
            self._wake.clear()
            with contextlib.suppress(StoreLost):  # a full disk, or a server that restarts: perhaps for a while
                await self._take()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LEASE_S / 4)
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for claim in tasks:
            await self._hold(claim, 0)

    def stop(self) -> None:
        """Ends `run`."""
        self._stopping = True
        self._wake.set()

    async def create(self, owner: Owner, body: Body, idempotency: str | None) -> Row:
        """Creates a job, or returns the earlier one of the same idempotency key and body.

        Raises:
            ApiError: 400, 404 or 413 for a wrong body, 409 for the same key with another body, 429 for too many
                unfinished jobs.
        """
        fields, service, store = body.fields, self._service, self._store
        assert isinstance(fields, JobFields)
        if fields.stream:
            raise ApiError(400, "stream: a job is polled.", code="unsupported_value", param="stream")
        if fields.webhook_url is not None:
            check_url(fields.webhook_url, "webhook_url", service.settings.webhooks)
        work = await service.prepare(body, previews=0, tell=False)
        fingerprint = _fingerprint(body)
        if idempotency is None or await store.ask(store.repeated, owner.name, idempotency) is None:
            await self._check_room(owner)
        row = await store.ask(
            store.add_job,
            owner=owner.name,
            idempotency=idempotency,
            fingerprint=fingerprint,
            fields=fields.model_dump_json(exclude_unset=True),
            source=body.source,
            mask=body.mask,
            steps=sum(order.all_steps for order in work.orders),
            webhook=fields.webhook_url,
        )
        assert row is not None
        if row["fingerprint"] != fingerprint:
            message = "This Idempotency-Key was used for another request: use a new one."
            raise ApiError(409, message, code="idempotency_key_reused")
        self._wake.set()
        return row

    async def find(self, owner: Owner, job_id: str) -> Row:
        """Returns a job of `owner`.

        Raises:
            ApiError: 404.
        """
        if (row := await self._store.ask(self._store.job, job_id, owner.name)) is None:
            raise not_found(f"There is no job {job_id[:64]!r}.", param="job_id")
        return row

    async def _check_room(self, owner: Owner) -> None:
        settings, store = self._service.settings, self._store
        most = settings.waiting + owner.edits
        unfinished = await store.ask(store.unfinished, owner.name)
        if unfinished >= most:
            message = f"This key has {most} unfinished jobs, as many as it may have."
            raise ApiError(429, message, code="queue_full", retry_after_s=5.0)
        # A key's first job gets in despite others' pictures.
        if unfinished and await store.ask(store.unfinished_bytes) > settings.state_mib * 2**20:
            message = f"Unfinished jobs hold pictures of {settings.state_mib:g} MiB, as many as they may."
            raise ApiError(429, message, code="queue_full", retry_after_s=5.0)

    async def cancel(self, row: Row) -> None:
        """Cancels a job, waiting or running. One that has ended stays unchanged."""
        if not await self._store.ask(self._store.cancel, row["id"]):
            return
        for claim, task in self._tasks.items():
            if claim.id == row["id"]:
                task.cancel()
        self._wake.set()  # for its webhook

    async def _take(self) -> None:
        store = self._store
        for claim, task in list(self._tasks.items()):
            if not await store.ask(store.hold, claim, LEASE_S):
                task.cancel()  # another server has the job, since this one stood still
        # Only a few more than can run: the pictures of the others stay in the store, where owners take turns.
        room = 2 * self._service.queue.slots - len(self._editing)
        for row in await store.ask(store.lease, LEASE_S, max(0, room)):
            claim = Claim(row["id"], row["holder"])
            self._tasks[claim] = task = asyncio.create_task(self._work(row, claim))
            if row["status"] not in ENDED:
                self._editing.add(claim)
            task.add_done_callback(lambda _, claim=claim: self._forget(claim))
        await store.ask(store.purge)

    async def _hold(self, claim: Claim, lease_s: float) -> None:
        with contextlib.suppress(StoreLost):  # then the lease ends by itself
            await self._store.ask(self._store.hold, claim, lease_s)

    def _forget(self, claim: Claim) -> None:
        del self._tasks[claim]
        self._edited(claim)

    def _edited(self, claim: Claim) -> None:
        """Marks a job's edit as made, and looks for the next job."""
        self._editing.discard(claim)
        self._wake.set()

    async def _work(self, row: Row, claim: Claim) -> None:
        """Makes a job's edit and tells its end. Where the store does not answer, the job is taken again later."""
        with contextlib.suppress(StoreLost):
            if row["status"] not in ENDED:
                try:
                    await self._edit(row, claim)
                except _Later as later:
                    self._paused.add(claim)
                    await self._hold(claim, later.pause_s)
                    return
                paused, self._paused = self._paused, set()
                for other in paused:
                    await self._hold(other, 0)  # there is room for an edit again
                self._edited(claim)
            if row["webhook"]:
                await self._tell(claim, row["owner"])

    async def _tell(self, claim: Claim, owner: str) -> None:
        now = await self._store.ask(self._store.job, claim.id, owner)
        if now is not None and now["status"] in ENDED and now["holder"] == claim.holder and not now["told"]:
            # The event is small enough for any receiver: a poll of the job returns previews and the result.
            event = {"type": f"edit.job.{now['status']}", "data": described(now)}
            await tell(now["webhook"], event, self._service.settings)
            await self._store.ask(self._store.told, claim.id)

    async def _edit(self, row: Row, claim: Claim) -> None:
        name = row["id"]
        try:
            fields = JobFields.model_validate_json(row["fields"])
            owner, until = self._service.keys.named(row["owner"]), row["expires"]
            if fields.deadline_s is not None:
                until = min(until, row["created"] + fields.deadline_s)
            if (left := until - row["now"]) <= 0:
                raise late(fields)
            with _room():
                self._service.queue.check(owner.name, fields.n, owner.edits, 0)  # before its picture is unpacked
            body = Body(fields=fields, source=row["source"], mask=row["mask"])
            work = await self._service.prepare(body, previews=PREVIEWS, tell=True)
            # The server's own deadline begins with the job's turn, however long it waits for it.
            work = replace(work, deadline=time.monotonic() + left)
            with _room():
                items = await self._service.edit(owner, work, self._teller(claim))
            result = jsonable_encoder(answers.response(work, [_bare(item) for item in items], ""))
            ended = {"status": "succeeded", "result": json.dumps(result), "step": row["steps"]}
        except (_Later, StoreLost):
            raise
        except _Ended:
            return
        except ApiError as error:
            ended = {"status": "failed", "error": json.dumps(error.envelope["error"])}
        except Exception:
            log.exception("%s crashed", name)
            ended = {"status": "failed", "error": json.dumps(crashed(name).envelope["error"])}
        await self._store.ask(self._store.advance, claim, preview=None, source=b"", mask=None, **ended)

    def _teller(self, claim: Claim) -> Callable[[Step], Awaitable[None]]:
        """Returns a function that stores the steps of all edits of a job together, one after the other."""
        steps, one = 0, asyncio.Lock()

        async def told(event: Step) -> None:
            nonlocal steps
            now: dict = {"status": "running"}
            if event.preview is not None:
                now["preview"] = await asyncio.to_thread(encode, event.preview, "jpeg", 85)
            async with one:
                steps += 1
                with contextlib.suppress(StoreLost):  # the end of the edit asks again
                    if not await self._store.ask(self._store.advance, claim, step=steps, **now):
                        raise _Ended

        return told


@contextlib.contextmanager
def _room() -> Iterator[None]:
    """Turns the queue's refusal into a pause of the job, in which others may go first."""
    try:
        yield
    except ApiError as error:
        if error.status != 429:
            raise
        raise _Later(min(max(1.0, error.retry_after_s or 0.0), LEASE_S)) from None


def _bare(item: dict) -> dict:
    """Returns an item without its bytes: the result store has them."""
    return {name: None if name.endswith("b64_json") else value for name, value in item.items()}


def _fingerprint(body: Body) -> str:
    """Returns a digest of fields and pictures, by which a repeated request is recognized."""
    parts = [body.fields.model_dump_json(exclude_unset=True).encode(), body.source, body.mask or b""]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
