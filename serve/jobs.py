"""The runner of jobs, which are edits that outlive their connection and this process.

Jobs lie in the store. The server that holds a job's lease works on it.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from fastapi.encoders import jsonable_encoder

from serve import answers
from serve.errors import ApiError, crashed, not_found
from serve.fields import JobFields
from serve.job_answers import described
from serve.keys import Owner
from serve.order import Step
from serve.outside import check_url
from serve.parse import Body
from serve.service import Service, late
from serve.store import Claim
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

    async def run(self) -> None:
        """Works on jobs until it is cancelled."""
        while True:
            try:
                self._take()
            except sqlite3.OperationalError:  # a full disk, or another front that locks the file: perhaps for a while
                log.exception("jobs wait, as their store does not answer")
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LEASE_S / 4)

    async def stop(self) -> None:
        """Stops all running jobs and gives their leases up, so that another server can take them over at once."""
        tasks = dict(self._tasks)
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        for claim in tasks:
            self._store.hold(claim, 0)

    async def create(self, owner: Owner, body: Body, idempotency: str | None) -> sqlite3.Row:
        """Creates a job, or returns the earlier one of the same idempotency key and body.

        Raises:
            ApiError: 400, 404 or 413 for a wrong body, 409 for the same key with another body, 429 for too many
                unfinished jobs.
        """
        fields, service = body.fields, self._service
        assert isinstance(fields, JobFields)
        if fields.stream:
            raise ApiError(400, "stream: a job is polled.", code="unsupported_value", param="stream")
        if fields.webhook_url is not None:
            check_url(fields.webhook_url, "webhook_url", service.settings.webhooks)
        work = await service.prepare(body, previews=0, tell=False)
        fingerprint = _fingerprint(body)
        if idempotency is None or self._store.repeated(owner.name, idempotency) is None:
            self._check_room(owner)
        row = self._store.add_job(
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

    def find(self, owner: Owner, job_id: str) -> sqlite3.Row:
        """Returns a job of `owner`.

        Raises:
            ApiError: 404.
        """
        if (row := self._store.job(job_id, owner.name)) is None:
            raise not_found(f"There is no job {job_id[:64]!r}.", param="job_id")
        return row

    def _check_room(self, owner: Owner) -> None:
        settings = self._service.settings
        most = settings.waiting + owner.edits
        unfinished = self._store.unfinished(owner.name)
        if unfinished >= most:
            message = f"This key has {most} unfinished jobs, as many as it may have."
            raise ApiError(429, message, code="queue_full", retry_after_s=5.0)
        # A key's first job gets in despite others' pictures.
        if unfinished and self._store.unfinished_bytes() > settings.state_mib * 2**20:
            message = f"Unfinished jobs hold pictures of {settings.state_mib:g} MiB, as many as they may."
            raise ApiError(429, message, code="queue_full", retry_after_s=5.0)

    def cancel(self, row: sqlite3.Row) -> None:
        """Cancels a job, waiting or running. One that has ended stays unchanged."""
        self._store.cancel(row["id"])
        for claim, task in self._tasks.items():
            if claim.id == row["id"]:
                task.cancel()
        self._wake.set()  # for its webhook

    def _take(self) -> None:
        for claim, task in self._tasks.items():
            if not self._store.hold(claim, LEASE_S):
                task.cancel()  # another server has the job, since this one stood still
        # Only a few more than can run: the pictures of the others stay in the file, where owners take turns.
        room = 2 * self._service.queue.slots - len(self._editing)
        for row in self._store.lease(LEASE_S, max(0, room)):
            claim = Claim(row["id"], row["holder"])
            self._tasks[claim] = task = asyncio.create_task(self._work(row, claim))
            if row["status"] not in ENDED:
                self._editing.add(claim)
            task.add_done_callback(lambda task, claim=claim: self._forget(claim, task))
        self._store.purge()

    def _forget(self, claim: Claim, task: asyncio.Task) -> None:
        del self._tasks[claim]
        if task.cancelled():
            self._store.hold(claim, 0)  # its webhook need not wait for the end of the lease
        self._edited(claim)

    def _edited(self, claim: Claim) -> None:
        """Marks a job's edit as made, and looks for the next job."""
        self._editing.discard(claim)
        self._wake.set()

    async def _work(self, row: sqlite3.Row, claim: Claim) -> None:
        if row["status"] not in ENDED:
            try:
                await self._edit(row, claim)
            except _Later as later:
                self._store.hold(claim, later.pause_s)
                self._paused.add(claim)
                return
            for paused in self._paused:
                self._store.hold(paused, 0)  # there is room for an edit again
            self._paused.clear()
            self._edited(claim)
        if row["webhook"]:
            now = self._store.job(row["id"], row["owner"])
            if now is not None and now["status"] in ENDED and now["holder"] == claim.holder and not now["told"]:
                # The event is small enough for any receiver: a poll of the job returns previews and the result.
                event = {"type": f"edit.job.{now['status']}", "data": described(now)}
                await tell(row["webhook"], event, self._service.settings)
                self._store.told(row["id"])

    async def _edit(self, row: sqlite3.Row, claim: Claim) -> None:
        name = row["id"]
        try:
            fields = JobFields.model_validate_json(row["fields"])
            owner, until = self._service.keys.named(row["owner"]), row["expires"]
            if fields.deadline_s is not None:
                until = min(until, row["created"] + fields.deadline_s)
            if (left := until - time.time()) <= 0:
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
        except _Later:
            raise
        except _Ended:
            return
        except ApiError as error:
            ended = {"status": "failed", "error": json.dumps(error.envelope["error"])}
        except Exception:
            log.exception("%s crashed", name)
            ended = {"status": "failed", "error": json.dumps(crashed(name).envelope["error"])}
        self._store.advance(claim, preview=None, source=b"", mask=None, **ended)

    def _teller(self, claim: Claim) -> Callable[[Step], Awaitable[None]]:
        """Returns a function that stores the steps of all edits of a job together."""
        steps = 0

        async def told(event: Step) -> None:
            nonlocal steps
            now: dict = {"status": "running"}
            if event.preview is not None:
                now["preview"] = await asyncio.to_thread(encode, event.preview, "jpeg", 85)
            steps += 1
            if not self._store.advance(claim, step=steps, **now):
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
