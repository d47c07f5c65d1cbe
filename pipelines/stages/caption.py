"""Writes evolution captions of instructions, by a language model on vLLM or behind an OpenAI-compatible server.

Reads the instructions of the training triplets and writes captions.parquet. A row holds the caption and its origin
(llm, retry, template, person), the task and the source of that label, and the atomic edits. A second run does only what
is missing.

v4e caption audit run.dir=... writes a page with samples of them, captions_audit.html, and
captions_audit.csv for a person to correct; caption.corrections=FILE takes it back.
"""

import time
from collections.abc import Mapping, Sequence

from actors.cluster import connect
from actors.fetch import fetch_everywhere
from actors.llm.pool import write_batches
from v4e.captions.corrections import Correction, person_row, read_csv
from v4e.captions.prompts import prompt_hash
from v4e.captions.small_llm import model_name
from v4e.captions.summary import counts
from v4e.captions.write import CaptionRequest, WrittenCaption
from v4e.config import Config
from v4e.data.captions_table import read_captions, read_texts, write_captions
from v4e.data.quality import MAX_TEXT, bad_id
from v4e.data.reject import record_rejected
from v4e.data.sources import RawTriplet
from v4e.data.store.paths import captions_uri, dropped_uri, train_uri
from v4e.files.manifest import stage
from v4e.files.progress import bar, plan, say
from v4e.files.uri import join, remove
from v4e.language.tasks import TASKS
from v4e.weights import needed

NO_TASK = "no task: the reader finds none of the 11 in it, and the model did not vote (caption.vote)"
DISAGREE = "task labels disagree: corpus or decision {task}, rules {rule_task}, model {llm_task}"


def run(config: Config) -> None:
    """Brings captions.parquet up to date with the triplets, the corrections and the recipe."""
    corrections = read_csv(config.caption.corrections) if config.caption.corrections else {}
    rows, rejected = _readable(read_texts(train_uri(config), config.data.limit))
    model = config.caption.model if config.caption.url else model_name(config.caption.model)
    stamp = _prompt_hash(config, model)
    uri, dropped, parts = captions_uri(config), dropped_uri(config), f"{captions_uri(config)}.parts"
    before = {} if config.run.overwrite else read_captions(dropped) | read_captions(uri)
    if config.run.overwrite:
        remove(parts)
    done = before | read_captions(parts)
    by_person = {row.id for row in rows if row.id in corrections and corrections[row.id].caption}
    todo = {row.id: _request(row, corrections.get(row.id)) for row in rows if row.id not in by_person}
    missing = {row.id for row in rows if row.id in todo and not _current(done.get(row.id), todo[row.id], stamp)}
    batches = [
        (index, batch)
        for index, batch in enumerate(_batches(todo, config.caption.batch))
        if any(identity in missing for members in batch.values() for identity in members)
    ]
    _announce(config, model, len(rows), len(rejected), missing, batches, corrections, rows)
    start, tokens, busy = time.monotonic(), 0, 0.0
    if missing:
        connect()
        fetch_everywhere(needed.captioner(config), gpus=config.caption.gpus > 0, say=say)
        members = dict(batches)
        work = ((index, list(batch)) for index, batch in batches)
        with stage(config.run.dir, "caption"), bar("captions", len(missing), unit="rows") as advance:
            for answer in write_batches(work, config.caption, len(batches)):
                written = [
                    _row(identity, request, result, model, stamp)
                    for (request, same), result in zip(members[answer.index].items(), answer.written, strict=True)
                    for identity in same
                    if identity in missing
                ]
                write_captions(join(parts, f"{answer.index:06d}.parquet"), written)
                done |= {row["id"]: row for row in written}
                tokens, busy = tokens + answer.tokens, busy + answer.seconds
                advance(len(written), f"{tokens / max(busy, 1e-9):.0f} tokens/s")
    for row in rows:
        if row.id in by_person:
            made = {"model": "", "prompt_hash": stamp}
            own = row.task if row.task in TASKS else ""
            done[row.id] = person_row(row.id, row.instruction, own, corrections[row.id]) | made
    order = [row.id for row in rows]
    kept, fell = _by_policy(config, [done[key] for key in order])
    record_rejected(config.run.dir, [*rejected, *fell])
    _save(config, kept, [done[row["id"]] for row in fell], before)
    remove(parts)
    spent = f"{time.monotonic() - start:.1f} s"
    plan("captions written", counts(kept, len(fell)) | {"time": _speed(spent, tokens, busy)})


def _readable(texts: Sequence[RawTriplet]) -> tuple[list[RawTriplet], list[dict]]:
    """Returns the first row of each id that has an instruction, and rejections of the others."""
    first: dict[str, RawTriplet] = {}  # precompute rejects further ones
    for row in texts:
        first.setdefault(row.id, row)
    reasons = {key: bad_id(key) or _bad_text(row) for key, row in first.items()}
    rejected = [{"id": key, "stage": "caption", "reason": reason} for key, reason in reasons.items() if reason]
    return [row for key, row in first.items() if not reasons[key]], rejected


def _bad_text(row: RawTriplet) -> str:
    """Returns the reason why an instruction or a session cannot be captioned; "" if it can."""
    texts = (row.instruction, *row.turns)
    if not all(text.strip() for text in texts):
        return "empty instruction"
    longest = max(map(len, texts))
    return f"instruction of {longest} characters: expected at most {MAX_TEXT}" if longest > MAX_TEXT else ""


def _request(row: RawTriplet, correction: Correction | None) -> CaptionRequest:
    if correction and correction.task:
        return CaptionRequest(instruction=row.instruction, turns=row.turns, task=correction.task, source="person")
    task, source = row.task if row.task in TASKS else "", "rules" if row.by_rules else "corpus"
    return CaptionRequest(instruction=row.instruction, turns=row.turns, task=task, source=source)


def _prompt_hash(config: Config, model: str) -> str:
    c = config.caption
    return prompt_hash(model, c.vote, c.candidates, c.temperature, c.max_tokens, c.new_words, c.refine)


def _current(done: Mapping | None, request: CaptionRequest, stamp: str) -> bool:
    """True if a caption belongs to this instruction and task, and was made by these prompts, not by a person."""
    if done is None or done["instruction"] != request.instruction or done["prompt_hash"] != stamp:
        return False
    if done["origin"] == "person" or len(done["turns"] or ()) != len(request.turns):
        return False
    by_person = done["task_source"] == "person"
    return by_person == (request.source == "person") and (not request.task or done["task"] == request.task)


def _batches(todo: Mapping[str, CaptionRequest], size: int) -> list[dict[CaptionRequest, list[str]]]:
    """Returns batches of `size` distinct requests with the ids that share them, in the order of the file.

    Batches are cut before finished rows are left out, so a resumed run has the same batches as a whole one. Requests
    with a task from a person come last, in batches of their own: a few of them then change few batches.
    """
    same: tuple[dict[CaptionRequest, list[str]], dict[CaptionRequest, list[str]]] = ({}, {})
    for identity, request in todo.items():
        same[request.source == "person"].setdefault(request, []).append(identity)
    found = [list(requests.items()) for requests in same]
    return [dict(items[at : at + size]) for items in found for at in range(0, len(items), size)]


def _row(identity: str, request: CaptionRequest, result: WrittenCaption, model: str, stamp: str) -> dict:
    return {
        "id": identity,
        "instruction": request.instruction,
        "caption": result.caption,
        "task": result.label.task,
        "task_source": result.label.source,
        "rule_task": result.label.rule,
        "llm_task": result.label.llm,
        "agree": result.label.agree,
        "edits": list(result.edits),
        "turns": list(result.turns),
        "origin": result.origin,
        "model": model,
        "prompt_hash": stamp,
        "checks": list(result.checks),
    }


def _by_policy(config: Config, rows: Sequence[dict]) -> tuple[list[dict], list[dict]]:
    """Returns the rows to train on, and a rejection of each other row."""
    kept, fell = [], []
    for row in rows:
        reason = ""
        if not row["task"]:
            reason = NO_TASK
        elif config.caption.disagree == "drop" and row["agree"] is False and row["task_source"] != "person":
            reason = DISAGREE.format(**{name: row[name] or "none" for name in ("task", "rule_task", "llm_task")})
        if reason:
            fell.append({"id": row["id"], "stage": "caption", "reason": reason})
        else:
            kept.append(row)
    return kept, fell


def _save(config: Config, kept: list[dict], fell: list[dict], before: Mapping[str, dict]) -> None:
    """Writes both files if they change; rows of triplets outside this run's limit stay in their file."""
    here = {row["id"] for row in (*kept, *fell)}
    for uri, rows in ((captions_uri(config), kept), (dropped_uri(config), fell)):
        there = {} if config.run.overwrite else read_captions(uri)
        others = [row for key, row in there.items() if key not in here and key in before]
        if [*rows, *others] != list(there.values()):
            write_captions(uri, [*rows, *others])


def _announce(
    config: Config,
    model: str,
    count: int,
    rejected: int,
    missing: set[str],
    batches: Sequence[tuple[int, dict]],
    corrections: Mapping[str, Correction],
    rows: Sequence[RawTriplet],
) -> None:
    c = config.caption
    where = f"at {c.url}" if c.url else f"{c.gpus} GPU" if c.gpus else f"{c.threads} CPU thread(s)"
    many = f"{c.actors}..{c.most_actors}" if c.most_actors > c.actors else f"{c.actors}"
    shown = {
        "instructions": f"{count}, of which {count - len(missing)} are done",
        "rejected": f"{rejected} with a bad id or no instruction",
        "to do": f"{len(missing)} rows, {sum(len(b) for _, b in batches)} distinct instructions",
        "model": f"{model} on {many} x {where}",
        "output": captions_uri(config),
    }
    plan("captions", shown)
    if strangers := len(set(corrections) - {row.id for row in rows}):
        say(f"{strangers} of {len(corrections)} corrections are of rows that this run does not read")


def _speed(spent: str, tokens: int, busy: float) -> str:
    return f"{spent}, {tokens} tokens, {tokens / busy:.0f} tokens/s while generating" if busy else spent
