"""Requests to a judge about every item: in parallel, each reply kept, unreadable ones repeated, resumable anywhere.

Replies are appended to ``replies.part.jsonl`` as they come. When all are there they become ``replies.jsonl``, in the
items' order and without anything that a second run would write differently.
"""

import json
import os
from collections import Counter
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from v4e.config import Judge
from v4e.evaluation.suites.identity import identity
from v4e.evaluation.suites.items import Ask, Question, Reply, Rubric, SuiteItem
from v4e.evaluation.suites.prompts import kinds_of
from v4e.evaluation.suites.silence import Silence
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

    A record holds the raw reply, who gave it, and its scores. Where there are none it says why: ``failed`` after
    ``judge.retries`` more tries, ``missing`` where an image is. Replies of another judge do not count.
    `ask` gets ``judge.chunk`` questions at a time, from ``judge.threads`` threads.

    Raises:
        ValueError: the judge replies to no question. What has been answered so far is kept.
        whatever `ask` raises, likewise.
    """
    part = Path(folder, "replies.part.jsonl")
    part.parent.mkdir(parents=True, exist_ok=True)
    before = {r["id"]: r for path in (Path(folder, "replies.jsonl"), part) for r in read_records(path)}
    todo = [
        Asked(row=row, item=item, kind=kind) for row, item in enumerate(items) for kind in kinds_of(item, rubric.kinds)
    ]
    found: dict[str, dict] = {}
    who = identity(judge)
    replied = any(r.get("by") == who and r["status"] == SCORED for r in before.values())
    silence = Silence(judge.give_up, replied)
    with part.open("a", encoding="utf-8") as file, ThreadPoolExecutor(judge.threads) as pool:

        def keep(records: Sequence[dict]) -> None:
            file.writelines(json.dumps(record) + "\n" for record in records)
            file.flush()
            os.fsync(file.fileno())

        answers = _in_parallel(pool, todo, judge, lambda some: _answer(some, rubric, judge, who, ask, before))
        with closing(answers):  # what waits is not asked once this one ends
            for heard in answers:
                for one in heard:
                    found[one.record["id"]] = one.record
                    if one.reply:
                        keep(silence.take(one.record, lost=bool(one.reply.lost), doubtful=one.reply.doubtful))
                    elif one.new:
                        keep([one.record])
                advance(len(heard))
        keep(silence.end())
    ordered = [found[asked.id] for asked in todo]
    lines = "".join(json.dumps(record) + "\n" for record in ordered)
    write_atomic(f"{folder}/replies.jsonl", lines.encode())
    part.unlink()
    return ordered


def read_records(path: Path) -> list[dict]:
    """Complete lines; one that a crash cut short is left out."""
    if not path.exists():
        return []
    text = path.read_bytes()
    return [json.loads(line) for line in text[: text.rfind(b"\n") + 1].splitlines()]


def _in_parallel(pool: ThreadPoolExecutor, todo: Sequence[Asked], judge: Judge, answer) -> Generator[list, None, None]:
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


@dataclass(frozen=True, kw_only=True)
class _Heard:
    """The record of one question; its reply, where it was asked now; whether the record is new."""

    record: dict
    new: bool = True
    reply: Reply | None = None


def _answer(
    some: Sequence[Asked], rubric: Rubric, judge: Judge, who: dict, ask: Ask, before: dict[str, dict]
) -> list[_Heard]:
    records: dict[str, _Heard] = {}
    open_: list[tuple[Asked, Question, dict]] = []
    for asked in some:
        record = {
            "id": asked.id,
            "key": asked.item.key,
            "group": asked.item.group,
            "language": asked.item.language,
            "kind": asked.kind,
            "judge": judge.model if judge.kind != "fake" else "fake",
            "by": who,
            "rubric": rubric.name,
        }
        try:
            question = rubric.build(asked.item, asked.kind)
        except OSError as error:
            gone = not (Path(asked.item.source).exists() and Path(asked.item.edited).exists())
            reason = {"status": MISSING if gone else FAILED, "scores": None, "reply": "", "reason": str(error)}
            records[asked.id] = _Heard(record=record | reason, new=before.get(asked.id) != record | reason)
            continue
        record |= {"question": question.digest, "seed": question.seed}
        old = before.get(asked.id, {})
        same = all(old.get(key) == value for key, value in record.items())
        if same and (old["status"] == SCORED or not judge.ask_failed):
            records[asked.id] = _Heard(record=old, new=False)
        else:
            open_.append((asked, question, record))
    for attempt in range(judge.retries + 1):
        if not open_:
            break
        replies = ask([question for _, question, _ in open_], attempt)
        again = []
        for (asked, question, record), reply in zip(open_, replies, strict=True):
            none = reply.refusal or reply.lost or reply.cut
            scores = None if none else rubric.read(reply.text, asked.item, asked.kind)
            record |= {"tries": attempt + 1, "reply": reply.text, "tokens": [reply.tokens_in, reply.tokens_out]}
            record |= {"model": reply.model, "fingerprint": reply.fingerprint}
            if scores is not None:
                told = {"status": SCORED, "scores": scores, "reason": ""}
            elif reply.refusal or reply.lost or attempt == judge.retries:
                told = {"status": FAILED, "scores": None, "reason": _why(reply, attempt + 1)}
            else:
                again.append((asked, question, record))
                continue
            records[asked.id] = _Heard(record=record | told, reply=reply)
        open_ = again
    return [records[asked.id] for asked in some]


def _why(reply: Reply, tries: int) -> str:
    cut = f"the reply was cut at {reply.tokens_out} tokens, raise judge.max_tokens: " if reply.cut else ""
    return reply.refusal or reply.lost or f"{cut}no scores could be read in {tries} replies"


def answered_by(records: Sequence[dict]) -> list[dict]:
    """Returns the models that replied, as their server calls them, with their fingerprints and how often."""
    count = Counter((r["model"], r["fingerprint"]) for r in records if r["status"] == SCORED)
    return [{"model": model, "fingerprint": mark, "replies": n} for (model, mark), n in sorted(count.items())]


def second_tries(records: Sequence[dict]) -> float | None:
    """Returns the share of questions that were read only at a later try; None where nothing was read."""
    tries = [r["tries"] for r in records if r["status"] == SCORED]
    return sum(n > 1 for n in tries) / len(tries) if tries else None
