"""The CSV of an audit: rows for a person to correct in a spreadsheet, and the reader of their corrections."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from v4e.captions.checks import check_caption, states_what_stays
from v4e.files.uri import read_text, write_atomic
from v4e.language.tasks import TASKS, atoms, rule_task

SHOWN = ("id", "instruction", "task", "rule_task", "llm_task", "origin", "checks", "caption")
WANTED = ("correct_task", "correct_caption")  # empty: for the person to fill in
_FORMULA = "=+-@\t\r'"  # a spreadsheet runs a cell that begins with one of these


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A person's correction of a row; "" changes nothing."""

    task: str = ""
    caption: str = ""


def write_csv(uri: str, rows: Iterable[Mapping]) -> None:
    """Writes rows of captions.parquet with two empty columns to fill in; a spreadsheet opens it and runs nothing."""
    text = io.StringIO(newline="")
    sheet = csv.writer(text)
    sheet.writerow([*SHOWN, *WANTED])
    for row in rows:
        shown = dict(row) | {"checks": " ".join(row.get("checks") or [])}
        sheet.writerow([*(_safe(str(shown.get(name) or "")) for name in SHOWN), *("" for _ in WANTED)])
    write_atomic(uri, text.getvalue().encode("utf-8-sig"))  # without the mark Excel takes it for another encoding


def read_csv(uri: str) -> dict[str, Correction]:
    """Reads the corrections by the id of their row.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no CSV with these columns, names an unknown task, or corrects a row twice.
    """
    text = read_text("caption.corrections", uri)
    head = text.split("\n", 1)[0]  # spreadsheets of some countries write semicolons
    mark = ";" if head.count(";") > head.count(",") else ","
    sheet = csv.DictReader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    if missing := [name for name in ("id", *WANTED) if name not in (sheet.fieldnames or ())]:
        raise ValueError(
            f"caption.corrections={uri} has no column {missing[0]!r}: expected the columns that audit wrote"
        )
    found: dict[str, Correction] = {}
    for row in _lines(uri, sheet):
        task, caption = ((row[name] or "").strip() for name in WANTED)
        if not (task or caption):
            continue
        where = f"caption.corrections={uri}, line {sheet.line_num}"
        if task and task not in TASKS:
            raise ValueError(f"{where}: correct_task is {task!r}, expected one of {', '.join(TASKS)}")
        key = _plain(row["id"] or "")
        if key in found:
            raise ValueError(f"{where}: {key} is corrected twice, leave one")
        found[key] = Correction(task=task, caption=_plain(caption))
    return found


def _lines(uri: str, sheet: csv.DictReader) -> Iterator[dict]:
    try:
        yield from sheet
    except csv.Error as error:
        raise ValueError(f"caption.corrections={uri} is no whole CSV ({error}): save it again") from error


def person_row(identity: str, instruction: str, task: str, correction: Correction) -> dict:
    """Returns a row of captions.parquet with a person's caption; `task` is the label of its corpus, or ""."""
    rule, _ = rule_task(instruction)
    edits = atoms(instruction)
    own = correction.task or task or rule
    failed = check_caption(correction.caption, edits[0], own) if own and len(edits) == 1 else []
    return {
        "id": identity,
        "instruction": instruction,
        "caption": correction.caption,
        "task": own,
        "task_source": "person" if correction.task else "corpus" if task else "rules",
        "rule_task": rule,
        "llm_task": "",
        "agree": len({label for label in (own, rule) if label}) <= 1,
        "edits": edits,
        "turns": [],
        "origin": "person",
        "checks": failed if states_what_stays(correction.caption) else [*failed, "stays"],
    }


def _safe(text: str) -> str:
    return f"'{text}" if text[:1] in _FORMULA and text else text


def _plain(text: str) -> str:
    return text[1:] if text[:1] == "'" and text[1:2] in _FORMULA and len(text) > 1 else text
