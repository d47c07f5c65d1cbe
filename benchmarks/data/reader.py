"""The reader of instructions: how well it reads what it was not trained on, and the command that makes its weights.

`python -m benchmarks.data.reader texts=dev.jsonl,joined.jsonl [make=1] [errors=1]`

The texts are labelled instructions, which must not lie in this repository. Each line is JSON with `instruction`,
`lang`, `task`, `tasks`, `sure`, `also`, `form`, `source` and `group`. Each source is left out in turn. The head is
trained on the others, on phrases.txt, on the tiny world's language and on the dev half of blind.txt. `make=1` also
trains on all of them, and writes the weights with the threshold that the left-out sources gave. The tagger of roles
is made with them.
"""

import json
import random
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from benchmarks.data import roles
from benchmarks.data.captions import read_blind, read_fresh, read_later
from benchmarks.support.result import write_result
from benchmarks.support.softmax import softmax
from v4e.language.clauses import HIDDEN, asks, clauses
from v4e.language.head import NOTHING, SIZE, WEIGHTS, Head, features
from v4e.language.reader import ONE, OTHER, reading
from v4e.language.tasks import TASKS
from v4e.language.words import words_of
from v4e.tiny.world import edits as world
from v4e.tiny.world.language import instruction

PHRASES = Path(__file__).resolve().parent.parent / "instructions" / "phrases.txt"
COMMAND = "python -m benchmarks.data.reader texts=dev.jsonl,joined.jsonl make=1"
LABELS = (*TASKS, OTHER, NOTHING)
CLASSES = sorted(
    words_of(
        "thing person garment color material surface scene style tone grade body flaw moving pose limb texty whole"
    )
)
PER_PHRASE = 4  # fillings of a phrase of phrases.txt
DECAY = 3e-5  # of the squared weights
SURE = 0.98  # share of sure labels that are to be right on left-out sources
Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Example:
    """A clause with its label's distribution over LABELS."""

    text: str
    labels: np.ndarray
    weight: float


def main() -> None:
    given = dict(arg.split("=", 1) for arg in sys.argv[1:])
    rows = [
        json.loads(line) for path in given["texts"].split(",") for line in Path(path).read_text().split("\n") if line
    ]
    own = list(made_up())
    start = fit(own)
    found = [None] * len(rows)
    for source in sorted({_fold(row) for row in rows}):
        at = [i for i, row in enumerate(rows) if _fold(row) == source]
        near = {rows[i]["group"] for i in at}
        rest = [row for row in rows if _fold(row) != source and row["group"] not in near]
        head = fit([*own, *(e for row in rest for e in examples(row))], start)
        for i in at:
            found[i] = predict(rows[i]["instruction"], head)
    least = threshold(rows, found)
    if given.get("errors"):
        for row, (tasks, chance) in zip(rows, found, strict=True):
            if not right(row, tasks) or (row["task"] == "compound" and tasks != row["tasks"]):
                print(
                    _fold(row)[:6], row["tasks"], row["also"], "->", tasks, f"{chance:.2f} {row['instruction'][:200]!r}"
                )
    figures = measured(rows, found, least)
    if given.get("make"):
        head = fit([*own, *(e for row in rows for e in examples(row))], start)
        write(head, least)
        roles.write(roles.fit([*roles.phrases(_words()), *(m for row in rows for m in roles.examples(row))]))
        for name, items in (("blind_test", read_blind("test")), ("fresh", read_fresh()), ("later", read_later())):
            known = [predict(text, head)[0][0] == task for text, task in items]
            figures.append(share(name, known))
    write_result("reader", COMMAND, figures, {row["what"]: row["share"] for row in figures})


def made_up() -> Iterator[Example]:
    """Yields phrases with their blanks filled, the worlds' instructions, and the dev half of the blind set."""
    rng, words = random.Random(0), _words()
    for line in PHRASES.read_text().splitlines():
        task, _, phrases = line.partition(": ")
        for phrase in phrases.split(" ; ") if task in LABELS else ():
            texts = {_filled(phrase, words, rng) for _ in range(PER_PHRASE)}
            yield from (Example(text, label(task), 0.5 / len(texts)) for text in texts)
    for task in TASKS:
        for seed in range(120):
            edit = world.make_edit(Random(seed), task)
            yield Example(_clause(instruction(edit.kind, edit.slots, Random(seed))), label(task), 0.1)
    yield from (Example(_clause(text), label(task), 0.5) for text, task in read_blind("dev"))


def examples(row: dict) -> Iterator[Example]:
    """Yields the clauses of a labelled instruction, if they can be told apart as its labels are.

    Where the imperatives alone are as many as the labels, the other clauses are taken to ask for nothing.
    """
    parts = clauses(row["instruction"]).edits
    wanted = [part for part in parts if asks(part)] or parts[:1]
    also = [] if row["sure"] else row["also"]
    if len(parts) == len(row["tasks"]):
        wanted = list(parts)
    if len(wanted) == len(row["tasks"]):
        yield from (Example(part, label(task, also), 1.0) for part, task in zip(wanted, row["tasks"], strict=True))
        if row["lang"] == "en":
            yield from (Example(part, label(NOTHING), 0.5) for part in parts if part not in wanted)
    elif len(row["tasks"]) == 1:
        yield Example(" . ".join(parts), label(row["task"], also), 1.0)
        if row["task"] in ONE:
            yield from (Example(part, label(row["task"], also), 0.5) for part in wanted)


def label(task: str, also: Sequence[str] = ()) -> np.ndarray:
    """Returns a distribution over LABELS that leans to `task` and gives a share to the other defensible ones."""
    others = [name for name in also if name in LABELS and name != task]
    found = np.zeros(len(LABELS), np.float32)
    found[LABELS.index(task)] = 0.65 if others else 1.0
    for name in others:
        found[LABELS.index(name)] = 0.35 / len(others)
    return found


def fit(rows: Sequence[Example], start: Head | None = None) -> Head:
    """Fits the softmax head to the distributions, by L-BFGS; `start` has seen some of the rows and saves time."""
    pairs = [_features(row.text) for row in rows]
    ends = np.cumsum([0, *(len(at) for at, _ in pairs)])
    whole = csr_matrix(
        (np.concatenate([v for _, v in pairs]), np.concatenate([at for at, _ in pairs]), ends), shape=(len(rows), SIZE)
    )
    labels, weight = np.stack([row.labels for row in rows]), np.array([row.weight for row in rows], np.float32)
    first = np.vstack([start.weights, start.bias]) if start else np.zeros((SIZE + 1, len(LABELS)))
    best = softmax(whole, labels, weight, first, DECAY, 25 if start else 60)
    head = Head.__new__(Head)
    head.labels, head.classes, head.sure = LABELS, word_classes(), 1.0
    head.weights, head.bias = best[:-1], best[-1]
    return head


def predict(text: str, head: Head) -> tuple[list[str], float]:
    """Returns the tasks of an instruction, in order, and the least of their probabilities; 0 in other languages."""
    found = reading(text, head)
    return [edit.task for edit in found.edits], found.chance if found.language == "en" else 0.0


def right(row: dict, tasks: Sequence[str]) -> bool:
    """True if the task is the row's, or one of `also` where the row is not sure."""
    task = tasks[0] if len(tasks) == 1 else "compound"
    also = () if row["sure"] else row["also"]
    return (
        task in (row["task"], *also) or "+".join(tasks) in also or (task == "compound" and any("+" in a for a in also))
    )


def threshold(rows: Sequence[dict], found: Sequence[tuple[list[str], float]]) -> float:
    """Returns the least probability above which SURE of the labels are right."""
    order = sorted(range(len(rows)), key=lambda i: -found[i][1])
    good = np.cumsum([right(rows[i], found[i][0]) for i in order]) / np.arange(1, len(order) + 1)
    return found[order[int(np.flatnonzero(good >= SURE).max())]][1]


def measured(rows: Sequence[dict], found: Sequence[tuple[list[str], float]], least: float) -> list[dict]:
    """Returns the shares of right readings of all kinds of rows."""
    good = [right(row, tasks) for row, (tasks, _) in zip(rows, found, strict=True)]
    exact = [
        tasks == row["tasks"] or (not row["sure"] and "+".join(tasks) in row["also"])
        for row, (tasks, _) in zip(rows, found, strict=True)
    ]
    sure = [chance >= least for _, chance in found]

    def of(what: str, values: Sequence[bool], where) -> dict:
        return share(what, [v for v, row in zip(values, rows, strict=True) if where(row)])

    return [
        of("task", good, lambda row: True),
        of("task_english", good, lambda row: row["lang"] == "en"),
        of("task_requests", good, lambda row: row["form"] == "request"),
        of("task_one_edit", good, lambda row: row["task"] != "compound"),
        of("tasks_of_compounds", exact, lambda row: row["task"] == "compound"),
        share("sure", sure),
        share("sure_right", [g for g, s in zip(good, sure, strict=True) if s]),
        *(
            of(f"task_of_{fold}", good, lambda row, fold=fold: _fold(row) == fold)
            for fold in sorted({_fold(r) for r in rows})
        ),
    ]


def share(what: str, values: Sequence[bool]) -> dict:
    """Returns a share with its n and Wilson's 95 % interval."""
    n, p = max(1, len(values)), sum(values) / max(1, len(values))
    middle, half = p + Z * Z / (2 * n), Z * (p * (1 - p) / n + Z * Z / (4 * n * n)) ** 0.5
    ends = [round((middle + sign * half) / (1 + Z * Z / n), 4) for sign in (-1, 1)]
    return {"what": what, "share": round(p, 4), "n": len(values), "from": ends[0], "to": ends[1]}


def write(head: Head, least: float) -> None:
    meta = {"labels": json.dumps(LABELS), "classes": json.dumps(head.classes), "sure": repr(least)}
    save_file({"weights": head.weights.astype(np.float16), "bias": head.bias}, WEIGHTS, metadata=meta)


@cache
def _features(text: str) -> tuple[np.ndarray, np.ndarray]:
    return features(text, word_classes())


@cache
def word_classes() -> dict[str, list[str]]:
    """Returns the classes of words: the blanks of phrases.txt that they may fill."""
    words, found = _words(), {}
    for kind in CLASSES:
        for phrase in words[kind]:
            for word in {phrase.lower().split()[-1]}:
                found.setdefault(word, [])
                found[word] += [kind] if len(found[word]) < 2 and kind not in found[word] else []
    return found


def _words() -> dict[str, list[str]]:
    lines = [line.split(" = ", 1) for line in PHRASES.read_text().splitlines() if " = " in line]
    return {name: choices.split("|") for name, choices in lines} | {"q": [chr(HIDDEN)]}


def _filled(phrase: str, words: dict[str, list[str]], rng: random.Random) -> str:
    thing = rng.choice(words["thing"])  # of {same}, twice in a phrase
    text = re.sub(r"\{(\w+)\}", lambda at: thing if at[1] == "same" else rng.choice(words[at[1]]), phrase)
    return clauses(re.sub(r"\ba (?=[aeiou])", "an ", text)).edits[0] if max(map(ord, text)) < HIDDEN else text


def _clause(text: str) -> str:
    return " . ".join(clauses(text).edits)


def _fold(row: dict) -> str:
    """Returns the source that is left out with a row; small ones are left out together."""
    name = row["source"].split("/")[1]
    return name if "nano" not in name.lower() and name != "RISEBench" else "small"


if __name__ == "__main__":
    main()
