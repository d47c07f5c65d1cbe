"""Verdicts on whether one variant beats another, from figures of a few seeds each, and the tables that show them."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

ERRORS = 2.0  # standard errors that a difference must exceed; of 3 seeds that is a rule of thumb, no 95 % interval
FIGURES = {"success": "success", "edit_l1": "edit L1", "preserve_psnr": "preserved, dB"}  # to heads of columns


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    """The verdict on the claim that one variant's figure is higher than another's."""

    word: Literal["holds", "opposite", "not decided"]
    difference: float  # of the means
    error: float | None  # standard error of the difference; None with a single seed
    seeds: int  # of the variant that has fewer

    def __str__(self) -> str:
        error = "no spread" if self.error is None else f"± {self.error:.3f}"
        return f"{self.word}: {self.difference:+.3f} {error}, n = {self.seeds}"


def verdict(higher: Sequence[float], lower: Sequence[float]) -> ClaimVerdict:
    """Judges the claim that `higher` has the higher mean; each holds one figure a seed.

    It holds when the difference of the means exceeds twice its standard error, sqrt(var/n + var/n) with sample
    variances. The opposite does when the difference is as much below zero. A single seed decides nothing.

    Raises:
        ValueError: one of them is empty.
    """
    if not higher or not lower:
        raise ValueError(f"got {len(higher)} and {len(lower)} figures: a verdict needs at least one seed of each")
    difference = float(statistics.mean(higher) - statistics.mean(lower))
    seeds = min(len(higher), len(lower))
    if seeds < 2:
        return ClaimVerdict(word="not decided", difference=difference, error=None, seeds=seeds)
    error = math.sqrt(sum(statistics.variance(figures) / len(figures) for figures in (higher, lower)))
    word = "holds" if difference > ERRORS * error else "opposite" if -difference > ERRORS * error else "not decided"
    return ClaimVerdict(word=word, difference=difference, error=error, seeds=seeds)


def spread(figures: Sequence[float | None]) -> dict:
    """``{"mean", "std", "seeds"}`` of one figure a seed; std is the sample's, None with a single seed.

    Where a figure does not exist (preservation where the edit covers all), mean and std are None.
    """
    known = [f for f in figures if f is not None]
    return {
        "mean": round(statistics.mean(known), 4) if known else None,
        "std": round(statistics.stdev(known), 4) if len(known) > 1 else None,
        "seeds": list(figures),
    }


def over_seeds(tables: Sequence[Mapping]) -> dict:
    """One evaluation a seed, as ``v4e.evaluation.metrics.exact.summarize`` makes it, to the spread of each figure."""
    by_task = {
        task: {figure: spread([t["by_task"][task][figure] for t in tables]) for figure in FIGURES}
        for task in tables[0]["by_task"]
    }
    return {figure: spread([t["overall"][figure] for t in tables]) for figure in FIGURES} | {"by_task": by_task}


class TextTable(NamedTuple):
    """A table for people, to be drawn in a terminal or written as Markdown."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]


def figure_table(figures: Mapping[str, Mapping]) -> TextTable:
    """A row a variant of :func:`over_seeds`."""
    return TextTable(
        "Ablations: mean ± standard deviation over seeds",
        ("variant", *FIGURES.values(), "seeds"),
        [(n, *(_shown(row[f]) for f in FIGURES), str(len(row["success"]["seeds"]))) for n, row in figures.items()],
    )


def claim_table(figures: Mapping[str, Mapping], claims: Iterable[tuple[str, str, str]]) -> TextTable:
    """A verdict on each of `claims`, (better variant, worse variant, words), whose variants both have figures."""
    success = {name: row["success"]["seeds"] for name, row in figures.items()}
    return TextTable(
        f"Verdicts: decided where success differs by more than {ERRORS:g} standard errors",
        ("claim", "compared", "verdict: difference ± its standard error"),
        [
            (words, f"{better} > {worse}", str(verdict(success[better], success[worse])))
            for better, worse, words in claims
            if better in success and worse in success
        ],
    )


def markdown(table: TextTable) -> str:
    lines = [table.head, ("---",) * len(table.head), *table.rows]
    return f"## {table.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(figure: Mapping) -> str:
    if figure["mean"] is None:
        return "none"
    return f"{figure['mean']:.3f}" + ("" if figure["std"] is None else f" ± {figure['std']:.3f}")
