"""RISEBench: its JSON and images, its replies, its arithmetic.

The official code is PhoenixZ810/RISEBench, gpt_eval.py at commit 5f22651. Which prompt and which images a question has
depends on the item's fields there, and so it does here. Figures are its percentages: 25 x (score - 1) of scores from 1
to 5, and the share of items whose scores are all 5.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v4e.config import Bench
from v4e.evaluation.suites.items import Suite, SuiteItem, first_of_each, safe, sha256
from v4e.evaluation.suites.replies import answer

ROWS = {"temporal_reasoning": 85, "causal_reasoning": 90, "spatial_reasoning": 100, "logical_reasoning": 85}
GROUPS = tuple(ROWS)  # of the published set: 360 rows in all
LOGICAL = "logical_reasoning"
KINDS = ("consistency", "reasoning", "plausibility")  # the questions, in the official order
AXES = ("reasoning", "consistency", "plausibility", "score", "accuracy")
FIELDS = ("index", "category", "instruction", "image")
FINAL = re.compile(r"Final Scores?\*{0,2}:?\s*([\d*\s,]*+)([.-]\d)?", re.IGNORECASE)


def read(bench: Bench, save: str, model: str) -> Suite:
    """The items of ``bench.rise``; edits are ``{save}/{model}/images/{category}/{index}.png``, as officially.

    Sources and reference images stay where they are: in ``data`` beside the JSON file, or beside it.

    Raises:
        FileNotFoundError: the JSON file is not there.
        ValueError: it has another form, a category is unknown, an index occurs twice or leads out of its folder.
    """
    file = _file(bench.rise)
    rows = _rows(file)
    blind = any("reasoning_wo_ins" in row for row in rows)  # officially a table's column, which all rows then have
    items, left_out = [], []
    for row in rows:
        if row["category"] not in GROUPS:
            raise ValueError(f"{file}: unknown category {row['category']!r}; expected one of {', '.join(GROUPS)}")
        empty = [field for field in FIELDS if not str(row[field] or "").strip()]
        facts = {} if empty else _facts(row, blind, file.parent)
        if not facts:
            empty = empty or ["a reference"]
            left_out.append(f"item {row['index']} of {file.name}, without {' and '.join(empty)}, is left out")
            continue
        free = row["category"] != LOGICAL and _given(row, "consistency_free")
        lacking = {"consistency"} if free else {"plausibility"} if row["category"] == LOGICAL else set()
        items.append(
            SuiteItem(
                key=str(row["index"]),
                group=row["category"],
                instruction=str(row["instruction"]),
                source=_place(file.parent, row["image"]),
                edited=f"{save}/{model}/images/{row['category']}/{safe(str(row['index']), 'RISEBench')}.png",
                facts=facts,
                kinds=tuple(kind for kind in KINDS if kind not in lacking),
                axes=tuple(axis for axis in AXES if axis not in lacking),
            )
        )
    [(key, count), *_] = Counter(item.key for item in items).most_common(1) or [("", 1)]
    if count > 1:
        raise ValueError(f"bench.rise: {file} has the index {key} {count} times: this is not the published set")
    counts = Counter(item.group for item in items)
    notes = [f"{counts[g]} items of {g}, the published set has {n}" for g, n in ROWS.items() if counts[g] != n]
    return Suite(
        name="rise",
        items=first_of_each(items, bench.limit),
        groups=GROUPS,
        hashes={file.name: sha256(file)},
        whole=not notes and not bench.limit,
        notes=(*notes, *left_out, *([f"bench.limit={bench.limit}"] if bench.limit else [])),
    )


def _file(place: str) -> Path:
    files = [Path(place)] if Path(place).is_file() else sorted(Path(place).glob("*.json"))
    if not place or len(files) != 1:
        raise FileNotFoundError(
            f"bench.rise={place}: expected RISEBench's JSON file (datav2_total_w_subtask.json), or the folder of one, "
            f"got {len(files) if place else 'no'} JSON files"
        )
    return files[0]


def _rows(file: Path) -> list[dict[str, Any]]:
    expected = f"expected a JSON list of {{{', '.join(FIELDS)}}}"
    try:
        rows = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"bench.rise: {file} is no JSON ({error}); {expected}") from error
    if not isinstance(rows, list):
        raise ValueError(f"bench.rise: {file} holds a {type(rows).__name__}; {expected}")
    for row in rows:
        if not isinstance(row, dict) or not set(FIELDS) <= set(row):
            raise ValueError(f"bench.rise: {file}: {expected}, got {str(row)[:80]}")
    return rows


def _given(row: Mapping[str, Any], field: str) -> bool:
    """Says whether a row has a value there: absent, null, NaN, false and "" are none, as a table's empty cells are."""
    value = row.get(field)
    return bool(value) and value == value


def _place(folder: Path, image: str) -> str:
    """Returns an image's path: below ``data``, as the published archive unpacks, or below the folder itself."""
    inside = safe(str(image), "RISEBench")
    below = folder / "data" / inside
    return str(below if below.exists() or not (folder / inside).exists() else folder / inside)


def _facts(row: Mapping[str, Any], blind: bool, folder: Path) -> dict[str, str]:
    """The prompt of each question, the image shown before the edit (``first``), ``reference``; {} without a reference.

    ``shown`` is there where the question about reasoning shows the first image, too.
    """
    logical, spatial = row["category"] == LOGICAL, row["category"] == "spatial_reasoning"
    text = "reference_txt" if logical else "reference"
    by_image = (logical or spatial) and _given(row, "reference_img") and not (logical and _given(row, text))
    if not by_image and not _given(row, text):
        return {}
    facts = {"first": _place(folder, row["reference_img" if by_image else "image"])}
    facts["reference"] = "" if by_image else str(row[text])
    looks = by_image or (not logical and _given(row, "reasoning_img"))
    facts |= {"shown": "yes"} if looks else {}
    if logical:
        pair = ("cons", "img_wo_q" if blind else "img") if by_image else ("cons_ans", "txt")
        names = {"consistency": f"prompt_logical_{pair[0]}", "reasoning": f"prompt_logical_{pair[1]}"}
    elif spatial:
        end = "_img" if by_image else "_w_input" if looks else ""
        names = {"consistency": "prompt_spatial_cons", "reasoning": f"prompt_spatial_ref{end}"}
        names["plausibility"] = "prompt_spatial_qual"
    else:
        names = {"consistency": "prompt_consist", "reasoning": f"prompt_reasoning{'_w_input' if looks else ''}"}
        names["plausibility"] = "prompt_generation"
    return facts | names


def read_reply(text: str, least: int) -> list[float] | None:
    """The score after ``Final Score``, an integer from `least` to 5; None where there is none, or several.

    The official code takes the first it finds, also of ``1-5`` (the format, repeated), ``4.5`` and a draft.
    """
    found = FINAL.findall(answer(text))
    numbers = {int(number[:9]) for body, _ in found for number in re.findall(r"\d+", body)}
    if len(numbers) != 1 or any(rest for _, rest in found):
        return None
    [number] = numbers
    return [float(number)] if least <= number <= 5 else None


def total(reasoning: float, consistency: float | None, plausibility: float | None) -> float:
    """An item's score from 1 to 5; logical items have no plausibility, and consistency-free ones no consistency."""
    if plausibility is None:
        score = 0.3 * (consistency or 0) + 0.7 * reasoning
    elif consistency is None:
        score = 0.2 * plausibility + 0.8 * reasoning
    else:
        score = 0.3 * consistency + 0.5 * reasoning + 0.2 * plausibility
    return max(1.0, 0.5 * score) if reasoning == 1 else score


def values(item: SuiteItem, scores: Mapping[str, float]) -> dict[str, float]:
    """The figures of one item in percent, from its questions' scores; logical ones, 0 or 1, become 1 or 5."""
    if item.group == LOGICAL:
        scores = {kind: 4 * min(score, 1) + 1 for kind, score in scores.items()}
    figures = {**scores, "score": total(scores["reasoning"], scores.get("consistency"), scores.get("plausibility"))}
    figures = {axis: 25 * (value - 1) for axis, value in figures.items()}
    figures["accuracy"] = 100.0 if all(score == 5 for score in scores.values()) else 0.0
    return {axis: figures[axis] for axis in AXES if axis in figures}
