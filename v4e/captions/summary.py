"""Counts of captions, for a terminal and for the audit's page."""

from collections import Counter
from collections.abc import Sequence

from v4e.language.tasks import TASKS

BY_MODEL = ("llm", "retry")


def counts(rows: Sequence[dict], dropped: int = 0) -> dict[str, str]:
    """Counts rows by origin, by the source of their task, and by task."""
    table = {name: _tally(row[name] for row in rows) for name in ("origin", "task_source")}
    for task in TASKS:
        found = [row for row in rows if row["task"] == task]
        made = Counter(row["origin"] for row in found)
        table[task] = (
            f"{len(found)} rows, {sum(made[o] for o in BY_MODEL)} by the model, {made['template']} by the template"
        )
    table["labels"] = f"{sum(row['agree'] is False for row in rows)} rows with labels that disagree, {dropped} dropped"
    table["checks"] = f"{sum(not row['checks'] for row in rows)} of {len(rows)} rows pass all"
    return table


def fallback(rows: Sequence[dict]) -> dict[str, float]:
    """Returns the share of each task's captions that are templates; tasks without rows are left out."""
    made = {task: [row["origin"] for row in rows if row["task"] == task] for task in TASKS}
    return {task: found.count("template") / len(found) for task, found in made.items() if found}


def agreement(rows: Sequence[dict]) -> dict[str, Counter]:
    """Counts rows by the rules' label, then by the model's; "" is no label."""
    matrix: dict[str, Counter] = {task: Counter() for task in (*TASKS, "")}
    for row in rows:
        matrix[row["rule_task"] or ""][row["llm_task"] or ""] += 1
    return {task: found for task, found in matrix.items() if found}


def _tally(values) -> str:
    return ", ".join(f"{key} {count}" for key, count in sorted(Counter(values).items()))
