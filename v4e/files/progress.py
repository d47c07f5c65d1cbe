"""The plan of a stage, a bar with a rate and the time left, and lines above it, for a person to read.

In a terminal the bar is rich's; in a log it is a plain line every few seconds.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

LOG_EVERY_S = 5.0
console = Console()


def say(line: str) -> None:
    """Print `line`; a running bar stays below it."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def plan(title: str, rows: Mapping[str, str]) -> None:
    """Print what is about to be done (or what was), as a small table."""
    table = Table(title=title, show_header=False, title_justify="left", box=None, pad_edge=False)
    for name, value in rows.items():
        table.add_row(f"  {name}", str(value))
    console.print(table)


class Advance(Protocol):
    """Moves a bar `n` units on; a terminal shows `note` beside it until the next one."""

    def __call__(self, n: int, note: str = "", /) -> None: ...


@contextmanager
def bar(description: str, total: int, unit: str = "rows") -> Iterator[Advance]:
    """Show progress over `total` units: ``with bar("captions", 900) as advance: advance(32)``."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console) as progress:
            task, done, start = progress.add_task(description, total=total, rate="", note=""), 0, time.monotonic()

            def advance(n: int, note: str = "", /) -> None:
                nonlocal done
                done += n
                rate = done / max(1e-9, time.monotonic() - start)
                progress.update(task, advance=n, rate=f"{rate:.1f} {unit}/s", note=note)

            yield advance
        return
    with _log_bar(description, total, unit) as advance_log:
        yield advance_log


@contextmanager
def _log_bar(description: str, total: int, unit: str) -> Iterator[Advance]:
    done, start = 0, time.monotonic()
    shown = start

    def line(now: float) -> None:
        rate = done / max(1e-9, now - start)
        left = f", {max(0, total - done) / rate:.0f} s left" if rate and done < total else ""
        say(f"{description}: {done}/{total} {unit}, {rate:.1f} {unit}/s{left}")

    def advance(n: int, _note: str = "", /) -> None:
        nonlocal done, shown
        done += n
        now = time.monotonic()
        if now - shown >= LOG_EVERY_S:
            shown = now
            line(now)

    yield advance
    line(time.monotonic())
