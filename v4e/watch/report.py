"""``report.html``: one self-contained page on a run, with pictures."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
from PIL import Image

from v4e.config import Config, objective
from v4e.data.buckets import to_bucket
from v4e.files.journal import Record
from v4e.files.pictures import data_uri, png, strip, webp
from v4e.files.uri import open_uri
from v4e.language.tasks import TABLE1
from v4e.types import EditTriplet
from v4e.watch import plots
from v4e.watch.alarms import alarms as alarms_of

LARGE = 256 << 10  # bytes of a strip, from which it is compressed with loss
MOST_STRIPS = 80
PAGE_BYTES = 16 << 20  # of all strips in a page
TEMPLATE = Path(__file__).with_name("report.html.j2")
MODEL_NAMES = {
    "ema": "student (EMA)",
    "student": "student",
    "native_i2v": "native I2V",
    "base_caption": "native I2V with evolution caption",
    "teacher": "teacher (sees the edit)",
    "vae": "VAE ceiling",
    "copy": "copy the source",
}


def embedded(strips: Mapping[int, str]) -> dict[int, str]:
    """Strips for a page, from step to URI of the PNG to step to data URI, the first and the last of them always.

    Large ones become WebP; where there are too many, or all together are too large, some are left out evenly.
    """
    steps = _thin(sorted(strips), MOST_STRIPS)
    shown = {step: _small(strips[step]) for step in steps}
    while sum(map(len, shown.values())) > PAGE_BYTES and len(shown) > 2:
        shown = {step: shown[step] for step in _thin(list(shown), len(shown) // 2)}
    return shown


def _thin(steps: list[int], most: int) -> list[int]:
    """Returns about `most` of `steps` at even distances, and the last."""
    return [*steps[: -1 : max(1, -(-len(steps) // most))], *steps[-1:]]


def _small(uri: str) -> str:
    """A PNG as data URI."""
    with open_uri(uri) as file:
        data, kind = file.read(), "png"
    if len(data) > LARGE:
        data, kind = webp(Image.open(io.BytesIO(data))), "webp"
    return data_uri(data, kind)


@dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The files of a run: any part may be empty, for example while the run is under way."""

    table: dict = field(default_factory=dict)  # metrics.json
    examples: list[tuple[EditTriplet, dict[str, np.ndarray]]] = field(default_factory=list)  # and each model's clip
    stages: dict = field(default_factory=dict)
    captions: list[dict] = field(default_factory=list)
    rejected: list[dict] | None = None  # None where no stage has looked
    records: list[Record] = field(default_factory=list)  # metrics.jsonl
    samples: list[Record] = field(default_factory=list)  # samples.jsonl
    strips: dict[int, str] = field(default_factory=dict)  # step to picture, as data URI
    strips_of: str = ""  # held-out or training


def render(config: Config, found: RunFiles) -> str:
    """The page. Clips of examples are (P, h, w, 3)."""
    shown = []
    for triplet, clips in found.examples:
        source, edit = (np.asarray(to_bucket(i, config.data)) for i in (triplet.source, triplet.edit))
        rows = [(MODEL_NAMES[name], _strip_uri([source, *clip[1:], edit])) for name, clip in clips.items()]
        shown.append({"task": TABLE1[triplet.task].label, "instruction": triplet.instruction, "rows": rows})
    table = found.table
    alarms = alarms_of(found.records, found.samples, config.watch)
    events = [(step, plots.EVENTS[key], count) for step, key, count in plots.pool_events(found.records)]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text())
    values = {
        "config": config,
        "found": found,
        "names": {n: MODEL_NAMES[n] for n in table if n in MODEL_NAMES},
        "labels": {t: TABLE1[t].label for t in next(iter(table.values()))["by_task"]} if table else {},
        "examples": shown,
        "figures": {int(record["step"]): record for record in found.samples},
        "alarms": alarms,
        "events": events,
        "losses": plots.losses(found.records, alarms),
        "objective": objective(config.kd, config.tail, config.flow),
        "sample_curves": plots.samples(found.samples, alarms),
        "time_shares": plots.time_shares(found.records),
        "pool": plots.pool(found.records),
        "cost": _cost(found),
        "settings": json.dumps({k: vars(v) for k, v in config.sections().items()}, indent=1, default=str),
    }
    try:
        return template.render(values)
    except jinja2.UndefinedError as error:  # what the run's files lack
        raise KeyError(str(error)) from error


def _strip_uri(frames: list[np.ndarray]) -> str:
    return data_uri(png(strip(frames), optimize=True), "png")


def _cost(found: RunFiles) -> dict[str, float]:
    """Returns the mean seconds of a strip and of its decoding, and the strips' share of the training time."""
    if not found.samples:
        return {}
    seconds = [r["seconds"] for r in found.samples]
    trained = sum(r.get("seconds", 0.0) for r in found.records)
    return {
        "seconds": sum(seconds) / len(seconds),
        "decode_s": sum(r["decode_s"] for r in found.samples) / len(seconds),
        "share": sum(r.get("watch_s", 0.0) for r in found.records) / trained if trained else 0.0,
    }
