"""Scores of items to figures of a benchmark: the official arithmetic, and what may be called its result."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby

import numpy as np

from v4e.config import Bench, Judge
from v4e.evaluation.metrics.bootstrap import interval
from v4e.evaluation.suites import gedit, imgedit, rise
from v4e.evaluation.suites.items import Rubric, Suite, SuiteItem
from v4e.evaluation.suites.judging import SCORED
from v4e.evaluation.suites.prompts import again, base
from v4e.evaluation.suites.replies import answer

AXES = {"gedit": ("SC", "PQ", "O"), "imgedit": ("score",), "uge": ("score",), "rise": rise.AXES}
POOLED = ("rise",)  # suites whose overall is the mean over items, not over groups
UGE_DEVIATION = "deviation: the official prompt asks for no score, so a line 'Score: N' was added to it"


@dataclass(frozen=True, kw_only=True)
class Mean:
    """One figure, and of how many items."""

    value: float | None  # None where nothing was scored
    n_scored: int
    n_total: int


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One model on one suite, or on one language or subset of it."""

    groups: dict[str, dict[str, Mean]]  # group to axis to figure
    macro: dict[str, Mean]  # the official overall: unweighted mean over groups; None while a group has nothing.
    # Of POOLED suites the mean over items
    by_item: dict[str, Mean]  # weighted by items
    # 95 % of the macro mean: items resampled within their groups, and each item's replies where there are several
    interval: dict[str, tuple[float, float] | None]
    judge_interval: dict[str, tuple[float, float] | None] = field(default_factory=dict)  # the replies alone
    marks: tuple[str, ...] = ()  # why this is no headline, or what is not as officially
    headline: float | None = None  # macro mean of the last axis; None where it may not be called the result

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class ItemScore:
    """One item; `values` is None where a question of it failed or an image is missing."""

    row: int
    item: SuiteItem
    values: dict[str, float] | None  # means over passes
    passes: tuple[dict[str, float], ...] = ()  # of each repetition; empty = one, of these values
    replies: list[dict] = field(default_factory=list)


def item_scores(suite: Suite, rubric: Rubric, records: Sequence[dict]) -> list[ItemScore]:
    """Records of :func:`v4e.evaluation.suites.judging.judge_items` to one score an item, in the suite's order."""
    by_row = {row: list(some) for row, some in groupby(records, key=lambda r: int(r["id"].split("/", 1)[0]))}
    return [_item_score(suite, rubric, row, item, by_row[row]) for row, item in enumerate(suite.items)]


def _item_score(suite: Suite, rubric: Rubric, row: int, item: SuiteItem, records: list[dict]) -> ItemScore:
    if not all(r["status"] == SCORED for r in records):
        return ItemScore(row=row, item=item, values=None, replies=records)
    kinds = len(records) // bench_passes(rubric)
    passes = tuple(_values(suite, item, records[at : at + kinds]) for at in range(0, len(records), kinds))
    first, *_ = passes
    means = {axis: sum(one[axis] for one in passes) / len(passes) for axis in first}
    # a mean of one score keeps its type, and the CSV shows the type
    return ItemScore(row=row, item=item, values=means if len(passes) > 1 else first, passes=passes, replies=records)


def bench_passes(rubric: Rubric) -> int:
    """Returns how often each question of `rubric` is asked."""
    return 1 + max(again(kind) for kind in rubric.kinds)


def _values(suite: Suite, item: SuiteItem, records: Sequence[dict]) -> dict[str, float]:
    """The values of one item by one pass."""
    if suite.name == "rise":
        return rise.values(item, {base(one["kind"]): one["scores"][0] for one in records})
    if suite.name != "gedit":
        return {"score": imgedit.average(records[0]["scores"])}
    semantics, quality = (min(record["scores"]) for record in records)
    return {"SC": semantics, "PQ": quality, "O": math.sqrt(semantics * quality)}


def summarize(
    suite: Suite,
    scores: Sequence[ItemScore],
    bench: Bench,
    judge: Judge,
    *,
    intersection: bool = False,
    language: str = "",
) -> Scored:
    """Figures of the items of `language` (all of them without), with `intersection` of those in it alone."""
    chosen = [
        s for s in scores if (not language or s.item.language == language) and (s.item.intersection or not intersection)
    ]
    axes = AXES[suite.name]
    rounded = suite.name in ("imgedit", "uge")  # type scores have 2 decimals, and the published overall is of those
    by_group = {g: [s for s in chosen if s.item.group == g] for g in suite.groups}
    groups = {g: {axis: _mean(some, axis, rounded) for axis in axes} for g, some in by_group.items()}
    by_item = {axis: _mean(chosen, axis, False) for axis in axes}
    macro, spread, noise = {}, {}, {}
    for axis in axes:
        values = [groups[g][axis].value for g in suite.groups]
        known = [v for v in values if v is not None]
        complete = len(known) == len(values)
        drawn = [[_passes(s, axis) for s in some if s.values and axis in s.values] for some in by_group.values()]
        if suite.name in POOLED:
            macro[axis], complete = by_item[axis], bool(known)
            drawn = [[one for group in drawn for one in group]]
        else:
            n_scored = sum(groups[g][axis].n_scored for g in suite.groups)
            value = float(np.mean(known)) if complete else None
            macro[axis] = Mean(value=value, n_scored=n_scored, n_total=len(chosen))
        several = complete and max(len(one) for group in drawn for one in group) > 1
        spread[axis] = interval(drawn, bench.draws) if complete else None
        noise[axis] = interval(drawn, bench.draws, items=False) if several else None
    against = objections(suite, chosen, bench, judge, language)
    value = macro[axes[-1]].value
    forced = bool(against) and bench.force and judge.kind != "fake" and value is not None
    deviates = suite.name == "uge" and bench.rubrics != "own"
    return Scored(
        groups=groups,
        macro=macro,
        by_item=by_item,
        interval=spread,
        judge_interval=noise,
        marks=(*(["forced"] if forced else []), *against, *([UGE_DEVIATION] if deviates else [])),
        headline=value if forced or not against else None,
    )


def _passes(score: ItemScore, axis: str) -> list[float]:
    return [one[axis] for one in score.passes or (score.values or {},)]


def _mean(scores: Sequence[ItemScore], axis: str, rounded: bool) -> Mean:
    scores = [s for s in scores if not s.item.axes or axis in s.item.axes]
    values = [s.values[axis] for s in scores if s.values]
    mean = float(np.mean(values)) if values else None
    if values and rounded:
        mean = round(sum(values) / len(values), 2)
    return Mean(value=mean, n_scored=len(values), n_total=len(scores))


def objections(
    suite: Suite, scores: Sequence[ItemScore], bench: Bench, judge: Judge, language: str = ""
) -> tuple[str, ...]:
    """Returns why these scores are not what the benchmark calls its result."""
    found = []
    if judge.kind == "fake":
        found.append("the fake judge looks at nothing")
    if bench.rubrics != "official":
        found.append(f"unofficial: bench.rubrics={bench.rubrics}")
    other = set(suite.lacking) - {language} if language else ()
    if not suite.whole and not (other and language not in suite.lacking and not bench.limit):
        notes = [note for one, note in suite.lacking.items() if one not in other] + list(suite.notes)
        found.append("not the whole published set" + (f": {notes[0]}" if notes else ""))
    lacking = sum(s.values is None for s in scores)
    if lacking or not scores:
        found.append(f"{len(scores) - lacking} of {len(scores)} items scored")
    return tuple(found)


def gedit_rows(scores: Sequence[ItemScore]) -> list[tuple[SuiteItem, float, float]]:
    """Returns the rows of GEdit's CSVs: of the first reply to each question, which is the official one."""
    firsts = [(s.item, s.passes[0] if s.passes else s.values) for s in scores if s.values]
    return [(item, first["SC"], first["PQ"]) for item, first in firsts if first]


def write_official(suite: Suite, scores: Sequence[ItemScore], folder: str, model: str, backbone: str) -> None:
    """The official files: GEdit's CSVs below {folder}/{backbone}/eval_results_new, ImgEdit's JSONs in {folder}."""
    if suite.name not in ("gedit", "imgedit", "uge"):
        return
    if suite.name == "gedit":
        gedit.write_csvs(f"{folder}/{backbone}/eval_results_new", model, gedit_rows(scores))
        return
    good = [s for s in scores if s.values]
    firsts = {s.item.key: s.passes[0] if s.passes else s.values for s in good}
    averages: Mapping[str, float] = {key: first["score"] for key, first in firsts.items() if first}
    imgedit.write_results(
        folder,
        {s.item.key: answer(s.replies[0]["reply"]) for s in good},  # the official steps would read drafts, too
        averages,
        {s.item.key: s.item.group for s in good},
    )
