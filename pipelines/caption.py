"""Instructions to evolution captions, by a small LLM on vLLM.

Reads the training triplets' instructions and writes captions.parquet: each row with its caption, its task,
and how the caption came about (llm, retry, template). A second run does only what is missing.
"""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from actors.captioner import write_batches
from actors.cluster import connect
from pipelines._cli import main
from v4e.config import Config
from v4e.data.captions import drop_parts, read_captions, read_instructions, write_captions
from v4e.data.quality import bad_id
from v4e.data.reject import record_rejected
from v4e.gguf import model_name
from v4e.icg import Request
from v4e.io import join
from v4e.paths import captions_uri, train_uri
from v4e.progress import bar, plan
from v4e.prompts import prompt_hash
from v4e.stages import stage
from v4e.tasks import TASKS

Row = tuple[str, str, str]  # id, instruction, task of the corpus


def run(config: Config) -> None:
    """Brings captions.parquet up to date with the triplets and the recipe."""
    first: dict[str, Row] = {}  # of an id; precompute rejects the others
    for row in read_instructions(train_uri(config), config.data.limit):
        first.setdefault(row[0], row)
    reasons = {key: bad_id(key) or ("" if row[1].strip() else "empty instruction") for key, row in first.items()}
    rejected = [{"id": key, "stage": "caption", "reason": reason} for key, reason in reasons.items() if reason]
    record_rejected(config.run.dir, rejected)
    rows = [row for key, row in first.items() if not reasons[key]]
    model = model_name(config.caption.model)
    stamp = _prompt_hash(config, model)
    uri, parts = captions_uri(config), f"{captions_uri(config)}.parts"
    before = {} if config.run.overwrite else read_captions(uri)
    if config.run.overwrite:
        drop_parts(parts)
    done = before | read_captions(parts)
    missing = {row[0] for row in rows if not _current(done.get(row[0]), row, stamp)}
    batches = [
        (index, batch)
        for index, batch in enumerate(_batches(rows, config.caption.batch))
        if any(row[0] in missing for members in batch.values() for row in members)
    ]
    plan(
        "captions",
        {
            "instructions": f"{len(rows)}, of which {len(rows) - len(missing)} are done",
            "rejected": f"{len(rejected)} with a bad id or no instruction",
            "to do": f"{len(missing)} rows, {sum(len(b) for _, b in batches)} distinct instructions",
            "model": f"{model} on {config.caption.actors} x "
            + (f"{config.caption.gpus} GPU" if config.caption.gpus else f"{config.caption.threads} CPU thread(s)"),
            "output": uri,
        },
    )
    start, tokens, busy = time.monotonic(), 0, 0.0
    if missing:
        connect()
        members = dict(batches)
        with stage(config.run.dir, "caption"), bar("captions", len(missing), unit="rows") as advance:
            asked = [(index, list(batch)) for index, batch in batches]
            for answer in write_batches(asked, config.caption):
                written = [
                    {
                        "id": row[0],
                        "instruction": row[1],
                        "caption": result.caption,
                        "task": result.task,
                        "task_source": result.task_source,
                        "origin": result.origin,
                        "model": model,
                        "prompt_hash": stamp,
                        "checks": list(result.checks),
                    }
                    for result, same in zip(answer.written, members[answer.index].values(), strict=True)
                    for row in same
                    if row[0] in missing
                ]
                write_captions(join(parts, f"{answer.index:06d}.parquet"), written)
                done |= {row["id"]: row for row in written}
                tokens, busy = tokens + answer.tokens, busy + answer.seconds
                advance(len(written))
    order = [row[0] for row in rows]
    kept = [row for key, row in before.items() if key not in set(order)]  # of triplets outside this run's limit
    if missing or read_captions(parts):
        write_captions(uri, [done[key] for key in order] + kept)
    drop_parts(parts)
    _summary([done[key] for key in order], time.monotonic() - start, tokens, busy)


def _prompt_hash(config: Config, model: str) -> str:
    caption = config.caption
    return prompt_hash(
        model, caption.candidates, caption.temperature, caption.max_tokens, caption.new_words, caption.refine
    )


def _current(done: dict | None, row: Row, stamp: str) -> bool:
    """Whether a caption is of this instruction, of this task, by these prompts."""
    if done is None or done["instruction"] != row[1] or done["prompt_hash"] != stamp:
        return False
    return row[2] not in TASKS or done["task"] == row[2]


def _batches(rows: Sequence[Row], size: int) -> list[dict[Request, list[Row]]]:
    """Distinct requests with the rows that share them, ``size`` a batch, in the order of the file.

    Cut before finished rows are left out, so an interrupted run asks the very same batches as a whole one.
    """
    same: dict[Request, list[Row]] = {}
    for row in rows:
        same.setdefault(Request(instruction=row[1], task=row[2] if row[2] in TASKS else ""), []).append(row)
    items = list(same.items())
    return [dict(items[at : at + size]) for at in range(0, len(items), size)]


def _summary(rows: list[dict], seconds: float, tokens: int, busy: float) -> None:
    counts = {name: Counter(row[name] for row in rows) for name in ("origin", "task_source")}
    by_task = {task: [row for row in rows if row["task"] == task] for task in TASKS}
    table = {
        name: ", ".join(f"{key} {count}" for key, count in sorted(found.items())) for name, found in counts.items()
    }
    for task, found in by_task.items():
        model = sum(row["origin"] != "template" for row in found)
        table[task] = f"{len(found)} rows, {model} by the model, {len(found) - model} by the template"
    table["checks"] = f"{sum(not row['checks'] for row in rows)} of {len(rows)} rows pass all"
    table["time"] = f"{seconds:.1f} s" + (f", {tokens / busy:.0f} tokens/s while asked" if busy else "")
    plan("captions written", table)


if __name__ == "__main__":
    main(__doc__, run)
