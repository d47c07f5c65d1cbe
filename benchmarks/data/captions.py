"""The accuracy of sorting instructions into tasks and of writing their evolutions.

`python -m benchmarks.data.captions [half=test|dev]`

The instructions are those of benchmarks/instructions. Everything takes the path of `v4e caption`: rules, the small
CPU model's vote on every row, its candidates, the retry with the reason, the template. Only the blind set's test half
and the fresh set make a result; the dev half prints its errors, to improve rules by.
"""

import re
import sys
from collections import Counter
from pathlib import Path

from actors.cluster import connect
from actors.llm.pool import write_batches
from benchmarks.support.result import write_result
from v4e.captions.prompts import prompt_hash
from v4e.captions.write import MADE, CaptionRequest, WrittenCaption
from v4e.config import Caption
from v4e.language.tasks import TABLE1, TASKS, rule_task

INSTRUCTIONS = Path(__file__).resolve().parent.parent / "instructions"
COMMAND = "python -m benchmarks.data.captions half=test"
PASSIVE = re.compile(r"\b(?:is|are) gradually \w+|gradually takes on")  # no template fitted


LabelledInstruction = tuple[str, str]  # an instruction, and the task that its author means


def read_blind(half: str) -> list[LabelledInstruction]:
    """The ``dev`` half of the blind set, items 1, 3, 5, ... of each task, or the ``test`` half."""
    first = {"dev": 0, "test": 1}[half]
    return [(text, task) for task, texts in _by_task("blind.txt").items() for text in texts[first::2]]


def read_fresh() -> list[LabelledInstruction]:
    """The fresh set: no rule was ever changed after looking at it."""
    return [(text, task) for task, texts in _by_task("fresh.txt").items() for text in texts]


def read_later() -> list[LabelledInstruction]:
    """The later set: written after the errors of the blind set's test half were read, and only scored."""
    return [(text, task) for task, texts in _by_task("later.txt").items() for text in texts]


def _by_task(name: str) -> dict[str, list[str]]:
    of_label = {row.label: task for task, row in TABLE1.items()}
    found: dict[str, list[str]] = {}
    for line in (INSTRUCTIONS / name).read_text().splitlines():
        if line.startswith("# "):
            mine = found.setdefault(of_label[line[2:]], [])
        else:
            mine.append(line)
    return found


def caption_all(instructions: list[str]) -> tuple[list[WrittenCaption], float]:
    """Captions by the real model, and its tokens/s."""
    config = Caption(vote="all", batch=44, timeout_s=3600)
    requests = [CaptionRequest(instruction=text) for text in instructions]
    batches = [(at, requests[at : at + config.batch]) for at in range(0, len(requests), config.batch)]
    connect()
    answers = {}
    for answer in write_batches(batches, config, len(batches)):
        answers[answer.index] = answer
        print(f"{len(answers)} of {len(batches)} batches", flush=True)
    written = [row for index in sorted(answers) for row in answers[index].written]
    seconds = sum(answer.seconds for answer in answers.values())
    return written, sum(answer.tokens for answer in answers.values()) / seconds


def rows_of(name: str, items: list[LabelledInstruction], written: list[WrittenCaption]) -> list[dict]:
    """Figures of each task of the set `name`."""
    rows, prompts = [], prompt_hash()
    for task in TASKS:
        mine = [(text, row) for (text, own), row in zip(items, written, strict=True) if own == task]
        made = Counter(row.origin for _, row in mine)
        rows.append(
            {
                "set": name,
                "prompts": prompts,
                "task": task,
                "n": len(mine),
                "rules": sum(rule_task(text)[0] == task for text, _ in mine),
                "llm_label": sum(row.label.llm == task for _, row in mine),
                "rules_llm": sum(row.label.task == task for _, row in mine),
                **{origin: made[origin] for origin in MADE},
                "generic": sum(bool(PASSIVE.search(row.caption)) for _, row in mine),
                "passed": sum(not row.checks for _, row in mine),
            }
        )
    return rows


def summary_of(items: list[LabelledInstruction], written: list[WrittenCaption], rows: list[dict]) -> dict[str, float]:
    total = {
        name: sum(row[name] for row in rows)
        for name in ("n", "rules", "llm_label", "rules_llm", *MADE, "generic", "passed")
    }
    sure = [rule_task(text)[0] == task for text, task in items if rule_task(text)[1]]
    agree = [row.label.task == task for (_, task), row in zip(items, written, strict=True) if row.label.agree]
    shares = {
        "rules_accuracy": total["rules"] / total["n"],
        "rules_llm_accuracy": total["rules_llm"] / total["n"],
        "llm_accuracy": total["llm_label"] / total["n"],
        "llm_share": (total["llm"] + total["retry"]) / total["n"],
        "llm_first_share": total["llm"] / total["n"],
        "generic_share": total["generic"] / total["n"],
        "sure_share": len(sure) / total["n"],
        "sure_accuracy": sum(sure) / len(sure),
        "agree_share": len(agree) / total["n"],
        "agree_accuracy": sum(agree) / len(agree),
        "checks_passed": total["passed"] / total["n"],
    }
    return {name: round(value, 4) for name, value in shares.items()}


def main() -> None:
    half = dict(arg.split("=", 1) for arg in sys.argv[1:]).get("half", "test")
    blind, fresh = read_blind(half), read_fresh() if half == "test" else []
    written, speed = caption_all([text for text, _ in (*blind, *fresh)])
    of_blind, of_fresh = written[: len(blind)], written[len(blind) :]
    rows = rows_of("blind", blind, of_blind)
    summary = summary_of(blind, of_blind, rows) | {"tokens_per_s": round(speed, 1)}
    if half == "test":
        more = rows_of("fresh", fresh, of_fresh)
        fresh_summary = {f"fresh_{key}": value for key, value in summary_of(fresh, of_fresh, more).items()}
        write_result("captions", COMMAND, [*rows, *more], summary | fresh_summary)
        return
    for (text, task), row in zip(blind, written, strict=True):
        if row.label.task != task or row.checks or row.origin == "template":
            print(f"{task}: {text}\n  {row.label}\n  {row.origin} {list(row.checks)} {row.caption}")
    print(summary)


if __name__ == "__main__":
    main()
