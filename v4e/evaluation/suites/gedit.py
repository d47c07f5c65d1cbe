"""GEdit-Bench: its Parquet copy, its folders and CSVs, its arithmetic.

The official code is stepfun-ai/Step1X-Edit, GEdit-Bench/. Its CSVs are written byte for byte alike from the same
scores, so its calculate_statistics.py gives the figures of :func:`v4e.evaluation.suites.scores.gedit_scores`.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from v4e.config import Bench
from v4e.evaluation.suites.items import Suite, SuiteItem, first_of_each, sha256
from v4e.evaluation.suites.replies import answer
from v4e.files.uri import write_atomic

GROUPS = (
    *("background_change", "color_alter", "material_alter", "motion_change", "ps_human", "style_change"),
    *("subject-add", "subject-remove", "subject-replace", "text_change", "tone_transfer"),
)
COLUMNS = ("task_type", "key", "instruction", "instruction_language", "Intersection_exist")
RANGE = 10  # of the scores, from 0
ROWS = 606  # of each language in the published set
CSV_HEADER = (
    *("source_image", "edited_image", "instruction", "sementics_score", "quality_score"),  # the typo is official
    *("intersection_exist", "instruction_language"),
)
LIST = re.compile(r"\[\d+, ?\d+\]|\d+")
SCORE = re.compile(r'"?score"?\s*:\s*(\[[^\[\]]*\]|-?\d+(?:\.\d+)?)')
DELIMITER = "||V^=^V||"
DECODER = json.JSONDecoder(strict=False, object_pairs_hook=list)  # lines break within strings; a key may stand twice


def parquet_files(path: str) -> list[Path]:
    """The files of the user's copy, in order.

    Raises:
        FileNotFoundError: there are none.
    """
    place = Path(path)
    files = [place] if place.is_file() else sorted(place.rglob("*.parquet"))
    if not path or not files:
        raise FileNotFoundError(
            f"bench.gedit={path}: no Parquet file there; expected your copy of the data set stepfun-ai/GEdit-Bench"
        )
    return files


def read(bench: Bench, save: str, model: str) -> Suite:
    """The items of `bench.languages`, whose images lie or will lie below ``{save}/{model}/fullset``.

    Raises:
        ValueError: a file is damaged or lacks a column, or a group is unknown.
    """
    items: list[SuiteItem] = []
    left_out: list[str] = []
    hashes: dict[str, str] = {}
    for file in parquet_files(bench.gedit):
        hashes[file.name] = sha256(file)
        try:
            names = pq.read_schema(file).names
        except pa.ArrowInvalid as error:
            raise ValueError(f"bench.gedit: {file} is no Parquet file ({error}): copy it again") from error
        missing = [c for c in (*COLUMNS, "input_image") if c not in names]
        if missing:
            raise ValueError(f"{file} has no column {', '.join(missing)}: expected GEdit-Bench's {', '.join(COLUMNS)}")
        for row in pq.read_table(file, columns=list(COLUMNS)).to_pylist():
            if row["task_type"] not in GROUPS:
                raise ValueError(f"{file}: unknown task_type {row['task_type']!r}; expected one of {', '.join(GROUPS)}")
            if row["instruction_language"] not in (*bench.languages, None):
                continue
            if empty := [c for c in COLUMNS[:4] if row[c] is None or not str(row[c]).strip()]:
                left_out.append(f"row {row['key']!r} of {file.name}, without {' and '.join(empty)}, is left out")
            else:
                items.append(_item(row, f"{save}/{model}/fullset"))
    counts = {language: sum(i.language == language for i in items) for language in bench.languages}
    lacking = {
        language: f"{n} items of {language}, the published set has {ROWS}"
        for language, n in counts.items()
        if n != ROWS
    }
    notes = left_out
    shared = len(items) - len({i.edited for i in items})
    if shared:
        notes.append(
            f"{shared} rows share their file with another row: the last one's edit is judged for all, officially"
        )
    return Suite(
        name="gedit",
        items=first_of_each(items, bench.limit),
        groups=GROUPS,
        hashes=hashes,
        whole=all(n == ROWS for n in counts.values()) and not bench.limit,
        lacking=lacking,
        notes=(*notes, *([f"bench.limit={bench.limit}"] if bench.limit else [])),
    )


def _item(row: Mapping, below: str) -> SuiteItem:
    place = f"{below}/{row['task_type']}/{row['instruction_language']}/{row['key']}"
    if "/" in str(row["key"]) or str(row["key"]) in ("", ".", ".."):
        raise ValueError(f"GEdit-Bench key {row['key']!r} is no file name: this is not the published set")
    return SuiteItem(
        key=str(row["key"]),
        group=row["task_type"],
        instruction=str(row["instruction"]),
        source=f"{place}_SRCIMG.png",
        edited=f"{place}.png",
        language=row["instruction_language"],
        intersection=bool(row["Intersection_exist"]),
    )


def lay_out_sources(bench: Bench, items: Iterable[SuiteItem]) -> list[str]:
    """Writes the missing ``{key}_SRCIMG.png``, from the column ``input_image``; returns what could not be decoded."""
    wanted = {item.source for item in items if not Path(item.source).exists()}
    bad: list[str] = []
    if not wanted:
        return bad
    root = next(iter(wanted)).rsplit("/fullset/", 1)[0] + "/fullset"
    for file in parquet_files(bench.gedit):
        for batch in pq.ParquetFile(file).iter_batches(batch_size=8, columns=[*COLUMNS, "input_image"]):
            for row in batch.to_pylist():
                if row["key"] is None or (uri := _item(row, root).source) not in wanted:
                    continue
                try:
                    buffer = io.BytesIO()
                    Image.open(io.BytesIO(row["input_image"]["bytes"])).save(buffer, "PNG")
                    write_atomic(uri, buffer.getvalue())
                except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError) as error:
                    bad.append(f"{row['key']}: {error}")
    return bad


def read_reply(text: str, most: float = RANGE) -> list[float] | None:
    """The scores in a reply, as the official parser finds them; None where it, or we, would have to guess.

    They are in JSON: between two delimiters or anywhere in the reply; else a bare ``[a, b]`` or one integer. Where the
    JSON is broken, as by a quotation mark in the reasoning, its ``score`` is still read. A reply that gives several
    different scores, scores outside 0 to `most` and anything that is no number make it unreadable.
    """
    text = answer(text)
    body = text.split(DELIMITER)[1] if text.count(DELIMITER) == 2 else text
    if "{" not in body or "}" not in body:
        bare = body[body.find("[") : body.rfind("]") + 1] if "[" in body else body.strip()
        found = [_number(bare)] if LIST.fullmatch(bare) else []
    else:
        found = _scores(body)
    return _valid(found[0], most) if found and all(one == found[0] for one in found) else None


def _scores(text: str) -> list[Any]:
    """Every score that `text` states: those of its whole JSON objects, and what is called a score outside of these."""
    found, rest, at = [], "", 0
    while (start := text.find("{", at)) >= 0:
        rest += text[at:start]
        try:
            one, at = DECODER.raw_decode(text, start)
        except (ValueError, RecursionError):
            rest, at = rest + "{", start + 1
            continue
        found += [value for key, value in one if key == "score"]
    return found + [_number(match[1]) for match in SCORE.finditer(rest + text[at:])]


def _number(text: str) -> Any:
    """The JSON of a number or a list of some; None of what looks like one, such as 07."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _valid(scores: Any, most: float) -> list[float] | None:
    listed = scores if isinstance(scores, list) else [scores]
    good = all(isinstance(s, int | float) and not isinstance(s, bool) and 0 <= s <= most for s in listed)
    return list(listed) if listed and good else None


def csv_bytes(rows: Sequence[tuple[SuiteItem, float, float]]) -> bytes:
    """One official CSV of (item, semantics, quality) rows."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(CSV_HEADER)
    for item, semantics, quality in rows:
        writer.writerow(
            (
                *(item.source, item.edited, item.instruction, semantics, quality),
                *(item.intersection, item.language),
            )
        )
    return buffer.getvalue().encode()


def write_csvs(folder: str, model: str, rows: Sequence[tuple[SuiteItem, float, float]]) -> None:
    """``{model}_{group}_gpt_score.csv`` of every group and the combined one, below ``{backbone}/eval_results_new``."""
    ordered: list[tuple[SuiteItem, float, float]] = []
    for group in GROUPS:
        mine = [row for row in rows if row[0].group == group]
        write_atomic(f"{folder}/{model}_{group}_gpt_score.csv", csv_bytes(mine))
        ordered += mine
    if ordered:
        write_atomic(f"{folder}/{model}_combined_gpt_score.csv", csv_bytes(ordered))
