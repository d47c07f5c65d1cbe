"""Tables of a benchmark: our rows beside the paper's, for HTML, Markdown, CSV and LaTeX."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v4e.evaluation.suites.identity import name_of
from v4e.evaluation.suites.published import AXES4, COLUMNS5, NOTES, PRINTED, TABLE4, TABLE5, TABLE6

RISE = (*("Temporal", "Causal", "Spatial", "Logical"), "Accuracy", "Score", "Reasoning", "Consistency", "Plausibility")
Results = Mapping[tuple[str, str], Mapping]  # (suite, model) to its scores.json


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure; `scored` and `total` are the items behind it, None where a paper does not say."""

    value: float | None = None
    interval: tuple[float, float] | None = None  # 95 %
    scored: int | None = None
    total: int | None = None
    digits: int = 2

    def __str__(self) -> str:
        """The figure as it is shown: ``6.71 [6.52, 6.90] (580/606)``."""
        text = "-" if self.value is None else f"{self.value:.{self.digits}f}"
        if self.value is not None and self.interval:
            text += f" [{self.interval[0]:.{self.digits}f}, {self.interval[1]:.{self.digits}f}]"
        return text if self.total is None else f"{text} ({self.scored}/{self.total})"


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model."""

    name: str
    cells: tuple[Cell, ...]
    source: str  # whose run, which judge, which date, what is missing
    ours: bool


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table and its rows: the paper's first, then ours."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[ModelRow, ...]


def tables(results: Results, models: Sequence[str], languages: Sequence[str]) -> list[Table]:
    """Table 4 of each language, Table 5, RISEBench and Table 6, as far as a model of ours has scores for them."""
    found = []
    for language in languages:
        rows = [
            _gedit_row(m, results["gedit", m], language) for m in models if language in results.get(("gedit", m), {})
        ]
        if rows:
            title = f"GEdit-Bench-{language.upper()}" + (" (Table 4)" if language == "en" else "")
            found.append(Table(title=title, columns=AXES4, rows=(*(_printed4() if language == "en" else ()), *rows)))
    rows = [_imgedit_row(m, results["imgedit", m]) for m in models if ("imgedit", m) in results]
    if rows:
        columns = (*COLUMNS5, "Overall")
        found.append(Table(title="ImgEdit-Bench (Table 5)", columns=columns, rows=(*_printed5(), *rows)))
    rows = [_uge_row(m, results["uge", m]) for m in models if ("uge", m) in results]
    if rows:
        found.append(Table(title="ImgEdit-Bench UGE", columns=("score",), rows=tuple(rows)))
    rows = [_rise_row(m, results["rise", m]) for m in models if ("rise", m) in results]
    if rows:
        found.append(Table(title="RISEBench, percent", columns=RISE, rows=tuple(rows)))
    variants = [m for m in models if m in TABLE6]
    if variants:
        found.append(_table6(results, variants))
    return found


def overall(scored: Mapping, axis: str, digits: int = 2) -> Cell:
    """The official overall of one axis with its 95 % interval."""
    return _ours(scored["macro"][axis], digits, scored["interval"][axis])


def _ours(mean: Mapping, digits: int = 2, spread: tuple[float, float] | None = None) -> Cell:
    return Cell(value=mean["value"], interval=spread, scored=mean["n_scored"], total=mean["n_total"], digits=digits)


def _source(result: Mapping, scored: Mapping) -> str:
    n = scored["by_item"][next(reversed(scored["by_item"]))]
    head = f"our run, judge {name_of(result)}, {result['date']}, n = {n['n_scored']}/{n['n_total']}"
    if result.get("passes", 1) > 1:
        head += f", mean of {result['passes']} replies to each question"
    if scored["headline"] is None:
        head += "; NO RESULT"
    return "; ".join([head, *scored["marks"]])


def _printed4() -> list[ModelRow]:
    return [
        ModelRow(name=name, cells=tuple(_cell(v) for v in values), source=PRINTED, ours=False)
        for name, values in TABLE4.items()
    ]


def _printed5() -> list[ModelRow]:
    rows = []
    for name, (columns, overall) in TABLE5.items():
        cells = tuple(_cell(v) for v in (*(columns or (None,) * len(COLUMNS5)), overall))
        note = NOTES.get(("imgedit", name))
        rows.append(ModelRow(name=name, cells=cells, source=PRINTED + (f"; {note}" if note else ""), ours=False))
    return rows


def _gedit_row(model: str, result: Mapping, language: str) -> ModelRow:
    scored = result[language]
    cells = tuple(overall(scored, axis, 3) for axis in AXES4)
    return ModelRow(name=model, cells=cells, source=_source(result, scored), ours=True)


def _imgedit_row(model: str, result: Mapping) -> ModelRow:
    scored = result["all"]
    cells = tuple(_ours(scored["groups"][group]["score"]) for group in COLUMNS5)
    return ModelRow(name=model, cells=(*cells, overall(scored, "score")), source=_source(result, scored), ours=True)


def _uge_row(model: str, result: Mapping) -> ModelRow:
    scored = result["all"]
    return ModelRow(name=model, cells=(overall(scored, "score"),), source=_source(result, scored), ours=True)


def _rise_row(model: str, result: Mapping) -> ModelRow:
    """Accuracy of each category and of all, then the other figures of all."""
    scored = result["all"]
    of_groups = [_ours(axes["accuracy"], 1) for axes in scored["groups"].values()]
    rest = [overall(scored, axis, 1) for axis in ("accuracy", "score", "reasoning", "consistency", "plausibility")]
    return ModelRow(name=model, cells=(*of_groups, *rest), source=_source(result, scored), ours=True)


def _table6(results: Results, variants: Sequence[str]) -> Table:
    rows = [
        ModelRow(name=name, cells=(_cell(g), _cell(i)), source=PRINTED, ours=False) for name, g, i in TABLE6.values()
    ]
    for variant in variants:
        found = [
            (result, result[part], axis)
            for suite, part, axis in (("gedit", "en", "O"), ("imgedit", "all", "score"))
            if (result := results.get((suite, variant))) and part in result
        ]
        by_axis = {axis: overall(scored, axis) for _, scored, axis in found}
        source = " | ".join(_source(result, scored) for result, scored, _ in found)
        cells = tuple(by_axis.get(axis, Cell()) for axis in ("O", "score"))
        rows.append(ModelRow(name=f"{variant}: {TABLE6[variant][0]}", cells=cells, source=source, ours=True))
    return Table(title="Ablation (Table 6)", columns=("GEdit-EN O", "ImgEdit Overall"), rows=tuple(rows))


def _cell(value: float | None) -> Cell:
    return Cell(value=value)


def markdown(found: Sequence[Table]) -> str:
    """All tables; ours in bold."""
    blocks = []
    for table in found:
        lines = [("model", *table.columns, "source"), ("---",) * (len(table.columns) + 2)]
        for row in table.rows:
            name = f"**{_pipe(row.name)}**" if row.ours else row.name
            lines.append((name, *map(str, row.cells), _pipe(row.source)))
        blocks.append(f"## {table.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join(blocks)


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def csv_text(found: Sequence[Table]) -> str:
    """One line a cell. Figures and counts are numbers, and empty where there is none."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    bounds = ("value", "low", "high", "n_scored", "n_total")
    writer.writerow(("table", "model", "column", *bounds, "ours", "source"))
    for table in found:
        for row in table.rows:
            for column, cell in zip(table.columns, row.cells, strict=True):
                figures = (cell.value, *(cell.interval or (None, None)), cell.scored, cell.total)
                writer.writerow((table.title, row.name, column, *figures, row.ours, row.source))
    return buffer.getvalue()


ESCAPES = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex(found: Sequence[Table]) -> str:
    """A booktabs table each; sources as notes under it."""
    blocks = []
    for table in found:
        head = " & ".join(["Model", *map(tex, table.columns)])
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{tex(table.title)}}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule", head + r" \\", r"\midrule"]
        before = False
        for row in table.rows:
            if row.ours and not before and row is not table.rows[0]:
                lines.append(r"\midrule")
            before = before or row.ours
            name = rf"\textbf{{{tex(row.name)}}}" if row.ours else tex(row.name)
            lines.append(" & ".join([name, *(tex(str(cell)) for cell in row.cells)]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\par\footnotesize {tex(row.name)}: {tex(row.source)}." for row in table.rows if row.ours]
        blocks.append("\n".join([*lines, r"\end{table}"]))
    return "\n\n".join(blocks) + "\n"


def tex(text: str) -> str:
    return "".join(ESCAPES.get(c, c) for c in text)
