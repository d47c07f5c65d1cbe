"""report.html for any run, finished or under way, from what its folder holds: python pipelines/report.py run.dir=...

Shows losses and alarms, samples over the steps, where the time went, what happened to the teacher pool, edits and
scores, stages and settings. Whatever is not there yet is left out.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from pipelines.stages import evaluate
from v4e.config import Config
from v4e.data.captions_table import read_captions
from v4e.data.reject import read_rejected
from v4e.data.store.paths import captions_uri
from v4e.files import journal
from v4e.files.progress import say
from v4e.files.uri import exists, join, of_v4e, read_json, write_atomic
from v4e.language.tasks import TASKS
from v4e.types import EditTriplet
from v4e.watch.files import read_curves, strip_steps, strip_uri
from v4e.watch.report import RunFiles, embedded, render

SHOWN = ("ema", "native_i2v")  # models whose edits are shown
PER_TASK = 3
CAPTIONS_SHOWN = 22


def run(config: Config) -> None:
    """Writes <run.dir>/report.html.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not exists(config.run.dir):
        raise FileNotFoundError(f"no run at {config.run.dir}: set run.dir to the folder of one")
    uri = join(config.run.dir, "report.html")
    with of_v4e(config.run.dir):
        config = saved(config)
        page = render(config, find(config))
    write_atomic(uri, page.encode())
    say(f"report: {uri}")


def saved(config: Config) -> Config:
    """`config` with the settings that the run in its folder was started with, where it says so in config.json."""
    uri = join(config.run.dir, "config.json")
    if not exists(uri):
        return config
    values = read_json(uri)
    here = config.run.dir  # the folder may have been moved since
    sections = {name: _known(section, values.get(name, {})) for name, section in config.sections().items()}
    config = dataclasses.replace(config, recipe=values.get("recipe", config.recipe), **sections)
    return dataclasses.replace(config, run=dataclasses.replace(config.run, dir=here))


def _known(section, values: Mapping[str, object]):
    """`section` with those of `values` that this version knows."""
    names = {field.name for field in dataclasses.fields(section)} & set(values)
    changes = {name: tuple(v) if isinstance(v := values[name], list) else v for name in names}
    return dataclasses.replace(section, **changes)


def find(config: Config) -> RunFiles:
    """Reads what the run has written so far."""
    captions = list(read_captions(captions_uri(config)).values())
    table, stages, chosen = (_json(config, name) for name in ("metrics.json", "stages.json", "samples/chosen.json"))
    return RunFiles(
        table={name: figures for name, figures in table.items() if name != "seconds"},
        examples=examples(config),
        stages=stages,
        captions=captions[:: max(1, len(captions) // CAPTIONS_SHOWN)][:CAPTIONS_SHOWN],
        rejected=read_rejected(config.run.dir) if stages else None,
        records=journal.read(join(config.run.dir, "metrics.jsonl")),
        samples=read_curves(config),
        strips=embedded({step: strip_uri(config, step) for step in strip_steps(config)}),
        strips_of=chosen.get("from", ""),
    )


def examples(config: Config) -> list[tuple[EditTriplet, dict[str, np.ndarray]]]:
    """The first held-out triplets of each task, never picked by how well they came out, and their edits."""
    models = [m for m in evaluate.models(config) if m.name in SHOWN and exists(join(config.run.dir, "eval", m.name))]
    if not models:
        return []
    heldout, _ = evaluate.read_heldout(config)
    found = []
    for task in TASKS:
        for triplet in [t for t in heldout if t.task == task][:PER_TASK]:
            made = [m for m in models if exists(evaluate.clip_uri(config, m, triplet.id))]
            if made:
                found.append((triplet, {m.name: evaluate.read_clip(config, m, triplet.id) for m in made}))
    return found


def _json(config: Config, name: str) -> dict:
    uri = join(config.run.dir, name)
    return read_json(uri) if exists(uri) else {}
