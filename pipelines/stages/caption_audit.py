"""Shows the captions of a run to a person: v4e caption audit run.dir=...

Writes captions_audit.html (samples of each task with their images, agreement of labels, share of templates) and
captions_audit.csv: those samples, and all rows with disagreeing labels or failed checks, for a person to correct.
Fill in correct_task or correct_caption, then: v4e caption run.dir=... caption.corrections=captions_audit.csv
"""

import hashlib
from collections.abc import Collection, Sequence

from v4e.captions.audit import AuditPage, render
from v4e.captions.corrections import write_csv
from v4e.config import Config
from v4e.data.captions_table import read_captions
from v4e.data.sources import RawTriplet, parts, rows
from v4e.data.store.paths import captions_uri, dropped_uri, train_uri
from v4e.files.progress import say
from v4e.files.uri import join, write_atomic
from v4e.language.tasks import TASKS

MOST_DOUBTFUL = 2000  # rows of the CSV: nobody corrects more by hand


def run(config: Config) -> None:
    """Writes the page and the CSV into run.dir.

    Raises:
        FileNotFoundError: there are no captions yet.
    """
    kept, dropped = (list(read_captions(uri).values()) for uri in (captions_uri(config), dropped_uri(config)))
    if not kept:
        raise FileNotFoundError(f"no captions at {captions_uri(config)}: run pipelines/caption.py first")
    shown = sample(kept, config.caption.audit_per_task, config.run.seed)
    doubtful = [row for row in (*kept, *dropped) if not row["agree"] or row["checks"]][:MOST_DOUBTFUL]
    listed = list({row["id"]: row for row in (*shown, *doubtful)}.values())
    images = find_images(config, {row["id"] for row in shown})
    page, sheet = (join(config.run.dir, f"captions_audit.{kind}") for kind in ("html", "csv"))
    write_csv(sheet, listed)
    content = AuditPage(
        title=config.run.dir,
        rows=kept,
        dropped=dropped,
        shown=shown,
        images=images,
        max_pixels=config.data.max_pixels,
    )
    write_atomic(page, render(content).encode())
    say(f"audit: {page}")
    say(f"to correct: {sheet}, {len(listed)} rows; then set caption.corrections={sheet}")


def sample(captions: Sequence[dict], per_task: int, seed: int) -> list[dict]:
    """Draws `per_task` rows of each task by a hash of their ids, whatever the quality of their captions."""

    def drawn(row: dict) -> bytes:
        return hashlib.blake2b(f"{seed} {row['id']}".encode(), digest_size=8).digest()

    by_task = ([row for row in captions if row["task"] == task] for task in TASKS)
    return [row for found in by_task for row in sorted(found, key=drawn)[:per_task]]


def find_images(config: Config, wanted: Collection[str]) -> dict[str, RawTriplet]:
    """Returns the triplets of these ids, images undecoded; only row groups that hold one of them are read whole."""
    found: dict[str, RawTriplet] = {}
    for part in parts(train_uri(config), config.data.limit, images=False):
        if {row.id for row in rows(part, images=False)} & set(wanted):
            found |= {row.id: row for row in rows(part) if row.id in wanted and row.id not in found}
    return found
