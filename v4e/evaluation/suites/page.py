"""``report.html`` of a benchmark: tables, bars and heat maps by task, a gallery, what changed. One file, nothing
fetched."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2
from PIL import Image

from v4e.evaluation.suites.compare import AXIS, Diff
from v4e.evaluation.suites.items import open_image
from v4e.evaluation.suites.published import PRINTED
from v4e.evaluation.suites.scores import AXES
from v4e.evaluation.suites.tables import Results, Table
from v4e.files.pictures import data_uri, webp

TEMPLATE = Path(__file__).with_name("page.html.j2")
SIDE = 384  # pixels, the longer side of a gallery's picture; smaller ones keep their size
BEST = {"gedit": 10, "imgedit": 5, "uge": 5, "rise": 100}
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
    charts = [(suite, part) for suite in suites for part in _parts(suite, results)]
    charts = [chart for chart in charts if len(_groups(*chart, results)) > 1]
    sources = dict.fromkeys(row.source for table in found for row in table.rows if row.source != PRINTED)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    # "</" would end the script element, whatever it stands in
    data = json.dumps(shown, ensure_ascii=True).replace("<", "\\u003c")
    return environment.from_string(TEMPLATE.read_text()).render(
        title=title,
        tables=found,
        printed=PRINTED,
        notes={source: n for n, source in enumerate(sources, 1)},
        charts=[{"bars": bars(*chart, results, models), "heat": heat(*chart, results, models)} for chart in charts],
        diffs=diffs,
        data=data,
        shown=len(shown),
        total=total,
        suites=suites,
        models=models,
        groups=list(dict.fromkeys(e["group"] for e in shown)),
    )


def _parts(suite: str, results: Results) -> list[str]:
    """Returns the parts of a suite: languages, or all."""
    found = [
        p for (s, _), r in results.items() if s == suite for p, v in r.items() if isinstance(v, dict) and "macro" in v
    ]
    return [p for p in dict.fromkeys(found) if "intersection" not in p]


def _groups(suite: str, part: str, results: Results) -> list[str]:
    return next(list(r[part]["groups"]) for (s, _), r in results.items() if s == suite and part in r)


def bars(suite: str, part: str, results: Results, models: Sequence[str]) -> dict:
    """One row a group, one bar a model: the suite's last axis."""
    axis = AXES[suite][-1]
    mine = [m for m in models if part in results.get((suite, m), {})]
    rows = [
        {"group": g, "cells": [_cell(suite, results[suite, m][part]["groups"][g][axis]) for m in mine]}
        for g in _groups(suite, part, results)
    ]
    return {"title": f"{suite} {part}: {axis} by task", "models": mine, "rows": rows}


def heat(suite: str, part: str, results: Results, models: Sequence[str]) -> dict:
    """One row a model and axis, one column a group."""
    groups = _groups(suite, part, results)
    rows = [
        {
            "name": f"{m} {axis}" if len(AXES[suite]) > 1 else m,
            "cells": [_cell(suite, results[suite, m][part]["groups"][g][axis]) for g in groups],
        }
        for m in models
        if part in results.get((suite, m), {})
        for axis in AXES[suite]
    ]
    return {"groups": groups, "rows": rows, "best": BEST[suite]}


def _cell(suite: str, mean: Mapping) -> dict:
    """A figure, and how far it is to the best one in percent."""
    return {"share": 0.0 if mean["value"] is None else 100 * mean["value"] / BEST[suite], **mean}


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
    """Returns at most `most` of them: in turn from each group, at even distances along its scores. 0 returns all."""
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
    edits = [{k: v for k, v in e.items() if k != "path"} | {"image": thumbnail(e["path"])[0]} for e in entry["edits"]]
    image, aspect = thumbnail(entry["source"])
    return {k: v for k, v in entry.items() if k != "source"} | {"image": image, "aspect": aspect, "edits": edits}


def thumbnail(path: str) -> tuple[str, float]:
    """(data URI, width / height); ("", 1) where there is no image, or a damaged one."""
    try:
        image = open_image(path).convert("RGB")
    except OSError:
        return "", 1.0
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return data_uri(webp(image), "webp"), round(image.width / image.height, 4)
