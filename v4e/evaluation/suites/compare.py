"""The changes between two runs of the same items by the same judge, for better or worse."""

from collections.abc import Mapping
from dataclasses import dataclass

from v4e.evaluation.metrics.bootstrap import difference
from v4e.evaluation.suites.identity import name_of
from v4e.evaluation.suites.scores import AXES, POOLED

AXIS = {suite: axes[-1] for suite, axes in AXES.items()}
KEYS = {"rubrics": "other rubrics", "prompts": "other prompts"}
FEWEST = 10  # items for a verdict: a bootstrap of fewer is too sure of itself


@dataclass(frozen=True, kw_only=True)
class Change:
    """One model on one suite, or on one group of it."""

    what: str
    n: int  # items that both runs scored
    mean: float  # new - old, mean over groups, or over items
    low: float  # 95 % of it
    high: float

    @property
    def word(self) -> str:
        if self.n < FEWEST:
            return "too few items"
        return "worse" if self.high < 0 else "better" if self.low > 0 else "not decided"


@dataclass(frozen=True, kw_only=True)
class Diff:
    """The changes of one model on one suite, and the items that lost most."""

    suite: str
    model: str
    overall: Change
    groups: tuple[Change, ...]
    worst: tuple[tuple[Mapping, float, float], ...]  # item, old, new
    warnings: tuple[str, ...]  # why the two may not be compared

    @property
    def changes(self) -> tuple[Change, ...]:
        return (self.overall, *self.groups)


def compare(old: Mapping, new: Mapping, draws: int, most: int = 20) -> Diff | None:
    """Compares two scores.json of one model and suite; None where no item has scores in both."""
    axis = AXIS[new["suite"]]
    before = {(i["row"], i["key"], i["language"], i["instruction"]): i for i in old["items"]}
    pairs: dict[str, list[tuple[float, float]]] = {}
    moved = []
    for item in new["items"]:
        same = before.get((item["row"], item["key"], item["language"], item["instruction"]))
        if same and same["values"] and item["values"]:
            was, now = float(same["values"][axis]), float(item["values"][axis])
            pairs.setdefault(item["group"], []).append((was, now))
            moved.append((item, was, now))
    if not pairs:
        return None
    pooled = [[pair for found in pairs.values() for pair in found]]
    moved.sort(key=lambda m: (m[2] - m[1], m[0]["row"]))
    told = [(words, old.get(key), new.get(key)) for key, words in KEYS.items()]
    told.append(("another judge", name_of(old), name_of(new)))
    warnings = [f"{words}: {was} then, {now} now" for words, was, now in told if was != now]
    return Diff(
        suite=new["suite"],
        model=new["model"],
        overall=_change("overall", pooled if new["suite"] in POOLED else [*pairs.values()], draws),
        groups=tuple(_change(group, [found], draws) for group, found in pairs.items()),
        worst=tuple(m for m in moved[:most] if m[2] < m[1]),
        warnings=tuple(warnings),
    )


def _change(what: str, pairs: list[list[tuple[float, float]]], draws: int) -> Change:
    mean, low, high = difference(pairs, draws)
    return Change(what=what, n=sum(map(len, pairs)), mean=mean, low=low, high=high)
