"""The fixed validation samples of a run: chosen once, and a small run of their own below ``<run.dir>/samples``.

Because it is a run like any other, the pipelines that encode triplets and roll them out do so with these too. The
training workers then read features alone: no text encoder, no teacher.
"""

from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from v4e.captions.templates import template_caption
from v4e.config import Config
from v4e.data.buckets import to_bucket
from v4e.data.captions_table import read_captions, write_captions
from v4e.data.quality import BadTriplet, decode_triplet
from v4e.data.sources import RawTriplet, parts, rows
from v4e.data.store.ids import training_ids
from v4e.data.store.paths import captions_uri, heldout_uri, store_uri, train_uri
from v4e.data.store.store import RolloutStore
from v4e.data.write import write_triplets
from v4e.evaluation.metrics.exact import edit_mask
from v4e.files.uri import exists, join, read_json, remove, write_json_atomic
from v4e.language.tasks import TASKS, rule_task
from v4e.method.flow import sample_seed
from v4e.types import EditTriplet

LAST_ROWS = 256  # of the training triplets, among which are chosen where none are held out
HELD_OUT, TRAINED = "held-out", "training"


def validation(config: Config) -> Config:
    """The run that the validation samples are: its triplets, captions, store and rollouts."""
    return replace(
        config,
        run=replace(config.run, dir=join(config.run.dir, "samples")),
        data=replace(config.data, train="", heldout="", captions="", store="", limit=0, aspect="fixed", weights=""),
        teacher=replace(config.teacher, replicas=1, max_replicas=0),
    )


def origin(config: Config) -> str:
    """Returns the origin of the triplets that :func:`choose` would take: ``held-out``, ``training``, or empty without
    any.
    """
    if config.data.heldout or exists(heldout_uri(config)):
        return HELD_OUT
    return TRAINED if config.data.train or exists(train_uri(config)) else ""


def choose(config: Config) -> bool:
    """Writes the triplets and captions of the validation samples, unless they are there; False where there are none.

    Raises:
        FileNotFoundError, ValueError: the triplets that the config names cannot be read.
    """
    kind, chosen = origin(config), validation(config)
    uri = heldout_uri(config) if kind == HELD_OUT else train_uri(config)
    stamp_uri = _stamp_uri(config)
    stamp = {
        "from": kind,
        "triplets": uri,
        "per_task": config.watch.per_task,
        "seed": config.run.seed,
        "size": [config.data.width, config.data.height],
    }
    if not kind:
        return False
    if exists(stamp_uri) and not config.run.overwrite and read_json(stamp_uri) == stamp:
        return True
    remove(stamp_uri)
    remove(store_uri(chosen))  # its features may be of other images under the same ids
    raw = (row for part in parts(uri, key="data.heldout") for row in rows(part)) if kind == HELD_OUT else _last(config)
    triplets = pick(raw, config)
    if not triplets:
        return False
    # Captions of training triplets are known. Others get Table 1's, as in evaluation: no LLM is started for them.
    known = read_captions(captions_uri(config)) if kind == TRAINED else {}
    write_triplets(train_uri(chosen), triplets)
    write_captions(captions_uri(chosen), [known.get(t.id) or _caption(t) for t in triplets])
    write_json_atomic(stamp_uri, stamp)
    return True


def pick(raw: Iterable[RawTriplet], config: Config) -> list[EditTriplet]:
    """``watch.per_task`` usable triplets of each task, in Table 1's order: which ones, the seed and the ids say."""
    best: dict[str, list[tuple[int, EditTriplet]]] = {task: [] for task in TASKS}
    for row in raw:
        task = row.task if row.task in TASKS else rule_task(row.instruction)[0] or "addition"
        kept, key = best[task], sample_seed(config.run.seed, row.id, 0)
        full = len(kept) == config.watch.per_task
        if (full and key > kept[-1][0]) or any(key == other for other, _ in kept):
            continue
        try:
            triplet = replace(decode_triplet(row, config.data.max_pixels), task=task)
        except BadTriplet:  # the stages that read the whole corpus report it
            continue
        if edit_mask(*pixels(triplet, config)).any():
            insort(kept, (key, triplet), key=lambda entry: entry[0])
            del kept[config.watch.per_task :]
    return [triplet for kept in best.values() for _, triplet in kept]


def pixels(triplet: EditTriplet, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Source and edit on the grid of strips, uint8 RGB (h, w, 3): ``data.height`` x ``data.width`` in any run."""
    source, edit = (np.asarray(to_bucket(i, validation(config).data)) for i in (triplet.source, triplet.edit))
    return source, edit


def ready(config: Config) -> bool:
    """Returns whether the validation samples are encoded and rolled out."""
    chosen = validation(config)
    if not exists(_stamp_uri(config)) or not exists(join(store_uri(chosen), "manifest.json")):
        return False
    ids = training_ids(chosen)
    return bool(ids) and set(ids) <= set(RolloutStore.open(chosen).ids())


def triplets(config: Config) -> list[EditTriplet]:
    """Returns the validation samples that are in their store, in Table 1's order of tasks."""
    chosen = validation(config)
    stored = set(training_ids(chosen))
    raw = (row for part in parts(train_uri(chosen)) for row in rows(part))
    return [decode_triplet(row, config.data.max_pixels) for row in raw if row.id in stored]


def _last(config: Config) -> Iterator[RawTriplet]:
    """Returns about the last LAST_ROWS training triplets: whole row groups, from the end."""
    read = 0
    for part in reversed(parts(train_uri(config), config.data.limit)):
        if read >= LAST_ROWS:
            return
        read += part.rows
        yield from rows(part)


def _caption(triplet: EditTriplet) -> dict:
    """A row of captions.parquet."""
    return {
        "id": triplet.id,
        "instruction": triplet.instruction,
        "caption": template_caption(triplet.instruction, triplet.task),
        "task": triplet.task,
        "task_source": "corpus",
        "origin": "template",
    }


def _stamp_uri(config: Config) -> str:
    return join(validation(config).run.dir, "chosen.json")
