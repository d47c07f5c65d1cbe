"""Requests to a judge about every item: in parallel, each reply kept, unreadable ones repeated, resumable anywhere.

Replies are appended to ``replies.part.jsonl`` as they come. When all are there they become ``replies.jsonl``, in the
items' order and without anything that a second run would write differently.
"""

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from v4e.config import Judge
from v4e.evaluation.suites.items import Ask, Question, Rubric, SuiteItem
from v4e.files.progress import Advance
from v4e.files.uri import write_atomic

SCORED, FAILED, MISSING = "scored", "failed", "missing"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question of one item. Rows of one key are told apart by `row`."""

    row: int
    item: SuiteItem
    kind: str

    @property
    def id(self) -> str:
        return f"{self.row}/{self.item.key}/{self.kind}"


def judge_items(
    items: Sequence[SuiteItem],
    rubric: Rubric,
    judge: Judge,
    ask: Ask,
    folder: str,
    advance: Advance,
) -> list[dict]:
    """The records of all questions, in the items' order; asks what `folder` has no reply to yet.

    A record holds the raw reply and its scores, or why there are none: ``failed`` after ``judge.retries`` more tries,
    ``missing`` where an image is. `ask` gets ``judge.chunk`` questions at a time, from ``judge.threads`` threads.

    Raises:
        whatever `ask` raises: what has been answered so far is kept.
    """
    part = Path(folder, "replies.part.jsonl")
    part.parent.mkdir(parents=True, exist_ok=True)
    before = {r["id"]: r for path in (Path(folder, "replies.jsonl"), part) for r in read_records(path)}
    todo = [Asked(row=row, item=item, kind=kind) for row, item in enumerate(items) for kind in rubric.kinds]
    found: dict[str, dict] = {}
    with part.open("a", encoding="utf-8") as file, ThreadPoolExecutor(judge.threads) as pool:
        for records in _in_parallel(pool, todo, judge, lambda some: _answer(some, rubric, judge, ask, before)):
            for record, new in records:
                found[record["id"]] = record
                if new:
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
            advance(len(records))
    ordered = [found[asked.id] for asked in todo]
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in ordered)
    write_atomic(f"{folder}/replies.jsonl", lines.encode())
    part.unlink()
    return ordered


def read_records(path: Path) -> list[dict]:
    """Complete lines; one that a crash cut short is left out."""
    if not path.exists():
        return []
    text = path.read_bytes()
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def _in_parallel(pool: ThreadPoolExecutor, todo: Sequence[Asked], judge: Judge, answer) -> Iterator[list]:
    """Results of `answer` as they come; no more chunks wait in the pool than it has threads, so a crash costs few."""
    waiting: set[Future] = set()
    try:
        for at in range(0, len(todo), judge.chunk):
            waiting.add(pool.submit(answer, todo[at : at + judge.chunk]))
            if len(waiting) >= 2 * judge.threads:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _answer(
    some: Sequence[Asked], rubric: Rubric, judge: Judge, ask: Ask, before: dict[str, dict]
) -> list[tuple[dict, bool]]:
    """(record, whether it is new) of each."""
    records: dict[str, tuple[dict, bool]] = {}
    open_: list[tuple[Asked, Question, dict]] = []
    for asked in some:
        record = {
            "id": asked.id,
            "key": asked.item.key,
            "group": asked.item.group,
            "language": asked.item.language,
            "kind": asked.kind,
            "judge": judge.model if judge.kind != "fake" else "fake",
            "rubric": rubric.name,
        }
        try:
            question = rubric.build(asked.item, asked.kind)
        except OSError as error:
            gone = not (Path(asked.item.source).exists() and Path(asked.item.edited).exists())
            reason = {"status": MISSING if gone else FAILED, "scores": None, "reply": "", "reason": str(error)}
            records[asked.id] = (record | reason, before.get(asked.id) != record | reason)
            continue
        record |= {"question": question.digest, "seed": question.seed}
        old = before.get(asked.id, {})
        same = all(old.get(key) == value for key, value in record.items())
        if same and (old["status"] == SCORED or not judge.ask_failed):
            records[asked.id] = (old, False)
        else:
            open_.append((asked, question, record))
    for attempt in range(judge.retries + 1):
        if not open_:
            break
        replies = ask([question for _, question, _ in open_], attempt)
        again = []
        for (asked, question, record), reply in zip(open_, replies, strict=True):
            scores = None if reply.refusal else rubric.read(reply.text, asked.item, asked.kind)
            record |= {"tries": attempt + 1, "reply": reply.text, "tokens": [reply.tokens_in, reply.tokens_out]}
            if scores is not None:
                records[asked.id] = (record | {"status": SCORED, "scores": scores, "reason": ""}, True)
            elif reply.refusal or attempt == judge.retries:
                reason = reply.refusal or f"no scores could be read in {attempt + 1} replies"
                records[asked.id] = (record | {"status": FAILED, "scores": None, "reason": reason}, True)
            else:
                again.append((asked, question, record))
        open_ = again
    return [records[asked.id] for asked in some]
