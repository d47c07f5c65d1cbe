"""``report.html`` of a benchmark: tables, bars by task, a gallery, what changed. One file, nothing fetched."""

import base64
import io
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

import jinja2
from PIL import Image

from v4e.bench.compare import AXIS, Diff
from v4e.bench.items import open_image
from v4e.bench.published import PRINTED
from v4e.bench.scores import AXES
from v4e.bench.tables import Results, Table

TEMPLATE = Path(__file__).with_name("page.html.j2")
SIDE = 384  # pixels, the longer side of a gallery's picture; smaller ones keep their size
BEST = {"gedit": 10, "imgedit": 5, "uge": 5}
REASON = 400  # characters of a judge's words


def render(
    title: str, results: Results, models: Sequence[str], found: Sequence[Table], diffs: Sequence[Diff], most: int
) -> str:
    """The page; `most` entries of the gallery are shown, of each suite, spread over groups and scores."""
    suites = list(dict.fromkeys(suite for suite, _ in results))
    shown, total = [], 0
    for suite in suites:
        entries = gallery(suite, results, models)
        total += len(entries)
        shown += [_with_pictures(entry) for entry in spread(entries, most)]
    sources = dict.fromkeys(row.source for table in found for row in table.rows if row.source != PRINTED)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    # "</" would end the script element, whatever it stands in
    data = json.dumps(shown, ensure_ascii=True).replace("<", "\\u003c")
    return environment.from_string(TEMPLATE.read_text()).render(
        title=title,
        tables=found,
        printed=PRINTED,
        notes={source: n for n, source in enumerate(sources, 1)},
        bars=[bars(suite, part, results, models) for suite in suites for part in _parts(suite, results)],
        diffs=diffs,
        data=data,
        shown=len(shown),
        total=total,
        suites=suites,
        models=models,
        best=BEST,
        groups=list(dict.fromkeys(e["group"] for e in shown)),
    )


def _parts(suite: str, results: Results) -> list[str]:
    """Of a suite: languages, or all."""
    found = [
        p for (s, _), r in results.items() if s == suite for p, v in r.items() if isinstance(v, dict) and "macro" in v
    ]
    return [p for p in dict.fromkeys(found) if "intersection" not in p]


def bars(suite: str, part: str, results: Results, models: Sequence[str]) -> dict:
    """One row a group, one bar a model: the suite's last axis."""
    axis = AXES[suite][-1]
    mine = [m for m in models if part in results.get((suite, m), {})]
    groups = list(results[suite, mine[0]][part]["groups"])
    rows = []
    for group in groups:
        cells = []
        for model in mine:
            mean = results[suite, model][part]["groups"][group][axis]
            share = 0.0 if mean["value"] is None else 100 * mean["value"] / BEST[suite]
            cells.append({"model": model, "share": share, **mean})
        rows.append({"group": group, "cells": cells})
    return {"title": f"{suite} {part}: {axis} by task", "models": mine, "rows": rows}


def gallery(suite: str, results: Results, models: Sequence[str]) -> list[dict]:
    """One entry an item: the edits and scores of all models, and how much they disagree."""
    by_item: dict[tuple, dict] = {}
    for model in models:
        for item in results.get((suite, model), {"items": []})["items"]:
            entry = by_item.setdefault(
                (item["row"], item["key"], item["language"]),
                {k: item[k] for k in ("key", "group", "language", "instruction", "source")}
                | {"suite": suite, "edits": []},
            )
            score = item["values"][AXIS[suite]] if item["values"] else None
            reasons = [str(r)[:REASON] for r in item["reasons"]]
            entry["edits"].append({"model": model, "path": item["edited"], "score": score, "reasons": reasons})
    for entry in by_item.values():
        known = [e["score"] for e in entry["edits"] if e["score"] is not None]
        entry["mean"] = statistics.fmean(known) if known else None
        entry["disagreement"] = max(known) - min(known) if known else 0.0
    return list(by_item.values())


def spread(entries: Sequence[dict], most: int) -> list[dict]:
    """At most `most` of them: in turn from each group, at even distances along its scores. All with 0."""
    if not most or len(entries) <= most:
        return list(entries)
    groups: dict[str, list[dict]] = {}
    for entry in sorted(entries, key=lambda e: (e["mean"] is not None, e["mean"] or 0.0)):
        groups.setdefault(entry["group"], []).append(entry)
    share = max(1, most // len(groups))
    kept = []
    for group in groups.values():
        step = max(1.0, (len(group) - 1) / max(1, share - 1))
        kept += [group[min(len(group) - 1, round(n * step))] for n in range(min(share, len(group)))]
    return kept[:most]


def _with_pictures(entry: dict) -> dict:
    edits = [{k: v for k, v in e.items() if k != "path"} | {"image": thumbnail(e["path"])} for e in entry["edits"]]
    return {k: v for k, v in entry.items() if k != "source"} | {"image": thumbnail(entry["source"]), "edits": edits}


def thumbnail(path: str) -> str:
    """A data URI; "" where there is no image, or a damaged one."""
    try:
        image = open_image(path).convert("RGB")
    except OSError:
        return ""
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
