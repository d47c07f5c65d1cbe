"""The file ``manifest.json`` beside the triplets: their corpora, counts, reasons for missing ones, and settings."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from v4e.config import Config, decided_by
from v4e.data.ingest.check import Checked
from v4e.data.ingest.quota import spread
from v4e.data.ingest.scan import Scan
from v4e.data.ingest.select import Selection, quota
from v4e.data.sources.files import CorpusFile, Unreadable
from v4e.data.sources.formats import CORPORA
from v4e.files.uri import open_uri
from v4e.language.tasks import TASKS

VERSION = 1  # raise it when the same corpora and settings give other triplets
Manifest = dict[str, Any]


def fingerprint(config: Config, files: Sequence[CorpusFile], refused: frozenset[str]) -> str:
    """Returns a hash in hex of all that decides which triplets are written: settings, seed, and the corpora's files."""
    made_of = {
        "version": VERSION,
        "seed": config.run.seed,
        "max_pixels": config.data.max_pixels,
        "settings": settings(config),
        "refused": sorted(refused),
        "files": [[file.corpus, file.uri, file.size, file.stamp, file.rows] for file in files],
    }
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def settings(config: Config) -> dict[str, Any]:
    """Returns the settings ``ingest.*`` that decide the triplets, by their names without ``ingest.``"""
    decided = decided_by(config, "triplets")
    return {key.removeprefix("ingest."): value for key, value in decided.items() if key.startswith("ingest.")}


def manifest(
    config: Config,
    files: Sequence[CorpusFile],
    unreadable: Sequence[Unreadable],
    scan: Scan,
    selection: Selection,
    outputs: Mapping[str, tuple[str, Sequence[Checked]]],
) -> Manifest:
    """Returns the manifest of the chosen triplets; `outputs`, URI and triplets by split, must be written before."""
    ingest, corpora = config.ingest, selection.corpora
    there = [ingest.count + ingest.heldout if scan.passed[cell] else 0 for cell in selection.cells]
    wanted_SK = quota(ingest, corpora, np.array(there).reshape(len(corpora), -1))
    all_SK = quota(ingest, corpora, np.full_like(wanted_SK, ingest.count + ingest.heldout))
    got = Counter(one.cell for _, ones in outputs.values() for one in ones)
    _, reasons = selection.screened
    tasks = {}
    for k, task in enumerate(TASKS):
        cells = {c: {"wanted": int(wanted_SK[s, k]), "got": got[c, task]} for s, c in enumerate(corpora)}
        row = {"wanted": int(all_SK[:, k].sum()), "got": sum(cell["got"] for cell in cells.values())}
        tasks[task] = row | {"corpora": cells, "why": _why(task, row, scan, selection)}
    damaged = [{"uri": where, "reason": reason} for where, reason in scan.damaged]
    return {
        "version": VERSION,
        "seed": config.run.seed,
        "settings": settings(config),
        "corpora": {name: _corpus(name, files, scan) for name in corpora},
        "left_out": [asdict(one) for one in unreadable] + damaged,
        "tasks": tasks,
        "deviation": round(spread(np.array([row["got"] for row in tasks.values()])), 3),
        "looked_at": sum(len(ones) for ones in selection.checked.values()),
        "rejected": dict(Counter(kind(reason) for reason in reasons.values()).most_common()),
        "outputs": {
            name: {"uri": uri, "rows": len(ones), "sha256": _sha256(uri)} for name, (uri, ones) in outputs.items()
        },
    }


def kind(reason: str) -> str:
    """Returns a reason without its numbers and names, so that equal ones can be counted."""
    if reason.startswith(("shares an image", "the other direction")):
        return reason[: reason.rindex(" ")] + " another triplet"
    return re.sub(r"\d+", "N", reason.split(" (")[0])


def _why(task: str, row: Mapping[str, int], scan: Scan, selection: Selection) -> str:
    """Returns the reason why a task has fewer triplets than were wanted; empty if it has enough."""
    if row["got"] >= row["wanted"]:
        return ""
    passed = sum(scan.passed[corpus, task] for corpus in selection.corpora)
    checked = [one for corpus in selection.corpora for one in selection.checked.get((corpus, task), ())]
    _, reasons = selection.screened
    lost = Counter(kind(reasons[one.id]) for one in checked if one.id in reasons)
    told = ", ".join(f"{count} x {reason}" for reason, count in lost.most_common(2))
    kept = sum(len(selection.candidates.get((corpus, task), ())) for corpus in selection.corpora)
    short = f"{passed} edits in the corpora" + (f", {kept} of them candidates" if kept < passed else "")
    return f"{short}; {len(checked)} looked at" + (f": {told}" if told else "")


def _corpus(name: str, files: Sequence[CorpusFile], scan: Scan) -> dict[str, Any]:
    mine, corpus = [file for file in files if file.corpus == name], CORPORA[name]
    return {
        "title": corpus.title,
        "licence": corpus.licence,
        "files": [{"uri": file.uri, "rows": file.rows, "bytes": file.size} for file in mine],
        "rows": sum(file.rows for file in mine),
        "passed": sum(count for (corpus, _), count in scan.passed.items() if corpus == name),
        "dropped": {reason: n for (corpus, reason), n in sorted(scan.dropped.items()) if corpus == name},
        "agreement": {how: n for (corpus, how), n in sorted(scan.agreement.items()) if corpus == name},
    }


def _sha256(uri: str) -> str:
    with open_uri(uri) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def table(made: Manifest) -> dict[str, str]:
    """Returns rows for the screen: triplets wanted and found, and reasons for missing ones."""
    rows = {}
    for task, row in made["tasks"].items():
        cells = ", ".join(f"{name} {cell['got']}" for name, cell in row["corpora"].items())
        rows[task] = f"{row['got']} of {row['wanted']}: {cells}" + (f"; {row['why']}" if row["why"] else "")
    for name, corpus in made["corpora"].items():
        most = sorted(corpus["dropped"].items(), key=lambda item: -item[1])[:3]
        dropped = "".join(f", {count} {reason}" for reason, count in most)
        rows[name] = f"{corpus['rows']} rows, {corpus['passed']} edits pass the labels' gates{dropped}"
    rows["deviation"] = f"{made['deviation']:.2f} percent points over the tasks"
    rejected = [f"{count} x {reason}" for reason, count in list(made["rejected"].items())[:4]]
    rows["images"] = f"{made['looked_at']} looked at" + "".join(f", {text}" for text in rejected)
    for name, split in made["outputs"].items():
        rows[name] = f"{split['rows']} triplets in {split['uri']}"
    return rows
