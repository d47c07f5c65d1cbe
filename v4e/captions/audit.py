"""The page of an audit: captions for a person to see and to correct. It is one file and fetches nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

from v4e.captions.summary import BY_MODEL, agreement, fallback
from v4e.data.quality import decode_image
from v4e.data.sources import RawTriplet
from v4e.files.pictures import data_uri, webp
from v4e.language.reader import read
from v4e.language.tasks import TABLE1, TASKS

TEMPLATE = Path(__file__).with_name("audit.html.j2")
SIDE = 320  # pixels of the longer side of a picture in the page


@dataclass(frozen=True, kw_only=True)
class AuditPage:
    """The contents of the page; `rows`, `dropped` and `shown` are rows of captions.parquet."""

    title: str
    rows: list[dict]
    dropped: list[dict] = field(default_factory=list)
    shown: list[dict] = field(default_factory=list)
    images: Mapping[str, RawTriplet] = field(default_factory=dict)  # by id; may lack some
    max_pixels: int = 64_000_000  # a larger picture is not decoded


def render(page: AuditPage) -> str:
    matrix = agreement([*page.rows, *page.dropped])
    seen = {label for found in matrix.values() for label in found}
    samples = {
        task: [
            row | {"pictures": _pictures(page, row["id"]), "reading": read(row["instruction"])}
            for row in page.shown
            if row["task"] == task
        ]
        for task in TASKS
    }
    count = max(1, len(page.rows))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(TEMPLATE.read_text()).render(
        page=page,
        labels={task: row.label for task, row in TABLE1.items()},
        per_task=Counter(row["task"] for row in page.rows),
        fallback=fallback(page.rows),
        agreement=matrix,
        columns=[label for label in (*TASKS, "") if label in seen],
        asked=bool(seen - {""}),
        samples={task: shown for task, shown in samples.items() if shown},
        by_model=sum(row["origin"] in BY_MODEL for row in page.rows) / count,
        templates=sum(row["origin"] == "template" for row in page.rows) / count,
        passed=sum(not row["checks"] for row in page.rows) / count,
        agreed=sum(bool(row["agree"]) for row in page.rows) / count,
        percent=lambda share: f"{100 * share:.1f} %",
    )


def _pictures(page: AuditPage, identity: str) -> list[str]:
    """Returns source and edit as data URIs, or nothing if one cannot be decoded; precompute reports it."""
    row = page.images.get(identity)
    if row is None:
        return []
    try:
        return [_small(data, name, page.max_pixels) for data, name in ((row.source, "source"), (row.edit, "edit"))]
    except ValueError:
        return []


def _small(data: bytes | None, name: str, max_pixels: int) -> str:
    image = decode_image(data, name, max_pixels)
    image.thumbnail((SIDE, SIDE))
    return data_uri(webp(image), "webp")
